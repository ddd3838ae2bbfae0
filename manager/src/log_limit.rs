//! Limits the log lines about one peer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

/// The most lines about one peer in one window: more than a person or a laboratory's program
/// causes.
const LINES: u32 = 200;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);

/// Counts the log lines about one peer, and by itself what is published of its requests for approval. A peer
/// that is refused a hundred thousand times a second must not fill the disk.
#[derive(Debug)]
pub(crate) struct LogLimit {
    lines: Window,
    approvals: Window,
}

/// What was counted since when.
#[derive(Debug)]
struct Window(Mutex<(Instant, u32)>);

impl Window {
    fn new() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }

    /// Counts one more, and returns the number of this window.
    fn count(&self) -> u32 {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(window.0) >= WINDOW {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
        window.1
    }
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        Self {
            lines: Window::new(),
            approvals: Window::new(),
        }
    }

    /// Returns whether one more line about the peer of that name may be logged.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let count = self.lines.count();
        if count == LINES {
            info!("{name} causes too many log lines, further ones are left out for a minute");
        }
        count < LINES
    }

    /// Returns whether one more event about requests of the peer for approval may be published, however many
    /// log lines there were about it.
    pub(crate) fn allows_approval(&self) -> bool {
        self.approvals.count() < LINES
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
        // What is published of its requests for approval is counted by itself.
        let allowed = (0..1_000).filter(|_| log_limit.allows_approval()).count();
        assert_eq!(allowed, LINES as usize - 1);
    }
}
