//! `labwire call`: one call, or the same call several times.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Arguments, Array, CallError, Link, from_json};
use labwire_home::present;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};

use crate::approval;
use crate::array;
use crate::batch::Batch;
use crate::breaks::{Breaks, is_unread};
use crate::connection::Connection;
use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::linking::{call_failure, check_call, link_for_call};
use crate::long_call::{Display, LongCall, Unanswered};
use crate::npy;
use crate::output::{
    OutputArgs, json_line, json_or_text, one_line, readable, say_line, say_result, shell_argument,
    shell_word, tell,
};
use crate::report::is_reported;
use crate::result_file::ResultFile;
use crate::seconds::Seconds;
use crate::spelling::Spelled;
use crate::stop::{EndSignal, Stop};
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Camera image --output image.npy
  labwire call Thermometer read --repeat 10 --every 1s --json
  labwire call Spectrometer scan 300 900 --progress --cancel-on-interrupt
  labwire call --batch calls.txt --jobs 4 --json -o results.jsonl";

pub(crate) const AFTER_HELP: &str = "\
Values:
  3, -1.5e-6, 0x1F            numbers (1.5 has a point: 1,5 is the list [1, 5])
  true, false, null, none
  NaN, Infinity, -Infinity    numbers, too
  [1, 2], {\"a\": 1}, (1, 2)   lists and objects of JSON or Python
  volt, 'two words'           texts: anything else
  '\"5\"', '\"true\"'          texts that look like something else
  channel=2, unit='V m'       keyword arguments, behind the others
  @wave.json, -               the JSON value in a file, or on standard input
  @image.npy                  the array in a file of NumPy

Examples:
  labwire call BasicMath add 1 2
  labwire call DMM read channel=2 --timeout 5
  labwire call AWG load @waveform.json
  labwire call Camera image --output image.npy
  labwire call Thermometer read --repeat 10 --every 1s --json
  labwire call Spectrometer scan 300 900 --progress --cancel-on-interrupt
  labwire call --batch calls.txt --jobs 4 --json -o results.jsonl
  seq 1 8 | labwire call DMM read --batch -

A text is printed as it is, an array by its type, shape and size, and any other
result as JSON. With --json, each call is one object: service, attribute, time
(of the request), seconds (its duration) and result. A result with NaN or
Infinity is not JSON: then result is null, and text is what was received. A
failed call prints nothing there; its error is on standard error. A call takes a
client's place at a service that limits them.

--output FILE.npy writes an array in NumPy's format. In JSON an array is
{\"$array\": {\"dtype\": …, \"shape\": …, \"base64\": …}}, also in any other --output.

Each line of a batch is a call: SERVICE ATTRIBUTE VALUE … KEY=VALUE …, or only
its values if SERVICE and ATTRIBUTE are given; names and texts with blanks are
quoted. Empty lines and lines that begin with # are skipped. Results come in the
order of the lines. All calls are made, also after an error; the first error
determines the exit code. With --json, the objects also have line and error (a
text, or null), and failed calls have objects too. With --jobs 1 each call
begins when the one before it was answered.

With --progress, each item that the service sends before its result is printed
as it comes, like a result (with --json, an object with item in the place of
result); how far the call has come is shown on standard error, and at the end if
the service has sent nothing about it.

A call that needs approval (see labwire approve) waits, and the command says so
on standard error, with the number of the call and until when it waits. Ctrl-C
and --timeout withdraw it meanwhile, and the command says that it was not
executed, if the manager confirms that.

After --timeout, after --deadline and with Ctrl-C the command leaves without an
answer, and the manager asks the service to stop. The call may still be
executed: by a service that cannot stop, or until it has. The services of
Labwire's SDK can, if their methods look at it. The manager keeps the deadline
also when the command or its computer has gone. With --cancel-on-interrupt,
Ctrl-C asks the service to stop and the command waits until it has; a second
Ctrl-C leaves at once. MSL-Network's manager asks no service to stop:
--deadline, --cancel-on-interrupt and --progress need a manager of Labwire. They
do not go with --batch.

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
    /// The longest time to wait for the reply: 5, 500ms, 10m [default: no limit]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
    /// The longest time that the call may take: 5, 500ms, 10m; then the service is asked to stop, and the
    /// command leaves without its answer
    #[arg(long, value_name = "TIME", conflicts_with = "batch")]
    deadline: Option<Seconds>,
    /// Show how far the call has come, and print its items as they come
    #[arg(long, conflicts_with = "batch")]
    progress: bool,
    /// Let Ctrl-C cancel the call, and wait until the service confirms that
    #[arg(long, conflicts_with = "batch")]
    cancel_on_interrupt: bool,
    /// Write the results to this file instead of standard output; one that ends with .npy is for one array
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
    /// Repeat the call until Ctrl-C, or --repeat times: the time from the start of one call to the next,
    /// which a longer call delays: 2, 0.5, 200ms, 10m [default: no wait]
    #[arg(long, value_name = "TIME")]
    every: Option<Seconds>,
    /// The name of --repeat in other commands.
    #[arg(long, value_name = "N", hide = true)]
    count: Option<String>,
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

/// An item of a call, as an object of JSON.
#[derive(Serialize)]
pub(crate) struct CalledItem<'a> {
    pub(crate) service: &'a str,
    pub(crate) attribute: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) item: Option<&'a RawValue>,
    /// The item as it was received, if it is not JSON.
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
    /// The signal that has cancelled the call before the result came.
    cancelled_by: Option<EndSignal>,
}

/// The service and the attribute that are called.
struct Callee<'a> {
    service: &'a str,
    attribute: &'a str,
}

impl CallArgs {
    /// Returns what becomes of the call when Ctrl-C ends the command before it was answered.
    pub(crate) fn when_given_up(&self) -> &'static str {
        if self.cancel_on_interrupt {
            "the service was asked to stop, and has not confirmed it"
        } else if self.batch.is_some() {
            "a manager of Labwire asks the services to stop, but not every service can"
        } else {
            "a manager of Labwire asks the service to stop, but not every service can; to wait until it\nhas, use \
             --cancel-on-interrupt"
        }
    }

    /// Returns what is called; `None` if the lines of a batch name it.
    fn callee(&self) -> Option<Callee<'_>> {
        let (service, attribute) = (self.service.as_deref()?, self.attribute.as_deref()?);
        Some(Callee { service, attribute })
    }

    async fn call(
        &self,
        (link, attribute): (&Link, &str),
        arguments: &Arguments,
        long: &LongCall,
        mut file: Option<&mut ResultFile>,
    ) -> Result<Reply, Failure> {
        let (time, begun) = (present(), Instant::now());
        let mut left = self.timeout.map(Seconds::duration);
        let mut show = |item: &str| {
            self.show(file.as_deref_mut(), item, || {
                let (json, text) = json_or_text(item);
                json_line(&CalledItem {
                    service: link.service(),
                    attribute,
                    time: present(),
                    item: json,
                    text,
                })
            })
        };
        let (result, cancelled_by) = loop {
            let mut call = link.call::<()>(attribute, arguments.clone()).raw();
            if let Some(left) = left {
                call = call.timeout(left);
            }
            if let Some(limit) = self.deadline {
                call = call.deadline(limit.duration());
            }
            match long.make(call, &mut show).await {
                Ok(done) => break done,
                // The manager has not read it, so it was not executed.
                Err(Unanswered::Error(error)) if is_unread(&error, &link.client()).await => {
                    let limit = self.timeout.map(Seconds::duration);
                    left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
                }
                Err(Unanswered::Error(error)) => {
                    let error = self.with_whole_timeout(error);
                    return Err(call_failure(error, link, attribute));
                }
                Err(Unanswered::Cancelled(error, signal)) => {
                    tell(format_args!("labwire: {}", Failure::from(error).message()));
                    return Err(Failure::Reported(Box::new(signal.failure())));
                }
                Err(Unanswered::Failure(failure)) => return Err(failure),
            }
        };
        Ok(Reply {
            result,
            time,
            took: begun.elapsed(),
            cancelled_by,
        })
    }

    /// Returns the error of a call that timed out with the time of the option, also if it was sent
    /// again for the rest of it.
    fn with_whole_timeout(&self, error: CallError) -> CallError {
        match (error, self.timeout) {
            (
                CallError::TimedOut {
                    service,
                    attribute,
                    executed,
                    ..
                },
                Some(limit),
            ) => CallError::TimedOut {
                service,
                attribute,
                timeout: limit.duration(),
                executed,
            },
            (error, _) => error,
        }
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

    /// Returns whether the result is written in NumPy's format.
    fn is_for_array(&self) -> bool {
        self.file.as_deref().is_some_and(npy::is_named)
    }

    /// Writes the array that a result is.
    fn write_array(&self, file: &mut ResultFile, result: &str) -> Result<(), Failure> {
        let array: Array = from_json(result).map_err(|_| {
            let path = self.file.as_deref().unwrap_or(Path::new(""));
            Failure::Failed(format!(
                "the result is no array, so it is not in {}; for JSON choose another ending than .npy: {}",
                path.display(),
                one_line(&array::line(result))
            ))
        })?;
        file.write_bytes([&npy::header(&array), array.bytes()])
    }

    /// Checks that a file for one array gets one.
    fn check_file(&self) -> Result<(), Failure> {
        let other = [
            (self.form.json, "--json"),
            (self.progress, "--progress"),
            (self.batch.is_some(), "--batch"),
            (self.repeat.is_some(), "--repeat"),
            (self.every.is_some(), "--every"),
        ];
        match other.iter().find(|(is_set, _)| *is_set) {
            Some((_, option)) if self.is_for_array() => Err(Failure::Usage(format!(
                "a file .npy has one array, it does not go with {option}: choose another ending for --output"
            ))),
            _ => Ok(()),
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
            (Some(file), _) if self.is_for_array() => self.write_array(file, result),
            (Some(file), true) => file.write(&json()?),
            (Some(file), false) => file.write(&readable(result, false)),
            (None, true) => say_line(&json()?),
            (None, false) => say_result(result),
        }
    }

    /// Checks that the manager does what the options want. A measurement must not go on without the deadline that
    /// somebody counts on.
    async fn check_manager(&self, connection: &Connection) -> Result<(), Failure> {
        let wanted = [
            (self.deadline.is_some(), "--deadline"),
            (self.cancel_on_interrupt, "--cancel-on-interrupt"),
        ];
        let wanted: Vec<_> = wanted.iter().filter(|(is_wanted, _)| *is_wanted).collect();
        if wanted.is_empty() || is_reported(&connection.identities().await?) {
            return Ok(());
        }
        let options: Vec<_> = wanted.iter().map(|(_, option)| *option).collect();
        Err(Failure::Usage(format!(
            "{} cannot be used with this manager: it is not one of Labwire",
            options.join(" and ")
        )))
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
        let connection = self.connection.connect("call").await?;
        let breaks = Breaks::report(connection.client());
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
        drop(breaks);
        connection.disconnect().await;
        Ok(())
    }
}

pub(crate) async fn run(arguments: &CallArgs, stop: Stop) -> Result<(), Failure> {
    if let Some(count) = &arguments.count {
        return Err(Failure::Usage(format!(
            "the number of calls is --repeat {}; --count is that of requests in labwire ping and of notifications in \
             labwire watch",
            shell_word(count)
        )));
    }
    arguments.check_file()?;
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
    let connection = arguments.connection.connect("call").await?;
    arguments.check_manager(&connection).await?;
    let link = link_for_call(&connection, service, attribute).await?;
    check_call(&link, attribute, &values)?;
    let breaks = Breaks::report(connection.client());
    let mut pace = arguments.every.map(|every| interval(every.duration()));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let count = arguments
        .repeat
        .unwrap_or(if pace.is_some() { u64::MAX } else { 1 });
    let mut has_progress = false;
    for _ in 0..count {
        if let Some(pace) = &mut pace {
            tokio::select! {
                signal = stop.requested(), if stop.has_begun() => return Err(signal.failure()),
                _ = pace.tick() => {}
            }
        }
        let long = LongCall {
            name: approval::named(service, attribute),
            display: arguments.progress.then(Display::new),
            stop: stop.clone(),
            cancels: arguments.cancel_on_interrupt,
        };
        let Reply {
            result,
            time,
            took,
            cancelled_by,
        } = arguments
            .call((&link, attribute), &values, &long, file.as_mut())
            .await?;
        has_progress |= long.display.as_ref().is_some_and(Display::has_progress);
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
        if let Some(signal) = cancelled_by {
            return Err(signal.failure());
        }
    }
    if arguments.progress && !has_progress {
        tell(format_args!(
            "labwire: '{}' has sent no progress; unmodified services of MSL-Network send none",
            one_line(service)
        ));
    }
    drop(breaks);
    connection.disconnect().await;
    Ok(())
}
