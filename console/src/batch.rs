//! `labwire call --batch`: the calls of a file, several at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use labwire_client::Link;
use labwire_home::present;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::approval;
use crate::connection::Connection;
use crate::counted::counted;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::linking::{call_failure, check_call, link_for_call};
use crate::output::{json_line, json_or_text, tell};
use crate::words::{TypedCall, typed_call};

/// The maximum number of lines that are read or answered ahead of the next one to be shown.
const AHEAD: u64 = 1_000;

/// The size in bytes of the outcomes that wait for earlier ones at which no further call begins.
const AHEAD_BYTES: usize = 64 * 1024 * 1024;

/// The calls of a batch.
pub(crate) struct Batch<'a> {
    /// The file, `-` for standard input.
    pub(crate) path: &'a Path,
    /// The service and the attribute, if the lines hold values only.
    pub(crate) target: Option<(&'a str, &'a str)>,
    /// How many calls are in flight at once.
    pub(crate) jobs: u16,
    /// The longest time to wait for a reply.
    pub(crate) timeout: Option<Duration>,
}

/// The answer to one line, as an object of JSON.
#[derive(Serialize)]
struct LineAnswer<'a> {
    line: u64,
    service: Option<&'a str>,
    attribute: Option<&'a str>,
    time: Timestamp,
    seconds: f64,
    result: Option<&'a RawValue>,
    /// The result as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    error: Option<String>,
}

/// The outcome of one line.
pub(crate) struct Outcome {
    line: u64,
    target: Option<(String, String)>,
    time: Timestamp,
    took: Duration,
    /// The result, as JSON text.
    pub(crate) result: Result<String, Failure>,
}

impl Outcome {
    /// Returns the outcome of a line whose call was not sent.
    fn uncalled(line: u64, target: Option<(String, String)>, failure: Failure) -> Self {
        Self {
            line,
            target,
            time: present(),
            took: Duration::ZERO,
            result: Err(failure),
        }
    }

    /// Returns the size of the result, in bytes.
    fn size(&self) -> usize {
        self.result.as_ref().map_or(0, String::len)
    }

    /// Returns the outcome as a line of JSON.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        let target = self.target.as_ref();
        let result = self.result.as_ref().ok().map(|text| json_or_text(text));
        let (json, text) = result.unwrap_or_default();
        json_line(&LineAnswer {
            line: self.line,
            service: target.map(|(service, _)| service.as_str()),
            attribute: target.map(|(_, attribute)| attribute.as_str()),
            time: self.time,
            seconds: self.took.as_secs_f64(),
            result: json,
            text,
            error: self.result.as_ref().err().map(Failure::to_string),
        })
    }
}

/// A line of the file, with its number.
type Numbered = (u64, io::Result<String>);

/// Reads the lines on another thread, since reading a pipe may block.
fn lines(path: &Path) -> Result<mpsc::Receiver<Numbered>, Failure> {
    let reader: Box<dyn BufRead + Send> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(path)
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        Box::new(BufReader::new(file))
    };
    let (sender, lines) = mpsc::channel(64);
    thread::spawn(move || {
        for (line, number) in reader.lines().zip(1..) {
            let has_failed = line.is_err();
            // The command has ended, or reading has.
            if sender.blocking_send((number, line)).is_err() || has_failed {
                break;
            }
        }
    });
    Ok(lines)
}

/// Returns whether a line holds a call.
fn is_call(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    !line.is_empty() && !line.starts_with('#')
}

/// Returns the progress bar. It is shown if standard error is a terminal and the results go
/// elsewhere.
fn progress(path: &Path, are_results_shown: bool) -> ProgressBar {
    if are_results_shown || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // Counting would consume the lines of a pipe.
    let count = path
        .is_file()
        .then(|| File::open(path).ok())
        .flatten()
        .map(|file| {
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            lines.filter(|line| is_call(line)).count() as u64
        });
    let (bar, form) = match count {
        Some(count) => (
            ProgressBar::new(count),
            "{bar:30} {pos} of {len} calls, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} calls, {elapsed}"),
    };
    match ProgressStyle::with_template(form) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The place of the link with a service.
type Place = Mutex<Option<Link>>;

/// The state of a batch that runs.
struct Running<'a> {
    batch: &'a Batch<'a>,
    connection: &'a Connection,
    bar: ProgressBar,
    links: HashMap<String, Arc<Place>>,
    in_flight: JoinSet<(u64, Outcome)>,
    /// The outcomes that wait for those of earlier calls, by the number of the call.
    waiting: BTreeMap<u64, Outcome>,
    /// The number of calls that were begun, and of outcomes that were shown.
    begun: u64,
    shown: u64,
}

impl Running<'_> {
    fn begin(&mut self, line_number: u64, text: &str) {
        let number = self.begun;
        self.begun += 1;
        let text = text.trim_start_matches('\u{feff}').trim();
        let call = match typed_call(text, self.batch.target) {
            Ok(call) => call,
            Err(error) => {
                let outcome = Outcome::uncalled(line_number, None, Failure::Usage(error));
                self.waiting.insert(number, outcome);
                return;
            }
        };
        let place = Arc::clone(self.links.entry(call.service.clone()).or_default());
        let (connection, limit) = (self.connection.clone(), self.batch.timeout);
        let bar = self.bar.clone();
        self.in_flight.spawn(async move {
            let say = |line: String| {
                bar.suspend(|| tell(format_args!("labwire: line {line_number}: {line}")));
            };
            (
                number,
                outcome(&connection, &place, (line_number, call), limit, say).await,
            )
        });
    }

    fn can_begin(&self) -> bool {
        let sizes = self.waiting.values().map(Outcome::size);
        self.in_flight.len() < usize::from(self.batch.jobs)
            && self.begun - self.shown < AHEAD
            && (self.in_flight.is_empty() || sizes.sum::<usize>() < AHEAD_BYTES)
    }

    /// Takes the next outcome in the order of the lines, if it has arrived.
    fn next_in_order(&mut self) -> Option<Outcome> {
        let outcome = self.waiting.remove(&self.shown)?;
        self.shown += 1;
        Some(outcome)
    }
}

/// Returns the link with a service. The calls of one service share it, and only they wait for it.
async fn shared_link(
    connection: &Connection,
    place: &Place,
    service: &str,
    attribute: &str,
) -> Result<Link, Failure> {
    let mut place = place.lock().await;
    if let Some(link) = place.as_ref().filter(|link| link.is_linked()) {
        return Ok(link.clone());
    }
    let link = link_for_call(connection, service, attribute).await?;
    *place = Some(link.clone());
    Ok(link)
}

/// Makes a call, and returns its outcome. What a person is to be told meanwhile goes to `say`.
async fn outcome(
    connection: &Connection,
    place: &Place,
    (line_number, call): (u64, TypedCall),
    limit: Option<Duration>,
    say: impl Fn(String),
) -> Outcome {
    let TypedCall {
        service,
        attribute,
        arguments,
    } = call;
    let target = Some((service.clone(), attribute.clone()));
    let linked = shared_link(connection, place, &service, &attribute).await;
    let checked = linked.and_then(|link| check_call(&link, &attribute, &arguments).map(|()| link));
    let link = match checked {
        Ok(link) => link,
        Err(failure) => return Outcome::uncalled(line_number, target, failure),
    };
    let mut call = link.call::<()>(&attribute, arguments).raw();
    if let Some(limit) = limit {
        call = call.timeout(limit);
    }
    let (time, begun) = (present(), Instant::now());
    let name = approval::named(&service, &attribute);
    let result = in_flight(approval::told(call, &name, say)).await;
    Outcome {
        line: line_number,
        target,
        time,
        took: begun.elapsed(),
        result: result.map_err(|error| call_failure(error, &link, &attribute)),
    }
}

impl Batch<'_> {
    /// Makes the calls of the lines, and passes the outcomes to `show` in the order of the lines.
    ///
    /// # Errors
    /// If the file cannot be read or an outcome cannot be shown. If calls failed, the failure of
    /// the first of them, once all calls have ended.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        are_results_shown: bool,
        mut show: impl FnMut(&Outcome) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut lines = lines(self.path)?;
        let bar = progress(self.path, are_results_shown);
        let mut running = Running {
            batch: self,
            connection,
            bar: bar.clone(),
            links: HashMap::new(),
            in_flight: JoinSet::new(),
            waiting: BTreeMap::new(),
            begun: 0,
            shown: 0,
        };
        let (mut failed, mut first_failure) = (0, None);
        let (mut has_ended, mut unread) = (false, None);
        loop {
            while let Some(outcome) = running.next_in_order() {
                bar.suspend(|| show(&outcome))?;
                bar.inc(1);
                if let Err(failure) = outcome.result {
                    let text = failure.message();
                    bar.suspend(|| tell(format_args!("labwire: line {}: {text}", outcome.line)));
                    failed += 1;
                    first_failure.get_or_insert(failure);
                }
            }
            if has_ended && running.in_flight.is_empty() {
                break;
            }
            tokio::select! {
                line = lines.recv(), if !has_ended && running.can_begin() => match line {
                    None => has_ended = true,
                    Some((number, Ok(line))) => if is_call(&line) {
                        running.begin(number, &line);
                    },
                    // The calls in flight are executed: their results are shown before this ends.
                    Some((number, Err(error))) => {
                        has_ended = true;
                        unread = Some(Failure::Failed(format!("cannot read line {number}: {error}")));
                    }
                },
                Some(done) = running.in_flight.join_next(), if !running.in_flight.is_empty() => {
                    let (number, outcome) = done.map_err(|error| Failure::Failed(error.to_string()))?;
                    running.waiting.insert(number, outcome);
                }
            }
        }
        bar.finish_and_clear();
        if let Some(failure) = unread {
            return Err(failure);
        }
        match first_failure {
            None => Ok(()),
            Some(failure) => {
                let count = running.begun;
                Err(failure.map_text(|_| format!("{failed} of {} failed", counted(count, "call"))))
            }
        }
    }
}
