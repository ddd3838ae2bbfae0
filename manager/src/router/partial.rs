//! Routes the frames of services about requests that they have not yet answered: progress and items.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::buffers::Buffers;
use labwire_wire::{Envelope, FrameView, Member, Partial, PartialKind, Uid, frames};

use super::conversion::{Conversion, is_too_long, must_convert};
use super::{ENVELOPE_BYTES, Router, Sender, Step};
use crate::bounds::MOST_PROGRESS_BYTES;
use crate::counters::Counters;
use crate::outbox::FrameWriter;
use crate::progress::Outcome;
use crate::refusal::{CallRefusal, Refusal};
use crate::work::BYTES_PER_WORK;

impl Router<'_> {
    /// Returns whether a service's frame is progress or an item, which the service may send.
    pub(super) fn may_be_partial(&self, from: &Sender<'_>, envelope: &Envelope) -> bool {
        let may_send = || {
            self.registry
                .service(from.id)
                .is_some_and(|service| service.features.progress)
        };
        envelope.has_partial() && may_send()
    }

    /// Routes progress of a request, or an item of its result.
    #[cold]
    pub(super) fn route_partial(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Step {
        let content = frame.content();
        let partial = match envelope.partial(content) {
            Ok(partial) => partial,
            Err(error) => return self.refuse_partial(from, &error.into()),
        };
        if let Some(refusal) = self.too_deep(envelope) {
            return self.refuse_partial(from, &refusal);
        }
        self.route_partial_of(from, frame, envelope, partial)
    }

    fn route_partial_of(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        partial: Partial<'_>,
    ) -> Step {
        let Partial { requester, uid, kind } = partial;
        let Some(mut awaited) = self.registry.awaited(from.id, &requester, &uid) else {
            if let Some(uid) = self.registry.held_in_other_spelling(from.id, &requester, &uid) {
                return self.route_partial_of(from, frame, envelope, Partial { requester, uid, kind });
            }
            if self.registry.is_owed(from.id, &requester, &uid) {
                Counters::count(&self.counters.unheard);
                return Step::Next;
            }
            return self.drop_unsolicited(from);
        };
        if !awaited.listens() {
            Counters::count(&self.counters.unheard);
            return Step::Next;
        }
        if !awaited.reader.can_read(envelope.shape()) {
            return self.refuse_partial(from, &CallRefusal::Unreadable.into());
        }
        let value = envelope.raw(frame.content(), kind.member()).unwrap_or_default();
        if kind == PartialKind::Progress && frame.payload().is_some() {
            // Only the latest value matters, so it is kept as one short line for every client.
            self.work += frame.size() / BYTES_PER_WORK;
            let bytes = converted_bytes(frame, value);
            if bytes > MOST_PROGRESS_BYTES || is_too_long(frame.payload()) {
                return self.refuse_partial(from, &CallRefusal::ProgressTooLarge { bytes }.into());
            }
            return Step::Convert(Conversion::Instead);
        }
        let takes_buffers = awaited.outbox.takes_buffers();
        if let Some(convert) = must_convert(frame, takes_buffers) {
            return convert;
        }
        if is_too_long(frame.payload()) && !takes_buffers {
            let limit = self.convert;
            return self.refuse_partial(from, &Refusal::UnconvertibleItem { limit });
        }
        match kind {
            PartialKind::Item => {
                let (client, outbox) = (awaited.client_id(), awaited.outbox);
                let length = frame.size() + ENVELOPE_BYTES;
                if awaited.is_away && !outbox.keeps(length) {
                    // A result without one of its items is not whole.
                    let uid = uid.into_owned();
                    let ended = self.registry.end_unkept(client, from.id, &uid, self.now);
                    if let Some(ended) = ended {
                        self.work += self.events.publish(ended, Some(from.log_limit));
                    }
                    return Step::Next;
                }
                let write = |writer: &mut FrameWriter<'_>| write_item(writer, frame, envelope, &uid);
                if let Err(waiting) = self.permits.push_reply(client, outbox, length, write) {
                    return Step::Wait(waiting);
                }
                awaited.add_reply_bytes(frame.size());
                Counters::count(&self.counters.items);
            }
            PartialKind::Progress if value.len() > MOST_PROGRESS_BYTES => {
                let bytes = value.len();
                return self.refuse_partial(from, &CallRefusal::ProgressTooLarge { bytes }.into());
            }
            PartialKind::Progress => {
                let line = progress_line(value, awaited.requester, &uid);
                let outcome = awaited.latest().map(|latest| latest.set(line, awaited.outbox));
                Counters::count(match outcome {
                    Some(Outcome::Queued) => &self.counters.progress,
                    Some(Outcome::Replaced) => &self.counters.progress_replaced,
                    Some(Outcome::LeftOut) | None => &self.counters.progress_left_out,
                });
                self.work += 1 + value.len() / BYTES_PER_WORK;
            }
        }
        Step::Next
    }

    /// Refuses progress or an item. The request stays in flight.
    fn refuse_partial(&mut self, from: &Sender<'_>, refusal: &Refusal) -> Step {
        self.answer_service(from, |router| router.refuse_malformed(from, &Uid::EMPTY, refusal))
    }
}

/// Returns the number of bytes of a progress value after its conversion. A short value may have many
/// references to one buffer, and so may the other members of its frame: of these counts what is over
/// [`MOST_PROGRESS_BYTES`].
fn converted_bytes(frame: FrameView<'_>, value: &[u8]) -> usize {
    let content = frame.content();
    let Ok(buffers) = Buffers::read(content) else {
        return frame.size();
    };
    let bytes = buffers.converted_length(value);
    let whole = frame
        .size()
        .max(buffers.converted_length(&content[buffers.end()..]));
    bytes.max(whole.saturating_sub(MOST_PROGRESS_BYTES))
}

/// The members of an item.
const ITEM: [Member; 3] = [Member::Item, Member::Requester, Member::Uid];

/// Forwards an item: unchanged if it has no other members.
fn write_item(writer: &mut FrameWriter<'_>, frame: FrameView<'_>, envelope: &Envelope, uid: &Uid<'_>) {
    let head = frame.head();
    if envelope.has_exactly(&ITEM) && !uid.is_number() {
        return writer.line(head);
    }
    let item = match frame.payload() {
        Some(payload) => {
            writer.copied(payload.description(head.content()));
            &b",\"item\":"[..]
        }
        None => b"{\"item\":",
    };
    for (key, member) in [(item, Member::Item), (b",\"requester\":", Member::Requester)] {
        writer.copied(key);
        if let Some(span) = envelope.span(member) {
            writer.part(head, span);
        }
    }
    writer.copied(b",\"uid\":");
    writer.copied(uid.to_json().as_bytes());
    writer.copied(b"}\r\n");
    writer.payload(frame);
}

/// Composes the frame for a progress value.
pub(super) fn progress_line(value: &[u8], requester: &str, uid: &Uid<'_>) -> Bytes {
    let mut line = BytesMut::with_capacity(ENVELOPE_BYTES + value.len() + requester.len() + uid.len());
    line.put_slice(b"{\"progress\":");
    line.put_slice(value);
    line.put_slice(b",\"requester\":");
    frames::put_string(&mut line, requester);
    line.put_slice(b",\"uid\":");
    line.put_slice(uid.to_json().as_bytes());
    line.put_slice(b"}\r\n");
    line.freeze()
}
