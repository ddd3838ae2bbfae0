//! The identities of the peers that are connected to a manager.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use labwire_device::payload::{DecodeError, from_json};
use serde::Deserialize;
use serde::de::Error as _;

use crate::value::Value;

/// The members of an object.
type Members = BTreeMap<String, Value>;

/// The manager's identity, and those of all connected peers.
///
/// The `Display` form is the text of MSL-Network's `identities(as_string=True)`.
/// [`to_text`](Self::to_text) uses another indentation.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::Identities;
///
/// let identities: Identities = client.identities().await?;
/// assert_eq!(identities.services["Echo"].limit(), None);
/// for (name, value) in &identities.services["BasicMath"].attributes {
///     println!("{name}: {value}");
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Identities {
    /// The host on which the manager runs.
    pub hostname: String,
    /// The port on which the manager listens.
    pub port: u16,
    /// The programming language of the manager.
    pub language: String,
    /// The manager's operating system.
    pub os: String,
    /// The signatures of the manager's public requests, by name.
    pub attributes: Members,
    /// The clients, by their network names.
    pub clients: BTreeMap<String, ClientIdentity>,
    /// The services, by their names.
    pub services: BTreeMap<String, ServiceIdentity>,
    /// All other members of the manager's identity.
    pub others: Members,
}

/// The identity of a client.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::ClientIdentity;
///
/// let identities = client.identities().await?;
/// let ada: &ClientIdentity = &identities.clients[&client.network_name()];
/// assert_eq!(ada.name, "Ada");
/// assert!(ada.address.ends_with(&format!(":{}", client.local_port())));
/// assert!(ada.language.starts_with("Rust"));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientIdentity {
    /// The name that the client was given.
    pub name: String,
    /// The client's address, as `HOST:PORT`.
    pub address: String,
    /// The programming language of the client.
    pub language: String,
    /// The client's operating system.
    pub os: String,
    /// All other members of the client's identity.
    pub others: Members,
}

/// The identity of a service.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::ServiceIdentity;
///
/// let identities = client.identities().await?;
/// let math: &ServiceIdentity = &identities.services["BasicMath"];
/// assert_eq!(math.attributes["add"].as_signature(), Some("(x: float, y: float) -> float"));
/// assert_eq!((math.max_clients, math.limit()), (-1, None));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceIdentity {
    /// The attributes, by name: the [signatures](Value::as_signature) of methods, and plain values.
    pub attributes: Members,
    /// The service's address, as `HOST:PORT`.
    pub address: String,
    /// The programming language of the service.
    pub language: String,
    /// The service's operating system.
    pub os: String,
    /// The maximum number of linked clients; 0 or less means no limit. See [`limit`](Self::limit).
    pub max_clients: i64,
    /// All other members of the service's identity.
    pub others: Members,
}

impl ServiceIdentity {
    /// Returns the maximum number of linked clients; `None` means no limit.
    ///
    /// See the example of [`ServiceIdentity`].
    pub fn limit(&self) -> Option<u64> {
        u64::try_from(self.max_clients).ok().filter(|&limit| limit > 0)
    }

    pub(crate) fn from_json(result: &[u8]) -> Result<Self, DecodeError> {
        from_json(std::str::from_utf8(result).unwrap_or_default())
    }
}

fn text(members: &mut Members, name: &str) -> String {
    members
        .remove(name)
        .map(|value| value.to_string())
        .unwrap_or_default()
}

fn map(members: &mut Members, name: &str) -> Members {
    match members.remove(name) {
        Some(Value::Map(map)) => map,
        _ => Members::new(),
    }
}

/// Removes and returns a whole number. Some LabVIEW peers write it with a fraction of zeros.
fn number(members: &mut Members, name: &str) -> Option<i64> {
    match members.remove(name)? {
        Value::Integer(number) => i64::try_from(number).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast saturates, and the fraction is zero"
        )]
        Value::Float(number) if number.fract() == 0.0 => Some(number as i64),
        _ => None,
    }
}

impl From<Members> for ClientIdentity {
    fn from(mut members: Members) -> Self {
        Self {
            name: text(&mut members, "name"),
            address: text(&mut members, "address"),
            language: text(&mut members, "language"),
            os: text(&mut members, "os"),
            others: members,
        }
    }
}

impl From<Members> for ServiceIdentity {
    fn from(mut members: Members) -> Self {
        Self {
            attributes: map(&mut members, "attributes"),
            address: text(&mut members, "address"),
            language: text(&mut members, "language"),
            os: text(&mut members, "os"),
            max_clients: number(&mut members, "max_clients").unwrap_or(-1),
            others: members,
        }
    }
}

impl<'de> Deserialize<'de> for ServiceIdentity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(Self::from)
    }
}

fn devices<T: From<Members>>(devices: Members) -> BTreeMap<String, T> {
    let members = devices.into_iter().filter_map(|(name, value)| match value {
        Value::Map(members) => Some((name, T::from(members))),
        _ => None,
    });
    members.collect()
}

impl<'de> Deserialize<'de> for Identities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Members::deserialize(deserializer)?;
        let port = number(&mut members, "port").and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            hostname: text(&mut members, "hostname"),
            port: port.ok_or_else(|| D::Error::missing_field("port"))?,
            language: text(&mut members, "language"),
            os: text(&mut members, "os"),
            attributes: map(&mut members, "attributes"),
            clients: devices(map(&mut members, "clients")),
            services: devices(map(&mut members, "services")),
            others: members,
        })
    }
}

/// Lines of text, each indented by a number of levels.
struct Lines {
    text: String,
    indent: usize,
}

impl Lines {
    fn add(&mut self, level: usize, line: fmt::Arguments<'_>) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let width = level * self.indent;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{:width$}{line}", "");
    }

    /// Adds the known and the other members as lines, sorted by name.
    fn add_members(&mut self, level: usize, known: &[(&str, String)], others: &Members) {
        let others = others
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()));
        let mut all: Vec<_> = known
            .iter()
            .map(|(name, text)| (*name, text.clone()))
            .chain(others)
            .collect();
        all.sort();
        for (name, text) in all {
            self.add(level, format_args!("{name}: {text}"));
        }
    }

    fn add_manager(&mut self, manager: &Identities) {
        self.add(0, format_args!("Manager[{}:{}]", manager.hostname, manager.port));
        self.add(1, format_args!("attributes:"));
        for (name, signature) in &manager.attributes {
            self.add(2, format_args!("{name}{signature}"));
        }
        let known = [("language", manager.language.clone()), ("os", manager.os.clone())];
        self.add_members(1, &known, &manager.others);
    }

    fn add_service(&mut self, name: &str, service: &ServiceIdentity) {
        self.add(1, format_args!("{name}[{}]", service.address));
        self.add(2, format_args!("attributes:"));
        for (name, value) in &service.attributes {
            match value.as_signature() {
                Some(signature) => self.add(3, format_args!("{name}{signature}")),
                None => self.add(3, format_args!("{name}() -> {value}")),
            }
        }
        let known = [
            ("language", service.language.clone()),
            ("max_clients", service.max_clients.to_string()),
            ("os", service.os.clone()),
        ];
        self.add_members(2, &known, &service.others);
    }
}

impl Identities {
    /// Formats the identities for people, with this many spaces per level.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let text = client.identities().await?.to_text(2);
    /// assert!(text.starts_with("Manager["));
    /// assert!(text.contains("\nClients [1]:\n  Ada["));
    /// assert!(text.contains("\nServices [4]:\n  BasicMath["));
    /// # Ok(())
    /// # });
    /// ```
    pub fn to_text(&self, indent: usize) -> String {
        let mut lines = Lines {
            text: String::new(),
            indent,
        };
        lines.add_manager(self);
        lines.add(0, format_args!("Clients [{}]:", self.clients.len()));
        for (network_name, client) in &self.clients {
            lines.add(1, format_args!("{network_name}"));
            let known = [("language", client.language.clone()), ("os", client.os.clone())];
            lines.add_members(2, &known, &client.others);
        }
        lines.add(0, format_args!("Services [{}]:", self.services.len()));
        for (name, service) in &self.services {
            lines.add_service(name, service);
        }
        lines.text
    }
}

impl fmt::Display for Identities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_text(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = r#"{"hostname":"bench","port":1875,"attributes":{"link":"(service: str) -> dict",
        "identity":"() -> dict"},"language":"Labwire 0.1.0 (Rust)","os":"Linux","clients":{"Ada[bench:50001]":
        {"name":"Ada","address":"bench:50001","language":"Python 3.11","os":"Linux"}},"services":{"Math":
        {"attributes":{"pi":3.14,"add":"(x, y)","unit":"V"},"address":"bench:50002","language":"LabVIEW",
        "os":"Windows","max_clients":-1,"zone":[NaN]}}}"#;

    #[test]
    fn the_text_is_that_of_the_reference() {
        let identities: Identities = from_json(IDENTITY).unwrap();
        let text = "\
Manager[bench:1875]
  attributes:
    identity() -> dict
    link(service: str) -> dict
  language: Labwire 0.1.0 (Rust)
  os: Linux
Clients [1]:
  Ada[bench:50001]
    language: Python 3.11
    os: Linux
Services [1]:
  Math[bench:50002]
    attributes:
      add(x, y)
      pi() -> 3.14
      unit() -> V
    language: LabVIEW
    max_clients: -1
    os: Windows
    zone: [nan]";
        assert_eq!(identities.to_string(), text);
        assert!(identities.to_text(0).contains("\nadd(x, y)\n"));
    }

    #[test]
    fn a_limit_is_a_number_of_clients_or_nothing() {
        let limit = |text: &str| from_json::<ServiceIdentity>(text).unwrap().limit();
        assert_eq!(limit(r#"{"max_clients":2}"#), Some(2));
        assert_eq!(limit(r#"{"max_clients":2.0}"#), Some(2));
        assert_eq!(limit(r#"{"max_clients":0}"#), None);
        assert_eq!(limit("{}"), None);
    }
}
