//! Payload bytes arrive unchanged: the manager forwards `args`, `kwargs` and `result` byte for
//! byte, in a request, a reply and a notification. Both ends are bare sockets, so no parser is in
//! between.

use serde_json::json;

use super::support::manager::Manager;
use super::support::wire::{self, RawPeer};

/// Values that a parser in between would rewrite or refuse.
const VALUES: &[&str] = &[
    "NaN",
    "[NaN,Infinity,-Infinity]",
    "1e400",
    "-1E+400",
    "5e-400",
    "1.10",
    "-0.0",
    "1.0",
    "0.10000000000000000555",
    "1234567890123456789012345678901234567890",
    "-1234567890123456789012345678901234567890",
    r#""\/""#,
    r#""\u00e9\u00E9é""#,
    r#""\ud83d\ude00😀""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\u0000\b\f\n\r\t\"\\""#,
    "\"\u{2028}\u{2029}\u{7f}\u{feff}\"",
    "\"\"",
    "[]",
    "{}",
    "[ 1 ,\t2 , [ ] , { } ]",
    r#"{ "a" : 1 ,"b":{ "c":[ null, true ,false ] } }"#,
    r#"{"a":1,"a":2,"":3}"#,
    r#"{"uid":"x","service":"y","requester":"z","error":true,"result":1,"args":[],"kwargs":{}}"#,
    r#""\",\"uid\":\"forged\"""#,
];

struct Pair {
    // Declared first: the peers disconnect before the manager is asked to end.
    client: RawPeer,
    service: RawPeer,
    _manager: Manager,
}

fn linked_pair() -> Pair {
    let manager = Manager::start(&["--disable-tls"]);
    let service = RawPeer::service(&manager, "Probe", &json!({ "ask": "(value)" }));
    let mut client = RawPeer::client(&manager, "reader");
    let mut link = wire::request("Manager", "link");
    link["args"] = json!(["Probe"]);
    assert_eq!(client.request(&link)["error"], false);
    Pair {
        client,
        service,
        _manager: manager,
    }
}

#[test]
fn arguments_of_a_request_arrive_byte_for_byte() {
    let mut pair = linked_pair();
    for value in VALUES {
        let (args, kwargs) = (format!("[{value}, {value} ]"), format!(r#"{{"key" :{value}}}"#));
        pair.client.send_line(&format!(
            r#"{{"args": {args}, "attribute": "ask", "error": false, "kwargs": {kwargs}, "service": "Probe", "uid": "1"}}"#
        ));
        let line = pair.service.read_line();
        assert_eq!(wire::member(&line, "args"), args);
        assert_eq!(wire::member(&line, "kwargs"), kwargs);
        assert_eq!(wire::member(&line, "attribute"), r#""ask""#);
        reply(&mut pair.service, &line, "null");
        assert_eq!(wire::member(&pair.client.read_line(), "result"), "null");
    }
}

#[test]
fn the_result_of_a_reply_arrives_byte_for_byte() {
    let mut pair = linked_pair();
    for value in VALUES {
        pair.client.send_line(&wire::request("Probe", "ask").to_string());
        let line = pair.service.read_line();
        reply(&mut pair.service, &line, value);
        let line = pair.client.read_line();
        assert_eq!(wire::member(&line, "result"), *value);
        assert_eq!(wire::member(&line, "error"), "false");
        assert_eq!(wire::member(&line, "uid"), r#""request""#);
    }
}

#[test]
fn the_result_of_a_notification_arrives_byte_for_byte() {
    let mut pair = linked_pair();
    for value in VALUES {
        let result = format!(r#"[[{value} , 1], {{"key" : {value}}}]"#);
        pair.service.send_line(&format!(
            r#"{{"error": false, "result": {result}, "service": "Probe", "uid": "notification"}}"#
        ));
        let line = pair.client.read_line();
        assert_eq!(wire::member(&line, "result"), result);
        assert_eq!(wire::member(&line, "service"), r#""Probe""#);
        assert_eq!(wire::member(&line, "uid"), r#""notification""#);
    }
}

#[test]
fn the_message_and_traceback_of_an_error_arrive_byte_for_byte() {
    let mut pair = linked_pair();
    let (message, traceback) = (
        r#""ValueError: \u00b5m \/ \ud800""#,
        r#"[ "first\nline" ,"\u0073econd" ]"#,
    );
    pair.client.send_line(&wire::request("Probe", "ask").to_string());
    let line = pair.service.read_line();
    let requester = wire::member(&line, "requester");
    pair.service.send_line(&format!(
        r#"{{"error": true, "message": {message}, "requester": {requester}, "result": null, "traceback": {traceback}, "uid": "request"}}"#
    ));
    let line = pair.client.read_line();
    assert_eq!(wire::member(&line, "error"), "true");
    assert_eq!(wire::member(&line, "message"), message);
    assert_eq!(wire::member(&line, "traceback"), traceback);
    assert_eq!(wire::member(&line, "result"), "null");
}

/// The manager reuses the memory of a long line for the next one, which may be much shorter.
#[test]
fn long_lines_of_all_lengths_arrive_byte_for_byte_one_after_the_other() {
    const LENGTHS: [usize; 8] = [
        9 << 20,
        2 << 20,
        9 << 20,
        20_000,
        5 << 20,
        (1 << 20) + 100_000,
        17 << 20,
        600_000,
    ];
    let mut pair = linked_pair();
    let values = LENGTHS.map(|length| {
        let numbers: Vec<String> = (0..length / 8).map(|number| format!("{number:07}")).collect();
        format!("\"{}\"", numbers.join(" "))
    });
    let results = values.iter().cycle().skip(1);
    for (value, result) in values.iter().zip(results) {
        // The second one follows in the same write, and so in the memory of the first, or behind
        // it.
        pair.client.send_line(&format!(
            "{{\"service\": \"Probe\", \"attribute\": \"ask\", \"uid\": \"1\", \"args\": [{value}]}}\n\
             {{\"service\": \"Probe\", \"attribute\": \"ask\", \"uid\": \"2\", \"args\": [{result}]}}"
        ));
        for argument in [value, result] {
            let line = pair.service.read_line();
            assert!(wire::member(&line, "args") == format!("[{argument}]"));
            reply(&mut pair.service, &line, result);
            assert!(wire::member(&pair.client.read_line(), "result") == *result);
        }
    }
}

/// Answers the request in `line` with a result, given as text.
fn reply(service: &mut RawPeer, line: &str, result: &str) {
    let (requester, uid) = (wire::member(line, "requester"), wire::member(line, "uid"));
    service.send_line(&format!(
        r#"{{"error": false, "requester": {requester}, "result": {result}, "uid": {uid}}}"#
    ));
}
