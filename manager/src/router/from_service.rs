//! Where the lines of services go: replies and notifications.

use labwire_wire::terminal::TerminalLine;
use labwire_wire::{Envelope, LineView, MANAGER_NAME, Member, Reply, Shape};

use super::compose::{ForAll, push_result, write_reply};
use super::incoming::{Kind, Typed};
use super::{DISCONNECT, ENVELOPE_BYTES, Permits, Router, Sender, Step};
use crate::counters::Counters;
use crate::outbox::{FrameWriter, Full};
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
        if let Err(wait) = self.own_room(from) {
            return wait;
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
        let write = |frame: &mut FrameWriter<'_>| match &refusal {
            None => write_reply(frame, service, line, envelope, reply, origin),
            Some(refusal) => {
                frame.shared(&refusal.frame(reply.requester.as_str(), reply.uid.as_str(), origin));
            }
        };
        let (client, outbox) = (awaited.client_id(), awaited.outbox);
        if let Err(waiting) = self.permits.push_reply(client, outbox, length, write) {
            return Step::Wait(waiting);
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
        if !self.permits.is_empty() {
            return self.deliver_rest(from, &line);
        }
        // Who has room gets it now. A place in line is taken at each full queue, so that several readers that do not
        // read are cut together and not one after the other.
        let mut waiting = Permits::default();
        for (client, outbox) in self.registry.linked_outboxes(from.id) {
            match outbox.push(line.len(), |frame| line.write(frame)) {
                Ok(()) => {
                    Counters::count(&self.counters.deliveries);
                }
                Err(Full) => waiting.add(client, outbox.wait_for_room(line.len())),
            }
        }
        Counters::count(&self.counters.notifications);
        wait_unless_empty(waiting)
    }

    /// Delivers a notification to those clients that had no room for it and have room now.
    #[cold]
    fn deliver_rest(&mut self, from: &Sender<'_>, line: &ForAll<'_>) -> Step {
        let mut waiting = Permits::default();
        for (client, permit) in std::mem::take(&mut self.permits).into_all() {
            if !self.registry.is_linked(from.id, client) {
                continue;
            }
            if permit.is_granted() {
                permit.push(|frame| line.write(frame));
                Counters::count(&self.counters.deliveries);
            } else {
                waiting.add(client, permit);
            }
        }
        wait_unless_empty(waiting)
    }
}

fn wait_unless_empty(waiting: Permits) -> Step {
    if waiting.is_empty() {
        Step::Next
    } else {
        Step::Wait(waiting)
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
