//! Whether there is a connection, and whether one is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client that leaves waits for the manager to read what was sent, and once more to close the connection.
pub(super) const FAREWELL: Duration = Duration::from_secs(4);

/// Why a client that has left has no connection.
pub(super) const LEFT: &str = "the client has disconnected";

/// Whether there is a connection.
#[derive(Debug)]
pub(super) enum Phase {
    Connected,
    /// There is one, and it ends as soon as the manager has read everything.
    Leaving(Farewell),
    /// It was lost for this reason, and is made again.
    Reconnecting(Arc<str>),
    /// It has ended for this reason, for ever.
    Closed(Arc<str>),
}

/// How far leaving has come. It ends at this time, whatever the manager does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    /// The last frame waits to be written.
    Queued(Instant),
    /// It was handed out.
    Written(Instant),
    /// All is written, and the manager is to close the connection.
    Heard(Instant),
}

impl Farewell {
    pub(super) fn until(self) -> Instant {
        match self {
            Self::Queued(until) | Self::Written(until) | Self::Heard(until) => until,
        }
    }
}
