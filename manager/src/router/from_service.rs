//! Where the lines of services go: replies and notifications.

use std::sync::Arc;

use labwire_wire::terminal::TerminalLine;
use labwire_wire::{Envelope, LineView, MANAGER_NAME, Member, Reply, Shape};

use super::compose::{ForAll, push_result, write_reply};
use super::incoming::{Kind, Typed};
use super::{DISCONNECT, ENVELOPE_BYTES, Router, Sender, Step};
use crate::counters::Counters;
use crate::outbox::Full;
use crate::refusal::Refusal;
use crate::registry::Reader;

impl Router<'_> {
    /// Routes a line that a service sent.
    pub(crate) fn route_from_service(&mut self, from: &Sender<'_>, line: LineView<'_>, kind: &Kind) -> Step {
        match kind {
            // Replies and notifications go on though the service's own queue is full: it may be busy reading
            // one large request, and its clients do not wait for that.
            Kind::Notification(envelope, is_pair) => self.route_notification(from, line, envelope, *is_pair),
            Kind::Frame(envelope) if envelope.is_reply(line.content()) => {
                match envelope.reply(line.content()) {
                    Ok(reply) => self.route_reply(from, line, envelope, &reply),
                    Err(error) => {
                        self.answer_service(from, |router| router.refuse_malformed(from, "", &error.into()))
                    }
                }
            }
            Kind::Blank => Step::Next,
            Kind::Frame(envelope) => {
                self.answer_service(from, |router| router.route_service_request(from, line, envelope))
            }
            Kind::Typed(Typed::Meant(TerminalLine::Disconnect)) => Step::Leave,
            Kind::Typed(_) => self.answer_service(from, |router| {
                router.refuse_malformed(from, "", &Refusal::ServiceTypes)
            }),
            Kind::Broken(error, uid) => {
                self.answer_service(from, |router| router.refuse_broken(from, uid, *error))
            }
        }
    }

    /// Does what is answered to the service itself, once there is room for that in its queue.
    fn answer_service(&mut self, from: &Sender<'_>, answer: impl FnOnce(&mut Self) -> Step) -> Step {
        if !from.outbox.has_room(1) {
            return Step::Wait(Arc::clone(from.outbox), 1);
        }
        answer(self)
    }

    fn route_service_request(&mut self, from: &Sender<'_>, line: LineView<'_>, envelope: &Envelope) -> Step {
        let content = line.content();
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
                let identity = self.registry.identity();
                push_result(from, &uid, &identity);
                Step::Next
            }
            Ok(_) => self.refuse_malformed(from, &uid, &Refusal::ServiceRequests),
            Err(error) => self.refuse_malformed(from, &uid, &error.into()),
        }
    }

    fn route_reply(
        &mut self,
        from: &Sender<'_>,
        line: LineView<'_>,
        envelope: &Envelope,
        reply: &Reply<'_>,
    ) -> Step {
        let Some(awaited) = self.registry.awaited(from.id, &reply.requester, &reply.uid) else {
            return self.drop_unsolicited(from);
        };
        let service: &str = awaited.service_name;
        let length = line.content().len() + ENVELOPE_BYTES;
        let origin = awaited.features.origin;
        let refusal = unreadable_reply(service, awaited.reader, envelope.shape(), self.nesting);
        let written = awaited.outbox.push(length, |frame| match &refusal {
            None => write_reply(frame, service, line, envelope, reply, origin),
            Some(refusal) => {
                frame.shared(&refusal.frame(reply.requester.as_str(), reply.uid.as_str(), origin));
            }
        });
        if let Err(Full) = written {
            return Step::Wait(Arc::clone(awaited.outbox), length);
        }
        awaited.end();
        if let Some(refusal) = refusal.filter(|refusal| self.counters.count_limit(refusal)) {
            from.log(&refusal);
        }
        Counters::count(&self.counters.replies);
        Step::Next
    }

    fn route_notification(
        &mut self,
        from: &Sender<'_>,
        line: LineView<'_>,
        envelope: &Envelope,
        is_pair: bool,
    ) -> Step {
        let malformed = match envelope.notification(line.content(), is_pair) {
            Err(error) => Some(error.into()),
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
            return self.answer_service(from, |router| router.refuse_malformed(from, "", &refusal));
        }
        let line = ForAll::of(line);
        // Every queue is asked, not only up to the first full one: the clock of each reader that others wait
        // for starts now, so that several of them are cut together and not one after the other.
        let mut full = None;
        for outbox in self.registry.linked_outboxes(from.id) {
            if !outbox.has_room(line.len()) {
                full.get_or_insert(outbox);
            }
        }
        if let Some(full) = full {
            return Step::Wait(Arc::clone(full), line.len());
        }
        for outbox in self.registry.linked_outboxes(from.id) {
            outbox.push_always(|frame| line.write(frame));
            Counters::count(&self.counters.deliveries);
        }
        Counters::count(&self.counters.notifications);
        Step::Next
    }
}

/// Why a reply of this shape does not go on to its client; `nesting` is how deep it may be nested.
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
