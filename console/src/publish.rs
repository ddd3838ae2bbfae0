//! `labwire publish`: a value for a topic.

use clap::Args;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::report::check_labwire;
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
standard input. It returns once the value is queued for all subscribers. The
manager keeps a retained value until it stops. Topics need a manager of Labwire,
not of MSL-Network.

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
    let connection = arguments.connection.connect("publish").await?;
    check_labwire(&connection, "topics").await?;
    let (client, topic) = (connection.client(), &arguments.topic);
    if arguments.retain {
        connection
            .in_time(client.publish_retained_json(topic, &value))
            .await?;
    } else {
        connection.in_time(client.publish_json(topic, &value)).await?;
    }
    connection.disconnect().await;
    Ok(())
}
