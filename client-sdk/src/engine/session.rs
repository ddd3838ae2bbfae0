//! The session with the manager: what is kept while the connection is broken, and how it goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_device::{Confirmations, Resumed};
use labwire_wire::{Executed, MANAGER_NAME, TopicPattern, confirmation};
use tracing::info;

use super::connection::Phase;
use super::links::LinkKey;
use super::machine::Engine;
use super::outgoing::Outgoing;
use super::request::{LockReply, Purpose, Request};
use crate::command::Target;
use crate::frames::manager_frame;
use crate::status::{About, ConnectionState, SessionState, Status};

/// The reason for the end of a call whose request the manager has not read.
const NOT_READ: &str = "the connection broke before the manager had read the request";

/// The reason for the end of a call whose reply is lost.
const REPLY_LOST: &str = "its reply was lost while the client was away";

/// How a client has arrived on a new connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrival {
    /// For how long the manager keeps the session after a broken connection, if it does.
    pub(crate) grace: Option<Duration>,
    /// How it has taken up the session before again; `None` if it has not.
    pub(crate) resumed: Option<Resumed>,
    /// The services on which the manager keeps a lock for it since it was restarted.
    pub(crate) locks: Vec<Arc<str>>,
}

/// A session that the manager keeps for a while after the connection broke.
#[derive(Debug)]
pub(super) struct Session {
    grace: Duration,
    /// The number of bytes that were handed out for writing.
    sent: u64,
    /// The requests of the engine itself that were handed out and may not be read yet, oldest first.
    unread: VecDeque<Unread>,
    confirmations: Confirmations,
    /// The number of lines since the last note.
    lines: u32,
    /// The position to confirm.
    confirms: Option<u64>,
    /// Whether the connection is broken.
    is_away: bool,
    /// The time at which the manager is expected to end the session while the client is away;
    /// `None` if that is beyond the range of `Instant`.
    until: Option<Instant>,
}

/// A request of the engine itself that was handed out for writing. It is written again if the
/// manager has not read it.
#[derive(Debug)]
struct Unread {
    /// The position of its end.
    end: u64,
    outgoing: Outgoing,
}

impl Session {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            sent: 0,
            unread: VecDeque::new(),
            confirmations: Confirmations::new(0),
            lines: 0,
            confirms: None,
            is_away: false,
            until: None,
        }
    }

    /// Counts a frame that is handed out for writing. Returns the position of its end.
    pub(super) fn count(&mut self, frame: &Bytes) -> u64 {
        self.sent += frame.len() as u64;
        self.sent
    }

    /// Keeps a frame that was counted, to write it again if the manager has not read it.
    pub(super) fn keep(&mut self, outgoing: Outgoing) {
        self.unread.push_back(Unread {
            end: self.sent,
            outgoing,
        });
    }

    /// Notes that the manager has replied to the request that ends at this position: it has read
    /// everything up to there.
    pub(super) fn was_read(&mut self, end: u64) {
        while self.unread.front().is_some_and(|unread| unread.end <= end) {
            self.unread.pop_front();
        }
    }

    /// Notes a reply to a request with this uid, which may be one of the engine itself.
    pub(super) fn was_answered(&mut self, uid: u64) {
        let answered = self
            .unread
            .iter()
            .find(|unread| unread.outgoing.uid() == Some(uid));
        if let Some(end) = answered.map(|unread| unread.end) {
            self.was_read(end);
        }
    }

    pub(super) fn heard(&mut self) {
        self.lines += 1;
    }

    /// Returns the next confirmation to write.
    pub(super) fn poll_confirmation(&mut self) -> Option<Bytes> {
        let frame = confirmation(self.confirms.take()?);
        self.count(&frame);
        Some(frame)
    }

    pub(super) fn confirm_if_due(&mut self, now: Instant) {
        if self.is_away {
            return;
        }
        if let Some(position) = self.confirmations.take(now) {
            self.confirms = Some(position);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.is_away {
            self.until
        } else {
            self.confirmations.deadline()
        }
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.is_away && self.until.is_some_and(|until| until <= now)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }
}

impl Engine {
    /// Notes that everything up to this position was received and handled.
    pub(crate) fn handle_received(&mut self, position: u64, now: Instant) {
        if let Some(session) = &mut self.session {
            let lines = std::mem::take(&mut session.lines);
            session.confirmations.note(position, lines, now);
            session.confirm_if_due(now);
        }
    }

    /// Returns whether the client is away and has a session to return to.
    pub(crate) fn keeps_session(&self) -> bool {
        matches!(self.phase, Phase::Reconnecting(_)) && self.session.is_some()
    }

    /// Returns whether a request that only ends something can be queued: now, or for the time after
    /// the return.
    pub(super) fn can_end(&self) -> bool {
        self.is_connected() || self.keeps_session()
    }

    /// Handles the loss of a connection whose session the manager keeps: everything waits.
    pub(super) fn step_away(&mut self, reason: &str, now: Instant) {
        info!("{reason}, returning to the session");
        let reason = self.explain(reason);
        // A manager that was asked to stop keeps no session.
        for request in self.requests.take_shutdowns() {
            request.disconnected(&reason);
        }
        self.phase = Phase::Reconnecting(reason);
        // The manager ends the requests that wait for a login.
        self.questions.clear();
        self.outgoing
            .retain(|outgoing| !matches!(outgoing, Outgoing::Answer(_)));
        self.links.pause();
        if let Some(session) = &mut self.session {
            session.confirms = None;
            session.is_away = true;
            session.until = now.checked_add(session.grace);
        }
        self.publish(ConnectionState::Reconnecting);
        self.publish_session(SessionState::Away);
    }

    /// Ends what waited for the session, which has ended.
    pub(super) fn lose_session(&mut self) {
        if self.session.take().is_some()
            && let Phase::Reconnecting(reason) = &self.phase
        {
            let reason = Arc::clone(reason);
            self.lose_all(&reason, true);
            self.publish_session(SessionState::Lost);
        }
    }

    /// Handles the end of the grace period: the manager has ended the session, or is about to.
    pub(super) fn expire(&mut self) {
        if self.config.backoff.is_some() {
            info!("the grace period of the session is over");
            self.lose_session();
            // Others may have them, unless the manager is just being restarted.
            self.links.suspend_locks();
        } else if let Phase::Reconnecting(reason) = &self.phase {
            let reason =
                format!("{reason}; the client could not return to its session within its grace period");
            self.close(&reason);
        }
    }

    /// Handles that the client cannot return to its session, and does not reconnect otherwise.
    pub(crate) fn cannot_return(&mut self, error: &str) {
        if let Phase::Reconnecting(reason) = &self.phase {
            let reason = format!("{reason}; the client could not return to its session: {error}");
            self.close(&reason);
        }
    }

    /// Takes up the session again on a new connection.
    pub(super) fn resume(&mut self, about: About, grace: Duration, resumed: &Resumed) {
        info!(
            "connected to {} again, as {}, session kept",
            about.manager, about.network_name
        );
        self.phase = Phase::Connected;
        let received = resumed.received;
        let Some(session) = &mut self.session else { return };
        session.grace = grace;
        session.is_away = false;
        session.until = None;
        session.sent = received;
        session.confirms = None;
        session.lines = 0;
        // The return itself has confirmed what was received.
        session.confirmations = Confirmations::new(session.confirmations.position());
        let mut unread = std::mem::take(&mut session.unread);
        unread.retain(|unread| unread.end > received);
        for Unread { outgoing, .. } in unread.into_iter().rev() {
            if let Some(uid) = outgoing.uid() {
                self.requests.unbegin(uid);
            }
            self.outgoing.push_front(outgoing);
        }
        let reason = Arc::from(NOT_READ);
        for uid in self.requests.written_beyond(received) {
            if let Some(request) = self.requests.take(uid) {
                self.end_unanswered(uid, request, &reason, Executed::No);
            }
        }
        self.links.resume();
        if resumed.lost > 0 {
            self.search(resumed);
        }
        for link in self.links.renewed() {
            self.renew(link);
        }
        for link in self.links.live() {
            if self.config.backoff.is_some() && self.links.wants_again(link) {
                self.ask_again(link);
            } else {
                self.queue_kept(Some(link));
            }
        }
        self.queue_kept(None);
        self.status.send_replace(Status {
            about,
            connection: ConnectionState::Connected,
            session: SessionState::Kept,
        });
    }

    /// Searches what was lost with bytes that the manager could not keep: marks a gap for all
    /// readers, also those of items, asks for the state of links and locks, and prepares the end of the requests whose
    /// reply was among them.
    fn search(&mut self, resumed: &Resumed) {
        self.links.mark_gap();
        self.topics.mark_gap();
        self.requests.mark_item_gap();
        let held: Vec<u64> = resumed
            .in_flight
            .iter()
            .flatten()
            .filter_map(|uid| uid_in(uid))
            .collect();
        let mut suspects = Vec::new();
        for uid in self.requests.written() {
            if held.contains(&uid) {
                continue;
            }
            if let Some(Purpose::Barrier { .. }) = self.requests.purpose(uid) {
                if let Some(Request {
                    purpose: Purpose::Barrier { suspects: earlier },
                    ..
                }) = self.requests.take(uid)
                {
                    suspects.extend(earlier);
                }
            } else {
                suspects.push(uid);
            }
        }
        for link in self.links.live() {
            let service = self.links.get_mut(link).map(|link| Arc::clone(&link.service));
            if let Some(service) = service {
                let is_locked = self
                    .links
                    .get_mut(link)
                    .is_some_and(|link| link.is_locked() && link.retaking().is_none());
                if is_locked {
                    let uid = self.uids.next();
                    let purpose = Purpose::LockCheck { link };
                    self.queue_manager_request((uid, "renew_lock"), (&service, "{}"), purpose);
                }
                if self.links.is_linked(link) {
                    let uid = self.uids.next();
                    let purpose = Purpose::LinkCheck { link };
                    self.queue_manager_request((uid, "link"), (&service, "{}"), purpose);
                }
            }
        }
        // The manager's reply comes after all that it has kept.
        let uid = self.uids.next();
        let target = Target::new(MANAGER_NAME, "unlink");
        let frame = manager_frame("unlink", "", "{}", uid);
        self.requests
            .queue(uid, Request::new(target, Purpose::Barrier { suspects }, None));
        self.outgoing.push_back(Outgoing::Request {
            uid,
            frame,
            room: None,
        });
    }

    /// Ends the requests without a reply, after the manager has sent all that it has kept.
    pub(super) fn give_up(&mut self, suspects: Vec<u64>) {
        let reason: Arc<str> = Arc::from(REPLY_LOST);
        for uid in suspects {
            let Some(request) = self.requests.take(uid) else {
                continue;
            };
            match request.purpose {
                Purpose::LinkAgain { link } | Purpose::LockAgain { link, .. } => {
                    self.ask_again(link);
                    continue;
                }
                Purpose::Subscription {
                    number,
                    pattern,
                    reply: None,
                } => {
                    if self.is_connected() {
                        self.request_topics(number, pattern, None);
                    }
                    continue;
                }
                Purpose::LockedLink {
                    link,
                    guard,
                    service,
                    clients,
                    reply,
                } => {
                    self.link_locked((link, service), guard, clients, reply);
                    continue;
                }
                _ => {}
            }
            self.end_unanswered(uid, request, &reason, Executed::Maybe);
        }
    }

    /// Fails a request, and gives back what the manager may have granted, to it or to another one
    /// before it, and nobody uses.
    fn end_unanswered(&mut self, uid: u64, request: Request, reason: &Arc<str>, executed: Executed) {
        let service = self.service_of(&request.purpose);
        let pattern = pattern_of(&request.purpose);
        let error = request.target.disconnected(reason, executed);
        self.fail_request(uid, request, error);
        if let Some(service) = service {
            self.give_back(&service);
        }
        if let Some(pattern) = pattern
            && self.is_connected()
            && !self.topics.is_wanted(&pattern)
        {
            self.tell_manager("unsubscribe", pattern.as_str());
        }
    }

    /// Returns the service of a request for a link or a lock.
    fn service_of(&mut self, purpose: &Purpose) -> Option<Arc<str>> {
        match purpose {
            Purpose::Link { link, .. } => self.links.get_mut(*link).map(|link| Arc::clone(&link.service)),
            Purpose::Lock { service, .. } => Some(Arc::clone(service)),
            _ => None,
        }
    }

    /// Handles the manager's answer whether a link still exists.
    pub(super) fn link_is_gone(&mut self, key: LinkKey) {
        let comes_back = self.config.backoff.is_some();
        if self.links.is_linked(key) {
            self.links.lose(key, comes_back);
            self.ask_again(key);
        }
    }

    pub(super) fn publish_session(&self, session: SessionState) {
        self.status.send_modify(|status| status.session = session);
    }
}

/// Returns the pattern of a request for a subscription.
fn pattern_of(purpose: &Purpose) -> Option<TopicPattern> {
    match purpose {
        Purpose::Subscription { pattern, .. } => Some(pattern.clone()),
        _ => None,
    }
}

/// Reads a uid of this client in its JSON text.
fn uid_in(json: &str) -> Option<u64> {
    json.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Whether the engine writes a request again that the manager has not read, since no caller is to
/// decide about it.
pub(super) fn is_own(purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Call { .. }
        | Purpose::Link { .. }
        | Purpose::Lock {
            reply: LockReply::Clients(_) | LockReply::WithLink(_),
            ..
        }
        | Purpose::Subscription { reply: Some(_), .. } => false,
        Purpose::LinkAgain { .. }
        | Purpose::LockAgain { .. }
        | Purpose::LinkCheck { .. }
        | Purpose::LockCheck { .. }
        | Purpose::LockedLink { .. }
        | Purpose::Renewal { .. }
        | Purpose::Subscription { reply: None, .. }
        | Purpose::Barrier { .. }
        | Purpose::LastWord { .. }
        | Purpose::Ending { .. } => true,
    }
}
