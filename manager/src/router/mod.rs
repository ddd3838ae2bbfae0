//! Where a frame goes. Only its envelope is looked at, and nothing here waits.

mod compose;
mod incoming;
mod links;

use std::sync::Arc;

use labwire_wire::terminal::{self, TerminalLine};
use labwire_wire::{
    Envelope, EnvelopeError, JsonError, Line, MANAGER_NAME, Member, NOTIFICATION_UID, frames,
};
use tracing::{debug, info};

use crate::admin::Call;
use crate::counters::Counters;
use crate::outbox::{Full, Outbox};
use crate::refusal::Refusal;
use crate::registry::{PeerId, Registry};

use compose::{push_result, request_line, write_line, write_reply};
use links::LinkArguments;

pub(crate) use incoming::{Incoming, Kind, read_json};

/// The attribute of a request by which a peer asks to be disconnected.
const DISCONNECT: &str = "__disconnect__";

/// What a frame adds to its payload at most, apart from the names in it: punctuation and keys.
const ENVELOPE_BYTES: usize = 128;

/// What the reader of a line does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It goes on with the next line.
    Next,
    /// It waits for room in that queue, then routes the same line again.
    Wait(Arc<Outbox>),
    /// It has the manager answer an administrator's request.
    Ask(Call),
    /// It ends the connection.
    Leave,
}

/// Decides where frames go.
#[derive(Debug)]
pub(crate) struct Router<'a> {
    pub(crate) registry: &'a mut Registry,
    pub(crate) counters: &'a Counters,
    /// Whether the manager is about to stop and takes no new requests.
    pub(crate) draining: bool,
}

/// Who sent the frame: its place in the registry, its name, and the queue for what it is told.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) id: PeerId,
    pub(crate) name: &'a str,
    pub(crate) outbox: &'a Arc<Outbox>,
}

impl Sender<'_> {
    /// Tells the peer why it does not get what it asked for.
    pub(crate) fn refuse(&self, uid: &str, refusal: &Refusal) {
        self.outbox
            .push_always(&frames::error(&refusal.to_string(), self.name, uid, b"[]"));
    }

    /// Gives the peer a result, which is JSON text.
    pub(crate) fn answer(&self, uid: &str, result: &[u8]) {
        self.outbox.push_always(&frames::result(self.name, uid, result));
    }
}

impl Router<'_> {
    /// Routes a line that a client sent.
    pub(crate) fn route_from_client(&mut self, from: &Sender<'_>, incoming: &Incoming) -> Step {
        // What the manager itself answers waits in the sender's own queue, like everything else.
        if !from.outbox.has_room(1) {
            return Step::Wait(Arc::clone(from.outbox));
        }
        match &incoming.kind {
            Kind::Blank => Step::Next,
            Kind::Broken(error) => self.refuse_malformed(from, "", &(*error).into()),
            Kind::Text => self.route_text(from, &incoming.line),
            Kind::Frame(envelope) => self.route_client_frame(from, &incoming.line, envelope),
        }
    }

    fn refuse_malformed(&self, from: &Sender<'_>, uid: &str, refusal: &Refusal) -> Step {
        Counters::count(&self.counters.malformed);
        debug!("{} sent a malformed frame: {refusal}", from.name);
        from.refuse(uid, refusal);
        Step::Next
    }

    fn route_text(&mut self, from: &Sender<'_>, line: &Line) -> Step {
        let Ok(text) = std::str::from_utf8(line.content()) else {
            return self.refuse_malformed(from, "", &Refusal::NotText);
        };
        let request = match terminal::parse(text) {
            Err(error) => return self.refuse_malformed(from, "", &error.into()),
            Ok(TerminalLine::Disconnect) => return Step::Leave,
            Ok(TerminalLine::Client { .. }) => {
                return self.refuse_malformed(from, "", &Refusal::AlreadyConnected);
            }
            Ok(TerminalLine::Identity) => request_line(MANAGER_NAME, "identity", "[]", "{}"),
            Ok(TerminalLine::Link { service }) => request_line(
                MANAGER_NAME,
                "link",
                &format!("[{}]", frames::json_string(&service)),
                "{}",
            ),
            Ok(TerminalLine::Request {
                service,
                attribute,
                args,
                kwargs,
            }) => request_line(&service, &attribute, &args, &kwargs),
        };
        match Envelope::scan(request.content()) {
            Ok(envelope) => self.route_client_frame(from, &request, &envelope),
            Err(error) => self.refuse_malformed(from, "", &error.into()),
        }
    }

    fn route_client_frame(&mut self, from: &Sender<'_>, line: &Line, envelope: &Envelope) -> Step {
        let content = line.content();
        if envelope.has_result() {
            return match envelope.reply(content) {
                Ok(_) => self.drop_unsolicited(from),
                Err(_) => self.refuse_malformed(from, "", &Refusal::ClientReplies),
            };
        }
        if matches!(envelope.string(content, Member::Attribute), Ok(Some(attribute)) if attribute == DISCONNECT)
        {
            return Step::Leave;
        }
        let request = match envelope.request(content) {
            Ok(request) => request,
            Err(error) => {
                return self.refuse_malformed(from, &envelope.uid_or_empty(content), &error.into());
            }
        };
        if request.service == MANAGER_NAME {
            return self.route_to_manager(from, line, envelope, &request);
        }
        if self.draining {
            from.refuse(&request.uid, &Refusal::NotTaken);
            return Step::Next;
        }
        let service = match self.registry.service_for(from.id, &request.service) {
            Ok(service) => service,
            Err(refusal) => {
                Counters::count(&self.counters.refused);
                info!("{}: {refusal}", from.name);
                from.refuse(&request.uid, &refusal);
                return Step::Next;
            }
        };
        if let Err(step) = self.deliver_request(from.id, service, line, envelope) {
            return step;
        }
        self.registry.begin_request(from.id, service, &request.uid);
        Counters::count(&self.counters.requests);
        debug!(
            "{} requested '{}' from '{}'",
            from.name, request.attribute, request.service
        );
        Step::Next
    }

    /// Queues a request for its service: the known members as the client wrote them, with the manager's own
    /// word on who asks. Members that nobody knows are left out, since they stop a Python service.
    fn deliver_request(
        &self,
        client: PeerId,
        service: PeerId,
        line: &Line,
        envelope: &Envelope,
    ) -> Result<(), Step> {
        let (Some(client), Some(service)) = (self.registry.client(client), self.registry.service(service))
        else {
            return Err(Step::Leave);
        };
        let length = line.content().len() + client.requester.len() + ENVELOPE_BYTES;
        let written = service.outbox.push(length, |frame| {
            let mut member = |key: &[u8], member, default: &[u8]| {
                frame.copied(key);
                match envelope.span(member) {
                    Some(span) => frame.part(line, span),
                    None => frame.copied(default),
                }
            };
            member(b"{\"args\":", Member::Args, b"[]");
            member(b",\"attribute\":", Member::Attribute, b"\"\"");
            member(b",\"error\":false,\"kwargs\":", Member::Kwargs, b"{}");
            member(b",\"service\":", Member::Service, b"\"\"");
            member(b",\"uid\":", Member::Uid, b"\"\"");
            frame.copied(b",\"requester\":");
            frame.copied(client.requester.as_bytes());
            frame.copied(b"}\r\n");
        });
        written.map_err(|Full| Step::Wait(Arc::clone(&service.outbox)))
    }

    fn route_to_manager(
        &mut self,
        from: &Sender<'_>,
        line: &Line,
        envelope: &Envelope,
        request: &labwire_wire::Request<'_>,
    ) -> Step {
        let uid = &request.uid;
        let answer = match &*request.attribute {
            "identity" => {
                let identity = self.registry.identity();
                push_result(from, uid, &identity);
                return Step::Next;
            }
            "link" | "unlink" | "acquire_lock" | "release_lock" => {
                self.change_link(from, &request.attribute, line, envelope)
            }
            _ => return Step::Ask(Call::new(&request.attribute, uid, line.content(), envelope)),
        };
        match answer {
            Ok(result) => push_result(from, uid, &result),
            Err(refusal) => {
                info!("{}: {refusal}", from.name);
                from.refuse(uid, &refusal);
            }
        }
        Step::Next
    }

    fn change_link(
        &mut self,
        from: &Sender<'_>,
        attribute: &str,
        line: &Line,
        envelope: &Envelope,
    ) -> Result<bytes::Bytes, Refusal> {
        let arguments = LinkArguments::read(attribute, line.content(), envelope)?;
        let service = arguments.service.as_str();
        let names = |names: Vec<String>| serde_json::Value::from(names).to_string().into();
        let result = match attribute {
            "link" => self.registry.link(from.id, service)?,
            "unlink" => {
                self.registry.unlink(from.id, service)?;
                bytes::Bytes::from_static(b"true")
            }
            "acquire_lock" => names(self.registry.acquire_lock(from.id, service, arguments.shared)?),
            _ => names(self.registry.release_lock(from.id, service)?),
        };
        let (links, locks) = self.registry.links_and_locks(service);
        info!(
            "{attribute} '{service}' for {} [{links} link(s), {locks} lock(s)]",
            from.name
        );
        Ok(result)
    }

    /// Routes a line that a service sent.
    pub(crate) fn route_from_service(&mut self, from: &Sender<'_>, incoming: &Incoming) -> Step {
        if !from.outbox.has_room(1) {
            return Step::Wait(Arc::clone(from.outbox));
        }
        let line = &incoming.line;
        let envelope = match &incoming.kind {
            Kind::Blank => return Step::Next,
            Kind::Broken(error) => return self.refuse_malformed(from, "", &(*error).into()),
            Kind::Text => return self.route_service_text(from, line),
            Kind::Frame(envelope) => envelope,
        };
        let content = line.content();
        if !envelope.has_result() {
            return self.route_service_request(from, content, envelope);
        }
        if matches!(envelope.string(content, Member::Uid), Ok(Some(uid)) if uid == NOTIFICATION_UID) {
            return self.route_notification(from, line, envelope);
        }
        match envelope.reply(content) {
            Ok(reply) => self.route_reply(from, line, envelope, &reply),
            Err(error) => self.refuse_malformed(from, "", &error.into()),
        }
    }

    fn route_service_text(&self, from: &Sender<'_>, line: &Line) -> Step {
        match std::str::from_utf8(line.content()).map(terminal::parse) {
            Ok(Ok(TerminalLine::Disconnect)) => Step::Leave,
            _ => self.refuse_malformed(
                from,
                "",
                &EnvelopeError::Json(JsonError::UnexpectedByte(0)).into(),
            ),
        }
    }

    fn route_service_request(&mut self, from: &Sender<'_>, content: &[u8], envelope: &Envelope) -> Step {
        let attribute = envelope.string(content, Member::Attribute);
        if matches!(&attribute, Ok(Some(attribute)) if attribute == DISCONNECT) {
            return Step::Leave;
        }
        let uid = envelope.uid_or_empty(content);
        match envelope.request(content) {
            Ok(request) if request.service == MANAGER_NAME && request.attribute == "identity" => {
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
        line: &Line,
        envelope: &Envelope,
        reply: &labwire_wire::Reply<'_>,
    ) -> Step {
        let Some(found) = self.registry.destination(from.id, &reply.requester, &reply.uid) else {
            return self.drop_unsolicited(from);
        };
        let length = line.content().len() + ENVELOPE_BYTES;
        let written = found
            .outbox
            .push(length, |frame| write_reply(frame, from, line, envelope, reply));
        if let Err(Full) = written {
            return Step::Wait(Arc::clone(found.outbox));
        }
        self.registry.end_request(from.id, &reply.requester, &reply.uid);
        Counters::count(&self.counters.replies);
        Step::Next
    }

    fn route_notification(&mut self, from: &Sender<'_>, line: &Line, envelope: &Envelope) -> Step {
        match envelope.notification(line.content()) {
            Err(error) => return self.refuse_malformed(from, "", &error.into()),
            Ok(service)
                if self
                    .registry
                    .service(from.id)
                    .is_none_or(|own| *own.name != *service) =>
            {
                return self.drop_unsolicited(from);
            }
            Ok(_) => {}
        }
        let length = line.content().len() + frames::TERMINATOR.len();
        if let Some(full) = self
            .registry
            .linked_outboxes(from.id)
            .find(|outbox| !outbox.has_room(length))
        {
            return Step::Wait(Arc::clone(full));
        }
        for outbox in self.registry.linked_outboxes(from.id) {
            // Room was seen above, and only this registry's lock holder adds frames.
            let _ = outbox.push(length, |frame| write_line(frame, line));
            Counters::count(&self.counters.deliveries);
        }
        Counters::count(&self.counters.notifications);
        Step::Next
    }

    /// Drops a reply that nobody waits for, or a notification in another's name.
    fn drop_unsolicited(&self, from: &Sender<'_>) -> Step {
        let count = Counters::count(&self.counters.unsolicited);
        // A peer that forges a million of them gets twenty lines in the log, not a million.
        if count.is_power_of_two() {
            info!(
                "{} sent a reply or notification that was not asked of it, dropped [{count} in all]",
                from.name
            );
        }
        Step::Next
    }
}
