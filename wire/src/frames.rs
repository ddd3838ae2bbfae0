//! Builds frames.
//!
//! Every frame here is one line that ends in `\r\n`. Payloads are JSON text and are not checked.

use bytes::{BufMut, Bytes, BytesMut};

use crate::executed::Executed;
use crate::uid::Uid;

/// The end of every line that is written.
pub const TERMINATOR: &[u8] = b"\r\n";

/// The end of a line that is broken off, for peers with the feature `cut-through`: the control
/// character CANCEL and the terminator. CANCEL occurs in no JSON text, so the line is never taken
/// for a frame.
pub const BROKEN_OFF: &[u8] = b"\x18\r\n";

/// Appends `text` to `frame` as a JSON string.
pub fn put_string(frame: &mut BytesMut, text: &str) {
    // The names in every frame are of this kind, and need no memory of their own.
    if !text.bytes().any(is_escaped) {
        frame.put_u8(b'"');
        frame.put_slice(text.as_bytes());
        frame.put_u8(b'"');
        return;
    }
    frame.put_slice(json_string(text).as_bytes());
}

/// Returns whether a byte of a text must be escaped in a JSON string (RFC 8259, section 7).
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Appends a uid to `frame`, as JSON text.
fn put_uid(frame: &mut BytesMut, uid: &Uid<'_>) {
    match uid.number() {
        Some(_) => frame.put_slice(uid.as_str().as_bytes()),
        None => put_string(frame, uid.as_str()),
    }
}

/// Returns `text` as a JSON string.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns a request of the manager itself to a peer: the six members of MSL-Network's manager,
/// with an empty uid.
pub fn manager_request(attribute: &str, arguments: &[&str], manager: &str) -> Bytes {
    let mut frame = BytesMut::with_capacity(128);
    frame.put_slice(b"{\"args\":[");
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            frame.put_u8(b',');
        }
        put_string(&mut frame, argument);
    }
    frame.put_slice(b"],\"attribute\":");
    put_string(&mut frame, attribute);
    frame.put_slice(b",\"error\":false,\"kwargs\":{},\"requester\":");
    put_string(&mut frame, manager);
    frame.put_slice(b",\"uid\":\"\"}\r\n");
    frame.freeze()
}

/// Returns the parts, before and after the uid, of the manager's request to a service to stop
/// requests of the client `requester`. `cause` and `reason` are the keyword arguments.
pub fn cancel_around(requester: &str, cause: &str, reason: Option<&str>, manager: &str) -> (Bytes, Bytes) {
    let mut head = BytesMut::with_capacity(16 + requester.len());
    head.put_slice(b"{\"args\":[");
    put_string(&mut head, requester);
    head.put_u8(b',');
    let mut tail = BytesMut::with_capacity(128);
    tail.put_slice(b"],\"attribute\":\"cancel\",\"error\":false,\"kwargs\":{\"cause\":");
    put_string(&mut tail, cause);
    if let Some(reason) = reason {
        tail.put_slice(b",\"reason\":");
        put_string(&mut tail, reason);
    }
    tail.put_slice(b"},\"requester\":");
    put_string(&mut tail, manager);
    tail.put_slice(b",\"uid\":\"\"}\r\n");
    (head.freeze(), tail.freeze())
}

/// Returns the manager's request `registered`, by which a peer receives its name on the network.
/// `features` are those of the peer's features of which it must know that the manager has them too;
/// it can be empty.
pub fn registered(name: &str, features: &[&str], manager: &str) -> Bytes {
    let frame = manager_request("registered", &[name], manager);
    if features.is_empty() {
        return frame;
    }
    let named = format!(
        "\"kwargs\":{{\"features\":{}}}",
        serde_json::Value::from(features)
    );
    let kwargs = b"\"kwargs\":{}";
    // The last one: an argument may contain the same text.
    match memchr::memmem::rfind(&frame, kwargs) {
        Some(at) => [&frame[..at], named.as_bytes(), &frame[at + kwargs.len()..]]
            .concat()
            .into(),
        None => frame,
    }
}

/// Returns the parts of a reply before and after the result, for a result that is not to be copied.
pub fn result_around<'u>(requester: &str, uid: impl Into<Uid<'u>>) -> (BytesMut, BytesMut) {
    let uid = uid.into();
    let mut head = BytesMut::with_capacity(64 + requester.len());
    head.put_slice(b"{\"error\":false,\"requester\":");
    put_string(&mut head, requester);
    head.put_slice(b",\"result\":");
    let mut tail = BytesMut::with_capacity(16 + uid.len());
    tail.put_slice(b",\"uid\":");
    put_uid(&mut tail, &uid);
    tail.put_slice(b"}\r\n");
    (head, tail)
}

/// Does the same as [`result_around`] for a long result: the result comes last, so that the reply
/// can be routed while it arrives.
pub fn long_result_around<'u>(requester: &str, uid: impl Into<Uid<'u>>) -> (Bytes, Bytes) {
    let uid = uid.into();
    let mut head = BytesMut::with_capacity(64 + requester.len() + uid.len());
    head.put_slice(b"{\"error\":false,\"requester\":");
    put_string(&mut head, requester);
    head.put_slice(b",\"uid\":");
    put_uid(&mut head, &uid);
    head.put_slice(b",\"result\":");
    (head.freeze(), Bytes::from_static(b"}\r\n"))
}

/// Returns a reply with a result, which is JSON text.
pub fn result<'u>(requester: &str, uid: impl Into<Uid<'u>>, result: &[u8]) -> Bytes {
    let (head, tail) = result_around(requester, uid);
    [&head[..], result, &tail[..]].concat().into()
}

/// Returns an error reply.
///
/// `message` begins with the name of the best matching Python exception, as in `KeyError: …`.
/// `traceback` is JSON text, an array of strings.
pub fn error<'u>(message: &str, requester: &str, uid: impl Into<Uid<'u>>, traceback: &[u8]) -> Bytes {
    let uid = uid.into();
    let mut frame = BytesMut::with_capacity(128 + message.len() + requester.len() + uid.len());
    put_error_head(&mut frame, message, ErrorDetails::default(), requester, traceback);
    put_uid(&mut frame, &uid);
    frame.put_slice(ERROR_TAIL);
    frame.freeze()
}

/// The members of a manager's error that only clients with a feature receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorDetails<'a> {
    /// `executed`, for clients with the feature `origin`. With it, the error is also marked as the
    /// manager's.
    pub executed: Option<Executed>,
    /// `lock`, for clients with the feature `leases`: the JSON text of an object.
    pub lock: Option<&'a str>,
    /// `ended`, for clients with the feature `origin`: why the manager has ended a request before
    /// its reply.
    pub ended: Option<&'a str>,
}

/// Returns the parts of a manager's error before and after the uid, for several requests that fail
/// for one reason.
pub fn manager_error_around(
    message: &str,
    details: ErrorDetails<'_>,
    requester: &str,
) -> (Bytes, &'static [u8]) {
    let mut head = BytesMut::with_capacity(160 + message.len() + requester.len());
    put_error_head(&mut head, message, details, requester, b"[]");
    (head.freeze(), ERROR_TAIL)
}

/// Returns an error of the manager itself.
pub fn manager_error<'u>(
    message: &str,
    details: ErrorDetails<'_>,
    requester: &str,
    uid: impl Into<Uid<'u>>,
) -> Bytes {
    let (head, tail) = manager_error_around(message, details, requester);
    [&head, uid.into().to_json().as_bytes(), tail].concat().into()
}

/// The end of an error, after the uid.
const ERROR_TAIL: &[u8] = b"}\r\n";

/// Writes an error up to its uid. The keys are in alphabetical order, as in all frames of
/// MSL-Network's manager.
fn put_error_head(
    frame: &mut BytesMut,
    message: &str,
    ErrorDetails {
        executed,
        lock,
        ended,
    }: ErrorDetails<'_>,
    requester: &str,
    traceback: &[u8],
) {
    frame.put_slice(b"{");
    if let Some(ended) = ended {
        frame.put_slice(b"\"ended\":");
        put_string(frame, ended);
        frame.put_u8(b',');
    }
    frame.put_slice(b"\"error\":true");
    if let Some(executed) = executed {
        frame.put_slice(b",\"executed\":");
        put_string(frame, executed.name());
    }
    if let Some(lock) = lock {
        frame.put_slice(b",\"lock\":");
        frame.put_slice(lock.as_bytes());
    }
    frame.put_slice(b",\"message\":");
    put_string(frame, message);
    if executed.is_some() {
        frame.put_slice(b",\"origin\":\"manager\"");
    }
    frame.put_slice(b",\"requester\":");
    put_string(frame, requester);
    frame.put_slice(b",\"result\":null,\"traceback\":");
    frame.put_slice(traceback);
    frame.put_slice(b",\"uid\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel(cause: &str, reason: Option<&str>) -> Bytes {
        let (head, tail) = cancel_around("c[h:2]", cause, reason, "Manager[h:1]");
        [&head[..], b"5", &tail].concat().into()
    }

    #[test]
    fn every_character_of_a_string_is_written_as_by_serde() {
        for character in (0..0x250)
            .filter_map(char::from_u32)
            .chain(['\u{2028}', '\u{1f600}'])
        {
            let text = format!("a{character}b");
            let mut frame = BytesMut::new();
            put_string(&mut frame, &text);
            assert_eq!(frame, json_string(&text).as_bytes(), "{character:?}");
        }
    }

    #[test]
    fn frames_are_one_line_of_json_each() {
        for (frame, expected) in [
            (
                manager_request("password", &["Manager[h:1]", "\"\n"], "Manager[h:1]"),
                r#"{"args":["Manager[h:1]","\"\n"],"attribute":"password","error":false,"kwargs":{},"requester":"Manager[h:1]","uid":""}"#,
            ),
            (
                result("c[h:2]", "é", b"[1.10]"),
                r#"{"error":false,"requester":"c[h:2]","result":[1.10],"uid":"é"}"#,
            ),
            (
                result("c[h:2]", Uid::from_json(b"1.50").unwrap(), b"1"),
                r#"{"error":false,"requester":"c[h:2]","result":1,"uid":1.50}"#,
            ),
            (
                error("KeyError: x", "c[h:2]", Uid::from_json(b"7").unwrap(), b"[]"),
                r#"{"error":true,"message":"KeyError: x","requester":"c[h:2]","result":null,"traceback":[],"uid":7}"#,
            ),
            (
                error("KeyError: x\ny", "c[h:2]", "", b"[]"),
                r#"{"error":true,"message":"KeyError: x\ny","requester":"c[h:2]","result":null,"traceback":[],"uid":""}"#,
            ),
            (
                manager_error("KeyError: x", ErrorDetails::default(), "c[h:2]", "1"),
                r#"{"error":true,"message":"KeyError: x","requester":"c[h:2]","result":null,"traceback":[],"uid":"1"}"#,
            ),
            (
                manager_error(
                    "KeyError: x",
                    ErrorDetails {
                        executed: Some(Executed::Maybe),
                        lock: Some(r#"{"service":"S"}"#),
                        ended: None,
                    },
                    "c[h:2]",
                    "\"",
                ),
                r#"{"error":true,"executed":"maybe","lock":{"service":"S"},"message":"KeyError: x","origin":"manager","requester":"c[h:2]","result":null,"traceback":[],"uid":"\""}"#,
            ),
            (
                manager_error(
                    "TimeoutError: x",
                    ErrorDetails {
                        executed: Some(Executed::Maybe),
                        ended: Some("deadline"),
                        ..ErrorDetails::default()
                    },
                    "c[h:2]",
                    "1",
                ),
                r#"{"ended":"deadline","error":true,"executed":"maybe","message":"TimeoutError: x","origin":"manager","requester":"c[h:2]","result":null,"traceback":[],"uid":"1"}"#,
            ),
            (
                cancel("client", Some("a \"test\"")),
                r#"{"args":["c[h:2]",5],"attribute":"cancel","error":false,"kwargs":{"cause":"client","reason":"a \"test\""},"requester":"Manager[h:1]","uid":""}"#,
            ),
            (
                cancel("deadline", None),
                r#"{"args":["c[h:2]",5],"attribute":"cancel","error":false,"kwargs":{"cause":"deadline"},"requester":"Manager[h:1]","uid":""}"#,
            ),
        ] {
            assert_eq!(frame, format!("{expected}\r\n"));
            assert!(serde_json::from_slice::<serde_json::Value>(&frame).is_ok());
        }
    }
}
