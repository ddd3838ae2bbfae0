//! Requests that their service will not answer.

use std::sync::Arc;

use bytes::Bytes;
use labwire_wire::Features;

use super::requests::Requests;
use super::uids::{IntoIter, Same};
use crate::buffers::RUN_BYTES;
use crate::outbox::{Deferred, FrameWriter, Outbox};
use crate::refusal::Refusal;

/// The most errors that are composed at once, in less than 20 microseconds.
const AT_ONCE: usize = 64;

/// The requests of one client whose service will not answer them.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(super) client: Arc<Outbox>,
    pub(super) requester: Arc<str>,
    pub(super) features: Features,
    pub(super) requests: Requests,
}

impl Abandoned {
    /// Queues an error for each request.
    ///
    /// The registry is locked meanwhile, and there can be tens of thousands. More than [`AT_ONCE`]
    /// are composed later, when the client's writer reaches them. Returns the number of errors
    /// composed here.
    pub(crate) fn tell(self, refusal: &Refusal) -> usize {
        let count = self.count();
        let (head, tail) = refusal.around_uid(&self.requester, self.features);
        let quotes = 2;
        let bytes = count * (head.len() + quotes + tail.len()) + self.requests.uid_bytes();
        let mut errors = Errors {
            head,
            tail,
            requests: self.requests.into_uids(),
            current: None,
        };
        if count <= AT_ONCE {
            self.client.push_always(|frame| while errors.write_one(frame) {});
            count
        } else {
            self.client.push_deferred(bytes, Box::new(errors));
            0
        }
    }

    /// Returns the number of requests.
    pub(crate) fn count(&self) -> usize {
        self.requests.count()
    }
}

/// Composes an error for each of some requests.
#[derive(Debug)]
struct Errors {
    /// The text before and after the uid.
    head: Bytes,
    tail: &'static [u8],
    requests: IntoIter,
    /// The current uid, and how many requests with it are left.
    current: Option<Same>,
}

impl Errors {
    /// Writes one error. Returns `false` if none is left.
    fn write_one(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        let Some(mut same) = self.current.take().or_else(|| self.requests.next()) else {
            return false;
        };
        frame.copied(&self.head);
        frame.copied(same.uid.get().to_json().as_bytes());
        frame.copied(self.tail);
        if same.count > 1 {
            same.count -= 1;
            self.current = Some(same);
        }
        true
    }
}

impl Deferred for Errors {
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        while frame.written() < RUN_BYTES {
            if !self.write_one(frame) {
                return false;
            }
        }
        true
    }
}
