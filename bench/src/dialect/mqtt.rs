//! MQTT 3.1.1 at quality of service 0. It has no replies: the first bytes of each request name the
//! topic that its client listens to.

use anyhow::{Context as _, bail};

use super::{Asked, Progress, Role, unexpected};

/// Length of the reply address in a request, in bytes.
const ADDRESS: usize = 8;

/// Packet types, in the first byte of a packet.
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// Returns the start of a packet's body, and the length of the packet.
fn split(received: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in received.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let start = index + 2;
            return Some((start, start + length));
        }
    }
    None
}

pub(super) fn message_length(received: &[u8]) -> Option<usize> {
    let (_, length) = split(received)?;
    (length <= received.len()).then_some(length)
}

fn put_packet(output: &mut Vec<u8>, kind: u8, length: usize) {
    output.push(kind);
    let mut rest = length;
    loop {
        let byte = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        output.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            return;
        }
    }
}

fn put_text(output: &mut Vec<u8>, text: &[u8]) {
    output.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    output.extend_from_slice(text);
}

fn put_publish(output: &mut Vec<u8>, topic: &[u8], length: usize) {
    put_packet(output, PUBLISH, 2 + topic.len() + length);
    put_text(output, topic);
}

fn name(role: Role) -> String {
    match role {
        Role::Service(number) => format!("service{number}"),
        Role::Client { number, .. } => address(number),
    }
}

/// Returns the topic of a client.
fn address(client: usize) -> String {
    format!("in{client:06}")
}

pub(super) fn greet(role: Role, output: &mut Vec<u8>) {
    let name = name(role);
    put_packet(output, 0x10, 12 + name.len());
    put_text(output, b"MQTT");
    // Version 4, a clean session, no keep-alive.
    output.extend_from_slice(&[4, 2, 0, 0]);
    put_text(output, name.as_bytes());
}

pub(super) fn introduce(role: Role, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<Progress> {
    match message[0] {
        CONNACK if message.last() == Some(&0) => {
            let topics = match role {
                Role::Service(number) => vec![format!("echo{number}")],
                Role::Client { number, service } => vec![address(number), format!("news{service}")],
            };
            let length = topics.iter().map(|topic| 3 + topic.len()).sum::<usize>();
            put_packet(output, SUBSCRIBE, 2 + length);
            output.extend_from_slice(&[0, 1]);
            for topic in topics {
                put_text(output, topic.as_bytes());
                output.push(0);
            }
            Ok(Progress::Going)
        }
        SUBACK => Ok(Progress::Ready),
        _ => bail!(unexpected(message)),
    }
}

pub(super) fn request(
    output: &mut Vec<u8>,
    client: usize,
    service: usize,
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    put_publish(output, format!("echo{service}").as_bytes(), ADDRESS + length);
    output.extend_from_slice(address(client).as_bytes());
    payload(output);
}

/// Returns the payload of a publication; `None` for other packets.
pub(super) fn payload(message: &[u8]) -> anyhow::Result<Option<&[u8]>> {
    if message[0] & 0xf0 != PUBLISH {
        return Ok(None);
    }
    let (start, _) = split(message).with_context(|| unexpected(message))?;
    let body = &message[start..];
    let topic = body
        .first_chunk::<2>()
        .map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    Ok(Some(body.get(2 + topic..).with_context(|| unexpected(message))?))
}

pub(super) fn asked(message: &[u8]) -> anyhow::Result<Option<Asked<'_>>> {
    let Some(published) = payload(message)? else {
        return Ok(None);
    };
    let (requester, payload) = published
        .split_at_checked(ADDRESS)
        .with_context(|| unexpected(message))?;
    Ok(Some(Asked { requester, payload }))
}

pub(super) fn reply(output: &mut Vec<u8>, asked: &Asked<'_>) {
    put_publish(output, asked.requester, asked.payload.len());
    output.extend_from_slice(asked.payload);
}

pub(super) fn notify(
    output: &mut Vec<u8>,
    service: usize,
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    put_publish(output, format!("news{service}").as_bytes(), length);
    payload(output);
}
