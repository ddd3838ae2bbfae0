//! The feature `binary`: frames that are followed by raw bytes, their conversion for peers without
//! the feature, and descriptions and bytes that are wrong.

mod hostile;

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
fn peers_without_the_feature_get_base64_and_send_what_they_like() {
    let (manager, mut administrator) = start(&[]);
    let mut camera = service(&manager, &[]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    ada.send_bytes(&request_with("1", b"abcd"));
    assert_eq!(
        camera.read_line(),
        format!(
            r#"{{"service":"Camera","attribute":"store","uid":"1","error":false,"kwargs":{{}},"args":[{{"$array":{{"dtype":"|u1","shape":[4],"base64":"YWJjZA=="}}}}],"requester":"{name}"}}"#
        )
    );
    // The member of a peer without the feature is any other member. To Ada no line may look as if
    // buffers followed it.
    let members = format!(r#""buffers":[],"error":false,"requester":"{name}","result":1,"uid":"1"}}"#);
    camera.send_line(&format!("{{{members}"));
    assert_eq!(ada.read_line(), format!("{{ {members}"));
    let (mut bob, _) = client(&manager, "Bob", &[]);
    for client in [&mut ada, &mut bob] {
        link(client);
    }
    let members = r#""buffers":[],"error":false,"result":[[],{}],"service":"Camera","uid":"notification"}"#;
    camera.send_line(&format!("{{{members}"));
    assert_eq!(ada.read_line(), format!("{{ {members}"));
    assert_eq!(bob.read_line(), format!("{{{members}"));
    assert_eq!(administrator.counter("converted"), 1);
    drop(camera);
    // Until then its name is taken.
    wait_until("the service did not leave", || {
        bob.request(&identity_request())["result"]["services"]
            .get("Camera")
            .is_none()
    });

    let mut camera = service(&manager, &["binary"]);
    for raw in [b"abc".to_vec(), pixels(2 * MIB)] {
        call(&mut bob, "2");
        let request = camera.read_json();
        let reply = reply_line(request["requester"].as_str().unwrap(), "2", &raw);
        camera.send_bytes(&framed(&reply, &raw));
        let array = &bob.read_json()["result"]["$array"];
        assert_eq!(array["shape"], json!([raw.len()]));
        assert_eq!(array["base64"].as_str().unwrap().len(), raw.len().div_ceil(3) * 4);
    }
    assert_eq!(administrator.counter("converted"), 3);
}

#[test]
fn each_client_gets_a_notification_in_its_own_form() {
    let (manager, mut administrator) = start(&["--convert", "1M"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, _) = client(&manager, "Ada", &["binary"]);
    let (mut bob, _) = client(&manager, "Bob", &[]);
    for client in [&mut ada, &mut bob] {
        link(client);
    }
    let raw = pixels(MIB);
    camera.send_bytes(&notification_with(&raw));
    let expected = notification_with(&raw);
    assert!(ada.read_bytes(expected.len()) == expected);
    let array = &bob.read_json()["result"][0][0]["$array"];
    assert_eq!(array["shape"], json!([MIB]));
    assert_eq!(administrator.counter("converted"), 1);

    let raw = pixels(MIB + 1);
    camera.send_bytes(&notification_with(&raw));
    let expected = notification_with(&raw);
    assert!(ada.read_bytes(expected.len()) == expected);
    expect_error(&mut camera, "", &["1 of the linked clients", "--convert"]);
    assert_eq!(administrator.counter("too_long_to_convert"), 1);
    camera.send_bytes(&notification_with(b"x"));
    assert_eq!(bob.read_json()["result"][0][0]["$array"]["base64"], "eA==");
}

#[test]
fn what_is_too_long_to_convert_is_refused_with_the_option() {
    let (manager, mut administrator) = start(&["--convert", "1000"]);
    let mut camera = service(&manager, &[]);
    let (mut ada, _) = client(&manager, "Ada", &["binary", "origin"]);
    ada.send_bytes(&request_with("1", &pixels(1_001)));
    expect_error(&mut ada, "1", &["'Camera' Service", "1000 bytes", "--convert"]);
    ada.send_bytes(&request_with("1", &pixels(1_000)));
    assert_eq!(camera.read_json()["attribute"], "store");
    drop(camera);
    ada.read_line();

    let mut camera = service(&manager, &["binary"]);
    let (mut bob, name) = client(&manager, "Bob", &["origin"]);
    call(&mut bob, "2");
    camera.read_line();
    let raw = pixels(1_001);
    camera.send_bytes(&framed(&reply_line(&name, "2", &raw), &raw));
    expect_error(
        &mut bob,
        "2",
        &["'Camera' Service", "feature binary", "--convert"],
    );
    // One buffer counts as often as it is referred to.
    call(&mut bob, "3");
    camera.read_line();
    let line =
        reply_line(&name, "3", &raw[..600]).replace(r#"{"$buffer":0}"#, r#"[{"$buffer":0},{"$buffer":0}]"#);
    camera.send_bytes(&framed(&line, &raw[..600]));
    expect_error(&mut bob, "3", &["--convert"]);
    assert_eq!(administrator.counter("too_long_to_convert"), 3);
    expect_service(&mut bob, &mut camera);
}

#[test]
fn a_published_value_has_buffers_too_and_is_retained_without() {
    let (manager, _administrator) = start(&[]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    let (mut bob, _) = client(&manager, "Bob", &[]);
    let subscribe = json!({ "service": "Manager", "attribute": "subscribe", "args": ["lab.>"], "uid": "s" });
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.request(&subscribe)["result"], true);
    }
    let line = format!(
        r#"{},"service":"Manager","attribute":"publish","uid":"1","args":["lab.image",{{"x":{{"$buffer":0}}}}],"kwargs":{{"retain":true}}}}"#,
        described(b"abc")
    );
    ada.send_bytes(&framed(&line, b"abc"));
    let rest = format!(
        r#""error":false,"result":[["lab.image",{{"x":{{"$buffer":0}}}}],{{"retained":false,"sender":"{name}"}}],"service":"Manager","uid":"notification"}}"#
    );
    expect_frame(&mut ada, &format!("{},{rest}", described(b"abc")), b"abc");
    assert_eq!(ada.read_json()["result"], true);
    let value = json!({ "x": { "$array": { "dtype": "|u1", "shape": [3], "base64": "YWJj" } } });
    assert_eq!(bob.read_json()["result"][0][1], value);
    let (mut eve, _) = client(&manager, "Eve", &["binary"]);
    eve.send_line(&subscribe.to_string());
    assert_eq!(eve.read_json()["result"][0][1], value);

    let raw = pixels(2 * MIB);
    let line = line.replace(&described(b"abc"), &described(&raw));
    ada.send_bytes(&framed(&line, &raw));
    expect_error(&mut ada, "1", &["value"]);
}

/// Returns a request to publish a value that refers `references` times to its only buffer.
fn publish_with(uid: &str, raw: &[u8], references: usize, retain: bool) -> Vec<u8> {
    let value = vec![r#"{"$buffer":0}"#; references].join(",");
    let line = format!(
        r#"{},"service":"Manager","attribute":"publish","uid":"{uid}","args":["lab.image",[{value}]],"kwargs":{{"retain":{retain}}}}}"#,
        described(raw)
    );
    framed(&line, raw)
}

#[test]
fn a_value_that_is_too_long_in_base64_goes_to_who_has_the_feature_and_its_sender_learns_it() {
    let (manager, mut administrator) = start(&["--convert", "720000"]);
    let (mut camera, _) = client(&manager, "Camera", &["binary", "origin"]);
    let (mut ada, _) = client(&manager, "Ada", &["binary"]);
    let (mut bob, _) = client(&manager, "Bob", &[]);
    let subscribe = json!({ "service": "Manager", "attribute": "subscribe", "args": ["lab.>"], "uid": "s" });
    assert_eq!(bob.request(&subscribe)["result"], true);
    let small = publish_with("small", b"abc", 1, false);
    // The last one is short enough in base64, but more than is converted.
    let cases = [(900_000, 1), (20_000, 60), (700_000, 1), (360_500, 2)];
    for has_binary in [false, true] {
        if has_binary {
            assert_eq!(ada.request(&subscribe)["result"], true);
        }
        for (count, references) in cases {
            let raw = pixels(count);
            camera.send_bytes(&publish_with("1", &raw, references, false));
            let answer = camera.read_json();
            if has_binary {
                ada.read_line();
                expect_raw(&mut ada, &raw);
            }
            if count == 700_000 {
                assert_eq!(answer["result"], true, "{answer}");
                let value = &bob.read_json()["result"][0][1];
                assert_eq!(value[0]["$array"]["shape"], json!([count]));
            } else {
                let subscribers = 1 + usize::from(has_binary);
                let expected = format!("ValueError: 1 of the {subscribers} subscribers");
                let message = answer["message"].as_str().unwrap_or_default();
                assert!(message.starts_with(&expected), "{count} {references}: {answer}");
                assert!(message.contains("--convert"), "{answer}");
                let executed = if has_binary { "maybe" } else { "no" };
                assert_eq!(
                    (&answer["uid"], &answer["executed"]),
                    (&json!("1"), &json!(executed))
                );
            }
            // Nothing of it has come to Bob, and the connections go on.
            camera.send_bytes(&small);
            assert_eq!(camera.read_json()["result"], true);
            let value = &bob.read_json()["result"][0][1];
            assert_eq!(value[0]["$array"]["base64"], "YWJj");
            if has_binary {
                ada.read_line();
                expect_raw(&mut ada, b"abc");
            }
        }
    }
    assert_eq!(administrator.counter("too_long_to_convert"), 6);

    // It cannot be retained in the form that every later subscriber can read.
    camera.send_bytes(&publish_with("2", &pixels(900_000), 1, true));
    expect_error(&mut camera, "2", &["is retained", "base64"]);
    camera.send_bytes(&small);
    assert_eq!(camera.read_json()["result"], true);
    ada.read_line();
    expect_raw(&mut ada, b"abc");
    assert_eq!(administrator.counter("retained_values"), 0);
}

#[test]
fn wrong_descriptions_are_refused_and_nothing_else_is_lost() {
    let (manager, mut administrator) = start(&["--line", "1M"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    let rest = r#","service":"Camera","attribute":"store","uid":"1","args":[]}"#;
    let many = vec![r#"{"dtype":"|u1","shape":[0],"bytes":0}"#; 65].join(",");
    let dimensions = format!(r#"{{"dtype":"|u1","shape":[{}],"bytes":1}}"#, ["1"; 33].join(","));
    let wrong = [
        (r#"{"dtype":"<u2","shape":[3],"bytes":5}"#, 5, "shape"),
        (r#"{"dtype":"<x2","shape":[3],"bytes":6}"#, 6, "dtype"),
        (r#"{"dtype":"|u1","shape":[-1],"bytes":1}"#, 1, "shape"),
        (r#"{"dtype":"|u1","shape":3,"bytes":3}"#, 3, "buffers"),
        (
            r#"{"dtype":"|u1","shape":[1048576],"bytes":1048576}"#,
            MIB,
            "--line",
        ),
        (&many, 0, "64"),
        (&dimensions, 1, "32 dimensions"),
    ];
    for (description, count, text) in wrong {
        let line = format!(r#"{{"buffers":[{description}]{rest}"#);
        ada.send_bytes(&framed(&line, &pixels(count)));
        expect_error(&mut ada, "1", &[text]);
        call(&mut ada, "2");
        camera.read_line();
        let reply = format!(
            r#"{{"buffers":[{description}],"error":false,"requester":"{name}","result":1,"uid":"2"}}"#
        );
        camera.send_bytes(&framed(&reply, &pixels(count)));
        expect_error(&mut ada, "2", &["malformed reply"]);
        expect_service(&mut ada, &mut camera);
    }
    assert_eq!(administrator.counter("binary_malformed"), 14);
    // The line itself is malformed, and the bytes are known.
    ada.send_bytes(&framed(
        r#"{"buffers":[{"dtype":"|u1","shape":[2],"bytes":2}],"uid":"1","#,
        b"{}",
    ));
    expect_error(&mut ada, "1", &["ends too early"]);
    expect_service(&mut ada, &mut camera);
    // A peer without the feature may have such a member.
    let (mut bob, _) = client(&manager, "Bob", &[]);
    bob.send_line(&format!(r#"{{"buffers":[5]{rest}"#));
    assert_eq!(camera.read_json()["attribute"], "store");
}

#[test]
fn a_connection_ends_where_the_bytes_are_not_known() {
    let (manager, mut administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    let (mut eve, _) = client(&manager, "Eve", &["binary"]);
    let rest = r#","service":"Camera","attribute":"store","uid":"1","args":[]}"#;
    for (bytes, text) in [
        (format!("{{\"buffers\":[5]{rest}\r\n"), "dtype, shape and bytes"),
        (format!("{{\"buffers\":[[]{rest}\r\n"), "dtype, shape and bytes"),
        (
            r#"{"service":"Camera","attribute":"store","uid":"1","buffers":[]}"#.to_owned() + "\r\n",
            "must begin with",
        ),
        (format!("{}{rest}\r\nabcX", described(b"abc")), "another length"),
    ] {
        let (mut ada, _) = client(&manager, "Ada", &["binary"]);
        ada.send_bytes(bytes.as_bytes());
        expect_error(&mut ada, "1", &[text]);
        ada.expect_closed();
    }
    assert_eq!(administrator.counter("binary_malformed"), 4);
    expect_service(&mut eve, &mut camera);
    // A service that does so leaves its callers an error.
    call(&mut eve, "2");
    let requester = camera.read_json()["requester"].as_str().unwrap().to_owned();
    camera.send_bytes(&[reply_line(&requester, "2", b"abc").as_bytes(), b"\r\nabcX"].concat());
    expect_error(&mut eve, "2", &["left before it replied"]);
}

#[test]
fn bytes_that_do_not_arrive_are_an_error_for_who_waits() {
    let (manager, mut administrator) = start(&["--line-stall", "300ms"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    for (length, arrived) in [(100, 10), (100, 0), (3 * MIB, MIB)] {
        let raw = pixels(length);
        let frame = request_with("1", &raw);
        let (begun, missing) = frame.split_at(frame.len() - 1 - length + arrived);
        ada.send_bytes(begun);
        expect_error(&mut ada, "1", &["--line-stall", "not executed"]);
        // The connection goes on with the next line.
        ada.send_bytes(missing);
        expect_service(&mut ada, &mut camera);
        call(&mut ada, "2");
        camera.read_line();
        let frame = framed(&reply_line(&name, "2", &raw), &raw);
        let (begun, missing) = frame.split_at(frame.len() - 1 - length + arrived);
        camera.send_bytes(begun);
        expect_error(&mut ada, "2", &["--line-stall", "may have been executed"]);
        camera.send_bytes(missing);
        expect_service(&mut ada, &mut camera);
    }
    assert_eq!(administrator.counter("lines_stalled"), 6);
    // The sender leaves amid the bytes.
    call(&mut ada, "3");
    camera.read_line();
    camera.send_bytes(reply_line(&name, "3", b"abc").as_bytes());
    camera.send_bytes(b"\r\na");
    drop(camera);
    expect_error(&mut ada, "3", &["left before it replied"]);
    assert_eq!(administrator.counter("line_bytes"), 0);
}

#[test]
fn nothing_is_lost_after_a_long_pause_amid_bytes() {
    let stall = Duration::from_millis(200);
    let (manager, mut administrator) = start(&["--line-stall", "200ms"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    let (mut bob, bob_name) = client(&manager, "Bob", &[]);
    call(&mut bob, "1");
    camera.read_line();
    call(&mut ada, "1");
    camera.read_line();
    let frame = framed(&reply_line(&name, "1", b"abc"), b"abc");
    let (begun, missing) = frame.split_at(frame.len() - 2);
    camera.send_bytes(begun);
    expect_error(&mut ada, "1", &["--line-stall"]);
    let frame = request_with("2", b"abc");
    let (request_begun, request_missing) = frame.split_at(frame.len() - 2);
    ada.send_bytes(request_begun);
    expect_error(&mut ada, "2", &["--line-stall"]);
    // The pause itself is what is tested.
    thread::sleep(3 * stall);
    let reply = format!(r#"{{"error":false,"requester":"{bob_name}","result":1,"uid":"1"}}"#);
    camera.send_bytes(&[missing, reply.as_bytes(), b"\r\n"].concat());
    let answer = bob.read_json();
    assert_eq!(answer["result"], 1, "{answer}");
    ada.send_bytes(request_missing);
    expect_service(&mut ada, &mut camera);
    assert_eq!(administrator.counter("lines_stalled"), 2);
}

#[test]
fn what_follows_bytes_whose_number_is_not_known_is_not_executed() {
    let (manager, _administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    let (mut bystander, _) = client(&manager, "Bystander", &["binary"]);
    let rest = r#","service":"Camera","attribute":"store","uid":"1","args":[]}"#;
    let fire = "{\"service\":\"Camera\",\"attribute\":\"fire\",\"uid\":\"2\"}\r\n";
    let buffer = |count: &str| format!(r#"{{"dtype":"|u1","shape":[{count}],"bytes":{count}}}"#);
    let most = u64::MAX.to_string();
    for (description, raw, text) in [
        (buffer(&most), "", "--line"),
        ([&*buffer(&most), &buffer(&most)].join(","), "", "shape"),
        (buffer("18446744073709551616"), "", "dtype, shape and bytes"),
        (buffer("4.0"), "", "dtype, shape and bytes"),
        (buffer("-1"), "", "dtype, shape and bytes"),
        ("5".to_owned(), "", "dtype, shape and bytes"),
        (buffer("4") + &" ".repeat(70_000), "", "dtype, shape and bytes"),
        (buffer("4"), "abcdX", "another length"),
    ] {
        let (mut eve, _) = client(&manager, "Eve", &["binary"]);
        // In one piece.
        eve.send_bytes(format!("{{\"buffers\":[{description}]{rest}\r\n{raw}{fire}").as_bytes());
        // The uid of a line is searched for in its first 64 KiB.
        let uid = if description.len() < 64 * 1024 { "1" } else { "" };
        expect_error(&mut eve, uid, &[text]);
        if description != buffer(&most) {
            eve.expect_closed();
        }
        expect_service(&mut bystander, &mut camera);
    }
}

#[test]
fn bytes_that_arrive_count_as_an_unfinished_line() {
    let (manager, mut administrator) = start(&["--budget-lines", "4M"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut ada, _) = client(&manager, "Ada", &["binary"]);
    let raw = pixels(8 * MIB);
    let frame = request_with("1", &raw);
    ada.send_bytes(&frame[..3 * MIB]);
    administrator.wait_for_counter("line_bytes", 2 * MIB as u64);
    ada.send_bytes(&frame[3 * MIB..]);
    expect_error(&mut ada, "1", &["--budget-lines"]);
    assert_eq!(administrator.counter("lines_over_budget"), 1);
    expect_service(&mut ada, &mut camera);
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

/// Returns the frame of a service about the request `uid`, which has a buffer in `member`.
fn about(name: &str, uid: &str, member: &str, raw: &[u8]) -> (String, Vec<u8>) {
    let line = format!(
        r#"{},"{member}":{{"$buffer":0}},"requester":"{name}","uid":"{uid}"}}"#,
        described(raw)
    );
    let frame = framed(&line, raw);
    (line, frame)
}

#[test]
fn items_have_buffers_and_progress_has_base64() {
    let (manager, mut administrator) = start(&["--convert", "1000"]);
    let mut camera = service(&manager, &["binary", "progress"]);
    let (mut ada, ada_name) = client(&manager, "Ada", &["binary"]);
    let (mut bob, bob_name) = client(&manager, "Bob", &[]);
    let array = |text: &str| json!({ "$array": { "dtype": "|u1", "shape": [3], "base64": text } });
    for (client, name, is_binary) in [(&mut ada, &ada_name, true), (&mut bob, &bob_name, false)] {
        let call = json!({ "service": "Camera", "attribute": "film", "uid": "1", "progress": true });
        client.send_line(&call.to_string());
        assert_eq!(camera.read_json()["progress"], true);
        let (_, frame) = about(name, "1", "progress", b"abc");
        camera.send_bytes(&frame);
        assert_eq!(client.read_json()["progress"], array("YWJj"));
        for raw in [&b"\n{\n"[..], b"abc"] {
            let (line, frame) = about(name, "1", "item", raw);
            camera.send_bytes(&frame);
            if is_binary {
                expect_frame(client, &line, raw);
            } else {
                let text = if raw == b"abc" { "YWJj" } else { "CnsK" };
                assert_eq!(client.read_json()["item"], array(text));
            }
        }
        // Too much for one who needs base64, and too much for progress.
        let (line, frame) = about(name, "1", "item", &pixels(1_001));
        camera.send_bytes(&frame);
        if is_binary {
            expect_frame(client, &line, &pixels(1_001));
        } else {
            expect_error(
                &mut camera,
                "",
                &["an item with more than 1000 bytes", "--convert"],
            );
        }
        let (_, frame) = about(name, "1", "progress", &pixels(70_000));
        camera.send_bytes(&frame);
        expect_error(&mut camera, "", &["progress"]);
        camera.send_bytes(&framed(&reply_line(name, "1", b"abc"), b"abc"));
        let result = client.read_json();
        if is_binary {
            expect_raw(client, b"abc");
        } else {
            assert_eq!(result["result"], array("YWJj"));
        }
    }
    assert_eq!(administrator.counter("too_long_to_convert"), 1);
}

#[test]
fn progress_that_would_be_too_long_is_refused_before_it_is_converted() {
    let (manager, mut administrator) = start(&[]);
    let mut camera = service(&manager, &["binary", "progress"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    ada.send_line(r#"{"service":"Camera","attribute":"film","uid":"1","progress":true}"#);
    camera.read_line();
    let raw = pixels(20_000);
    let rest = format!(r#","requester":"{name}","uid":"1"}}"#);
    let mut send = |members: &str| {
        let line = described(&raw) + members + &rest;
        camera.send_bytes(&framed(&line, &raw));
    };
    let array = r#"{"$array":{"dtype":"|u1","shape":[20000],"base64":""}}"#;
    let (reference, converted) = (r#"{"$buffer":0}"#, array.len() + 20_000_usize.div_ceil(3) * 4);
    let references = vec![reference; 3_000].join(",");
    let of_length = |length: usize| {
        let text = "x".repeat(length - converted - r#"[,""]"#.len());
        format!(r#","progress":[{reference},"{text}"]"#)
    };
    send(&format!(r#","progress":[{references}]"#));
    send(&format!(r#","progress":1,"other":[{references}]"#));
    send(&of_length(64 * 1024 + 1));
    send(&of_length(64 * 1024));
    let value = &ada.read_json()["progress"];
    assert_eq!(value.to_string().len(), 64 * 1024);
    let bytes = 3_000 * (converted + 1) + 1;
    for text in [&*bytes.to_string(), "65536 bytes", "65537"] {
        expect_error(&mut camera, "", &[text]);
    }
    assert_eq!(administrator.counter("converted"), 1);
}

#[test]
fn an_item_of_a_service_without_the_feature_does_not_look_as_if_buffers_followed() {
    let (manager, _administrator) = start(&[]);
    let mut camera = service(&manager, &["progress"]);
    let (mut ada, name) = client(&manager, "Ada", &["binary"]);
    ada.send_line(r#"{"service":"Camera","attribute":"film","uid":"1","progress":true}"#);
    camera.read_line();
    camera.send_line(&format!(
        r#"{{"buffers":[{{"dtype":"|u1","shape":[9],"bytes":9}}],"item":1,"requester":"{name}","uid":"1"}}"#
    ));
    assert_eq!(
        ada.read_line(),
        format!(r#"{{"item":1,"requester":"{name}","uid":"1"}}"#)
    );
}

#[test]
fn a_request_with_buffers_has_a_deadline_and_a_listener() {
    let (manager, _administrator) = start(&[]);
    let features = ["binary", "cut-through", "progress", "cancel"];
    let mut camera = service(&manager, &features);
    let (mut ada, name) = client(&manager, "Ada", &features);
    for attribute in ["link", "acquire_lock"] {
        ada.request(&json!({
            "service": "Manager", "attribute": attribute, "args": ["Camera"], "uid": attribute,
        }));
    }
    for length in [10, 4 * MIB] {
        let raw = pixels(length);
        for deadline in ["", r#","deadline":60.5"#] {
            let line = format!(
                r#"{},"service":"Camera","attribute":"store","uid":"1","args":[{{"$buffer":0}}]{deadline}}}"#,
                described(&raw)
            );
            ada.send_bytes(&framed(&line, &raw));
            let line = format!(
                r#"{},"args":[{{"$buffer":0}}],"attribute":"store","error":false,"kwargs":{{}},"service":"Camera","uid":"1"{deadline},"progress":true,"requester":"{name}"}}"#,
                described(&raw)
            );
            expect_frame(&mut camera, &line, &raw);
            let (line, frame) = about(&name, "1", "item", b"abc");
            camera.send_bytes(&frame);
            expect_frame(&mut ada, &line, b"abc");
            let line = reply_line(&name, "1", &raw);
            camera.send_bytes(&framed(&line, &raw));
            expect_frame(&mut ada, &line, &raw);
        }
    }
}

/// A client that is the only one of a service; both have all features that matter.
struct Pair {
    manager: Manager,
    administrator: Administrator,
    camera: RawPeer,
    ada: RawPeer,
    name: String,
}

impl Pair {
    fn new(options: &[&str]) -> Self {
        let (manager, administrator) = start(options);
        let features = ["binary", "cut-through", "origin"];
        let camera = service(&manager, &features);
        let (mut ada, name) = client(&manager, "Ada", &features);
        for attribute in ["link", "acquire_lock"] {
            let answer = ada.request(&json!({
                "service": "Manager", "attribute": attribute, "args": ["Camera"], "uid": "link",
            }));
            assert_eq!(answer["error"], false, "{answer}");
        }
        Self {
            manager,
            administrator,
            camera,
            ada,
            name,
        }
    }

    /// Makes the camera begin a reply of 4 MiB until its beginning reaches the client. Returns the
    /// line, the bytes that are still to be sent, and those that the client has received of the
    /// buffers.
    fn begin_reply(&mut self) -> (Vec<u8>, Vec<u8>) {
        let raw = pixels(4 * MIB);
        let line = reply_line(&self.name, "1", &raw);
        let frame = framed(&line, &raw);
        // It is forwarded only if its beginning arrives quickly, which a busy computer may prevent.
        for _ in 0..50 {
            call(&mut self.ada, "1");
            self.camera.read_line();
            let (begun, rest) = frame.split_at(2 * MIB);
            self.camera.send_bytes(begun);
            let received = self.ada.read_for(SILENCE);
            if !received.is_empty() {
                let received = received.strip_prefix(format!("{line}\r\n").as_bytes());
                return (rest.to_vec(), received.expect("the line comes first").to_vec());
            }
            self.camera.send_bytes(rest);
            expect_frame(&mut self.ada, &line, &raw);
        }
        panic!("no reply reached the client before its end");
    }

    /// Makes the client begin a request of 4 MiB until its beginning reaches the camera, as
    /// [`begin_reply`](Self::begin_reply).
    fn begin_request(&mut self) -> (Vec<u8>, Vec<u8>) {
        let raw = pixels(4 * MIB);
        let frame = request_with("1", &raw);
        for _ in 0..50 {
            let (begun, rest) = frame.split_at(2 * MIB);
            self.ada.send_bytes(begun);
            let received = self.camera.read_for(SILENCE);
            if !received.is_empty() {
                let line = received.iter().position(|&byte| byte == b'\n').unwrap();
                return (rest.to_vec(), received[line + 1..].to_vec());
            }
            self.ada.send_bytes(rest);
            expect_request(&mut self.camera, &self.name, "1", &raw);
            let reply = json!({ "error": false, "requester": self.name, "result": 1, "uid": "1" });
            self.camera.send_line(&reply.to_string());
            self.ada.read_line();
        }
        panic!("no request reached the service before its end");
    }
}

/// Expects zeros for the bytes that did not arrive, and the mark of an aborted frame.
#[track_caller]
fn expect_broken_off(receiver: &mut RawPeer, beginning: &[u8]) {
    let rest = receiver.read_bytes(4 * MIB - beginning.len());
    let whole = [beginning, &rest].concat();
    assert!(whole.starts_with(&pixels(MIB)) && whole.ends_with(&vec![0; MIB]));
    assert_eq!(receiver.read_bytes(3), BROKEN_OFF);
}

#[test]
fn long_buffers_arrive_while_they_are_sent() {
    let mut pair = Pair::new(&[]);
    let (rest, received) = pair.begin_reply();
    pair.camera.send_bytes(&rest);
    let missing = pair.ada.read_bytes(4 * MIB - received.len() + 1);
    assert!([received, missing].concat() == [pixels(4 * MIB), b"\n".to_vec()].concat());
    let (rest, received) = pair.begin_request();
    pair.ada.send_bytes(&rest);
    let missing = pair.camera.read_bytes(4 * MIB - received.len() + 1);
    assert!([received, missing].concat() == [pixels(4 * MIB), b"\n".to_vec()].concat());
    assert!(pair.administrator.counter("cut_through") >= 2);
    assert_eq!(pair.administrator.counter("broken_off"), 0);
    expect_service(&mut pair.ada, &mut pair.camera);
}

#[test]
fn buffers_whose_rest_does_not_arrive_are_broken_off() {
    let mut pair = Pair::new(&[]);
    let (_, received) = pair.begin_reply();
    drop(pair.camera);
    // The error comes behind the frame.
    expect_broken_off(&mut pair.ada, &received);
    expect_error(&mut pair.ada, "1", &["left before it replied"]);

    let mut pair = Pair::new(&["--line-stall", "500ms"]);
    let (rest, received) = pair.begin_request();
    expect_broken_off(&mut pair.camera, &received);
    expect_error(&mut pair.ada, "1", &["--line-stall"]);
    pair.ada.send_bytes(&rest);
    expect_service(&mut pair.ada, &mut pair.camera);
    assert_eq!(pair.administrator.counter("broken_off"), 1);
    assert_eq!(pair.administrator.counter("queued_bytes"), 0);

    let (rest, received) = pair.begin_reply();
    let wrong_end = [&rest[..rest.len() - 1], b"X"].concat();
    pair.camera.send_bytes(&wrong_end);
    let missing = pair.ada.read_bytes(4 * MIB - received.len() + BROKEN_OFF.len());
    assert!(missing.ends_with(BROKEN_OFF));
    expect_error(&mut pair.ada, "1", &["left before it replied"]);
    assert!(!pair.manager.log().contains("panicked"));
}

#[test]
fn a_client_of_several_services_gets_whole_frames() {
    let mut pair = Pair::new(&[]);
    let mut other = connect(&pair.manager, "service", "Other", &["binary"]);
    pair.ada
        .send_line(r#"{"service":"Manager","attribute":"link","args":["Other"],"uid":"link"}"#);
    pair.ada.read_line();
    let raw = pixels(4 * MIB);
    let line = reply_line(&pair.name, "1", &raw);
    let frame = framed(&line, &raw);
    call(&mut pair.ada, "1");
    pair.camera.read_line();
    let (begun, rest) = frame.split_at(2 * MIB);
    pair.camera.send_bytes(begun);
    let notification = r#"{"error":false,"result":[[],{}],"service":"Other","uid":"notification"}"#;
    other.send_line(notification);
    assert_eq!(pair.ada.read_line(), notification);
    pair.camera.send_bytes(rest);
    expect_frame(&mut pair.ada, &line, &raw);
}
