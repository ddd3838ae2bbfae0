//! The commands that handles send to the driver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_device::payload::Received;
use labwire_wire::{Executed, TopicPattern};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::approval::Approval;
use crate::error::CallError;
use crate::follower::Follower;
use crate::lock_options::LockOptions;
use crate::notification_queue::NotificationSender;
use crate::status::LinkStatus;

/// A result that is not decoded, or an error.
pub(crate) type Outcome = Result<Received, CallError>;

/// A permit to queue a request. It is returned when the request is handed out for writing.
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

/// A command from a handle to the driver.
///
/// Dropping the receiver of a `reply` cancels a request that was not handed out for writing yet.
/// Requests that end a link or a lock are written in any case.
#[derive(Debug)]
pub(crate) enum Command {
    Call(CallCommand),
    /// Link with a service. `uid` also names the new holder, which keeps the link until it sends
    /// [`LeaveLink`](Self::LeaveLink).
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
    /// End a link without telling the manager: its service is shutting down.
    EndLink {
        holder: u64,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    /// Add a reader of a link's notifications.
    Subscribe {
        holder: u64,
        reader: NotificationSender,
    },
    /// Acquire a lock. `uid` also names the guard, which keeps the lock until it sends
    /// [`Release`](Self::Release).
    Lock {
        uid: u64,
        holder: u64,
        options: LockOptions,
        reply: oneshot::Sender<Outcome>,
    },
    /// Acquire a lock with a link. `uid` names the new holder of the link and the guard. The reply
    /// has the list of the linked clients, too.
    LockService {
        uid: u64,
        service: Arc<str>,
        options: LockOptions,
        room: Option<Room>,
        reply: oneshot::Sender<Result<(watch::Receiver<LinkStatus>, Received), CallError>>,
    },
    /// Release the lock of a guard.
    Release {
        uid: u64,
        holder: u64,
        guard: u64,
        /// `None` for a guard that was dropped.
        reply: Option<oneshot::Sender<Outcome>>,
    },
    /// Subscribe to the topics that match a pattern. `number` is the uid of the request, and names
    /// the reader until it sends [`LeaveTopic`](Self::LeaveTopic).
    SubscribeTopic {
        number: u64,
        pattern: TopicPattern,
        reader: NotificationSender,
        room: Option<Room>,
        reply: oneshot::Sender<Outcome>,
    },
    /// Remove a reader of topics.
    LeaveTopic {
        number: u64,
    },
    /// Cancel the call with the uid `call`.
    Cancel {
        uid: u64,
        call: u64,
        reason: Option<String>,
        reply: oneshot::Sender<Outcome>,
    },
    /// Return whether the call with the uid `call` waits for approval, and the changes. Dropping the
    /// reply means that it has ended.
    Approval {
        call: u64,
        reply: oneshot::Sender<watch::Receiver<Option<Approval>>>,
    },
    /// Forget a call, as [`Forget`](Self::Forget) does, and cancel it if it was written.
    Abandon {
        uid: u64,
    },
    /// Forget a request: its caller no longer waits for the reply.
    Forget {
        uid: u64,
    },
    /// Remove a holder from its link. The link ends with its last holder.
    LeaveLink {
        holder: u64,
    },
    /// Leave the manager.
    Disconnect,
}

/// The data of a call.
#[derive(Debug)]
pub(crate) struct CallCommand {
    pub(crate) uid: u64,
    pub(crate) frame: Bytes,
    pub(crate) target: Target,
    /// A holder of the call's link; `None` for a request to the manager.
    pub(crate) through: Option<u64>,
    pub(crate) limit: Option<Limit>,
    pub(crate) room: Option<Room>,
    /// The receiver of progress and items, if the caller wants them.
    pub(crate) follower: Option<Box<Follower>>,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// The time limit of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
}

/// The service and the attribute that a request is for.
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

    pub(crate) fn cancelled(&self, message: String, executed: Executed) -> CallError {
        CallError::Cancelled {
            service: self.service.to_string(),
            attribute: self.attribute.to_string(),
            message,
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

    /// Returns the error of a call through a link that has ended, with a lock for `lock_end` if
    /// that is set.
    pub(crate) fn unlinked(&self, lock_end: Option<&Arc<str>>) -> CallError {
        if let Some(reason) = lock_end {
            return CallError::LockEnded {
                service: self.service.to_string(),
                attribute: self.attribute.to_string(),
                reason: Arc::clone(reason),
            };
        }
        CallError::Unlinked {
            service: self.service.to_string(),
            attribute: self.attribute.to_string(),
        }
    }
}
