//! The terms of a lock.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The longest reason of a lock, in bytes: a sentence.
pub(crate) const MOST_REASON: usize = 256;

/// The times to live that a lock can have, in seconds: a shorter one would end before its renewal
/// arrives, and after a year nobody remembers it.
pub(crate) const TTL_SECONDS: RangeInclusive<f64> = 1.0..=31_622_400.0;

/// The times that a request for a lock can wait, in seconds: at most a week.
pub(crate) const WAIT_SECONDS: RangeInclusive<f64> = 0.0..=604_800.0;

/// The terms of a lock, as its client asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Whether all clients that are linked may hold a lock, and not this one only.
    pub(crate) shared: bool,
    /// How long the lock is held without a renewal. `None`: until it is released.
    pub(crate) ttl: Option<Duration>,
    /// Why the client holds it, for others.
    pub(crate) reason: Option<Arc<str>>,
}
