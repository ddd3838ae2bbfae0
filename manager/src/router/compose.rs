//! How frames that go on are put together.

use bytes::{BufMut, BytesMut};
use labwire_wire::{Envelope, Line, Member, ReplyForm, frames};

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

/// Gives a peer a result that is not to be copied.
pub(super) fn push_result(to: &Sender<'_>, uid: &str, result: &bytes::Bytes) {
    let (head, tail) = frames::result_around(to.name, uid);
    // `Step::Wait` saw to room before; the registry's lock is held since.
    let _ = to.outbox.push(0, |frame| {
        frame.copied(&head);
        frame.shared(result);
        frame.copied(&tail);
    });
}

/// Passes a line on as it came.
pub(super) fn write_line(frame: &mut FrameWriter<'_>, line: &Line) {
    if let Some(bytes) = line.terminated() {
        frame.shared(bytes);
    } else {
        frame.part(line, 0..line.content().len());
        frame.copied(frames::TERMINATOR);
    }
}

/// Passes a reply on: as it came if a client can read it, else with what it lacks.
pub(super) fn write_reply(
    frame: &mut FrameWriter<'_>,
    from: &Sender<'_>,
    line: &Line,
    envelope: &Envelope,
    reply: &labwire_wire::Reply<'_>,
) {
    let raw = |member| envelope.raw(line.content(), member);
    match reply.form {
        ReplyForm::Complete => write_line(frame, line),
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
                .and_then(labwire_wire::as_string)
                .and_then(labwire_wire::RawString::decode);
            let message = message
                .as_deref()
                .unwrap_or("RuntimeError: the service gave no message");
            let traceback = raw(Member::Traceback)
                .filter(|value| value.starts_with(b"["))
                .unwrap_or(b"[]");
            frame.shared(&frames::error(message, &reply.requester, &reply.uid, traceback));
        }
        ReplyForm::Malformed => {
            let service = from.name.to_owned();
            let message = Refusal::MalformedReply { service }.to_string();
            frame.shared(&frames::error(&message, &reply.requester, &reply.uid, b"[]"));
        }
    }
}
