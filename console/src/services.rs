//! `labwire services`: the services of the network.

use clap::Args;
use labwire_client::{Identities, ServiceIdentity};
use serde::Serialize;
use wildmatch::WildMatch;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{OutputArgs, one_line, say_json, say_table, tell};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire services
  labwire services 'DMM*' --host lab-pc";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire services
  labwire services 'DMM*' --host lab-pc

With --json, each service is one object: name, address, language, os,
max_clients (a number, or null for no limit) and attributes (their names).

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
}

impl<'a> Listed<'a> {
    fn new(name: &'a str, service: &'a ServiceIdentity) -> Self {
        Self {
            name,
            address: &service.address,
            language: &service.language,
            os: &service.os,
            max_clients: service.limit(),
            attributes: service.attributes.keys().map(String::as_str).collect(),
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
        ]
    }
}

pub(crate) async fn run(arguments: &ServicesArgs) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    let identities = connection.identities().await?;
    show(arguments.pattern.as_deref(), arguments.output.json, &identities)?;
    connection.disconnect().await;
    Ok(())
}

/// Shows the services whose names match a pattern.
pub(crate) fn show(pattern: Option<&str>, is_json: bool, identities: &Identities) -> Result<(), Failure> {
    let wanted = pattern.map(WildMatch::new_case_insensitive);
    let is_listed = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.matches(name));
    let services = identities.services.iter().filter(|(name, _)| is_listed(name));
    let services: Vec<_> = services
        .map(|(name, service)| Listed::new(name, service))
        .collect();
    if is_json {
        return services.iter().try_for_each(say_json);
    }
    if services.is_empty() {
        tell(match pattern {
            None => "no services are connected".to_owned(),
            Some(pattern) => format!("no service matches '{}'", one_line(pattern)),
        });
        return Ok(());
    }
    let rows = services.iter().map(Listed::row).collect();
    say_table(&["NAME", "ADDRESS", "LANGUAGE", "CLIENTS", "ATTRIBUTES"], rows)
}
