//! What handles ask of the task that owns the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_wire::Executed;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::error::CallError;
use crate::notification_queue::NotificationSender;
use crate::status::LinkStatus;

/// The JSON text of a result, or why there is none.
pub(crate) type Outcome = Result<Bytes, CallError>;

/// The permit of a request that waits to be written. Callers are held back while there are none.
#[derive(Debug)]
pub(crate) struct Room {
    #[expect(dead_code, reason = "it is held, not read")]
    permit: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { permit }
    }
}

/// What handles ask of the task that owns the connection.
///
/// A caller that drops the receiver of a `reply` does not want it any more: a request that was not written yet is not
/// written then, but for what ends a link or a lock.
#[derive(Debug)]
pub(crate) enum Command {
    Call(CallCommand),
    /// Link with a service. The uid is the new holder's number as well: it keeps the link until it leaves.
    Link {
        uid: u64,
        service: Arc<str>,
        room: Option<Room>,
        reply: oneshot::Sender<Result<watch::Receiver<LinkStatus>, CallError>>,
    },
    /// End a link for all its holders.
    Unlink {
        uid: u64,
        holder: u64,
        reply: oneshot::Sender<Outcome>,
    },
    /// The service of a link ends itself: the link ends, and the manager need not be told.
    EndLink {
        holder: u64,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    /// Add a reader of a link's notifications.
    Subscribe {
        holder: u64,
        reader: NotificationSender,
    },
    /// Acquire a lock. The uid is the guard's number as well: it keeps the lock until it releases it.
    Lock {
        uid: u64,
        holder: u64,
        shared: bool,
        reply: oneshot::Sender<Outcome>,
    },
    /// Release the lock of a guard.
    Release {
        uid: u64,
        holder: u64,
        guard: u64,
        /// `None` for a guard that was dropped.
        reply: Option<oneshot::Sender<Outcome>>,
    },
    /// Nobody waits for the reply to a call any more.
    Forget {
        uid: u64,
    },
    /// A holder of a link is gone.
    LeaveLink {
        holder: u64,
    },
    /// Leave the manager.
    Disconnect,
}

/// Make a call.
#[derive(Debug)]
pub(crate) struct CallCommand {
    pub(crate) uid: u64,
    pub(crate) frame: Bytes,
    pub(crate) target: Target,
    /// A holder of the link that it goes through; `None` for a request to the manager.
    pub(crate) through: Option<u64>,
    pub(crate) limit: Option<Limit>,
    pub(crate) room: Option<Room>,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
}

/// What is asked of whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) service: Arc<str>,
    pub(crate) attribute: Arc<str>,
}

impl Target {
    pub(crate) fn new(service: impl Into<Arc<str>>, attribute: impl Into<Arc<str>>) -> Self {
        Self {
            service: service.into(),
            attribute: attribute.into(),
        }
    }

    pub(crate) fn disconnected(&self, reason: &Arc<str>, executed: Executed) -> CallError {
        CallError::Disconnected {
            service: self.service.to_string(),
            attribute: self.attribute.to_string(),
            reason: Arc::clone(reason),
            executed,
        }
    }

    pub(crate) fn timed_out(&self, timeout: Duration, executed: Executed) -> CallError {
        CallError::TimedOut {
            service: self.service.to_string(),
            attribute: self.attribute.to_string(),
            timeout,
            executed,
        }
    }

    pub(crate) fn unlinked(&self) -> CallError {
        CallError::Unlinked {
            service: self.service.to_string(),
            attribute: self.attribute.to_string(),
        }
    }
}
