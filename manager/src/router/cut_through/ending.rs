//! Ends frames that are cut through: at their end, or before it.

use std::borrow::Cow;

use labwire_access::Effect;
use labwire_wire::{Envelope, EnvelopeError, FrameView, Text};
use tracing::warn;

use super::{CutThrough, Form};
use crate::counters::Counters;
use crate::refusal::{ApprovalRefusal, CallRefusal, LineEnd, Refusal, SessionRefusal};
use crate::registry::{Answered, Awaited, PeerId, Registry, RequestTerms};
use crate::router::cancelling::{members_for, terms_of};
use crate::router::from_service::unreadable_reply;
use crate::router::incoming::Kind;
use crate::router::{Rest, Router, Sender};

impl Router<'_> {
    /// Ends a frame whose line has arrived completely. `line` is the part that is not forwarded
    /// yet.
    pub(crate) fn end_cut_through(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        frame: FrameView<'_>,
        kind: &Kind,
    ) {
        let now = self.now;
        let envelope = match kind {
            Kind::Frame(envelope) => envelope,
            // The service has left, and its callers receive an error about that.
            Kind::Broken(..)
                if frame.head().terminated().is_none() && matches!(cut_through.form, Form::Reply) =>
            {
                return self.break_off(from, cut_through, None);
            }
            Kind::Broken(unframed) => {
                if let Some(rest) = self.break_off_broken(from, cut_through, unframed.error) {
                    self.end_rest(from, &rest);
                }
                return;
            }
            _ => return self.break_off(from, cut_through, None),
        };
        let mut terms = RequestTerms::default();
        let refusal = match &cut_through.form {
            Form::Request { .. } => self
                .late_request_refusal(&cut_through, frame.content(), envelope)
                .or_else(
                    || match Self::late_terms(from, &cut_through, frame.content(), envelope) {
                        Ok(late) => {
                            terms = late;
                            None
                        }
                        Err(refusal) => Some(refusal),
                    },
                ),
            Form::Reply => self.late_reply_refusal(&cut_through, envelope),
        };
        if refusal.is_some() && matches!(cut_through.form, Form::Request { .. }) {
            Counters::count(&self.counters.malformed);
        }
        let refusal = refusal
            .or_else(|| self.not_allowed_any_more(from, &cut_through, frame.content(), envelope))
            .or_else(|| self.not_kept(&cut_through));
        let awaited = match refusal {
            None => waiting(&mut self.registry, &cut_through),
            Some(_) => None,
        };
        let Some(mut awaited) = awaited else {
            return self.break_off(from, cut_through, refusal.as_ref());
        };
        let bytes = cut_through.taken_out + frame.size();
        match cut_through.form {
            Form::Request { .. } => awaited.add_request_bytes(bytes),
            Form::Reply => {
                awaited.end(Answered {
                    now,
                    bytes,
                    is_error: envelope.reports_error(frame.content()),
                });
                Counters::count_alone(&self.counters.replies);
            }
        }
        let mut members = Vec::new();
        // A request with buffers began with them.
        if terms.is_any() && matches!(cut_through.form, Form::Request { .. }) && !cut_through.has_buffers {
            let now = self.moment().instant;
            let (client, service, uid) = (cut_through.client, cut_through.service, &cut_through.uid);
            self.registry.note_terms(client, service, uid, &terms, now);
            let service = self.registry.service(service);
            let features = service.map(|service| service.features).unwrap_or_default();
            members = members_for(&terms, features, frame.content(), envelope);
        }
        cut_through.finish(frame, envelope, &members);
    }

    /// Returns what the client wants beside the reply to a request that was cut through.
    fn late_terms(
        from: &Sender<'_>,
        cut_through: &CutThrough,
        content: &[u8],
        envelope: &Envelope,
    ) -> Result<RequestTerms, Refusal> {
        let terms = terms_of(from, content, envelope)?;
        if terms.deadline.is_some() && cut_through.uid.is_empty() {
            return Err(CallRefusal::DeadlineNeedsUid.into());
        }
        Ok(terms)
    }

    /// Returns why a request that was cut through is not allowed any more: its line may have taken long, and a right,
    /// a link or a lock may have ended meanwhile. The service executes nothing before the end of the line.
    fn not_allowed_any_more(
        &mut self,
        from: &Sender<'_>,
        cut_through: &CutThrough,
        content: &[u8],
        envelope: &Envelope,
    ) -> Option<Refusal> {
        if matches!(cut_through.form, Form::Reply) {
            return None;
        }
        let request = envelope.request(content).ok()?;
        match self.permit_call(from, &request) {
            Ok(Effect::Allow) => {}
            Ok(_) => {
                let service = self.service_name(cut_through.service);
                return Some(ApprovalRefusal::NeededMeanwhile { service }.into());
            }
            Err(refusal) => return Some(refusal),
        }
        let (client, service) = (cut_through.client, cut_through.service);
        let admitted = self.registry.still_admits(client, service, envelope.shape());
        admitted.err()
    }

    /// Returns the error at the end of a frame that was broken off because its receiver is away and
    /// it could not be kept.
    fn not_kept(&self, cut_through: &CutThrough) -> Option<Refusal> {
        if cut_through.to.is_arriving() {
            return None;
        }
        let service = self.service_name(cut_through.service);
        Some(match cut_through.form {
            Form::Request { .. } => SessionRefusal::RequestNotKept { service }.into(),
            Form::Reply => SessionRefusal::ReplyNotKept { service }.into(),
        })
    }

    /// Returns the error at the end of a request that was cut through.
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

    /// Returns the error at the end of a reply that was cut through.
    fn late_reply_refusal(&self, cut_through: &CutThrough, envelope: &Envelope) -> Option<Refusal> {
        let client = self.registry.client(cut_through.client)?;
        let service = self.registry.service(cut_through.service)?;
        unreadable_reply(&service.name, client.reader, envelope.shape(), self.nesting)
    }

    /// Breaks off a malformed frame. Returns the rest of a reply, which is owed until it has come.
    pub(crate) fn break_off_broken(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        error: EnvelopeError,
    ) -> Option<Rest> {
        let refusal = self.broken(error);
        match cut_through.form {
            Form::Request { .. } => {
                Counters::count(&self.counters.malformed);
                self.break_off_amid(from, cut_through, &refusal)
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
                self.break_off_amid(from, cut_through, &refusal)
            }
        }
    }

    /// Breaks off a frame whose sender has left.
    pub(crate) fn break_off_left(&self, cut_through: CutThrough) {
        Counters::count(&self.counters.broken_off);
        drop(cut_through);
    }

    /// Breaks off a frame whose sender's connection is broken. A client learns from the position up to
    /// which its lines were handled that its request was not executed; a service sends its reply
    /// again.
    pub(crate) fn break_off_parked(&mut self, cut_through: CutThrough) {
        let now = self.now;
        if matches!(cut_through.form, Form::Request { .. })
            && let Some(awaited) = waiting(&mut self.registry, &cut_through)
        {
            awaited.end(Answered::with_refusal(now));
        }
        self.break_off_left(cut_through);
    }

    /// Breaks off a frame that arrives too slowly while others wait for its end. Returns the rest of a
    /// reply, as [`break_off_broken`](Self::break_off_broken) does.
    pub(crate) fn break_off_stalled(&mut self, from: &Sender<'_>, cut_through: CutThrough) -> Option<Rest> {
        let service = self.service_name(cut_through.service);
        let refusal = match cut_through.form {
            Form::Request { .. } => Refusal::RequestStalled { service },
            Form::Reply => Refusal::ReplyStalled { service },
        };
        self.break_off_amid(from, cut_through, &refusal)
    }

    /// Breaks off a frame whose line is discarded. Returns the rest of a reply, as
    /// [`break_off_broken`](Self::break_off_broken) does.
    pub(crate) fn break_off_ended(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        end: LineEnd,
    ) -> Option<Rest> {
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
        self.break_off_amid(from, cut_through, &refusal)
    }

    /// Breaks off a frame whose line has not ended. A reply is owed until it has: a service with a
    /// session whose connection breaks before sends it again.
    fn break_off_amid(
        &mut self,
        from: &Sender<'_>,
        cut_through: CutThrough,
        refusal: &Refusal,
    ) -> Option<Rest> {
        let rest = matches!(cut_through.form, Form::Reply).then(|| Rest {
            requester: cut_through.requester.to_string(),
            uid: cut_through.uid.clone(),
            is_reply: true,
        });
        let Some(rest) = rest else {
            self.break_off(from, cut_through, Some(refusal));
            return None;
        };
        let (client, service) = (cut_through.client, cut_through.service);
        let features = waiting(&mut self.registry, &cut_through).map(|awaited| awaited.features);
        let requester = Text::from(Cow::from(rest.requester.as_str()));
        let is_owed = features.is_some() || self.registry.is_owed(service, &requester, &rest.uid);
        self.break_off(from, cut_through, Some(refusal));
        if !is_owed {
            return None;
        }
        self.registry.note_owed(client, service, rest.uid.as_bytes());
        if let Some(features) = features {
            let frame = refusal.frame(&rest.requester, &rest.uid, features);
            self.end_same(from, client, &rest.uid, &frame);
        }
        Some(rest)
    }

    /// Breaks off a frame. The caller receives `refusal`, if it still waits for the outcome.
    fn break_off(&mut self, from: &Sender<'_>, cut_through: CutThrough, refusal: Option<&Refusal>) {
        Counters::count(&self.counters.broken_off);
        let now = self.now;
        if let (Some(awaited), Some(refusal)) = (waiting(&mut self.registry, &cut_through), refusal) {
            self.counters.count_limit(refusal);
            from.log(refusal);
            let frame = refusal.frame(&cut_through.requester, &cut_through.uid, awaited.features);
            awaited.outbox.push_always(|writer| writer.shared(&frame));
            awaited.end(Answered::with_refusal(now));
        }
        let requester = Text::from(Cow::from(&*cut_through.requester));
        if matches!(cut_through.form, Form::Reply)
            && self
                .registry
                .take_owed(cut_through.service, &requester, &cut_through.uid)
        {
            Counters::count(&self.counters.late_replies);
        }
        drop(cut_through);
    }

    pub(in crate::router) fn service_name(&self, id: PeerId) -> String {
        let service = self.registry.service(id);
        service.map_or_else(String::new, |service| service.name.to_string())
    }
}

/// Returns the request, if its client still waits for the outcome.
fn waiting<'a>(registry: &'a mut Registry, cut_through: &CutThrough) -> Option<Awaited<'a>> {
    let requester = Text::from(Cow::from(&*cut_through.requester));
    registry
        .awaited(cut_through.service, &requester, &cut_through.uid)
        .filter(|awaited| awaited.client_id() == cut_through.client)
}
