//! How frames that go on are put together.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::{Envelope, Line, Member, RawString, Reply, ReplyForm, as_string, frames, is_string_array};

use super::{ENVELOPE_BYTES, Sender};
use crate::outbox::FrameWriter;
use crate::refusal::Refusal;

/// The request that a line typed at a terminal stands for.
pub(super) fn request_line(service: &str, attribute: &str, args: &str, kwargs: &str) -> Line {
    let mut text = BytesMut::with_capacity(ENVELOPE_BYTES + service.len() + args.len() + kwargs.len());
    text.put_slice(b"{\"args\":");
    text.put_slice(args.as_bytes());
    text.put_slice(b",\"attribute\":");
    frames::put_string(&mut text, attribute);
    text.put_slice(b",\"kwargs\":");
    text.put_slice(kwargs.as_bytes());
    text.put_slice(b",\"service\":");
    frames::put_string(&mut text, service);
    text.put_slice(b"}");
    Line::new(text.freeze())
}

/// Passes a request on: the known members as the client wrote them, with the manager's own word on who asks.
/// Members that nobody knows are left out, since they stop a Python service.
pub(super) fn write_request(frame: &mut FrameWriter<'_>, line: &Line, envelope: &Envelope, requester: &str) {
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
    frame.copied(requester.as_bytes());
    frame.copied(b"}\r\n");
}

/// Gives a peer a result that is not to be copied.
pub(super) fn push_result(to: &Sender<'_>, uid: &str, result: &Bytes) {
    let (head, tail) = frames::result_around(to.name, uid);
    to.outbox.push_always(|frame| {
        frame.copied(&head);
        frame.shared(result);
        frame.copied(&tail);
    });
}

/// A line with its terminator, for several queues: it keeps no memory but its own.
pub(super) fn whole_line(line: &Line) -> Bytes {
    match line.terminated() {
        Some(bytes) if line.owns_memory() => bytes.clone(),
        Some(bytes) => Bytes::copy_from_slice(bytes),
        None => [line.content(), frames::TERMINATOR].concat().into(),
    }
}

/// Passes a reply on: as it came if a client can read it, else with what it lacks.
///
/// With `origin`, which is for clients that asked for the feature, an error goes on without members that nobody
/// knows: what they say of an error's origin is the manager's word alone.
pub(super) fn write_reply(
    frame: &mut FrameWriter<'_>,
    service: &str,
    line: &Line,
    envelope: &Envelope,
    reply: &Reply<'_>,
    origin: bool,
) {
    let raw = |member| envelope.raw(line.content(), member);
    match reply.form {
        ReplyForm::Complete if origin && raw(Member::Error) == Some(b"true") => {
            write_error(frame, line, envelope);
        }
        ReplyForm::Complete => {
            frame.part(line, 0..line.content().len());
            frame.copied(line.terminator());
        }
        ReplyForm::ResultOnly => {
            let (head, tail) = frames::result_around(&reply.requester, &reply.uid);
            frame.copied(&head);
            if let Some(span) = envelope.span(Member::Result) {
                frame.part(line, span);
            }
            frame.copied(&tail);
        }
        ReplyForm::PartialError => {
            let message = raw(Member::Message)
                .and_then(as_string)
                .and_then(RawString::decode);
            let message = message
                .as_deref()
                .unwrap_or("RuntimeError: the service gave no message");
            let traceback = raw(Member::Traceback)
                .filter(|value| is_string_array(value))
                .unwrap_or(b"[]");
            frame.shared(&frames::error(message, &reply.requester, &reply.uid, traceback));
        }
        ReplyForm::Malformed => {
            let refusal = Refusal::MalformedReply {
                service: service.to_owned(),
            };
            frame.shared(&refusal.frame(&reply.requester, &reply.uid, origin));
        }
    }
}

/// Passes a complete error on: the known members as the service wrote them.
fn write_error(frame: &mut FrameWriter<'_>, line: &Line, envelope: &Envelope) {
    let members = [
        (&b"{\"error\":true,\"message\":"[..], Member::Message),
        (b",\"requester\":", Member::Requester),
        (b",\"result\":", Member::Result),
        (b",\"traceback\":", Member::Traceback),
        (b",\"uid\":", Member::Uid),
    ];
    for (key, member) in members {
        frame.copied(key);
        match envelope.span(member) {
            Some(span) => frame.part(line, span),
            None => frame.copied(b"null"),
        }
    }
    frame.copied(b"}\r\n");
}
