//! What is sent when requests end before their reply: to their clients, and to services that are asked to
//! stop.

use std::sync::Arc;

use bytes::Bytes;
use labwire_wire::{Features, Uid, frames};

use super::requests::Requests;
use super::uids::{IntoIter, Same};
use crate::buffers::RUN_BYTES;
use crate::outbox::{Deferred, FrameWriter, Outbox};
use crate::refusal::Refusal;

/// The most requests to stop that are composed at once, for one service.
const AT_ONCE: usize = 8;

/// Why a service is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// The client has cancelled the request.
    Client,
    /// The deadline of the request has passed.
    Deadline,
    /// The client has left.
    Disconnected,
}

impl StopCause {
    /// Returns the keyword argument `cause`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Deadline => "deadline",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A service that is to be asked to stop a request.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) outbox: Arc<Outbox>,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) requester: Arc<str>,
    pub(crate) uid: Uid<'static>,
    pub(crate) cause: StopCause,
    pub(crate) reason: Option<String>,
}

/// A request that has ended before its reply.
#[derive(Debug)]
pub(crate) struct EndedEarly {
    pub(crate) outbox: Arc<Outbox>,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) requester: Arc<str>,
    pub(crate) features: Features,
    pub(crate) uid: Uid<'static>,
    pub(crate) refusal: Refusal,
    /// What is sent to the service, if it has the feature `cancel` and was not asked before.
    pub(crate) stop: Option<Stop>,
}

/// The requests of a client that has left, at a service with the feature `cancel`.
#[derive(Debug)]
pub(crate) struct LeftBehind {
    pub(super) service: Arc<Outbox>,
    pub(super) requester: Arc<str>,
    pub(super) requests: Requests,
}

impl LeftBehind {
    /// Asks the service to stop each of them. Many are composed when the service's writer reaches
    /// them. Returns the number composed here.
    pub(crate) fn tell(self, manager: &str) -> usize {
        let count = self.requests.count();
        let (head, tail) =
            frames::cancel_around(&self.requester, StopCause::Disconnected.name(), None, manager);
        let quotes = 2;
        let bytes = count * (head.len() + quotes + tail.len()) + self.requests.uid_bytes();
        let mut stops = Stops {
            head,
            tail,
            requests: self.requests.into_uids(),
        };
        if count <= AT_ONCE {
            self.service.push_always(|frame| while stops.write_one(frame) {});
            count
        } else {
            self.service.push_deferred(bytes, Box::new(stops));
            0
        }
    }
}

/// Composes a request to stop for each of some requests.
#[derive(Debug)]
struct Stops {
    /// The text before and after the uid.
    head: Bytes,
    tail: Bytes,
    requests: IntoIter,
}

impl Stops {
    /// Writes one, for all requests with one uid. Returns `false` if none is left.
    fn write_one(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        let is_open = |same: &Same| same.count > 0;
        let Some(same) = self.requests.by_ref().find(is_open) else {
            return false;
        };
        frame.copied(&self.head);
        frame.copied(same.uid.get().to_json().as_bytes());
        frame.copied(&self.tail);
        true
    }
}

impl Deferred for Stops {
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        while frame.written() < RUN_BYTES {
            if !self.write_one(frame) {
                return false;
            }
        }
        true
    }
}
