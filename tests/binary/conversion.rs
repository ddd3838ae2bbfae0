//! Buffers for peers without the feature: base64 in the line.

use super::*;

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
