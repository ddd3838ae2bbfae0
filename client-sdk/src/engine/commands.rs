//! Handles commands.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use labwire_wire::{Executed, MANAGER_NAME};
use tokio::sync::{oneshot, watch};

use super::connection::{FAREWELL, Farewell, LEFT, Phase};
use super::links::LinkKey;
use super::machine::Engine;
use super::outgoing::Outgoing;
use super::requests::{Purpose, Request};
use crate::command::{CallCommand, Command, Outcome, Room, Target};
use crate::error::CallError;
use crate::frames::{goodbye, manager_frame};
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
    /// Fail it because its link has ended.
    Unlinked,
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
                shared,
                reply,
            } => self.lock((uid, holder), shared, reply),
            Command::Release {
                uid,
                holder,
                guard,
                reply,
            } => self.release((uid, holder), guard, reply),
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
            reply,
        } = call;
        let link = through.map(|holder| self.links.of_holder(holder));
        let (through, state) = match link {
            Some(Some((key, link))) => (Some(key), Some(link.state())),
            Some(None) => (None, Some(LinkState::Ended)),
            None => (None, None),
        };
        let way = self.way(state);
        let request = Request::new(target, Purpose::Call { through, reply }, limit);
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
            Way::Unlinked => request.unlinked(),
        }
    }

    /// Returns how to treat a call through a link in this state; `None` is a call to the manager.
    fn way(&self, state: Option<LinkState>) -> Way {
        match &self.phase {
            Phase::Closed(reason) => Way::Refuse(Arc::clone(reason)),
            Phase::Leaving(_) => Way::Refuse(Arc::from(LEFT)),
            _ if state == Some(LinkState::Ended) => Way::Unlinked,
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
    fn without_connection(&self) -> Option<Arc<str>> {
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
        if self.without_connection().is_some() {
            nothing_to_do(reply);
        } else {
            let purpose = Purpose::Ending { reply };
            self.queue_manager_request((uid, "unlink"), (&service, "{}"), purpose);
        }
        self.end_link(key);
    }

    /// Ends a link and fails the calls that are kept for it.
    fn end_link(&mut self, key: LinkKey) {
        self.links.end(key);
        for request in self.requests.take_kept(key) {
            request.unlinked();
        }
    }

    fn subscribe(&mut self, holder: u64, reader: NotificationSender) {
        let comes_back = self.config.backoff.is_some();
        // Dropping the sender ends the reader's notifications.
        if let Some((_, link)) = self.links.of_holder(holder) {
            match link.state() {
                LinkState::Ended => {}
                LinkState::Away if !comes_back => {}
                LinkState::Asked | LinkState::Linked | LinkState::Away => link.add_reader(reader),
            }
        }
    }

    fn leave_link(&mut self, holder: u64) {
        if let Some(service) = self.links.leave(holder)
            && self.without_connection().is_none()
        {
            self.tell_manager("unlink", &service);
        }
    }

    /// Queues a request to the manager whose reply is ignored.
    fn tell_manager(&mut self, attribute: &str, service: &str) {
        let uid = self.uids.next();
        let frame = manager_frame(attribute, service, "{}", uid);
        self.outgoing.push_back(Outgoing::Ending { uid, frame });
    }

    fn lock(&mut self, (uid, holder): (u64, u64), shared: bool, reply: oneshot::Sender<Outcome>) {
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        if let Some(reason) = self.without_connection() {
            let _ = reply.send(Err(target.disconnected(&reason, Executed::No)));
            return;
        }
        match self.links.of_holder(holder) {
            Some((link, entry)) if entry.state() != LinkState::Ended => {
                entry.acquiring(uid);
                let service = Arc::clone(&entry.service);
                let kwargs = format!("{{\"shared\":{shared}}}");
                let purpose = Purpose::Lock { link, reply };
                self.queue_manager_request((uid, "acquire_lock"), (&service, &kwargs), purpose);
            }
            _ => {
                let _ = reply.send(Err(target.unlinked()));
            }
        }
    }

    fn release(&mut self, (uid, holder): (u64, u64), guard: u64, reply: Option<oneshot::Sender<Outcome>>) {
        let answer = |reply: Option<oneshot::Sender<Outcome>>| reply.map_or((), no_locks);
        let Some((_, link)) = self.links.of_holder(holder) else {
            return answer(reply);
        };
        if !link.has_lock(guard) {
            return answer(reply);
        }
        if self.requests.withdraw(guard) {
            // The request for it was not written.
            link.refused(guard);
            return answer(reply);
        }
        link.end_locks();
        let service = Arc::clone(&link.service);
        if self.without_connection().is_some() {
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
    let _ = reply.send(Ok(Bytes::from_static(b"null")));
}

/// Answers a `Release` of a lock that has ended already: no client holds one.
fn no_locks(reply: oneshot::Sender<Outcome>) {
    let _ = reply.send(Ok(Bytes::from_static(b"[]")));
}
