//! The phases of the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time limit for writing what is queued when the client leaves, and again for the manager to
/// close the connection.
pub(super) const FAREWELL: Duration = Duration::from_secs(4);

/// The reason for the end of a client that has disconnected.
pub(super) const LEFT: &str = "the client has disconnected";

/// The phase of the connection.
#[derive(Debug)]
pub(super) enum Phase {
    Connected,
    /// The client is leaving; the connection is still open.
    Leaving(Farewell),
    /// The connection was lost for this reason; the driver is reconnecting.
    Reconnecting(Arc<str>),
    /// The client has ended, for this reason.
    Closed(Arc<str>),
}

/// The stages of leaving, each with the time at which the client closes in any case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    /// The last frame is queued.
    Queued(Instant),
    /// The last frame was handed out for writing.
    Written(Instant),
    /// All frames are written. The manager closes the connection.
    Heard(Instant),
}

impl Farewell {
    pub(super) fn until(self) -> Instant {
        match self {
            Self::Queued(until) | Self::Written(until) | Self::Heard(until) => until,
        }
    }
}
