//! Locks that expire, are waited for, and are broken by an administrator.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::wire::{RawPeer, request};

/// Returns a request to the manager about the service `DMM`.
fn about_dmm(attribute: &str, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = json!(["DMM"]);
    request["kwargs"] = kwargs;
    request
}

/// Sends a request and returns its result.
fn result(peer: &mut RawPeer, request: &Value) -> Value {
    let answer = peer.request(request);
    assert_eq!(answer["error"], false, "{answer}");
    answer["result"].clone()
}

/// Sends a request that is refused, and returns the message.
fn refusal(peer: &mut RawPeer, request: &Value) -> String {
    let answer = peer.request(request);
    assert_eq!(answer["error"], true, "{answer}");
    answer["message"].as_str().unwrap().to_owned()
}

/// Starts a manager with the administrator `ada` and the service `DMM`.
fn start() -> (Manager, RawPeer) {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let dmm = RawPeer::service(&manager, "DMM", &json!({ "read": "() -> float" }));
    (manager, dmm)
}

/// Lets the client read the multimeter.
fn read(client: &mut RawPeer, dmm: &mut RawPeer) -> Value {
    client.send_line(&request("DMM", "read").to_string());
    let asked = dmm.read_json();
    let reply = json!({
        "error": false, "requester": asked["requester"], "result": 1.5, "uid": asked["uid"],
    });
    dmm.send_line(&reply.to_string());
    client.read_json()["result"].clone()
}

#[test]
fn an_administrator_breaks_a_lock_and_its_client_is_refused_until_it_links_again() {
    let (manager, mut dmm) = start();
    let mut holder = RawPeer::client(&manager, "Holder");
    result(&mut holder, &about_dmm("link", json!({})));
    result(&mut holder, &about_dmm("acquire_lock", json!({})));
    assert_eq!(read(&mut holder, &mut dmm), 1.5);

    let mut admin = RawPeer::client(&manager, "Admin");
    let broken = about_dmm("break_lock", json!({ "reason": "it was left behind" }));
    assert_eq!(admin.request(&broken)["attribute"], "username");
    admin.send_line("ada");
    assert_eq!(admin.read_json()["attribute"], "password");
    admin.send_line("x");
    let answer = admin.read_json();
    let name = answer["result"][0]
        .as_str()
        .expect("one lock was broken")
        .to_owned();
    assert!(name.starts_with("Holder["), "{answer}");
    let line = manager.wait_for_log("the lock of Holder[");
    assert!(line.contains("was broken by 'ada' at "), "{line}");
    assert!(line.contains("(reason: 'it was left behind')"), "{line}");
    let mut rows = request("Manager", "connections_table.connections");
    let recorded = |rows: &Value| rows.to_string().contains("its lock on 'DMM' was broken by 'ada'");
    let begun = Instant::now();
    while !recorded(&result(&mut admin, &rows)) {
        assert!(begun.elapsed() < super::support::DEADLINE, "it is not recorded");
        rows["uid"] = json!("again");
    }

    // The service is free, and the client that believes it holds the lock is refused.
    let mut other = RawPeer::client(&manager, "Other");
    assert_eq!(read(&mut other, &mut dmm), 1.5);
    let message = refusal(&mut holder, &request("DMM", "read"));
    assert!(message.contains("was broken by 'ada'"), "{message}");
    assert!(
        message.ends_with("link with it again before sending requests"),
        "{message}"
    );
    result(&mut holder, &about_dmm("link", json!({})));
    assert_eq!(read(&mut holder, &mut dmm), 1.5);

    let message = refusal(&mut admin, &about_dmm("break_lock", json!({ "client": name })));
    assert!(
        message.ends_with("holds no lock on the 'DMM' Service"),
        "{message}"
    );
}

#[test]
fn an_exclusive_lock_is_not_delayed_by_later_links_and_shared_locks() {
    let (manager, _dmm) = start();
    let [mut first, mut second, mut third] =
        ["First", "Second", "Third"].map(|name| RawPeer::client(&manager, name));
    for client in [&mut first, &mut second] {
        result(client, &about_dmm("link", json!({})));
    }
    result(&mut first, &about_dmm("acquire_lock", json!({ "shared": true })));
    let exclusive = about_dmm("acquire_lock", json!({ "wait": 60, "reason": "the last word" }));
    third.send_line(&exclusive.to_string());
    // A request that waits does not hold back others of its client.
    result(&mut third, &request("Manager", "identity"));

    // The link of the second is in the way, so that it cannot wait behind the third.
    for wait in [json!(null), json!(60)] {
        let shared = about_dmm("acquire_lock", json!({ "shared": true, "wait": wait }));
        let message = refusal(&mut second, &shared);
        let expected = "cannot acquire a lock on the 'DMM' Service now, Third[";
        assert!(message.contains(expected), "{message}");
    }
    let mut late = RawPeer::client(&manager, "Late");
    result(&mut first, &about_dmm("release_lock", json!({})));
    let message = refusal(&mut late, &about_dmm("link", json!({})));
    assert!(
        message.starts_with("PermissionError: no new client can link with the 'DMM' Service now, Third["),
        "{message}"
    );
    result(&mut first, &about_dmm("unlink", json!({})));
    result(&mut second, &about_dmm("unlink", json!({})));
    let granted = third.read_json();
    assert_eq!(granted["error"], false, "{granted}");
    let message = refusal(&mut late, &about_dmm("link", json!({})));
    assert!(message.contains("(reason: 'the last word')"), "{message}");
}

#[test]
fn a_lock_that_is_not_renewed_expires_and_one_that_is_does_not() {
    let (manager, mut dmm) = start();
    let mut holder = RawPeer::client(&manager, "Holder");
    result(
        &mut holder,
        &about_dmm("acquire_lock", json!({ "ttl": 1, "wait": 0 })),
    );
    let mut next = RawPeer::client(&manager, "Next");
    let wait = about_dmm("acquire_lock", json!({ "ttl": 60, "wait": 60 }));
    next.send_line(&wait.to_string());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let renewed = result(&mut holder, &about_dmm("renew_lock", json!({})));
        assert_eq!(renewed["ttl"], 1.0, "{renewed}");
    }
    // From here on it is not renewed, and the other client gets it.
    let granted = next.read_json();
    assert_eq!(granted["error"], false, "{granted}");
    let message = refusal(&mut holder, &request("DMM", "read"));
    assert!(message.contains(" expired at "), "{message}");
    let message = refusal(&mut holder, &about_dmm("renew_lock", json!({})));
    assert!(message.contains(" expired at "), "{message}");
    assert_eq!(read(&mut next, &mut dmm), 1.5);
    // The connection of the new holder ends, and with it the lock and the wait for one.
    holder.send_line(&about_dmm("acquire_lock", json!({ "wait": 60 })).to_string());
    drop(next);
    let granted = holder.read_json();
    assert_eq!(granted["error"], false, "{granted}");
    assert_eq!(read(&mut holder, &mut dmm), 1.5);
}

#[test]
fn an_exclusive_lock_is_granted_alone_although_shared_requests_wait_behind_it() {
    let (manager, _dmm) = start();
    let [mut first, mut second, mut third, mut fourth] =
        ["First", "Second", "Third", "Fourth"].map(|name| RawPeer::client(&manager, name));
    result(&mut first, &about_dmm("acquire_lock", json!({ "wait": 0 })));
    for (client, shared) in [(&mut second, false), (&mut third, true), (&mut fourth, true)] {
        let lock = about_dmm("acquire_lock", json!({ "shared": shared, "wait": 60 }));
        client.send_line(&lock.to_string());
        result(client, &request("Manager", "identity"));
    }
    result(&mut first, &about_dmm("unlink", json!({})));
    let granted = second.read_json();
    assert_eq!(granted["result"].as_array().map(Vec::len), Some(1), "{granted}");
    let message = refusal(&mut third, &request("DMM", "read"));
    assert!(message.contains("is locked by Second["), "{message}");
    assert!(message.contains(", 2 requests wait for it"), "{message}");
    result(&mut second, &about_dmm("unlink", json!({})));
    let granted = [third.read_json(), fourth.read_json()];
    for granted in granted {
        assert_eq!(granted["result"].as_array().map(Vec::len), Some(2), "{granted}");
    }
}

#[test]
fn an_administrator_ends_a_wait_that_keeps_others_from_linking() {
    let (manager, _dmm) = start();
    let [mut idle, mut waiting, mut other] =
        ["Idle", "Waiting", "Other"].map(|name| RawPeer::client(&manager, name));
    result(&mut idle, &about_dmm("link", json!({})));
    let exclusive = about_dmm("acquire_lock", json!({ "wait": 600_000 }));
    waiting.send_line(&exclusive.to_string());
    result(&mut waiting, &request("Manager", "identity"));
    let message = refusal(&mut other, &about_dmm("link", json!({})));
    assert!(message.contains(", Waiting["), "{message}");
    let status = result(&mut other, &request("Manager", "status"));
    let waits = status["page"][0]["lock_waits"].clone();
    assert!(
        waits[0]["client"].as_str().unwrap().starts_with("Waiting["),
        "{status}"
    );

    let mut admin = RawPeer::client(&manager, "Admin");
    assert_eq!(
        admin.request(&about_dmm("break_lock", json!({})))["attribute"],
        "username"
    );
    admin.send_line("ada");
    admin.read_json();
    admin.send_line("x");
    let broken = admin.read_json();
    assert!(
        broken["result"][0].as_str().unwrap().starts_with("Waiting["),
        "{broken}"
    );
    let ended = waiting.read_json();
    let message = ended["message"].as_str().unwrap();
    assert!(message.contains("its wait was broken by 'ada'"), "{message}");
    let line = manager.wait_for_log("does not wait for a lock on the 'DMM' Service any more");
    assert!(line.contains("Waiting["), "{line}");
    let mut rows = request("Manager", "connections_table.connections");
    let recorded = "its wait for a lock on 'DMM' was broken by 'ada'";
    let begun = Instant::now();
    while !result(&mut admin, &rows).to_string().contains(recorded) {
        assert!(begun.elapsed() < super::support::DEADLINE, "it is not recorded");
        rows["uid"] = json!("again");
    }
    result(&mut other, &about_dmm("link", json!({})));
}

#[test]
fn requests_that_wait_end_when_the_service_leaves_and_when_the_manager_stops() {
    let (manager, dmm) = start();
    let oven = RawPeer::service(&manager, "Oven", &json!({}));
    let mut holder = RawPeer::client(&manager, "Holder");
    let mut waiting = RawPeer::client(&manager, "Waiting");
    for (service, wait) in [("DMM", 1), ("Oven", 2)] {
        let mut lock = about_dmm("acquire_lock", json!({ "wait": 0 }));
        lock["args"] = json!([service]);
        result(&mut holder, &lock);
        lock["kwargs"] = json!({ "wait": 60 });
        lock["uid"] = json!(wait);
        waiting.send_line(&lock.to_string());
    }
    result(&mut waiting, &request("Manager", "identity"));
    drop(dmm);
    let ended = waiting.read_json();
    assert_eq!(
        (&ended["error"], &ended["uid"]),
        (&json!(true), &json!(1)),
        "{ended}"
    );
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.starts_with("KeyError: 'DMM' service does not exist"),
        "{message}"
    );

    manager.signal(super::support::process::Signal::TERM);
    let ended = waiting.read_json();
    assert_eq!(ended["uid"], 2, "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert_eq!(message, "ConnectionError: the manager is shutting down");
    drop(oven);
}
