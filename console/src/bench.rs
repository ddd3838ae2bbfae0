//! `labwire bench`: how many calls a service answers, and how long they take.

use std::pin::pin;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use clap::Args;
use labwire_client::{Approval, Arguments, Call, CallError, Link};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::approval;
use crate::breaks::{Breaks, is_unread};
use crate::connection::ConnectionArgs;
use crate::counted::counted;
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::linking::{call_failure, check_call, link};
use crate::output::{OutputArgs, one_line, say, say_json, tell};
use crate::seconds::Seconds;
use crate::stop::Stop;
use crate::times::{Percentiles, Times};
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire bench Echo echo hello
  labwire bench DMM read 1 --calls 200 --in-flight 4";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire bench Echo echo hello
  labwire bench DMM read 1 --calls 200 --in-flight 4

The attribute is really called: choose one that may be called that often. The
bench ends after --calls or --seconds, whichever comes first, after the first
error, or with Ctrl-C. Then it waits for the calls in flight, five seconds at
most. Times are from the sending of a request to its reply; with more than one
in flight, they include the time in which the service executes the others: it
may execute one call after another.

With --json, the result is one object: service, attribute, calls (that were
answered), errors, unanswered, seconds, per_second, and min, mean, p50, p90, p99
and max in seconds (missing without answers).

Exit codes: see `labwire --help`; that of the first error, if there was one.";

/// The longest time to wait for the last calls.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// The time after which a call may wait for approval.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The name of the service
    service: String,
    /// The method to call, or the value to read
    attribute: String,
    /// The arguments: values, then KEY=VALUE, as for labwire call
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    values: Vec<String>,
    /// The maximum number of calls
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    calls: u64,
    /// The time after which no more calls begin: 10, 500ms, 1m
    #[arg(long, value_name = "TIME", default_value = "10")]
    seconds: Seconds,
    /// The number of calls in flight
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    in_flight: u16,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The result, as an object of JSON.
#[derive(Serialize)]
struct Measured<'a> {
    service: &'a str,
    attribute: &'a str,
    calls: usize,
    errors: u64,
    unanswered: usize,
    seconds: f64,
    per_second: f64,
    #[serde(flatten)]
    percentiles: Option<Percentiles>,
}

type Timed = Result<Duration, CallError>;

/// What is told once if calls wait for approval.
struct Waiting {
    /// The name of the calls for people.
    name: String,
    told: Once,
}

/// The calls of one run.
struct Calls<'a> {
    arguments: &'a BenchArgs,
    values: Arguments,
    link: &'a Link,
    waiting: Arc<Waiting>,
    begun: u64,
    in_flight: JoinSet<Timed>,
    times: Times,
    errors: u64,
    first_error: Option<Failure>,
    /// When the last answer came.
    last: Instant,
}

impl Calls<'_> {
    fn begin(&mut self) {
        let call = self
            .link
            .call::<()>(&self.arguments.attribute, self.values.clone())
            .raw();
        self.begun += 1;
        let waiting = Arc::clone(&self.waiting);
        self.in_flight.spawn(async move {
            let begun = Instant::now();
            in_flight(outcome(call, &waiting)).await?;
            Ok(begun.elapsed())
        });
    }

    /// Waits for an answer. Returns `false` if no call is in flight.
    async fn take(&mut self) -> bool {
        match self.in_flight.join_next().await {
            None => return false,
            Some(Ok(Ok(time))) => self.times.add(time),
            // It was not executed, and another call begins instead.
            Some(Ok(Err(error))) if is_unread(&error, &self.link.client()).await => {
                self.begun -= 1;
                return true;
            }
            Some(Ok(Err(error))) => {
                self.errors += 1;
                let (link, attribute) = (self.link, &self.arguments.attribute);
                self.first_error
                    .get_or_insert_with(|| call_failure(error, link, attribute));
            }
            // Nothing aborts a task while its answer is awaited, so it has panicked.
            Some(Err(error)) => {
                self.errors += 1;
                self.first_error
                    .get_or_insert_with(|| Failure::Failed(format!("a call has ended early: {error}")));
            }
        }
        self.last = Instant::now();
        true
    }

    /// Calls until the limits, the first error, or Ctrl-C.
    async fn run(&mut self, stop: Stop) {
        let end = tokio::time::Instant::now() + self.arguments.seconds.duration();
        let mut ended = pin!(async {
            tokio::select! {
                () = sleep_until(end) => {}
                _ = stop.requested() => {}
            }
        });
        for _ in 0..u64::from(self.arguments.in_flight).min(self.arguments.calls) {
            self.begin();
        }
        loop {
            tokio::select! {
                biased;
                () = &mut ended => break,
                is_answered = self.take() => if !is_answered {
                    return;
                }
            }
            if self.first_error.is_some() {
                break;
            }
            if self.begun < self.arguments.calls {
                self.begin();
            }
        }
        let rest = async { while self.take().await {} };
        // Calls that are still in flight then count as unanswered.
        let _ = timeout(LAST_CALLS, rest).await;
    }
}

impl Waiting {
    fn tell(&self, news: &Approval) {
        self.told
            .call_once(|| tell(format_args!("labwire: {}", approval::line(&self.name, news))));
    }
}

/// Makes a call, and waits for its outcome.
async fn outcome(call: Call<String>, waiting: &Waiting) -> Result<(), CallError> {
    let mut pending = call.send().await?;
    // A fast call is not asked whether it waits: that would be measured, too.
    let outcome = match timeout(SLOW, &mut pending).await {
        Ok(outcome) => outcome,
        Err(_) => approval::awaited(pending, |news| waiting.tell(news)).await,
    };
    outcome.map(drop)
}

impl Measured<'_> {
    fn show(&self, form: OutputArgs) -> Result<(), Failure> {
        if form.json {
            return say_json(self);
        }
        let target = format!("{} {}", one_line(self.service), one_line(self.attribute));
        say(format_args!(
            "{target}: {} in {:.2} s, {:.1} per second",
            counted(self.calls, "call"),
            self.seconds,
            self.per_second
        ))?;
        if let Some(percentiles) = self.percentiles {
            say(percentiles)?;
        }
        if self.errors > 0 || self.unanswered > 0 {
            say(format_args!(
                "{}, {} unanswered",
                counted(self.errors, "error"),
                self.unanswered
            ))?;
        }
        Ok(())
    }
}

pub(crate) async fn run(arguments: &BenchArgs, stop: Stop) -> Result<(), Failure> {
    let values = words::arguments(&arguments.values)?;
    let connection = arguments.connection.connect("bench").await?;
    let link = link(&connection, &arguments.service).await?;
    check_call(&link, &arguments.attribute, &values)?;
    stop.begin()?;
    let breaks = Breaks::report(connection.client());
    let begun = Instant::now();
    let mut calls = Calls {
        arguments,
        values,
        link: &link,
        waiting: Arc::new(Waiting {
            name: approval::named(&arguments.service, &arguments.attribute),
            told: Once::new(),
        }),
        begun: 0,
        in_flight: JoinSet::new(),
        times: Times::default(),
        errors: 0,
        first_error: None,
        last: begun,
    };
    calls.run(stop).await;
    let seconds = (calls.last - begun).as_secs_f64();
    let answered = calls.times.count();
    #[expect(clippy::cast_precision_loss, reason = "ten million calls at most")]
    let per_second = if seconds > 0.0 {
        answered as f64 / seconds
    } else {
        0.0
    };
    let measured = Measured {
        service: &arguments.service,
        attribute: &arguments.attribute,
        calls: answered,
        errors: calls.errors,
        unanswered: calls.in_flight.len(),
        seconds,
        per_second,
        percentiles: calls.times.percentiles(),
    };
    measured.show(arguments.form)?;
    let unanswered = measured.unanswered;
    let first_error = calls.first_error.take();
    drop(calls);
    drop(breaks);
    connection.disconnect().await;
    match first_error {
        Some(failure) => Err(failure),
        None if unanswered > 0 => Err(Failure::TimedOut(format!(
            "{} got no answer within {} s after the end",
            counted(unanswered, "call"),
            LAST_CALLS.as_secs()
        ))),
        None => Ok(()),
    }
}
