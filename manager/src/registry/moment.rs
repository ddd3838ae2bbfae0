//! A point in time, by both clocks.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// The present, as the caller of the registry reads it from its clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time of day, for texts.
    pub(crate) time: Timestamp,
    /// The time for deadlines, which never goes back.
    pub(crate) instant: Instant,
}

impl Moment {
    /// Returns the moment after that time. Times of day that do not exist become the last one.
    pub(super) fn after(self, duration: Duration) -> Self {
        let later = SignedDuration::try_from(duration)
            .ok()
            .and_then(|duration| self.time.checked_add(duration).ok());
        Self {
            time: later.unwrap_or(Timestamp::MAX),
            // Both are bounded: see `TTL_SECONDS` and `WAIT_SECONDS`.
            instant: self.instant + duration,
        }
    }
}
