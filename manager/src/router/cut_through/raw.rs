//! Frames whose line is complete, and whose buffers are forwarded while they arrive.

use bytes::Bytes;
use labwire_access::Effect;
use labwire_wire::{Envelope, FrameView, MANAGER_NAME, Member, Payload, ReplyForm};

use super::CutThrough;
use crate::counters::Counters;
use crate::outbox::FrameWriter;
use crate::registry::Forwarded;
use crate::router::cancelling::{members_for, terms_of};
use crate::router::compose::{write_reply, write_request};
use crate::router::from_service::unreadable_reply;
use crate::router::incoming::Kind;
use crate::router::{DISCONNECT, Router, Sender};

impl CutThrough {
    /// Returns the fewest bytes that are forwarded at once.
    pub(crate) fn piece(&self) -> usize {
        self.piece
    }

    /// Forwards bytes of the buffers.
    pub(crate) fn pass_raw(&mut self, bytes: &Bytes) {
        self.taken_out += bytes.len();
        self.to
            .go_on_arriving_with(bytes.len(), |frame| frame.shared(bytes));
    }
}

impl Router<'_> {
    /// Begins to forward a message whose line is complete and whose buffers arrive, of which
    /// `unforwarded` bytes are announced. Returns `None` if it must be complete first.
    pub(crate) fn cut_buffers_through(
        &mut self,
        from: &Sender<'_>,
        is_service: bool,
        head: FrameView<'_>,
        kind: &Kind,
        (description_end, unforwarded): (usize, usize),
    ) -> Option<CutThrough> {
        let Kind::Frame(envelope) = kind else {
            return None;
        };
        // An error about the end is queued for the sender, so there must be room.
        if from.outbox.is_full() {
            return None;
        }
        let payload = Payload::new(Bytes::new(), description_end);
        let head = FrameView::new(head.head(), Some(&payload));
        let cut_through = if is_service {
            self.cut_reply_with_buffers_through(from, head, envelope, unforwarded)
        } else {
            self.cut_request_with_buffers_through(from, head, envelope, unforwarded)
        };
        let cut_through = cut_through?;
        Counters::count(&self.counters.cut_through);
        Some(cut_through)
    }

    fn cut_request_with_buffers_through(
        &mut self,
        from: &Sender<'_>,
        head: FrameView<'_>,
        envelope: &Envelope,
        unforwarded: usize,
    ) -> Option<CutThrough> {
        let content = head.content();
        // As for other requests, one that says what is wanted of it is passed on whole.
        if self.draining || envelope.has_result() || envelope.has_terms() {
            return None;
        }
        let request = envelope.request(content).ok()?;
        if request.service == *MANAGER_NAME || request.attribute == *DISCONNECT {
            return None;
        }
        let terms = terms_of(from, content, envelope).ok()?;
        // What waits for approval waits whole.
        if self.permit_call(from, &request).ok()? != Effect::Allow {
            return None;
        }
        let present = self.present();
        let mut asking = self
            .registry
            .ask(from.id, &request.service, envelope.shape())
            .ok()??;
        asking.check_uid(&request.uid, &terms).ok()?;
        let mut members = members_for(&terms, asking.service.features, content, envelope);
        members.extend(asking.caller_member(present).iter().flatten());
        let outbox = &asking.service.outbox;
        let asked = asking.service.features.cut_through && outbox.takes_buffers() && asking.is_alone();
        let end = asking.client.request_end.as_bytes();
        let begin = |frame: &mut FrameWriter<'_>| write_request(frame, head, envelope, &members, end);
        if !asked || envelope.shape().depth > self.nesting || !outbox.begin_arriving_with(unforwarded, begin)
        {
            return None;
        }
        let cut_through = CutThrough::of_request(&asking, from.id, &request.uid, self.pace.piece, true);
        let forwarded = Forwarded {
            uid: request.uid.as_bytes(),
            attribute: request.attribute.as_str(),
            bytes: 0,
            line: Some((content, envelope)),
        };
        asking.begin(&forwarded, self.now);
        let service = cut_through.service;
        if terms.is_any() {
            let now = self.moment().instant;
            self.registry
                .note_terms(from.id, service, &request.uid, &terms, now);
        }
        self.note_request(from, &request);
        Some(cut_through)
    }

    fn cut_reply_with_buffers_through(
        &mut self,
        from: &Sender<'_>,
        head: FrameView<'_>,
        envelope: &Envelope,
        unforwarded: usize,
    ) -> Option<CutThrough> {
        let content = head.content();
        let reply = envelope.reply(content).ok()?;
        let is_plain = reply.form == ReplyForm::Complete
            && envelope.raw(content, Member::Error) == Some(b"false")
            && head.head().terminated().is_some();
        if !is_plain {
            return None;
        }
        let id = self
            .registry
            .awaited(from.id, &reply.requester, &reply.uid)?
            .client_id();
        let client = self.registry.client(id)?;
        let begin = |frame: &mut FrameWriter<'_>| write_reply(frame, head, envelope, &reply, false, false);
        if !client.features.cut_through
            || !client.outbox.takes_buffers()
            || !self.registry.listens_only(id, from.id)
            || unreadable_reply("", client.reader, envelope.shape(), self.nesting).is_some()
            || !client.outbox.begin_arriving_with(unforwarded, begin)
        {
            return None;
        }
        let ids = (id, from.id);
        Some(CutThrough::of_reply(
            client,
            ids,
            &reply.uid,
            self.pace.piece,
            true,
        ))
    }
}
