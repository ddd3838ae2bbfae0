//! Cut-through: forwards long frames while they arrive.
//!
//! A frame is forwarded before its end if its receiver asked for that, if the members needed for
//! routing come before the payload, and if the receiver listens to nobody else. An error at its end
//! is found too late. Then the receiver discards the line, which is broken off
//! ([`frames::BROKEN_OFF`](labwire_wire::frames::BROKEN_OFF)), and the caller receives an error: see
//! [`ending`].

mod ending;
mod raw;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use labwire_access::Effect;
use labwire_wire::{
    ArrivingEnvelope, Envelope, FrameView, MANAGER_NAME, Member, NOTIFICATION_UID, Request, Uid, quoted,
};
use tracing::debug;

use super::from_service::unreadable_reply;
use super::{DISCONNECT, Router, Sender};
use crate::counters::Counters;
use crate::outbox::{FrameWriter, KeptWaiting, Outbox};
use crate::refusal::excerpt;
use crate::registry::{Asking, Client, Forwarded, PeerId, RequestTerms};

/// The most bytes before the payload. They are kept until the frame's end has arrived, and copied
/// often.
const HEAD_BYTES: usize = 16 * 1024;

/// The members of a request that carry its payload, the text before each of them, and its default.
const PAYLOADS: [(Member, &[u8], &[u8]); 2] = [
    (Member::Args, b",\"args\":", b"[]"),
    (Member::Kwargs, b",\"kwargs\":", b"{}"),
];

/// A frame that is being cut through. It is broken off if it is dropped before its end.
#[derive(Debug)]
pub(crate) struct CutThrough {
    to: Arc<Outbox>,
    client: PeerId,
    service: PeerId,
    /// The client's name on the network.
    requester: Arc<str>,
    uid: Uid<'static>,
    form: Form,
    /// The first byte of the line that is not forwarded yet.
    next: usize,
    /// The fewest bytes that are forwarded without a copy.
    piece: usize,
    /// The number of bytes that were taken out of the line, or of the buffers.
    taken_out: usize,
    /// Whether the line is complete, and its buffers arrive.
    has_buffers: bool,
}

/// How a frame is forwarded.
#[derive(Debug)]
enum Form {
    /// The payloads as they were written, in an envelope of the manager's.
    Request {
        /// Which of the [`PAYLOADS`] have been begun.
        begun: [bool; PAYLOADS.len()],
        /// The payload that is begun and not complete.
        open: Option<Member>,
    },
    /// Byte for byte.
    Reply,
}

/// Bytes of a line that are no longer kept.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) range: Range<usize>,
    /// Whether they are forwarded: members that a service does not know are not.
    is_wanted: bool,
}

impl Drop for CutThrough {
    fn drop(&mut self) {
        self.to.break_off_arriving();
    }
}

impl CutThrough {
    /// Begins a request. With buffers, its line was forwarded as a whole.
    fn of_request(
        asking: &Asking<'_>,
        client: PeerId,
        uid: &Uid<'_>,
        piece: usize,
        has_buffers: bool,
    ) -> Self {
        Self {
            to: Arc::clone(&asking.service.outbox),
            client,
            service: asking.service_id(),
            requester: Arc::clone(&asking.client.name),
            uid: uid.clone().into_owned(),
            form: Form::Request {
                begun: [has_buffers; PAYLOADS.len()],
                open: None,
            },
            next: 0,
            piece,
            taken_out: 0,
            has_buffers,
        }
    }

    /// Begins a reply. `ids` are those of the client and of the service.
    fn of_reply(
        client: &Client,
        ids: (PeerId, PeerId),
        uid: &Uid<'_>,
        piece: usize,
        has_buffers: bool,
    ) -> Self {
        Self {
            to: Arc::clone(&client.outbox),
            client: ids.0,
            service: ids.1,
            requester: Arc::clone(&client.name),
            uid: uid.clone().into_owned(),
            form: Form::Reply,
            next: 0,
            piece,
            taken_out: 0,
            has_buffers,
        }
    }

    /// Returns whether frames or producers wait for the end of the frame.
    pub(crate) fn keeps_waiting(&self) -> KeptWaiting {
        self.to.kept_waiting()
    }

    /// Returns the queue of its receiver.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.to
    }

    /// Forwards the beginning of the bytes that have arrived of the line. Returns the bytes that
    /// the caller must then take out of the line and [pass](Self::pass).
    pub(crate) fn go_on(&mut self, line: &[u8], arriving: &ArrivingEnvelope) -> Option<Passing> {
        let to = Arc::clone(&self.to);
        to.go_on_arriving(|frame| self.write_whole(frame, line, arriving.envelope()));
        let (start, member) = arriving.value(line)?;
        let is_wanted = match &mut self.form {
            Form::Reply => {
                if self.next <= start {
                    to.go_on_arriving(|frame| frame.copied(&line[self.next..=start]));
                }
                true
            }
            Form::Request { begun, open } => {
                let payload = PAYLOADS
                    .iter()
                    .zip(begun)
                    .find(|((payload, ..), _)| Some(*payload) == member);
                if payload.is_none() && member.is_some() {
                    // Members of the envelope are read when the frame is complete.
                    return None;
                }
                if let Some(((_, key, _), begun)) = payload.filter(|(_, begun)| !**begun) {
                    *begun = true;
                    *open = member;
                    to.go_on_arriving(|frame| {
                        frame.copied(key);
                        frame.copied(&line[start..=start]);
                    });
                }
                open.is_some()
            }
        };
        self.next = start + 1;
        let range = start + 1..arriving.checked();
        if range.len() < self.piece {
            return None;
        }
        self.taken_out += range.len();
        Some(Passing { range, is_wanted })
    }

    /// Forwards bytes that were taken out of the line.
    pub(crate) fn pass(&self, passing: &Passing, bytes: &Bytes) {
        if passing.is_wanted {
            self.to.go_on_arriving(|frame| frame.shared(bytes));
        }
    }

    /// Forwards the payloads of a request that have arrived completely.
    fn write_whole(&mut self, frame: &mut FrameWriter<'_>, line: &[u8], envelope: &Envelope) {
        let Form::Request { begun, open } = &mut self.form else {
            return;
        };
        if let Some(span) = open.and_then(|open| envelope.span(open)) {
            frame.copied(&line[self.next..span.end]);
            *open = None;
        }
        for ((member, key, _), begun) in PAYLOADS.iter().zip(begun) {
            if !*begun && let Some(span) = envelope.span(*member) {
                *begun = true;
                frame.copied(key);
                frame.copied(&line[span]);
            }
        }
    }

    /// Forwards the rest of the line, which is complete and valid.
    /// `members` are those that only a service with a feature receives.
    fn finish(mut self, frame: FrameView<'_>, envelope: &Envelope, members: &[u8]) {
        let to = Arc::clone(&self.to);
        if self.has_buffers {
            return to.end_arriving(|writer| writer.payload(frame));
        }
        to.end_arriving(|writer| {
            self.write_whole(writer, frame.content(), envelope);
            match &self.form {
                Form::Request { begun, .. } => {
                    for (&(_, key, default), begun) in PAYLOADS.iter().zip(begun) {
                        if !begun {
                            writer.copied(key);
                            writer.copied(default);
                        }
                    }
                    writer.copied(members);
                    writer.copied(b"}\r\n");
                }
                Form::Reply => {
                    writer.copied(&frame.content()[self.next..]);
                    writer.copied(frame.head().terminator());
                }
            }
            writer.payload(frame);
        });
    }
}

impl Router<'_> {
    /// Begins to cut through a client's request whose payload is arriving. Returns `None` if it
    /// must be complete first.
    pub(crate) fn cut_request_through(
        &mut self,
        from: &Sender<'_>,
        line: &[u8],
        arriving: &ArrivingEnvelope,
    ) -> Option<CutThrough> {
        let (start, member) = arriving.value(line)?;
        let envelope = arriving.envelope();
        let is_payload = matches!(
            (member?, line[start]),
            (Member::Args, b'[') | (Member::Kwargs, b'{')
        );
        // An error at the end of the line would be queued for the client, so there must be room.
        if from.outbox.is_full() {
            return None;
        }
        // What is wanted of it beside its reply is known at its end at the latest: a request that
        // says so before its payload is passed on whole.
        if self.draining
            || envelope.has_terms()
            || !is_payload
            || start > HEAD_BYTES
            || arriving.failure().is_some()
            || envelope.has_result()
            || envelope.has_buffers()
        {
            return None;
        }
        envelope.span(Member::Uid)?;
        let request = envelope.request(line).ok()?;
        if request.service == *MANAGER_NAME || request.attribute == *DISCONNECT {
            return None;
        }
        let shape = arriving.shape();
        // What waits for approval waits whole.
        if self.permit_call(from, &request).ok()? != Effect::Allow {
            return None;
        }
        let present = self.present();
        let mut asking = self.registry.ask(from.id, &request.service, shape).ok()??;
        let terms = RequestTerms::default();
        asking.check_uid(&request.uid, &terms).ok()?;
        let caller = asking.caller_member(present);
        let asked = asking.service.features.cut_through && asking.is_alone();
        let begin = |frame: &mut FrameWriter<'_>| {
            for (key, member) in [
                (&b"{\"attribute\":"[..], Member::Attribute),
                (b",\"service\":", Member::Service),
                (b",\"uid\":", Member::Uid),
            ] {
                frame.copied(key);
                frame.copied(envelope.raw(line, member).unwrap_or(b"\"\""));
            }
            frame.copied(b",\"error\":false");
            frame.copied(asking.client.requester_member());
            if let Some(caller) = &caller {
                frame.copied(caller);
            }
        };
        if !asked || shape.depth > self.nesting || !asking.service.outbox.begin_arriving(begin) {
            return None;
        }
        let cut_through = CutThrough::of_request(&asking, from.id, &request.uid, self.pace.piece, false);
        let forwarded = Forwarded {
            uid: request.uid.as_bytes(),
            attribute: request.attribute.as_str(),
            bytes: 0,
            line: None,
        };
        asking.begin(&forwarded, self.now);
        Counters::count(&self.counters.cut_through);
        self.note_request(from, &request);
        Some(cut_through)
    }

    /// Begins to cut through a service's reply whose result is arriving. Returns `None` if it must
    /// be complete first.
    pub(crate) fn cut_reply_through(
        &mut self,
        from: &Sender<'_>,
        line: &[u8],
        arriving: &ArrivingEnvelope,
    ) -> Option<CutThrough> {
        let (start, member) = arriving.value(line)?;
        let envelope = arriving.envelope();
        // As above: a service too receives errors for its malformed replies.
        if from.outbox.is_full() {
            return None;
        }
        if member? != Member::Result || start > HEAD_BYTES || arriving.failure().is_some() {
            return None;
        }
        let (requester, uid) = envelope.answered(line).ok()?;
        // It may have to be written differently, or buffers follow.
        if envelope.has_buffers() {
            return None;
        }
        if envelope.raw(line, Member::Error) != Some(b"false") || uid == *NOTIFICATION_UID {
            return None;
        }
        let id = self.registry.awaited(from.id, &requester, &uid)?.client_id();
        let client = self.registry.client(id)?;
        if !client.features.cut_through
            || !self.registry.listens_only(id, from.id)
            || unreadable_reply("", client.reader, arriving.shape(), self.nesting).is_some()
            || !client.outbox.begin_arriving(|_| {})
        {
            return None;
        }
        Counters::count(&self.counters.cut_through);
        let ids = (id, from.id);
        Some(CutThrough::of_reply(client, ids, &uid, self.pace.piece, false))
    }

    /// Counts and logs a request that goes on before its end.
    fn note_request(&self, from: &Sender<'_>, request: &Request<'_>) {
        Counters::count_alone(&self.counters.requests);
        debug!(
            "{} requests {} from '{}' while it still sends",
            from.name,
            quoted(excerpt(request.attribute.as_str())),
            request.service.as_str()
        );
    }
}
