//! Progress, items, cancellation and deadlines, from the view of peers on bare sockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::manager::Manager;
use super::support::wire::{RawPeer, request};

/// Starts a manager with the service `DMM`, which has these features.
fn start(features: &[&str]) -> (Manager, RawPeer) {
    let manager = Manager::start(&["--disable-tls"]);
    let mut dmm = RawPeer::connect(&manager);
    dmm.identify(&json!({
        "type": "service", "name": "DMM", "attributes": {}, "features": features,
    }));
    super::support::wire::wait_for_service(&manager, "DMM");
    (manager, dmm)
}

fn asks(attribute: &str, uid: &str, more: &Value) -> Value {
    let mut request = request("DMM", attribute);
    request["uid"] = json!(uid);
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

fn cancel(uid: &str, kwargs: Value) -> Value {
    let mut request = request("Manager", "cancel");
    request["args"] = json!([uid]);
    request["kwargs"] = kwargs;
    request
}

/// Returns a frame about the request `asked`.
fn about(asked: &Value, member: &str, value: Value) -> String {
    let mut frame = json!({ "requester": asked["requester"], "uid": asked["uid"] });
    frame[member] = value;
    frame.to_string()
}

fn reply(asked: &Value, result: Value) -> String {
    let mut frame = json!({ "error": false, "requester": asked["requester"], "uid": asked["uid"] });
    frame["result"] = result;
    frame.to_string()
}

#[test]
fn a_caller_hears_progress_and_each_item_before_the_reply() {
    let (manager, mut dmm) = start(&["progress"]);
    let mut ada = RawPeer::client(&manager, "Ada");
    ada.send_line(&asks("measure", "1", &json!({ "progress": true })).to_string());
    let asked = dmm.read_json();
    assert_eq!(asked["progress"], true, "{asked}");
    dmm.send_line(&about(&asked, "progress", json!({ "done": 1, "total": 3 })));
    assert_eq!(ada.read_json()["progress"], json!({ "done": 1, "total": 3 }));
    for number in 0..1_000 {
        dmm.send_line(&about(&asked, "item", json!(number)));
    }
    dmm.send_line(&reply(&asked, json!("done")));
    for number in 0..1_000 {
        assert_eq!(ada.read_json()["item"], number);
    }
    assert_eq!(ada.read_json()["result"], "done");
}

#[test]
fn a_person_at_a_terminal_sees_progress_and_cancels_by_a_word() {
    let (manager, mut dmm) = start(&["progress", "cancel"]);
    let mut person = RawPeer::connect(&manager);
    person.read_json();
    person.send_line("client");
    person.send_line("DMM measure 5");
    let asked = dmm.read_json();
    dmm.send_line(&about(&asked, "progress", json!(0.5)));
    assert_eq!(person.read_json()["progress"], 0.5);
    person.send_line("cancel");
    assert_eq!(person.read_json()["result"], "asked");
    let told = dmm.read_json();
    assert_eq!(
        (&told["attribute"], &told["args"][0]),
        (&json!("cancel"), &asked["requester"])
    );
    dmm.send_line(&reply(&asked, json!("stopped")));
    assert_eq!(person.read_json()["result"], "stopped");
    person.send_line("cancel DMM");
    let answer = person.read_json();
    assert!(
        answer["message"].as_str().unwrap().starts_with("KeyError: "),
        "{answer}"
    );
}

#[test]
fn nobody_cancels_the_request_of_somebody_else() {
    let (manager, mut dmm) = start(&["cancel"]);
    let [mut ada, mut eve] = ["Ada", "Eve"].map(|name| RawPeer::client(&manager, name));
    ada.send_line(&asks("measure", "1", &json!({})).to_string());
    let asked = dmm.read_json();
    let answer = eve.request(&cancel("1", json!({})));
    assert_eq!(answer["error"], true, "{answer}");
    assert!(
        answer["message"].as_str().unwrap().starts_with("KeyError: "),
        "{answer}"
    );
    dmm.send_line(&reply(&asked, json!(1)));
    assert_eq!(ada.read_json()["result"], 1);
}

#[test]
fn a_deadline_is_kept_while_the_manager_is_busy() {
    let (manager, mut dmm) = start(&[]);
    let mut ada = RawPeer::client(&manager, "Ada");
    let mut busy = RawPeer::client(&manager, "Busy");
    let status = request("Manager", "identity").to_string();
    let mut late = Duration::ZERO;
    for number in 0..10 {
        let uid = number.to_string();
        let begun = Instant::now();
        ada.send_line(&asks("measure", &uid, &json!({ "deadline": 0.3 })).to_string());
        for _ in 0..500 {
            busy.send_line(&status);
            busy.read_line();
            if begun.elapsed() > Duration::from_millis(290) {
                break;
            }
        }
        let answer = ada.read_json();
        late = late.max(begun.elapsed().saturating_sub(Duration::from_millis(300)));
        assert_eq!(answer["uid"], uid.as_str(), "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("did not reply within 0.3 s"), "{message}");
        let asked = dmm.read_json();
        assert_eq!(asked.get("deadline"), None, "an older service does not know it");
    }
    println!("the latest of 10 errors came {late:?} after its deadline");
    assert!(late < Duration::from_millis(500), "{late:?}");
}

#[test]
fn a_service_is_asked_to_stop_what_its_caller_left_behind() {
    let (manager, mut dmm) = start(&["cancel"]);
    let mut ada = RawPeer::client(&manager, "Ada");
    for number in 0..100 {
        ada.send_line(&asks("measure", &number.to_string(), &json!({})).to_string());
        assert_eq!(dmm.read_json()["attribute"], "measure");
    }
    assert_eq!(ada.request(&cancel("7", json!({})))["result"], "asked");
    assert_eq!(dmm.read_json()["kwargs"]["cause"], "client");
    drop(ada);
    let mut stopped: Vec<u32> = (0..99)
        .map(|_| {
            let told = dmm.read_json();
            assert_eq!(told["kwargs"], json!({ "cause": "disconnected" }), "{told}");
            told["args"][1].as_str().unwrap().parse().unwrap()
        })
        .collect();
    stopped.sort_unstable();
    let expected: Vec<u32> = (0..100).filter(|number| *number != 7).collect();
    assert_eq!(stopped, expected);
}

#[test]
fn a_caller_that_does_not_read_its_items_keeps_nobody_else_waiting() {
    let manager = Manager::start(&["--disable-tls", "--stall", "2", "--queue", "1048576"]);
    let mut dmm = RawPeer::connect(&manager);
    dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": {}, "features": ["progress"] }));
    super::support::wire::wait_for_service(&manager, "DMM");
    let mut stuck = RawPeer::client(&manager, "Stuck");
    stuck.send_line(&asks("measure", "1", &json!({ "progress": true })).to_string());
    let asked = dmm.read_json();
    let item = about(&asked, "item", json!("x".repeat(100_000)));
    let begun = Instant::now();
    // More than its socket and its queue take: the service waits until the reader is cut.
    for _ in 0..200 {
        dmm.send_line(&item);
    }
    let mut other = RawPeer::client(&manager, "Other");
    other.send_line(&asks("measure", "2", &json!({})).to_string());
    let asked = dmm.read_json();
    dmm.send_line(&reply(&asked, json!(5)));
    assert_eq!(other.read_json()["result"], 5);
    println!("served after {:?}", begun.elapsed());
    manager.wait_for_log("Stuck[");
}
