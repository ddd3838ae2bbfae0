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

    pub(crate) fn error(&self, failure: Failure, of_manager: bool) -> CallError {
        if of_manager || failure.of_manager || self.service == MANAGER_NAME {
            return CallError::Manager {
                message: failure.message,
                // An older manager does not say; it refuses what it does not pass on.
                executed: failure.executed.unwrap_or(Executed::No),
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
