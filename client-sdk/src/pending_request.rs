//! A request that waits for its reply.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use labwire_wire::{Executed, MANAGER_NAME};
use tokio::sync::oneshot;

use crate::error::CallError;
use crate::incoming::Failure;
use crate::link_core::LinkCore;

/// What an administrator asks for, and gets no reply to: the connection closes.
const SHUT_DOWN_MANAGER: &str = "shutdown_manager";

/// What a manager does as a whole or not at all.
const REFUSED_AS_A_WHOLE: [&str; 5] = ["acquire_lock", "identity", "link", "release_lock", "unlink"];

/// The JSON text of a result, or why there is none.
pub(crate) type Outcome = Result<Bytes, CallError>;

/// A request that waits for its reply.
pub(crate) struct PendingRequest {
    pub(crate) reply: oneshot::Sender<Outcome>,
    pub(crate) service: String,
    pub(crate) attribute: String,
    /// Whether it may have been written.
    pub(crate) written: bool,
    /// Whether it may be kept while its link is away.
    pub(crate) keep: bool,
    /// The link that it is made through.
    pub(crate) through: Option<Weak<LinkCore>>,
    /// The link that it makes.
    pub(crate) makes: Option<Weak<LinkCore>>,
}

impl PendingRequest {
    pub(crate) fn fail(self, error: CallError) {
        // Who dropped the receiver does not want to know.
        let _ = self.reply.send(Err(error));
    }

    pub(crate) fn disconnected(self, reason: &Arc<str>) {
        if self.written && self.service == MANAGER_NAME && self.attribute == SHUT_DOWN_MANAGER {
            let _ = self.reply.send(Ok(Bytes::from_static(b"null")));
            return;
        }
        let error = CallError::Disconnected {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
            reason: Arc::clone(reason),
            executed: if self.written {
                Executed::Maybe
            } else {
                Executed::No
            },
        };
        self.fail(error);
    }

    pub(crate) fn error(&self, failure: Failure, without_uid: bool) -> CallError {
        if without_uid || failure.of_manager || self.service == MANAGER_NAME {
            let executed = if without_uid {
                // It may be about another request: this one may be executed while it is told.
                Executed::Maybe
            } else {
                // An older manager does not say. It refuses what it does not pass on; what it executes itself for
                // an administrator can fail half-way.
                let refused = self.service != MANAGER_NAME || REFUSED_AS_A_WHOLE.contains(&&*self.attribute);
                failure
                    .executed
                    .unwrap_or(if refused { Executed::No } else { Executed::Maybe })
            };
            return CallError::Manager {
                message: failure.message,
                executed,
            };
        }
        CallError::Service {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
            message: failure.message,
            traceback: failure.traceback,
        }
    }
}
