//! Services that return, and their callers.

use serde_json::{Value, json};

use super::peer::{SessionPeer, about, call, reply};
use super::{message, start, take, wait_until_away};
use crate::support::wire::RawPeer;

/// Expects a frame of the manager with one argument.
fn expect_told(peer: &mut SessionPeer, attribute: &str, argument: &str) {
    let frame = peer.read_frame();
    assert_eq!(
        (&frame["attribute"], &frame["args"]),
        (&json!(attribute), &json!([argument])),
        "{frame}"
    );
}

#[test]
fn callers_of_a_service_that_asked_for_it_wait_while_it_is_away() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    let mut simple = RawPeer::client(&manager, "Simple");
    client.request(&about("link", "DMM"));
    client.request(&about("acquire_lock", "DMM"));
    client.send(&call("DMM", "1"));
    let asked = dmm.read_frame();
    dmm.break_off();
    expect_told(&mut client, "down", "DMM");
    client.send(&call("DMM", "2"));
    let refused = simple.request(&call("DMM", "x"));
    assert!(
        message(&refused).contains("is locked"),
        "the lock is kept: {refused}"
    );

    // Another one does not get the name.
    let mut thief = RawPeer::connect(&manager);
    thief.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
    let refused = thief.read_json();
    let text = message(&refused);
    assert!(
        text.starts_with("NameError: ") && text.contains(" is away until "),
        "{text}"
    );

    dmm.come_back();
    expect_told(&mut client, "up", "DMM");
    assert_eq!(dmm.read_frame()["uid"], "2");
    dmm.send(&reply(&asked, &json!("one")));
    let received = client.read_json();
    assert_eq!(
        (&received["uid"], &received["result"]),
        (&json!("1"), &json!("one"))
    );
}

#[test]
fn callers_of_another_service_are_told_at_once_and_stay_linked() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.request(&about("link", "DMM"));
    client.send(&call("DMM", "1"));
    let asked = dmm.read_frame();
    dmm.break_off();
    expect_told(&mut client, "down", "DMM");
    let ended = client.read_json();
    assert_eq!(
        (&ended["uid"], &ended["executed"]),
        (&json!("1"), &json!("maybe"))
    );
    assert!(message(&ended).contains("left before it replied"), "{ended}");
    let refused = client.request(&call("DMM", "2"));
    assert!(
        message(&refused).starts_with("ConnectionError: the 'DMM' Service is away since "),
        "{refused}"
    );
    assert_eq!(refused["executed"], "no");

    dmm.come_back();
    expect_told(&mut client, "up", "DMM");
    // Its caller was told, so that the reply comes too late.
    dmm.send(&reply(&asked, &json!(1)));
    client.send(&call("DMM", "3"));
    dmm.answer(&json!(3));
    assert_eq!(client.read_json()["uid"], "3");
    dmm.send(&json!({ "error": false, "result": [[1], {}], "service": "DMM", "uid": "notification" }));
    assert_eq!(client.read_json()["uid"], "notification", "it is still linked");
}

#[test]
fn a_late_reply_of_a_service_that_was_away_answers_no_other_request() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.send(&call("DMM", ""));
    let asked = dmm.read_frame();
    dmm.confirm();
    dmm.break_off();
    let ended = client.read_json();
    assert_eq!((&ended["uid"], &ended["executed"]), (&json!(""), &json!("maybe")));
    dmm.come_back();
    // The old reply may still come, and nothing tells it from the reply to this one.
    let refused = client.request(&call("DMM", ""));
    assert!(message(&refused).contains("may still reply to it"), "{refused}");
    assert_eq!(refused["executed"], "no");
    client.send(&call("DMM", "2"));
    dmm.send(&reply(&asked, &json!("late")));
    dmm.answer(&json!(2));
    let received = client.read_json();
    assert_eq!((&received["uid"], &received["result"]), (&json!("2"), &json!(2)));
    client.send(&call("DMM", ""));
    dmm.answer(&json!("new"));
    assert_eq!(client.read_json()["result"], "new");
}

#[test]
fn a_service_that_would_owe_too_many_replies_leaves_when_its_connection_breaks() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.request(&about("link", "DMM"));
    for _ in 0..65 {
        client.send(&call("DMM", ""));
        dmm.read_frame();
    }
    dmm.break_off();
    for _ in 0..65 {
        assert!(message(&client.read_json()).contains("left before it replied"));
    }
    expect_told(&mut client, "unlinked", "DMM");
    manager.wait_for_log(&format!("{} is not kept while it is away", dmm.name));
    let received = dmm.read;
    let refused = dmm.try_return(received);
    assert!(
        message(&refused).starts_with("KeyError: there is no session"),
        "{refused}"
    );
}

#[test]
fn a_request_that_ends_while_its_service_is_away_never_reaches_it() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    let mut other = SessionPeer::client(&manager, "Other");
    dmm.break_off();
    wait_until_away(&manager, &dmm.name);
    let mut with_deadline = call("DMM", "1");
    with_deadline["deadline"] = json!(0.01);
    let ended = client.request(&with_deadline);
    assert_eq!((&ended["uid"], &ended["executed"]), (&json!("1"), &json!("no")));
    assert!(
        message(&ended).contains("was not sent to it within 0.01 s"),
        "{ended}"
    );
    client.send(&call("DMM", "2"));
    let mut cancel = about("cancel", "2");
    cancel["uid"] = json!("c");
    let ended = client.request(&cancel);
    assert_eq!((&ended["uid"], &ended["executed"]), (&json!("2"), &json!("no")));
    assert!(
        message(&ended).contains("cancelled before it was sent"),
        "{ended}"
    );
    assert_eq!(client.read_json()["result"], "ended");
    other.send(&call("DMM", "3"));
    other.request(&about("link", "DMM"));
    other.send(&json!({ "service": "Manager", "attribute": "__disconnect__" }));
    other.expect_closed();
    client.send(&call("DMM", "2"));
    dmm.come_back();
    let asked = dmm.answer(&json!(2));
    assert_eq!(asked["uid"], "2", "the uid of one that was taken back is free");
    assert_eq!(client.read_json()["result"], 2);
}

#[test]
fn a_service_for_which_a_request_could_be_lost_leaves_when_its_connection_breaks() {
    let manager = super::start_with_admin(&["--session-kept", "64KiB"]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    let mut long = call("DMM", "1");
    long["args"] = json!(["x".repeat(100_000)]);
    client.send(&long);
    dmm.read_frame();
    // It has not confirmed, so that the manager cannot know that it has the request.
    dmm.break_off();
    let ended = client.read_json();
    assert_eq!(
        (&ended["uid"], &ended["executed"]),
        (&json!("1"), &json!("maybe"))
    );
    let received = dmm.read;
    let refused = dmm.try_return(received);
    assert!(
        message(&refused).starts_with("KeyError: there is no session"),
        "{refused}"
    );
    assert_eq!(super::stats(&manager)["sessions_not_kept"], 1);
}

#[test]
fn a_request_that_waits_for_a_service_that_does_not_return_was_not_executed() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "grace": 1, "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    dmm.break_off();
    wait_until_away(&manager, &dmm.name);
    let ended = client.request(&call("DMM", "1"));
    assert_eq!((&ended["uid"], &ended["executed"]), (&json!("1"), &json!("no")));
    assert!(message(&ended).contains(" is away since "), "{ended}");
}

#[test]
fn a_service_that_does_not_return_has_left_for_its_clients() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "grace": 1, "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.request(&about("link", "DMM"));
    client.send(&call("DMM", "1"));
    dmm.read_frame();
    dmm.break_off();
    expect_told(&mut client, "down", "DMM");
    let ended = client.read_json();
    assert!(message(&ended).contains("left before it replied"), "{ended}");
    expect_told(&mut client, "unlinked", "DMM");
    let mut next = RawPeer::service(&manager, "DMM", &json!({}));
    client.send(&call("DMM", "2"));
    assert_eq!(next.read_json()["uid"], "2");
}

#[test]
fn a_service_sends_the_replies_again_that_the_manager_has_not_read() {
    let manager = start(&[]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "keep_callers": true }));
    let mut client = RawPeer::client(&manager, "Ada");
    client.send_line(&call("DMM", "1").to_string());
    client.send_line(&call("DMM", "2").to_string());
    let [first, second] = [dmm.read_frame(), dmm.read_frame()];
    dmm.send(&reply(&first, &json!(1)));
    assert_eq!(client.read_json()["uid"], "1");
    let whole = dmm.sent;
    let answer = reply(&second, &json!("x".repeat(1_000))).to_string();
    dmm.send_bytes(&answer.as_bytes()[..500]);
    dmm.break_off();
    dmm.come_back();
    assert_eq!(dmm.sent, whole, "half a line does not count");
    // A reply that was read is dropped, and counts as others do.
    dmm.send(&reply(&first, &json!(1)));
    dmm.send_bytes(format!("{answer}\r\n").as_bytes());
    let received = client.read_json();
    assert_eq!(
        (&received["uid"], &received["result"]),
        (&json!("2"), &json!("x".repeat(1_000)))
    );
    // The manager says up to where it has handled the replies.
    let confirmed: Value = loop {
        let frame = dmm.read_json();
        if frame["args"] == json!([dmm.sent]) {
            break frame;
        }
    };
    assert_eq!(confirmed["attribute"], "received");
}

#[test]
fn more_requests_than_can_be_kept_for_a_service_are_refused_as_not_executed() {
    let manager = start(&["--session-kept", "16KiB"]);
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({ "keep_callers": true }));
    let mut client = SessionPeer::client(&manager, "Ada");
    dmm.break_off();
    wait_until_away(&manager, &dmm.name);
    let long = |uid: &str| {
        let mut request = call("DMM", uid);
        request["args"] = json!(["x".repeat(10_000)]);
        request
    };
    client.send(&long("1"));
    let refused = client.request(&long("2"));
    assert_eq!(
        (&refused["uid"], &refused["executed"]),
        (&json!("2"), &json!("no"))
    );
    assert!(
        message(&refused).contains("no more requests can be kept"),
        "{refused}"
    );
    dmm.come_back();
    dmm.answer(&json!(1));
    assert_eq!(client.read_json()["uid"], "1");
}

#[test]
fn a_long_reply_that_was_forwarded_while_it_arrived_goes_on_after_the_break() {
    for kept in ["8MiB", "64KiB"] {
        let manager = start(&["--session-kept", kept]);
        let mut camera = RawPeer::service(&manager, "Camera", &json!({}));
        let mut client = SessionPeer::client(&manager, "Ada");
        client.send(&call("Camera", "1"));
        let asked = camera.read_json();
        let pixels = "x".repeat(2 << 20);
        let line = format!(
            "{{\"error\":false,\"requester\":{},\"uid\":\"1\",\"result\":\"{pixels}\"}}\r\n",
            asked["requester"]
        );
        let (first, rest) = line.as_bytes().split_at(1 << 20);
        camera.send_bytes(first);
        let mut received = client.read_bytes(100_000);
        client.break_off();
        wait_until_away(&manager, &client.name);
        camera.send_bytes(rest);
        if kept == "8MiB" {
            client.come_back();
            received.extend(client.read_line());
            assert_eq!(received, line.as_bytes());
        } else {
            client.come_back();
            // It goes on behind the aborted line, of which the client discards what it has.
            let lost = client.read_json();
            assert_eq!((&lost["uid"], &lost["executed"]), (&json!("1"), &json!("maybe")));
        }
        // The service serves others.
        let mut other = RawPeer::client(&manager, "Other");
        other.send_line(&call("Camera", "x").to_string());
        let answer = take(&mut camera, &json!(1));
        camera.send_line(&answer);
        assert_eq!(other.read_json()["result"], 1);
    }
}
