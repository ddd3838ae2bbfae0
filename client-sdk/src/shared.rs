//! What a client's handles and the task that owns its connection have in common.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use labwire_device::Connection;
use labwire_wire::{Executed, MANAGER_NAME, quoted};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::error::CallError;
use crate::incoming::Failure;
use crate::link_core::LinkCore;
use crate::options::ClientOptions;

/// What an administrator asks for, and gets no reply to: the connection closes.
const SHUT_DOWN_MANAGER: &str = "shutdown_manager";

/// The JSON text of a result, or why there is none.
pub(crate) type Outcome = Result<Bytes, CallError>;

/// What the task that owns the connection is told.
pub(crate) enum Command {
    /// Send a request if somebody still waits for its reply.
    Request {
        uid: u64,
        frame: Bytes,
        /// The place in the queue, which is free for the next request when this is dropped.
        #[expect(dead_code, reason = "it is held, not read")]
        room: Option<OwnedSemaphorePermit>,
        /// Whether it is sent in any case.
        insist: bool,
    },
    /// Send a frame; nobody waits for a reply.
    Frame(Bytes),
    /// Leave the manager.
    Disconnect,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Connected,
    /// It was lost for this reason, and is made again.
    Reconnecting(Arc<str>),
    /// It has ended for this reason, for ever.
    Closed(Arc<str>),
}

/// What the manager calls this client, and how it is called itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) network_name: String,
    pub(crate) manager: String,
    pub(crate) local_port: u16,
}

impl About {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            network_name: connection.network_name.clone(),
            manager: connection.manager.clone(),
            local_port: connection.local_port,
        }
    }
}

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
    fn fail(self, error: CallError) {
        // Who dropped the receiver does not want to know.
        let _ = self.reply.send(Err(error));
    }

    fn disconnected(self, reason: &Arc<str>) {
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

    fn error(&self, failure: Failure, of_manager: bool) -> CallError {
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

pub(crate) struct State {
    pub(crate) about: About,
    pub(crate) phase: Phase,
    /// In the order in which they were made.
    pub(crate) pending: BTreeMap<u64, PendingRequest>,
    pub(crate) links: HashMap<String, Weak<LinkCore>>,
    /// Requests that are kept until their link is there again.
    pub(crate) kept: VecDeque<(u64, Bytes)>,
    /// What the manager said last without saying to which request.
    last_words: Option<String>,
}

impl State {
    /// The links that anybody still has. They must not be dropped while the state is locked: the last one would
    /// lock it to unlink.
    pub(crate) fn live_links(&self) -> Vec<Arc<LinkCore>> {
        self.links.values().filter_map(Weak::upgrade).collect()
    }

    /// Takes out what was kept of the requests that satisfy a condition and that somebody still waits for.
    pub(crate) fn take_kept(&mut self, wanted: impl Fn(&PendingRequest) -> bool) -> Vec<(u64, Bytes)> {
        let (mut taken, mut rest) = (Vec::new(), VecDeque::new());
        for (uid, frame) in self.kept.drain(..) {
            match self.pending.get(&uid) {
                Some(request) if wanted(request) => taken.push((uid, frame)),
                Some(_) => rest.push_back((uid, frame)),
                None => {}
            }
        }
        self.kept = rest;
        taken
    }

    /// Keeps the requests of these commands that may be kept, as many as there is room for.
    fn keep(&mut self, mut commands: impl FnMut() -> Option<Command>, limit: usize) {
        while let Some(command) = commands() {
            if let Command::Request { uid, frame, .. } = command
                && self.kept.len() < limit
                && self.pending.get(&uid).is_some_and(|request| request.keep)
            {
                self.kept.push_back((uid, frame));
            }
        }
    }

    /// Takes out the requests that are not kept.
    fn take_failed(&mut self) -> Vec<PendingRequest> {
        let kept: HashSet<u64> = self.kept.iter().map(|(uid, _)| *uid).collect();
        let (waiting, failed): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(uid, _)| kept.contains(uid));
        self.pending = waiting;
        failed.into_values().collect()
    }

    /// Why the connection has ended, with what the manager said before.
    fn explain(&mut self, reason: &str) -> Arc<str> {
        match self.last_words.take() {
            Some(words) => Arc::from(format!("{reason}, after it had said \"{words}\"")),
            None => Arc::from(reason),
        }
    }

    /// The request that an error without a uid is about, as an older manager sends them.
    fn guess(&self, message: &str) -> Option<u64> {
        let names = |request: &PendingRequest| {
            message.contains(&format!(
                "the {} Service is not connected",
                quoted(&request.service)
            ))
        };
        let mut written = self.pending.iter().filter(|(_, request)| request.written);
        let oldest = written.find(|(_, request)| names(request));
        oldest.map(|(&uid, _)| uid).or_else(|| self.newest_for_manager())
    }

    fn newest_for_manager(&self) -> Option<u64> {
        let mut newest = self.pending.iter().rev();
        newest
            .find(|(_, request)| request.written && request.service == MANAGER_NAME)
            .map(|(&uid, _)| uid)
    }
}

/// What a client's handles and the task that owns its connection have in common.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) options: ClientOptions,
    next_uid: AtomicU64,
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
}

impl Shared {
    pub(crate) fn new(name: String, options: ClientOptions, connection: &Connection) -> Self {
        Self {
            name,
            options,
            next_uid: AtomicU64::new(1),
            state: Mutex::new(State {
                about: About::new(connection),
                phase: Phase::Connected,
                pending: BTreeMap::new(),
                links: HashMap::new(),
                kept: VecDeque::new(),
                last_words: None,
            }),
            phase: watch::Sender::new(Phase::Connected),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn new_uid(&self) -> u64 {
        self.next_uid.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn reconnects(&self) -> bool {
        self.options.connect.backoff().is_some()
    }

    /// Changes the phase; the state must be locked by the caller, so that nobody sees the two differ.
    pub(crate) fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase.clone();
        self.phase.send_replace(phase);
    }

    /// Nobody waits for the reply any more. Says whether the request may have been executed; `None` when the reply
    /// is there already.
    pub(crate) fn forget(&self, uid: u64) -> Option<Executed> {
        let mut state = self.state();
        let request = state.pending.remove(&uid)?;
        if !request.written {
            state.kept.retain(|(kept, _)| *kept != uid);
        }
        Some(if request.written {
            Executed::Maybe
        } else {
            Executed::No
        })
    }

    /// The frames of what was commanded, which count as written from now on, without those of requests that nobody
    /// waits for any more. The second value says whether the client is to leave.
    pub(crate) fn take_frames(&self, commands: &mut Vec<Command>) -> (Vec<Bytes>, bool) {
        let mut frames = Vec::with_capacity(commands.len() + 1);
        let mut leave = false;
        let mut state = self.state();
        for command in commands.drain(..) {
            match command {
                Command::Request {
                    uid, frame, insist, ..
                } => {
                    let request = state.pending.get_mut(&uid);
                    if insist || request.is_some() {
                        frames.push(frame);
                    }
                    if let Some(request) = request {
                        request.written = true;
                    }
                }
                Command::Frame(frame) => frames.push(frame),
                Command::Disconnect => leave = true,
            }
        }
        (frames, leave)
    }

    /// A result has come.
    pub(crate) fn succeed(&self, uid: &str, result: Bytes) {
        let request = {
            let mut state = self.state();
            let uid = if uid.is_empty() {
                state.newest_for_manager()
            } else {
                uid.parse().ok()
            };
            uid.and_then(|uid| state.pending.remove(&uid))
        };
        let Some(request) = request else { return };
        if let Some(link) = request.makes.as_ref().and_then(Weak::upgrade) {
            link.is_there();
        }
        let _ = request.reply.send(Ok(result));
    }

    /// An error has come.
    pub(crate) fn fail(&self, uid: &str, failure: Failure) {
        let request = {
            let mut state = self.state();
            let uid = if uid.is_empty() {
                tracing::debug!("the manager says: {}", failure.message);
                state.last_words = Some(failure.message.clone());
                state.guess(&failure.message)
            } else {
                uid.parse().ok()
            };
            uid.and_then(|uid| state.pending.remove(&uid))
        };
        let Some(request) = request else { return };
        if let Some(link) = request.makes.as_ref().and_then(Weak::upgrade) {
            link.was_refused();
        }
        let error = request.error(failure, uid.is_empty());
        request.fail(error);
    }

    /// The request that the manager asks a question about cannot go on.
    pub(crate) fn fail_question(&self, error: CallError) {
        let request = {
            let mut state = self.state();
            let uid = state.newest_for_manager();
            uid.and_then(|uid| state.pending.remove(&uid))
        };
        if let Some(request) = request {
            request.fail(error);
        }
    }

    /// The connection is lost and is made again: what was written may have been executed, what was not is kept or
    /// fails. `unwritten` is what is left in the queue; it is read while nobody can add to it.
    pub(crate) fn lose(&self, reason: &str, unwritten: impl FnMut() -> Option<Command>) {
        let (failed, links, reason) = {
            let mut state = self.state();
            let reason = state.explain(reason);
            self.enter(&mut state, Phase::Reconnecting(Arc::clone(&reason)));
            state.keep(unwritten, self.options.buffer);
            (state.take_failed(), state.live_links(), reason)
        };
        for link in links {
            link.is_away();
        }
        for request in failed {
            request.disconnected(&reason);
        }
    }

    /// The connection has ended for ever.
    pub(crate) fn close(&self, reason: &str) {
        let (failed, links, reason) = {
            let mut state = self.state();
            if matches!(state.phase, Phase::Closed(_)) {
                return;
            }
            let reason = state.explain(reason);
            self.enter(&mut state, Phase::Closed(Arc::clone(&reason)));
            state.kept.clear();
            (state.take_failed(), state.live_links(), reason)
        };
        for link in links {
            link.has_ended();
        }
        for request in failed {
            request.disconnected(&reason);
        }
    }
}
