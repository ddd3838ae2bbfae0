//! `labwire ping`: how long the manager or a service takes to answer.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_client::{CallError, Link};
use labwire_home::present;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::breaks::{Breaks, is_unread};
use crate::connection::{Connection, ConnectionArgs};
use crate::failure::Failure;
use crate::linking::link;
use crate::output::{OutputArgs, one_line, say, say_json};
use crate::seconds::Seconds;
use crate::stop::Stop;
use crate::times::{Percentiles, Times, readable_time};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire ping
  labwire ping DMM --count 100 --every 50ms";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire ping
  labwire ping DMM --count 100 --every 50ms

Without a service, the manager answers. With one, the command links with it and
requests an attribute that no service has: nothing is executed, and the
service's error is the answer. A service may execute one request after
another: then a busy one answers when it has finished.

Ctrl-C ends it with the summary. With --json, each answer is one object: kind
(\"answer\"), target, time (of the request) and seconds, or kind \"lost\", target
and time. The last object has kind \"summary\", target, sent, answered, and min,
mean, p50, p90, p99 and max in seconds (missing without answers).

Exit codes: 0 if anything was answered, 124 if nothing was; see
`labwire --help`.";

/// An attribute that no service has, since attributes contain no blanks.
const NO_ATTRIBUTE: &str = "labwire ping";

#[derive(Args, Debug)]
pub struct PingArgs {
    /// The name of a service [default: the manager itself]
    service: Option<String>,
    /// The number of requests
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// The time from the start of one request to the next; a slower answer delays it: 1, 200ms
    #[arg(long, value_name = "TIME", default_value = "200ms")]
    every: Seconds,
    /// The longest time to wait for an answer: 5, 500ms, 1m
    #[arg(long, value_name = "TIME", default_value = "5")]
    timeout: Seconds,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// One object of JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Answer {
        target: &'a str,
        time: Timestamp,
        seconds: f64,
    },
    Lost {
        target: &'a str,
        time: Timestamp,
    },
    Summary {
        target: &'a str,
        sent: u32,
        answered: usize,
        #[serde(flatten)]
        percentiles: Option<Percentiles>,
    },
}

/// The manager or a service.
enum Target {
    Manager,
    Service(Link),
}

impl Target {
    /// Sends a request. Returns the time until its answer.
    async fn ping(&self, connection: &Connection) -> Result<Duration, CallError> {
        let link = match self {
            Self::Manager => return connection.client().ping().await,
            Self::Service(link) => link,
        };
        let begun = Instant::now();
        match link.get::<()>(NO_ATTRIBUTE).raw().await {
            Ok(_) | Err(CallError::Service { .. }) => Ok(begun.elapsed()),
            Err(error) => Err(error),
        }
    }
}

struct Pings<'a> {
    form: OutputArgs,
    name: &'a str,
    sent: u32,
    times: Times,
}

impl Pings<'_> {
    fn show(&mut self, time: Timestamp, took: Option<Duration>) -> Result<(), Failure> {
        self.sent += 1;
        let (target, sent) = (self.name, self.sent);
        let told = match took {
            Some(took) => {
                self.times.add(took);
                let seconds = took.as_secs_f64();
                Told::Answer {
                    target,
                    time,
                    seconds,
                }
            }
            None => Told::Lost { target, time },
        };
        if self.form.json {
            return say_json(&told);
        }
        let name = one_line(target);
        match took {
            Some(took) => say(format_args!(
                "{name} {sent}: {}",
                readable_time(took.as_secs_f64())
            )),
            None => say(format_args!("{name} {sent}: no answer")),
        }
    }

    fn summarize(&self) -> Result<(), Failure> {
        let (sent, answered) = (self.sent, self.times.count());
        let percentiles = self.times.percentiles();
        if self.form.json {
            let target = self.name;
            say_json(&Told::Summary {
                target,
                sent,
                answered,
                percentiles,
            })?;
        } else {
            say(format_args!("{answered} of {sent} answered"))?;
            if let Some(percentiles) = percentiles {
                say(percentiles)?;
            }
        }
        if answered == 0 && sent > 0 {
            return Err(Failure::TimedOut("there was no answer (--timeout)".to_owned()));
        }
        Ok(())
    }
}

pub(crate) async fn run(arguments: &PingArgs, stop: Stop) -> Result<(), Failure> {
    let connection = arguments.connection.connect("ping").await?;
    let (target, name) = match &arguments.service {
        Some(service) => (
            Target::Service(link(&connection, service).await?),
            service.clone(),
        ),
        None => (Target::Manager, connection.client().manager()),
    };
    stop.begin()?;
    let _breaks = Breaks::report(connection.client());
    let mut pings = Pings {
        form: arguments.form,
        name: &name,
        sent: 0,
        times: Times::default(),
    };
    let mut pace = interval(arguments.every.duration());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..arguments.count {
        let one = async {
            pace.tick().await;
            let time = present();
            (
                time,
                timeout(arguments.timeout.duration(), target.ping(&connection)).await,
            )
        };
        let (time, answer) = tokio::select! {
            biased;
            _ = stop.requested() => break,
            answer = one => answer,
        };
        match answer {
            Ok(Err(error)) if is_unread(&error, connection.client()).await => pings.show(time, None)?,
            Ok(Err(error)) => {
                pings.sent += 1;
                // That nothing was answered is explained by the error.
                return match pings.summarize() {
                    Err(closed @ Failure::Closed) => Err(closed),
                    _ => Err(error.into()),
                };
            }
            Ok(Ok(took)) => pings.show(time, Some(took))?,
            Err(_) => pings.show(time, None)?,
        }
    }
    connection.disconnect().await;
    pings.summarize()
}
