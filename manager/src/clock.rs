//! The time of day and the time since the start, for the registry.

use std::time::Duration;

use jiff::Timestamp;
use labwire_home::present;
#[cfg(any(test, feature = "fuzzing"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
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
