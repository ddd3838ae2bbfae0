//! Handles lines from the manager.

use std::sync::Arc;
use std::time::Instant;

use labwire_device::payload::Received;
use labwire_wire::{Executed, Line, MANAGER_NAME, TopicPattern};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::incoming::{Failure, Incoming};
use super::links::LinkKey;
use super::machine::Engine;
use super::request::{LockReply, LockedReply, Purpose};
use crate::command::Target;
use crate::error::CallError;
use crate::identities::ServiceIdentity;
use crate::notification::Notification;
use crate::status::{LinkState, LinkStatus};
use crate::topic_value::TopicValue;

impl Engine {
    /// Handles a line from the manager.
    pub(crate) fn handle_line(&mut self, line: Line, now: Instant) {
        if let Some(session) = &mut self.session {
            session.heard();
        }
        match Incoming::read(&line) {
            Some(Incoming::Result { uid, result }) => self.succeed(&uid, result, now),
            Some(Incoming::Failure { uid, failure }) => self.fail(&uid, failure, now),
            Some(Incoming::Notification { service, result }) => self.notify(&service, &result),
            Some(Incoming::Partial { uid, partial }) => self.pass_on(&uid, partial),
            Some(Incoming::Request {
                attribute,
                mut arguments,
            }) => match (attribute.as_str(), &mut *arguments) {
                ("registered", [name, ..]) => self
                    .status
                    .send_modify(|status| status.about.network_name = std::mem::take(name)),
                ("unlinked", [service, ..]) => self.unlinked(service),
                ("lock_ended", [service, _, reason, ..]) => {
                    if let Some((key, _)) = self.links.with(service) {
                        let reason = Arc::from(reason.as_str());
                        self.lock_ended(key, &reason);
                    }
                }
                ("down" | "up", [service, ..]) => {
                    debug!("the service '{service}' is {attribute}");
                    if let Some((_, link)) = self.links.with(service) {
                        link.set_service_away(attribute == "down");
                    }
                }
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
    fn succeed(&mut self, uid: &str, result: Received, now: Instant) {
        let uid = if uid.is_empty() {
            self.requests.newest_for_manager()
        } else {
            uid.parse().ok()
        };
        let Some(uid) = uid else { return };
        self.note_answer(uid);
        let Some(request) = self.requests.take_answered(uid) else {
            return;
        };
        // An error of `send` means that the caller no longer waits.
        match request.purpose {
            Purpose::Call { reply, .. } | Purpose::Ending { reply } => {
                let _ = reply.send(Ok(result));
            }
            Purpose::Lock {
                link: key,
                service,
                options,
                reply,
            } => {
                if let Some(link) = self.links.get_mut(key) {
                    link.granted(uid, &options);
                }
                if self.links.state(key) == LinkState::Ended {
                    self.give_back(&service);
                    let lock_end = self.links.get_mut(key).and_then(|link| link.lock_end());
                    return reply.fail(request.target.unlinked(lock_end.as_ref()));
                }
                self.links.renew_later(key, options.ttl, now);
                match reply {
                    LockReply::Clients(reply) => {
                        let _ = reply.send(Ok(result));
                    }
                    LockReply::WithLink(reply) => self.link_locked((key, service), uid, result, reply),
                }
            }
            Purpose::LockedLink {
                link,
                guard,
                service,
                clients,
                reply,
            } => {
                let status = self.locked_link_made((link, guard), &service, &request.target, &result);
                let _ = reply.send(status.map(|status| (status, clients)));
            }
            Purpose::Subscription {
                number,
                pattern,
                reply,
            } => {
                self.subscribed(number, &pattern);
                if let Some(reply) = reply {
                    let _ = reply.send(Ok(result));
                }
            }
            Purpose::LockAgain { link, service } => self.lock_taken_again(link, &service, now),
            Purpose::Renewal { .. } | Purpose::LockCheck { .. } => {}
            Purpose::Barrier { suspects } => self.give_up(suspects),
            Purpose::LastWord { call } => self.end_overdue(call),
            Purpose::Link { link, reply } => {
                let _ = reply.send(self.link_made(link, &request.target, &result));
            }
            Purpose::LinkAgain { link } | Purpose::LinkCheck { link } => {
                if let Err(error) = self.linked(link, &result) {
                    warn!("a service that is linked again cannot be read: {error}");
                }
            }
        }
    }

    /// Notes that a subscription is confirmed, and ends it if its readers have gone.
    fn subscribed(&mut self, number: u64, pattern: &TopicPattern) {
        if self.topics.answered(number, pattern) && self.is_connected() {
            self.tell_manager("unsubscribe", pattern.as_str());
        }
    }

    /// Handles the result of a request for a link. Returns the status of the link.
    fn link_made(
        &mut self,
        key: LinkKey,
        target: &Target,
        result: &[u8],
    ) -> Result<watch::Receiver<LinkStatus>, CallError> {
        self.linked(key, result)?;
        let state = self.links.state(key);
        let Some(link) = self.links.get_mut(key) else {
            return Err(target.unlinked(None));
        };
        match link.lock_end() {
            // The lock of another guard had ended just before.
            Some(lock_end) if state == LinkState::Ended => Err(target.unlinked(Some(&lock_end))),
            _ => Ok(link.subscribe()),
        }
    }

    /// As [`link_made`](Self::link_made), for the link of a lock that was granted with one.
    fn locked_link_made(
        &mut self,
        (key, guard): (LinkKey, u64),
        service: &str,
        target: &Target,
        result: &[u8],
    ) -> Result<watch::Receiver<LinkStatus>, CallError> {
        let link = self.links.get_mut(key);
        let is_locked = link.as_ref().is_some_and(|link| link.is_locked());
        // The lock may have ended before its link was confirmed.
        let lock_end = link.and_then(|link| link.lock_end_of(guard));
        if let Some(lock_end) = lock_end {
            if is_locked {
                // Another guard has it by now, with this link.
                self.linked(key, result)?;
            } else {
                self.end_link(key);
                self.give_back(service);
            }
            return Err(target.unlinked(Some(&lock_end)));
        }
        self.linked(key, result)?;
        let link = self.links.get_mut(key);
        link.map(|link| link.subscribe())
            .ok_or_else(|| target.unlinked(None))
    }

    /// Requests the link of a lock that was granted to a guard: the manager has made it, and the reply
    /// has the service's identity.
    pub(super) fn link_locked(
        &mut self,
        (link, service): (LinkKey, Arc<str>),
        guard: u64,
        clients: Received,
        reply: LockedReply,
    ) {
        if let Some(reason) = self.without_connection() {
            let target = Target::new(MANAGER_NAME, "link");
            // An error means that the caller no longer waits.
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        let is_final = self.links.state(link) == LinkState::Away && self.config.backoff.is_none();
        if reply.is_closed() && is_final && !self.requests.asks_for(link) {
            // The manager has made a link that nobody waits for.
            self.tell_manager("unlink", &service);
            return;
        }
        let purpose = Purpose::LockedLink {
            link,
            guard,
            service: Arc::clone(&service),
            clients,
            reply,
        };
        let uid = self.uids.next();
        self.queue_manager_request((uid, "link"), (&service, "{}"), purpose);
    }

    /// Handles the end of a lock that was not released. The link ends with it, so that nobody takes
    /// the service for locked; the caller may link again.
    pub(super) fn lock_ended(&mut self, key: LinkKey, reason: &Arc<str>) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if link.state() != LinkState::Linked {
            // This link was requested, and is made or refused, after the lock has ended.
            if link.is_locked() {
                link.lock_ended(reason);
            }
            return;
        }
        warn!("{reason}");
        if link.lock_ended(reason) {
            self.end_link(key);
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
        if self.links.linked(key, identity) {
            if self.is_connected() {
                self.queue_kept(Some(key));
            }
        } else if let Some(link) = self.links.get_mut(key)
            && link.lock_end().is_some()
        {
            // The lock had ended when the manager made this link, which the caller was not to use.
            let service = Arc::clone(&link.service);
            self.give_back(&service);
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
        self.note_answer(uid);
        let Some(request) = self.requests.take_answered(uid) else {
            return;
        };
        match request.purpose {
            Purpose::LinkAgain { link } => {
                // The service may be back, or have a free place, later.
                debug!("a service is not linked again yet: {}", failure.message);
                if self.is_connected() {
                    self.links.ask_later(link, now);
                }
                return;
            }
            Purpose::LockAgain { link, service } => {
                return self.lock_not_taken_again(link, &service, &failure, now);
            }
            Purpose::LinkCheck { link } => return self.link_is_gone(link),
            Purpose::LockCheck { link } => {
                let has_ended = failure.lock.as_ref().is_some_and(|lock| lock.ended.is_some());
                let is_locked = self.links.get_mut(link).is_some_and(|link| link.is_locked());
                if is_locked && (has_ended || !self.links.is_linked(link)) {
                    self.lock_ended(link, &Arc::from(failure.message));
                } else if is_locked {
                    self.link_is_gone(link);
                }
                return;
            }
            Purpose::Barrier { suspects } => return self.give_up(suspects),
            Purpose::LastWord { call } => return self.end_overdue(call),
            _ => {}
        }
        let error = request.error(failure, !is_named);
        self.fail_request(uid, request, error);
    }

    /// Notes that the manager has read the request with this uid, and what was written before it.
    fn note_answer(&mut self, uid: u64) {
        if let Some(session) = &mut self.session {
            match self.requests.end_of(uid) {
                Some(end) => session.was_read(end),
                None => session.was_answered(uid),
            }
        }
    }

    fn notify(&mut self, service: &str, result: &Received) {
        if service == MANAGER_NAME
            && let Some(notification) = Notification::new(MANAGER_NAME.into(), result)
            && let Some(value) = TopicValue::new(&notification)
        {
            self.topics.deliver(&value, &notification);
            if !value.name().is_managers() {
                return;
            }
        }
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
            // The link was requested again already. A lock that was taken again is lost; one that is
            // kept is not.
            if link.retaking().is_none() {
                link.lose_locks();
            }
            return;
        }
        debug!("the service '{service}' has left");
        self.links.lose(key, self.config.backoff.is_some());
        self.ask_again(key);
    }
}
