//! Buffers of items, of progress and of requests with a deadline.

use super::*;

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
