//! `labwire admin`: requests of administrators.

use clap::Args;
use labwire_client::Arguments;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::manager_requests;
use crate::output::{OutputArgs, json_or_text, say_json, say_result};
use crate::seconds::Seconds;
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire admin stats
  labwire admin users_table.users --username ada
  labwire admin connections_table.connections start=2026-11-01
  labwire admin break_lock Oven reason='end of the shift'";

const ABOUT: &str = "\
Values are the arguments in their order, and KEY=VALUE those that are named; the
ones in brackets may be left out. protocol.md says more under Administration.

The manager asks for the login of an administrator, on the terminal or as
LABWIRE_USERNAME and LABWIRE_PASSWORD. With --json, the answer is one object:
attribute and result.

Exit codes: see `labwire --help`.";

/// Returns the end of the long help, with all requests.
pub(crate) fn after_help() -> String {
    let requests = manager_requests::of_administrators();
    format!("{EXAMPLES}\n\nRequests:\n{requests}\n{ABOUT}")
}

#[derive(Args, Debug)]
pub struct AdminArgs {
    /// The request; --help lists all
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

impl AdminArgs {
    /// Returns the failure of the request, with a hint if the manager may not know it.
    fn failure(&self, failure: Failure) -> Failure {
        let is_answer = matches!(failure, Failure::Refused(_) | Failure::Service(_));
        let hint = is_answer.then(|| manager_requests::hint(&self.attribute));
        failure.with_hint(hint.flatten())
    }
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
    let result = in_flight(request)
        .await
        .map_err(|error| arguments.failure(error.into()))?;
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
