//! `labwire services`: the services of the network.

use std::collections::BTreeMap;

use clap::Args;
use labwire_client::{Identities, ServiceIdentity};
use serde::Serialize;
use wildmatch::WildMatch;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{OutputArgs, one_line, say_json, say_table, tell};
use crate::report::{Away, hides_services, services_away};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire services
  labwire services 'DMM*' --host lab-pc";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire services
  labwire services 'DMM*' --host lab-pc

With --json, each service is one object: name, address, language, os,
max_clients (a number, or null for no limit) and attributes (their names). A
service whose connection broke, and whose place the manager keeps, has away, as
in labwire status: since (when it broke) and until (when the place is given up).

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct ServicesArgs {
    /// Only services whose name matches; * stands for any characters, ? for one
    pattern: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A service, as an object of JSON.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    address: &'a str,
    language: &'a str,
    os: &'a str,
    max_clients: Option<u64>,
    attributes: Vec<&'a str>,
    /// Set while its connection is broken and its place is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<Away>,
}

/// The columns of the list. The last one is left out if no service is away.
const HEADER: [&str; 6] = ["NAME", "ADDRESS", "LANGUAGE", "CLIENTS", "ATTRIBUTES", "STATE"];

impl<'a> Listed<'a> {
    fn new(name: &'a str, service: &'a ServiceIdentity, away: Option<Away>) -> Self {
        Self {
            name,
            address: &service.address,
            language: &service.language,
            os: &service.os,
            max_clients: service.limit(),
            attributes: service.attributes.keys().map(String::as_str).collect(),
            away,
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            one_line(self.name),
            one_line(self.address),
            one_line(self.language),
            self.max_clients
                .map_or_else(|| "any".to_owned(), |limit| limit.to_string()),
            self.attributes.len().to_string(),
            self.away.map_or_else(String::new, Away::short_text),
        ]
    }
}

pub(crate) async fn run(arguments: &ServicesArgs) -> Result<(), Failure> {
    let connection = arguments.connection.connect("services").await?;
    let identities = connection.identities().await?;
    let away = services_away(&connection, &identities).await?;
    let is_hiding = hides_services(&connection, &identities).await?;
    show(
        arguments.pattern.as_deref(),
        arguments.output.json,
        &identities,
        &away,
        is_hiding,
    )?;
    connection.disconnect().await;
    Ok(())
}

/// Shows the services whose names match a pattern, and which of them are away. `is_hiding` is whether the
/// manager has others that it does not list.
pub(crate) fn show(
    pattern: Option<&str>,
    is_json: bool,
    identities: &Identities,
    away: &BTreeMap<String, Away>,
    is_hiding: bool,
) -> Result<(), Failure> {
    let wanted = pattern.map(WildMatch::new_case_insensitive);
    let is_listed = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.matches(name));
    let services = identities.services.iter().filter(|(name, _)| is_listed(name));
    let services: Vec<_> = services
        .map(|(name, service)| Listed::new(name, service, away.get(name).copied()))
        .collect();
    if is_json {
        return services.iter().try_for_each(say_json);
    }
    if services.is_empty() {
        let may_see = if is_hiding { " that you may see" } else { "" };
        tell(match pattern {
            None => format!("no services are connected{may_see}"),
            Some(pattern) => format!("no service{may_see} matches '{}'", one_line(pattern)),
        });
        return Ok(());
    }
    let is_any_away = services.iter().any(|service| service.away.is_some());
    let columns = HEADER.len() - usize::from(!is_any_away);
    let row = |service: &Listed<'_>| {
        let mut row = service.row();
        row.truncate(columns);
        row
    };
    say_table(&HEADER[..columns], services.iter().map(row).collect())
}
