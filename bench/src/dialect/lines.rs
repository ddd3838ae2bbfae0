//! Labwire's lines of JSON, in the form of MSL-Network's own peers.

use anyhow::bail;
use memchr::{memchr, memmem, memrchr};

use super::{Asked, Progress, Role, after, put_number, unexpected};

/// Upper bound of a message without its payload, in bytes, so that its memory is allocated at once.
pub(super) const ENVELOPE: usize = 256;

pub(super) fn message_length(received: &[u8], searched: &mut usize) -> Option<usize> {
    let found = memchr(b'\n', &received[*searched..]);
    let length = found.map(|offset| *searched + offset + 1);
    *searched = received.len();
    length
}

/// Answers a message of the handshake; `features` is a member of the identity.
pub(super) fn introduce(
    role: Role,
    features: &str,
    message: &[u8],
    output: &mut Vec<u8>,
) -> anyhow::Result<Progress> {
    if memmem::find(message, b"\"identity\"").is_some() && memmem::find(message, b"\"requester\"").is_some() {
        let identity = match role {
            Role::Service(number) => format!(
                "{{\"type\": \"service\", \"name\": \"echo{number}\", \"attributes\": {{\"echo\": \"(x) -> any\"}}, \
                 \"language\": \"Rust\", \"os\": \"bench\"{features}}}"
            ),
            Role::Client { number, .. } => format!(
                "{{\"type\": \"client\", \"name\": \"bench{number}\", \"language\": \"Rust\", \
                 \"os\": \"bench\"{features}}}"
            ),
        };
        output.extend_from_slice(format!("{{\"result\": {identity}, \"error\": false}}\r\n").as_bytes());
        return Ok(match role {
            Role::Service(_) => Progress::Ready,
            Role::Client { service, .. } => {
                ask_manager("link", service, "link", output);
                Progress::Going
            }
        });
    }
    let Role::Client { service, .. } = role else {
        bail!(unexpected(message));
    };
    if memmem::find(message, b"does not exist").is_some() {
        // The service has sent its identity, but the manager has not read it yet.
        ask_manager("link", service, "link", output);
        return Ok(Progress::Going);
    }
    if memmem::find(message, b"\"error\":true")
        .or_else(|| memmem::find(message, b"\"error\": true"))
        .is_some()
    {
        bail!(unexpected(message));
    }
    Ok(Progress::Ready)
}

/// Appends a request to the manager about a service.
pub(super) fn ask_manager(attribute: &str, service: usize, uid: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(manager_request(attribute, service, uid).as_bytes());
}

/// Returns a request to the manager about a service.
pub(super) fn manager_request(attribute: &str, service: usize, uid: &str) -> String {
    format!(
        "{{\"args\": [\"echo{service}\"], \"attribute\": \"{attribute}\", \"error\": false, \"kwargs\": {{}}, \
         \"service\": \"Manager\", \"uid\": \"{uid}\"}}\r\n"
    )
}

pub(super) fn request(
    output: &mut Vec<u8>,
    service: usize,
    mark: &[u8],
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    output.reserve(length + ENVELOPE);
    output.extend_from_slice(b"{\"args\": [");
    payload(output);
    output.extend_from_slice(
        b"], \"attribute\": \"echo\", \"error\": false, \"kwargs\": {}, \"service\": \"echo",
    );
    put_number(output, service);
    output.extend_from_slice(b"\", \"uid\": \"");
    output.extend_from_slice(mark);
    output.extend_from_slice(b"\"}\r\n");
}

pub(super) fn asked(message: &[u8], length: usize, is_relayed: bool) -> anyhow::Result<Asked<'_>> {
    // The generator writes `args` first, and most brokers keep that order.
    let args = match message.strip_prefix(b"{\"args\": ") {
        Some(args) => args,
        None => after(message, b"\"args\":")?.trim_ascii_start(),
    };
    let Some((payload, rest)) = args
        .strip_prefix(b"[")
        .and_then(|args| args.split_at_checked(length))
    else {
        bail!(unexpected(message));
    };
    // A relay adds no requester, and its only client needs none.
    let requester = if is_relayed { b"" } else { requester(rest) };
    Ok(Asked { requester, payload })
}

fn requester(message: &[u8]) -> &[u8] {
    const KEY: &[u8] = b"\"requester\":";
    let find = || {
        let value = after(message, KEY).ok()?;
        let value = value.trim_ascii_start().strip_prefix(b"\"")?;
        Some(&value[..memchr(b'"', value)?])
    };
    last_text(message, KEY).or_else(find).unwrap_or_default()
}

/// Returns the value of a message's last member, if it is a text and has this key.
fn last_text<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let value = message.trim_ascii_end().strip_suffix(b"\"}")?;
    let quote = memrchr(b'"', value)?;
    let is_it = value[..quote].trim_ascii_end().ends_with(key);
    is_it.then(|| &value[quote + 1..])
}

/// The beginning of a reply, up to the name of its requester.
const REPLY: &[u8] = b"{\"error\": false, \"requester\": \"";

pub(super) fn reply(output: &mut Vec<u8>, asked: &Asked<'_>, mark: &[u8]) {
    output.reserve(asked.payload.len() + asked.requester.len() + ENVELOPE);
    output.extend_from_slice(REPLY);
    output.extend_from_slice(asked.requester);
    output.extend_from_slice(b"\", \"result\": ");
    output.extend_from_slice(asked.payload);
    output.extend_from_slice(b", \"uid\": \"");
    output.extend_from_slice(mark);
    output.extend_from_slice(b"\"}\r\n");
}

pub(super) fn replied(message: &[u8], length: usize) -> anyhow::Result<&[u8]> {
    let result = match result_as_written(message) {
        Some(result) => result,
        None => after(message, b"\"result\":")?.trim_ascii_start(),
    };
    let Some((payload, rest)) = result.split_at_checked(length) else {
        bail!(unexpected(message));
    };
    // The uid is the mark at the beginning of the payload, after its quote or bracket.
    let mark = &payload[1..=crate::payload::MARK];
    if last_text(rest, b"\"uid\":") != Some(mark) && memmem::find(rest, mark).is_none() {
        bail!(unexpected(message));
    }
    Ok(payload)
}

/// Returns the bytes after the key `result` in a reply as the generator's services write it; most
/// brokers forward it unchanged.
fn result_as_written(message: &[u8]) -> Option<&[u8]> {
    let requester = message.strip_prefix(REPLY)?;
    requester[memchr(b'"', requester)?..].strip_prefix(b"\", \"result\": ")
}

pub(super) fn notify(output: &mut Vec<u8>, service: usize, payload: impl FnOnce(&mut Vec<u8>)) {
    output.extend_from_slice(b"{\"error\": false, \"result\": [[");
    payload(output);
    output.extend_from_slice(b"], {}], \"service\": \"echo");
    put_number(output, service);
    output.extend_from_slice(b"\", \"uid\": \"notification\"}\r\n");
}

pub(super) fn notified(message: &[u8], length: usize) -> anyhow::Result<&[u8]> {
    let result = after(message, b"\"result\":")?;
    let payload = after(result, b"[[")?;
    payload
        .get(..length)
        .ok_or_else(|| anyhow::anyhow!(unexpected(message)))
}
