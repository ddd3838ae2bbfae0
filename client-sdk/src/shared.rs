//! What a client's handles and the task that owns its connection have in common.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use labwire_device::Connection;
use labwire_wire::Executed;
use tokio::sync::watch;

use crate::error::CallError;
use crate::incoming::Failure;
use crate::options::ClientOptions;
use crate::state::{About, Command, Phase, State};

/// What a client's handles and the task that owns its connection have in common.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) options: ClientOptions,
    next_uid: AtomicU64,
    state: Mutex<State>,
    /// Held by who asks for a link or ends one. Locked before the state.
    asking: Mutex<()>,
    phase: watch::Sender<Phase>,
    leave: watch::Sender<bool>,
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
            asking: Mutex::default(),
            phase: watch::Sender::new(Phase::Connected),
            leave: watch::Sender::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this is held nobody else asks for a link or ends one.
    pub(crate) fn asking(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The client is to leave, whatever happens to the connection.
    pub(crate) fn leave(&self) {
        self.leave.send_replace(true);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        *self.leave.borrow()
    }

    /// Waits until the client is to leave.
    pub(crate) async fn leaving(&self) {
        // The sender is a part of `self`.
        let _ = self.leave.subscribe().wait_for(|leave| *leave).await;
    }

    pub(crate) fn new_uid(&self) -> u64 {
        self.next_uid.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn reconnects(&self) -> bool {
        self.options.connect.backoff().is_some()
    }

    /// Tells those who wait for it which phase it is, once all that belongs to it is done.
    pub(crate) fn publish(&self, phase: Phase) {
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
                Command::Frame(frame) | Command::Answer { frame, .. } => frames.push(frame),
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
            state.phase = Phase::Reconnecting(Arc::clone(&reason));
            state.keep(unwritten, self.options.buffer);
            (state.take_failed(), state.live_links(), reason)
        };
        for link in links {
            link.is_away();
        }
        self.publish(Phase::Reconnecting(Arc::clone(&reason)));
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
            state.phase = Phase::Closed(Arc::clone(&reason));
            state.kept.clear();
            (state.take_failed(), state.live_links(), reason)
        };
        for link in links {
            link.has_ended();
        }
        self.publish(Phase::Closed(Arc::clone(&reason)));
        for request in failed {
            request.disconnected(&reason);
        }
    }
}
