//! `labwire call`: one call, or the same call several times.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Arguments, CallError, Link};
use labwire_home::present;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{Connection, ConnectionArgs, Seconds};
use crate::describe::unknown_service;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::{
    OutputArgs, json_line, json_or_text, one_line, readable, say_json, say_result, shell_argument,
};
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Thermometer read --repeat 10 --every 1s --json";

pub(crate) const AFTER_HELP: &str = "\
Values:
  3, -1.5e-6, 0x1F            numbers (1.5 has a point: 1,5 is the list [1, 5])
  true, false, null, none
  [1, 2], {\"a\": 1}, (1, 2)   lists and objects of JSON or Python
  volt, 'two words'           texts: anything else
  '\"5\"', '\"true\"'          texts that look like something else
  channel=2, unit='V m'       keyword arguments, behind the others
  @wave.json, -               the JSON value in a file, or on standard input

Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Thermometer read --repeat 10 --every 1s --json

A text is printed as it is, any other result as JSON. With --json, each call is
one object: service, attribute, time (of the request), seconds (its duration)
and result. A result with NaN or Infinity is not JSON: then result is null, and
text is what was received. A failed call prints nothing there; its error is on
standard error. A call takes a client's place at a service that limits them.

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
    /// Call so many times [default: 1, or with --every until Ctrl-C]; the first error ends it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
    /// Begin the next call so long after the last one began, or when it has ended: 2, 0.5, 200ms
    /// [default: at once]
    #[arg(long, value_name = "SECONDS")]
    every: Option<Seconds>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A call that was answered, as an object of JSON.
#[derive(Serialize)]
pub(crate) struct Answered<'a> {
    pub(crate) service: &'a str,
    pub(crate) attribute: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) seconds: f64,
    pub(crate) result: Option<&'a RawValue>,
    /// The result as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'a str>,
}

/// A reply.
struct Reply {
    /// The result, as JSON text.
    result: String,
    /// The time when the request was sent.
    time: Timestamp,
    took: Duration,
}

/// Links with a service. An unknown name gets a suggestion.
async fn link(connection: &Connection, service: &str) -> Result<Link, Failure> {
    match connection.link(service).await {
        Err(refused @ Failure::Refused(_)) => match connection.identities().await {
            Ok(identities) if !identities.services.contains_key(service) => {
                Err(unknown_service(service, &identities.services))
            }
            _ => Err(refused),
        },
        linked => linked,
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
            Some(nearest) => format!("did you mean '{}'?", one_line(nearest)),
            None => format!(
                "list its attributes with: labwire describe {}",
                shell_argument(link.service())
            ),
        }
    });
    Failure::from(error).with_hint(hint)
}

/// The file for the results. Its former content stays until there is one; a new file without a result
/// is removed.
struct ResultFile {
    path: PathBuf,
    file: File,
    is_new: bool,
    is_emptied: bool,
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if self.is_new && !self.is_emptied {
            // It is empty, and nothing else of the command failed because of it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl ResultFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file =
            file.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_new,
            is_emptied: false,
        })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let is_first = !std::mem::replace(&mut self.is_emptied, true);
        // A device or a pipe has no length.
        let emptied = if is_first && self.file.metadata().is_ok_and(|data| data.is_file()) {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        let written = emptied.and_then(|()| writeln!(self.file, "{text}"));
        written.map_err(|error| Failure::Failed(format!("cannot write the result: {error}")))
    }
}

impl CallArgs {
    async fn call(&self, link: &Link, arguments: &Arguments) -> Result<Reply, Failure> {
        let (time, begun) = (present(), Instant::now());
        let mut call = link.call::<()>(&self.attribute, arguments.clone()).raw();
        if let Some(limit) = self.timeout {
            call = call.timeout(limit.duration());
        }
        let result = call
            .await
            .map_err(|error| failure(error, link, &self.attribute))?;
        Ok(Reply {
            result,
            time,
            took: begun.elapsed(),
        })
    }

    fn show(&self, file: Option<&mut ResultFile>, reply: &Reply) -> Result<(), Failure> {
        let Reply { result, time, took } = reply;
        let (json, text) = json_or_text(result);
        let answered = Answered {
            service: &self.service,
            attribute: &self.attribute,
            time: *time,
            seconds: took.as_secs_f64(),
            result: json,
            text,
        };
        let Some(file) = file else {
            return if self.form.json {
                say_json(&answered)
            } else {
                say_result(result)
            };
        };
        let text = if self.form.json {
            json_line(&answered)?
        } else {
            readable(result, false)
        };
        file.write(&text)
    }
}

pub(crate) async fn run(arguments: &CallArgs) -> Result<(), Failure> {
    let values = words::arguments(&arguments.values)?;
    let mut file = arguments.file.as_deref().map(ResultFile::open).transpose()?;
    let connection = arguments.connection.connect().await?;
    let link = link(&connection, &arguments.service).await?;
    let mut pace = arguments.every.map(|every| interval(every.duration()));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let count = arguments
        .repeat
        .unwrap_or(if pace.is_some() { u64::MAX } else { 1 });
    for _ in 0..count {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let reply = arguments.call(&link, &values).await?;
        arguments.show(file.as_mut(), &reply)?;
    }
    connection.disconnect().await;
    Ok(())
}
