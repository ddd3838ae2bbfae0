//! Composes forwarded frames.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::buffers::Buffers;
use labwire_wire::{
    Envelope, FrameView, Line, Member, Payload, Plain, RawString, Reply, ReplyForm, Uid, as_string, frames,
    is_string_array,
};

use super::ENVELOPE_BYTES;
use crate::outbox::{COPIED_BYTES, FrameWriter, Outbox};

/// Composes the request that a typed line stands for. `args` and `kwargs` are JSON texts.
pub(super) fn request_line(service: &str, attribute: &str, args: &str, kwargs: &str) -> Line {
    compose_request(service, attribute, args, kwargs, b"}")
}

/// As [`request_line`], for a request of a person, who wants to see its progress.
pub(super) fn typed_request_line(service: &str, attribute: &str, args: &str, kwargs: &str) -> Line {
    compose_request(service, attribute, args, kwargs, b",\"progress\":true}")
}

fn compose_request(service: &str, attribute: &str, args: &str, kwargs: &str, end: &[u8]) -> Line {
    let mut text = BytesMut::with_capacity(ENVELOPE_BYTES + service.len() + args.len() + kwargs.len());
    text.put_slice(b"{\"args\":");
    text.put_slice(args.as_bytes());
    text.put_slice(b",\"attribute\":");
    frames::put_string(&mut text, attribute);
    text.put_slice(b",\"kwargs\":");
    text.put_slice(kwargs.as_bytes());
    text.put_slice(b",\"service\":");
    frames::put_string(&mut text, service);
    text.put_slice(end);
    Line::new(text.freeze())
}

/// The members of a request of an MSL-Network client.
const REQUEST: [Member; 6] = [
    Member::Args,
    Member::Attribute,
    Member::Error,
    Member::Kwargs,
    Member::Service,
    Member::Uid,
];

/// Forwards a request: the known members as the client wrote them, then `members` (those that only a
/// service with a feature receives), `end` (the member `requester` and the line end) and the
/// payload. Other members are left out, since they stop a Python service.
pub(super) fn write_request(
    writer: &mut FrameWriter<'_>,
    frame: FrameView<'_>,
    envelope: &Envelope,
    members: &[u8],
    end: &[u8],
) {
    let head = frame.head();
    if envelope.has_exactly(&REQUEST)
        && let [object @ .., b'}'] = head.content().trim_ascii_end()
    {
        // Only the requester is added and nothing left out: one copy instead of six.
        writer.part(head, 0..object.len());
        writer.copied(members);
        writer.copied(end);
        return writer.payload(frame);
    }
    let args = match frame.payload() {
        Some(payload) => {
            writer.copied(payload.description(head.content()));
            &b",\"args\":"[..]
        }
        None => b"{\"args\":",
    };
    let mut member = |key: &[u8], member, default: &[u8]| {
        writer.copied(key);
        match envelope.span(member) {
            Some(span) => writer.part(head, span),
            None => writer.copied(default),
        }
    };
    member(args, Member::Args, b"[]");
    member(b",\"attribute\":", Member::Attribute, b"\"\"");
    member(b",\"error\":false,\"kwargs\":", Member::Kwargs, b"{}");
    member(b",\"service\":", Member::Service, b"\"\"");
    member(b",\"uid\":", Member::Uid, b"\"\"");
    writer.copied(members);
    writer.copied(end);
    writer.payload(frame);
}

/// A notification for several queues.
pub(super) struct ForAll<'a> {
    head: Head<'a>,
    payload: Option<&'a Payload>,
    /// Whether the line looks as if buffers followed, and none do.
    is_guarded: bool,
}

enum Head<'a> {
    /// Each queue receives a copy of the content and the line end.
    Small(&'a [u8], &'a [u8]),
    /// All queues share one line, whose memory holds nothing else.
    Shared(Bytes),
}

impl<'a> ForAll<'a> {
    /// Prepares a notification. Lines of up to [`COPIED_BYTES`] are copied, as by
    /// [`FrameWriter::shared`].
    pub(super) fn of(frame: FrameView<'a>) -> Self {
        let line = frame.head();
        let (content, terminator) = (line.content(), line.terminator());
        let head = match (line.memory(), line.terminated()) {
            _ if content.len() <= COPIED_BYTES => Head::Small(content, terminator),
            (Some(memory), Some(_)) => Head::Shared(memory.clone()),
            _ => Head::Shared([content, terminator].concat().into()),
        };
        Self {
            head,
            payload: frame.payload(),
            is_guarded: needs_guard(frame),
        }
    }

    /// Returns the number of bytes that this queue receives. Returns `None` if its peer cannot
    /// receive the buffers.
    pub(super) fn length_for(&self, outbox: &Outbox) -> Option<usize> {
        match self.payload.map(Payload::plain) {
            Some(Plain::Line(line)) if !outbox.takes_buffers() => Some(line.len()),
            Some(_) if !outbox.takes_buffers() => None,
            _ => Some(self.len()),
        }
    }

    fn len(&self) -> usize {
        let head = match &self.head {
            Head::Small(content, terminator) => content.len() + terminator.len(),
            Head::Shared(line) => line.len(),
        };
        head + self.payload.map_or(0, Payload::len) + usize::from(self.is_guarded)
    }

    /// Writes the notification for the peer of that queue.
    pub(super) fn write(&self, outbox: &Outbox, writer: &mut FrameWriter<'_>) {
        if outbox.takes_buffers() {
            if self.is_guarded {
                return self.write_guarded(writer);
            }
        } else if let Some(Plain::Line(line)) = self.payload.map(Payload::plain) {
            return writer.shared(line);
        }
        match &self.head {
            Head::Small(content, terminator) => {
                writer.copied(content);
                writer.copied(terminator);
            }
            Head::Shared(line) => writer.shared(line),
        }
        if let Some(payload) = self.payload {
            writer.shared(payload.bytes());
        }
    }

    #[cold]
    fn write_guarded(&self, writer: &mut FrameWriter<'_>) {
        writer.copied(GUARD);
        match &self.head {
            Head::Small(content, terminator) => {
                writer.copied(&content[1..]);
                writer.copied(terminator);
            }
            Head::Shared(line) => writer.shared(&line.slice(1..)),
        }
    }
}

/// The beginning of a line that would otherwise look as if buffers followed.
const GUARD: &[u8] = b"{ ";

/// Returns whether the line, as it is, would look to a peer with the feature `binary` as if buffers
/// followed. It comes from a peer without the feature.
#[inline]
pub(super) fn needs_guard(frame: FrameView<'_>) -> bool {
    frame.payload().is_none() && Buffers::follow(frame.content())
}

/// Forwards a reply: unchanged if it is complete, otherwise with the missing members.
///
/// With `marked`, for clients with the feature `origin` or `leases`, an error is forwarded without
/// unknown members: only the manager may state an error's origin, or describe a lock.
pub(super) fn write_reply(
    writer: &mut FrameWriter<'_>,
    frame: FrameView<'_>,
    envelope: &Envelope,
    reply: &Reply<'_>,
    marked: bool,
    guarded: bool,
) {
    let head = frame.head();
    let raw = |member| envelope.raw(head.content(), member);
    match reply.form {
        ReplyForm::Complete if marked && raw(Member::Error) == Some(b"true") => {
            write_error(writer, frame, envelope, reply);
        }
        ReplyForm::Complete if !reply.uid.is_number() && !guarded => {
            writer.line(head);
            writer.payload(frame);
        }
        ReplyForm::Complete => {
            write_with_uid(writer, frame, envelope, &reply.uid, guarded);
        }
        ReplyForm::ResultOnly => {
            let (before, behind) = frames::result_around(reply.requester.as_str(), &reply.uid);
            match frame.payload() {
                Some(payload) => {
                    writer.copied(payload.description(head.content()));
                    writer.copied(b",");
                    writer.copied(&before[1..]);
                }
                None => writer.copied(&before),
            }
            if let Some(span) = envelope.span(Member::Result) {
                writer.part(head, span);
            }
            writer.copied(&behind);
            writer.payload(frame);
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
            writer.shared(&frames::error(
                message,
                reply.requester.as_str(),
                &reply.uid,
                traceback,
            ));
        }
    }
}

/// Forwards a complete reply whose uid is a number, written as the client wrote it: the service may
/// write the same number differently.
#[cold]
fn write_with_uid(
    writer: &mut FrameWriter<'_>,
    frame: FrameView<'_>,
    envelope: &Envelope,
    uid: &Uid<'_>,
    guarded: bool,
) {
    let head = frame.head();
    let content = head.content();
    let mut start = 0;
    if guarded {
        writer.copied(GUARD);
        start = 1;
    }
    match envelope.span(Member::Uid) {
        Some(span) if uid.is_number() => {
            writer.part(head, start..span.start);
            writer.copied(uid.to_json().as_bytes());
            writer.part(head, span.end..content.len());
        }
        _ => writer.part(head, start..content.len()),
    }
    writer.copied(head.terminator());
    writer.payload(frame);
}

/// Forwards a complete error: the known members as the service wrote them.
fn write_error(writer: &mut FrameWriter<'_>, frame: FrameView<'_>, envelope: &Envelope, reply: &Reply<'_>) {
    if let Some(payload) = frame.payload() {
        writer.copied(payload.description(frame.content()));
    }
    let error = match frame.payload() {
        Some(_) => &b",\"error\":true,\"message\":"[..],
        None => b"{\"error\":true,\"message\":",
    };
    let members = [
        (error, Member::Message),
        (b",\"requester\":", Member::Requester),
        (b",\"result\":", Member::Result),
        (b",\"traceback\":", Member::Traceback),
    ];
    let head = frame.head();
    for (key, member) in members {
        writer.copied(key);
        match envelope.span(member) {
            Some(span) => writer.part(head, span),
            None => writer.copied(b"null"),
        }
    }
    writer.copied(b",\"uid\":");
    match envelope.span(Member::Uid) {
        Some(span) if !reply.uid.is_number() => writer.part(head, span),
        _ => writer.copied(reply.uid.to_json().as_bytes()),
    }
    writer.copied(b"}\r\n");
    writer.payload(frame);
}
