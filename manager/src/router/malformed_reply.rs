//! Malformed replies.
//!
//! The caller receives an error as soon as it is identified: from the names that can be read, or
//! because the service holds only one request. The service receives no error then. A service that
//! took the error for a request would answer it, and each of its later answers would be taken for
//! the one to the request before.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::{
    Envelope, EnvelopeError, JsonError, Member, NOTIFICATION_UID, Names, Reply, Text, Uid, as_string, frames,
    is_string_array, quoted,
};
use tracing::warn;

use super::incoming::Unframed;
use super::{Router, Sender, Step};
use crate::counters::Counters;
use crate::outbox::FrameWriter;
use crate::refusal::{Refusal, excerpt};
use crate::registry::{Answered, Awaited};

/// A malformed reply: its error, and its readable parts.
pub(super) struct MalformedReply<'a> {
    error: EnvelopeError,
    /// Whether it is not JSON.
    is_text: bool,
    /// The names in it: several if it is several replies.
    frames: Cow<'a, [Names]>,
    report: Option<Report<'a>>,
}

/// An error that a service reports without its requester: the JSON text of its message and of its
/// traceback.
struct Report<'a> {
    message: &'a [u8],
    traceback: &'a [u8],
}

impl<'a> MalformedReply<'a> {
    /// A frame in which a name is missing or has a wrong type.
    pub(super) fn in_frame(content: &'a [u8], envelope: &Envelope, error: EnvelopeError) -> Self {
        let is_error = envelope.raw(content, Member::Error) == Some(b"true");
        let message = envelope
            .raw(content, Member::Message)
            .filter(|message| is_error && as_string(message).is_some());
        let traceback = envelope
            .raw(content, Member::Traceback)
            .filter(|traceback| is_string_array(traceback));
        Self {
            error,
            is_text: false,
            frames: vec![envelope.names(content)].into(),
            report: message.map(|message| Report {
                message,
                traceback: traceback.unwrap_or(b"[]"),
            }),
        }
    }

    /// A reply whose uid has another type than that of the request.
    pub(super) fn with_wrong_uid(reply: &Reply<'_>, uid: Uid<'static>) -> Self {
        let expected = if uid.is_number() {
            "a number, as in the request"
        } else {
            "a string, as in the request"
        };
        let names = Names {
            requester: Some(reply.requester.as_str().to_owned()),
            uid: Some(uid),
            asks: false,
            is_partial: false,
        };
        Self {
            error: EnvelopeError::WrongType {
                member: Member::Uid,
                expected,
            },
            is_text: false,
            frames: vec![names].into(),
            report: None,
        }
    }

    /// A line that is not a frame.
    pub(super) fn unframed(unframed: &'a Unframed, is_text: bool) -> Self {
        let frames = match unframed.salvage.frames() {
            [] => vec![Names::default()].into(),
            frames => frames.into(),
        };
        Self {
            error: unframed.error,
            is_text,
            frames,
            report: None,
        }
    }

    /// Returns whether all names are known, so that it can be for no other client.
    fn names_all(&self) -> bool {
        self.frames
            .iter()
            .all(|names| names.requester.is_some() && names.uid.is_some())
    }

    fn is_notification(&self) -> bool {
        let uid = |names: &Names| names.uid.as_ref().is_some_and(|uid| *uid == *NOTIFICATION_UID);
        self.frames.iter().any(uid)
    }

    /// Returns the error and its position, for the log.
    fn reason(&self, length: usize) -> String {
        if let Some(Report { message, .. }) = &self.report
            && let Some(message) = as_string(message).and_then(labwire_wire::RawString::decode)
        {
            return format!(
                "it does not say whose request failed with {}",
                quoted(excerpt(&message))
            );
        }
        match self.error.position(length) {
            Some(position) => format!("byte {position} of {length}: {}", self.error),
            None => self.error.to_string(),
        }
    }
}

impl Router<'_> {
    /// Sends an error to the callers that a malformed reply of `length` bytes is for. If they
    /// cannot be determined, logs it.
    #[cold]
    pub(super) fn route_malformed_reply(
        &mut self,
        from: &Sender<'_>,
        malformed: &MalformedReply<'_>,
        length: usize,
    ) -> Step {
        let (mut is_known, mut is_late) = (false, false);
        if !malformed.is_notification() {
            for names in &*malformed.frames {
                let Some(awaited) = self.registry.identify(from.id, names) else {
                    is_late |= self.take_late(from, names);
                    continue;
                };
                let frame = error_for(&awaited, malformed, self.nesting);
                let (client, outbox) = (awaited.client_id(), awaited.outbox);
                let write = |writer: &mut FrameWriter<'_>| writer.shared(&frame);
                if let Err(waiting) = self.permits.push_reply(client, outbox, frame.len(), write) {
                    return Step::Wait(waiting);
                }
                if from.log_limit.allows(from.name) {
                    let reason = malformed.reason(length);
                    warn!(
                        "{} sent {} a malformed reply: {reason}",
                        from.name, awaited.requester
                    );
                }
                let uid = awaited.uid().into_owned();
                awaited.end(Answered {
                    now: self.now,
                    bytes: length,
                    is_error: true,
                });
                if names.is_partial {
                    self.registry.note_owed(client, from.id, uid.as_bytes());
                    self.end_same(from, client, &uid, &frame);
                }
                is_known = true;
            }
        }
        if is_known {
            Counters::count(&self.counters.malformed_replies);
        }
        if is_known || is_late {
            Counters::count(&self.counters.malformed);
            return Step::Next;
        }
        if malformed.names_all() {
            return self.drop_unsolicited(from);
        }
        self.note_unattributed_reply(from, malformed, length)
    }

    /// Takes the note of a request that has ended before its reply, if a reply with these names is for
    /// it: its uid can be used again. Returns whether there was one.
    pub(super) fn take_late(&mut self, from: &Sender<'_>, names: &Names) -> bool {
        if names.is_partial {
            return false;
        }
        let Some((requester, uid)) = self.registry.find_owed(from.id, names) else {
            return false;
        };
        let requester = Text::from(Cow::from(requester.as_str()));
        let is_late = self.registry.take_owed(from.id, &requester, &uid);
        if is_late {
            Counters::count(&self.counters.late_replies);
        }
        is_late
    }

    /// Logs a malformed reply whose caller is unknown. If the service holds no requests, it
    /// receives an error, once.
    fn note_unattributed_reply(
        &mut self,
        from: &Sender<'_>,
        malformed: &MalformedReply<'_>,
        length: usize,
    ) -> Step {
        let refusal = if malformed.is_text {
            Refusal::ServiceTypes
        } else {
            self.broken(malformed.error)
        };
        let service = self.registry.service(from.id);
        let may_be_told = service.is_some_and(|service| !service.was_told && !service.holds_requests());
        let is_told = may_be_told && malformed.report.is_none();
        if is_told {
            if let Err(wait) = self.own_room(from) {
                return wait;
            }
            if let Some(service) = self.registry.service_mut(from.id) {
                service.was_told = true;
            }
        }
        if from.log_limit.allows(from.name) {
            let reason = malformed.reason(length);
            warn!(
                "{} sent a malformed reply, and nothing tells for whom: {reason}",
                from.name
            );
        }
        self.counters.count_limit(&refusal);
        Counters::count(&self.counters.malformed);
        Counters::count(&self.counters.unattributed_replies);
        if is_told {
            from.refuse(&Uid::EMPTY, &refusal);
        }
        Step::Next
    }
}

/// Returns the error that a caller receives instead of the reply.
fn error_for(awaited: &Awaited<'_>, malformed: &MalformedReply<'_>, nesting: usize) -> Bytes {
    let (requester, uid) = (&**awaited.requester, awaited.uid());
    if let Some(Report { message, traceback }) = malformed.report {
        let mut frame =
            BytesMut::with_capacity(128 + requester.len() + uid.len() + message.len() + traceback.len());
        frame.put_slice(b"{\"error\":true,\"message\":");
        frame.put_slice(message);
        frame.put_slice(b",\"requester\":");
        frames::put_string(&mut frame, requester);
        frame.put_slice(b",\"result\":null,\"traceback\":");
        frame.put_slice(traceback);
        frame.put_slice(b",\"uid\":");
        frame.put_slice(uid.to_json().as_bytes());
        frame.put_slice(b"}\r\n");
        return frame.freeze();
    }
    let service = awaited.service_name.to_string();
    let refusal = match malformed.error {
        EnvelopeError::Json(JsonError::TooDeep) => Refusal::ReplyTooDeep {
            service,
            limit: nesting,
        },
        _ => Refusal::MalformedReply { service },
    };
    refusal.frame(requester, &uid, awaited.features)
}

#[cfg(test)]
mod tests;
