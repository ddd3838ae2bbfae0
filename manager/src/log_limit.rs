//! Limits the log lines about one peer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

/// The most lines about one peer in one window: more than a person or a laboratory's program
/// causes.
const LINES: u32 = 200;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);

/// Counts the log lines about one peer. A peer that is refused a hundred thousand times a second
/// must not fill the disk.
#[derive(Debug)]
pub(crate) struct LogLimit {
    window: Mutex<(Instant, u32)>,
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        Self {
            window: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Returns whether one more line about the peer of that name may be logged.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(window.0) >= WINDOW {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
        if window.1 == LINES {
            info!("{name} causes too many log lines, further ones are left out for a minute");
        }
        window.1 < LINES
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
}
