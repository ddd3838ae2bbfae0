//! What all handles of one link share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use labwire_device::payload::Arguments;
use labwire_device::{Backoff, Waits};
use labwire_wire::MANAGER_NAME;
use tokio::sync::watch;

use crate::core::{ClientCore, Request, Ticket, Urgency, is_same};
use crate::error::CallError;
use crate::identities::ServiceIdentity;
use crate::notifications::{Notification, Queue};
use crate::state::{Command, Phase, State};

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkPhase {
    /// The manager was asked for the first time and has not answered.
    Asked,
    Linked,
    /// The service has left, or the connection is lost; the link is made again if the client reconnects.
    Away,
    /// There is no link, and there never will be again.
    Ended,
}

/// What all handles of one link share. When the last one is dropped, the link ends.
pub(crate) struct LinkCore {
    pub(crate) client: Arc<ClientCore>,
    pub(crate) service: String,
    phase: watch::Sender<LinkPhase>,
    identity: Mutex<Arc<ServiceIdentity>>,
    listeners: Mutex<Vec<Weak<Queue>>>,
    /// Counts the ends of locks: a lock that was acquired before the last one is held no more.
    locks_ended: AtomicU64,
    /// Counts who has begun to make the link again: only the last of them goes on.
    turns: AtomicU64,
}

impl LinkCore {
    /// The link that the client has with the service already, or a new one that is to be asked for.
    pub(crate) fn enter(client: &Arc<ClientCore>, service: &str) -> Arc<Self> {
        let mut state = client.shared.state();
        let existing = state.links.get(service).and_then(Weak::upgrade);
        if let Some(link) = &existing
            && !link.is_ended()
        {
            return Arc::clone(link);
        }
        let link = Arc::new(Self {
            client: Arc::clone(client),
            service: service.to_owned(),
            phase: watch::Sender::new(LinkPhase::Asked),
            identity: Mutex::default(),
            listeners: Mutex::default(),
            locks_ended: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        });
        state.links.insert(service.to_owned(), Arc::downgrade(&link));
        // `existing` may be the last handle of an ended link, which locks the state when it is dropped.
        drop(state);
        link
    }

    /// A request to the manager about this link. It is not kept: what it is about does not outlive a connection.
    pub(crate) fn manager_request(self: &Arc<Self>, attribute: &str, arguments: Arguments) -> Request {
        Request {
            client: Arc::clone(&self.client),
            service: MANAGER_NAME.to_owned(),
            attribute: attribute.to_owned(),
            arguments: arguments.finish(),
            keep: false,
            through: None,
            makes: None,
            insist: false,
        }
    }

    /// The request that makes this link.
    pub(crate) fn link_request(self: &Arc<Self>) -> Request {
        Request {
            makes: Some(Arc::clone(self)),
            ..self.manager_request("link", Arguments::new().positional(&self.service))
        }
    }

    pub(crate) fn phase(&self) -> watch::Receiver<LinkPhase> {
        self.phase.subscribe()
    }

    pub(crate) fn is(&self, phase: LinkPhase) -> bool {
        *self.phase.borrow() == phase
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is(LinkPhase::Ended)
    }

    /// Whether the link is to be made again.
    pub(crate) fn waits(&self) -> bool {
        self.is(LinkPhase::Away)
    }

    /// Enters a phase unless the link has ended.
    fn enter_phase(&self, phase: LinkPhase) -> bool {
        self.phase.send_if_modified(|now| {
            let changes = *now != LinkPhase::Ended && *now != phase;
            if changes {
                *now = phase;
            }
            changes
        })
    }

    pub(crate) fn identity(&self) -> Arc<ServiceIdentity> {
        Arc::clone(&self.identity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_identity(&self, identity: ServiceIdentity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    /// The manager has made the link. What was kept for it is sent.
    pub(crate) fn is_there(&self) {
        let mut state = self.client.shared.state();
        if !self.enter_phase(LinkPhase::Linked) {
            return;
        }
        let kept =
            state.take_kept(|request| request.through.as_ref().is_some_and(|link| is_same(link, self)));
        self.send_kept(kept);
    }

    fn send_kept(&self, kept: Vec<(u64, Bytes)>) {
        for (uid, frame) in kept {
            let command = Command::Request {
                uid,
                frame,
                room: None,
                insist: false,
            };
            // Where the task has ended, it has answered everybody.
            let _ = self.client.commands.send(command);
        }
    }

    /// The manager did not make the link. One that was there before may come back.
    pub(crate) fn was_refused(&self) {
        if self.is(LinkPhase::Asked) {
            self.has_ended();
        }
    }

    /// The service has left, or the connection is lost.
    pub(crate) fn is_away(&self) {
        let state = self.client.shared.state();
        self.lock_ends();
        if !self.client.shared.reconnects() {
            drop(state);
            self.has_ended_without_return();
            return;
        }
        self.enter_phase(LinkPhase::Away);
    }

    /// Without a reconnect nobody makes the link again; calls still go to the manager, who knows why they fail.
    fn has_ended_without_return(&self) {
        self.enter_phase(LinkPhase::Away);
        self.end_notifications();
    }

    /// There is no link, and there never will be again.
    pub(crate) fn has_ended(&self) {
        self.lock_ends();
        self.enter_phase(LinkPhase::Ended);
        self.end_notifications();
    }

    /// Ends the link at the wish of its user, and fails what was kept for it. Gives the request that tells the
    /// manager, unless the link has ended already.
    ///
    /// Both happen at once: what asks for the link afterwards is about another one, and is not undone by this.
    pub(crate) fn unlink(self: &Arc<Self>) -> Option<Result<Ticket, CallError>> {
        let asking = self.client.shared.asking();
        if self.is_ended() {
            return None;
        }
        let arguments = Arguments::new().positional(&self.service);
        let request = Request {
            insist: true,
            ..self.manager_request("unlink", arguments)
        };
        let sent = ClientCore::send_now(request, Urgency::Normal, None);
        self.end();
        drop(asking);
        Some(sent)
    }

    /// Ends the link, and fails what was kept for it.
    pub(crate) fn end(&self) {
        let mut state = self.client.shared.state();
        self.leave_table(&mut state);
        let kept =
            state.take_kept(|request| request.through.as_ref().is_some_and(|link| is_same(link, self)));
        let failed: Vec<_> = kept
            .into_iter()
            .filter_map(|(uid, _)| state.pending.remove(&uid))
            .collect();
        self.has_ended();
        drop(state);
        for request in failed {
            let error = CallError::Unlinked {
                service: request.service,
                attribute: request.attribute,
            };
            let _ = request.reply.send(Err(error));
        }
    }

    /// Whether the table held this link and not one that was made after it.
    fn leave_table(&self, state: &mut State) -> bool {
        let here = state
            .links
            .get(&self.service)
            .is_some_and(|link| is_same(link, self));
        if here {
            state.links.remove(&self.service);
        }
        here
    }

    /// How many locks of this link have ended.
    pub(crate) fn locks_ended(&self) -> u64 {
        self.locks_ended.load(Ordering::Acquire)
    }

    pub(crate) fn lock_ends(&self) {
        self.locks_ended.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn listen(&self, queue: &Arc<Queue>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(queue));
        drop(listeners);
        let gone = self.is(LinkPhase::Away) && !self.client.shared.reconnects();
        if gone || self.is_ended() {
            queue.end();
        }
    }

    /// The service has told something.
    pub(crate) fn notify(&self, notification: &Notification) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.push(notification.clone());
        }
    }

    fn end_notifications(&self) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.end();
        }
    }
}

impl Drop for LinkCore {
    fn drop(&mut self) {
        let mut state = self.client.shared.state();
        // A link that was made after this one is the manager's same link: it must stay.
        let ours = self.leave_table(&mut state);
        if ours && !self.is_ended() {
            self.client.tell_manager("unlink", &self.service);
        }
    }
}

/// Makes a link again, as often as it takes. `ticket` is the first attempt.
///
/// Ends with the link and with the connection: the next connection makes its links anew.
pub(crate) fn make_again(link: &Arc<LinkCore>, ticket: Ticket, backoff: Backoff) {
    let turn = link.turns.fetch_add(1, Ordering::AcqRel) + 1;
    tokio::spawn(go_on_asking(Arc::downgrade(link), turn, ticket, backoff.waits()));
}

async fn go_on_asking(link: Weak<LinkCore>, turn: u64, mut ticket: Ticket, mut waits: Waits) {
    loop {
        let outcome = ticket.await;
        let Some(core) = link.upgrade() else { return };
        match outcome {
            Ok(result) => {
                match ServiceIdentity::from_json(&result) {
                    Ok(identity) => core.set_identity(identity),
                    Err(error) => {
                        tracing::warn!("the identity of '{}' cannot be read: {error}", core.service);
                    }
                }
                return;
            }
            // It is a matter between the service and the manager, and may change.
            Err(CallError::Manager { message, .. }) => {
                tracing::debug!("'{}' is not linked again yet: {message}", core.service);
            }
            Err(_) => return,
        }
        drop(core);
        tokio::time::sleep(waits.next_wait()).await;
        let Some(core) = link.upgrade() else { return };
        let connected = matches!(core.client.shared.state().phase, Phase::Connected);
        let last = core.turns.load(Ordering::Acquire) == turn;
        if !connected || !last || !core.waits() {
            return;
        }
        match ClientCore::send_now(core.link_request(), Urgency::Normal, None) {
            Ok(next) => ticket = next,
            Err(_) => return,
        }
    }
}
