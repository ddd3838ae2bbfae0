//! `labwire top`: what services and clients do, on the whole screen.

mod columns;
mod draw;
mod rates;
mod view;

use std::io::{self, IsTerminal, Stdout};
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_client::SessionState;
use labwire_home::present;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use serde::Serialize;

use self::rates::{Row, rows};
use self::view::{List, View};
use crate::breaks::{Breaks, RETURNING, changed};
use crate::connection::{Connection, ConnectionArgs};
use crate::failure::Failure;
use crate::output::{OutputArgs, aside, message, one_line, say, say_json, say_table, tell};
use crate::repeat::{Request, repeat};
use crate::report::{Report, Summary, is_reported};
use crate::screen::{Input, Screen, inputs};
use crate::seconds::Seconds;
use crate::stop::Stop;
use crate::times::readable_time;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire top
  labwire top --json --count 60 > minute.jsonl";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire top
  labwire top --json --count 60 > minute.jsonl

Press ? for the keys and the meaning of the columns. A row is red if its calls
are answered with errors, violet if the peer does not read what is queued for
it, blue if a client holds its lock. LOCKED is who does; where there is no room
for this column, as with 80 columns, [L] behind the name says that one does.

If standard output is not a terminal, or with --count, each interval is printed
as a table of the services, by calls per second. With --json, each interval has
one object per service and client: kind (\"service\" or \"client\"), time, name,
calls_per_second, errors_per_second, p50_seconds and p99_seconds (null without
calls), in_flight, oldest_seconds, request_bytes_per_second,
reply_bytes_per_second, notifications_per_second, queued_bytes, link_count,
links, lock_count and locked_by.

Only Labwire's manager counts this, not that of MSL-Network.

Exit codes: see `labwire --help`. Ctrl-C ends it with 0, or with 130 if --count
is not reached.";

#[derive(Args, Debug)]
pub struct TopArgs {
    /// The length of an interval: 1, 500ms, 1m
    #[arg(long, value_name = "TIME", default_value = "1")]
    every: Seconds,
    /// End after this number of intervals [default: with q or Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What happened in one interval.
#[derive(Debug, Default)]
struct Rates {
    manager: String,
    summary: Summary,
    services: Vec<Row>,
    clients: Vec<Row>,
}

impl Rates {
    fn rows(&self, list: List) -> &[Row] {
        match list {
            List::Services => &self.services,
            List::Clients => &self.clients,
        }
    }
}

/// A row, as an object of JSON.
#[derive(Serialize)]
struct Told<'a> {
    kind: &'a str,
    time: Timestamp,
    #[serde(flatten)]
    row: &'a Row,
}

/// Requests reports, and keeps the last one.
struct Meter {
    connection: Connection,
    last: Option<(Instant, Report)>,
}

impl Request for Meter {
    type Answer = Rates;

    fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the rates since the last report; for the first one, since the peers connected.
    async fn send(&mut self) -> Result<Rates, Failure> {
        let report = Report::request(&self.connection).await?;
        let now = Instant::now();
        let rates = match &self.last {
            // The manager was restarted: all counters began anew.
            Some((_, last)) if last.summary.uptime_seconds > report.summary.uptime_seconds => None,
            Some((begun, last)) => Some((last, now - *begun)),
            None => None,
        };
        let empty = Report::default();
        let (last, elapsed) = rates.unwrap_or((
            &empty,
            Duration::try_from_secs_f64(report.summary.uptime_seconds).unwrap_or(Duration::MAX),
        ));
        let rates = Rates {
            manager: self.connection.client().manager(),
            summary: report.summary.clone(),
            services: rows(&last.services, &report.services, elapsed),
            clients: rows(&last.clients, &report.clients, elapsed),
        };
        self.last = Some((now, report));
        Ok(rates)
    }
}

/// Returns a rate with three or more digits, and a letter for large ones: `0`, `0.25`, `12.5`,
/// `1.20k`. The text has at most 7 columns, whatever a manager reports.
fn rate(number: f64) -> String {
    if number >= 1e12 {
        return format!("{number:.0e}");
    }
    let (number, unit) = match number {
        ..1_000.0 => (number, ""),
        ..1e6 => (number / 1e3, "k"),
        ..1e9 => (number / 1e6, "M"),
        _ => (number / 1e9, "G"),
    };
    match number {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{number:.2}{unit}"),
        ..100.0 => format!("{number:.1}{unit}"),
        _ => format!("{number:.0}{unit}"),
    }
}

/// Returns a number of bytes, with a unit of powers of 1024.
fn bytes(number: u64) -> String {
    match number.checked_ilog2().unwrap_or_default() {
        ..10 => number.to_string(),
        10..20 => format!("{} KiB", number >> 10),
        20..30 => format!("{} MiB", number >> 20),
        30..40 => format!("{} GiB", number >> 30),
        40..50 => format!("{} TiB", number >> 40),
        50..60 => format!("{} PiB", number >> 50),
        _ => format!("{} EiB", number >> 60),
    }
}

pub(crate) async fn run(arguments: &TopArgs, stop: Stop) -> Result<(), Failure> {
    let connection = arguments.connection.connect_lasting("top").await?;
    if !is_reported(&connection.identities().await?) {
        return Err(Failure::Refused(
            "this manager does not count calls: it is not one of Labwire".to_owned(),
        ));
    }
    let meter = Meter {
        connection: connection.clone(),
        last: None,
    };
    if arguments.form.json || arguments.count.is_some() || !io::stdout().is_terminal() {
        stop.begin()?;
        tokio::select! {
            biased;
            signal = stop.requested() => signal.outcome(arguments.count)?,
            printed = print(arguments, meter) => printed?,
        }
    } else {
        show(arguments, meter, stop).await?;
    }
    connection.disconnect().await;
    Ok(())
}

/// Prints each interval.
async fn print(arguments: &TopArgs, mut meter: Meter) -> Result<(), Failure> {
    meter.send().await?;
    let mut left = arguments.count;
    let _breaks = Breaks::report(meter.connection.client());
    let mut intervals = repeat(meter, arguments.every.duration());
    while left != Some(0) {
        let Some(rates) = intervals.recv().await else {
            return Ok(());
        };
        let rates = match rates {
            Ok(rates) => rates,
            // The manager was stopped meanwhile; the next request waits until it is back.
            Err(Failure::NoManager(text)) => {
                tell(format_args!("labwire: {}", message(&text)));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        left = left.map(|left| left - 1);
        let is_json = arguments.form.json;
        aside(move || {
            if is_json {
                print_json(&rates)
            } else {
                print_table(&rates)
            }
        })
        .await?;
    }
    Ok(())
}

fn print_json(rates: &Rates) -> Result<(), Failure> {
    let time = present();
    for (kind, rows) in [("service", &rates.services), ("client", &rates.clients)] {
        for row in rows {
            say_json(&Told { kind, time, row })?;
        }
    }
    Ok(())
}

fn print_table(rates: &Rates) -> Result<(), Failure> {
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), readable_time);
    let services = View::default().rows(&rates.services);
    let rows = services
        .iter()
        .map(|row| {
            vec![
                one_line(&row.name),
                rate(row.calls_per_second),
                time(row.p50_seconds),
                time(row.p99_seconds),
                row.in_flight.to_string(),
                rate(row.errors_per_second),
                bytes(row.queued_bytes),
            ]
        })
        .collect();
    say_table(
        &[
            "SERVICE",
            "CALLS/S",
            "P50",
            "P99",
            "IN FLIGHT",
            "ERRORS/S",
            "QUEUED",
        ],
        rows,
    )?;
    say("")
}

/// The screen with ratatui's terminal on it.
///
/// The terminal's own drop would write an error to standard error if the terminal is gone, and panic
/// where that fails too.
struct FullScreen {
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    /// Restores the terminal when it is dropped.
    _screen: Screen,
}

impl FullScreen {
    fn open() -> io::Result<Self> {
        let screen = Screen::enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(Self {
            terminal: ManuallyDrop::new(terminal),
            _screen: screen,
        })
    }
}

/// Shows the screen until a key ends it.
async fn show(arguments: &TopArgs, mut meter: Meter, stop: Stop) -> Result<(), Failure> {
    let mut rates = meter.send().await?;
    stop.begin()?;
    let (mut view, mut notice) = (View::default(), None::<String>);
    let unusable = |error| Failure::Failed(format!("cannot use the terminal: {error}"));
    let mut screen = FullScreen::open().map_err(unusable)?;
    let mut keys = inputs();
    let client = meter.connection.client().clone();
    let mut session = client.session();
    let mut intervals = repeat(meter, arguments.every.duration());
    loop {
        let drawn = screen
            .terminal
            .draw(|frame| draw::draw(frame, &rates, &view, notice.as_deref()));
        drawn.map_err(unusable)?;
        tokio::select! {
            biased;
            _ = stop.requested() => return Ok(()),
            input = keys.recv() => match input {
                None | Some(Input::End) => return Ok(()),
                Some(Input::Resize(..)) => {}
                Some(Input::Key(key)) => {
                    let shown = view.rows(rates.rows(view.list));
                    if view.handle(key, &shown) {
                        return Ok(());
                    }
                }
            },
            Some(measured) = intervals.recv() => match measured {
                Ok(_) if view.is_paused => {}
                Ok(measured) => (rates, notice) = (measured, None),
                Err(Failure::NoManager(text)) => notice = Some(text),
                Err(failure) => return Err(failure),
            },
            now = changed(&client, session) => {
                session = now;
                notice = (now == SessionState::Away).then(|| RETURNING.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_are_short() {
        let rates = [0.0, 0.25, 12.34, 999.0, 1_200.0, 2_345_678.0].map(rate);
        assert_eq!(rates, ["0", "0.25", "12.3", "999", "1.20k", "2.35M"]);
        assert_eq!([1e308, f64::INFINITY].map(rate), ["1e308", "inf"]);
        assert_eq!([u64::MAX, 3 << 40].map(bytes), ["15 EiB", "3 TiB"]);
        assert_eq!([1_023, 2_048, 5 << 20].map(bytes), ["1023", "2 KiB", "5 MiB"]);
    }
}
