//! The lines on standard error that tell a person whether a service can be called.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use labwire_home::{local_time_zone, present};
use labwire_wire::visible;

/// Writes one line for each change of a service's registration: when it is registered, when its
/// connection is lost, and when it is registered again; and one for each thing that the manager refuses it.
/// They do not depend on a logger.
#[derive(Clone, Debug)]
pub(crate) struct StatusLines {
    service: String,
    is_on: bool,
}

impl StatusLines {
    /// Creates the lines of the service of this name. Writes nothing unless `is_on`.
    pub(crate) fn new(service: &str, is_on: bool) -> Self {
        Self {
            service: service.to_owned(),
            is_on,
        }
    }

    /// Writes one line.
    pub(crate) fn write(&self, event: impl Display) {
        if self.is_on {
            let now = present().to_zoned(local_time_zone());
            let time = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
            // There is no other place to report that standard error cannot be written.
            let _ = io::stderr().write_all(line(&time, &self.service, &event.to_string()).as_bytes());
        }
    }
}

/// Formats an event as one line. The event may contain text of the manager, which must not command a
/// terminal.
fn line(time: &str, service: &str, event: &str) -> String {
    let event: Vec<&str> = event.lines().map(str::trim).collect();
    format!("{time} {}: {}\n", visible(service), visible(&event.join(" ")))
}

/// Formats a span of time in at most two units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_commands_no_terminal() {
        assert_eq!(
            line(
                "2026-11-28 20:31:02",
                "Echo",
                "disconnected: \u{1b}[2J\n  by the manager\r\n"
            ),
            "2026-11-28 20:31:02 Echo: disconnected: \u{fffd}[2J by the manager\n"
        );
    }

    #[test]
    fn a_span_has_the_units_that_fit_it() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (3_660, "1 h 1 min"),
            (86_400 + 7_200, "1 d 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
