//! `labwire describe`: one service, for people.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use labwire_client::{AttributeDescription, ServiceDescription, ServiceIdentity, Value};
use labwire_home::present;
use labwire_wire::MANAGER_NAME;
use labwire_wire::frames::json_string;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::{Connection, ConnectionArgs};
use crate::failure::Failure;
use crate::linking::unknown_service;
use crate::manager_requests;
use crate::output::{FAINT, OutputArgs, STRONG, one_line, printable, say, say_json};
use crate::report::{self, Away, Lock, Peer, is_reported};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire describe DMM
  labwire describe DMM --json";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire describe DMM
  labwire describe DMM --json
  labwire describe Manager         the requests that the manager itself answers

The documentation comes from the service itself, if it answers within two
seconds. Services of the Rust SDK provide it. Unmodified ones of MSL-Network do
not, and the text says so; they need a method
  def describe(self) -> dict:
      return {\"description\": \"…\",
              \"attributes\": {\"read\": {\"description\": \"…\"}}}
with exactly this signature; no other method is called. A service that limits
its clients is not asked, since the link would count towards its limit, and one
that is locked or away cannot be asked: only the signatures are shown, and why.

With --json, the service is one object: name, address, language, os,
max_clients (a number, or null for no limit), description, and attributes: a
list of objects with name, signature, value (as the service gave it in its
identity: a number, a text, a list) and description, each null if it is not
known. Labwire's manager adds who uses it: link_count, links (the first
clients) and locks (client, since, until, shared and reason), and while the
service is away, away: since (when its connection broke) and until (when its
place is given up). The attributes of the manager have name, arguments,
administrator (whether only administrators may send it) and description.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// The name of the service
    service: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A service, as an object of JSON.
#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    address: &'a str,
    language: &'a str,
    os: &'a str,
    max_clients: Option<u64>,
    description: Option<&'a str>,
    attributes: Vec<Attribute>,
    /// The number of linked clients and the first of them, and who holds a lock; missing if the
    /// manager does not report it.
    #[serde(flatten)]
    in_use: Option<InUse<'a>>,
    /// Why there is no documentation, if there is none.
    #[serde(skip)]
    undocumented: Option<String>,
}

/// Who uses a service.
#[derive(Serialize)]
struct InUse<'a> {
    link_count: u64,
    links: &'a [String],
    locks: &'a [Lock],
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<Away>,
    #[serde(skip)]
    peer: &'a Peer,
}

/// An attribute, as an object of JSON.
#[derive(Serialize)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    /// For a method.
    pub(crate) signature: Option<String>,
    /// For a value, as text.
    #[serde(skip)]
    pub(crate) value: Option<String>,
    /// For a value, as JSON.
    #[serde(rename = "value")]
    json: Option<Box<RawValue>>,
    pub(crate) description: Option<String>,
}

/// The timeout for a service's documentation. A busy service is described without it.
const DOCUMENTATION_TIME: Duration = Duration::from_secs(2);

/// The signature of a method that documents its service. A method `describe` with another signature
/// may do something else.
const DESCRIBE_SIGNATURE: &str = "() -> dict";

/// Returns whether a service has a method that documents it.
pub(crate) fn offers_documentation(service: &ServiceIdentity) -> bool {
    let describe = service.attributes.get("describe");
    describe.and_then(Value::as_signature) == Some(DESCRIBE_SIGNATURE)
}

/// Requests the service's documentation, if it offers any. Returns `None` if the service limits its
/// clients, since a link would count towards the limit, unless `is_linked`: the client is linked
/// already.
pub(crate) async fn documentation(
    connection: &Connection,
    name: &str,
    service: &ServiceIdentity,
    is_linked: bool,
) -> Option<ServiceDescription> {
    if (service.limit().is_some() && !is_linked) || !offers_documentation(service) {
        return None;
    }
    // A service that is locked or away cannot be asked, and many have no documentation.
    let link = connection.link(name).await.ok()?;
    link.with_timeout(DOCUMENTATION_TIME).describe().await.ok()
}

/// Returns an attribute with its signature or value, and its documentation if there is any.
pub(crate) fn attribute(name: &str, value: &Value, documented: Option<&AttributeDescription>) -> Attribute {
    let signature = documented
        .and_then(|documented| documented.signature.as_deref())
        .or_else(|| value.as_signature());
    let description = documented.map(|documented| documented.description.clone());
    let json = signature.is_none().then(|| json(value));
    Attribute {
        // It is JSON by its construction.
        json: json.and_then(|json| RawValue::from_string(json).ok()),
        name: name.to_owned(),
        value: signature.is_none().then(|| value.to_string()),
        signature: signature.map(str::to_owned),
        description: description.filter(|text| !text.is_empty()),
    }
}

/// Returns a value as JSON text. Numbers that JSON does not have, such as `NaN`, are texts.
fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => serde_json::Value::from(*number).to_string(),
        Value::Float(number) => json_string(&number.to_string()),
        Value::Text(text) => json_string(text),
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(json).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Map(members) => {
            let member = |(name, value): (&String, &Value)| format!("{}: {}", json_string(name), json(value));
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Returns why there is no documentation of a service.
fn why_undocumented(service: &ServiceIdentity, peer: Option<&Peer>) -> String {
    if !offers_documentation(service) {
        return "it sends no documentation; unmodified services of MSL-Network send none".to_owned();
    }
    if let Some(reason) = peer.and_then(Peer::hides_documentation) {
        return format!("its documentation can be read when it is not {reason}");
    }
    if service.limit().is_some() {
        return "its documentation is only read by clients that are linked, since it limits their number"
            .to_owned();
    }
    format!(
        "its documentation has not come within {} s",
        DOCUMENTATION_TIME.as_secs()
    )
}

impl Described<'_> {
    fn text(&self) -> String {
        let mut text = format!("{STRONG}{}{STRONG:#}\n", one_line(self.name));
        let limit = match self.max_clients {
            None => String::new(),
            Some(1) => ", for one client".to_owned(),
            Some(limit) => format!(", for {limit} clients"),
        };
        let origin = format!("{}, {} at {}{limit}", self.language, self.os, self.address);
        let _ = writeln!(text, "{FAINT}{}{FAINT:#}", one_line(&origin));
        if let Some(InUse { peer, .. }) = self.in_use {
            if let Some(linked) = peer.linked() {
                let _ = writeln!(text, "{FAINT}linked with {linked}{FAINT:#}");
            }
            if let Some(away) = peer.away {
                let _ = writeln!(text, "{}", away.explained(present()));
            }
            if let Some(holders) = peer.holders(present()) {
                let _ = writeln!(text, "locked by {holders}");
            }
        }
        if let Some(reason) = &self.undocumented {
            let _ = writeln!(text, "({reason})");
        }
        if let Some(description) = self.description {
            let _ = writeln!(text, "\n{}", printable(description.trim()));
        }
        for attribute in &self.attributes {
            let name = one_line(&attribute.name);
            let rest = match (&attribute.signature, &attribute.value) {
                (Some(signature), _) => one_line(signature),
                (None, Some(value)) => format!(" = {}", one_line(value)),
                (None, None) => String::new(),
            };
            let _ = writeln!(text, "\n  {STRONG}{name}{STRONG:#}{rest}");
            let description = attribute.description.as_deref().unwrap_or_default();
            for line in printable(description.trim()).lines() {
                let _ = writeln!(text, "{}", format!("      {line}").trim_end());
            }
        }
        text.trim_end().to_owned()
    }
}

pub(crate) async fn run(arguments: &DescribeArgs) -> Result<(), Failure> {
    let name = &arguments.service;
    let connection = arguments.connection.connect("describe").await?;
    let identities = connection.identities().await?;
    if name == MANAGER_NAME {
        manager_requests::show(&identities, arguments.output.json)?;
        connection.disconnect().await;
        return Ok(());
    }
    let Some(service) = identities.services.get(name) else {
        return Err(unknown_service(&connection, name, &identities).await);
    };
    let documentation = documentation(&connection, name, service, false).await;
    let peer = if is_reported(&identities) {
        report::service(&connection, name).await?
    } else {
        None
    };
    show(
        name,
        service,
        documentation.as_ref(),
        peer.as_ref(),
        arguments.output.json,
    )?;
    connection.disconnect().await;
    Ok(())
}

/// Shows a service with its documentation and who uses it, as far as that is known.
pub(crate) fn show(
    name: &str,
    service: &ServiceIdentity,
    documentation: Option<&ServiceDescription>,
    peer: Option<&Peer>,
    is_json: bool,
) -> Result<(), Failure> {
    let documented = |name: &str| documentation?.attributes.get(name);
    let attributes = service.attributes.iter();
    let described = Described {
        name,
        address: &service.address,
        language: &service.language,
        os: &service.os,
        max_clients: service.limit(),
        description: documentation
            .map(|documentation| documentation.description.as_str())
            .filter(|text| !text.is_empty()),
        attributes: attributes
            .map(|(name, value)| attribute(name, value, documented(name)))
            .collect(),
        undocumented: documentation.is_none().then(|| why_undocumented(service, peer)),
        in_use: peer.map(|peer| InUse {
            link_count: peer.link_count,
            links: &peer.links,
            locks: &peer.locks,
            away: peer.away,
            peer,
        }),
    };
    if is_json {
        say_json(&described)
    } else {
        say(described.text())
    }
}
