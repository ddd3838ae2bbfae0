//! What changes while a client runs.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use labwire_device::Connection;
use labwire_wire::{MANAGER_NAME, quoted};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::link_core::LinkCore;
use crate::pending_request::PendingRequest;

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
    /// Answer a question of the manager.
    Answer {
        frame: Bytes,
        /// Dropped when the answer is about to be written, or never will be.
        #[expect(dead_code, reason = "it is held, not read")]
        taken: oneshot::Sender<()>,
    },
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

/// What changes while a client runs.
pub(crate) struct State {
    pub(crate) about: About,
    pub(crate) phase: Phase,
    /// In the order in which they were made.
    pub(crate) pending: BTreeMap<u64, PendingRequest>,
    pub(crate) links: HashMap<String, Weak<LinkCore>>,
    /// Requests that are kept until their link is there again.
    pub(crate) kept: VecDeque<(u64, Bytes)>,
    /// What the manager said last without saying to which request.
    pub(crate) last_words: Option<String>,
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
    pub(crate) fn keep(&mut self, mut commands: impl FnMut() -> Option<Command>, limit: usize) {
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
    pub(crate) fn take_failed(&mut self) -> Vec<PendingRequest> {
        let kept: HashSet<u64> = self.kept.iter().map(|(uid, _)| *uid).collect();
        let (waiting, failed): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|(uid, _)| kept.contains(uid));
        self.pending = waiting;
        failed.into_values().collect()
    }

    /// Why the connection has ended, with what the manager said before.
    pub(crate) fn explain(&mut self, reason: &str) -> Arc<str> {
        match self.last_words.take() {
            Some(words) => Arc::from(format!("{reason}, after it had said \"{words}\"")),
            None => Arc::from(reason),
        }
    }

    /// The request that an error without a uid is about, as an older manager sends them.
    pub(crate) fn guess(&self, message: &str) -> Option<u64> {
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

    pub(crate) fn newest_for_manager(&self) -> Option<u64> {
        let mut newest = self.pending.iter().rev();
        newest
            .find(|(_, request)| request.written && request.service == MANAGER_NAME)
            .map(|(&uid, _)| uid)
    }
}
