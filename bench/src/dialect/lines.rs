//! Labwire's lines of JSON, written as MSL-Network's own peers write them.

use anyhow::bail;
use memchr::{memchr, memmem};

use super::{Asked, Progress, Role, after, unexpected};

pub(super) fn message_length(received: &[u8], searched: &mut usize) -> Option<usize> {
    let found = memchr(b'\n', &received[*searched..]);
    let length = found.map(|offset| *searched + offset + 1);
    *searched = received.len();
    length
}

pub(super) fn introduce(role: Role, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<Progress> {
    if memmem::find(message, b"\"identity\"").is_some() && memmem::find(message, b"\"requester\"").is_some() {
        let identity = match role {
            Role::Service(number) => format!(
                "{{\"type\": \"service\", \"name\": \"echo{number}\", \"attributes\": {{\"echo\": \"(x) -> any\"}}, \
                 \"language\": \"Rust\", \"os\": \"bench\"}}"
            ),
            Role::Client { number, .. } => format!(
                "{{\"type\": \"client\", \"name\": \"bench{number}\", \"language\": \"Rust\", \"os\": \"bench\"}}"
            ),
        };
        output.extend_from_slice(format!("{{\"result\": {identity}, \"error\": false}}\r\n").as_bytes());
        return Ok(match role {
            Role::Service(_) => Progress::Ready,
            Role::Client { service, .. } => {
                link(service, output);
                Progress::Going
            }
        });
    }
    let Role::Client { service, .. } = role else {
        bail!(unexpected(message));
    };
    if memmem::find(message, b"does not exist").is_some() {
        // The service has said who it is, but the manager has not read it yet.
        link(service, output);
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

fn link(service: usize, output: &mut Vec<u8>) {
    let request = format!(
        "{{\"args\": [\"echo{service}\"], \"attribute\": \"link\", \"error\": false, \"kwargs\": {{}}, \
         \"service\": \"Manager\", \"uid\": \"link\"}}\r\n"
    );
    output.extend_from_slice(request.as_bytes());
}

pub(super) fn request(output: &mut Vec<u8>, service: usize, mark: &[u8], payload: impl FnOnce(&mut Vec<u8>)) {
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

pub(super) fn asked(message: &[u8], length: usize) -> anyhow::Result<Asked<'_>> {
    let args = after(message, b"\"args\":")?.trim_ascii_start();
    let Some((payload, rest)) = args
        .strip_prefix(b"[")
        .and_then(|args| args.split_at_checked(length))
    else {
        bail!(unexpected(message));
    };
    // A relay adds no requester, and its only client needs none.
    let requester = memmem::find(rest, b"\"requester\":").map_or(&b""[..], |at| {
        let value = rest[at + 12..]
            .trim_ascii_start()
            .strip_prefix(b"\"")
            .unwrap_or_default();
        &value[..memchr(b'"', value).unwrap_or_default()]
    });
    Ok(Asked { requester, payload })
}

pub(super) fn reply(output: &mut Vec<u8>, asked: &Asked<'_>, mark: &[u8]) {
    output.extend_from_slice(b"{\"error\": false, \"requester\": \"");
    output.extend_from_slice(asked.requester);
    output.extend_from_slice(b"\", \"result\": ");
    output.extend_from_slice(asked.payload);
    output.extend_from_slice(b", \"uid\": \"");
    output.extend_from_slice(mark);
    output.extend_from_slice(b"\"}\r\n");
}

pub(super) fn replied(message: &[u8], length: usize) -> anyhow::Result<&[u8]> {
    let result = after(message, b"\"result\":")?.trim_ascii_start();
    match result.split_at_checked(length) {
        // The uid is the mark that the payload begins with, behind its quote or bracket.
        Some((payload, rest)) if memmem::find(rest, &payload[1..=crate::payload::MARK]).is_some() => {
            Ok(payload)
        }
        _ => bail!(unexpected(message)),
    }
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

fn put_number(output: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => output.push(b'0' + digit),
        _ => output.extend_from_slice(number.to_string().as_bytes()),
    }
}
