//! Long frames that go on while they arrive.
//!
//! A frame goes on before its end has come when its receiver asked for that, what routing needs stands before the
//! payload, and the receiver has nobody else to listen to. What may be wrong with its end is found too late then: so
//! the receiver forgets a line that is broken off ([`frames::BROKEN_OFF`]), and the caller is told.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use labwire_wire::{
    ArrivingEnvelope, Envelope, EnvelopeError, FrameView, MANAGER_NAME, Member, NOTIFICATION_UID, Text, Uid,
    frames, quoted,
};
use tracing::{debug, warn};

use super::from_service::unreadable_reply;
use super::incoming::Kind;
use super::{DISCONNECT, Router, Sender};
use crate::counters::Counters;
use crate::outbox::{FrameWriter, KeptWaiting, Outbox};
use crate::refusal::{LineEnd, Refusal, excerpt};
use crate::registry::{Awaited, PeerId, Registry};

/// How much may stand before the payload, in bytes: it is kept until the frame's end has come, and copied often.
const HEAD_BYTES: usize = 16 * 1024;

/// The members of a request that carry its payload, what stands before each of them, and what it is when it is missing.
const PAYLOADS: [(Member, &[u8], &[u8]); 2] = [
    (Member::Args, b",\"args\":", b"[]"),
    (Member::Kwargs, b",\"kwargs\":", b"{}"),
];

/// A frame of which a part has gone on. It is broken off when it is dropped before its end.
#[derive(Debug)]
pub(crate) struct CutThrough {
    to: Arc<Outbox>,
    client: PeerId,
    service: PeerId,
    /// The client's name on the network.
    requester: Arc<str>,
    uid: Uid<'static>,
    form: Form,
    /// From which byte of the line on it has not gone on.
    next: usize,
    /// How many bytes go on at once.
    piece: usize,
}

/// How a frame goes on.
#[derive(Debug)]
enum Form {
    /// The payloads as they were written, in an envelope of the manager's.
    Request {
        /// Which of the [`PAYLOADS`] have begun to go on.
        begun: [bool; PAYLOADS.len()],
        /// The one that has not gone on to its end.
        open: Option<Member>,
    },
    /// Byte for byte.
    Reply,
}

/// Bytes of a line that are kept no longer.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) range: Range<usize>,
    /// Whether they go on: what a service does not know does not.
    is_wanted: bool,
}

impl Drop for CutThrough {
    fn drop(&mut self) {
        self.to.end_arriving(|frame| frame.copied(frames::BROKEN_OFF));
    }
}

impl CutThrough {
    /// What waits for the end of the frame.
    pub(crate) fn keeps_waiting(&self) -> KeptWaiting {
        self.to.kept_waiting()
    }

    /// The queue of its receiver.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.to
    }

    /// Passes on the beginning of what has arrived of the line; gives the bytes that are then to be taken out of it and
    /// [passed](Self::pass).
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
                    // What a member of the envelope says is looked at when the frame is whole.
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
        (range.len() >= self.piece).then_some(Passing { range, is_wanted })
    }

    /// Passes bytes on that were taken out of the line.
    pub(crate) fn pass(&self, passing: &Passing, bytes: &Bytes) {
        if passing.is_wanted {
            self.to.go_on_arriving(|frame| frame.shared(bytes));
        }
    }

    /// Passes the payloads of a request on that have arrived whole.
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

    /// Passes the rest of the line on, which is whole and found to be right.
    fn finish(mut self, frame: FrameView<'_>, envelope: &Envelope) {
        let to = Arc::clone(&self.to);
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
    /// Lets a client's request go on of which the payload is arriving. Nothing when it must be whole before.
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
        // Something may be wrong with its end, of which the client is told.
        if from.outbox.is_full() {
            return None;
        }
        if self.draining
            || !is_payload
            || start > HEAD_BYTES
            || arriving.failure().is_some()
            || envelope.has_result()
        {
            return None;
        }
        envelope.span(Member::Uid)?;
        let request = envelope.request(line).ok()?;
        if request.service == *MANAGER_NAME || request.attribute == *DISCONNECT {
            return None;
        }
        let shape = arriving.shape();
        let asking = self.registry.ask(from.id, &request.service, shape).ok()??;
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
        };
        if !asked || shape.depth > self.nesting || !asking.service.outbox.begin_arriving(begin) {
            return None;
        }
        let cut_through = CutThrough {
            to: Arc::clone(&asking.service.outbox),
            client: from.id,
            service: asking.service_id(),
            requester: Arc::clone(&asking.client.name),
            uid: request.uid.clone().into_owned(),
            form: Form::Request {
                begun: [false; PAYLOADS.len()],
                open: None,
            },
            next: 0,
            piece: self.pace.piece,
        };
        asking.begin(request.uid.as_bytes());
        Counters::count(&self.counters.requests);
        Counters::count(&self.counters.cut_through);
        debug!(
            "{} requests {} from '{}' while it still sends",
            from.name,
            quoted(excerpt(request.attribute.as_str())),
            request.service.as_str()
        );
        Some(cut_through)
    }

    /// Lets a service's reply go on of which the result is arriving. Nothing when it must be whole before.
    pub(crate) fn cut_reply_through(
        &mut self,
        from: &Sender<'_>,
        line: &[u8],
        arriving: &ArrivingEnvelope,
    ) -> Option<CutThrough> {
        let (start, member) = arriving.value(line)?;
        let envelope = arriving.envelope();
        // As above: a service is told of its malformed replies too.
        if from.outbox.is_full() {
            return None;
        }
        if member? != Member::Result || start > HEAD_BYTES || arriving.failure().is_some() {
            return None;
        }
        let (requester, uid) = envelope.answered(line).ok()?;
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
        Some(CutThrough {
            to: Arc::clone(&client.outbox),
            client: id,
            service: from.id,
            requester: Arc::clone(&client.name),
            uid: uid.clone().into_owned(),
            form: Form::Reply,
            next: 0,
            piece: self.pace.piece,
        })
    }

    /// Ends a frame whose line has arrived to its end. Of the line is left what has not gone on.
    pub(crate) fn end_cut_through(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        frame: FrameView<'_>,
        kind: &Kind,
    ) {
        let envelope = match kind {
            Kind::Frame(envelope) => envelope,
            // The service has left, which its callers are told.
            Kind::Broken(..)
                if frame.head().terminated().is_none() && matches!(cut_through.form, Form::Reply) =>
            {
                return self.break_off(from, cut_through, None);
            }
            Kind::Broken(unframed) => return self.break_off_broken(from, cut_through, unframed.error),
            _ => return self.break_off(from, cut_through, None),
        };
        let refusal = match &cut_through.form {
            Form::Request { .. } => self.late_request_refusal(&cut_through, frame.content(), envelope),
            Form::Reply => self.late_reply_refusal(&cut_through, envelope),
        };
        if refusal.is_some() && matches!(cut_through.form, Form::Request { .. }) {
            Counters::count(&self.counters.malformed);
        }
        let awaited = match refusal {
            None => waiting(&mut self.registry, &cut_through),
            Some(_) => None,
        };
        let Some(awaited) = awaited else {
            return self.break_off(from, cut_through, refusal.as_ref());
        };
        if let Form::Reply = cut_through.form {
            awaited.end();
            Counters::count(&self.counters.replies);
        }
        cut_through.finish(frame, envelope);
    }

    /// What is wrong with a request that went on before its end was there.
    fn late_request_refusal(
        &self,
        cut_through: &CutThrough,
        content: &[u8],
        envelope: &Envelope,
    ) -> Option<Refusal> {
        if envelope.has_result() {
            return Some(Refusal::ClientReplies);
        }
        if let Err(error) = envelope.request(content) {
            return Some(error.into());
        }
        let service = self.registry.service(cut_through.service)?;
        self.too_deep(envelope).or_else(|| {
            (!service.reader.can_read(envelope.shape())).then(|| Refusal::UnreadableRequest {
                service: service.name.to_string(),
            })
        })
    }

    /// What is wrong with a reply that went on before its end was there.
    fn late_reply_refusal(&self, cut_through: &CutThrough, envelope: &Envelope) -> Option<Refusal> {
        let client = self.registry.client(cut_through.client)?;
        let service = self.registry.service(cut_through.service)?;
        unreadable_reply(&service.name, client.reader, envelope.shape(), self.nesting)
    }

    /// Breaks a frame off of which something is wrong.
    pub(crate) fn break_off_broken(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        error: EnvelopeError,
    ) {
        let refusal = self.broken(error);
        match cut_through.form {
            Form::Request { .. } => {
                Counters::count(&self.counters.malformed);
                self.break_off(from, cut_through, Some(&refusal));
            }
            Form::Reply => {
                let service = self.service_name(cut_through.service);
                let refusal = match refusal {
                    Refusal::TooDeep { limit } => Refusal::ReplyTooDeep { service, limit },
                    _ => Refusal::MalformedReply { service },
                };
                if from.log_limit.allows(from.name) {
                    let requester = &cut_through.requester;
                    warn!("{} sent {requester} a malformed reply: {error}", from.name);
                }
                Counters::count(&self.counters.malformed);
                Counters::count(&self.counters.malformed_replies);
                self.break_off(from, cut_through, Some(&refusal));
            }
        }
    }

    /// Breaks a frame off whose sender has left.
    pub(crate) fn break_off_left(&self, cut_through: CutThrough) {
        Counters::count(&self.counters.broken_off);
        drop(cut_through);
    }

    /// Breaks a frame off that has stopped arriving.
    pub(crate) fn break_off_stalled(&mut self, from: &Sender<'_>, cut_through: CutThrough) {
        let service = self.service_name(cut_through.service);
        let refusal = match cut_through.form {
            Form::Request { .. } => Refusal::RequestStalled { service },
            Form::Reply => Refusal::ReplyStalled { service },
        };
        self.break_off(from, cut_through, Some(&refusal));
    }

    /// Breaks a frame off whose line is thrown away.
    pub(crate) fn break_off_ended(&mut self, from: &Sender<'_>, cut_through: CutThrough, end: LineEnd) {
        let refusal = match cut_through.form {
            Form::Request { .. } => Refusal::LineEnded(end),
            Form::Reply => {
                let service = self.service_name(cut_through.service);
                Refusal::ReplyEnded { service, end }
            }
        };
        if matches!(cut_through.form, Form::Reply) {
            from.refuse(&cut_through.uid, &Refusal::LineEnded(end));
        }
        self.break_off(from, cut_through, Some(&refusal));
    }

    /// Breaks a frame off, and tells the caller why if it still waits for the outcome.
    fn break_off(&mut self, from: &Sender<'_>, cut_through: CutThrough, refusal: Option<&Refusal>) {
        Counters::count(&self.counters.broken_off);
        if let (Some(awaited), Some(refusal)) = (waiting(&mut self.registry, &cut_through), refusal) {
            self.counters.count_limit(refusal);
            from.log(refusal);
            let frame = refusal.frame(&cut_through.requester, &cut_through.uid, awaited.features.origin);
            awaited.outbox.push_always(|writer| writer.shared(&frame));
            awaited.end();
        }
        drop(cut_through);
    }

    pub(super) fn service_name(&self, id: PeerId) -> String {
        let service = self.registry.service(id);
        service.map_or_else(String::new, |service| service.name.to_string())
    }
}

/// The request, if its client still waits for the outcome.
fn waiting<'a>(registry: &'a mut Registry, cut_through: &CutThrough) -> Option<Awaited<'a>> {
    let requester = Text::from(Cow::from(&*cut_through.requester));
    registry
        .awaited(cut_through.service, &requester, &cut_through.uid)
        .filter(|awaited| awaited.client_id() == cut_through.client)
}
