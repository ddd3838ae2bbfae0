//! The engine: its state, and its interface to the driver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_device::Backoff;
use labwire_wire::{Line, MANAGER_NAME};
use tokio::sync::watch;
use tracing::{debug, info};

use super::connection::{FAREWELL, Farewell, LEFT, Phase};
use super::links::{LinkKey, Links};
use super::outgoing::Outgoing;
use super::questions::{Answer, Questions};
use super::request::{Purpose, Request};
use super::requests::{Begun, Requests};
use super::session::{Arrival, Session, is_own};
use super::topics::Topics;
use crate::command::Target;
use crate::error::CallError;
use crate::frames::manager_frame;
use crate::status::{About, ConnectionState, LinkState, SessionState, Status};
use crate::uids::Uids;

/// The configuration of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The name in the client's identity.
    pub(crate) name: String,
    /// The most calls to keep while the connection or their link is lost.
    pub(crate) buffer: usize,
    /// The waits between requests for a lost link; `None` for a client that does not reconnect.
    pub(crate) backoff: Option<Backoff>,
}

/// The driver's next task for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Use the connection.
    Serve,
    /// Make a new connection.
    Reconnect,
    /// End: all requests have ended.
    End,
}

/// The state of a client. Does no I/O and reads no clock.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) config: Config,
    pub(super) uids: Uids,
    pub(super) phase: Phase,
    pub(super) status: watch::Sender<Status>,
    pub(super) requests: Requests,
    pub(super) links: Links,
    pub(super) topics: Topics,
    pub(super) outgoing: VecDeque<Outgoing>,
    pub(super) questions: Questions,
    /// The session that the manager keeps when the connection breaks, if it does.
    pub(super) session: Option<Session>,
    /// The last error of the manager that named no request.
    pub(super) last_words: Option<String>,
}

impl Engine {
    /// Creates an engine for a connection that was just made. `grace` is the time for which the
    /// manager keeps the session when the connection breaks, if it does.
    pub(crate) fn new(
        config: Config,
        uids: Uids,
        about: About,
        grace: Option<Duration>,
    ) -> (Self, watch::Receiver<Status>) {
        let (status, receiver) = watch::channel(Status {
            about,
            connection: ConnectionState::Connected,
            session: SessionState::of(grace),
        });
        let engine = Self {
            config,
            uids,
            phase: Phase::Connected,
            status,
            requests: Requests::default(),
            links: Links::default(),
            topics: Topics::default(),
            outgoing: VecDeque::new(),
            questions: Questions::default(),
            session: grace.map(Session::new),
            last_words: None,
        };
        (engine, receiver)
    }

    pub(crate) fn wish(&self) -> Wish {
        match self.phase {
            Phase::Connected | Phase::Leaving(_) => Wish::Serve,
            Phase::Reconnecting(_) => Wish::Reconnect,
            Phase::Closed(_) => Wish::End,
        }
    }

    /// Returns whether there is a connection that the client is not leaving.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let farewell = match self.phase {
            Phase::Leaving(farewell) => Some(farewell.until()),
            _ => None,
        };
        let deadlines = [
            self.session.as_ref().and_then(Session::next_deadline),
            self.requests.next_deadline(),
            self.links.next_deadline(),
            farewell,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Ends calls whose time limit has passed, retries links and renews locks that are due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((uid, request)) = self.requests.take_due(now) {
            self.time_out(uid, request, now);
        }
        while let Some(link) = self.links.due(now) {
            self.ask_again(link);
        }
        while let Some(link) = self.links.renewal_due(now) {
            self.renew(link);
        }
        if let Some(session) = &mut self.session {
            session.confirm_if_due(now);
            if session.has_expired(now) {
                self.expire();
            }
        }
        if let Phase::Leaving(farewell) = self.phase
            && farewell.until() <= now
        {
            self.close(LEFT);
        }
    }

    /// Hands out the next frame to write. From here on its request may have been executed.
    pub(crate) fn poll_frame(&mut self) -> Option<Bytes> {
        if self.keeps_session() {
            return None;
        }
        if self.is_connected()
            && let Some(session) = &mut self.session
            && let Some(confirmation) = session.poll_confirmation()
        {
            return Some(confirmation);
        }
        loop {
            match self.outgoing.pop_front()? {
                Outgoing::Request { uid, frame, .. } => {
                    if self.requests.begin(uid) == Begun::Written {
                        if self.requests.needs_login(uid) {
                            self.questions.ask_again();
                        }
                        self.count_request(uid, &frame);
                        return Some(frame);
                    }
                }
                Outgoing::Ending { uid, frame } => {
                    self.requests.begin_ending(uid);
                    if let Some(session) = &mut self.session {
                        let end = session.count(&frame);
                        self.requests.ends_at(uid, end);
                        let frame = frame.clone();
                        session.keep(Outgoing::Ending { uid, frame });
                    }
                    return Some(frame);
                }
                Outgoing::Answer(frame) => {
                    self.questions.done();
                    if let Some(session) = &mut self.session {
                        session.count(&frame);
                    }
                    return Some(frame);
                }
                Outgoing::Goodbye(frame) => {
                    if let Phase::Leaving(farewell) = &mut self.phase {
                        *farewell = Farewell::Written(farewell.until());
                    }
                    return Some(frame);
                }
            }
        }
    }

    /// Counts a request that is handed out for writing.
    fn count_request(&mut self, uid: u64, frame: &Bytes) {
        let Some(session) = &mut self.session else { return };
        let end = session.count(frame);
        self.requests.ends_at(uid, end);
        if self.requests.purpose(uid).is_some_and(is_own) {
            session.keep(Outgoing::Request {
                uid,
                frame: frame.clone(),
                room: None,
            });
        }
    }

    /// Notes that all frames that were handed out are written.
    pub(crate) fn frames_written(&mut self, now: Instant) {
        if let Phase::Leaving(farewell @ Farewell::Written(_)) = &mut self.phase {
            *farewell = Farewell::Heard(now + FAREWELL);
        }
    }

    /// Hands out the next question of the manager. The driver calls
    /// [`handle_answer`](Self::handle_answer) with its answer.
    pub(crate) fn poll_question(&mut self) -> Option<Line> {
        self.questions.poll()
    }

    /// Handles the answer to the question that was handed out.
    pub(crate) fn handle_answer(&mut self, answer: Answer) {
        if !self.questions.is_asked() {
            return;
        }
        self.questions.done();
        match answer {
            Answer::Frame(frame) if self.is_connected() => {
                self.questions.answered();
                self.outgoing.push_back(Outgoing::Answer(frame));
            }
            Answer::Missing(missing) => {
                self.questions.left_open();
                // The manager answers none of them without the login.
                for uid in self.requests.waiting_for_login() {
                    if let Some(request) = self.requests.take(uid) {
                        self.fail_request(uid, request, CallError::NoAnswer(missing.clone()));
                    }
                }
            }
            Answer::Frame(_) | Answer::Nothing => {}
        }
    }

    /// Takes up a new connection: goes on with the session, or asks for the links again and queues
    /// the calls that were kept.
    pub(crate) fn connected(&mut self, about: About, arrival: &Arrival) {
        if !matches!(self.phase, Phase::Reconnecting(_)) {
            return;
        }
        if let (Some(_), Some(resumed), Some(grace)) = (&self.session, &arrival.resumed, arrival.grace) {
            return self.resume(about, grace, resumed);
        }
        self.lose_session();
        self.session = arrival.grace.map(Session::new);
        let session = match (self.status.borrow().session, self.session.is_some()) {
            (SessionState::Away, _) | (SessionState::Lost, true) => SessionState::Lost,
            (_, true) => SessionState::New,
            (_, false) => SessionState::None,
        };
        info!("connected to {} again, as {}", about.manager, about.network_name);
        self.phase = Phase::Connected;
        // The links come before all calls: a service that limits its clients refuses those that are
        // not linked.
        for service in self.links.retake(&arrival.locks) {
            self.tell_manager("release_lock", &service);
        }
        for link in self.links.live() {
            self.ask_again(link);
        }
        for (number, pattern) in self.topics.ask_again() {
            self.request_topics(number, pattern, None);
        }
        self.queue_kept(None);
        self.status.send_replace(Status {
            about,
            connection: ConnectionState::Connected,
            session,
        });
    }

    /// Handles the loss of the connection. `can_return` is whether the driver can return to the
    /// session.
    pub(crate) fn disconnected(&mut self, reason: &str, can_return: bool, now: Instant) {
        if !can_return {
            self.session = None;
        }
        match self.phase {
            Phase::Connected if self.session.is_some() => self.step_away(reason, now),
            Phase::Connected if self.config.backoff.is_some() => self.lose(reason),
            Phase::Connected => {
                debug!("{reason}");
                self.close(reason);
            }
            Phase::Leaving(_) => self.close(LEFT),
            Phase::Reconnecting(_) | Phase::Closed(_) => {}
        }
    }

    /// Fails the requests that were written, and keeps or fails those that were not.
    fn lose(&mut self, reason: &str) {
        info!("{reason}, connecting again");
        let reason = self.explain(reason);
        self.phase = Phase::Reconnecting(Arc::clone(&reason));
        self.publish(ConnectionState::Reconnecting);
        self.lose_all(&reason, false);
    }

    /// Ends what the connection had: links, locks, subscriptions and requests.
    /// Whether the manager `keeps_locks` is seen when the client is registered anew.
    pub(super) fn lose_all(&mut self, reason: &Arc<str>, keeps_locks: bool) {
        self.questions.clear();
        for outgoing in std::mem::take(&mut self.outgoing) {
            if let Outgoing::Request { uid, frame, .. } = outgoing
                && self.requests.kept() < self.config.buffer
            {
                let comes_back = |link| self.links.state(link) != LinkState::Ended;
                self.requests.keep_queued(uid, frame, comes_back);
            }
        }
        self.links.cut(keeps_locks);
        self.topics.cut();
        for request in self.requests.take_lost() {
            request.disconnected(reason);
        }
    }

    /// Ends the client, and with it all requests and links.
    pub(crate) fn close(&mut self, reason: &str) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        let reason = self.explain(reason);
        self.phase = Phase::Closed(Arc::clone(&reason));
        self.session = None;
        self.questions.clear();
        self.outgoing.clear();
        for link in self.links.live() {
            self.links.end(link);
        }
        self.topics.clear();
        self.publish(ConnectionState::Closed(Arc::clone(&reason)));
        for request in self.requests.take_all() {
            request.disconnected(&reason);
        }
    }

    /// Returns the reason together with the manager's last error, if there was one.
    pub(super) fn explain(&mut self, reason: &str) -> Arc<str> {
        match self.last_words.take() {
            Some(words) => Arc::from(format!("{reason}, after it had said \"{words}\"")),
            None => Arc::from(reason),
        }
    }

    pub(super) fn publish(&self, connection: ConnectionState) {
        self.status.send_modify(|status| status.connection = connection);
    }

    /// Queues a request to the manager about a service.
    pub(super) fn queue_manager_request(
        &mut self,
        (uid, attribute): (u64, &str),
        (service, kwargs): (&str, &str),
        purpose: Purpose,
    ) {
        let target = Target::new(MANAGER_NAME, attribute);
        let frame = manager_frame(attribute, service, kwargs, uid);
        let outgoing = if matches!(purpose, Purpose::Ending { .. }) {
            Outgoing::Ending { uid, frame }
        } else {
            Outgoing::Request {
                uid,
                frame,
                room: None,
            }
        };
        self.requests.queue(uid, Request::new(target, purpose, None));
        self.outgoing.push_back(outgoing);
    }

    /// Queues a request for a link that was lost, unless the client is leaving.
    pub(super) fn ask_again(&mut self, key: LinkKey) {
        let Some(backoff) = self.config.backoff else {
            return;
        };
        if !self.is_connected() {
            return;
        }
        self.links.asking_again(key, backoff);
        let Some(service) = self.links.get_mut(key).map(|link| Arc::clone(&link.service)) else {
            return;
        };
        let uid = self.uids.next();
        let retaking = self.links.get_mut(key).and_then(|link| link.retaking());
        if let Some(options) = retaking {
            let purpose = Purpose::LockAgain {
                link: key,
                service: Arc::clone(&service),
            };
            self.queue_manager_request((uid, "acquire_lock"), (&service, &options.kwargs()), purpose);
            return;
        }
        self.queue_manager_request((uid, "link"), (&service, "{}"), Purpose::LinkAgain { link: key });
    }

    /// Queues the renewal of a lock.
    pub(super) fn renew(&mut self, key: LinkKey) {
        let Some(service) = self.links.get_mut(key).map(|link| Arc::clone(&link.service)) else {
            return;
        };
        if self.is_connected() {
            let uid = self.uids.next();
            self.queue_manager_request(
                (uid, "renew_lock"),
                (&service, "{}"),
                Purpose::Renewal { link: key },
            );
        }
    }

    /// Queues the calls that are kept for a link, or with `None` those to the manager.
    pub(super) fn queue_kept(&mut self, link: Option<LinkKey>) {
        for (uid, frame) in self.requests.queue_kept(link) {
            self.outgoing.push_back(Outgoing::Request {
                uid,
                frame,
                room: None,
            });
        }
    }

    /// Fails a request, and undoes what was noted about its link or lock.
    pub(super) fn fail_request(&mut self, uid: u64, request: Request, error: CallError) {
        match request.purpose {
            Purpose::Link { link, .. } => self.link_refused(link),
            Purpose::LockedLink {
                link, ref service, ..
            } => {
                if let Some(link) = self.links.get_mut(link) {
                    link.end_locks();
                }
                self.link_refused(link);
                self.give_back(service);
            }
            Purpose::Lock { link: key, .. } => {
                if let Some(link) = self.links.get_mut(key) {
                    let ended = link.refused(uid);
                    if ended {
                        self.end_link(key);
                    }
                }
                self.link_refused(key);
            }
            Purpose::Renewal { link } => {
                // The manager also sends `lock_ended`, or `unlinked` if the service has left. This
                // refusal may come first.
                let ends = error.lock().is_some_and(|lock| lock.ended.is_some());
                let is_locked = self.links.get_mut(link).is_some_and(|link| link.is_locked());
                if let (true, true, CallError::Manager { message, .. }) = (ends, is_locked, &error) {
                    let reason = Arc::from(message.as_str());
                    self.lock_ended(link, &reason);
                }
            }
            Purpose::Subscription { number, .. } => self.topics.refused(number),
            Purpose::Call { .. }
            | Purpose::LinkAgain { .. }
            | Purpose::LockAgain { .. }
            | Purpose::LinkCheck { .. }
            | Purpose::LockCheck { .. }
            | Purpose::Barrier { .. }
            | Purpose::LastWord { .. }
            | Purpose::Ending { .. } => {}
        }
        request.fail(error);
    }

    /// Ends a link that was refused, unless it existed before or another caller asks for it.
    fn link_refused(&mut self, key: LinkKey) {
        if self.links.state(key) != LinkState::Asked || self.requests.asks_for(key) {
            return;
        }
        self.links.end(key);
        if let Some(link) = self.links.get_mut(key)
            && link.is_granted()
        {
            // The manager has made the link with a lock that was dropped before its link was used.
            let service = Arc::clone(&link.service);
            self.give_back(&service);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.links.is_empty()
            && self.topics.is_empty()
            && self.outgoing.is_empty()
            && self.session.as_ref().is_none_or(Session::is_empty)
            && self.questions.is_empty()
    }
}

/// Ends all requests, however the driver ends.
impl Drop for Engine {
    fn drop(&mut self) {
        self.close("the runtime of the client has ended");
    }
}
