//! Cancellation and deadlines of requests.

use std::fmt::Write;
use std::time::Duration;

use labwire_wire::{Envelope, FrameView, Member, Request, Uid};
use serde_json::{Map, Value};

use super::{Router, Sender, Step};
use crate::bounds::{DEADLINE_SECONDS, MOST_REASON};
use crate::counters::Counters;
use crate::record::About;
use crate::refusal::{CallRefusal, Refusal, excerpt};
use crate::registry::{Cancelled, RequestTerms};
use crate::work::REFUSAL_WORK;

/// The longest arguments of a request to cancel, in bytes of JSON: each character may be an escape.
const SHORT_BYTES: usize = 8 * 1_024;

/// How many services are searched for a request in one unit of work.
const SEARCHED_PER_WORK: usize = 4;

impl Router<'_> {
    /// Cancels a request of a client.
    #[cold]
    pub(super) fn route_cancel(
        &mut self,
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
        request: &Request<'_>,
    ) -> Step {
        self.work += REFUSAL_WORK;
        match self.cancel(from, frame.content(), envelope) {
            Ok(result) => {
                from.answer(&request.uid, |writer| writer.copied(result.as_bytes()));
            }
            Err(refusal) => {
                Counters::count(&self.counters.cancel_refused);
                self.note_refusal(from, About::managers("cancel", None), &refusal);
                from.refuse(&request.uid, &refusal);
            }
        }
        Step::Next
    }

    /// Returns the result as JSON text.
    fn cancel(&mut self, from: &Sender<'_>, content: &[u8], envelope: &Envelope) -> Result<String, Refusal> {
        let Cancellation { uid, service, reason } = Cancellation::read(content, envelope)?;
        let now = self.now;
        let mut waiting = self.registry.cancel_approvals(from.id, &uid, service.as_deref());
        let cancelled = self
            .registry
            .cancel(from.id, &uid, service.as_deref(), reason.as_deref(), now);
        let (cancelled, events) = match cancelled {
            Err(_) if !waiting.is_empty() => (Cancelled::Ended, Vec::new()),
            cancelled => cancelled?,
        };
        waiting.extend(events);
        let events = waiting;
        self.work += events.len() / SEARCHED_PER_WORK;
        for event in events {
            self.work += self.events.publish(event, Some(from.log_limit));
        }
        Ok(format!("\"{}\"", cancelled.name()))
    }
}

/// Returns what a client wants of a request beside its reply.
#[inline]
pub(super) fn terms_of(
    from: &Sender<'_>,
    content: &[u8],
    envelope: &Envelope,
) -> Result<RequestTerms, Refusal> {
    if !envelope.has_terms() && !from.features.progress {
        return Ok(RequestTerms::default());
    }
    read_terms(from, content, envelope)
}

#[cold]
fn read_terms(from: &Sender<'_>, content: &[u8], envelope: &Envelope) -> Result<RequestTerms, Refusal> {
    let listens = from.features.progress || envelope.raw(content, Member::Progress) == Some(b"true");
    let deadline = envelope
        .raw(content, Member::Deadline)
        .map(read_deadline)
        .transpose()?;
    Ok(RequestTerms { deadline, listens })
}

/// As [`members_for`], for a request that has waited for approval: of its deadline, what is left.
pub(super) fn members_after_approval(terms: &RequestTerms, service: labwire_wire::Features) -> Vec<u8> {
    let mut members = String::new();
    if service.cancel
        && let Some(deadline) = terms.deadline
    {
        // Writing to a text does not fail.
        let _ = write!(members, ",\"deadline\":{}", deadline.as_secs_f64());
    }
    if service.progress && terms.listens {
        members += ",\"progress\":true";
    }
    members.into_bytes()
}

/// Returns the members of a request for a service beside those of the first version.
pub(super) fn members_for(
    terms: &RequestTerms,
    service: labwire_wire::Features,
    content: &[u8],
    envelope: &Envelope,
) -> Vec<u8> {
    let mut members = Vec::new();
    if service.cancel
        && terms.deadline.is_some()
        && let Some(deadline) = envelope.raw(content, Member::Deadline)
    {
        members.extend_from_slice(b",\"deadline\":");
        members.extend_from_slice(deadline);
    }
    if service.progress && terms.listens {
        members.extend_from_slice(b",\"progress\":true");
    }
    members
}

fn read_deadline(value: &[u8]) -> Result<Duration, Refusal> {
    let seconds = serde_json::from_slice::<f64>(value).ok();
    let seconds = seconds.filter(|seconds| DEADLINE_SECONDS.contains(seconds));
    let deadline = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    deadline.ok_or_else(|| {
        let value = excerpt(&String::from_utf8_lossy(value)).to_owned();
        CallRefusal::WrongDeadline { value }.into()
    })
}

/// The arguments of a request to cancel.
struct Cancellation {
    uid: Uid<'static>,
    service: Option<String>,
    reason: Option<String>,
}

impl Cancellation {
    /// Parses `cancel(uid, reason=null, service=null)`.
    fn read(content: &[u8], envelope: &Envelope) -> Result<Self, Refusal> {
        let wrong = || Refusal::Arguments {
            attribute: "cancel".to_owned(),
            expected: "the uid of a request and, if wanted, reason=\"TEXT\" and service=\"NAME\"",
        };
        let args = envelope.raw(content, Member::Args).unwrap_or(b"[]");
        let kwargs = envelope.raw(content, Member::Kwargs).unwrap_or(b"null");
        if args.len() > SHORT_BYTES || kwargs.len() > SHORT_BYTES {
            return Err(wrong());
        }
        let args = labwire_wire::array_elements(args).map_err(|_| wrong())?;
        let kwargs: Option<Map<String, Value>> = serde_json::from_slice(kwargs).map_err(|_| wrong())?;
        let uid = match args[..] {
            [uid] => Uid::from_json(uid).ok_or_else(wrong)?.into_owned(),
            _ => return Err(wrong()),
        };
        let (mut service, mut reason) = (None, None);
        for (key, value) in kwargs.unwrap_or_default() {
            match (key.as_str(), value) {
                ("service" | "reason", Value::Null) => {}
                ("service", Value::String(name)) => service = Some(name),
                ("reason", Value::String(text)) if text.len() <= MOST_REASON => reason = Some(text),
                ("reason", _) => return Err(CallRefusal::Reason.into()),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { uid, service, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_that_mean_nothing_are_refused() {
        for value in [
            "0", "-1", "1e-9", "NaN", "Infinity", "\"2\"", "true", "null", "[2]", "2678401", "1e400",
        ] {
            let refusal = read_deadline(value.as_bytes()).unwrap_err().to_string();
            assert!(refusal.contains(&format!("not {value};")), "{refusal}");
        }
        for (value, milliseconds) in [
            ("0.001", 1),
            ("2", 2_000),
            ("1.50", 1_500),
            ("2678400", 2_678_400_000),
        ] {
            assert_eq!(
                read_deadline(value.as_bytes()),
                Ok(Duration::from_millis(milliseconds))
            );
        }
    }
}
