//! Services that answer with garbage: the caller gets an error, and the service stays connected.

use serde_json::{Value, json};

use super::support::{Peer, control_failed_as_expected, counter, expect_no_panic, start, start_reference};
use crate::support::manager::Manager;
use crate::support::python::{Service, run_script};
use crate::support::wire::{member, request, wait_for_service};

const MALFORMED: &str =
    "RuntimeError: the 'Balance' Service sent a malformed reply, the request may have been executed";

/// Possible output of an instrument's program instead of a reply. `CLIENT` and `UID` stand for the
/// requester and the uid of the request.
const GARBAGE: [&str; 16] = [
    "nan",
    "INF",
    "+1.2E-3",
    "5",
    "null",
    "[1, 2",
    "{}",
    "ERROR -113, \"Undefined header\"",
    r#"{"error": false, "requester": "CLIENT", "result": nan, "uid": "UID"}"#,
    r#"{"error": false, "uid": "UID", "result": 1,5, "requester": "CLIENT"}"#,
    r#"{"error": false, "requester": "CLIENT", "result": [1.5, 2."#,
    r#"{"error": false, "requester": "CLIENT", "result": 1.5}"#,
    r#"{"error": false, "result": 1.5, "uid": "UID"}"#,
    r#"{"error": false, "requester": "CLIENT", "uid": "UID"}"#,
    r#"{"error": false, "requester": "CLIENT", "result": 1.5, "uid": ["UID"]}"#,
    r#"{"error": false, "requester": "CLIENT", "result": 1, "result": 2, "uid": "UID"}"#,
];

fn call(uid: impl Into<Value>) -> Value {
    let mut call = request("Balance", "weigh");
    call["uid"] = uid.into();
    call
}

/// Answers a request with garbage, and returns the request.
fn answer(service: &mut Peer, garbage: &str) -> Value {
    let request = service.frame();
    let text = |member: &str| request[member].as_str().expect("it is a string").to_owned();
    service.send_line(
        garbage
            .replace("CLIENT", &text("requester"))
            .replace("UID", &text("uid")),
    );
    request
}

fn reply(request: &Value, result: &str) -> String {
    json!({ "error": false, "requester": request["requester"], "result": result, "uid": request["uid"] })
        .to_string()
}

/// Each of these is an error for its caller, at once and only once; a proper reply to the next
/// request arrives.
#[test]
fn garbage_ends_the_request_and_no_other() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    for (number, garbage) in GARBAGE.into_iter().enumerate() {
        client.send_line(call(format!("{number}")).to_string());
        let asked = answer(&mut service, garbage);
        let frame = client.frame();
        assert_eq!(frame["message"], MALFORMED, "{garbage}");
        assert_eq!(
            (&frame["error"], &frame["uid"]),
            (&json!(true), &asked["uid"]),
            "{garbage}"
        );
        service.send_line(reply(&asked, "too late"));
        client.send_line(call("next").to_string());
        let asked = service.frame();
        service.send_line(reply(&asked, "in time"));
        assert_eq!(client.frame()["result"], "in time", "{garbage}");
    }
    service.settle();
    let count = u64::try_from(GARBAGE.len()).unwrap();
    assert_eq!(counter(&manager, "malformed_replies"), count);
    assert_eq!(counter(&manager, "unsolicited"), count);
    expect_no_panic(&manager);
}

/// The same for a client of the Python package, which waits for each of its calls.
#[test]
fn a_python_client_is_told_of_garbage() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let serving = std::thread::spawn(move || {
        for garbage in GARBAGE {
            answer(&mut service, garbage);
            let asked = service.frame();
            service.send_line(reply(&asked, "in time"));
        }
        service
    });
    let expected = json!({ "calls": GARBAGE.len(), "expected": MALFORMED });
    run_script("garbage.py", &manager.connection(), &expected);
    serving.join().expect("the service was asked as often");
}

/// On the Python manager the caller waits for as long as the service is connected.
#[test]
fn the_reference_leaves_the_caller_of_garbage_waiting() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(call("1").to_string());
    answer(
        &mut service,
        r#"{"error": false, "requester": "CLIENT", "result": nan, "uid": "UID"}"#,
    );
    // The service's next frame is forwarded.
    let notification =
        json!({"error": false, "result": [[], {}], "service": "Balance", "uid": "notification"});
    service.send_line(notification.to_string());
    client.settle();
    control_failed_as_expected("nobody is told of a reply that is no JSON");
}

/// The caller of this reply is unknown, since two wait. The log contains the position of the error,
/// and both get their replies.
#[test]
fn garbage_that_may_be_anybodys_is_logged_with_its_place() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut clients = ["a", "b"].map(|name| Peer::client(&manager, name));
    let mut asked = Vec::new();
    for client in &mut clients {
        client.send_line(call("1").to_string());
        asked.push(service.frame());
    }
    for garbage in [r#"{"result": 1.5, "uid": nan}"#, "nan"] {
        service.send_line(garbage);
    }
    for (client, asked) in clients.iter_mut().zip(&asked) {
        service.send_line(reply(asked, "in time"));
        assert_eq!(client.frame()["result"], "in time");
    }
    for place in ["byte 24 of 27: ", "byte 1 of 3: "] {
        let text = format!("sent a malformed reply, and nothing tells for whom: {place}");
        manager.wait_for_log(&text);
        let log = manager.log();
        let line = log.lines().find(|line| line.contains(&text)).unwrap();
        assert!(line.contains("WARN") && line.contains("Balance["), "{line}");
    }
    assert_eq!(counter(&manager, "unattributed_replies"), 2);
    // The service got no error.
    service.settle();
}

/// A service that floods the manager with garbage does not fill the log.
#[test]
fn a_flood_of_garbage_does_not_fill_the_log() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    for _ in 0..100 {
        service.send_bytes(&b"nan\n".repeat(1_000));
    }
    service.settle_or_read();
    assert_eq!(counter(&manager, "unattributed_replies"), 100_000);
    let log = manager.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("malformed reply"))
        .count();
    assert!((1..1_000).contains(&lines), "{lines} lines");
}

/// A service answers each line that it gets with garbage, errors too: it gets one error, and no
/// loop begins.
#[test]
fn a_service_that_answers_errors_with_garbage_goes_in_no_circle() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    service.send_line("READY");
    assert_eq!(
        service.frame()["message"],
        "ValueError: a service must send JSON objects"
    );
    service.send_line("nan");
    for number in 0..10 {
        client.send_line(call(format!("{number}")).to_string());
        answer(&mut service, "nan");
        let frame = client.frame();
        assert_eq!(
            (&frame["message"], &frame["uid"]),
            (&json!(MALFORMED), &json!(format!("{number}")))
        );
    }
    service.settle();
}

/// A reply that exceeds the longest line ends the service's connection. All of its callers get an
/// error with the reason.
#[test]
fn a_reply_that_is_too_long_ends_its_requests() {
    let manager = Manager::start(&["--disable-tls", "--line", "1MiB"]);
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut clients = ["a", "b"].map(|name| Peer::client(&manager, name));
    for client in &mut clients {
        client.send_line(call("1").to_string());
        service.frame();
    }
    // The manager may close the connection before all of it is sent.
    service.try_send(&vec![b'x'; 2 * 1024 * 1024]);
    for client in &mut clients {
        let frame = client.frame();
        assert_eq!(
            frame["message"],
            "RuntimeError: the 'Balance' Service sent a reply that is longer than 1048576 bytes and was disconnected, \
             the request may have been executed"
        );
        assert_eq!(frame["uid"], "1");
    }
}

/// A request that exceeds the longest line is refused with its uid, if that came first.
#[test]
fn a_request_that_is_too_long_is_refused_with_its_uid() {
    for length in [70 * 1024, 300 * 1024] {
        let manager = Manager::start(&["--disable-tls", "--line", "64KiB"]);
        let mut client = Peer::client(&manager, "client");
        client
            .try_send(format!(r#"{{"uid":5,"service":"Balance","args":["{}"#, "x".repeat(length)).as_bytes());
        let frame = client.frame();
        assert_eq!(frame["uid"], 5, "{frame}");
        assert!(
            frame["message"]
                .as_str()
                .unwrap()
                .contains("may not be longer than"),
            "{frame}"
        );
    }
}

/// A Python service prints garbage in the middle of its work, and another one cannot read `NaN`.
/// Both stay connected.
#[test]
fn python_services_live_on_after_garbage() {
    let manager = start();
    let _printing = Service::start("Printing", &manager.connection());
    let _strict = Service::start("Strict", &manager.connection());
    let mut client = Peer::client(&manager, "client");
    for service in ["Printing", "Strict"] {
        wait_for_service(&manager, service);
    }
    for garbage in ["nan", "{\"result\": INF", "{}"] {
        let mut call = request("Printing", "garble");
        // The reply follows the garbage. A thread of the service makes it, perhaps after the next one.
        (call["args"], call["uid"]) = (json!([garbage]), json!(garbage));
        let frame = client.ask(&call);
        assert_eq!(
            frame["message"],
            "RuntimeError: the 'Printing' Service sent a malformed reply, the request may have been executed"
        );
        let frame = client.ask(&request("Printing", "ready"));
        assert_eq!(frame["result"], true, "after {garbage}: {frame}");
    }
    let frame =
        client.ask_line(r#"{"service":"Strict","attribute":"echo","args":[NaN],"kwargs":{},"uid":"2"}"#);
    assert_eq!(
        (&frame["error"], &frame["uid"]),
        (&json!(true), &json!("2")),
        "{frame}"
    );
    let message = frame["message"].as_str().unwrap();
    assert!(message.starts_with("ValueError: out of range: NaN"), "{frame}");
    let frame =
        client.ask_line(r#"{"service":"Strict","attribute":"echo","args":[1.5],"kwargs":{},"uid":"3"}"#);
    assert_eq!(
        (&frame["result"], &frame["uid"]),
        (&json!([1.5]), &json!("3")),
        "{frame}"
    );
    expect_no_panic(&manager);
}

/// Through a Python service and back.
#[test]
fn a_number_for_a_uid_and_null_for_keyword_arguments_are_as_the_client_sent_them() {
    let manager = start();
    let _service = Service::start("Echo", &manager.connection());
    wait_for_service(&manager, "Echo");
    let mut client = Peer::client(&manager, "client");
    for uid in ["5", "-1.50", "1e2", "123456789012345678901234567890", "\"5\""] {
        for (attribute, is_error) in [("echo", false), ("nothing", true)] {
            client.send_line(format!(
                r#"{{"args":[],"attribute":"{attribute}","error":false,"kwargs":{{}},"service":"Echo","uid":{uid}}}"#
            ));
            let line = client.line().unwrap();
            assert_eq!(member(&line, "uid"), uid, "{line}");
            assert_eq!(member(&line, "error"), is_error.to_string(), "{line}");
        }
        // The manager's own answers and refusals.
        for (service, attribute) in [("Manager", "identity"), ("Manager", "link"), ("Nobody", "a")] {
            client.send_line(format!(
                r#"{{"attribute":"{attribute}","kwargs":null,"service":"{service}","uid":{uid}}}"#
            ));
            let line = client.line().unwrap();
            assert_eq!(member(&line, "uid"), uid, "{line}");
        }
    }
    // The package's services cannot handle it, and return an error.
    client
        .send_line(r#"{"args":[],"attribute":"echo","error":false,"kwargs":null,"service":"Echo","uid":1}"#);
    let frame = client.frame();
    assert!(
        frame["message"].as_str().unwrap().starts_with("TypeError"),
        "{frame}"
    );
    let frame = client.ask(&request("Echo", "echo"));
    assert_eq!(frame["error"], false, "{frame}");
    expect_no_panic(&manager);
}

/// The same with a service on a bare socket, which sees the bytes that the client sent.
#[test]
fn a_service_gets_a_number_for_a_uid_and_null_for_keyword_arguments() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(r#"{"attribute":"weigh","kwargs":null,"service":"Balance","uid":5}"#);
    let line = service.line().unwrap();
    assert_eq!(
        (member(&line, "uid"), member(&line, "kwargs")),
        ("5", "null"),
        "{line}"
    );
    drop(service);
    let line = client.line().unwrap();
    assert_eq!(member(&line, "uid"), "5", "{line}");
    assert!(line.contains("left before it replied"), "{line}");
}

/// MSL-Network forwards both unchanged, too.
#[test]
fn the_reference_takes_a_number_for_a_uid_and_null_for_keyword_arguments() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(
        r#"{"args":[],"attribute":"weigh","error":false,"kwargs":null,"service":"Balance","uid":5}"#,
    );
    let asked = service.frame();
    assert_eq!(
        (&asked["uid"], &asked["kwargs"]),
        (&json!(5), &Value::Null),
        "{asked}"
    );
    service.send_line(reply(&asked, "in time"));
    assert_eq!(client.frame()["uid"], 5);
}
