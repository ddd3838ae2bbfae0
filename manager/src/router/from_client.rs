//! Routes the lines of clients: requests for services and for the manager itself.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use labwire_wire::terminal::{self, TerminalLine};
use labwire_wire::{Envelope, FrameView, Line, MANAGER_NAME, Member, Request, Uid, frames, quoted};
use serde_json::json;
use tracing::debug;

use super::approvals::Consent;
use super::arguments::{Arguments, Call, LinkArguments, read_page};
use super::cancelling::{members_after_approval, members_for, terms_of};
use super::compose::{request_line, typed_request_line, write_request};
use super::conversion::{is_too_long, must_convert};
use super::incoming::{Kind, Typed};
use super::{DISCONNECT, ENVELOPE_BYTES, Router, Sender, Step};
use crate::config::MANAGERS_LINE;
use crate::counters::Counters;
use crate::outbox::FrameWriter;
use crate::record::About;
use crate::refusal::{Refusal, excerpt};
use crate::registry::{Acquired, Forwarded, Listing, RequestTerms, Subject};
use crate::work::{BYTES_PER_WORK, FRAME_WORK, REFUSAL_WORK, TURN_WORK};

/// The answer to `help`, as JSON text.
static HELP: LazyLock<String> = LazyLock::new(terminal::help);

/// An answer of the manager.
enum Answer {
    Text(Bytes),
    Listing(Listing),
    /// It follows later.
    Later,
}

impl Router<'_> {
    /// Routes a client's line.
    #[inline]
    pub(crate) fn route_from_client(&mut self, from: &Sender<'_>, frame: FrameView<'_>, kind: &Kind) -> Step {
        if from.has_session
            && let Some(step) = self.confirm(from, frame, kind)
        {
            return step;
        }
        // Answers of the manager go to the sender's own queue, which must have room like any other.
        if let Err(wait) = self.own_room(from) {
            return wait;
        }
        match kind {
            Kind::Blank => Step::Next,
            Kind::Broken(unframed) => self.refuse_broken(from, unframed),
            Kind::Typed(typed, _) => self.route_typed(from, typed),
            Kind::Notification(envelope, is_pair) => match envelope.notification(frame.content(), *is_pair) {
                Ok(_) => self.drop_unsolicited(from),
                Err(_) => self.refuse_malformed(
                    from,
                    &envelope.uid_or_empty(frame.content()),
                    &Refusal::ClientReplies,
                ),
            },
            Kind::Frame(envelope) => self.route_frame(from, frame, envelope),
        }
    }

    fn route_typed(&mut self, from: &Sender<'_>, typed: &Typed) -> Step {
        let meaning = match typed {
            Typed::Meant(meaning) => meaning,
            Typed::Wrong(error) => return self.refuse_malformed(from, &Uid::EMPTY, &error.clone().into()),
            Typed::NotText(error) => return self.refuse_malformed(from, &Uid::EMPTY, &(*error).into()),
            Typed::Unterminated => return self.refuse_malformed(from, &Uid::EMPTY, &Refusal::Unterminated),
            Typed::TooLong => return self.refuse_malformed(from, &Uid::EMPTY, &Refusal::TypedTooMuch),
        };
        let request = match meaning {
            TerminalLine::Disconnect => return Step::Leave,
            TerminalLine::Client { .. } => {
                return self.refuse_malformed(from, &Uid::EMPTY, &Refusal::AlreadyConnected);
            }
            TerminalLine::Help => {
                let written = from.answer(&Uid::EMPTY, |frame| frame.copied(HELP.as_bytes()));
                self.work += REFUSAL_WORK + written / BYTES_PER_WORK;
                return Step::Next;
            }
            TerminalLine::WhoAmI => {
                self.work += FRAME_WORK;
                let name = frames::json_string(from.name);
                from.answer(&Uid::EMPTY, |frame| frame.copied(name.as_bytes()));
                return Step::Next;
            }
            TerminalLine::Identity => request_line(MANAGER_NAME, "identity", "[]", "{}"),
            TerminalLine::Link { service } => link_request("link", service, "{}"),
            TerminalLine::Unlink { service } => link_request("unlink", service, "{}"),
            TerminalLine::Lock { service, kwargs } => link_request("acquire_lock", service, kwargs),
            TerminalLine::Unlock { service } => link_request("release_lock", service, "{}"),
            TerminalLine::Cancel { service } => {
                let kwargs = service.as_ref().map_or_else(
                    || "{}".to_owned(),
                    |service| format!("{{\"service\":{}}}", frames::json_string(service)),
                );
                request_line(MANAGER_NAME, "cancel", "[\"\"]", &kwargs)
            }
            TerminalLine::Request { service, .. }
                if terminal::may_mean_keyword(service) && !self.registry.has_service(service) =>
            {
                let refusal = self.registry.no_such_keyword(service);
                self.work += REFUSAL_WORK;
                Counters::count(&self.counters.refused);
                // What was typed is recorded as part of the refusal only.
                self.note_refusal(from, About::managers("", None), &refusal);
                from.refuse(&Uid::EMPTY, &refusal);
                return Step::Next;
            }
            TerminalLine::Request {
                service,
                attribute,
                args,
                kwargs,
            } => typed_request_line(service, attribute, args, kwargs),
        };
        match Envelope::scan(request.content()) {
            Ok(envelope) => self.route_frame(from, request.view().into(), &envelope),
            Err(error) => self.refuse_malformed(from, &Uid::EMPTY, &self.broken(error)),
        }
    }

    fn route_frame(&mut self, from: &Sender<'_>, frame: FrameView<'_>, envelope: &Envelope) -> Step {
        let content = frame.content();
        if let Some(refusal) = self.too_deep(envelope) {
            return self.refuse_malformed(from, &envelope.uid_or_empty(content), &refusal);
        }
        if let Some(error) = Self::misplaced_buffers(from, frame, envelope) {
            self.refuse_malformed(from, &envelope.uid_or_empty(content), &error.into());
            return Step::Leave;
        }
        if envelope.has_result() {
            return match envelope.answered(content) {
                Ok(_) => self.drop_unsolicited(from),
                Err(_) => {
                    self.refuse_malformed(from, &envelope.uid_or_empty(content), &Refusal::ClientReplies)
                }
            };
        }
        if envelope.is_string(content, Member::Attribute, DISCONNECT) {
            return Step::Leave;
        }
        let request = match envelope.request(content) {
            Ok(request) => request,
            Err(error) => {
                return self.refuse_malformed(from, &envelope.uid_or_empty(content), &error.into());
            }
        };
        if request.service == *MANAGER_NAME {
            return self.route_to_manager(from, frame, envelope, &request);
        }
        if self.draining {
            from.refuse(&request.uid, &Refusal::NotTaken);
            return Step::Next;
        }
        let sent = terms_of(from, content, envelope)
            .and_then(|terms| self.forward(from, (frame, envelope), &request, terms, Consent::None));
        match sent {
            Ok(step) => step,
            Err(refusal) => self.refuse_request(from, &request, &refusal),
        }
    }

    /// Forwards a request to its service, or lets it wait for approval if that is needed.
    ///
    /// # Errors
    /// It may not go there.
    #[inline]
    pub(super) fn forward(
        &mut self,
        from: &Sender<'_>,
        (frame, envelope): (FrameView<'_>, &Envelope),
        request: &Request<'_>,
        terms: RequestTerms,
        consent: Consent,
    ) -> Result<Step, Refusal> {
        if self.draining {
            return Err(Refusal::NotTaken);
        }
        // Before anything is told about the service, such as whether it is connected.
        let effect = self.permit_call(from, request)?;
        let present = self.present();
        let Some(mut asking) = self.registry.ask(from.id, &request.service, envelope.shape())? else {
            return Ok(Step::Leave);
        };
        asking.check_uid(&request.uid, &terms)?;
        if let Some(convert) = must_convert(frame, asking.service.outbox.takes_buffers()) {
            return Ok(convert);
        }
        if is_too_long(frame.payload()) && !asking.service.outbox.takes_buffers() {
            let service = asking.service.name.to_string();
            let limit = self.convert;
            return Err(Refusal::UnconvertibleRequest { service, limit });
        }
        if consent.is_missing(effect) {
            let service = asking.service_id();
            return self.hold(from, (frame, envelope), request, service, terms);
        }
        let mut members = match consent {
            _ if !terms.is_any() => Vec::new(),
            Consent::None => members_for(&terms, asking.service.features, frame.content(), envelope),
            Consent::Given => members_after_approval(&terms, asking.service.features),
        };
        if let Some(caller) = asking.caller_member(present) {
            members.extend_from_slice(&caller);
        }
        let end = asking.client.request_end.as_bytes();
        let length = frame.size() + members.len() + asking.client.requester_length() + ENVELOPE_BYTES;
        if let Some(refusal) = asking.service.cannot_keep(length) {
            return Err(refusal);
        }
        let (service, outbox) = (asking.service_id(), &asking.service.outbox);
        let write = |writer: &mut FrameWriter<'_>| write_request(writer, frame, envelope, &members, end);
        if let Err(waiting) = self.permits.push_request(service, outbox, length, write) {
            return Ok(Step::Wait(waiting));
        }
        let forwarded = Forwarded {
            uid: request.uid.as_bytes(),
            attribute: request.attribute.as_str(),
            bytes: frame.size(),
            line: Some((frame.content(), envelope)),
        };
        asking.begin(&forwarded, self.now);
        if terms.is_any() {
            let now = self.moment().instant;
            self.registry
                .note_terms(from.id, service, &request.uid, &terms, now);
        }
        Counters::count_alone(&self.counters.requests);
        debug!(
            "{} requested {} from '{}'",
            from.name,
            quoted(excerpt(request.attribute.as_str())),
            request.service.as_str()
        );
        Ok(Step::Next)
    }

    /// Records a refusal, and logs it and sends it to those who watch the manager, unless the peer has
    /// caused too many.
    pub(super) fn note_refusal(&mut self, from: &Sender<'_>, about: About<'_>, refusal: &Refusal) {
        if let Some(principal) = self.registry.principal(from.id) {
            self.events.record.refused((from.name, principal), about, refusal);
        }
        if from.log(refusal) {
            self.work += self.events.emit_limited(
                "refused",
                Subject::Peer(from.name),
                || json!({ "message": refusal.summary(), "name": from.name }),
            );
        }
    }

    fn route_to_manager(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        request: &Request<'_>,
    ) -> Step {
        let (uid, attribute) = (&request.uid, request.attribute.as_str());
        // The value that is published has a limit of its own.
        if frame.content().len() > MANAGERS_LINE && attribute != "publish" {
            return self.refuse_malformed(from, uid, &Refusal::AskedTooMuch);
        }
        if let Some(step) = self.route_about_topics(from, frame, envelope, request) {
            return step;
        }
        self.work += frame.content().len() / BYTES_PER_WORK;
        let answer = match attribute {
            "identity" => return self.answer_identity(from, uid),
            "cancel" => return self.route_cancel(from, frame, envelope, request),
            "status" => return self.answer_status(from, uid, frame, envelope),
            "approvals" | "approve" | "refuse" => {
                return self.route_about_approvals(from, (frame, envelope), request);
            }
            "link" | "unlink" | "acquire_lock" | "renew_lock" | "release_lock" => {
                let answer = self.change_link(from, request, frame, envelope);
                let now = self.moment();
                self.work += self.events.settle(&mut self.registry, now);
                answer
            }
            _ => {
                return Step::Ask(Call {
                    attribute: attribute.to_owned(),
                    uid: uid.clone().into_owned(),
                    arguments: Arguments::read(frame.content(), envelope),
                });
            }
        };
        match answer {
            Ok(Answer::Text(result)) => {
                let written = from.answer(uid, |writer| writer.shared(&result));
                self.work += FRAME_WORK + written / BYTES_PER_WORK;
            }
            Ok(Answer::Listing(listing)) => return self.answer_listing(from, uid, listing),
            Ok(Answer::Later) => {}
            Err(refusal) => {
                // The text may contain the names of many clients.
                self.work += 4 * REFUSAL_WORK;
                self.counters.count_limit(&refusal);
                let named = LinkArguments::read(attribute, frame.content(), envelope).ok();
                let service = named.as_ref().map(|named| named.service.as_str());
                self.note_refusal(from, About::managers(attribute, service), &refusal);
                from.refuse(uid, &refusal);
            }
        }
        Step::Next
    }

    /// Queues the manager's identity for a peer, with those of the others that it may see.
    pub(super) fn answer_identity(&mut self, from: &Sender<'_>, uid: &Uid<'_>) -> Step {
        let sight = match self.sight(from) {
            Ok(sight) => sight,
            Err(step) => return step,
        };
        let registry = &*self.registry;
        let written = from.answer(uid, |writer| registry.write_identity(&sight, writer));
        self.work += REFUSAL_WORK + written / BYTES_PER_WORK + registry.work_of(&sight);
        Step::Next
    }

    /// Queues a list for a peer.
    pub(super) fn answer_listing(&mut self, from: &Sender<'_>, uid: &Uid<'_>, listing: Listing) -> Step {
        let registry = &*self.registry;
        let written = from.answer(uid, |writer| registry.write_listing(listing, writer));
        self.work += REFUSAL_WORK + written / BYTES_PER_WORK;
        Step::Next
    }

    /// Queues a page of what peers do.
    #[cold]
    fn answer_status(
        &mut self,
        from: &Sender<'_>,
        uid: &Uid<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Step {
        match read_page(frame.content(), envelope) {
            Ok(page) => {
                // Composed before it is queued: the status contains the size of this very queue.
                let sight = match self.sight(from) {
                    Ok(sight) => sight,
                    Err(step) => return step,
                };
                let present = self.present();
                let approvals = self.registry.count_approvals_for(from.id, present);
                let topics = &self.events.topics;
                let status = self.registry.status(&page, &sight, self.now, approvals, |peer| {
                    topics.subscriptions_of(peer)
                });
                from.answer(uid, |writer| writer.copied(status.as_bytes()));
                // Composing a page takes about as long as a turn may.
                self.work += TURN_WORK;
            }
            Err(refusal) => {
                self.work += REFUSAL_WORK;
                from.refuse(uid, &refusal);
            }
        }
        Step::Next
    }

    fn change_link(
        &mut self,
        from: &Sender<'_>,
        request: &Request<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Result<Answer, Refusal> {
        let attribute = request.attribute.as_str();
        let LinkArguments {
            service,
            terms,
            wait,
            wait_only,
        } = LinkArguments::read(attribute, frame.content(), envelope)?;
        if service != MANAGER_NAME {
            self.permit_link(from, attribute, &service)?;
        }
        let (answer, event) = match attribute {
            "link" if service == MANAGER_NAME => {
                return Ok(Answer::Text(self.link_with_manager(from)?));
            }
            "unlink" if service == MANAGER_NAME && self.unlink_from_manager(from) => {
                return Ok(Answer::Text(Bytes::from_static(b"true")));
            }
            "link" => {
                let (description, event) = self.registry.link(from.id, &service)?;
                (Answer::Text(description), event)
            }
            "unlink" => {
                let event = self.registry.unlink(from.id, &service)?;
                (Answer::Text(Bytes::from_static(b"true")), event)
            }
            "acquire_lock" => {
                let now = self.moment();
                // A manager that stops ends no later because of a lock.
                let wait = wait.map(|wait| if self.draining { Duration::ZERO } else { wait });
                let acquired =
                    self.registry
                        .acquire_lock(from.id, &service, terms, wait, &request.uid, now)?;
                match acquired {
                    Acquired::Granted(linked, event) => (Answer::Listing(linked), event),
                    Acquired::Waits => return Ok(Answer::Later),
                }
            }
            "renew_lock" => {
                let now = self.moment();
                let renewed = self.registry.renew_lock(from.id, &service, terms.ttl, now)?;
                return Ok(Answer::Text(renewed.to_json().into()));
            }
            _ => {
                let (locking, event) = self.registry.release_lock(from.id, &service, wait_only)?;
                (Answer::Listing(locking), event)
            }
        };
        self.work += self.events.publish(event, Some(from.log_limit));
        Ok(answer)
    }
}

/// Composes a request to the manager about the client's link with a service.
fn link_request(attribute: &str, service: &str, kwargs: &str) -> Line {
    let args = format!("[{}]", frames::json_string(service));
    request_line(MANAGER_NAME, attribute, &args, kwargs)
}
