//! `labwire subscribe`: the values of topics as they are published.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use labwire_client::{ConnectOptions, TopicValue};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::array;
use crate::connection::ConnectionArgs;
use crate::counted::counted;
use crate::failure::Failure;
use crate::feed::{Event, Heard, ReconnectArgs};
use crate::following::Forbidden;
use crate::moment::moment;
use crate::narrator::{Break, Gap, Interruption, Narrator};
use crate::output::{OutputArgs, json_or_text, one_line, readable, say_json, say_line};
use crate::session::{Ended, Session};
use crate::stop::Stop;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire subscribe lab.oven.temperature
  labwire subscribe 'lab.*.temperature' --json
  labwire subscribe 'manager.>'";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire subscribe lab.oven.temperature
  labwire subscribe 'lab.*.temperature' --json
  labwire subscribe 'manager.>'          who comes, leaves, links and locks
  labwire subscribe lab.door --count 1   the last value, if it is retained

* stands for any one word of a topic, and > as the last word for all the rest;
quote them for the shell. Values that the manager retains come first. Topics
need a manager of Labwire, not of MSL-Network.

Each line has the time, the topic and the value: a text as it is, an array by
its type, shape and size, anything else as JSON. A retained value is marked. At
a terminal a long value is cut.

The manager may start later, or restart: subscribe waits for it, and reports on
standard error when it is away and back. What was published meanwhile is missed.
When only the connection breaks, the manager keeps the values for 30 s. The time
is that of the arrival: for values that were kept, after the break.

With --json, each line is one object, with event:
  value  time, topic, value, sender (a network name), retained, and lost (values
         that were left out just before, since this reader was too slow). If the
         value contains NaN or Infinity, it is not JSON: then value is null, and
         text is what was received.
  gap    since (when the connection broke), until, seconds, reason
  away   time: the connection broke; back or gap follows
  back   time, seconds: the connection is made again, and nothing is missing

Ctrl-C ends subscribe with exit code 0, or with 130 if --count is not reached.
For all exit codes see `labwire --help`.";

/// The timeout for the last output at the end, whose reader may have stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct SubscribeArgs {
    /// A topic, in which * stands for any word and > for the rest
    pattern: String,
    /// End after this many values [default: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Do not report on standard error what happens to the connection
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An object of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Told<'a> {
    Value {
        time: Timestamp,
        topic: &'a str,
        value: Option<&'a RawValue>,
        /// The value as it was received, if it is not JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        sender: &'a str,
        retained: bool,
        lost: u64,
    },
    Gap {
        since: Timestamp,
        until: Timestamp,
        seconds: f64,
        reason: &'a str,
    },
    Away {
        time: Timestamp,
    },
    Back {
        time: Timestamp,
        seconds: f64,
    },
}

/// Prints values, and what happens to the connection.
struct Printer {
    form: OutputArgs,
    /// How many values are still to be printed; `None` for all.
    left: Option<u64>,
    narrator: Narrator,
    is_terminal: bool,
}

impl Printer {
    /// Prints events until the channel closes, or until `--count` values were printed.
    fn run(mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), Failure> {
        while let Some(heard) = heard.blocking_recv() {
            match self.narrator.hear(&heard) {
                Some(Interruption::Gap(gap)) => self.gap(&gap)?,
                Some(Interruption::Break(change)) => self.broken(change)?,
                None => {}
            }
            if let Event::Published { time, value } = &heard.event {
                self.value(*time, value)?;
                self.left = self.left.map(|left| left - 1);
                if self.left == Some(0) {
                    return Ok(());
                }
            }
        }
        match self.narrator.end() {
            Some(gap) => self.gap(&gap),
            None => Ok(()),
        }
    }

    fn gap(&self, gap: &Gap) -> Result<(), Failure> {
        if !self.form.json {
            // It was reported on standard error.
            return Ok(());
        }
        say_json(&Told::Gap {
            since: gap.since,
            until: gap.until,
            seconds: gap.seconds(),
            reason: &gap.reason,
        })
    }

    /// Prints that the connection is broken, or that the client has returned to its session.
    fn broken(&self, change: Break) -> Result<(), Failure> {
        match change {
            _ if !self.form.json => Ok(()),
            Break::Begun { time } => say_json(&Told::Away { time }),
            Break::Ended { time, seconds } => say_json(&Told::Back { time, seconds }),
        }
    }

    fn value(&self, time: Timestamp, value: &TopicValue) -> Result<(), Failure> {
        if self.form.json {
            let (json, text) = json_or_text(value.json());
            return say_json(&Told::Value {
                time,
                topic: value.topic(),
                value: json,
                text,
                sender: value.sender(),
                retained: value.is_retained(),
                lost: value.lost(),
            });
        }
        if value.lost() > 0 {
            let values = counted(value.lost(), "value");
            self.narrator
                .tell(&format!("{values} left out, since this reader was too slow"));
        }
        let mark = if value.is_retained() { " (retained)" } else { "" };
        let text = readable(&array::shortened(value.json(), ("", "")), false);
        say_line(&format!(
            "{}  {}  {}{mark}",
            moment(time),
            one_line(value.topic()),
            if self.is_terminal {
                one_line(&text)
            } else {
                text.replace(['\n', '\r'], " ")
            }
        ))
    }
}

pub(crate) async fn run(arguments: &SubscribeArgs, stop: Stop) -> Result<(), Failure> {
    let options: ConnectOptions = arguments.connection.options()?;
    let printer = Printer {
        form: arguments.form,
        left: arguments.count,
        narrator: Narrator::new(arguments.quiet),
        is_terminal: io::stdout().is_terminal(),
    };
    stop.begin()?;
    let mut session = Session::new("subscribe", options, arguments.reconnect.reconnect);
    session.follow_topics(arguments.pattern.as_str().into(), Forbidden::Ends);
    let print = |heard| printer.run(heard);
    match session.run(print, stop.requested(), LAST_WORDS).await? {
        Ended::Stopped(signal) => signal.outcome(arguments.count),
        Ended::Shown => Ok(()),
    }
}
