//! Routes the lines of services: replies and notifications. Malformed replies are handled in
//! [`malformed_reply`](super::malformed_reply).

use std::sync::Arc;

use labwire_wire::buffers::BuffersError;
use labwire_wire::terminal::TerminalLine;
use labwire_wire::{
    Envelope, EnvelopeError, FrameView, MANAGER_NAME, Member, NOTIFICATION_UID, Names, Plain, Reply, Salvage,
    Shape, Uid,
};

use super::compose::{ForAll, needs_guard, write_reply};
use super::conversion::{Conversion, is_too_long, must_convert};
use super::incoming::{Kind, Typed};
use super::malformed_reply::MalformedReply;
use super::{DISCONNECT, ENVELOPE_BYTES, Permits, Router, Sender, Step};
use crate::counters::Counters;
use crate::outbox::{FrameWriter, Full, Outbox};
use crate::refusal::{Refusal, SessionRefusal};
use crate::registry::{Answered, PeerId, Reader};
use crate::work::{QUEUES_PER_WORK, REFUSAL_WORK};

impl Router<'_> {
    /// Routes a service's line.
    #[inline]
    pub(crate) fn route_from_service(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        kind: &Kind,
    ) -> Step {
        if from.has_session
            && let Some(step) = self.confirm(from, frame, kind)
        {
            return step;
        }
        match kind {
            // Replies and notifications are routed even if the service's own queue is full: it may
            // be busy reading one large request, and its clients must not wait for that.
            Kind::Notification(envelope, is_pair) => self.route_notification(from, frame, envelope, *is_pair),
            Kind::Frame(envelope) if envelope.is_reply(frame.content()) => {
                if let Some(error) = Self::misplaced_buffers(from, frame, envelope) {
                    Counters::count(&self.counters.binary_malformed);
                    let malformed = MalformedReply::in_frame(frame.content(), envelope, error);
                    self.route_malformed_reply(from, &malformed, frame.content().len());
                    return Step::Leave;
                }
                match envelope.reply(frame.content()) {
                    Ok(reply) => self.route_reply(from, frame, envelope, &reply),
                    Err(_) if self.may_be_partial(from, envelope) => {
                        self.route_partial(from, frame, envelope)
                    }
                    Err(error) => {
                        let malformed = MalformedReply::in_frame(frame.content(), envelope, error);
                        self.route_malformed_reply(from, &malformed, frame.content().len())
                    }
                }
            }
            Kind::Blank => Step::Next,
            Kind::Frame(envelope) => self.route_service_request(from, frame, envelope),
            Kind::Typed(Typed::Meant(TerminalLine::Disconnect), _) => Step::Leave,
            Kind::Broken(unframed) if is_no_reply(&unframed.salvage) => {
                self.answer_service(from, |router| router.refuse_broken(from, unframed))
            }
            // The service has left in the middle of its last line. Its callers receive an error for
            // that.
            Kind::Typed(..) | Kind::Broken(_) if frame.head().terminated().is_none() => Step::Next,
            Kind::Typed(_, unframed) | Kind::Broken(unframed) => {
                if matches!(unframed.error, EnvelopeError::Buffers(_)) {
                    Counters::count(&self.counters.binary_malformed);
                }
                let malformed = MalformedReply::unframed(unframed, matches!(kind, Kind::Typed(..)));
                self.route_malformed_reply(from, &malformed, frame.content().len())
            }
        }
    }

    /// Calls `answer`, which queues a frame for the service itself, once its queue has room.
    pub(super) fn answer_service(
        &mut self,
        from: &Sender<'_>,
        answer: impl FnOnce(&mut Self) -> Step,
    ) -> Step {
        if let Err(wait) = self.own_room(from) {
            return wait;
        }
        answer(self)
    }

    #[cold]
    fn route_service_request(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Step {
        // Some services reply with the request and a result in it. If the result is missing, it is
        // a malformed reply, not a request.
        if let Ok((requester, uid)) = envelope.answered(frame.content())
            && self.registry.awaited(from.id, &requester, &uid).is_some()
        {
            let error = EnvelopeError::Missing(Member::Result);
            let malformed = MalformedReply::in_frame(frame.content(), envelope, error);
            return self.route_malformed_reply(from, &malformed, frame.content().len());
        }
        // What a service publishes does not wait for room in its own queue, as its replies do not:
        // they would wait behind it. So many answers that nobody reads are too many, however.
        if envelope.is_string(frame.content(), Member::Attribute, "publish") && !from.outbox.is_overfull() {
            return self.answer_service_request(from, frame, envelope);
        }
        self.answer_service(from, |router| {
            router.answer_service_request(from, frame, envelope)
        })
    }

    fn answer_service_request(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Step {
        let content = frame.content();
        let attribute = envelope.string(content, Member::Attribute);
        if matches!(&attribute, Ok(Some(attribute)) if attribute == DISCONNECT) {
            return Step::Leave;
        }
        let uid = envelope.uid_or_empty(content);
        if let Some(refusal) = self.too_deep(envelope) {
            return self.refuse_malformed(from, &uid, &refusal);
        }
        match envelope.request(content) {
            Ok(request) if request.service == *MANAGER_NAME && request.attribute == *"identity" => {
                self.answer_identity(from, &uid)
            }
            Ok(request) if request.service == *MANAGER_NAME => self
                .route_about_topics(from, frame, envelope, &request)
                .unwrap_or_else(|| self.refuse_malformed(from, &uid, &Refusal::ServiceRequests)),
            Ok(_) => self.refuse_malformed(from, &uid, &Refusal::ServiceRequests),
            Err(error) => self.refuse_malformed(from, &uid, &error.into()),
        }
    }

    fn route_reply(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        reply: &Reply<'_>,
    ) -> Step {
        let found = self.registry.awaited(from.id, &reply.requester, &reply.uid);
        // Not moved out here: the processor would wait until all of it is written.
        let Some(awaited) = &found else {
            return self.route_unmatched_reply(from, frame, envelope, reply);
        };
        let service: &str = awaited.service_name;
        let takes_buffers = awaited.outbox.takes_buffers();
        if let Some(convert) = must_convert(frame, takes_buffers) {
            return convert;
        }
        let length = frame.size() + ENVELOPE_BYTES;
        let features = awaited.features;
        let mut refusal = if is_too_long(frame.payload()) && !takes_buffers {
            let service = service.to_owned();
            let limit = self.convert;
            Some(Refusal::UnconvertibleReply { service, limit })
        } else {
            unreadable_reply(service, awaited.reader, envelope.shape(), self.nesting)
        };
        let is_lost = awaited.is_away && !awaited.outbox.keeps(length);
        if is_lost && refusal.is_none() {
            let service = service.to_owned();
            refusal = Some(SessionRefusal::ReplyNotKept { service }.into());
        }
        let marked = features.origin || features.leases;
        let guarded = takes_buffers && needs_guard(frame);
        let write = |writer: &mut FrameWriter<'_>| match &refusal {
            None => write_reply(writer, frame, envelope, reply, marked, guarded),
            Some(refusal) => {
                writer.shared(&refusal.frame(reply.requester.as_str(), &reply.uid, features));
            }
        };
        let (client, outbox) = (awaited.client_id(), awaited.outbox);
        if is_lost {
            outbox.push_always(write);
        } else if let Err(waiting) = self.permits.push_reply(client, outbox, length, write) {
            return Step::Wait(waiting);
        }
        if let Some(awaited) = found {
            awaited.answer(Answered {
                now: self.now,
                bytes: frame.size(),
                is_error: refusal.is_some() || envelope.reports_error(frame.content()),
            });
        }
        if let Some(refusal) = refusal.filter(|refusal| self.counters.count_limit(refusal)) {
            from.log(&refusal);
        }
        Counters::count_alone(&self.counters.replies);
        Step::Next
    }

    /// Routes a reply with a uid that the service does not hold. It may have written a number
    /// differently.
    #[cold]
    fn route_unmatched_reply(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        reply: &Reply<'_>,
    ) -> Step {
        let registry = &self.registry;
        if let Some(uid) = registry.held_in_other_spelling(from.id, &reply.requester, &reply.uid) {
            let reply = Reply { uid, ..reply.clone() };
            return self.route_reply(from, frame, envelope, &reply);
        }
        if let Some(uid) = registry.held_as_other_type(from.id, &reply.requester, &reply.uid) {
            let malformed = MalformedReply::with_wrong_uid(reply, uid);
            return self.route_malformed_reply(from, &malformed, frame.content().len());
        }
        let names = Names {
            requester: Some(reply.requester.as_str().to_owned()),
            uid: Some(reply.uid.clone().into_owned()),
            asks: false,
            is_partial: false,
        };
        if self.take_late(from, &names) {
            return Step::Next;
        }
        self.drop_unsolicited(from)
    }

    fn route_notification(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        is_pair: bool,
    ) -> Step {
        let malformed = match envelope.notification(frame.content(), is_pair) {
            Err(error) => Some(error.into()),
            Ok(_) if Self::misplaced_buffers(from, frame, envelope).is_some() => {
                self.refuse_malformed(
                    from,
                    &Uid::EMPTY,
                    &EnvelopeError::from(BuffersError::NotFirst).into(),
                );
                return Step::Leave;
            }
            Ok(service)
                if self
                    .registry
                    .service(from.id)
                    .is_none_or(|own| service != *own.name) =>
            {
                return self.drop_unsolicited(from);
            }
            Ok(_) => self.too_deep(envelope).or_else(|| {
                (!Reader::Python.can_read(envelope.shape())).then_some(Refusal::UnreadableNotification)
            }),
        };
        if let Some(refusal) = malformed {
            return self.answer_service(from, |router| {
                router.refuse_malformed(from, &Uid::EMPTY, &refusal)
            });
        }
        if self.permits.is_empty()
            && let Err(refusal) = self.permit_notification(from)
        {
            return self.refuse_notification(from, &refusal);
        }
        if frame
            .payload()
            .is_some_and(|payload| *payload.plain() == Plain::Unknown)
            && self.permits.is_empty()
            && self
                .registry
                .linked_outboxes(from.id)
                .any(|(_, outbox)| !outbox.takes_buffers())
        {
            return Step::Convert(Conversion::Beside);
        }
        let notification = ForAll::of(frame);
        if !self.permits.is_empty() {
            let permits = std::mem::take(&mut self.permits);
            let registry = &self.registry;
            let is_linked = |client| registry.is_linked(from.id, client);
            return wait_unless_empty(deliver_rest(&notification, permits, is_linked, self.counters));
        }
        let linked = self.registry.linked_outboxes(from.id);
        let Delivered {
            waiting,
            queues,
            left_out,
        } = deliver(&notification, linked, self.counters);
        if left_out > 0 {
            self.refuse_conversion(from, left_out);
        }
        self.work += queues / QUEUES_PER_WORK;
        Counters::count_alone(&self.counters.notifications);
        self.registry.note_notification(from.id);
        wait_unless_empty(waiting)
    }

    /// Notifies a service that some clients did not receive its notification. A service that reads
    /// nothing receives no more of these errors than its queue has room for.
    #[cold]
    fn refuse_conversion(&mut self, from: &Sender<'_>, clients: usize) {
        let limit = self.convert;
        let refusal = Refusal::UnconvertibleNotification { clients, limit };
        self.work += REFUSAL_WORK;
        self.counters.count_limit(&refusal);
        from.log(&refusal);
        if !from.outbox.is_full() {
            from.refuse(&Uid::EMPTY, &refusal);
        }
    }
}

/// What became of a notification or a value.
pub(super) struct Delivered {
    /// The permits to wait for.
    pub(super) waiting: Permits,
    /// The number of queues for which it was meant.
    pub(super) queues: usize,
    /// The number of those whose peers cannot receive its buffers.
    pub(super) left_out: usize,
}

/// Delivers a notification or a value.
///
/// Queues with room receive it now. A place in line is taken at each full queue, so that several
/// peers that do not read are disconnected together and not one after the other. A peer that ends its
/// link or subscription meanwhile is not waited for.
#[inline]
pub(super) fn deliver<'a>(
    notification: &ForAll<'_>,
    receivers: impl Iterator<Item = (PeerId, &'a Arc<Outbox>)>,
    counters: &Counters,
) -> Delivered {
    let mut delivered = Delivered {
        waiting: Permits::default(),
        queues: 0,
        left_out: 0,
    };
    let mut count = 0;
    for (peer, outbox) in receivers {
        delivered.queues += 1;
        let Some(length) = notification.length_for(outbox) else {
            delivered.left_out += 1;
            continue;
        };
        match outbox.push(length, |writer| notification.write(outbox, writer)) {
            Ok(()) => count += 1,
            Err(Full) => delivered.waiting.add(peer, outbox.wait_as_receiver(length)),
        }
    }
    Counters::add(&counters.deliveries, count);
    delivered
}

/// Delivers a notification or a value to the peers whose queues were full and have room now, if
/// they still receive such. Returns the permits to wait for.
#[cold]
pub(super) fn deliver_rest(
    notification: &ForAll<'_>,
    permits: Permits,
    receives: impl Fn(PeerId) -> bool,
    counters: &Counters,
) -> Permits {
    let mut waiting = Permits::default();
    for (peer, permit) in permits.into_all() {
        if !receives(peer) {
            continue;
        }
        if permit.is_granted() {
            let outbox = Arc::clone(permit.outbox());
            permit.push(|writer| notification.write(&outbox, writer));
            Counters::count(&counters.deliveries);
        } else {
            permit.wait_on();
            waiting.add(peer, permit);
        }
    }
    waiting
}

fn wait_unless_empty(waiting: Permits) -> Step {
    if waiting.is_empty() {
        Step::Next
    } else {
        Step::Wait(waiting)
    }
}

/// Returns whether a malformed line of a service is a request or a notification.
fn is_no_reply(salvage: &Salvage) -> bool {
    let is_notification = |uid: &Uid<'_>| *uid == *NOTIFICATION_UID;
    salvage
        .frames()
        .iter()
        .any(|names| names.asks || names.uid.as_ref().is_some_and(is_notification))
}

/// Returns the error that replaces a reply of this shape that its client cannot read. `nesting` is
/// the limit on nesting. Returns `None` if it can.
#[inline]
pub(super) fn unreadable_reply(
    service: &str,
    client: Reader,
    shape: Shape,
    nesting: usize,
) -> Option<Refusal> {
    let service = || service.to_owned();
    if shape.depth > nesting {
        let (service, limit) = (service(), nesting);
        return Some(Refusal::ReplyTooDeep { service, limit });
    }
    (!client.can_read(shape)).then(|| Refusal::UnreadableReply { service: service() })
}
