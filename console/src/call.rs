//! `labwire call`: one call, or the same call several times.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use labwire_client::{Arguments, CallError, Client, Link};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{ConnectionArgs, Seconds};
use crate::describe::unknown_service;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::{OutputArgs, printable, readable, say, say_json};
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Thermometer read --repeat 10 --every 1s --json";

pub(crate) const AFTER_HELP: &str = "\
Values are written as at the manager's terminal: 3, -1.5, true, null, [1, 2],
{\"a\": 1}; anything else is a text. '\"5\"' is the text 5. @FILE is the JSON
value in a file, - the one on standard input.

Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Thermometer read --repeat 10 --every 1s --json

A text is printed as it is, any other result as JSON. With --json, each call is
one object: service, attribute, seconds (its duration) and result. A result with
NaN or Infinity is not JSON: then result is null, and text is what was received.

After a timeout the service may still execute the call: a service does one thing
after another, and the manager cannot take a request back.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct CallArgs {
    /// The name of the service
    service: String,
    /// The method to call, or the value to read
    attribute: String,
    /// The arguments: values, then KEY=VALUE
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// The longest time to wait for the reply, in seconds [default: no limit]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<Seconds>,
    /// Write the results to this file instead of standard output
    #[arg(long = "output", short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Call so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u64,
    /// Begin the next call so many seconds after the last one began [default: at once]
    #[arg(long, value_name = "SECONDS", requires = "repeat")]
    every: Option<Seconds>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A call that was answered, as an object of JSON.
#[derive(Serialize)]
struct Answered<'a> {
    service: &'a str,
    attribute: &'a str,
    seconds: f64,
    result: Option<&'a RawValue>,
    /// The result as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Links with a service. An unknown name gets a suggestion.
async fn link(client: &Client, service: &str) -> Result<Link, Failure> {
    match client.link(service).await {
        Ok(link) => Ok(link),
        Err(error @ CallError::Manager { .. }) => match client.identities().await {
            Ok(identities) if !identities.services.contains_key(service) => {
                Err(unknown_service(service, &identities.services))
            }
            _ => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Returns the failure of a call. An unknown attribute gets a suggestion.
fn failure(error: CallError, link: &Link, attribute: &str) -> Failure {
    let identity = link.identity();
    let is_unknown =
        matches!(error, CallError::Service { .. }) && !identity.attributes.contains_key(attribute);
    let hint = is_unknown.then(|| {
        let known = identity.attributes.keys().map(String::as_str);
        match nearest(attribute, known) {
            Some(nearest) => format!("did you mean '{}'?", printable(nearest)),
            None => format!("list its attributes with: labwire describe {}", link.service()),
        }
    });
    Failure::from(error).with_hint(hint)
}

impl CallArgs {
    async fn call(&self, link: &Link, arguments: &Arguments) -> Result<(String, Duration), Failure> {
        let begun = Instant::now();
        let mut call = link.call::<()>(&self.attribute, arguments.clone()).raw();
        if let Some(limit) = self.timeout {
            call = call.timeout(limit.duration());
        }
        let result = call
            .await
            .map_err(|error| failure(error, link, &self.attribute))?;
        Ok((result, begun.elapsed()))
    }

    fn show(&self, file: Option<&mut File>, result: &str, took: Duration) -> Result<(), Failure> {
        let json = serde_json::from_str(result).ok();
        let answered = Answered {
            service: &self.service,
            attribute: &self.attribute,
            seconds: took.as_secs_f64(),
            result: json,
            text: json.is_none().then_some(result),
        };
        let Some(file) = file else {
            return if self.form.json {
                say_json(&answered)
            } else {
                say(readable(result))
            };
        };
        let text = if self.form.json {
            serde_json::to_string(&answered).map_err(|error| Failure::Failed(error.to_string()))?
        } else {
            readable(result)
        };
        writeln!(file, "{text}").map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))
    }
}

pub(crate) async fn run(arguments: &CallArgs) -> Result<(), Failure> {
    let values = words::arguments(&arguments.values)?;
    let mut file = match &arguments.file {
        None => None,
        Some(path) => {
            let file = File::create(path)
                .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
            Some(file)
        }
    };
    let client = arguments.connection.connect().await?;
    let link = link(&client, &arguments.service).await?;
    let mut pace = arguments.every.map(|every| interval(every.duration()));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    for _ in 0..arguments.repeat {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let (result, took) = arguments.call(&link, &values).await?;
        arguments.show(file.as_mut(), &result, took)?;
    }
    client.disconnect().await;
    Ok(())
}
