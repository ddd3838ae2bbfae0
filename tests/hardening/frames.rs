//! Lines that are not frames: the sender gets an error or is disconnected, and then holds nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{
    Bystander, Inspected, Peer, control_failed_as_expected, expect_no_panic, manager_request, start,
    start_reference,
};
use crate::support::POLL_INTERVAL;
use crate::support::manager::Manager;
use crate::support::python::Service;
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, member, request, wait_for_service};

/// Maximum latency of a bystander beside a hostile line while a dozen other tests run. A parser
/// with backtracking takes many times as long.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// One more level of arrays and objects than is allowed.
const TOO_DEEP: usize = 1_025;

fn nested(levels: usize) -> Vec<u8> {
    // The frame itself is one level.
    let (opening, closing) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
    format!(r#"{{"service":"Balance","attribute":"weigh","args":{opening}{closing},"uid":"1"}}"#).into()
}

/// Returns lines that a manager has to survive.
fn hostile_lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = [
        "null",
        "5",
        "[]",
        "{}",
        r#""result""#,
        r#"{"result":1}"#,
        r#"{"result":1,"uid":"1"}"#,
        r#"{"result":1,"uid":5,"requester":[]}"#,
        r#"{"result":[[],{}],"uid":"notification"}"#,
        r#"{"service":"S"}"#,
        r#"{"service":5,"attribute":"weigh"}"#,
        r#"{"service":"Balance","attribute":"\ud800","args":[],"error":false,"kwargs":{},"uid":"1"}"#,
        r#"{"service":"Balance","service":"Manager","attribute":"identity","uid":"1"}"#,
        r#"{"service":"Manager","attribute":"link","args":[5],"uid":"1"}"#,
        r#"{"service":"Manager","attribute":"link","args":"Balance","uid":"1"}"#,
        r#"{"service":"Manager","attribute":"acquire_lock","args":["Balance"],"kwargs":{"shared":1},"uid":"1"}"#,
        r#"{"service":"Balance","attribute":"weigh","uid":"notification"}"#,
        r#"{"service":"Balance","attribute":"weigh","error":true,"uid":"1"}"#,
        r#"{"service":"Balance""#,
    ]
    .map(|line| line.as_bytes().to_vec())
    .into();
    lines.push(b"\xff".to_vec());
    lines.push(b"{\"service\":\"\xff\"}".to_vec());
    lines.push(nested(TOO_DEEP));
    lines
}

/// `null`, numbers, arrays, half of a frame, bytes that are not text, half a character in the
/// attribute, 1,025 levels of nesting, a duplicate member: the client that sends one gets an error
/// or is disconnected, and after its disconnect its link and its lock are free.
#[test]
fn a_client_that_sends_what_is_no_frame_leaves_no_link_and_no_lock_behind() {
    let manager = start();
    let _service = Peer::service(&manager, "Balance", 1);
    for line in hostile_lines() {
        let mut client = Peer::client(&manager, "broken");
        client.link_and_lock("Balance");
        client.send_line(&line);
        let answer = client.error_or_close();
        drop(client);
        let mut next = Peer::client(&manager, "next");
        next.link_and_lock("Balance");
        println!(
            "{}: {answer:?}",
            String::from_utf8_lossy(&line[..line.len().min(80)])
        );
    }
    expect_no_panic(&manager);
}

/// The same lines from a service: it gets an error or is disconnected, its clients stay connected,
/// and after its disconnect its name is free.
#[test]
fn a_service_that_sends_what_is_no_frame_leaves_no_name_behind() {
    let manager = start();
    let mut client = Peer::client(&manager, "client");
    for line in hostile_lines() {
        let mut service = Peer::service(&manager, "Balance", 1);
        client.link_and_lock("Balance");
        service.send_line(&line);
        service.error_or_close();
        client.settle();
        drop(service);
        wait_until_gone(&manager, "Balance");
    }
    expect_no_panic(&manager);
}

/// The same lines instead of an identity: the connection ends with the reason.
#[test]
fn what_is_no_identity_ends_the_connection_with_a_reason() {
    let manager = start();
    for line in hostile_lines() {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("identity");
        peer.send_line(&line);
        let message = peer.expect_rejection();
        assert!(message.contains("Error: "), "{message}");
    }
    Peer::client(&manager, "next").settle();
    expect_no_panic(&manager);
}

/// The same lines instead of the manager's password count as a wrong one.
#[test]
fn what_is_no_password_ends_the_connection_with_a_reason() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "open sesame"]);
    for line in hostile_lines() {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("password");
        peer.send_line(&line);
        let message = peer.expect_rejection();
        assert!(
            message == "ValueError: Wrong Manager password" || message.contains("too many failed logins"),
            "{message}"
        );
    }
    expect_no_panic(&manager);
}

/// On the Python manager each of these lines keeps its sender's link and lock for ever.
#[test]
fn the_reference_keeps_the_lock_of_a_client_that_sent_what_is_no_frame() {
    let manager = start_reference();
    let lines: [&[u8]; 9] = [
        b"null",
        b"5",
        b"[]",
        b"{}",
        br#""result""#,
        br#"{"result":1}"#,
        br#"{"service":"S"}"#,
        br#"{"service":"Balance 8","attribute":"\ud800","args":[],"error":false,"kwargs":{},"uid":"1"}"#,
        b"\xff",
    ];
    let services: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let name = format!("Balance {}", number + 1);
            let service = Peer::service(&manager, &name, 1);
            let mut client = Peer::client(&manager, "broken");
            client.link_and_lock(&name);
            client.send_line(line);
            (name, service)
        })
        .collect();
    let mut next = Peer::client(&manager, "next");
    // On Labwire the links are free within milliseconds.
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        for ((name, _service), line) in services.iter().zip(lines) {
            let frame = next.ask_manager("link", json!([name]));
            assert_eq!(
                frame["message"],
                format!("PermissionError: '{name}' service is locked"),
                "{}",
                String::from_utf8_lossy(line)
            );
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    for line in lines {
        let line = String::from_utf8_lossy(line);
        control_failed_as_expected(&format!("after {line} the lock is a ghost's"));
    }
}

/// The maximum depth of nesting reaches the service unchanged.
#[test]
fn nesting_up_to_the_limit_is_delivered() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(nested(TOO_DEEP - 1));
    let line = service.line().expect("the service is connected");
    assert_eq!(member(&line, "args").len(), 2 * (TOO_DEEP - 2));
}

/// An endless line before the identity: the manager accepts 64 KiB of a peer that has not
/// authenticated, and 4 MiB of one that need not. Then it sends the reason, and its memory does not
/// grow with the line.
#[test]
fn an_endless_line_before_the_identity_is_cut_at_a_small_limit() {
    for (arguments, limit) in [
        (&["--disable-tls"][..], 4 * 1024 * 1024),
        (&["--disable-tls", "--auth-password", "open sesame"], 64 * 1024),
    ] {
        let manager = Manager::start(arguments);
        let process = Inspected::new(&manager);
        let before = process.peak_memory();
        let flooders: Vec<_> = (0..4)
            .map(|_| {
                let mut peer = Peer::connect(&manager);
                std::thread::spawn(move || {
                    let chunk = vec![b'x'; 64 * 1024];
                    // A gibibyte at most: the connection must end long before.
                    let taken = (0..16 * 1024).take_while(|_| peer.try_send(&chunk)).count();
                    assert!(taken < 16 * 1024, "a gibibyte was taken");
                })
            })
            .collect();
        for flooder in flooders {
            flooder.join().expect("the manager cuts the connection");
        }
        let grown = process.peak_memory() - before;
        // Each of the four may have a line of that length, in a buffer of twice its size.
        let most = 8 * 1024 * 1024 + 4 * 2 * limit;
        assert!(grown < most as u64, "the memory grew by {grown} bytes");

        let mut peer = Peer::connect(&manager);
        peer.frame();
        peer.send_bytes(&vec![b'x'; limit]);
        let message = peer.error_or_close().expect("there is a reason");
        assert!(
            message.contains(&format!("a line may not be longer than {limit} bytes")),
            "{message}"
        );
        expect_no_panic(&manager);
    }
}

/// After the identity a line may be large: laboratories send single requests of 110 MB.
#[test]
fn a_line_of_a_hundred_mebibytes_passes_after_the_identity() {
    let manager = start();
    let mut service = Peer::service(&manager, "Camera", 0);
    let mut client = Peer::client(&manager, "client");
    let picture = "x".repeat(100 * 1024 * 1024);
    let sent = picture.len();
    let sending = std::thread::spawn(move || {
        client.send_line(format!(
            r#"{{"args":["{picture}"],"attribute":"store","service":"Camera","uid":"1"}}"#
        ));
        client
    });
    let line = service.line().expect("the service is connected");
    assert_eq!(member(&line, "args").len(), sent + 4);
    let mut client = sending.join().expect("the line is taken");
    client.settle();
}

/// A terminal line of 40 kB, in several forms that are slow for a parser with backtracking: each is
/// answered at once, and a bystander is not delayed. One of them stops the Python manager for 16
/// seconds.
#[test]
fn a_long_terminal_line_is_answered_at_once() {
    let manager = start();
    let mut client = Peer::client(&manager, "typist");
    let bystander = Bystander::start(&manager);
    for (start, repeated) in [
        ("", "w"),
        ("S a ", "w"),
        ("S a ", "w "),
        ("S a ", "w=w "),
        ("S a w", "="),
        ("S a ", "\""),
        ("S a ", "\\"),
        ("S a ", "["),
        ("S a ", "[1,"),
        ("S a ", "{'a':"),
        ("S a ", "("),
        ("S a ", "1_"),
        ("link ", "w"),
        ("client ", "w "),
        ("S a ", "\u{e9}"),
    ] {
        let line = format!("{start}{}", repeated.repeat(40_000 / repeated.len()));
        let asked = Instant::now();
        client.send_line(&line);
        assert_eq!(client.frame()["error"], true);
        let taken = asked.elapsed();
        assert!(taken < LONGEST_WAIT, "{start}{repeated}… took {taken:?}");
    }
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    expect_no_panic(&manager);
}

/// The same with 4 MB: the time grows linearly with the length.
#[test]
fn a_terminal_line_of_megabytes_is_answered_at_once() {
    let manager = start();
    let mut client = Peer::client(&manager, "typist");
    let bystander = Bystander::start(&manager);
    for start in ["", "S a ", "link ", "client "] {
        client.send_line(format!("{start}{}", "w".repeat(4_000_000)));
        assert_eq!(client.frame()["error"], true);
    }
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    expect_no_panic(&manager);
}

/// Before the identity too: 40 kB of `w` are not an identity, and the error comes at once.
#[test]
fn a_long_terminal_line_is_no_identity() {
    let manager = start();
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    peer.send_line("w".repeat(40_000));
    let message = peer.error_or_close().expect("there is a reason");
    assert!(
        message.starts_with("ValueError: ") && message.len() < 1_000,
        "{message}"
    );
}

/// Exponents, digits and long integers: the Python manager rewrites them.
#[test]
fn the_reference_rewrites_numbers() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    for (number, rewritten) in [("1e400", "Infinity"), ("0.10000000000000000555", "0.1")] {
        client.send_line(format!(
            r#"{{"args":[{number}],"attribute":"weigh","error":false,"kwargs":{{}},"service":"Balance","uid":"1"}}"#
        ));
        let line = service.line().expect("the service is connected");
        assert_eq!(member(&line, "args"), format!("[{rewritten}]"));
        control_failed_as_expected(&format!("{number} became {rewritten}"));
    }
}

/// The same numbers here, and an integer of 30 digits, byte for byte.
#[test]
fn numbers_are_not_rewritten() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    for number in [
        "1e400",
        "0.10000000000000000555",
        "123456789012345678901234567890",
    ] {
        client.send_line(format!(
            r#"{{"args":[{number}],"attribute":"weigh","error":false,"kwargs":{{}},"service":"Balance","uid":"1"}}"#
        ));
        let line = service.line().expect("the service is connected");
        assert_eq!(member(&line, "args"), format!("[{number}]"));
    }
}

fn wait_until_gone(manager: &Manager, service: &str) {
    let mut observer = Peer::client(manager, "observer");
    wait_until(&format!("{service} never left"), || {
        observer.ask(&identity_request())["result"]["services"]
            .get(service)
            .is_none()
    });
    let frame = observer.ask(&request(service, "weigh"));
    assert_eq!(frame["error"], true, "{frame}");
    let frame = observer.ask(&manager_request("link", json!([service])));
    assert_eq!(frame["error"], true, "{frame}");
}

/// Unknown members, values of the wrong type, the uid of notifications: each stops a Python service
/// that receives it. Here the service gets only well-formed requests, and still answers afterwards.
#[test]
fn a_python_service_survives_requests_that_are_not_well_formed() {
    let manager = start();
    let _service = Service::start("Echo", &manager.connection());
    wait_for_service(&manager, "Echo");
    let mut client = Peer::client(&manager, "client");
    for members in [
        r#""attribute":5"#,
        r#""attribute":"echo","error":true"#,
        r#""attribute":"echo","uid":"notification""#,
        r#""attribute":"echo","args":{"x":1}"#,
        r#""attribute":"echo","kwargs":[1]"#,
        r#""attribute":null"#,
    ] {
        let answer = client.ask_line(&format!(r#"{{"service":"Echo",{members}}}"#));
        assert_eq!(answer["error"], true, "{members}: {answer}");
    }
    for members in [
        r#""attribute":"echo","writer":1,"self":2,"message":"x","traceback":3,"requester":"nobody""#,
        r#""attribute":"echo""#,
        r#""attribute":"echo","args":[],"kwargs":{},"error":false,"uid":"2""#,
    ] {
        let answer = client.ask_line(&format!(r#"{{"service":"Echo",{members}}}"#));
        assert_eq!(answer["result"], json!([[], {}]), "{members}: {answer}");
    }
    expect_no_panic(&manager);
}
