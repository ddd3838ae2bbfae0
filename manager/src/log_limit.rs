//! Limits the log lines and the entries of the record about one peer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

/// The most lines about one peer in one window: more than a person or a laboratory's program
/// causes.
const LINES: u32 = 200;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);

/// Counts the log lines and the entries of the record about one peer. A peer that is refused a hundred
/// thousand times a second must not fill the disk.
#[derive(Debug)]
pub(crate) struct LogLimit {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    lines: u32,
    refusals: u32,
    changes: u32,
}

/// The entries of the record that a peer can cause as often as it likes. Each kind has a limit of its
/// own, so that a peer that is refused does not hide what it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Requests that are refused.
    Refusals,
    /// Changes of links and locks.
    Changes,
}

impl Recorded {
    /// Returns the most entries in one window.
    fn most(self) -> u32 {
        match self {
            Self::Refusals => 100,
            Self::Changes => 1_000,
        }
    }

    /// Returns the text of the entry in place of those that are left out.
    pub(crate) fn left_out(self) -> &'static str {
        match self {
            Self::Refusals => "this peer was refused too often, further refusals are left out for a minute",
            Self::Changes => {
                "this peer has changed too many links and locks, further changes are left out for a minute"
            }
        }
    }
}

/// Whether an entry may be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Granted,
    /// It may, and further ones may not in this window.
    Last,
    LeftOut,
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        let window = Window {
            begun: Instant::now(),
            lines: 0,
            refusals: 0,
            changes: 0,
        };
        Self {
            window: Mutex::new(window),
        }
    }

    /// Calls `count` with the current window.
    fn counted<T>(&self, count: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(window.begun) >= WINDOW {
            *window = Window {
                begun: now,
                lines: 0,
                refusals: 0,
                changes: 0,
            };
        }
        count(&mut window)
    }

    /// Returns whether one more line about the peer of that name may be logged.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let lines = self.counted(|window| {
            window.lines = window.lines.saturating_add(1);
            window.lines
        });
        if lines == LINES {
            info!("{name} causes too many log lines, further ones are left out for a minute");
        }
        lines < LINES
    }

    /// Returns whether one more entry of the record about the peer may be written.
    pub(crate) fn share(&self, what: Recorded) -> Share {
        let count = self.counted(|window| {
            let count = match what {
                Recorded::Refusals => &mut window.refusals,
                Recorded::Changes => &mut window.changes,
            };
            *count = count.saturating_add(1);
            *count
        });
        match count.cmp(&what.most()) {
            std::cmp::Ordering::Less => Share::Granted,
            std::cmp::Ordering::Equal => Share::Last,
            std::cmp::Ordering::Greater => Share::LeftOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_cause_some_lines_and_no_more() {
        let log_limit = LogLimit::new();
        let allowed = (0..1_000).filter(|_| log_limit.allows("a")).count();
        assert_eq!(allowed, LINES as usize - 1);
    }

    #[test]
    fn a_peer_may_cause_some_entries_of_each_kind_and_no_more() {
        let log_limit = LogLimit::new();
        for what in [Recorded::Refusals, Recorded::Changes] {
            let shares: Vec<_> = (0..5_000).map(|_| log_limit.share(what)).collect();
            let most = what.most() as usize;
            assert!(shares[..most - 1].iter().all(|share| *share == Share::Granted));
            assert_eq!(shares[most - 1], Share::Last);
            assert!(shares[most..].iter().all(|share| *share == Share::LeftOut));
        }
    }
}
