//! The time of day for the registry.

use jiff::Timestamp;
#[cfg(any(test, feature = "fuzzing"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

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
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Set(seconds) => {
                Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
            }
        }
    }
}
