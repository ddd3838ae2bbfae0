//! `labwire subscribe` and `labwire publish`.

use clap::Args;
use jiff::Timestamp;
use labwire_client::{Arguments, TopicValue};
use labwire_home::present;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::ConnectionArgs;
use crate::counted::counted;
use crate::failure::Failure;
use crate::output::{OutputArgs, json_or_text, one_line, readable, say_json, say_line, tell, time_of_day};
use crate::stop::Stop;
use crate::words;

pub(crate) const SUBSCRIBE_EXAMPLES: &str = "\
Examples:
  labwire subscribe lab.oven.temperature
  labwire subscribe 'lab.*.temperature' --json
  labwire subscribe 'manager.>'";

pub(crate) const SUBSCRIBE_AFTER_HELP: &str = "\
Examples:
  labwire subscribe lab.oven.temperature
  labwire subscribe 'lab.*.temperature' --json
  labwire subscribe 'manager.>'          who comes, leaves, links and locks
  labwire subscribe lab.door --count 1   the last value, if it is retained

* stands for any one word of a topic, and > as the last word for all the rest;
quote them for the shell. Values that the manager retains come first.

Each line has the time, the topic and the value: a text as it is, anything else
as JSON. A retained value is marked. With --json, each value is one object:
time, topic, value, sender (a network name), retained and lost (values that were
left out just before, since this reader was too slow). A value with NaN is not
JSON: then value is null, and text is what was received.

It goes on after a restart of the manager; what was published meanwhile is
missed. Ctrl-C ends it with 0. Exit codes: see `labwire --help`.";

pub(crate) const PUBLISH_EXAMPLES: &str = "\
Examples:
  labwire publish lab.oven.temperature 180.5
  labwire publish lab.door open --retain";

pub(crate) const PUBLISH_AFTER_HELP: &str = "\
Examples:
  labwire publish lab.oven.temperature 180.5
  labwire publish lab.oven '{\"temperature\": 180.5, \"unit\": \"C\"}'
  labwire publish lab.door open --retain
  labwire publish lab.door null --retain    removes the retained value

The value is one as for labwire call: a number, a text, JSON, @FILE or - for
standard input. It returns once the value is queued for all subscribers.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct SubscribeArgs {
    /// A topic, in which * stands for any word and > for the rest
    pattern: String,
    /// End after this many values [default: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args, Debug)]
pub struct PublishArgs {
    /// The topic: words between dots
    topic: String,
    /// The value
    #[arg(allow_negative_numbers = true)]
    value: String,
    /// Let the manager keep the value for later subscribers
    #[arg(long)]
    retain: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A value, as an object of JSON.
#[derive(Serialize)]
struct Received<'a> {
    time: Timestamp,
    topic: &'a str,
    value: Option<&'a RawValue>,
    /// The value as it was received, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    sender: &'a str,
    retained: bool,
    lost: u64,
}

/// Prints a value that came now.
fn show(value: &TopicValue, form: OutputArgs) -> Result<(), Failure> {
    let time = present();
    if form.json {
        let (json, text) = json_or_text(value.json());
        return say_json(&Received {
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
        tell(format_args!(
            "labwire: {values} left out, since this reader was too slow"
        ));
    }
    let mark = if value.is_retained() { " (retained)" } else { "" };
    say_line(&format!(
        "{}  {}  {}{mark}",
        time_of_day(time),
        one_line(value.topic()),
        one_line(&readable(value.json(), false))
    ))
}

pub(crate) async fn subscribe(arguments: &SubscribeArgs, mut stop: Stop) -> Result<(), Failure> {
    let connection = arguments.connection.connect_lasting().await?;
    let mut values = connection
        .in_time(connection.client().subscribe(&arguments.pattern))
        .await?;
    let mut left = arguments.count;
    while left != Some(0) {
        let value = tokio::select! {
            biased;
            () = stop.requested() => break,
            value = values.next() => value,
        };
        let Some(value) = value else {
            return Err(Failure::NoManager("the connection has ended".to_owned()));
        };
        show(&value, arguments.form)?;
        left = left.map(|left| left - 1);
    }
    connection.disconnect().await;
    Ok(())
}

pub(crate) async fn publish(arguments: &PublishArgs) -> Result<(), Failure> {
    let value = words::value(&arguments.value)?;
    let connection = arguments.connection.connect().await?;
    let mut request = Arguments::new()
        .positional(&arguments.topic)
        .positional_json(&value);
    if arguments.retain {
        request = request.keyword("retain", &true);
    }
    // The value may hold NaN, which no value of Rust's JSON does.
    let published = connection.client().admin_request::<bool>("publish", request);
    connection.in_time(published.into_future()).await?;
    connection.disconnect().await;
    Ok(())
}
