//! Logging: lines for people, or JSON for machines, on standard output and in a file.
//!
//! Threads of their own write the lines, and a full queue loses lines instead of blocking: a
//! terminal that is stopped with Ctrl-S must not stop the manager.

mod file;

use std::fmt;
use std::io;
use std::path::Path;

use labwire_home::{local_time_zone, present};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::fmt::{self as subscriber_fmt, FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

use file::LogFile;
pub use file::{LogRotation, may_be_log};

/// The target of events for the person at the terminal, such as what to type next. They are not
/// written to the log file.
pub const TERMINAL_TARGET: &str = "labwire::terminal";

/// The logging level, with the names of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(LevelFilter);

impl Level {
    /// Parses a level: `TRACE`, `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL` in any case, or
    /// Python's number for it (10 for `DEBUG` to 50 for `CRITICAL`). Returns `None` for anything
    /// else.
    pub fn parse(text: &str) -> Option<Self> {
        let filter = match text.to_uppercase().as_str() {
            "TRACE" => LevelFilter::TRACE,
            "DEBUG" => LevelFilter::DEBUG,
            "INFO" => LevelFilter::INFO,
            "WARNING" | "WARN" => LevelFilter::WARN,
            "ERROR" | "CRITICAL" | "FATAL" => LevelFilter::ERROR,
            number => match number.parse::<u32>().ok()? {
                0..=9 => LevelFilter::TRACE,
                10..=19 => LevelFilter::DEBUG,
                20..=29 => LevelFilter::INFO,
                30..=39 => LevelFilter::WARN,
                _ => LevelFilter::ERROR,
            },
        };
        Some(Self(filter))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            LevelFilter::TRACE => "TRACE",
            LevelFilter::DEBUG => "DEBUG",
            LevelFilter::INFO => "INFO",
            LevelFilter::WARN => "WARNING",
            _ => "ERROR",
        };
        formatter.write_str(name)
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Changes the log while the manager runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    level: Option<reload::Handle<LevelFilter, Registry>>,
    file: Option<LogFile>,
    /// Counts the lines that found the queue of the file full.
    queue: Option<ErrorCounter>,
}

impl LogControl {
    /// Returns a control that can change nothing, for a program that does its own logging.
    pub fn none() -> Self {
        Self {
            level: None,
            file: None,
            queue: None,
        }
    }

    /// Changes the level. Returns whether that worked.
    pub(crate) fn set_level(&self, level: Level) -> bool {
        self.level
            .as_ref()
            .is_some_and(|handle| handle.reload(level.0).is_ok())
    }

    /// Returns the number of lines missing from the log file: it could not be written, or not
    /// quickly enough.
    pub(crate) fn lines_lost(&self) -> u64 {
        let queue = self.queue.as_ref().map_or(0, ErrorCounter::dropped_lines) as u64;
        queue + self.file.as_ref().map_or(0, LogFile::lost)
    }

    /// Returns how often the log file could no longer be written, or not be moved aside.
    pub(crate) fn failures(&self) -> u64 {
        self.file.as_ref().map_or(0, LogFile::failures)
    }

    /// Reopens the log file, for a program that has moved it away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), LogFile::reopen)
    }
}

/// Ends logging when it is dropped, after writing all queued lines.
#[derive(Debug)]
pub struct LogGuard {
    _workers: Vec<WorkerGuard>,
}

/// Starts logging for the whole process, to standard output and to the file at `path`. Keep the
/// guard until the end of the program: logging ends when it is dropped.
///
/// # Errors
/// If the file cannot be opened, or if the process already has a global `tracing` subscriber.
pub fn start(
    path: &Path,
    level: Level,
    format: LogFormat,
    rotation: LogRotation,
) -> io::Result<(LogControl, LogGuard)> {
    let file = LogFile::open(path, rotation)?;
    let (output, output_guard) = waiting_lines().finish(io::stdout());
    let (lines, file_guard) = waiting_lines().finish(file.clone());
    let (filter, handle) = reload::Layer::new(level.0);
    let queue = lines.error_counter();
    let file_lines = lines.with_filter(|metadata| metadata.target() != TERMINAL_TARGET);
    let layers = vec![layer(output, format), layer(file_lines, format)];
    tracing_subscriber::registry()
        .with(filter)
        .with(layers)
        .try_init()
        .map_err(|error: TryInitError| io::Error::other(error))?;
    Ok((
        LogControl {
            level: Some(handle),
            file: Some(file),
            queue: Some(queue),
        },
        LogGuard {
            _workers: vec![output_guard, file_guard],
        },
    ))
}

/// The most lines that wait to be written; more are dropped and counted. Their places are allocated
/// at once, 32 bytes each. They suffice for a second or two of a manager under attack.
const WAITING_LINES: usize = 4_096;

fn waiting_lines() -> NonBlockingBuilder {
    NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES)
}

fn layer<S, W>(writer: W, format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = subscriber_fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Human => layer.event_format(HumanLine).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            // There is one span at most, that of the connection.
            .with_span_list(false)
            .with_timer(LocalTime("%Y-%m-%dT%H:%M:%S%.3f%:z"))
            .boxed(),
    }
}

/// The local time in the given format.
struct LocalTime(&'static str);

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = present().to_zoned(local_time_zone());
        write!(writer, "{}", now.strftime(self.0))
    }
}

/// `2026-11-20 13:05:09.123 [INFO ] labwire - text`, the form of MSL-Network's lines.
struct HumanLine;

impl<S, N> FormatEvent<S, N> for HumanLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        LocalTime("%Y-%m-%d %H:%M:%S%.3f").format_time(&mut writer)?;
        let level = match *event.metadata().level() {
            tracing::Level::WARN => "WARNING",
            tracing::Level::ERROR => "ERROR",
            tracing::Level::INFO => "INFO",
            tracing::Level::DEBUG => "DEBUG",
            tracing::Level::TRACE => "TRACE",
        };
        write!(writer, " [{level:<5}] labwire - ")?;
        let mut text = String::new();
        context
            .field_format()
            .format_fields(Writer::new(&mut text), event)?;
        write_one_line(&mut writer, &text)?;
        writeln!(writer)
    }
}

/// Writes a text on one line, whatever a peer has put into it.
fn write_one_line(writer: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for part in text.split_inclusive(char::is_control) {
        match part.chars().next_back().filter(|last| last.is_control()) {
            Some(last) => write!(
                writer,
                "{}{}",
                &part[..part.len() - last.len_utf8()],
                last.escape_default()
            )?,
            None => writer.write_str(part)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_python_names_them() {
        for (text, expected) in [
            ("debug", "DEBUG"),
            ("WARNING", "WARNING"),
            ("20", "INFO"),
            ("CRITICAL", "ERROR"),
            ("10", "DEBUG"),
        ] {
            assert_eq!(Level::parse(text).unwrap().to_string(), expected);
        }
        for text in ["", "loud", "-1", "1.5"] {
            assert_eq!(Level::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_cannot_begin_a_line_of_its_own() {
        let mut line = String::new();
        write_one_line(&mut line, "a\n2026 [ERROR] b\u{1b}[31m é\r").unwrap();
        assert_eq!(line, "a\\n2026 [ERROR] b\\u{1b}[31m é\\r");
    }
}
