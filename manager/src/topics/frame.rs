//! The frame that carries a value of a topic.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::frames::put_string;
use labwire_wire::{MANAGER_NAME, NOTIFICATION_UID, Topic};

/// Composes the notification that the subscribers of a topic receive: one of the service `Manager`,
/// with topic and value as its arguments, and with who has sent it. `value` is JSON text and stays
/// as it is; `retained` is whether it was kept.
pub(crate) fn topic_frame(topic: &Topic, value: &[u8], sender: &str, retained: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(128 + topic.as_str().len() + value.len() + sender.len());
    frame.put_slice(b"{\"error\":false,\"result\":[[");
    put_string(&mut frame, topic.as_str());
    frame.put_slice(b",");
    frame.put_slice(value);
    frame.put_slice(if retained {
        b"],{\"retained\":true,\"sender\":"
    } else {
        b"],{\"retained\":false,\"sender\":"
    });
    put_string(&mut frame, sender);
    frame.put_slice(b"}],\"service\":");
    put_string(&mut frame, MANAGER_NAME);
    frame.put_slice(b",\"uid\":");
    put_string(&mut frame, NOTIFICATION_UID);
    frame.put_slice(b"}\r\n");
    frame.freeze()
}
