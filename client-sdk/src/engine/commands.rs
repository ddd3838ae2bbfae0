//! Handles commands.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use labwire_wire::{Executed, MANAGER_NAME, TopicPattern};
use tokio::sync::{oneshot, watch};

use super::connection::{FAREWELL, Farewell, LEFT, Phase};
use super::links::LinkKey;
use super::machine::Engine;
use super::outgoing::Outgoing;
use super::request::{LockReply, LockedReply, Purpose, Request};
use crate::command::{CallCommand, Command, Outcome, Room, Target};
use crate::error::CallError;
use crate::frames::{goodbye, manager_frame};
use crate::lock_options::LockOptions;
use crate::notification_queue::NotificationSender;
use crate::status::{LinkState, LinkStatus};

/// How to treat a call.
enum Way {
    /// Queue it for writing.
    Queue,
    /// Keep it for this reason, if the buffer has room.
    Keep(Arc<str>),
    /// Fail it as disconnected, for this reason.
    Refuse(Arc<str>),
    /// Fail it because its link has ended, with a lock for this reason if there is one.
    Unlinked(Option<Arc<str>>),
}

type LinkReply = oneshot::Sender<Result<watch::Receiver<LinkStatus>, CallError>>;

impl Engine {
    /// Handles a command.
    pub(crate) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Call(call) => self.call(call, now),
            Command::Link {
                uid,
                service,
                room,
                reply,
            } => self.link(uid, service, room, reply),
            Command::Unlink { uid, holder, reply } => self.unlink(uid, holder, reply),
            Command::EndLink { holder, reply } => {
                if let Some((key, _)) = self.links.of_holder(holder) {
                    self.end_link(key);
                }
                let _ = reply.send(Ok(()));
            }
            Command::Subscribe { holder, reader } => self.subscribe(holder, reader),
            Command::Lock {
                uid,
                holder,
                options,
                reply,
            } => self.lock((uid, holder), &options, reply),
            Command::LockService {
                uid,
                service,
                options,
                room,
                reply,
            } => self.lock_service((uid, service), &options, room, reply),
            Command::Release {
                uid,
                holder,
                guard,
                reply,
            } => self.release((uid, holder), guard, reply),
            Command::SubscribeTopic {
                number,
                pattern,
                reader,
                room,
                reply,
            } => self.subscribe_topic(number, pattern, reader, room, reply),
            Command::LeaveTopic { number } => {
                if let Some(pattern) = self.topics.remove(number)
                    && self.can_end()
                {
                    self.tell_manager("unsubscribe", pattern.as_str());
                }
            }
            Command::Cancel {
                uid,
                call,
                reason,
                reply,
            } => self.cancel((uid, call), reason.as_deref(), reply),
            Command::Approval { call, reply } => self.watch_approval(call, reply),
            Command::Abandon { uid } => self.abandon(uid),
            Command::Forget { uid } => self.requests.forget(uid),
            Command::LeaveLink { holder } => self.leave_link(holder),
            Command::Disconnect => self.leave(now),
        }
    }

    fn call(&mut self, call: CallCommand, now: Instant) {
        let CallCommand {
            uid,
            frame,
            target,
            through,
            limit,
            room,
            follower,
            reply,
        } = call;
        let link = through.map(|holder| self.links.of_holder(holder));
        let (through, state, lock_end) = match link {
            Some(Some((key, link))) => (Some(key), Some(link.state()), link.lock_end()),
            Some(None) => (None, Some(LinkState::Ended), None),
            None => (None, None, None),
        };
        let way = self.way(state, lock_end);
        let purpose = Purpose::Call {
            through,
            follower,
            reply,
        };
        let request = Request::new(target, purpose, limit);
        if request.is_due(now) {
            return request.timed_out();
        }
        match way {
            Way::Queue => {
                self.requests.queue(uid, request);
                self.outgoing.push_back(Outgoing::Request { uid, frame, room });
            }
            Way::Keep(reason) => self.keep(uid, request, frame, &reason),
            Way::Refuse(reason) => request.disconnected(&reason),
            Way::Unlinked(lock_end) => request.unlinked(lock_end.as_ref()),
        }
    }

    /// Returns how to treat a call through a link in this state; `None` is a call to the manager.
    fn way(&self, state: Option<LinkState>, lock_end: Option<Arc<str>>) -> Way {
        match &self.phase {
            Phase::Closed(reason) => Way::Refuse(Arc::clone(reason)),
            Phase::Leaving(_) => Way::Refuse(Arc::from(LEFT)),
            _ if state == Some(LinkState::Ended) => Way::Unlinked(lock_end),
            Phase::Connected if state == Some(LinkState::Away) && self.keeps_calls() => {
                Way::Keep(Arc::from("the service is away"))
            }
            Phase::Connected => Way::Queue,
            Phase::Reconnecting(reason) => Way::Keep(Arc::clone(reason)),
        }
    }

    fn keeps_calls(&self) -> bool {
        self.config.buffer > 0 && self.config.backoff.is_some()
    }

    fn keep(&mut self, uid: u64, request: Request, frame: Bytes, reason: &Arc<str>) {
        let limit = self.config.buffer;
        if self.requests.kept() < limit {
            self.requests.keep(uid, request, frame);
        } else if limit > 0 {
            request.disconnected(&Arc::from(format!("{reason}; {limit} calls wait already")));
        } else {
            request.disconnected(reason);
        }
    }

    /// Returns the reason if a request that is bound to a connection cannot be made now.
    pub(super) fn without_connection(&self) -> Option<Arc<str>> {
        match &self.phase {
            Phase::Connected => None,
            Phase::Leaving(_) => Some(Arc::from(LEFT)),
            Phase::Reconnecting(reason) | Phase::Closed(reason) => Some(Arc::clone(reason)),
        }
    }

    fn link(&mut self, uid: u64, service: Arc<str>, room: Option<Room>, reply: LinkReply) {
        let target = Target::new(MANAGER_NAME, "link");
        if let Some(reason) = self.without_connection() {
            // An error means that the caller no longer waits.
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        let frame = manager_frame("link", &service, "{}", uid);
        let link = self.links.join(uid, service);
        let request = Request::new(target, Purpose::Link { link, reply }, None);
        self.requests.queue(uid, request);
        self.outgoing.push_back(Outgoing::Request { uid, frame, room });
    }

    fn unlink(&mut self, uid: u64, holder: u64, reply: oneshot::Sender<Outcome>) {
        let Some((key, link)) = self.links.of_holder(holder) else {
            return nothing_to_do(reply);
        };
        if link.state() == LinkState::Ended {
            return nothing_to_do(reply);
        }
        let service = Arc::clone(&link.service);
        if self.can_end() {
            let purpose = Purpose::Ending { reply };
            self.queue_manager_request((uid, "unlink"), (&service, "{}"), purpose);
        } else {
            nothing_to_do(reply);
        }
        self.end_link(key);
    }

    /// Ends a link and fails the calls that are kept for it.
    pub(super) fn end_link(&mut self, key: LinkKey) {
        self.links.end(key);
        let lock_end = self.links.get_mut(key).and_then(|link| link.lock_end());
        for request in self.requests.take_kept(key) {
            request.unlinked(lock_end.as_ref());
        }
    }

    fn subscribe(&mut self, holder: u64, reader: NotificationSender) {
        let comes_back = self.config.backoff.is_some();
        // Dropping the sender ends the reader's notifications.
        if let Some((_, link)) = self.links.of_holder(holder) {
            match link.state() {
                LinkState::Ended => {}
                LinkState::Away if !comes_back => {}
                LinkState::Asked | LinkState::Linked | LinkState::Paused | LinkState::Away => {
                    link.add_reader(reader);
                }
            }
        }
    }

    fn subscribe_topic(
        &mut self,
        number: u64,
        pattern: TopicPattern,
        reader: NotificationSender,
        room: Option<Room>,
        reply: oneshot::Sender<Outcome>,
    ) {
        if let Some(reason) = self.without_connection() {
            let target = Target::new(MANAGER_NAME, "subscribe");
            // An error means that the caller no longer waits.
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        drop(room);
        self.topics.add(number, pattern.clone(), reader);
        self.request_topics(number, pattern, Some(reply));
    }

    /// Queues the request for a subscription.
    pub(super) fn request_topics(
        &mut self,
        number: u64,
        pattern: TopicPattern,
        reply: Option<oneshot::Sender<Outcome>>,
    ) {
        // The number is the uid of the first request; a uid is never used twice.
        let uid = if reply.is_some() { number } else { self.uids.next() };
        let text = pattern.clone();
        let purpose = Purpose::Subscription {
            number,
            pattern,
            reply,
        };
        self.queue_manager_request((uid, "subscribe"), (text.as_str(), "{}"), purpose);
    }

    fn leave_link(&mut self, holder: u64) {
        if let Some(service) = self.links.leave(holder)
            && self.can_end()
        {
            self.tell_manager("unlink", &service);
        }
    }

    /// Queues a request to the manager whose reply is ignored.
    pub(super) fn tell_manager(&mut self, attribute: &str, service: &str) {
        let uid = self.uids.next();
        let frame = manager_frame(attribute, service, "{}", uid);
        self.outgoing.push_back(Outgoing::Ending { uid, frame });
    }

    fn lock(&mut self, (uid, holder): (u64, u64), options: &LockOptions, reply: oneshot::Sender<Outcome>) {
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        if let Some(reason) = self.without_connection() {
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        match self.links.of_holder(holder) {
            Some((link, entry)) if entry.state() != LinkState::Ended => {
                entry.acquiring(uid);
                let service = Arc::clone(&entry.service);
                let purpose = Purpose::Lock {
                    link,
                    service: Arc::clone(&service),
                    options: options.clone(),
                    reply: LockReply::Clients(reply),
                };
                self.queue_manager_request((uid, "acquire_lock"), (&service, &options.kwargs()), purpose);
            }
            link => {
                let lock_end = link.and_then(|(_, link)| link.lock_end());
                let _ = reply.send(Err(target.unlinked(lock_end.as_ref())));
            }
        }
    }

    fn lock_service(
        &mut self,
        (uid, service): (u64, Arc<str>),
        options: &LockOptions,
        room: Option<Room>,
        reply: LockedReply,
    ) {
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        if let Some(reason) = self.without_connection() {
            // An error means that the caller no longer waits.
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        let frame = manager_frame("acquire_lock", &service, &options.kwargs(), uid);
        let link = self.links.join(uid, Arc::clone(&service));
        if let Some(link) = self.links.get_mut(link) {
            link.acquiring(uid);
        }
        let purpose = Purpose::Lock {
            link,
            service,
            options: options.clone(),
            reply: LockReply::WithLink(reply),
        };
        self.requests.queue(uid, Request::new(target, purpose, None));
        self.outgoing.push_back(Outgoing::Request { uid, frame, room });
    }

    /// Gives back a lock that was granted to a link that has ended meanwhile: the manager may have
    /// made the link again. Another link with the service may use both.
    pub(super) fn give_back(&mut self, service: &str) {
        if !self.can_end() {
            return;
        }
        match self.links.with(service) {
            None => self.tell_manager("unlink", service),
            Some((_, link)) if link.is_free() => self.tell_manager("release_lock", service),
            Some(_) => {}
        }
    }

    fn release(&mut self, (uid, holder): (u64, u64), guard: u64, reply: Option<oneshot::Sender<Outcome>>) {
        let answer = |reply: Option<oneshot::Sender<Outcome>>| reply.map_or((), no_locks);
        let Some((key, link)) = self.links.of_holder(holder) else {
            return answer(reply);
        };
        if !link.has_lock(guard) {
            link.forget_end(guard);
            return answer(reply);
        }
        if self.requests.withdraw(guard) {
            // The request for it was not written.
            if link.refused(guard) {
                self.end_link(key);
            }
            return answer(reply);
        }
        let service = Arc::clone(&link.service);
        // A lock that another guard holds stays, if this one only waits for its own.
        let only_waits = link.is_waiting(guard) && link.is_locked();
        if only_waits {
            link.refused(guard);
        } else {
            link.end_locks();
        }
        if !self.can_end() {
            return answer(reply);
        }
        if only_waits {
            let kwargs = r#"{"wait_only":true}"#;
            let uid = self.uids.next();
            let frame = manager_frame("release_lock", &service, kwargs, uid);
            self.outgoing.push_back(Outgoing::Ending { uid, frame });
            return answer(reply);
        }
        match reply {
            Some(reply) => {
                let purpose = Purpose::Ending { reply };
                self.queue_manager_request((uid, "release_lock"), (&service, "{}"), purpose);
            }
            None => self.tell_manager("release_lock", &service),
        }
    }

    /// Starts to leave: queues the last frame, or closes if there is no connection.
    fn leave(&mut self, now: Instant) {
        match self.phase {
            Phase::Connected => {
                self.phase = Phase::Leaving(Farewell::Queued(now + FAREWELL));
                self.links.cancel_retries();
                let frame = goodbye(&self.config.name);
                self.outgoing.push_back(Outgoing::Goodbye(frame));
            }
            Phase::Reconnecting(_) => self.close(LEFT),
            Phase::Leaving(_) | Phase::Closed(_) => {}
        }
    }
}

/// Answers an `Unlink` of a link that has ended already.
fn nothing_to_do(reply: oneshot::Sender<Outcome>) {
    // An error means that the caller no longer waits.
    let _ = reply.send(Ok(Bytes::from_static(b"null").into()));
}

/// Answers a `Release` of a lock that has ended already: no client holds one.
fn no_locks(reply: oneshot::Sender<Outcome>) {
    let _ = reply.send(Ok(Bytes::from_static(b"[]").into()));
}
