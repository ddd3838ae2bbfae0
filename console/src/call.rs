//! `labwire call`: one call, or the same call several times.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Arguments, Link};
use labwire_home::present;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};

use crate::batch::Batch;
use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::linking::{call_failure, check_call, link};
use crate::output::{OutputArgs, json_line, json_or_text, readable, say_line, say_result, shell_argument};
use crate::result_file::ResultFile;
use crate::seconds::Seconds;
use crate::spelling::Spelled;
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Thermometer read --repeat 10 --every 1s --json
  labwire call --batch calls.txt --jobs 4 --json -o results.jsonl";

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
  labwire call --batch calls.txt --jobs 4 --json -o results.jsonl
  seq 1 8 | labwire call DMM read --batch -

A text is printed as it is, any other result as JSON. With --json, each call is
one object: service, attribute, time (of the request), seconds (its duration)
and result. A result with NaN or Infinity is not JSON: then result is null, and
text is what was received. A failed call prints nothing there; its error is on
standard error. A call takes a client's place at a service that limits them.

Each line of a batch is a call: SERVICE ATTRIBUTE VALUE … KEY=VALUE …, or only
its values if SERVICE and ATTRIBUTE are given; names and texts with blanks are
quoted. Empty lines and lines that begin with # are skipped. Results come in the
order of the lines. All calls are made, also after an error; the first error
determines the exit code. With --json, the objects also have line and error (a
text, or null), and failed calls have objects too. With --jobs 1 each call
begins when the one before it was answered.

After a timeout the service may still execute the call: a service may execute
one call after another, and the manager cannot take a request back.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct CallArgs {
    /// The name of the service
    #[arg(required_unless_present = "batch")]
    service: Option<String>,
    /// The method to call, or the value to read
    attribute: Option<String>,
    /// The arguments: values, then KEY=VALUE
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// The longest time to wait for the reply, in seconds [default: no limit]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<Seconds>,
    /// Write the results to this file instead of standard output
    #[arg(long = "output", short = 'o', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Make the calls in the lines of this file, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["values", "repeat", "every"])]
    batch: Option<PathBuf>,
    /// With --batch, the number of calls in flight [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    jobs: Option<u16>,
    /// The number of calls [default: 1, or with --every until Ctrl-C]; the first error ends it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
    /// The time from the start of one call to the next; a longer call delays it: 2, 0.5, 200ms
    /// [default: no wait]
    #[arg(long, value_name = "SECONDS")]
    every: Option<Seconds>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A call that was answered, as an object of JSON.
#[derive(Serialize)]
pub(crate) struct Called<'a> {
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

/// The service and the attribute that are called.
struct Callee<'a> {
    service: &'a str,
    attribute: &'a str,
}

impl CallArgs {
    /// Returns what is called; `None` if the lines of a batch name it.
    fn callee(&self) -> Option<Callee<'_>> {
        let (service, attribute) = (self.service.as_deref()?, self.attribute.as_deref()?);
        Some(Callee { service, attribute })
    }

    async fn call(&self, link: &Link, attribute: &str, arguments: &Arguments) -> Result<Reply, Failure> {
        let (time, begun) = (present(), Instant::now());
        let mut call = link.call::<()>(attribute, arguments.clone()).raw();
        if let Some(limit) = self.timeout {
            call = call.timeout(limit.duration());
        }
        let result = in_flight(call)
            .await
            .map_err(|error| call_failure(error, link, attribute))?;
        Ok(Reply {
            result,
            time,
            took: begun.elapsed(),
        })
    }

    /// Returns the failure of a command line that names no attribute.
    fn without_attribute(&self) -> Failure {
        let service = self.service.as_deref().unwrap_or("SERVICE");
        match Spelled::read(service) {
            Some(spelled) if spelled.service().is_some() => spelled.failure(),
            _ => Failure::Usage(format!(
                "the attribute is missing: labwire call {0} ATTRIBUTE VALUE …; list the attributes with: labwire \
                 describe {0}",
                shell_argument(service)
            )),
        }
    }

    /// Shows a result: to the file, if there is one. `json` returns its line of JSON.
    fn show(
        &self,
        file: Option<&mut ResultFile>,
        result: &str,
        json: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match (file, self.form.json) {
            (Some(file), true) => file.write(&json()?),
            (Some(file), false) => file.write(&readable(result, false)),
            (None, true) => say_line(&json()?),
            (None, false) => say_result(result),
        }
    }

    async fn run_batch(&self, path: &Path, mut file: Option<ResultFile>) -> Result<(), Failure> {
        let callee = self.callee();
        if callee.is_none() && self.service.is_some() {
            return Err(Failure::Usage(
                "with --batch, give SERVICE and ATTRIBUTE or neither".to_owned(),
            ));
        }
        let batch = Batch {
            path,
            target: callee.map(|callee| (callee.service, callee.attribute)),
            jobs: self.jobs.unwrap_or(1),
            timeout: self.timeout.map(Seconds::duration),
        };
        let connection = self.connection.connect().await?;
        let are_results_shown = file.is_none() && io::stdout().is_terminal();
        let done = batch.run(&connection, are_results_shown, |outcome| {
            match (&outcome.result, self.form.json) {
                (Ok(result), _) => self.show(file.as_mut(), result, || outcome.json()),
                (Err(_), true) => self.show(file.as_mut(), "", || outcome.json()),
                // The error goes to standard error.
                (Err(_), false) => Ok(()),
            }
        });
        done.await?;
        connection.disconnect().await;
        Ok(())
    }
}

pub(crate) async fn run(arguments: &CallArgs) -> Result<(), Failure> {
    let values = words::arguments(&arguments.values)?;
    let mut file = arguments.file.as_deref().map(ResultFile::open).transpose()?;
    if let Some(path) = &arguments.batch {
        return arguments.run_batch(path, file).await;
    }
    if arguments.jobs.is_some() {
        return Err(Failure::Usage("--jobs needs --batch FILE".to_owned()));
    }
    let Some(Callee { service, attribute }) = arguments.callee() else {
        return Err(arguments.without_attribute());
    };
    let connection = arguments.connection.connect().await?;
    let link = link(&connection, service).await?;
    check_call(&link, attribute, &values)?;
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
        let Reply { result, time, took } = arguments.call(&link, attribute, &values).await?;
        arguments.show(file.as_mut(), &result, || {
            let (json, text) = json_or_text(&result);
            json_line(&Called {
                service,
                attribute,
                time,
                seconds: took.as_secs_f64(),
                result: json,
                text,
            })
        })?;
    }
    connection.disconnect().await;
    Ok(())
}
