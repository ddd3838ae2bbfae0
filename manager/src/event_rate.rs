//! Limits events that peers can cause as often as they like.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most events in one window: more than a person can read.
const EVENTS: u32 = 100;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts events of all peers together. Beside it, each peer causes no more of them than
/// [`LogLimit`](crate::log_limit::LogLimit) allows log lines.
#[derive(Debug)]
pub(crate) struct EventRate {
    window: Mutex<(Instant, u32)>,
}

impl EventRate {
    pub(crate) fn new() -> Self {
        Self {
            window: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Returns whether one more event may be sent.
    pub(crate) fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.0) >= WINDOW {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
        window.1 <= EVENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_each_second_some_events_are_allowed_and_no_more() {
        let (rate, now) = (EventRate::new(), Instant::now());
        let allowed = |now| (0..1_000).filter(|_| rate.allows_at(now)).count();
        assert_eq!(allowed(now), EVENTS as usize);
        assert_eq!(allowed(now + WINDOW / 2), 0);
        assert_eq!(allowed(now + 2 * WINDOW), EVENTS as usize);
    }
}
