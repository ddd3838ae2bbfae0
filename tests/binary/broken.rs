//! Descriptions that are wrong, and bytes that do not arrive.

use super::*;

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
