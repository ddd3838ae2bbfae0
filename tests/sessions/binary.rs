//! Peers with sessions whose frames have buffers: their raw bytes count in both directions, and a
//! break in the middle of them loses nothing.

use serde_json::{Value, json};

use super::peer::{SessionPeer, call};
use super::{message, start, stats, wait_until_away};
use crate::support::manager::Manager;
use crate::support::wire::{RawPeer, wait_for_service};

fn client(manager: &Manager, features: &[&str]) -> SessionPeer {
    let features = [&["sessions", "origin", "cut-through"], features].concat();
    let identity = json!({ "type": "client", "name": "Ada", "features": features, "session": {} });
    SessionPeer::register(manager, identity)
}

fn camera(manager: &Manager) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    peer.identify(&json!({
        "type": "service", "name": "Camera", "attributes": {}, "features": ["binary", "cut-through"],
    }));
    wait_for_service(manager, "Camera");
    peer
}

/// Returns bytes with line ends, and with what a frame with buffers begins with.
fn raw(count: usize) -> Vec<u8> {
    let pattern = b"\n{\"buffers\":[{\"dtype\":\"|u1\",\"shape\":[9],\"bytes\":9}]\r\n\x18\r\n\0\xff";
    pattern.iter().copied().cycle().take(count).collect()
}

/// Returns a frame with one buffer. `rest` are its other members.
fn framed(rest: &str, raw: &[u8]) -> Vec<u8> {
    let length = raw.len();
    let line =
        format!("{{\"buffers\":[{{\"dtype\":\"|u1\",\"shape\":[{length}],\"bytes\":{length}}}],{rest}}}\r\n");
    [line.as_bytes(), raw, b"\n"].concat()
}

fn reply_with(requester: &str, uid: &str, raw: &[u8]) -> Vec<u8> {
    let rest = format!(r#""error":false,"requester":"{requester}","result":{{"$buffer":0}},"uid":"{uid}""#);
    framed(&rest, raw)
}

fn request_with(uid: &str, raw: &[u8]) -> Vec<u8> {
    let rest = format!(r#""service":"Camera","attribute":"store","uid":"{uid}","args":[{{"$buffer":0}}]"#);
    framed(&rest, raw)
}

/// Expects a request with these bytes, and replies.
#[track_caller]
fn expect_request(camera: &mut RawPeer, uid: &str, raw: &[u8]) {
    let line: Value = serde_json::from_str(&camera.read_line()).unwrap();
    assert_eq!(
        (&line["uid"], &line["args"]),
        (&json!(uid), &json!([{ "$buffer": 0 }]))
    );
    assert!(camera.read_bytes(raw.len() + 1) == [raw, b"\n"].concat());
    let reply = json!({ "error": false, "requester": line["requester"], "result": raw.len(), "uid": uid });
    camera.send_line(&reply.to_string());
}

#[test]
fn a_reply_that_the_break_cut_amid_its_buffers_goes_on_where_it_was_cut() {
    let manager = start(&[]);
    let mut camera = camera(&manager);
    let mut ada = client(&manager, &["binary"]);
    for (length, kept) in [
        (4, 0),
        (4, 4),
        (1_000, 500),
        (300_000, 1),
        (700_000, 600_000),
        (700_000, 700_000),
    ] {
        ada.confirm();
        ada.send(&call("Camera", "1"));
        camera.read_line();
        let frame = reply_with(&ada.name, "1", &raw(length));
        camera.send_bytes(&frame);
        let cut = frame.len() - 1 - length + kept;
        let mut received = ada.read_bytes(cut);
        ada.break_off();
        let read = ada.read;
        ada.come_back();
        assert_eq!(ada.read, read, "nothing is lost");
        received.extend(ada.read_bytes(frame.len() - cut));
        assert!(received == frame, "{length} {kept}");
    }
}

#[test]
fn a_request_that_the_break_cut_amid_its_buffers_was_not_executed() {
    let manager = start(&[]);
    let mut camera = camera(&manager);
    let mut ada = client(&manager, &["binary"]);
    for length in [0, 10, 100_000, 3_000_000] {
        let raw = raw(length);
        let frame = request_with("2", &raw);
        let line = frame.len() - 1 - length;
        for cut in [5, line - 1, line, line + length / 2, line + length] {
            // What was handled before counts with its buffers.
            ada.send_bytes(&request_with("1", b"\n{\n"));
            expect_request(&mut camera, "1", b"\n{\n");
            assert_eq!(ada.read_json()["result"], 3);
            let handled = ada.sent;
            ada.send_bytes(&frame[..cut]);
            ada.break_off();
            ada.come_back();
            assert_eq!(ada.sent, handled, "{length} {cut}");
            ada.send_bytes(&frame);
            expect_request(&mut camera, "2", &raw);
            assert_eq!(ada.read_json()["result"], length);
        }
    }
}

#[test]
fn a_service_that_breaks_off_amid_the_buffers_of_a_reply_sends_it_again() {
    let manager = start(&[]);
    let identity = json!({
        "type": "service", "name": "Camera", "attributes": {}, "features": ["sessions", "binary", "cut-through"],
        "session": { "keep_callers": true },
    });
    let mut camera = SessionPeer::register(&manager, identity);
    let mut ada = RawPeer::connect(&manager);
    ada.identify(&json!({ "type": "client", "name": "Ada", "features": ["binary"] }));
    for length in [10, 100_000, 3_000_000] {
        let raw = raw(length);
        ada.send_bytes(&request_with("1", &raw));
        let asked = camera.read_frame();
        assert!(camera.read_bytes(length + 1) == [&raw[..], b"\n"].concat());
        camera.confirm();
        let handled = camera.sent;
        let frame = reply_with(asked["requester"].as_str().unwrap(), "1", &raw);
        camera.send_bytes(&frame[..frame.len() - length / 2]);
        camera.break_off();
        camera.come_back();
        assert_eq!(camera.sent, handled);
        camera.send_bytes(&frame);
        assert!(ada.read_bytes(frame.len()) == frame, "it comes once, and whole");
        // The manager confirms the bytes of the buffers as well.
        while camera.read_json()["args"] != json!([camera.sent]) {}
    }
}

#[test]
fn what_is_dropped_are_whole_frames_with_their_buffers() {
    let manager = start(&["--session-kept", "1M"]);
    let mut camera = camera(&manager);
    let mut ada = client(&manager, &["binary"]);
    let mut frames = Vec::new();
    for uid in ["1", "2", "3", "4", "5"] {
        ada.send(&call("Camera", uid));
        camera.read_line();
        let frame = reply_with(&ada.name, uid, &raw(400_000));
        camera.send_bytes(&frame);
        assert!(ada.read_bytes(frame.len()) == frame);
        frames.push(frame);
    }
    // It says that it has received half of the buffers of the first frame only.
    ada.break_off();
    let whole = |count: usize| frames[..count].iter().map(Vec::len).sum::<usize>() as u64;
    ada.come_back_at(200_000);
    let first = (0..5).find(|count| whole(*count) == ada.read);
    let first = first.expect("it goes on with a whole frame");
    assert!((2..4).contains(&first), "{first}");
    for frame in &frames[first..] {
        assert!(ada.read_bytes(frame.len()) == *frame);
    }
    ada.send(&call("Camera", "6"));
    camera.read_line();
}

#[test]
fn arrays_are_converted_also_for_a_client_that_is_away() {
    let manager = start(&["--convert", "1000"]);
    let mut camera = camera(&manager);
    let mut ada = client(&manager, &[]);
    for uid in ["1", "2"] {
        ada.send(&call("Camera", uid));
        camera.read_line();
    }
    ada.break_off();
    wait_until_away(&manager, &ada.name);
    camera.send_bytes(&reply_with(&ada.name, "1", b"abcd"));
    camera.send_bytes(&reply_with(&ada.name, "2", &raw(1_001)));
    ada.come_back();
    let array = json!({ "dtype": "|u1", "shape": [4], "base64": "YWJjZA==" });
    assert_eq!(ada.read_json()["result"]["$array"], array);
    let refused = ada.read_json();
    assert!(message(&refused).contains("--convert"), "{refused}");
}

#[test]
fn a_reply_whose_buffers_are_longer_than_can_be_kept_ends_with_an_error() {
    let manager = start(&["--session-kept", "100000"]);
    let mut camera = camera(&manager);
    let mut ada = client(&manager, &["binary"]);
    for uid in ["1", "2"] {
        ada.send(&call("Camera", uid));
        camera.read_line();
    }
    ada.break_off();
    wait_until_away(&manager, &ada.name);
    camera.send_bytes(&reply_with(&ada.name, "1", &raw(200_000)));
    let short = reply_with(&ada.name, "2", &raw(10));
    camera.send_bytes(&short);
    // Once the manager has handled a later reply, it has handled both.
    let mut other = RawPeer::client(&manager, "Other");
    other.send_line(&call("Camera", "x").to_string());
    let answer = super::take(&mut camera, &json!("other"));
    camera.send_line(&answer);
    assert_eq!(other.read_json()["result"], "other");
    ada.come_back();
    let refused = ada.read_json();
    assert!(
        message(&refused).contains("longer than could be kept"),
        "{refused}"
    );
    assert!(ada.read_bytes(short.len()) == short);
}

#[test]
fn buffers_that_are_discarded_are_handled_once_all_of_them_have_arrived() {
    let manager = super::start_with_admin(&[]);
    let identity = json!({
        "type": "client", "name": "Ada", "features": ["sessions", "origin", "binary"],
        "session": {},
    });
    let mut ada = SessionPeer::register(&manager, identity);
    let wrong = [
        br#"{"buffers":[{"dtype":"<u2","shape":[3],"bytes":100}],"service":"Camera","attribute":"a","uid":"1"}"#,
        &b"\r\n"[..],
        &raw(100),
        b"\n",
    ]
    .concat();
    let handled = ada.sent;
    ada.send_bytes(&wrong[..wrong.len() - 50]);
    let refused = ada.read_json();
    assert!(message(&refused).contains("shape"), "{refused}");
    ada.break_off();
    ada.come_back();
    assert_eq!(ada.sent, handled);
    ada.send_bytes(&wrong);
    assert_eq!(ada.read_json()["uid"], "1");
    ada.break_off();
    ada.come_back();
    assert_eq!(ada.sent, handled + wrong.len() as u64);
    let refused = ada.request(&call("Camera", "2"));
    assert!(message(&refused).contains("not connected"), "{refused}");
    assert_eq!(stats(&manager)["binary_malformed"], 2);
}

#[test]
fn a_peer_with_a_session_learns_that_the_manager_has_the_feature() {
    let manager = start(&[]);
    for (features, named) in [(&["binary"][..], json!(["binary"])), (&[], Value::Null)] {
        let mut ada = client(&manager, features);
        ada.break_off();
        let resumed = ada.try_return(0);
        assert_eq!(
            (&resumed["attribute"], &resumed["kwargs"]["features"]),
            (&json!("resumed"), &named)
        );
        ada.send(&json!({ "service": "Ada", "attribute": "__disconnect__" }));
        ada.expect_closed();
    }
}

#[test]
fn a_call_one_of_whose_items_cannot_be_kept_ends_with_an_error() {
    let manager = super::start_with_admin(&["--session-kept", "100000"]);
    let mut camera = RawPeer::connect(&manager);
    camera.identify(&json!({
        "type": "service", "name": "Camera", "attributes": {}, "features": ["binary", "progress", "cancel"],
    }));
    wait_for_service(&manager, "Camera");
    let mut ada = client(&manager, &["binary"]);
    for uid in ["1", "2"] {
        let mut call = call("Camera", uid);
        call["progress"] = json!(true);
        ada.send(&call);
        camera.read_line();
    }
    ada.break_off();
    wait_until_away(&manager, &ada.name);
    let item = |length: usize| {
        let rest = format!(r#""item":{{"$buffer":0}},"requester":"{}","uid":"1""#, ada.name);
        framed(&rest, &raw(length))
    };
    let kept = item(60_000);
    camera.send_bytes(&kept);
    camera.send_bytes(&item(60_000));
    let told: Value = serde_json::from_str(&camera.read_line()).unwrap();
    assert_eq!(
        (&told["attribute"], &told["args"]),
        (&json!("cancel"), &json!([ada.name, "1"]))
    );
    assert_eq!(told["kwargs"]["cause"], "disconnected");
    // They come too late.
    camera.send_bytes(&item(10));
    camera.send_bytes(&reply_with(&ada.name, "1", b"late"));
    let last = reply_with(&ada.name, "2", b"last");
    camera.send_bytes(&last);
    ada.come_back();
    let line = String::from_utf8(ada.read_line()).unwrap();
    let item: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(item["item"], json!({ "$buffer": 0 }));
    assert!(ada.read_bytes(60_001) == kept[kept.len() - 60_001..]);
    let refused = ada.read_json();
    assert_eq!(
        (&refused["uid"], &refused["executed"]),
        (&json!("1"), &json!("maybe"))
    );
    assert!(
        message(&refused).contains("longer than could be kept"),
        "{refused}"
    );
    assert!(ada.read_bytes(last.len()) == last);
    assert_eq!(stats(&manager)["late_replies"], 1);
}
