use std::pin::pin;
use std::task::{Context, Poll, Waker};

use labwire_wire::Identity;
use tokio::time::Instant;

use super::super::Step;
use super::super::rig::Rig;
use super::super::tests::client;
use crate::outbox::Outbox;

/// Returns everything in a queue, which may be nothing.
fn told(queue: &Outbox) -> String {
    let mut bytes = Vec::new();
    if let Poll::Ready(Some(batch)) = pin!(queue.next_batch()).poll(&mut Context::from_waker(Waker::noop())) {
        bytes.extend(batch.segments().flat_map(|segment| segment.iter().copied()));
    }
    queue.written(bytes.len(), 0, Instant::now);
    String::from_utf8(bytes).unwrap()
}

/// Creates a client that has sent requests with these uids, which are JSON text.
fn rig(client: &Identity, uids: &[&str]) -> Rig {
    let mut rig = Rig::new(client);
    for uid in uids {
        let request = format!(r#"{{"service":"S","attribute":"a","uid":{uid}}}"#);
        assert!(matches!(rig.client_says(request.as_bytes()), Step::Next));
    }
    assert!(!told(rig.services_queue()).is_empty());
    rig
}

fn service_says(rig: &mut Rig, line: impl AsRef<[u8]>) {
    let line = [line.as_ref(), b"\r\n"].concat();
    assert!(matches!(rig.service_says(&line), Step::Next));
}

const MALFORMED: &str =
    "RuntimeError: the 'S' Service sent a malformed reply, the request may have been executed";

fn error(message: &str, uid: &str) -> String {
    format!(
        r#"{{"error":true,"message":"{message}","requester":"c[h:2]","result":null,"traceback":[],"uid":{uid}}}"#
    ) + "\r\n"
}

fn proper_reply(uid: &str) -> String {
    format!(r#"{{"error":false,"requester":"c[h:2]","result":1,"uid":{uid}}}"#)
}

#[test]
fn the_caller_of_a_malformed_reply_is_told_and_the_service_is_not() {
    let deep = format!(
        r#"{{"requester":"c[h:2]","result":{}{},"uid":"1"}}"#,
        "[".repeat(2_000),
        "]".repeat(2_000)
    );
    for reply in [
        &b"nan"[..],
        b"INF",
        b"-1.#IND",
        b"1.5",
        b"null",
        b"[]",
        b"\"text\"",
        b"{}",
        b"{",
        b"identity",
        b"\xff",
        br#"{"error":false,"requester":"c[h:2]","result":nan,"uid":"1"}"#,
        br#"{"uid":"1","result":[1,],"requester":"c[h:2]","error":false}"#,
        b"{\"requester\":\"c[h:2]\",\"result\":\"\xff\",\"uid\":\"1\"}",
        br#"{"requester":"c[h:2]","result":1,"result":2,"uid":"1"}"#,
        br#"{"requester":"c[h:2]","result":[1.5,"#,
        br#"{"error":false,"result":1,"uid":"1"}"#,
        br#"{"error":false,"requester":"c[h:2]","result":1}"#,
        br#"{"error":false,"requester":"c[h:2]","uid":"1"}"#,
        br#"{"value":1,"uid":"1"}"#,
        br#"{"error":false,"requester":"c[h:2]","result":1,"uid":null}"#,
        br#"{"error":false,"requester":"c[h:2]","result":1,"uid":1}"#,
        br#"{"error":false,"requester":["c[h:2]"],"result":1,"uid":"1"}"#,
        br#"{"attribute":"a","service":"S","requester":"c[h:2]","value":1,"uid":"1"}"#,
        deep.as_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&reply[..reply.len().min(100)]).into_owned();
        let message = if reply == deep.as_bytes() {
            "RuntimeError: the 'S' Service sent a reply that is nested deeper than 1024 levels, the request may have \
             been executed"
        } else {
            MALFORMED
        };
        let mut rig = rig(&client(&[], ""), &["\"1\""]);
        service_says(&mut rig, reply);
        assert_eq!(told(rig.clients_queue()), error(message, "\"1\""), "{shown}");
        service_says(&mut rig, proper_reply("\"1\""));
        assert_eq!(told(rig.clients_queue()), "", "{shown}: a second outcome");
        assert_eq!(told(rig.services_queue()), "", "{shown}: the service was told");
    }
}

#[test]
fn a_malformed_reply_may_have_been_executed() {
    let mut rig = rig(&client(&["origin"], ""), &["\"1\""]);
    service_says(&mut rig, "nan");
    let heard = told(rig.clients_queue());
    assert!(
        heard.starts_with(r#"{"error":true,"executed":"maybe","message":"RuntimeError"#)
            && heard.contains(r#","origin":"manager","#),
        "{heard}"
    );
}

#[test]
fn what_may_be_anybodys_ends_nobodys_request() {
    let uids = ["\"1\"", "\"2\"", "3"];
    for reply in [
        "nan",
        "{}",
        r#"{"error":false,"requester":"c[h:2]","result":1}"#,
        r#"{"error":false,"requester":"nobody","result":1}"#,
        r#"{"error":false,"result":nan,"uid":"4"}"#,
        r#"{"requester":"c[h:2]","result":nan,"uid":"4"}"#,
        r#"{"error":true,"message":"E: m","requester":null,"result":null,"traceback":[],"uid":""}"#,
        // A request and a notification.
        r#"{"attribute":"identity","service":"Manager","args":[nan],"uid":"1"}"#,
        r#"{"error":false,"result":[[nan],{}],"service":"S","uid":"notification"}"#,
    ] {
        let mut rig = rig(&client(&[], ""), &uids);
        service_says(&mut rig, reply);
        assert_eq!(told(rig.clients_queue()), "", "{reply}");
        for uid in uids {
            service_says(&mut rig, proper_reply(uid));
            assert_eq!(told(rig.clients_queue()), proper_reply(uid) + "\r\n", "{reply}");
        }
    }
}

#[test]
fn a_broken_notification_is_no_reply_to_the_only_request() {
    for line in [
        r#"{"error":false,"result":[[nan],{}],"service":"S","uid":"notification"}"#,
        r#"{"uid":"notification"}"#,
    ] {
        let mut rig = rig(&client(&[], ""), &["\"1\""]);
        service_says(&mut rig, line);
        service_says(&mut rig, proper_reply("\"1\""));
        assert_eq!(
            told(rig.clients_queue()),
            proper_reply("\"1\"") + "\r\n",
            "{line}"
        );
    }
}

#[test]
fn an_error_that_names_nobody_reaches_the_only_caller_with_its_text() {
    let report = r#"{"error": true, "message": "E: \u00e9", "requester": null, "result": null, "traceback": ["a", "b"], "uid": ""}"#;
    for (features, traceback) in [(&[][..], r#"["a", "b"]"#), (&["origin"], "5")] {
        let mut rig = rig(&client(features, ""), &["7"]);
        let report = report.replace(r#"["a", "b"]"#, traceback);
        service_says(&mut rig, report);
        let traceback = if traceback == "5" { "[]" } else { traceback };
        assert_eq!(
            told(rig.clients_queue()),
            format!(
                "{{\"error\":true,\"message\":\"E: \\u00e9\",\"requester\":\"c[h:2]\",\"result\":null,\"traceback\":{traceback},\"uid\":7}}\r\n"
            )
        );
    }
}

#[test]
fn replies_without_a_line_end_between_them_end_each_request() {
    let mut rig = rig(&client(&[], ""), &["\"1\"", "2", "\"3\""]);
    service_says(&mut rig, proper_reply("\"1\"") + &proper_reply("2"));
    assert_eq!(
        told(rig.clients_queue()),
        error(MALFORMED, "\"1\"") + &error(MALFORMED, "2")
    );
}

#[test]
fn a_line_that_its_service_leaves_unfinished_is_no_reply() {
    let mut rig = rig(&client(&[], ""), &["\"1\""]);
    assert!(matches!(
        rig.service_says(b"{\"requester\":\"c[h:2]\""),
        Step::Next
    ));
    assert_eq!(told(rig.clients_queue()), "");
}

#[test]
fn a_service_for_which_nobody_waits_is_told_of_its_first_malformed_line() {
    let mut rig = Rig::new(&client(&[], ""));
    let expected = |message: &str| {
        let frame = error(message, "\"\"");
        frame.replace("c[h:2]", "S[h:1]")
    };
    service_says(&mut rig, "nan");
    assert_eq!(
        told(rig.services_queue()),
        expected("ValueError: a service must send JSON objects")
    );
    // A service that answers every line would otherwise go in circles.
    for line in ["nan", "{}", "{"] {
        service_says(&mut rig, line);
        assert_eq!(told(rig.services_queue()), "", "{line}");
    }
    assert!(matches!(
        rig.client_says(br#"{"service":"S","attribute":"a","uid":"1"}"#),
        Step::Next
    ));
    told(rig.services_queue());
    service_says(&mut rig, proper_reply("\"1\""));
    service_says(&mut rig, "{");
    assert_eq!(
        told(rig.services_queue()),
        expected("ValueError: the JSON text ends too early")
    );
}

#[test]
fn a_number_comes_back_as_its_client_wrote_it() {
    for (sent, answered) in [("5", "5"), ("1e2", "100.0"), ("1.50", "1.5"), ("-0", "-0.0")] {
        for reply in [
            r#"{"error": false, "requester": "c[h:2]", "uid": UID , "result": 1}"#,
            r#"{"result":1,"uid":UID,"requester":"c[h:2]"}"#,
            r#"{"error":true,"message":"E: m","requester":"c[h:2]","result":null,"traceback":["x"],"uid":UID}"#,
            r#"{"error":true,"uid":UID,"requester":"c[h:2]"}"#,
            r#"{"error":5,"uid":UID,"requester":"c[h:2]","result":1}"#,
        ] {
            for features in [&[][..], &["origin"]] {
                let mut rig = rig(&client(features, ""), &[sent]);
                service_says(&mut rig, reply.replace("UID", answered));
                let heard = told(rig.clients_queue());
                let frame: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&heard).unwrap();
                assert!(frame["uid"].is_number() && frame.contains_key("error"), "{heard}");
                let after = heard.split("\"uid\":").nth(1).unwrap().trim_start();
                assert!(
                    after.strip_prefix(sent).unwrap().starts_with([' ', ',', '}']),
                    "{heard}"
                );
            }
        }
    }
}

#[test]
fn a_number_and_a_string_with_the_same_text_are_two_requests() {
    let mut rig = rig(&client(&[], ""), &["5", "\"5\""]);
    for uid in ["\"5\"", "5"] {
        service_says(&mut rig, proper_reply(uid));
        assert_eq!(told(rig.clients_queue()), proper_reply(uid) + "\r\n");
    }
}

#[test]
fn what_is_refused_carries_its_uid_wherever_it_stands() {
    for (line, uids) in [
        (r#"{"service":"T","attribute":"a","uid":5}"#, &["5"][..]),
        (r#"{"service":5,"attribute":"a","uid":1.50}"#, &["1.50"]),
        (
            r#"{"service":"S","attribute":"a","args":[nan],"uid":"1"}"#,
            &["\"1\""],
        ),
        (r#"{"uid":7,"service":"S","uid":7}"#, &["7"]),
        (
            r#"{"service":"S","attribute":"a","args":[],"args":[],"uid":"1"}"#,
            &["\"1\""],
        ),
        (r#"[{"service":"S","attribute":"a","uid":"1"}]"#, &["\"1\""]),
        (
            r#"{"service":"S","uid":1}{"service":"S","uid":"2"}"#,
            &["1", "\"2\""],
        ),
        (
            r#"{"result":[[],{}],"service":"S","uid":"notification"}"#,
            &["\"notification\""],
        ),
        (
            r#"{"service":"Manager","attribute":"link","args":["T"],"kwargs":null,"uid":5}"#,
            &["5"],
        ),
        ("nonsense", &["\"\""]),
    ] {
        let mut rig = Rig::new(&client(&[], ""));
        assert!(matches!(rig.client_says(line.as_bytes()), Step::Next));
        let heard = told(rig.clients_queue());
        let found: Vec<&str> = heard
            .lines()
            .filter_map(|frame| frame.strip_suffix('}')?.rsplit_once("\"uid\":"))
            .map(|(_, uid)| uid)
            .collect();
        assert_eq!(found, uids, "{line}: {heard}");
    }
}

const OWED: &str = "the 'S' Service may still reply to it";

/// Returns a client that wants items, and a service that sends them, with a request for each uid.
fn rig_with_items(uids: &[&str]) -> Rig {
    let client = Identity {
        features: labwire_wire::Features::from_names(["progress", "origin"]),
        ..Identity::client("c").unwrap()
    };
    let service = br#"{"type":"service","name":"S","attributes":{},"features":["progress"]}"#;
    let mut rig = Rig::with_service(&client, service);
    for uid in uids {
        asks(&mut rig, uid);
    }
    assert!(!told(rig.services_queue()).is_empty());
    rig
}

fn asks(rig: &mut Rig, uid: &str) {
    let request = format!(r#"{{"service":"S","attribute":"a","uid":{uid}}}"#);
    assert!(matches!(rig.client_says(request.as_bytes()), Step::Next));
}

#[test]
fn what_follows_a_malformed_item_is_not_taken_for_the_answer_to_the_next_request_with_its_uid() {
    for item in [
        r#"{"item":nan,"requester":"c[h:2]","uid":"1"}"#,
        r#"{"requester":"c[h:2]","uid":"1","item":[1,}"#,
        r#"{"progress":nan,"requester":"c[h:2]","uid":"1"}"#,
    ] {
        let mut rig = rig_with_items(&[r#""1""#]);
        service_says(&mut rig, item);
        assert!(told(rig.clients_queue()).contains(MALFORMED), "{item}");
        asks(&mut rig, r#""1""#);
        let refused = told(rig.clients_queue());
        assert!(refused.contains(OWED), "{item}: {refused}");
        assert!(told(rig.services_queue()).is_empty(), "{item}");
        // Neither the next items nor the answer is for anybody.
        service_says(&mut rig, r#"{"item":2,"requester":"c[h:2]","uid":"1"}"#);
        service_says(&mut rig, item);
        service_says(&mut rig, proper_reply(r#""1""#));
        assert_eq!(told(rig.clients_queue()), "", "{item}");
        asks(&mut rig, r#""1""#);
        assert!(!told(rig.services_queue()).is_empty(), "{item}");
        service_says(&mut rig, proper_reply(r#""1""#));
        assert!(told(rig.clients_queue()).contains(r#""result":1"#), "{item}");
    }
}

#[test]
fn requests_with_one_uid_end_together_if_an_item_for_it_is_malformed() {
    let mut rig = rig_with_items(&[r#""""#, r#""""#]);
    service_says(&mut rig, r#"{"item":nan,"requester":"c[h:2]","uid":""}"#);
    assert_eq!(told(rig.clients_queue()).matches(MALFORMED).count(), 2);
    for _ in 0..2 {
        asks(&mut rig, r#""""#);
        assert!(told(rig.clients_queue()).contains(OWED));
        service_says(&mut rig, proper_reply(r#""""#));
        assert_eq!(told(rig.clients_queue()), "");
    }
    asks(&mut rig, r#""""#);
    assert!(!told(rig.services_queue()).is_empty());
}

#[test]
fn a_malformed_reply_is_the_last_that_comes_for_its_request() {
    let malformed = r#"{"error":false,"requester":"c[h:2]","result":nan,"uid":"1"}"#;
    let mut rig = rig_with_items(&[r#""1""#]);
    service_says(&mut rig, malformed);
    assert!(told(rig.clients_queue()).contains(MALFORMED));
    asks(&mut rig, r#""1""#);
    assert!(!told(rig.services_queue()).is_empty());
}

#[test]
fn a_malformed_reply_to_a_request_that_has_ended_frees_its_uid() {
    let named = |rest: &str| format!(r#"{{"error":false,"requester":"c[h:2]"{rest}}}"#);
    for (uid, line, is_free) in [
        (r#""1""#, named(r#","result":nan,"uid":"1""#), true),
        (r#""1""#, named(r#","result":[1,"uid":"1""#), true),
        (r#""1""#, named(r#","uid":"1""#), true),
        // The same text as a number, and the same number in another spelling.
        (r#""1""#, named(r#","result":1,"uid":1"#), true),
        ("1e2", named(r#","result":1,"uid":100.0"#), true),
        ("1e2", named(r#","result":nan,"uid":100.0"#), true),
        (r#""1""#, named(r#","result":1"#), true),
        (
            r#""1""#,
            r#"{"error":false,"result":nan,"uid":"1"}"#.to_owned(),
            true,
        ),
        // Of another request or of none, or what comes before the reply.
        (r#""1""#, named(r#","result":nan,"uid":"2""#), false),
        (
            r#""1""#,
            r#"{"error":false,"result":nan,"uid":"2"}"#.to_owned(),
            false,
        ),
        (r#""1""#, "nan".to_owned(), false),
        (r#""1""#, named(r#","item":nan,"uid":"1""#), false),
    ] {
        let mut rig = rig(&client(&["origin"], ""), &[uid]);
        let cancel = format!(r#"{{"service":"Manager","attribute":"cancel","args":[{uid}],"uid":"c"}}"#);
        assert!(matches!(rig.client_says(cancel.as_bytes()), Step::Next));
        assert!(
            told(rig.clients_queue()).contains(r#""result":"ended""#),
            "{line}"
        );
        asks(&mut rig, uid);
        assert!(told(rig.clients_queue()).contains(OWED), "{line}");

        service_says(&mut rig, &line);
        assert_eq!(told(rig.clients_queue()), "", "{line}");
        told(rig.services_queue());
        asks(&mut rig, uid);
        assert_eq!(told(rig.clients_queue()).contains(OWED), !is_free, "{line}");
        service_says(&mut rig, proper_reply(uid));
        assert_eq!(told(rig.clients_queue()).is_empty(), !is_free, "{line}");
        asks(&mut rig, uid);
        assert!(told(rig.services_queue()).contains("\"requester\""), "{line}");
    }
}

#[test]
fn a_reply_that_may_be_to_two_requests_that_have_ended_frees_no_uid() {
    let mut rig = rig(&client(&["origin"], ""), &[r#""1""#, r#""2""#]);
    for uid in ["1", "2"] {
        let cancel = format!(r#"{{"service":"Manager","attribute":"cancel","args":["{uid}"],"uid":"c"}}"#);
        assert!(matches!(rig.client_says(cancel.as_bytes()), Step::Next));
    }
    told(rig.clients_queue());
    let nameless = r#"{"error":false,"requester":"c[h:2]","result":1}"#;
    service_says(&mut rig, nameless);
    asks(&mut rig, r#""1""#);
    assert!(told(rig.clients_queue()).contains(OWED));
    // One of them is left, and another request is in flight.
    service_says(&mut rig, proper_reply(r#""1""#));
    for uid in [r#""3""#, r#""4""#] {
        asks(&mut rig, uid);
    }
    service_says(&mut rig, nameless);
    asks(&mut rig, r#""2""#);
    assert!(told(rig.clients_queue()).contains(OWED));
}
