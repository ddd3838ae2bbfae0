//! Replies that are still to come to requests that have ended because of a service's line.
//!
//! A line that is discarded before its end may be the reply itself. Then nothing more comes once the
//! line has ended, unless the connection breaks before: a service with a session sends the line
//! again. So the reply is owed until the line is handled. If the line is progress or an item, the
//! reply is owed until it comes.

use std::borrow::Cow;

use bytes::Bytes;
use labwire_wire::{Envelope, Member, Text, Uid};

use super::{Router, Sender};
use crate::registry::{Answered, PeerId};

/// The rest of a service's line that is discarded, and that has ended a request.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The client's name on the network.
    pub(super) requester: String,
    pub(super) uid: Uid<'static>,
    /// Whether the line is the reply, so that nothing comes after it.
    pub(super) is_reply: bool,
}

impl Router<'_> {
    /// Notes that a line is handled that was discarded.
    pub(crate) fn end_rest(&mut self, from: &Sender<'_>, rest: &Rest) {
        if rest.is_reply {
            let requester = Text::from(Cow::from(rest.requester.as_str()));
            self.registry.take_owed(from.id, &requester, &rest.uid);
        }
    }

    /// Returns whether a service's line is the reply to a request, as far as it has arrived. If that
    /// is not known, it counts as an item: the uid is refused for too long rather than too short.
    pub(super) fn is_whole_reply(&self, from: &Sender<'_>, line: &[u8], envelope: &Envelope) -> bool {
        let service = self.registry.service(from.id);
        let sends_items = service.is_some_and(|service| service.features.progress);
        envelope.has_result()
            || !envelope.has_partial() && (!sends_items || envelope.raw(line, Member::Error).is_some())
    }

    /// Ends the other requests of a client with the uid of one whose reply is owed: which of them a
    /// later reply answers could not be told. `frame` is their error.
    pub(super) fn end_same(&mut self, from: &Sender<'_>, client: PeerId, uid: &Uid<'_>, frame: &Bytes) {
        while let Some(awaited) = self.registry.awaited_by(client, from.id, uid) {
            awaited.outbox.push_always(|writer| writer.shared(frame));
            awaited.end(Answered::with_refusal(self.now));
            self.registry.note_owed(client, from.id, uid.as_bytes());
        }
    }
}
