//! Labwire's topics: the notifications of the workload are values that a service publishes.

use memchr::memmem;

use super::{Progress, Role, after, lines, put_number, unexpected};

/// The first words of the topics; the service's number follows.
const TOPIC: &[u8] = b"bench.echo";

/// Answers a message of the handshake: as with lines, but each client subscribes to the topic of its
/// service instead of linking with it.
pub(super) fn introduce(role: Role, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<Progress> {
    let length = output.len();
    let progress = lines::introduce(role, "", message, output)?;
    if let (Role::Client { service, .. }, Progress::Going) = (role, progress) {
        // The identity is followed by the request for a link.
        let request = lines::manager_request("link", service, "link");
        if output[length..].ends_with(request.as_bytes()) {
            output.truncate(output.len() - request.len());
            let topic = format!("bench.echo{service}");
            output.extend_from_slice(
                format!(
                    "{{\"args\": [\"{topic}\"], \"attribute\": \"subscribe\", \"error\": false, \"kwargs\": {{}}, \
                     \"service\": \"Manager\", \"uid\": \"subscribe\"}}\r\n"
                )
                .as_bytes(),
            );
        }
    }
    Ok(progress)
}

/// Appends a value that the service publishes.
pub(super) fn notify(
    output: &mut Vec<u8>,
    service: usize,
    length: usize,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    output.reserve(length + lines::ENVELOPE);
    output.extend_from_slice(b"{\"args\": [\"");
    output.extend_from_slice(TOPIC);
    put_number(output, service);
    output.extend_from_slice(b"\", ");
    payload(output);
    output.extend_from_slice(
        b"], \"attribute\": \"publish\", \"error\": false, \"kwargs\": {}, \"service\": \"Manager\", \
          \"uid\": \"published\"}\r\n",
    );
}

/// Reads a value; `None` for the answer to the one who has published it.
pub(super) fn notified(message: &[u8], length: usize) -> anyhow::Result<Option<&[u8]>> {
    if memmem::find(message, b"\"uid\":\"notification\"").is_none() {
        return Ok(None);
    }
    let topic = after(message, TOPIC)?;
    let value = after(topic, b",")?;
    let value = value.get(..length);
    value
        .map(Some)
        .ok_or_else(|| anyhow::anyhow!(unexpected(message)))
}
