//! `labwire publish`: a value for a topic.

use clap::Args;
use labwire_client::Arguments;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::report::check_topics;
use crate::words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire publish lab.oven.temperature 180.5
  labwire publish lab.door open --retain";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire publish lab.oven.temperature 180.5
  labwire publish lab.oven '{\"temperature\": 180.5, \"unit\": \"C\"}'
  labwire publish lab.door open --retain
  labwire publish lab.door null --retain    removes the retained value

The value is one as for labwire call: a number, a text, JSON, @FILE or - for
standard input. It returns once the value is queued for all subscribers. Topics
need a manager of Labwire, not of MSL-Network.

Exit codes: see `labwire --help`.";

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

pub(crate) async fn run(arguments: &PublishArgs) -> Result<(), Failure> {
    let value = words::value(&arguments.value)?;
    let connection = arguments.connection.connect().await?;
    check_topics(&connection).await?;
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
