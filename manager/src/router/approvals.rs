//! Requests that wait for approval, and the decisions about them.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use labwire_access::Effect;
use labwire_wire::{
    Envelope, Frame, FrameView, JsonError, Line, Member, Payload, Request, Uid, compact, quoted, scan_object,
};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::partial::progress_line;
use super::{Router, Sender, Step};
use crate::bounds::{MOST_REASON, MOST_SHOWN_ARGUMENTS};
use crate::counters::Counters;
use crate::record::About;
use crate::refusal::{ApprovalRefusal, Refusal, excerpt};
use crate::registry::{Approval, ApprovalsPage, PeerId, RequestTerms, ToApprove};
use crate::work::{BYTES_PER_WORK, REFUSAL_WORK, TURN_WORK};

/// Whether somebody has approved a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nobody has: it waits if that is needed.
    None,
    Given,
}

impl Consent {
    /// Returns whether a request with that effect must wait.
    #[inline]
    pub(super) fn is_missing(self, effect: Effect) -> bool {
        effect != Effect::Allow && self == Self::None
    }
}

impl Router<'_> {
    /// Lets a request wait for approval. It may go to `service` otherwise.
    #[cold]
    pub(super) fn hold(
        &mut self,
        from: &Sender<'_>,
        (frame, envelope): (FrameView<'_>, &Envelope),
        request: &Request<'_>,
        service: PeerId,
        terms: RequestTerms,
    ) -> Result<Step, Refusal> {
        self.work += REFUSAL_WORK + frame.size() / BYTES_PER_WORK;
        if let Some(name) = given_twice(frame.content(), envelope) {
            return Err(ApprovalRefusal::GivenTwice(excerpt(&name).to_owned()).into());
        }
        let held = ToApprove {
            service,
            attribute: request.attribute.as_str().into(),
            uid: request.uid.clone().into_owned(),
            frame: copied(frame),
            terms,
            arguments: shown(frame.content(), envelope),
            recorded: self
                .registry
                .recorded_arguments(service, request, (frame.content(), envelope)),
        };
        let now = self.moment();
        let Some(asked) = self.registry.await_approval(from.id, held, now)? else {
            return Ok(Step::Leave);
        };
        if terms.listens || from.features.approval {
            let value = json!({
                "id": asked.id,
                "message": format!("waits for approval as {}", asked.id),
                "until": asked.until.time.to_string(),
                "waits_for": "approval",
            });
            tell(from, &request.uid, &value);
        }
        self.work += self.events.publish(asked.into_event(), Some(from.log_limit));
        Ok(Step::Next)
    }

    /// Routes the requests about approvals.
    #[cold]
    pub(super) fn route_about_approvals(
        &mut self,
        from: &Sender<'_>,
        (frame, envelope): (FrameView<'_>, &Envelope),
        request: &Request<'_>,
    ) -> Step {
        self.work += 2 * REFUSAL_WORK;
        let attribute = request.attribute.as_str();
        let arguments = Arguments::read(frame.content(), envelope);
        let outcome = match attribute {
            "approvals" => self.list_approvals(from, arguments),
            "approve" => match self.approve(from, arguments) {
                Ok(Ok(approved)) => Ok(approved),
                Ok(Err(wait)) => return wait,
                Err(refusal) => Err(refusal),
            },
            _ => self.refuse_approval(from, arguments),
        };
        match outcome {
            Ok(result) => {
                let result = result.to_string();
                self.work += result.len() / BYTES_PER_WORK;
                from.answer(&request.uid, |writer| writer.copied(result.as_bytes()));
            }
            Err(refusal) => {
                self.note_refusal(from, About::managers(attribute, None), &refusal);
                from.refuse(&request.uid, &refusal);
            }
        }
        Step::Next
    }

    /// Returns a page of the requests that the sender may decide about.
    fn list_approvals(&mut self, from: &Sender<'_>, arguments: Option<Arguments>) -> Result<Value, Refusal> {
        let wrong = || Refusal::Arguments {
            attribute: "approvals".to_owned(),
            expected: "if wanted, after=\"ID\" with the next of a page of this manager",
        };
        let [after] = bound(arguments, ["after"]).ok_or_else(wrong)?;
        let present = self.present();
        let page = self.registry.approvals_for(from.id, after.as_deref(), present);
        let ApprovalsPage { approvals, next } = page.ok_or_else(wrong)?;
        // Deciding about services for the first time takes as long as a turn may.
        self.work += TURN_WORK;
        Ok(json!({ "approvals": approvals, "next": next }))
    }

    /// Sends a request to its service that waits for approval. If there is no room in the service's
    /// queue, returns the step with the permit to wait for; the request waits on meanwhile.
    fn approve(
        &mut self,
        from: &Sender<'_>,
        arguments: Option<Arguments>,
    ) -> Result<Result<Value, Step>, Refusal> {
        let wrong = || Refusal::Arguments {
            attribute: "approve".to_owned(),
            expected: "the id of a request that waits for approval",
        };
        let [id] = bound(arguments, ["id"]).ok_or_else(wrong)?;
        let id = id.ok_or_else(wrong)?;
        let present = self.present();
        let now = self.moment().instant;
        let (number, by) = self.registry.find_approval(from.id, &id, (now, present))?;
        let unknown = || Refusal::from(ApprovalRefusal::Unknown(id.clone()));
        let (waiting, approved) = self.registry.take_approved(number, &by).ok_or_else(unknown)?;
        let client = self.registry.client(waiting.client).ok_or_else(unknown)?;
        let (name, outbox) = (client.name.clone(), client.outbox.clone());
        let log_limit = client.log_limit.clone();
        let caller = Sender {
            id: waiting.client,
            name: &name,
            outbox: &outbox,
            features: client.features,
            has_session: false,
            log_limit: &log_limit,
        };
        let terms = waiting.terms(now);
        let frame = waiting.frame().view();
        let envelope = Envelope::scan(frame.content())?;
        let request = envelope.request(frame.content())?;
        let sent = self.forward(&caller, (frame, &envelope), &request, terms, Consent::Given);
        match sent {
            Ok(Step::Next) => {
                if caller.features.approval {
                    let value = json!({
                        "approved_by": *by,
                        "id": approved.id,
                        "message": format!("approved by {}", quoted(&by)),
                    });
                    tell(&caller, &request.uid, &value);
                }
                Ok(Ok(self.decided(approved)))
            }
            Ok(Step::Wait(permits)) => {
                self.registry.put_back(number, waiting);
                Ok(Err(Step::Wait(permits)))
            }
            // The client has left, or another service has its name: both end what waits before.
            Ok(_) => {
                let service = request.service.as_str().to_owned();
                let refusal = ApprovalRefusal::ServiceLeft { service };
                self.refuse_request(&caller, &request, &refusal.into());
                Err(unknown())
            }
            Err(refusal) => {
                let summary = refusal.summary();
                self.decided(approved);
                self.refuse_request(&caller, &request, &refusal);
                Err(ApprovalRefusal::NotSent { summary }.into())
            }
        }
    }

    /// Publishes a decision. Returns the answer for whoever has decided.
    fn decided(&mut self, decided: Approval) -> Value {
        let answer = decided.to_json();
        self.work += self.events.publish(decided.into_event(), None);
        answer
    }

    fn refuse_approval(&mut self, from: &Sender<'_>, arguments: Option<Arguments>) -> Result<Value, Refusal> {
        let wrong = || Refusal::Arguments {
            attribute: "refuse".to_owned(),
            expected: "the id of a request that waits for approval and, if wanted, reason=\"TEXT\"",
        };
        let [id, reason] = bound(arguments, ["id", "reason"]).ok_or_else(wrong)?;
        let id = id.ok_or_else(wrong)?;
        if reason.as_ref().is_some_and(|reason| reason.len() > MOST_REASON) {
            return Err(ApprovalRefusal::Reason.into());
        }
        let present = self.present();
        let now = self.moment().instant;
        let (number, by) = self.registry.find_approval(from.id, &id, (now, present))?;
        let refused = self.registry.refuse_approval(number, &by, reason);
        let refused = refused.ok_or(ApprovalRefusal::Unknown(id))?;
        Ok(self.decided(refused))
    }

    /// Refuses a request that may not go to its service.
    #[cold]
    pub(super) fn refuse_request(
        &mut self,
        from: &Sender<'_>,
        request: &Request<'_>,
        refusal: &Refusal,
    ) -> Step {
        self.work += REFUSAL_WORK;
        Counters::count(&self.counters.refused);
        self.counters.count_limit(refusal);
        let about = About::call(request.service.as_str(), request.attribute.as_str());
        self.note_refusal(from, about, refusal);
        from.refuse(&request.uid, refusal);
        Step::Next
    }
}

/// Tells a client about its request, as progress of it. A client with the feature can see that it is the
/// manager's word: no service can send the member `origin`.
fn tell(client: &Sender<'_>, uid: &Uid<'_>, value: &Value) {
    let line = progress_line(value.to_string().as_bytes(), client.name, uid);
    let line: Bytes = if client.features.approval {
        [&b"{\"origin\":\"manager\","[..], &line[1..]].concat().into()
    } else {
        line
    };
    client.outbox.push_always(|frame| frame.shared(&line));
}

/// Returns a copy of a message in memory of its own.
fn copied(frame: FrameView<'_>) -> Frame {
    let content = frame.content();
    let payload = frame.payload().map(|payload| {
        let bytes = Bytes::copy_from_slice(payload.bytes());
        Payload::new(bytes, payload.description(content).len())
    });
    Frame::new(Line::new(Bytes::copy_from_slice(content)), payload)
}

/// Returns the beginning of the arguments of a request, as JSON texts without the blanks between their
/// parts: those by position, and those by name if there are any.
fn shown(content: &[u8], envelope: &Envelope) -> String {
    // A character has four bytes at most.
    let beginning = |member| {
        let text = envelope.raw(content, member).unwrap_or_default();
        let text = compact(text, 4 * (MOST_SHOWN_ARGUMENTS + 1));
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut text = beginning(Member::Args);
    let named = beginning(Member::Kwargs);
    if !named.is_empty() && named != "{}" && named != "null" {
        text = if text.is_empty() || text == "[]" {
            named
        } else {
            format!("{text} {named}")
        };
    }
    if let Some((end, _)) = text.char_indices().nth(MOST_SHOWN_ARGUMENTS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Returns the first name that two arguments have. Those who decide would see one value, and the service
/// might take the other.
fn given_twice(content: &[u8], envelope: &Envelope) -> Option<String> {
    let kwargs = envelope.raw(content, Member::Kwargs)?;
    let (mut names, mut twice) = (HashSet::new(), None);
    // The line is well-formed.
    let _ = scan_object(kwargs, |name, _| {
        let name = name.decode().map_or_else(String::new, Cow::into_owned);
        if names.contains(&name) {
            twice = Some(name);
            return Err(JsonError::NotAnObject);
        }
        names.insert(name);
        Ok(())
    });
    twice
}

/// Returns the arguments with those names, which are texts. `None` if they are wrong.
fn bound<const COUNT: usize>(
    arguments: Option<Arguments>,
    names: [&str; COUNT],
) -> Option<[Option<String>; COUNT]> {
    let values = arguments?.bind(&names)?;
    let texts = values.into_iter().map(|value| match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    });
    texts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_is_given_twice_is_found() {
        let twice = |line: &str| {
            let envelope = Envelope::scan(line.as_bytes()).unwrap();
            given_twice(line.as_bytes(), &envelope)
        };
        assert_eq!(twice(r#"{"args":[1,1],"kwargs":{"x":2,"y":{"x":2}}}"#), None);
        assert_eq!(twice(r#"{"args":[]}"#), None);
        let line = r#"{"kwargs":{"power":1,"note":"ok","pow\u0065r":9}}"#;
        assert_eq!(twice(line).as_deref(), Some("power"));
    }

    #[test]
    fn those_who_decide_see_the_beginning_of_the_arguments() {
        let shown = |line: &str| {
            let envelope = Envelope::scan(line.as_bytes()).unwrap();
            shown(line.as_bytes(), &envelope)
        };
        assert_eq!(
            shown(r#"{"args":[1.50,"a"],"kwargs":{"x":2}}"#),
            r#"[1.50,"a"] {"x":2}"#
        );
        assert_eq!(shown(r#"{"args":[],"kwargs":{"x":2}}"#), r#"{"x":2}"#);
        assert_eq!(shown(r#"{"args":[5],"kwargs":null}"#), "[5]");
        assert_eq!(shown("{}"), "");
        let blanks = " ".repeat(1_000);
        assert_eq!(shown(&format!(r#"{{"args":[1{blanks},9]}}"#)), "[1,9]");
        for character in ["x", "ü", "€", "🔬"] {
            let line = format!(r#"{{"args":["{}"]}}"#, character.repeat(10_000));
            let text = shown(&line);
            assert_eq!(text.chars().count(), MOST_SHOWN_ARGUMENTS + 1, "{text}");
            assert!(text.ends_with('…'));
        }
    }
}
