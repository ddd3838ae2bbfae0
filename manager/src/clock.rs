//! The time of day and the time since the start, for the registry.

#[cfg(any(test, feature = "fuzzing"))]
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;
use tokio::time::Instant;

use crate::registry::Moment;

/// The source of the time of day.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    /// The clock of the operating system.
    #[default]
    System,
    /// A clock that is set by hand, in seconds since 1970.
    #[cfg(any(test, feature = "fuzzing"))]
    Set(Arc<AtomicI64>),
}

/// The present, for comparing it with the ends of grants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present<'a> {
    pub(crate) clock: &'a Clock,
    /// The time of day when the manager started, in seconds since 1970.
    pub(crate) start: i64,
    /// The time since then in microseconds, which never goes back.
    pub(crate) micros: u64,
    /// The latest present so far, in seconds since 1970.
    pub(crate) latest: &'a AtomicI64,
}

impl Present<'_> {
    /// Returns the time of day in seconds since 1970. It never goes back: what has ended has ended. If
    /// the clock was set back after the start, it is at least the time that the clock would show
    /// otherwise.
    pub(crate) fn seconds(self) -> i64 {
        let since_start = i64::try_from(self.micros / 1_000_000).unwrap_or(i64::MAX);
        let present = self.clock.now().as_second();
        let present = present.max(self.start.saturating_add(since_start));
        self.latest.fetch_max(present, Ordering::Relaxed).max(present)
    }
}

impl Clock {
    /// Returns the time since `start`, in microseconds. Unlike the time of day, it never goes back.
    pub(crate) fn micros_since(&self, start: Instant) -> u64 {
        match self {
            Self::System => u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Set(seconds) => {
                let seconds = u64::try_from(seconds.load(Ordering::Relaxed)).unwrap_or_default();
                seconds.saturating_mul(1_000_000)
            }
        }
    }

    /// Returns the present, by both clocks. `start` is as in [`micros_since`](Self::micros_since).
    pub(crate) fn moment(&self, start: Instant) -> Moment {
        Moment {
            time: self.now(),
            instant: (start + Duration::from_micros(self.micros_since(start))).into_std(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => present(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Set(seconds) => {
                Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_postpone_the_end_of_a_grant() {
        const HOUR: u64 = 3_600;
        let seconds = Arc::new(AtomicI64::new(1_000_000));
        let clock = Clock::Set(Arc::clone(&seconds));
        let latest = AtomicI64::default();
        let at = |hours: u64| Present {
            clock: &clock,
            start: 1_000_000,
            micros: hours * HOUR * 1_000_000,
            latest: &latest,
        };
        seconds.store(1_003_600, Ordering::Relaxed);
        assert_eq!(at(1).seconds(), 1_003_600);
        // Set back by hours: the time since the start counts.
        seconds.store(990_000, Ordering::Relaxed);
        assert_eq!(at(2).seconds(), 1_007_200);
        // Ahead, as after a suspension: the clock counts.
        seconds.store(2_000_000, Ordering::Relaxed);
        assert_eq!(at(3).seconds(), 2_000_000);
        // What has ended stays so, also if the clock is set right again.
        seconds.store(1_014_400, Ordering::Relaxed);
        assert_eq!(at(4).seconds(), 2_000_000);
    }
}
