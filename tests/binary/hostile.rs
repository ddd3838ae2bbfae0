//! Peers that send nonsense with the feature `binary`, or much to convert, and what the others notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Peers that have long replies converted at once.
const PEERS: usize = 10;

/// The longest time that a call of a bystander may take, most times: it stands for a few milliseconds, on a
/// computer that also runs other tests.
const MOSTLY: Duration = Duration::from_millis(100);

#[test]
fn descriptions_of_any_length_and_any_numbers_end_one_request_or_one_connection() {
    let (manager, mut administrator) = start(&["--line", "1M"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut bystander, _) = client(&manager, "Bystander", &["binary"]);
    let rest = r#","service":"Camera","attribute":"store","uid":"1","args":[]}"#;
    let maximum = u64::MAX;
    let element = |shape: &str, bytes: &str| format!(r#"{{"dtype":"<f8","shape":{shape},"bytes":{bytes}}}"#);
    let descriptions = [
        // Products and sums that overflow.
        element(&format!("[{maximum},{maximum}]"), "8"),
        element("[4294967296,4294967296,4294967296]", "0"),
        [element("[1]", &maximum.to_string()), element("[1]", "8")].join(","),
        [element("[1]", "8"), element("[1]", &maximum.to_string())].join(","),
        element("[2305843009213693952]", "18446744073709551616"),
        // Numbers and members that are none.
        element("[1e3]", "8000"),
        element("[null]", "8"),
        element("[1]", "-8"),
        element("[1]", "8.0"),
        element("[1]", "\"8\""),
        element("{}", "8"),
        r#"{"dtype":"<f8","shape":[1]}"#.to_owned(),
        r#"{"dtype":"|O","shape":[1],"bytes":8}"#.to_owned(),
        r#"{"dtype":"<f9999999999999999999","shape":[1],"bytes":8}"#.to_owned(),
        // Long and deep ones.
        vec!["{}"; 30_000].join(","),
        vec!["0"; 30_000].join(","),
        "[".repeat(60_000),
        "{\"a\":".repeat(12_000),
        format!("\"{}\"", "x".repeat(300_000)),
    ];
    for description in descriptions {
        let (mut eve, _) = client(&manager, "Eve", &["binary"]);
        eve.send_bytes(&framed(
            &format!(r#"{{"buffers":[{description}]{rest}"#),
            &pixels(8),
        ));
        let answer = eve.read_json();
        assert_eq!(answer["error"], true, "{answer}");
        drop(eve);
        expect_service(&mut bystander, &mut camera);
    }
    assert_eq!(administrator.counter("line_bytes"), 0);
}

#[test]
fn empty_buffers_that_are_referred_to_often_are_not_converted_without_a_bound() {
    let (manager, mut administrator) = start(&["--convert", "64K"]);
    let mut camera = service(&manager, &["binary"]);
    let (mut bob, name) = client(&manager, "Bob", &[]);
    // A reference has 13 bytes, and stands for 700.
    let shape = format!("0{}", format!(",{}", u64::MAX).repeat(31));
    let references = vec![r#"{"$buffer":0}"#; 300_000].join(",");
    call(&mut bob, "1");
    camera.read_line();
    let line = format!(
        r#"{{"buffers":[{{"dtype":"|u1","shape":[{shape}],"bytes":0}}],"error":false,"requester":"{name}","result":[{references}],"uid":"1"}}"#
    );
    camera.send_bytes(&framed(&line, b""));
    expect_error(&mut bob, "1", &["--convert"]);
    assert_eq!(administrator.counter("too_long_to_convert"), 1);
    expect_service(&mut bob, &mut camera);
}

#[test]
fn a_reference_to_a_buffer_that_is_not_there_is_passed_on_as_it_is() {
    let (manager, _administrator) = start(&[]);
    let mut camera = service(&manager, &["binary"]);
    for features in [&["binary"][..], &[]] {
        let (mut ada, name) = client(&manager, "Ada", features);
        for reference in ["1", "64", "18446744073709551616", "-1", "\"0\"", "0.0"] {
            call(&mut ada, "1");
            camera.read_line();
            let reference = format!(r#"{{"$buffer":{reference}}}"#);
            let line = reply_line(&name, "1", b"abc").replace(r#"{"$buffer":0}"#, &reference);
            camera.send_bytes(&framed(&line, b"abc"));
            let reply = ada.read_line();
            assert!(reply.contains(&format!(r#""result":{reference}"#)), "{reply}");
            if !features.is_empty() {
                expect_raw(&mut ada, b"abc");
            }
        }
    }
}

#[test]
fn a_bystander_is_served_while_ten_peers_have_long_arrays_converted() {
    let (manager, mut administrator) = start(&["--convert", "16M"]);
    let raw = pixels(16 * MIB);
    let mut cameras = Vec::new();
    for number in 0..PEERS {
        let name = format!("Camera{number}");
        let camera = connect(&manager, "service", &name, &["binary"]);
        let (client, requester) = client(&manager, &format!("Bob{number}"), &[]);
        cameras.push((camera, client, name, requester));
    }
    let mut small = service(&manager, &[]);
    let (mut bystander, _) = client(&manager, "Bystander", &[]);
    let is_over = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                expect_service(&mut bystander, &mut small);
                times.push(begin.elapsed());
            }
            times
        });
        let converting: Vec<_> = cameras
            .into_iter()
            .map(|(mut camera, mut client, name, requester)| {
                let raw = &raw;
                scope.spawn(move || {
                    let request = json!({ "service": name, "attribute": "image", "uid": "1" });
                    client.send_line(&request.to_string());
                    camera.read_line();
                    camera.send_bytes(&framed(&reply_line(&requester, "1", raw), raw));
                    let reply = client.read_raw_line();
                    assert!(reply.len() > raw.len() * 4 / 3, "{}", reply.len());
                })
            })
            .collect();
        for peer in converting {
            peer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        measuring.join().unwrap()
    });
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{} calls beside: p50 {median:?}, p99 {p99:?}", times.len());
    assert!(
        times.len() > 10 && median < MOSTLY,
        "{median:?} of {}",
        times.len()
    );
    assert_eq!(administrator.counter("converted"), PEERS as u64);
}
