//! Reports changes of a connection on standard error, and measures the gaps.

use jiff::Timestamp;
use labwire_home::{local_time_zone, present};
use labwire_wire::visible;

use crate::breaks::{RETURNING, SESSION_KEPT};
use crate::counted::counted;
use crate::feed::{Event, Heard};
use crate::moment::{localized, moment};
use crate::output::{one_line, tell};

/// A time in which a service was not linked.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
}

impl Gap {
    /// Returns its length in seconds; 0 if the clock was set back meanwhile.
    pub(crate) fn seconds(&self) -> f64 {
        self.until.duration_since(self.since).as_secs_f64().max(0.0)
    }
}

/// A break of the connection whose session the manager keeps, or its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Break {
    Begun { time: Timestamp },
    Ended { time: Timestamp, seconds: f64 },
}

impl Break {
    /// Returns the name of the event in the output for programs.
    pub(crate) fn event(self) -> &'static str {
        match self {
            Self::Begun { .. } => "away",
            Self::Ended { .. } => "back",
        }
    }

    pub(crate) fn time(self) -> Timestamp {
        match self {
            Self::Begun { time } | Self::Ended { time, .. } => time,
        }
    }

    /// Returns how long it was; `None` at its beginning.
    pub(crate) fn seconds(self) -> Option<f64> {
        match self {
            Self::Begun { .. } => None,
            Self::Ended { seconds, .. } => Some(seconds),
        }
    }
}

/// What an event ends or begins.
#[derive(Clone, Debug)]
pub(crate) enum Interruption {
    /// This gap has ended.
    Gap(Gap),
    Break(Break),
}

/// Reports the events of one service, or of the manager alone, on standard error. Remembers since
/// when it is away.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    /// Since when it is away and why; `None` before the first link, and while it is linked.
    away: Option<(Timestamp, String)>,
    /// Since when the connection is broken whose session the manager keeps.
    broken: Option<Timestamp>,
    is_quiet: bool,
}

impl Narrator {
    /// Creates a narrator. With `is_quiet`, it writes nothing.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self {
            away: None,
            broken: None,
            is_quiet,
        }
    }

    /// Writes a line, unless it is quiet. Characters that control a terminal are replaced.
    pub(crate) fn tell(&self, line: &str) {
        if !self.is_quiet {
            tell(format_args!("labwire: {}", in_one_line(&localized(line))));
        }
    }

    /// Reports an event. Returns what it means for the time without values.
    pub(crate) fn hear(&mut self, heard: &Heard) -> Option<Interruption> {
        let name = match heard.service.as_deref() {
            Some(name) => format!("'{}'", one_line(name)),
            None => "the manager".to_owned(),
        };
        match &heard.event {
            Event::Waiting { reason, .. } => self.tell(&format!("waiting for {name}: {reason}")),
            Event::Linked { time, manager } => {
                let manager = one_line(manager);
                let Some((since, reason)) = self.away.take() else {
                    if heard.service.is_some() {
                        self.tell(&format!("linked with {name} at {manager}"));
                    }
                    return None;
                };
                let gap = Gap {
                    since,
                    until: *time,
                    reason,
                };
                self.tell(&format!(
                    "{name} is back: gap since {} until {} ({:.1} s)",
                    moment(gap.since),
                    moment(gap.until),
                    gap.seconds()
                ));
                return Some(Interruption::Gap(gap));
            }
            Event::Away { time, reason, .. } => {
                self.tell(&format!(
                    "{name} is away since {}: {reason}; waiting for it",
                    moment(*time)
                ));
                self.away = Some((*time, reason.clone()));
                self.broken = None;
            }
            Event::Notified { notification, .. } if notification.lost() > 0 => {
                self.tell(&format!(
                    "{name}: {} dropped, because they are written too slowly",
                    counted(notification.lost(), "notification")
                ));
            }
            Event::Broken { time } => {
                self.broken = Some(*time);
                self.tell(RETURNING);
                return Some(Interruption::Break(Break::Begun { time: *time }));
            }
            Event::Back { time } => {
                let since = self.broken.take().unwrap_or(*time);
                let seconds = time.duration_since(since).as_secs_f64().max(0.0);
                self.tell(&format!("back after {seconds:.1} s, {SESSION_KEPT}"));
                let time = *time;
                return Some(Interruption::Break(Break::Ended { time, seconds }));
            }
            Event::Notified { .. } | Event::Published { .. } | Event::Polled(_) => {}
        }
        None
    }

    /// Returns the gap that is still open at the end.
    pub(crate) fn end(&mut self) -> Option<Gap> {
        let (since, reason) = self.away.take()?;
        Some(Gap {
            since,
            until: present(),
            reason,
        })
    }
}

/// Returns a text in one line, without characters that control a terminal: it may contain what a
/// manager or a service has sent.
fn in_one_line(text: &str) -> String {
    visible(&text.replace('\n', "; "))
}

/// Returns a time as people write it, in the computer's time zone, to the millisecond: that of a value.
pub(crate) fn local(time: Timestamp) -> String {
    time.to_zoned(local_time_zone())
        .strftime("%Y-%m-%d %H:%M:%S%.3f")
        .to_string()
}

/// Returns a time for programs: ISO 8601 in UTC, with microseconds.
pub(crate) fn utc(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_manager_cannot_control_the_terminal() {
        assert_eq!(in_one_line("away: \u{1b}[2J\nnext"), "away: \u{fffd}[2J; next");
    }
}
