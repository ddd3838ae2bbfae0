//! NATS: a service listens to a subject of its own, and each client to an inbox of its own, in
//! which each reply has its own subject, as in NATS' clients.

use anyhow::{Context as _, bail};
use memchr::memchr;

use super::{Asked, Progress, Role, put_number, unexpected};

/// Returns the first line, and the length of the whole message.
fn split(received: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', received)? + 1;
    let line = received[..end].trim_ascii_end();
    let payload = if line.starts_with(b"MSG ") {
        let length = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(length).ok()?.parse::<usize>().ok()? + 2
    } else {
        0
    };
    Some((line, end + payload))
}

pub(super) fn message_length(received: &[u8]) -> Option<usize> {
    let (_, length) = split(received)?;
    (length <= received.len()).then_some(length)
}

pub(super) fn greet(role: Role, output: &mut Vec<u8>) {
    output.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\n");
    let subscriptions = match role {
        Role::Service(number) => format!("SUB echo{number} 1\r\n"),
        Role::Client { number, service } => format!("SUB inbox{number}.* 1\r\nSUB news{service} 2\r\n"),
    };
    output.extend_from_slice(subscriptions.as_bytes());
    output.extend_from_slice(b"PING\r\n");
}

pub(super) fn introduce(message: &[u8]) -> anyhow::Result<Progress> {
    if message.starts_with(b"INFO ") {
        return Ok(Progress::Going);
    }
    if message.starts_with(b"PONG") {
        return Ok(Progress::Ready);
    }
    bail!(unexpected(message))
}

fn put_length(output: &mut Vec<u8>, length: usize) {
    put_number(output, length);
    output.extend_from_slice(b"\r\n");
}

pub(super) fn request(
    output: &mut Vec<u8>,
    client: usize,
    service: usize,
    mark: &[u8],
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    output.extend_from_slice(b"PUB echo");
    put_number(output, service);
    output.extend_from_slice(b" inbox");
    put_number(output, client);
    output.push(b'.');
    output.extend_from_slice(mark);
    output.push(b' ');
    put_length(output, length);
    payload(output);
    output.extend_from_slice(b"\r\n");
}

/// Returns the words of a message's line and its payload; `None` if it does not belong to the
/// workload.
fn read<'a>(
    message: &'a [u8],
    output: &mut Vec<u8>,
) -> anyhow::Result<Option<(impl Iterator<Item = &'a [u8]>, &'a [u8])>> {
    let (line, length) = split(message).with_context(|| unexpected(message))?;
    if line == b"PING" {
        output.extend_from_slice(b"PONG\r\n");
        return Ok(None);
    }
    if line.starts_with(b"INFO ") {
        return Ok(None);
    }
    if !line.starts_with(b"MSG ") {
        bail!(unexpected(message));
    }
    let start = memchr(b'\n', message).map_or(0, |end| end + 1);
    let words = line.split(|byte| *byte == b' ');
    Ok(Some((words, &message[start..length - 2])))
}

pub(super) fn asked<'a>(message: &'a [u8], output: &mut Vec<u8>) -> anyhow::Result<Option<Asked<'a>>> {
    let Some((mut words, payload)) = read(message, output)? else {
        return Ok(None);
    };
    let requester = words.nth(3).with_context(|| unexpected(message))?;
    Ok(Some(Asked { requester, payload }))
}

pub(super) fn reply(output: &mut Vec<u8>, asked: &Asked<'_>) {
    output.extend_from_slice(b"PUB ");
    output.extend_from_slice(asked.requester);
    output.push(b' ');
    put_length(output, asked.payload.len());
    output.extend_from_slice(asked.payload);
    output.extend_from_slice(b"\r\n");
}

pub(super) fn payload<'a>(message: &'a [u8], output: &mut Vec<u8>) -> anyhow::Result<Option<&'a [u8]>> {
    Ok(read(message, output)?.map(|(_, payload)| payload))
}

pub(super) fn notify(
    output: &mut Vec<u8>,
    service: usize,
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    output.extend_from_slice(format!("PUB news{service} ").as_bytes());
    put_length(output, length);
    payload(output);
    output.extend_from_slice(b"\r\n");
}
