//! `labwire admin`: requests of administrators.

use clap::Args;
use labwire_client::Arguments;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::output::{OutputArgs, json_or_text, say_json, say_result};
use crate::seconds::Seconds;
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire admin stats
  labwire admin users_table.users --username ada
  labwire admin connections_table.connections start=2026-11-01";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire admin stats
  labwire admin users_table.users --username ada
  labwire admin connections_table.connections start=2026-11-01

The requests are listed under Administration in protocol.md: sessions, stats,
service_links, service_locks, users_table.…, hostnames_table.…, access.…,
connections_table.connections, set_logging_level, shutdown_manager.

The manager asks for the login of an administrator, on the terminal or as
LABWIRE_USERNAME and LABWIRE_PASSWORD. With --json, the answer is one object:
attribute and result.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct AdminArgs {
    /// The request
    attribute: String,
    /// Its arguments: values, then KEY=VALUE, as for labwire call
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// The longest time to wait for the answer: 5, 500ms, 10m [default: no limit]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An answer, as an object of JSON.
#[derive(Serialize)]
struct AdminAnswer<'a> {
    attribute: &'a str,
    result: Option<&'a RawValue>,
    /// The result as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

pub(crate) async fn run(arguments: &AdminArgs) -> Result<(), Failure> {
    let values: Arguments = words::arguments(&arguments.values)?;
    let connection = arguments.connection.connect("admin").await?;
    let request = connection
        .client()
        .admin_request::<()>(&arguments.attribute, values);
    let mut request = request.raw();
    if let Some(limit) = arguments.timeout {
        request = request.timeout(limit.duration());
    }
    let result = in_flight(request).await?;
    if arguments.form.json {
        let (json, text) = json_or_text(&result);
        say_json(&AdminAnswer {
            attribute: &arguments.attribute,
            result: json,
            text,
        })?;
    } else {
        say_result(&result)?;
    }
    connection.disconnect().await;
    Ok(())
}
