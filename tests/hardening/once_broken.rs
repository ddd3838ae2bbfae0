//! Former violations of the promises. The comment of each test describes the old behaviour.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Bystander, Inspected, Peer, counter, manager_request, start};
use crate::support::manager::{Home, Manager};
use crate::support::python::{Service, run_script};
use crate::support::wire::{request, wait_for_service};

const MEBIBYTE: u64 = 1024 * 1024;

/// Maximum latency of a bystander while a dozen other tests run on two cores. It used to wait for
/// seconds, and longer with longer lines; now it only waits for a processor.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// The attribute of an administrator's request was logged unchanged: a line end in it began a log
/// line that the peer had written.
#[test]
fn no_request_can_forge_a_line_of_the_log() {
    let manager = start();
    let mut client = Peer::client(&manager, "forger");
    let forged = "2026-01-01 00:00:00.000 [INFO ] labwire - forged";
    client.send_line(manager_request(&format!("x\n{forged}"), json!([])).to_string());
    client.expect_request("username");
    client.settle();
    let log = manager.log();
    assert!(!log.lines().any(|line| line.starts_with(forged)), "{log}");
}

/// The text of a peer was logged at any length.
#[test]
fn no_request_makes_a_line_of_the_log_long() {
    let manager = start();
    let mut client = Peer::client(&manager, "forger");
    client.ask(&request(&"x".repeat(1_000_000), "weigh"));
    client.settle();
    let longest = manager.log().lines().map(str::len).max().unwrap();
    assert!(longest < 10_000, "a line of the log has {longest} bytes");
}

/// A typed line was parsed under the registry's lock: every peer waited for it.
#[test]
fn a_typed_line_of_many_words_keeps_nobody_waiting() {
    let manager = start();
    let mut client = Peer::client(&manager, "typist");
    let bystander = Bystander::start(&manager);
    client.send_line(format!("S a {}", "w ".repeat(10_000_000)));
    assert_eq!(client.frame()["error"], true);
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
}

/// The arguments of requests to the manager were parsed into values, under the registry's lock and
/// before any login: they took sixteen times their size in memory, and every peer waited.
#[test]
fn large_arguments_of_a_request_to_the_manager_cost_their_size() {
    let manager = start();
    let process = Inspected::new(&manager);
    for attribute in ["link", "users_table.usernames"] {
        let mut client = Peer::client(&manager, "client");
        let bystander = Bystander::start(&manager);
        let numbers = "1,".repeat(20_000_000);
        client.send_line(format!(
            r#"{{"service":"Manager","attribute":"{attribute}","args":[{numbers}1],"uid":"1"}}"#
        ));
        client.frame();
        let (waited, peak) = (bystander.stop(), process.peak_memory());
        assert!(
            waited < LONGEST_WAIT && peak < 200 * MEBIBYTE,
            "{attribute} with 40 MB of arguments: a bystander waited for {waited:?}, the peak is {} MiB",
            peak / MEBIBYTE
        );
    }
}

/// The uids of requests in flight were kept at any length, up to 65,536 of them.
#[test]
fn long_uids_do_not_fill_the_memory() {
    let manager = start();
    let process = Inspected::new(&manager);
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    for number in 0..200 {
        let mut call = request("Balance", "weigh");
        call["uid"] = json!(format!("{number}{}", "x".repeat(1_000_000)));
        client.send_line(call.to_string());
        // Refused, or forwarded.
        service.settle_or_read();
    }
    let peak = process.peak_memory() / MEBIBYTE;
    assert!(peak < 100, "the peak is {peak} MiB");
}

/// A service's attributes contained values that Python cannot read: every Python client that
/// requested the identity died.
#[test]
fn no_service_can_stop_those_who_ask_who_is_there() {
    let manager = start();
    let digits = format!(r#"{{"a":{}}}"#, "9".repeat(5_000));
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    for attributes in [digits, nested] {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("identity");
        peer.send_line(format!(
            r#"{{"result":{{"type":"service","name":"Hostile","attributes":{attributes}}}}}"#
        ));
        peer.send_line(manager_request("identity", json!([])).to_string());
        // Refused, or registered.
        let _ = peer.line();
        run_script("control_identities.py", &manager.connection(), &json!({}));
    }
}

/// A request was nested deeper than Python can read, but less deep than the limit: the Python
/// service died.
#[test]
fn no_allowed_nesting_stops_a_python_service() {
    let manager = start();
    let _service = Service::start("BasicMath", &manager.connection());
    wait_for_service(&manager, "BasicMath");
    let mut client = Peer::client(&manager, "client");
    let (opening, closing) = ("[".repeat(1_000), "]".repeat(1_000));
    client.send_line(format!(
        r#"{{"service":"BasicMath","attribute":"add","args":{opening}{closing},"uid":"1"}}"#
    ));
    let frame = client.frame();
    assert!(
        !frame["message"]
            .as_str()
            .unwrap()
            .contains("left before it replied"),
        "the service died: {frame}"
    );
}

/// A Python service answers a request that it cannot read without naming the caller: the caller
/// waited for ever.
#[test]
fn a_request_that_a_python_service_cannot_read_ends() {
    let manager = start();
    let _service = Service::start("BasicMath", &manager.connection());
    wait_for_service(&manager, "BasicMath");
    let mut client = Peer::client(&manager, "client");
    let digits = "9".repeat(5_000);
    client.send_line(format!(
        r#"{{"service":"BasicMath","attribute":"add","args":[{digits}],"uid":"1"}}"#
    ));
    let answer = client.line_until(Instant::now() + Duration::from_secs(10));
    assert!(answer.is_ok(), "no answer within 10 s");
}

/// Replies that named their request but were not well-formed: the caller waited for ever, or the
/// Python client died of a traceback that is not text.
#[test]
fn a_malformed_reply_ends_its_request_with_an_error() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    for rest in [
        r#""error":true,"message":"m","traceback":[]"#,
        r#""error":true,"message":"m","traceback":[5],"result":null"#,
        r#""error":true,"message":"m","traceback":[["x"]],"result":null"#,
    ] {
        client.send_line(request("Balance", "weigh").to_string());
        let asked = service.frame();
        service.send_line(format!(
            r#"{{{rest},"requester":{},"uid":{}}}"#,
            asked["requester"], asked["uid"]
        ));
        let answer = client.line_until(Instant::now() + Duration::from_secs(5));
        let line = answer.expect("the request ends").expect("the client stays");
        let frame: Value = serde_json::from_str(&line).unwrap();
        let lines = frame["traceback"].as_array().unwrap();
        assert!(lines.iter().all(Value::is_string), "{rest}: {frame}");
    }
}

/// Lines typed, or pasted, behind an administrator's request were taken for username and password.
#[test]
fn typed_lines_behind_an_administrators_request_are_never_taken_for_credentials() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "typist");
    client.send_line("Manager users_table.usernames\r\nBalance weigh 1\r\nidentity");
    client.expect_request("username");
    let frame = client.frame();
    assert_ne!(frame["attribute"], "password", "taken for the username: {frame}");
    assert_eq!(service.frame()["attribute"], "weigh");
}

/// A blank line behind an administrator's request was taken for the username.
#[test]
fn a_blank_line_behind_an_administrators_request_is_not_a_username() {
    let manager = start();
    let mut client = Peer::client(&manager, "client");
    client.send_line(format!("{}\r\n", manager_request("port", json!([]))));
    client.expect_request("username");
    client.settle();
}

/// A client's notification led to an error; it was not dropped and counted like other forgeries.
#[test]
fn a_notification_of_a_client_counts_as_unsolicited() {
    let manager = start();
    let mut client = Peer::client(&manager, "forger");
    client.send_line(
        json!({ "error": false, "result": [[], {}], "service": "S", "uid": "notification" }).to_string(),
    );
    client.send_line(manager_request("identity", json!([])).to_string());
    client.frame();
    assert_eq!(counter(&manager, "unsolicited"), 1);
}

/// The manager allowed 10,000 connections, but did not raise the shell's limit of 1,024 open files.
#[test]
fn the_limit_of_open_files_is_raised_to_what_is_allowed() {
    let manager = Manager::start_in(Home::new(), &["--disable-tls"]);
    let process = Inspected::new(&manager);
    let (soft, hard) = process.open_files_limits();
    assert_eq!(soft, hard, "start this test under: ulimit -Sn 1024");
}
