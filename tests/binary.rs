//! The feature `binary`: frames that are followed by raw bytes, their conversion for peers without
//! the feature, and descriptions and bytes that are wrong.

mod broken;
mod conversion;
mod cut_through;
mod hostile;
mod long_calls;

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::hardening::support::{Administrator, home_with_administrator};
use super::support::manager::Manager;
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, identity_request, wait_for_service};

const MIB: usize = 1024 * 1024;

/// The end of a frame that was aborted.
const BROKEN_OFF: &[u8] = b"\x18\r\n";

/// How long to wait for bytes that must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn start(options: &[&str]) -> (Manager, Administrator) {
    let manager = Manager::start_in(home_with_administrator(), &[&["--disable-tls"], options].concat());
    let administrator = Administrator::new(&manager);
    (manager, administrator)
}

fn connect(manager: &Manager, kind: &str, name: &str, features: &[&str]) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    peer.identify(&json!({ "type": kind, "name": name, "attributes": {}, "features": features }));
    if kind == "service" {
        wait_for_service(manager, name);
    }
    peer
}

fn service(manager: &Manager, features: &[&str]) -> RawPeer {
    connect(manager, "service", "Camera", features)
}

/// Returns a client, and its name on the network.
fn client(manager: &Manager, name: &str, features: &[&str]) -> (RawPeer, String) {
    let mut peer = connect(manager, "client", name, features);
    let answer = peer.request(&identity_request());
    let name = answer["requester"].as_str().unwrap().to_owned();
    (peer, name)
}

/// Returns bytes of which each range is different.
fn pixels(count: usize) -> Vec<u8> {
    (0..count)
        .map(|number| (number ^ (number >> 8) ^ (number >> 16)).to_le_bytes()[0])
        .collect()
}

/// Returns a frame: its line, and the bytes that follow it.
fn framed(line: &str, raw: &[u8]) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", raw, b"\n"].concat()
}

fn described(raw: &[u8]) -> String {
    format!(
        r#"{{"buffers":[{{"dtype":"|u1","shape":[{0}],"bytes":{0}}}]"#,
        raw.len()
    )
}

fn request_with(uid: &str, raw: &[u8]) -> Vec<u8> {
    let line = format!(
        r#"{},"service":"Camera","attribute":"store","uid":"{uid}","error":false,"kwargs":{{}},"args":[{{"$buffer":0}}]}}"#,
        described(raw)
    );
    framed(&line, raw)
}

fn reply_line(name: &str, uid: &str, raw: &[u8]) -> String {
    format!(
        r#"{},"error":false,"requester":"{name}","uid":"{uid}","result":{{"$buffer":0}}}}"#,
        described(raw)
    )
}

fn notification_with(raw: &[u8]) -> Vec<u8> {
    let line = format!(
        r#"{},"error":false,"result":[[{{"$buffer":0}}],{{}}],"service":"Camera","uid":"notification"}}"#,
        described(raw)
    );
    framed(&line, raw)
}

fn call(client: &mut RawPeer, uid: &str) {
    let call = json!({ "service": "Camera", "attribute": "name", "uid": uid });
    client.send_line(&call.to_string());
}

fn link(client: &mut RawPeer) {
    let answer = client.request(&json!({
        "service": "Manager", "attribute": "link", "args": ["Camera"], "uid": "link",
    }));
    assert_eq!(answer["error"], false, "{answer}");
}

/// Expects a line, the bytes that it announces and the byte after them.
#[track_caller]
fn expect_frame(peer: &mut RawPeer, line: &str, raw: &[u8]) {
    assert_eq!(peer.read_line(), line);
    expect_raw(peer, raw);
}

#[track_caller]
fn expect_raw(peer: &mut RawPeer, raw: &[u8]) {
    let received = peer.read_bytes(raw.len() + 1);
    assert!(received == [raw, b"\n"].concat(), "other bytes have arrived");
}

/// Expects a request with these bytes.
#[track_caller]
fn expect_request(service: &mut RawPeer, name: &str, uid: &str, raw: &[u8]) {
    let line = format!(
        r#"{},"args":[{{"$buffer":0}}],"attribute":"store","error":false,"kwargs":{{}},"service":"Camera","uid":"{uid}","requester":"{name}"}}"#,
        described(raw)
    );
    expect_frame(service, &line, raw);
}

#[track_caller]
fn expect_error(peer: &mut RawPeer, uid: &str, texts: &[&str]) {
    let answer = peer.read_json();
    assert_eq!(
        (&answer["uid"], &answer["error"]),
        (&json!(uid), &json!(true)),
        "{answer}"
    );
    for text in texts {
        assert!(answer["message"].as_str().unwrap().contains(text), "{answer}");
    }
}

/// Expects that the service still receives the client's calls, and the client its replies.
#[track_caller]
fn expect_service(client: &mut RawPeer, service: &mut RawPeer) {
    call(client, "still");
    let request = service.read_json();
    assert_eq!(request["uid"], "still", "{request}");
    let reply = json!({ "error": false, "requester": request["requester"], "result": 1, "uid": "still" });
    service.send_line(&reply.to_string());
    assert_eq!(client.read_json()["result"], 1);
}

#[test]
fn buffers_follow_requests_replies_and_notifications_unchanged() {
    let (manager, mut administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    link(&mut ada);
    for length in [0, 1, 100, 5_000, 70_000, 3 * MIB] {
        let raw = pixels(length);
        ada.send_bytes(&request_with("1", &raw));
        expect_request(&mut camera, &name, "1", &raw);
        let reply = reply_line(&name, "1", &raw);
        camera.send_bytes(&framed(&reply, &raw));
        expect_frame(&mut ada, &reply, &raw);
        let notification = notification_with(&raw);
        camera.send_bytes(&notification);
        assert!(ada.read_bytes(notification.len()) == notification);
    }
    assert_eq!(administrator.counter("binary"), 18);
    expect_service(&mut ada, &mut camera);
}

#[test]
fn frames_in_one_piece_and_byte_by_byte_are_the_same() {
    let (manager, _administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    let raws = [&b"one"[..], b"\n\r\n\n", b"", b"{\"buffers\":["];
    let frames: Vec<Vec<u8>> = raws.iter().map(|raw| request_with("1", raw)).collect();
    let plain = br#"{"service":"Camera","attribute":"name","uid":"2"}"#;
    let all = [&frames.concat()[..], plain, b"\n", &frames.concat()].concat();
    let mut expect_all = || {
        for round in 0..2 {
            for raw in raws {
                expect_request(&mut camera, &name, "1", raw);
            }
            if round == 0 {
                assert_eq!(camera.read_json()["attribute"], "name");
            }
        }
    };
    ada.send_bytes(&all);
    expect_all();
    for byte in all.chunks(1) {
        ada.send_bytes(byte);
    }
    expect_all();
}

#[test]
fn several_buffers_keep_their_order() {
    let (manager, _administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    call(&mut ada, "1");
    camera.read_line();
    let line = format!(
        r#"{{"buffers":[{{"dtype":"<u2","shape":[2,1],"bytes":4}},{{"shape":[],"bytes":8,"dtype":">f8"}}],"error":false,"requester":"{name}","result":{{"a":{{"$buffer":1}},"b":[{{"$buffer":0}},{{"$buffer":0}},{{"$buffer":5}}]}},"uid":"1"}}"#
    );
    camera.send_bytes(&framed(&line, b"abcdABCDEFGH"));
    expect_frame(&mut ada, &line, b"abcdABCDEFGH");
}

#[test]
fn the_manager_says_that_it_knows_the_feature() {
    let (manager, _administrator) = start(&[]);
    for (features, kwargs) in [
        (&["registered", "binary"][..], json!({ "features": ["binary"] })),
        (&["registered"], json!({})),
    ] {
        let mut peer = connect(&manager, "client", "Ada", features);
        let registered = peer.read_json();
        assert_eq!(
            (&registered["attribute"], &registered["kwargs"]),
            (&json!("registered"), &kwargs)
        );
    }
}
