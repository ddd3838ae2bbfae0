//! The terms of a lock.

use std::sync::Arc;
use std::time::Duration;

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
