//! The arguments of calls, which are recorded where the service asks for that.

use std::fs;

use serde_json::{Value, json};

use super::{Manager, RawPeer, entries, finished, history, home, run, wait_for_entries};
use crate::support::wire::wait_for_service;

const RECORDING: [&str; 3] = ["--disable-tls", "--record", "calls"];

/// Connects a service that wants the arguments of these methods to be recorded.
fn service(manager: &Manager, name: &str, methods: &Value) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    peer.identify(&json!({ "type": "service", "name": name, "attributes": {}, "record_arguments": methods }));
    wait_for_service(manager, name);
    peer
}

/// Calls a method with arguments as they are written, and answers for the service.
fn call(client: &mut RawPeer, service: &mut RawPeer, name: &str, attribute: &str, args: &str, kwargs: &str) {
    client.send_line(&format!(
        r#"{{"service":"{name}","attribute":"{attribute}","args":{args},"kwargs":{kwargs},"uid":"1"}}"#
    ));
    answer(service);
    assert_eq!(client.read_json()["error"], false);
}

fn answer(service: &mut RawPeer) {
    let asked = service.read_json();
    let reply = json!({
        "result": null, "requester": asked["requester"], "uid": asked["uid"], "error": false,
    });
    service.send_line(&reply.to_string());
}

#[test]
fn arguments_are_recorded_where_the_service_asks_for_it_and_without_secrets() {
    let manager = Manager::start_in(home(), &[&RECORDING[..], &["--log-level", "debug"]].concat());
    let methods = json!({
        "set": {},
        "unlock": { "parameters": ["door", "code"], "secret": ["code"] },
    });
    let mut door = service(&manager, "Door", &methods);
    let mut plain = RawPeer::service(&manager, "Plain", &json!({}));
    let mut ada = RawPeer::client(&manager, "Caller");
    call(&mut ada, &mut door, "Door", "set", r#"["=1", 2.50, 1e5]"#, "{}");
    call(&mut ada, &mut door, "Door", "unlock", r#"[1, "s3cr3t"]"#, "{}");
    let twice = r#"{"code": "s3cr3t", "c\u006fde": ["s3cr3t"], "Code": "s3cr3t"}"#;
    call(&mut ada, &mut door, "Door", "unlock", "[1]", twice);
    call(&mut ada, &mut door, "Door", "read", r#"["not asked for"]"#, "{}");
    call(
        &mut ada,
        &mut plain,
        "Plain",
        "unlock",
        r#"["not asked for"]"#,
        "{}",
    );
    call(&mut ada, &mut door, "Door", "set", "[]", "{}");
    let found = wait_for_entries(&manager, &["--kind", "call"], 6);
    let arguments: Vec<_> = found.iter().map(|entry| entry["arguments"].as_str()).collect();
    let expected = [
        Some(r#"["=1",2.50,1e5]"#),
        Some(r#"[1,"<secret>"]"#),
        Some(r#"[1] {"code":"<secret>","code":"<secret>","Code":"<secret>"}"#),
        None,
        None,
        Some("[]"),
    ];
    assert_eq!(arguments, expected);
    let text = history(&manager, &["--kind", "call"]);
    assert!(text.contains(r#"called Door.unlock [1,"<secret>"], "#), "{text}");
    assert!(text.contains("called Plain.unlock, "), "{text}");
    let csv = history(&manager, &["--kind", "call", "--csv"]);
    assert!(csv.lines().next().unwrap().ends_with(",bytes,arguments"), "{csv}");
    assert!(csv.contains(r#","[""=1"",2.50,1e5]""#), "{csv}");
    let log = manager.log();
    let home = manager.end();
    assert!(!log.contains("s3cr3t") && !log.contains("2.50"), "{log}");
    let record = fs::read(home.path("manager.record.sqlite3")).unwrap();
    let has = |text: &str| record.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!has("s3cr3t") && !has("not asked for"));
    let verify = ["history", "--file", "manager.record.sqlite3", "--verify"];
    let (code, output, _) = finished(&mut home.command(&verify));
    assert!(
        code == Some(0) && output.contains("entries are as they were written"),
        "{output}"
    );
}

#[test]
fn without_calls_in_the_record_there_are_no_arguments() {
    let manager = Manager::start_in(home(), &["--disable-tls"]);
    let mut door = service(&manager, "Door", &json!({ "set": {} }));
    let mut ada = RawPeer::client(&manager, "Caller");
    call(&mut ada, &mut door, "Door", "set", "[1]", "{}");
    assert_eq!(entries(&manager, &["--kind", "call"]), [Value::Null; 0]);
}

#[test]
fn long_deep_and_late_arguments_are_cut() {
    let manager = Manager::start_in(home(), &RECORDING);
    let methods = json!({ "set": {}, "unlock": { "parameters": ["a", "b"], "secret": ["b"] } });
    let mut door = service(&manager, "Door", &methods);
    let mut ada = RawPeer::client(&manager, "Caller");
    let long = format!("[{:?}]", "é".repeat(100_000));
    let deep = format!("[{}{}]", "[".repeat(60), "]".repeat(60));
    let hidden = format!(r#"[1,"{}"]"#, "s3cr3t".repeat(10_000));
    for (attribute, args) in [
        ("set", &long),
        ("set", &deep),
        ("unlock", &long),
        ("unlock", &hidden),
    ] {
        call(&mut ada, &mut door, "Door", attribute, args, r#"{"a":1}"#);
    }
    let found = wait_for_entries(&manager, &["--kind", "call"], 4);
    let arguments: Vec<_> = found
        .iter()
        .map(|entry| entry["arguments"].as_str().unwrap())
        .collect();
    for (arguments, place) in arguments.iter().zip(["long", "deep", "long", "hidden"]) {
        assert!(
            arguments.len() <= 512 && arguments.ends_with('…') == (place != "deep"),
            "{arguments}"
        );
        assert!(!arguments.contains("s3cr3t"), "{arguments}");
    }
    assert_eq!(arguments[1], format!(r#"{deep} {{"a":1}}"#));

    // Many requests of one client in flight: the arguments of the first ones are noted.
    for number in 0..200 {
        ada.send_line(&format!(
            r#"{{"service":"Door","attribute":"set","args":[{number}],"kwargs":{{}},"uid":"{number}"}}"#
        ));
    }
    for _ in 0..200 {
        answer(&mut door);
        assert_eq!(ada.read_json()["error"], false);
    }
    let counted = |entries: &[Value]| -> u64 {
        let counts = entries.iter().map(|entry| entry["count"].as_u64().unwrap_or(1));
        counts.sum()
    };
    let home = manager.end();
    let calls = [
        "history",
        "--file",
        "manager.record.sqlite3",
        "--kind",
        "call",
        "--json",
    ];
    let (_, output, _) = finished(&mut home.command(&calls));
    let found: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(counted(&found), 204);
    let whole = found.iter().filter(|entry| {
        let arguments = entry["arguments"].as_str();
        arguments.is_some_and(|arguments| !arguments.ends_with('…'))
    });
    assert!(whole.count() >= 64);
}

#[test]
fn an_identity_that_does_not_say_what_to_record_is_refused() {
    let manager = Manager::start_in(home(), &RECORDING);
    let mut peer = RawPeer::connect(&manager);
    let methods = json!({ "set": { "secret": "code" } });
    peer.identify(&json!({ "type": "service", "name": "S", "attributes": {}, "record_arguments": methods }));
    let refused = peer.read_json();
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("the identity's member \"record_arguments\" must be"),
        "{message}"
    );
    let (code, output, _) = run(&manager, &["history", "--kind", "reject"]);
    assert!(
        code == Some(0) && output.contains("was not admitted: "),
        "{output}"
    );
}
