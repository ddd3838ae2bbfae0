//! Handles lines from the manager.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use labwire_wire::{Line, MANAGER_NAME};
use tracing::{debug, warn};

use super::incoming::{Failure, Incoming};
use super::links::LinkKey;
use super::machine::Engine;
use super::requests::Purpose;
use crate::error::CallError;
use crate::identities::ServiceIdentity;
use crate::notification::Notification;
use crate::status::LinkState;

impl Engine {
    /// Handles a line from the manager.
    pub(crate) fn handle_line(&mut self, line: Line, now: Instant) {
        match Incoming::read(&line) {
            Some(Incoming::Result { uid, result }) => self.succeed(&uid, result),
            Some(Incoming::Failure { uid, failure }) => self.fail(&uid, failure, now),
            Some(Incoming::Notification { service, result }) => self.notify(&service, &result),
            Some(Incoming::Request { attribute, argument }) => match attribute.as_str() {
                "registered" => self
                    .status
                    .send_modify(|status| status.about.network_name = argument),
                "unlinked" => self.unlinked(&argument),
                _ => {
                    if !self.questions.push(line) {
                        warn!("the manager asks more before it was answered");
                    }
                }
            },
            None => warn!(
                "the manager sent a line that means nothing: {} bytes",
                line.content().len()
            ),
        }
    }

    /// Handles a result.
    fn succeed(&mut self, uid: &str, result: Bytes) {
        let uid = if uid.is_empty() {
            self.requests.newest_for_manager()
        } else {
            uid.parse().ok()
        };
        let Some(uid) = uid else { return };
        let Some(request) = self.requests.take_answered(uid) else {
            return;
        };
        // An error of `send` means that the caller no longer waits.
        match request.purpose {
            Purpose::Call { reply, .. } | Purpose::Ending { reply } => {
                let _ = reply.send(Ok(result));
            }
            Purpose::Lock { link, reply } => {
                if let Some(link) = self.links.get_mut(link) {
                    link.granted(uid);
                }
                let _ = reply.send(Ok(result));
            }
            Purpose::Link { link, reply } => {
                let linked = self.linked(link, &result);
                let status = self.links.get_mut(link).map(|link| link.subscribe());
                let answer = match (linked, status) {
                    (Ok(()), Some(status)) => Ok(status),
                    (Err(error), _) => Err(error),
                    (Ok(()), None) => Err(request.target.unlinked()),
                };
                let _ = reply.send(answer);
            }
            Purpose::LinkAgain { link } => {
                if let Err(error) = self.linked(link, &result) {
                    warn!("a service that is linked again cannot be read: {error}");
                }
            }
        }
    }

    /// Marks a link as made, and queues the calls that are kept for it unless the client is
    /// leaving.
    fn linked(&mut self, key: LinkKey, result: &[u8]) -> Result<(), CallError> {
        let (identity, outcome) = match ServiceIdentity::from_json(result) {
            Ok(identity) => (Some(identity), Ok(())),
            Err(error) => {
                let error = CallError::Decode {
                    service: MANAGER_NAME.to_owned(),
                    attribute: "link".to_owned(),
                    error,
                };
                (None, Err(error))
            }
        };
        if self.links.linked(key, identity) && self.is_connected() {
            self.queue_kept(Some(key));
        }
        outcome
    }

    /// Handles an error reply.
    fn fail(&mut self, uid: &str, failure: Failure, now: Instant) {
        let is_named = !uid.is_empty();
        let uid = if is_named {
            uid.parse().ok()
        } else {
            debug!("the manager says: {}", failure.message);
            self.last_words = Some(failure.message.clone());
            self.requests.guess(&failure.message)
        };
        let Some(uid) = uid else { return };
        let Some(request) = self.requests.take_answered(uid) else {
            return;
        };
        if let Purpose::LinkAgain { link } = request.purpose {
            // The service may be back, or have a free place, later.
            debug!("a service is not linked again yet: {}", failure.message);
            if self.is_connected() {
                self.links.ask_later(link, now);
            }
            return;
        }
        let error = request.error(failure, !is_named);
        self.fail_request(uid, request, error);
    }

    fn notify(&mut self, service: &str, result: &Bytes) {
        if let Some((_, link)) = self.links.with(service)
            && let Some(notification) = Notification::new(Arc::clone(&link.service), result)
        {
            link.notify(&notification);
        }
    }

    /// Handles the end of a link because its service has disconnected. A client that reconnects
    /// requests the link again.
    fn unlinked(&mut self, service: &str) {
        let Some((key, link)) = self.links.with(service) else {
            return;
        };
        if link.state() == LinkState::Away {
            // The link was requested again already.
            return;
        }
        debug!("the service '{service}' has left");
        self.links.lose(key, self.config.backoff.is_some());
        self.ask_again(key);
    }
}
