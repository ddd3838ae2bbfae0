//! One request that has no reply yet.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use labwire_device::payload::Received;
use labwire_wire::{Executed, MANAGER_NAME, TopicPattern};
use tokio::sync::{oneshot, watch};

use super::incoming::Failure;
use super::links::LinkKey;
use crate::approval::Approval;
use crate::command::{Limit, Outcome, Target};
use crate::error::CallError;
use crate::follower::Follower;
use crate::lock_options::LockOptions;
use crate::status::LinkStatus;

/// The request that succeeds when the connection closes.
const SHUT_DOWN_MANAGER: &str = "shutdown_manager";

/// The requests that a manager executes as a whole or not at all.
const REFUSED_AS_A_WHOLE: [&str; 9] = [
    "acquire_lock",
    "cancel",
    "identity",
    "link",
    "release_lock",
    "renew_lock",
    "subscribe",
    "unlink",
    "unsubscribe",
];

/// The requests to the manager that anybody may send.
const PUBLIC: [&str; 11] = [
    "acquire_lock",
    "cancel",
    "identity",
    "link",
    "publish",
    "release_lock",
    "renew_lock",
    "status",
    "subscribe",
    "unlink",
    "unsubscribe",
];

/// A request that has no reply yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) purpose: Purpose,
    pub(super) limit: Option<Limit>,
    pub(super) stage: Stage,
    /// What the manager has told about the approval of a call, once it has, or somebody asks for it.
    pub(super) approval: Option<watch::Sender<Option<Approval>>>,
    /// Whether the time limit has passed, and the manager is asked whether the call was executed.
    pub(super) is_overdue: bool,
}

/// The purpose of a request, with the sender for its reply.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A call through a link, or with `None` to the manager. It can be kept.
    Call {
        through: Option<LinkKey>,
        /// The receiver of progress and items, if the caller wants them.
        follower: Option<Box<Follower>>,
        reply: oneshot::Sender<Outcome>,
    },
    /// A link that a caller asks for.
    Link {
        link: LinkKey,
        reply: oneshot::Sender<Result<watch::Receiver<LinkStatus>, CallError>>,
    },
    /// A link that was lost, and is made again.
    LinkAgain { link: LinkKey },
    /// A lock. The uid of the request names its guard.
    Lock {
        link: LinkKey,
        service: Arc<str>,
        options: LockOptions,
        reply: LockReply,
    },
    /// The link of a lock that was granted with one.
    LockedLink {
        link: LinkKey,
        /// The guard of the lock.
        guard: u64,
        service: Arc<str>,
        /// The list of the linked clients.
        clients: Received,
        reply: LockedReply,
    },
    /// A lock that the manager has kept over its restart, and is taken again with its link.
    LockAgain { link: LinkKey, service: Arc<str> },
    /// The renewal of a lock.
    Renewal { link: LinkKey },
    /// The question whether a link still exists.
    LinkCheck { link: LinkKey },
    /// The question whether a lock is still held.
    LockCheck { link: LinkKey },
    /// A request whose reply comes after those that the manager has kept. The other requests have
    /// lost their replies if they have none by then.
    Barrier { suspects: Vec<u64> },
    /// A subscription to topics, of the reader with that number. `None` for one that is made again.
    Subscription {
        number: u64,
        pattern: TopicPattern,
        reply: Option<oneshot::Sender<Outcome>>,
    },
    /// The cancellation of a call whose time limit has passed while it waited for approval.
    LastWord { call: u64 },
    /// The end of a link or a lock.
    Ending { reply: oneshot::Sender<Outcome> },
}

/// The sender for the link of a lock, with the list of the linked clients.
pub(super) type LockedReply = oneshot::Sender<Result<(watch::Receiver<LinkStatus>, Received), CallError>>;

/// The sender for the reply to a request for a lock.
#[derive(Debug)]
pub(super) enum LockReply {
    /// For a client that is linked: the list of the linked clients.
    Clients(oneshot::Sender<Outcome>),
    /// For one that may not be: with the link, which is requested next.
    WithLink(LockedReply),
}

impl LockReply {
    pub(super) fn fail(self, error: CallError) {
        // An error means that the caller no longer waits.
        match self {
            Self::Clients(reply) => drop(reply.send(Err(error))),
            Self::WithLink(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// The progress of a request.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its frame is queued.
    Queued,
    /// It is kept until its connection or link is back.
    Kept(Bytes),
    /// Its frame was handed out for writing: it may have been executed. Holds the position of its
    /// end in the session, if there is one.
    Written(u64),
}

impl Request {
    pub(super) fn new(target: Target, purpose: Purpose, limit: Option<Limit>) -> Self {
        Self {
            target,
            purpose,
            limit,
            stage: Stage::Queued,
            approval: None,
            is_overdue: false,
        }
    }

    /// Whether the manager has told that it waits for approval.
    pub(super) fn waits_for_approval(&self) -> bool {
        let latest = self.approval.as_ref().map(watch::Sender::borrow);
        latest.is_some_and(|latest| matches!(*latest, Some(Approval::Waits { .. })))
    }

    /// Returns the place of what the manager tells about its approval.
    pub(super) fn approval(&mut self) -> &watch::Sender<Option<Approval>> {
        self.approval.get_or_insert_with(|| watch::channel(None).0)
    }

    fn executed(&self) -> Executed {
        match self.stage {
            Stage::Written(_) => Executed::Maybe,
            Stage::Queued | Stage::Kept(_) => Executed::No,
        }
    }

    /// Whether the manager may ask for a login before it answers.
    pub(super) fn needs_login(&self) -> bool {
        &*self.target.service == MANAGER_NAME && !PUBLIC.contains(&&*self.target.attribute)
    }

    pub(super) fn is_written(&self) -> bool {
        matches!(self.stage, Stage::Written(_))
    }

    /// Whether the caller no longer waits for the reply.
    pub(super) fn is_forgotten(&self) -> bool {
        match &self.purpose {
            Purpose::Call { reply, .. }
            | Purpose::Lock {
                reply: LockReply::Clients(reply),
                ..
            }
            | Purpose::Ending { reply } => reply.is_closed(),
            Purpose::Lock {
                reply: LockReply::WithLink(reply),
                ..
            }
            | Purpose::LockedLink { reply, .. } => reply.is_closed(),
            Purpose::Link { reply, .. } => reply.is_closed(),
            // A subscription is always requested, so that requests and readers stay in step.
            Purpose::LinkAgain { .. }
            | Purpose::LockAgain { .. }
            | Purpose::LinkCheck { .. }
            | Purpose::LockCheck { .. }
            | Purpose::Barrier { .. }
            | Purpose::Renewal { .. }
            | Purpose::LastWord { .. }
            | Purpose::Subscription { .. } => false,
        }
    }

    /// Fails the request.
    pub(super) fn fail(self, error: CallError) {
        // An error of `send` means that the caller no longer waits.
        match self.purpose {
            Purpose::Call { reply, .. }
            | Purpose::Lock {
                reply: LockReply::Clients(reply),
                ..
            }
            | Purpose::Ending { reply }
            | Purpose::Subscription {
                reply: Some(reply), ..
            } => {
                let _ = reply.send(Err(error));
            }
            Purpose::Lock {
                reply: LockReply::WithLink(reply),
                ..
            }
            | Purpose::LockedLink { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Purpose::Link { reply, .. } => {
                let _ = reply.send(Err(error));
            }
            Purpose::LinkAgain { .. }
            | Purpose::LockAgain { .. }
            | Purpose::LinkCheck { .. }
            | Purpose::LockCheck { .. }
            | Purpose::Barrier { .. }
            | Purpose::Renewal { .. }
            | Purpose::LastWord { .. }
            | Purpose::Subscription { .. } => {}
        }
    }

    /// Whether it may have stopped the manager.
    pub(super) fn shuts_manager_down(&self) -> bool {
        &*self.target.service == MANAGER_NAME
            && &*self.target.attribute == SHUT_DOWN_MANAGER
            && self.is_written()
    }

    /// Fails the request because there is no connection.
    pub(super) fn disconnected(self, reason: &Arc<str>) {
        let shuts_down = self.shuts_manager_down();
        let executed = self.executed();
        match self.purpose {
            Purpose::Call { reply, .. } if shuts_down => {
                let _ = reply.send(Ok(Bytes::from_static(b"null").into()));
            }
            _ => {
                let error = self.target.disconnected(reason, executed);
                self.fail(error);
            }
        }
    }

    /// Fails the request because its link has ended, with a lock for `lock_end` if that is set.
    pub(super) fn unlinked(self, lock_end: Option<&Arc<str>>) {
        let error = self.target.unlinked(lock_end);
        self.fail(error);
    }

    /// Whether the time limit has passed.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.limit.is_some_and(|limit| limit.deadline <= now)
    }

    pub(super) fn timed_out(self) {
        let error = self.timeout_error(self.executed());
        self.fail(error);
    }

    fn timeout_error(&self, executed: Executed) -> CallError {
        let timeout = self.limit.map_or_else(Default::default, |limit| limit.timeout);
        self.target.timed_out(timeout, executed)
    }

    /// Returns the error that an error reply means for the request.
    pub(super) fn error(&self, failure: Failure, without_uid: bool) -> CallError {
        let for_manager = &*self.target.service == MANAGER_NAME;
        if without_uid || failure.of_manager || for_manager {
            let executed = if without_uid {
                // The error may be about another request; this one may still be executed.
                Executed::Maybe
            } else {
                // An older manager does not include `executed`. It does not pass on what it
                // refuses. A request that it executes itself for an administrator can fail
                // half-way.
                let refused = !for_manager || REFUSED_AS_A_WHOLE.contains(&&*self.target.attribute);
                failure
                    .executed
                    .unwrap_or(if refused { Executed::No } else { Executed::Maybe })
            };
            match failure.ended.as_deref() {
                Some("cancelled") if self.is_overdue => return self.timeout_error(executed),
                Some("cancelled") => return self.target.cancelled(failure.message, executed),
                Some("deadline") => {
                    return CallError::DeadlinePassed {
                        service: self.target.service.to_string(),
                        attribute: self.target.attribute.to_string(),
                        message: failure.message,
                        executed,
                    };
                }
                _ => {}
            }
            return CallError::Manager {
                message: failure.message,
                executed,
                lock: failure.lock,
            };
        }
        CallError::Service {
            service: self.target.service.to_string(),
            attribute: self.target.attribute.to_string(),
            message: failure.message,
            traceback: failure.traceback,
        }
    }
}
