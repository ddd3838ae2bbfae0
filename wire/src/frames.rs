//! Building frames.
//!
//! Every frame here is one line that ends in `\r\n`. Payloads are given as JSON text and are not looked at.

use bytes::{BufMut, Bytes, BytesMut};

use crate::executed::Executed;
use crate::uid::Uid;

/// What ends every line that is written.
pub const TERMINATOR: &[u8] = b"\r\n";

/// What ends a line of which the rest will not come, for peers that asked for the feature `cut-through`: the control
/// character CANCEL and the terminator. It stands in no JSON text, so that nobody takes the line for a frame.
pub const BROKEN_OFF: &[u8] = b"\x18\r\n";

/// Appends `text` to `frame` as a JSON string.
pub fn put_string(frame: &mut BytesMut, text: &str) {
    frame.put_slice(json_string(text).as_bytes());
}

/// `text` as a JSON string.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The manager's own request to a peer: the six members that MSL-Network's manager writes, with the empty uid.
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

/// What stands before and after the result in a reply, for a result that is not to be copied.
pub fn result_around<'u>(requester: &str, uid: impl Into<Uid<'u>>) -> (Bytes, Bytes) {
    let uid = uid.into();
    let mut head = BytesMut::with_capacity(64 + requester.len());
    head.put_slice(b"{\"error\":false,\"requester\":");
    put_string(&mut head, requester);
    head.put_slice(b",\"result\":");
    let mut tail = BytesMut::with_capacity(16 + uid.len());
    tail.put_slice(b",\"uid\":");
    tail.put_slice(uid.to_json().as_bytes());
    tail.put_slice(b"}\r\n");
    (head.freeze(), tail.freeze())
}

/// The same for a long result: it stands last, so that it is known where the reply goes while it arrives.
pub fn long_result_around<'u>(requester: &str, uid: impl Into<Uid<'u>>) -> (Bytes, Bytes) {
    let uid = uid.into();
    let mut head = BytesMut::with_capacity(64 + requester.len() + uid.len());
    head.put_slice(b"{\"error\":false,\"requester\":");
    put_string(&mut head, requester);
    head.put_slice(b",\"uid\":");
    head.put_slice(uid.to_json().as_bytes());
    head.put_slice(b",\"result\":");
    (head.freeze(), Bytes::from_static(b"}\r\n"))
}

/// A reply that carries `result`, which is JSON text.
pub fn result<'u>(requester: &str, uid: impl Into<Uid<'u>>, result: &[u8]) -> Bytes {
    let (head, tail) = result_around(requester, uid);
    [&head, result, &tail].concat().into()
}

/// A reply that reports an error.
///
/// `message` begins with the name of the Python exception that says it best, as in `KeyError: …`.
/// `traceback` is JSON text, an array of strings.
pub fn error<'u>(message: &str, requester: &str, uid: impl Into<Uid<'u>>, traceback: &[u8]) -> Bytes {
    let uid = uid.into();
    let mut frame = BytesMut::with_capacity(128 + message.len() + requester.len() + uid.len());
    put_error_head(&mut frame, message, None, requester, traceback);
    frame.put_slice(uid.to_json().as_bytes());
    frame.put_slice(ERROR_TAIL);
    frame.freeze()
}

/// What stands before and after the uid in an error that the manager itself makes, for several requests that
/// fail for one reason.
///
/// `executed` is for who understands the feature `origin`: with it, the error says whose it is too.
pub fn manager_error_around(
    message: &str,
    executed: Option<Executed>,
    requester: &str,
) -> (Bytes, &'static [u8]) {
    let mut head = BytesMut::with_capacity(160 + message.len() + requester.len());
    put_error_head(&mut head, message, executed, requester, b"[]");
    (head.freeze(), ERROR_TAIL)
}

/// An error that the manager itself makes. `executed` is as in [`manager_error_around`].
pub fn manager_error<'u>(
    message: &str,
    executed: Option<Executed>,
    requester: &str,
    uid: impl Into<Uid<'u>>,
) -> Bytes {
    let (head, tail) = manager_error_around(message, executed, requester);
    [&head, uid.into().to_json().as_bytes(), tail].concat().into()
}

/// What stands after the uid in an error.
const ERROR_TAIL: &[u8] = b"}\r\n";

/// The keys are in the order of the alphabet, as in all frames of MSL-Network's manager.
fn put_error_head(
    frame: &mut BytesMut,
    message: &str,
    executed: Option<Executed>,
    requester: &str,
    traceback: &[u8],
) {
    frame.put_slice(b"{\"error\":true");
    if let Some(executed) = executed {
        frame.put_slice(b",\"executed\":");
        put_string(frame, executed.name());
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
                manager_error("KeyError: x", None, "c[h:2]", "1"),
                r#"{"error":true,"message":"KeyError: x","requester":"c[h:2]","result":null,"traceback":[],"uid":"1"}"#,
            ),
            (
                manager_error("KeyError: x", Some(Executed::Maybe), "c[h:2]", "\""),
                r#"{"error":true,"executed":"maybe","message":"KeyError: x","origin":"manager","requester":"c[h:2]","result":null,"traceback":[],"uid":"\""}"#,
            ),
        ] {
            assert_eq!(frame, format!("{expected}\r\n"));
            assert!(serde_json::from_slice::<serde_json::Value>(&frame).is_ok());
        }
    }
}
