//! How frames that go on are put together.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::{
    Envelope, Line, LineView, Member, RawString, Reply, ReplyForm, Uid, as_string, frames, is_string_array,
};

use super::ENVELOPE_BYTES;
use crate::outbox::{COPIED_BYTES, FrameWriter};

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

/// The members that every client of MSL-Network gives a request.
const REQUEST: [Member; 6] = [
    Member::Args,
    Member::Attribute,
    Member::Error,
    Member::Kwargs,
    Member::Service,
    Member::Uid,
];

/// Passes a request on: the known members as the client wrote them, with the manager's own word on who asks, which is
/// `end`.
/// Members that nobody knows are left out, since they stop a Python service.
pub(super) fn write_request(
    frame: &mut FrameWriter<'_>,
    line: LineView<'_>,
    envelope: &Envelope,
    end: &[u8],
) {
    if envelope.has_exactly(&REQUEST)
        && let [object @ .., b'}'] = line.content().trim_ascii_end()
    {
        // Nothing is to be left out or added but the requester: one copy instead of six.
        frame.part(line, 0..object.len());
        return frame.copied(end);
    }
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
    frame.copied(end);
}

/// A notification for several queues.
pub(super) enum ForAll<'a> {
    /// Each queue gets a copy.
    Small(&'a [u8], &'a [u8]),
    /// All queues share one, which keeps no memory but its own.
    Shared(Bytes),
}

impl<'a> ForAll<'a> {
    /// Lines of up to this many bytes are copied: as for [`FrameWriter::shared`].
    pub(super) fn of(line: LineView<'a>) -> Self {
        let (content, terminator) = (line.content(), line.terminator());
        match (line.memory(), line.terminated()) {
            _ if content.len() <= COPIED_BYTES => Self::Small(content, terminator),
            (Some(memory), Some(_)) => Self::Shared(memory.clone()),
            _ => Self::Shared([content, terminator].concat().into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(content, terminator) => content.len() + terminator.len(),
            Self::Shared(line) => line.len(),
        }
    }

    pub(super) fn write(&self, frame: &mut FrameWriter<'_>) {
        match self {
            Self::Small(content, terminator) => {
                frame.copied(content);
                frame.copied(terminator);
            }
            Self::Shared(line) => frame.shared(line),
        }
    }
}

/// Passes a reply on: as it came if a client can read it, else with what it lacks.
///
/// With `origin`, which is for clients that asked for the feature, an error goes on without members that nobody
/// knows: what they say of an error's origin is the manager's word alone.
pub(super) fn write_reply(
    frame: &mut FrameWriter<'_>,
    line: LineView<'_>,
    envelope: &Envelope,
    reply: &Reply<'_>,
    origin: bool,
) {
    let raw = |member| envelope.raw(line.content(), member);
    match reply.form {
        ReplyForm::Complete if origin && raw(Member::Error) == Some(b"true") => {
            write_error(frame, line, envelope, reply);
        }
        ReplyForm::Complete if !reply.uid.is_number() => {
            frame.line(line);
        }
        ReplyForm::Complete => {
            write_with_uid(frame, line, envelope, &reply.uid);
        }
        ReplyForm::ResultOnly => {
            let (head, tail) = frames::result_around(reply.requester.as_str(), &reply.uid);
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
            frame.shared(&frames::error(
                message,
                reply.requester.as_str(),
                &reply.uid,
                traceback,
            ));
        }
    }
}

/// Passes a complete reply on with the number as its uid that its client wrote: the service may write it in another way.
#[cold]
fn write_with_uid(frame: &mut FrameWriter<'_>, line: LineView<'_>, envelope: &Envelope, uid: &Uid<'_>) {
    let content = line.content();
    let Some(span) = envelope.span(Member::Uid) else {
        return frame.line(line);
    };
    let end = span.end;
    frame.part(line, 0..span.start);
    frame.copied(uid.to_json().as_bytes());
    frame.part(line, end..content.len());
    frame.copied(line.terminator());
}

/// Passes a complete error on: the known members as the service wrote them.
fn write_error(frame: &mut FrameWriter<'_>, line: LineView<'_>, envelope: &Envelope, reply: &Reply<'_>) {
    let members = [
        (&b"{\"error\":true,\"message\":"[..], Member::Message),
        (b",\"requester\":", Member::Requester),
        (b",\"result\":", Member::Result),
        (b",\"traceback\":", Member::Traceback),
    ];
    for (key, member) in members {
        frame.copied(key);
        match envelope.span(member) {
            Some(span) => frame.part(line, span),
            None => frame.copied(b"null"),
        }
    }
    frame.copied(b",\"uid\":");
    match envelope.span(Member::Uid) {
        Some(span) if !reply.uid.is_number() => frame.part(line, span),
        _ => frame.copied(reply.uid.to_json().as_bytes()),
    }
    frame.copied(b"}\r\n");
}
