//! `labwire top`: what services and clients do, on the whole screen.

mod draw;
mod rates;
mod view;

use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use labwire_home::present;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::rates::{Row, rows};
use self::view::{Key, List, View};
use crate::connection::{Connection, ConnectionArgs, Seconds};
use crate::failure::Failure;
use crate::output::{OutputArgs, one_line, say, say_json, say_table};
use crate::report::{Report, Summary, is_reported};
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
it, blue if a client holds its lock.

If standard output is not a terminal, or with --count, each interval is printed
as a table of the services, by calls per second. With --json, each interval has
one object per service and client: kind (\"service\" or \"client\"), time, name,
calls_per_second, errors_per_second, p50_seconds and p99_seconds (null without
calls), in_flight, oldest_seconds, request_bytes_per_second,
reply_bytes_per_second, notifications_per_second, queued_bytes, link_count,
links, lock_count and locked_by.

Only Labwire's manager counts this, not that of MSL-Network.

Exit codes: see `labwire --help`.";

#[derive(Args, Debug)]
pub struct TopArgs {
    /// The length of an interval
    #[arg(long, value_name = "SECONDS", default_value = "1")]
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

impl Meter {
    /// Returns the rates since the last report; for the first one, since the peers connected.
    async fn measure(&mut self) -> Result<Rates, Failure> {
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
/// `1.20k`.
fn rate(number: f64) -> String {
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
        _ => format!("{} GiB", number >> 30),
    }
}

pub(crate) async fn run(arguments: &TopArgs, mut stop: Stop) -> Result<(), Failure> {
    let connection = arguments.connection.connect_lasting().await?;
    if !is_reported(&connection.identities().await?) {
        return Err(Failure::Refused(
            "this manager does not count calls: it is not one of Labwire".to_owned(),
        ));
    }
    let mut meter = Meter {
        connection: connection.clone(),
        last: None,
    };
    if arguments.form.json || arguments.count.is_some() || !io::stdout().is_terminal() {
        tokio::select! {
            biased;
            () = stop.requested() => {}
            printed = print(arguments, &mut meter) => printed?,
        }
    } else {
        show(arguments, meter, stop).await?;
    }
    connection.disconnect().await;
    Ok(())
}

/// Prints each interval.
async fn print(arguments: &TopArgs, meter: &mut Meter) -> Result<(), Failure> {
    meter.measure().await?;
    let mut pace = interval(arguments.every.duration());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace.tick().await;
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        pace.tick().await;
        let rates = meter.measure().await?;
        if arguments.form.json {
            let time = present();
            for (kind, rows) in [("service", &rates.services), ("client", &rates.clients)] {
                for row in rows {
                    say_json(&Told { kind, time, row })?;
                }
            }
        } else {
            print_table(&rates)?;
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

/// An event of the terminal.
enum Input {
    Key(Key),
    /// The size has changed.
    Resized,
    /// Ctrl-C, which a terminal in raw mode passes on as a key.
    End,
}

/// Reads keys on a thread of its own, for as long as the process runs.
fn keys() -> mpsc::UnboundedReceiver<Input> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(input) = input(&event)
                && sender.send(input).is_err()
            {
                break;
            }
        }
    });
    keys
}

fn input(event: &Event) -> Option<Input> {
    let key = match event {
        Event::Resize(..) => return Some(Input::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(Input::Key(match key.code {
        KeyCode::Char('c' | 'd') if is_control => return Some(Input::End),
        KeyCode::Char(character) if !is_control => Key::Character(character),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    }))
}

/// The terminal in raw mode, until it is dropped.
///
/// The terminal's own drop would write an error to standard error if the terminal is gone, and panic
/// where that fails too.
struct FullScreen(ManuallyDrop<ratatui::DefaultTerminal>);

/// Whether the terminal is in use.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, if it is in use.
pub(crate) fn restore() {
    if IS_OPEN.swap(false, Ordering::SeqCst) {
        // The terminal may be gone; there is nothing else to try then.
        let _ = ratatui::try_restore();
    }
}

impl FullScreen {
    fn open() -> Result<Self, Failure> {
        IS_OPEN.store(true, Ordering::SeqCst);
        let terminal = ratatui::try_init();
        terminal
            .map(|terminal| Self(ManuallyDrop::new(terminal)))
            .map_err(|error| Failure::Failed(format!("cannot use the terminal: {error}")))
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        restore();
    }
}

/// Measures each interval in a task of its own: a key that is pressed must not interrupt a request.
fn intervals(mut meter: Meter, every: Duration) -> mpsc::Receiver<Result<Rates, Failure>> {
    let (sender, intervals) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut pace = interval(every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace.tick().await;
        loop {
            pace.tick().await;
            meter.connection.client().connected().await;
            if sender.send(meter.measure().await).await.is_err() {
                return;
            }
        }
    });
    intervals
}

/// Shows the screen until a key ends it.
async fn show(arguments: &TopArgs, mut meter: Meter, mut stop: Stop) -> Result<(), Failure> {
    let mut rates = meter.measure().await?;
    let (mut view, mut notice) = (View::default(), None::<String>);
    let mut screen = FullScreen::open()?;
    let mut keys = keys();
    let mut intervals = intervals(meter, arguments.every.duration());
    loop {
        let drawn = screen
            .0
            .draw(|frame| draw::draw(frame, &rates, &view, notice.as_deref()));
        drawn.map_err(|error| Failure::Failed(format!("cannot write to the terminal: {error}")))?;
        tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            input = keys.recv() => match input {
                None | Some(Input::End) => return Ok(()),
                Some(Input::Resized) => {}
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
        assert_eq!([1_023, 2_048, 5 << 20].map(bytes), ["1023", "2 KiB", "5 MiB"]);
    }
}
