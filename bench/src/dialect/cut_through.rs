//! Labwire's lines with their payload last, between peers with the feature cut-through.

use anyhow::bail;
use memchr::{memchr, memmem};

use super::lines::{self, ENVELOPE};
use super::{Asked, Progress, Role, after, put_number, unexpected};

/// The member of a peer's identity that requests the feature.
const FEATURES: &str = ", \"features\": [\"cut-through\"]";

pub(super) fn introduce(role: Role, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<Progress> {
    let progress = lines::introduce(role, FEATURES, message, output)?;
    let Role::Client { service, .. } = role else {
        return Ok(progress);
    };
    if progress == Progress::Going || memmem::find(message, b"\"uid\":\"lock\"").is_some() {
        return Ok(progress);
    }
    // A service gets lines while they arrive only if no other client can call it.
    lines::ask_manager("acquire_lock", service, "lock", output);
    Ok(Progress::Going)
}

pub(super) fn request(
    output: &mut Vec<u8>,
    service: usize,
    mark: &[u8],
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    output.reserve(length + ENVELOPE);
    output.extend_from_slice(b"{\"attribute\": \"echo\", \"error\": false, \"service\": \"echo");
    put_number(output, service);
    output.extend_from_slice(b"\", \"uid\": \"");
    output.extend_from_slice(mark);
    output.extend_from_slice(b"\", \"kwargs\": {}, \"args\": [");
    payload(output);
    output.extend_from_slice(b"]}\r\n");
}

pub(super) fn asked(message: &[u8], length: usize) -> anyhow::Result<Asked<'_>> {
    let Some(at) = memmem::find(message, b"\"args\":") else {
        bail!(unexpected(message));
    };
    let (head, args) = message.split_at(at + 7);
    let Some((payload, rest)) = args
        .trim_ascii_start()
        .strip_prefix(b"[")
        .and_then(|args| args.split_at_checked(length))
    else {
        bail!(unexpected(message));
    };
    // It comes before the payload if the line was forwarded while it arrived.
    let requester = after(head, b"\"requester\":").or_else(|_| after(rest, b"\"requester\":"))?;
    let requester = requester
        .trim_ascii_start()
        .strip_prefix(b"\"")
        .unwrap_or_default();
    Ok(Asked {
        requester: &requester[..memchr(b'"', requester).unwrap_or_default()],
        payload,
    })
}

pub(super) fn reply(output: &mut Vec<u8>, asked: &Asked<'_>, mark: &[u8]) {
    output.reserve(asked.payload.len() + asked.requester.len() + ENVELOPE);
    output.extend_from_slice(b"{\"error\": false, \"requester\": \"");
    output.extend_from_slice(asked.requester);
    output.extend_from_slice(b"\", \"uid\": \"");
    output.extend_from_slice(mark);
    output.extend_from_slice(b"\", \"result\": ");
    output.extend_from_slice(asked.payload);
    output.extend_from_slice(b"}\r\n");
}

pub(super) fn replied(message: &[u8], length: usize) -> anyhow::Result<&[u8]> {
    let Some(at) = memmem::find(message, b"\"result\":") else {
        bail!(unexpected(message));
    };
    let (head, result) = message.split_at(at + 9);
    match result.trim_ascii_start().split_at_checked(length) {
        // The uid is the mark at the beginning of the payload, after its quote or bracket.
        Some((payload, rest))
            if rest == b"}\r\n" && memmem::find(head, &payload[1..=crate::payload::MARK]).is_some() =>
        {
            Ok(payload)
        }
        _ => bail!(unexpected(message)),
    }
}
