//! `labwire watch`: the notifications of a service.

mod axes;
mod canvas;
mod picture;
mod plot;
mod printer;
mod scale;
mod series;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::feed::{Heard, ReconnectArgs};
use crate::following::Forbidden;
use crate::key::Key;
use crate::output::{OutputArgs, one_line, shell_argument};
use crate::seconds::Seconds;
use crate::session::{Ended, Session};
use crate::stop::Stop;
use printer::{Form, Printer};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire watch Heartbeat
  labwire watch DMM voltage --csv > voltage.csv
  labwire watch DMM --json --count 10
  labwire watch DMM --plot voltage";

pub(crate) const AFTER_HELP: &str = "\
KEY is the name of a keyword argument of the notification, the index of a
positional one (0 is the first), or a path inside: voltage, 0,
probe.temperature, 0.samples[3]. Of a notification of a name and a value, such
as those of the polls of labwire instrument, the name selects the value. With
KEY, notifications without that value are left out, and the text shows that
value alone. The text shows values as they are typed in a call, positional ones
first: 1.25 \"two words\" unit=\"V\". With --reconnect=false, a first
notification without KEY is an error.

Examples:
  labwire watch Heartbeat
  labwire watch DMM voltage --csv > voltage.csv
  labwire watch DMM --json --count 10
  labwire watch DMM --plot voltage

The manager or the service may start later, or restart: watch waits for it, and
reports on standard error when it is linked, away and back. If the manager does
not permit the first link, watch ends (exit code 4). With --json and
--csv, the output contains the gap, too. When only the connection of watch
breaks, the manager keeps the notifications for 30 s, and there is no gap. Those
that it has kept have the time of their arrival after the break. They are not
marked: they come in one stream with newer ones, and the manager does not say
where these begin. A service that needs exact times puts them into its
notifications.

With --json, each line is one object, with event:
  notification  time, service, args, kwargs; with KEY also key and value. If
                they contain NaN or Infinity, they are not JSON: then args and
                kwargs are null, and text is what was received.
  gap           service, since (when the connection broke, or the service left),
                until, seconds, reason
  away          time: the connection broke; back or gap follows
  back          time, seconds: the connection is made again, nothing is missing
  lost          time, service, count: these notifications were dropped, because
                they could not be written as fast as they came

With --csv, the columns are time, event (one of these), the values, and more: a
JSON object with what has no column. The values are KEY, or
--columns, or those of the first notification; the columns of positional values
are 0, 1 and so on. Lists and objects are JSON. The row of a gap has the time
since when, and in more: until, seconds and reason. A text that a spreadsheet
would take for a formula (it begins with = + - @, a tab or a line end, and is no
number), or that begins with ', gets a ' before it: a program that reads texts
removes one ' at the start.

Times are in UTC with --json and --csv, and otherwise in local time. They are
the times at which the notifications arrived.

The plot shows the last minute (--window). Keys: + and - change that, space
pauses, c clears, q ends. A break in the line is a gap. Where the locale is not
UTF-8, it is drawn with ASCII characters.

Ctrl-C ends watch with exit code 0, or with 130 if --count is not reached. For
all exit codes see `labwire --help`.";

/// The timeout for the last output at the end, whose reader may have stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The name of the service
    service: String,
    /// Only this value, and only notifications that have it
    key: Option<Key>,
    #[command(flatten)]
    form: OutputArgs,
    /// Print rows of comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// The values that have a column [default: those of the first notification]
    #[arg(
        long,
        value_name = "KEY,…",
        value_delimiter = ',',
        requires = "csv",
        hide_short_help = true
    )]
    columns: Vec<Key>,
    /// Plot this value in the terminal
    #[arg(long, value_name = "KEY", conflicts_with_all = ["json", "csv"])]
    plot: Option<Key>,
    /// The time that the plot shows: 30, 10m, 2h [default: 1min]
    #[arg(long, value_name = "TIME", requires = "plot", hide_short_help = true)]
    window: Option<Seconds>,
    /// End after this number of notifications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Do not report on standard error what happens to the connection
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Shows events until the channel closes, or until `--count` notifications were shown.
type Viewer = Box<dyn FnOnce(mpsc::Receiver<Heard>) -> Result<(), Failure> + Send>;

impl WatchArgs {
    /// Returns the command that may be meant if no service of this name is connected: a name with a
    /// point or parentheses may be a service with a value or with a call, or a topic.
    fn meant(&self) -> Option<String> {
        let (service, rest) = self.service.split_once('.')?;
        if service.is_empty() {
            return None;
        }
        if rest.ends_with(')') {
            let poll = shell_argument(&format!("{} every 1s", self.service));
            return Some(format!("to repeat a call: labwire record FILE.csv --poll {poll}"));
        }
        let _: Key = rest
            .parse()
            .ok()
            .filter(|_| self.key.is_none() && self.plot.is_none())?;
        Some(format!(
            "for the value '{}' of '{}': labwire watch {} {}; for a topic: labwire subscribe {}",
            one_line(rest),
            one_line(service),
            shell_argument(service),
            shell_argument(rest),
            shell_argument(&self.service)
        ))
    }

    /// Returns the viewer for these options.
    fn viewer(&self) -> Result<Viewer, Failure> {
        let service: Arc<str> = Arc::from(&*self.service);
        if let Some(key) = &self.plot {
            if !io::stdout().is_terminal() {
                return Err(Failure::Usage(
                    "--plot needs a terminal; to write the values elsewhere, use --csv or --json".to_owned(),
                ));
            }
            let plot = plot::Plot::new(service, key.clone(), self.key.clone(), self.count, self.window);
            return Ok(Box::new(move |heard| plot.run(heard)));
        }
        let form = if self.form.json {
            Form::Json
        } else if self.csv {
            Form::csv(self.key.as_ref(), &self.columns)
        } else {
            Form::Text
        };
        let printer = Printer::new(service, form, self.key.clone(), self.count, self.quiet);
        let printer = printer.with_hint(self.meant());
        let printer = printer.requiring_key(!self.reconnect.reconnect);
        Ok(Box::new(move |heard| printer.run(heard)))
    }
}

pub(crate) async fn run(arguments: &WatchArgs, stop: Stop) -> Result<(), Failure> {
    let options = arguments.connection.options()?;
    let viewer = arguments.viewer()?;
    stop.begin()?;
    let mut session = Session::new("watch", options, arguments.reconnect.reconnect);
    session.follow(Arc::from(&*arguments.service), Forbidden::Ends);
    let ended = session.run(viewer, stop.requested(), LAST_WORDS).await;
    let ended = ended.map_err(|failure| match failure {
        refused @ Failure::Refused(_) => refused.with_hint(arguments.meant()),
        failure => failure,
    });
    match ended? {
        Ended::Stopped(signal) => signal.outcome(arguments.count),
        Ended::Shown => Ok(()),
    }
}
