//! The feature `cut-through`: long requests and replies that reach a peer while they arrive at the
//! manager, the peers that get whole frames instead, and frames whose end does not arrive.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::manager::Manager;
use super::support::process::Signal;
use super::support::wire::{RawPeer, identity_request, member, request};

/// More bytes of a line than the manager needs before it forwards them.
const BEGINNING: usize = 1024 * 1024;

/// How long to wait for a message that must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// A line is forwarded only if its beginning arrives quickly, which a busy computer may prevent.
const ATTEMPTS: usize = 50;

/// The end of an aborted line.
const BROKEN_OFF: &[u8] = b"\x18\r\n";

/// A client that has locked a service; both know the feature.
struct Pair {
    manager: Manager,
    service: RawPeer,
    client: RawPeer,
    /// The client's name on the network.
    name: String,
}

fn identity(kind: &str, name: &str, features: &[&str]) -> Value {
    json!({ "type": kind, "name": name, "attributes": {}, "features": features })
}

fn to_manager(attribute: &str, argument: &str) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = json!([argument]);
    request
}

/// Returns the beginning of a request, including its argument's quote, with `length` bytes of the
/// argument.
fn begun_request(uid: &str, length: usize) -> String {
    let head = format!(r#"{{"service":"Camera","attribute":"store","uid":"{uid}","args":[""#);
    head + &"x".repeat(length)
}

impl Pair {
    fn new() -> Self {
        Self::with_features(&["registered", "cut-through", "origin"])
    }

    fn with_features(features: &[&str]) -> Self {
        Self::start(&[], features)
    }

    fn start(options: &[&str], features: &[&str]) -> Self {
        let manager = Manager::start(&[&["--disable-tls", "--line", "32M"], options].concat());
        let mut service = RawPeer::connect(&manager);
        service.identify(&identity("service", "Camera", features));
        super::support::wire::wait_for_service(&manager, "Camera");
        let mut client = RawPeer::connect(&manager);
        client.identify(&identity("client", "Ada", features));
        if features.contains(&"registered") {
            service.read_line();
            client.read_line();
        }
        for attribute in ["link", "acquire_lock"] {
            let answer = client.request(&to_manager(attribute, "Camera"));
            assert_eq!(answer["error"], false, "{answer}");
        }
        let name = client.request(&identity_request())["requester"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            manager,
            service,
            client,
            name,
        }
    }

    /// Returns the beginning of a reply, including its result's quote, with `length` bytes of the
    /// result.
    fn begun_reply(&self, uid: &str, length: usize) -> String {
        let head = format!(
            r#"{{"requester":"{}","uid":"{uid}","error":false,"result":""#,
            self.name
        );
        head + &"x".repeat(length)
    }

    /// Makes the client begin a request until its beginning reaches the service. Returns the
    /// received bytes.
    fn begin_request(&mut self, uid: &str) -> Vec<u8> {
        for _ in 0..ATTEMPTS {
            self.client.send_bytes(begun_request(uid, BEGINNING).as_bytes());
            let begun = self.service.read_for(SILENCE);
            if !begun.is_empty() {
                return begun;
            }
            self.client.send_bytes(b"\"]}\n");
            self.service.read_line();
            self.reply(uid);
        }
        panic!("no request reached the service before its end");
    }

    /// Makes the service begin a reply until its beginning reaches the client. Returns the received
    /// bytes.
    fn begin_reply(&mut self, uid: &str) -> Vec<u8> {
        for _ in 0..ATTEMPTS {
            self.client.send_bytes(begun_request(uid, 1).as_bytes());
            self.client.send_bytes(b"\"]}\n");
            self.service.read_line();
            self.service
                .send_bytes(self.begun_reply(uid, BEGINNING).as_bytes());
            let begun = self.client.read_for(SILENCE);
            if !begun.is_empty() {
                return begun;
            }
            self.service.send_bytes(b"\"}\n");
            self.client.read_line();
        }
        panic!("no reply reached the client before its end");
    }

    /// Makes the service reply and the client read the reply.
    fn reply(&mut self, uid: &str) {
        self.service.send_bytes(self.begun_reply(uid, 2).as_bytes());
        self.service.send_bytes(b"\"}\r\n");
        let answer = self.client.read_json();
        assert_eq!(
            (&answer["uid"], &answer["result"]),
            (&json!(uid), &json!("xx")),
            "{answer}"
        );
    }

    /// Expects the usual reply to a call.
    fn expect_service(&mut self) {
        self.client.send_line(&request("Camera", "name").to_string());
        let request = self.service.read_json();
        assert_eq!(request["requester"], self.name, "{request}");
        self.reply("request");
    }
}

#[track_caller]
fn expect_broken_off(mut begun: Vec<u8>, receiver: &mut RawPeer) {
    begun.extend(receiver.read_raw_line());
    assert!(
        begun.ends_with(BROKEN_OFF),
        "{:?}",
        String::from_utf8_lossy(&begun[begun.len().saturating_sub(100)..])
    );
}

#[track_caller]
fn expect_error(answer: &Value, uid: &str, message: &str, executed: &str) {
    assert_eq!(
        (&answer["uid"], &answer["message"], &answer["executed"]),
        (&json!(uid), &json!(message), &json!(executed)),
        "{answer}"
    );
}

#[test]
fn a_long_request_reaches_its_service_before_its_end_and_whole() {
    let mut pair = Pair::new();
    let mut line = pair.begin_request("1");
    let (escaped, rest) = (r#"\"é\\"#.repeat(100_000), "y".repeat(2_000_000));
    let end = format!(
        r#"{escaped}{rest}", NaN, 1.10], "junk": [{{}}], "requester": "me", "kwargs": {{"a": [1e400]}}, "error": false, "j": 1}}"#
    );
    pair.client.send_line(&end);
    line.extend(pair.service.read_raw_line());
    let line = String::from_utf8(line).unwrap();
    let x = "x".repeat(BEGINNING);
    assert_eq!(
        member(&line, "args"),
        format!(r#"["{x}{escaped}{rest}", NaN, 1.10]"#)
    );
    let name = json!(pair.name).to_string();
    for (key, value) in [
        ("kwargs", r#"{"a": [1e400]}"#),
        ("service", r#""Camera""#),
        ("attribute", r#""store""#),
        ("uid", r#""1""#),
        ("error", "false"),
        ("requester", &name),
    ] {
        assert_eq!(member(&line, key), value);
    }
    assert_eq!(line.matches("requester").count(), 1);
    assert!(
        !line.contains("\"j"),
        "what the service does not know is left out"
    );
    pair.reply("1");
}

#[test]
fn a_long_reply_reaches_its_client_before_its_end_byte_for_byte() {
    let mut pair = Pair::new();
    let mut line = pair.begin_reply("1");
    let end = format!(
        "{}\\u00e9\" , \"more\": [{}1] }}",
        "é".repeat(1_000_000),
        "2, ".repeat(300_000)
    );
    pair.service.send_line(&end);
    line.extend(pair.client.read_raw_line());
    let expected = format!("{}{end}\r\n", pair.begun_reply("1", BEGINNING));
    assert!(line == expected.as_bytes());
    pair.expect_service();
}

#[test]
fn who_did_not_ask_gets_no_line_before_its_end() {
    let mut pair = Pair::with_features(&[]);
    pair.client.send_bytes(begun_request("1", BEGINNING).as_bytes());
    assert_eq!(pair.service.read_for(SILENCE), b"");
    pair.client.send_bytes(b"\"]}\n");
    pair.service.read_json();
    pair.service
        .send_bytes(pair.begun_reply("1", BEGINNING).as_bytes());
    assert_eq!(pair.client.read_for(SILENCE), b"");
    pair.service.send_bytes(b"\"}\n");
    assert_eq!(pair.client.read_json()["uid"], "1");
}

#[test]
fn a_peer_that_others_have_to_do_with_gets_no_line_before_its_end() {
    let mut pair = Pair::new();
    let answer = pair.client.request(&to_manager("release_lock", "Camera"));
    assert_eq!(answer["error"], false, "{answer}");
    pair.client.send_bytes(begun_request("1", BEGINNING).as_bytes());
    assert_eq!(pair.service.read_for(SILENCE), b"", "anybody may call it");
    pair.client.send_bytes(b"\"]}\n");
    pair.service.read_json();

    let _other = RawPeer::service(&pair.manager, "Balance", &json!({}));
    let answer = pair.client.request(&to_manager("link", "Balance"));
    assert_eq!(answer["error"], false, "{answer}");
    pair.service
        .send_bytes(pair.begun_reply("1", BEGINNING).as_bytes());
    assert_eq!(
        pair.client.read_for(SILENCE),
        b"",
        "it listens to another service too"
    );
    pair.service.send_bytes(b"\"}\n");
    assert_eq!(pair.client.read_json()["uid"], "1");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_request_breaks_it_off() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    let Pair {
        manager,
        mut service,
        client,
        ..
    } = pair;
    drop(client);
    expect_broken_off(begun, &mut service);
    let mut other = RawPeer::client(&manager, "Bob");
    other.send_line(&request("Camera", "name").to_string());
    assert_eq!(service.read_json()["attribute"], "name");
}

#[test]
fn a_service_that_leaves_in_the_middle_of_its_reply_breaks_it_off_and_its_caller_is_told() {
    let mut pair = Pair::new();
    let begun = pair.begin_reply("1");
    drop(pair.service);
    expect_broken_off(begun, &mut pair.client);
    let message =
        "ConnectionError: the 'Camera' Service left before it replied, the request may have been executed";
    expect_error(&pair.client.read_json(), "1", message, "maybe");
    assert_eq!(pair.client.request(&identity_request())["error"], false);
}

#[test]
fn a_request_with_a_wrong_end_is_broken_off_and_refused() {
    let mut pair = Pair::new();
    let at = begun_request("1", BEGINNING).len() + 3;
    let malformed = format!("ValueError: the JSON text is malformed at byte {at}");
    for (end, message) in [
        ("\"],}", malformed.as_str()),
        ("\"]", "ValueError: the JSON text ends too early"),
        (
            "\"],\"uid\":\"1\"}",
            "ValueError: the member \"uid\" stands there twice",
        ),
        (
            "\"],\"kwargs\":[]}",
            "TypeError: the member \"kwargs\" must be an object",
        ),
        (
            "\"],\"error\":true}",
            "ValueError: a request's member \"error\" must be false",
        ),
    ] {
        let begun = pair.begin_request("1");
        pair.client.send_line(end);
        expect_broken_off(begun, &mut pair.service);
        expect_error(&pair.client.read_json(), "1", message, "no");
        pair.expect_service();
    }
}

#[test]
fn a_mistake_in_the_middle_breaks_a_line_off_at_once_and_the_rest_of_it_is_nobodys() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    pair.client.send_bytes(b"\x01");
    expect_broken_off(begun, &mut pair.service);
    let at = begun_request("1", BEGINNING).len();
    let message = format!("ValueError: a control character at byte {at} must be escaped");
    expect_error(&pair.client.read_json(), "1", &message, "no");
    pair.client.send_bytes("z".repeat(BEGINNING).as_bytes());
    pair.client.send_line(r#""],"service":"Camera"}"#);
    pair.expect_service();

    let begun = pair.begin_reply("2");
    pair.service.send_bytes(b"\xff\xff");
    expect_broken_off(begun, &mut pair.client);
    let message =
        "RuntimeError: the 'Camera' Service sent a malformed reply, the request may have been executed";
    expect_error(&pair.client.read_json(), "2", message, "maybe");
    pair.service.send_line("and so on");
    pair.expect_service();
}

#[test]
fn a_request_whose_lock_expires_before_its_end_is_broken_off_and_refused() {
    let mut pair = Pair::new();
    let answer = pair.client.request(&to_manager("release_lock", "Camera"));
    assert_eq!(answer["error"], false, "{answer}");
    let mut acquire = to_manager("acquire_lock", "Camera");
    acquire["kwargs"] = json!({ "ttl": 2 });
    let answer = pair.client.request(&acquire);
    assert_eq!(answer["error"], false, "{answer}");
    let begun = pair.begin_request("1");

    let mut other = RawPeer::client(&pair.manager, "Bob");
    acquire["kwargs"] = json!({ "wait": 60 });
    let answer = other.request(&acquire);
    assert_eq!(answer["error"], false, "{answer}");
    pair.client.send_bytes(b"\"]}\n");
    expect_broken_off(begun, &mut pair.service);
    let answer = pair.client.read_json();
    assert_eq!(
        (&answer["uid"], &answer["executed"]),
        (&json!("1"), &json!("no")),
        "{answer}"
    );
    assert!(
        answer["message"].as_str().unwrap().contains("expired"),
        "{answer}"
    );
}

#[test]
fn a_line_that_stops_while_others_wait_for_its_end_is_broken_off() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    // The answer has to wait for the end of the request.
    pair.service.send_line(&identity_request().to_string());
    expect_broken_off(begun, &mut pair.service);
    assert!(pair.service.read_json()["result"]["hostname"].is_string());
    let message = "TimeoutError: the request for the 'Camera' Service stopped arriving while others waited for its \
                   end, it was not executed, send it again";
    expect_error(&pair.client.read_json(), "1", message, "no");
    pair.client.send_line("\"]}");
    pair.expect_service();

    let begun = pair.begin_reply("2");
    pair.client.send_line(&identity_request().to_string());
    expect_broken_off(begun, &mut pair.client);
    assert!(pair.client.read_json()["result"]["hostname"].is_string());
    let message = "TimeoutError: the reply of the 'Camera' Service stopped arriving while others waited for its \
                   end, the request may have been executed";
    expect_error(&pair.client.read_json(), "2", message, "maybe");
    pair.service.send_line("\"}");
    pair.expect_service();
}

/// A reply arrives slowly in a client's queue and blocks the notifications of another service,
/// which must still serve its own clients.
#[test]
fn a_line_that_drips_keeps_nobody_elses_service_waiting() {
    let mut pair = Pair::start(&["--queue", "1M"], &["registered", "cut-through", "origin"]);
    let mut balance = RawPeer::service(&pair.manager, "Balance", &json!({}));
    let begun = pair.begin_reply("1");
    for _ in 0..2 {
        pair.client.send_line(&request("Balance", "weigh").to_string());
        let reply = json!({
            "error": false, "requester": balance.read_json()["requester"], "result": "z".repeat(BEGINNING), "uid": "request",
        });
        balance.send_line(&reply.to_string());
    }
    let mut other = RawPeer::client(&pair.manager, "Bob");
    other.send_line(&request("Balance", "name").to_string());
    assert_eq!(balance.read_json()["attribute"], "name");
    expect_broken_off(begun, &mut pair.client);
    for _ in 0..2 {
        let reply = pair.client.read_raw_line();
        assert!(reply.len() > BEGINNING || reply.ends_with(b"\"uid\":\"1\"}\r\n"));
    }
}

#[test]
fn a_broken_line_that_also_grows_too_long_ends_its_connection_alone() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    pair.client.send_bytes(b"\x01");
    expect_broken_off(begun, &mut pair.service);
    assert_eq!(pair.client.read_json()["uid"], "1");
    pair.client.send_bytes("y".repeat(32 * BEGINNING).as_bytes());
    pair.client.send_bytes(b"\n");
    let answer = pair.client.read_json();
    assert_eq!(
        answer["message"],
        "ValueError: a line may not be longer than 33554432 bytes (see --line of labwire start), closing connection"
    );
    let mut other = RawPeer::client(&pair.manager, "Bob");
    assert_eq!(other.request(&identity_request())["error"], false);
}

#[test]
fn a_line_for_whose_end_nobody_waits_may_take_its_time() {
    let mut pair = Pair::new();
    pair.begin_request("1");
    assert_eq!(pair.service.read_for(Duration::from_secs(3)), b"");
    pair.client.send_line("\"]}");
    let end = pair.service.read_line();
    assert!(end.ends_with("\"],\"kwargs\":{}}"), "{end}");
    pair.reply("1");
}

#[test]
fn a_reader_that_stops_does_not_hold_its_service_back() {
    let mut pair = Pair::new();
    let answer = pair.client.request(&to_manager("release_lock", "Camera"));
    assert_eq!(answer["error"], false, "{answer}");
    pair.begin_reply("1");
    // More than the sockets buffer; the client does not read it.
    pair.service.send_bytes("y".repeat(30_000_000).as_bytes());
    pair.service.send_line("\"}");
    let mut other = RawPeer::client(&pair.manager, "Bob");
    other.send_line(&request("Camera", "name").to_string());
    assert_eq!(pair.service.read_json()["attribute"], "name");
}

#[test]
fn a_line_that_grows_too_long_is_broken_off() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    pair.client.send_bytes("y".repeat(33_000_000).as_bytes());
    expect_broken_off(begun, &mut pair.service);
    let answer = pair.client.read_json();
    assert_eq!(
        answer["message"],
        "ValueError: a line may not be longer than 33554432 bytes (see --line of labwire start), closing connection"
    );
    pair.client.expect_closed();
}

#[test]
fn a_manager_that_stops_breaks_lines_off() {
    let mut pair = Pair::new();
    let begun = pair.begin_request("1");
    pair.manager.signal(Signal::TERM);
    pair.manager.signal(Signal::TERM);
    expect_broken_off(begun, &mut pair.service);
}
