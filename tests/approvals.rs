//! Requests that wait until somebody approves them: the permission `ask`.

mod bounds;
mod callers;
mod programs;
mod told;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::DEADLINE;
use super::support::manager::{Home, Manager};
use super::support::process::Signal;
use super::support::python::{self, Service};
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

const ROLES: [&str; 3] = ["--disable-tls", "--auth-login", "--roles"];

/// Returns a folder with the administrator `root` and users with the password `x`: `ada` and `eve` may
/// ask for everything of all services, and call what begins with `read` at once. `olga` owns Laser.
fn home() -> Home {
    let home = Home::new();
    let password = ["--compatible", "--password", "x"];
    home.prepare(&[&["user", "add", "root", "--admin"][..], &password].concat());
    for user in ["ada", "eve", "olga", "otto"] {
        home.prepare(&[&["user", "add", user][..], &password].concat());
    }
    home.prepare(&[
        "role",
        "add",
        "asker",
        "ask call",
        "call *.read*",
        "see",
        "link",
        "lock",
    ]);
    home.prepare(&["grant", "add", "asker", "--to", "ada"]);
    home.prepare(&["grant", "add", "asker", "--to", "eve"]);
    home.prepare(&["grant", "add", "owner", "--to", "olga", "--on", "Laser"]);
    home.prepare(&["grant", "add", "operator", "--to", "otto"]);
    home
}

fn start() -> Manager {
    Manager::start_in(home(), &ROLES)
}

/// Connects as a user, up to the question for the identity.
fn log_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        let asked = peer.read_json();
        assert_eq!(asked["error"], false, "{asked}");
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

fn client(manager: &Manager, user: &str) -> RawPeer {
    client_with(manager, user, &[])
}

fn client_with(manager: &Manager, user: &str, features: &[&str]) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user, "features": features }));
    peer
}

fn service(manager: &Manager, user: &str, name: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "service", "name": name, "attributes": {} }));
    let mut observer = client(manager, "root");
    wait_until("the service never appeared", || {
        let identity = observer.request(&request("Manager", "identity"));
        identity["result"]["services"].get(name).is_some()
    });
    peer
}

/// Returns a request with that uid.
fn asking(name: &str, attribute: &str, uid: &str) -> Value {
    let mut request = request(name, attribute);
    (request["args"], request["uid"]) = (json!([5]), json!(uid));
    request
}

fn to_manager(attribute: &str, args: Value, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    (request["args"], request["kwargs"]) = (args, kwargs);
    request
}

/// Returns what waits for the decision of a peer.
fn waiting(peer: &mut RawPeer) -> Vec<Value> {
    let answer = peer.request(&to_manager("approvals", json!([]), json!({})));
    assert_eq!(answer["error"], false, "{answer}");
    answer["result"]["approvals"].as_array().unwrap().clone()
}

/// Waits until as many requests wait for the decision of a peer, and returns their ids.
fn wait_for(peer: &mut RawPeer, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    wait_until(&format!("{count} requests never waited"), || {
        found = waiting(peer);
        found.len() == count
    });
    found
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

fn approve(peer: &mut RawPeer, id: &str) -> Value {
    peer.request(&to_manager("approve", json!([id]), json!({})))
}

fn refuse(peer: &mut RawPeer, id: &str, reason: &str) -> Value {
    peer.request(&to_manager("refuse", json!([id]), json!({ "reason": reason })))
}

/// Answers the next request to a service.
fn answer_next(service: &mut RawPeer) -> Value {
    let asked = service.read_json();
    let answer = json!({
        "requester": asked["requester"], "uid": asked["uid"], "result": "done", "error": false,
    });
    service.send_line(&answer.to_string());
    asked
}

fn stats(root: &mut RawPeer) -> Value {
    root.request(&request("Manager", "stats"))["result"].clone()
}

#[track_caller]
fn expect_error(answer: &Value, beginning: &str) {
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.starts_with(beginning), "{answer}");
}

/// Returns the number of requests to decide about in the status of the manager.
fn counted(peer: &mut RawPeer) -> Value {
    let status = peer.request(&request("Manager", "status"));
    assert_eq!(status["error"], false, "{status}");
    status["result"]["approvals"].clone()
}

#[test]
fn the_status_counts_what_waits_for_a_decision_of_who_reads_it() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let _oven = service(&manager, "root", "Oven");
    let [mut root, mut ada, mut eve, mut olga, mut otto] =
        ["root", "ada", "eve", "olga", "otto"].map(|user| client(&manager, user));
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    for name in ["Laser", "Oven"] {
        eve.send_line(&asking(name, "set_power", name).to_string());
    }
    let ids = wait_for(&mut root, 3);
    assert_eq!((counted(&mut root), counted(&mut olga)), (json!(3), json!(2)));
    for peer in [&mut ada, &mut eve, &mut otto] {
        assert_eq!(counted(peer), Value::Null);
    }
    for (left, id) in [json!(2), json!(1), Value::Null].into_iter().zip(&ids) {
        assert_eq!(refuse(&mut root, id, "no")["error"], false);
        assert_eq!(counted(&mut root), left);
    }
}

/// The service is not involved until then, and other requests of the same client go on.
#[test]
fn a_request_that_needs_approval_waits_and_nothing_else_does() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut ada = client(&manager, "ada");
    let mut olga = client(&manager, "olga");
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let ids = wait_for(&mut olga, 1);
    let shown = waiting(&mut olga).remove(0);
    for (member, expected) in [
        ("user", "ada"),
        ("service", "Laser"),
        ("attribute", "set_power"),
        ("arguments", "[5]"),
        ("address", "127.0.0.1"),
    ] {
        assert_eq!(shown[member], expected, "{shown}");
    }
    assert!(shown["client"].as_str().unwrap().starts_with("ada["), "{shown}");
    // What is permitted goes at once, past the one that waits.
    ada.send_line(&asking("Laser", "read", "2").to_string());
    assert_eq!(answer_next(&mut laser)["uid"], "2");
    assert_eq!(ada.read_json()["uid"], "2");
    let approved = approve(&mut olga, &ids[0]);
    assert_eq!(approved["result"]["id"], ids[0], "{approved}");
    let asked = answer_next(&mut laser);
    assert_eq!(
        (&asked["uid"], &asked["args"]),
        (&json!("1"), &json!([5])),
        "{asked}"
    );
    let answer = ada.read_json();
    assert_eq!(
        (&answer["uid"], &answer["result"]),
        (&json!("1"), &json!("done")),
        "{answer}"
    );
    // It has ended.
    expect_error(&approve(&mut olga, &ids[0]), "KeyError: no request ");
    assert!(waiting(&mut olga).is_empty());
}

#[test]
fn a_refused_request_names_who_refused_it_and_why_and_is_not_sent() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut ada = client_with(&manager, "ada", &["origin"]);
    let mut olga = client(&manager, "olga");
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let ids = wait_for(&mut olga, 1);
    let refused = refuse(&mut olga, &ids[0], "the door is open");
    assert_eq!(refused["error"], false, "{refused}");
    let answer = ada.read_json();
    assert_eq!(
        answer["message"],
        "PermissionError: 'olga' has refused the request to the 'Laser' Service: the door is open (it was not executed)"
    );
    assert_eq!(
        (&answer["uid"], &answer["executed"]),
        (&json!("1"), &json!("no")),
        "{answer}"
    );
    ada.send_line(&asking("Laser", "read", "2").to_string());
    assert_eq!(answer_next(&mut laser)["uid"], "2", "nothing else was sent");
    let long = "x".repeat(257);
    expect_error(
        &refuse(&mut olga, &ids[0], &long),
        "ValueError: the reason of a refusal",
    );
}

/// Own requests, those of the same user on another connection, and those that others may not decide
/// about.
#[test]
fn nobody_decides_about_a_request_of_their_own_or_without_the_permission() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let _oven = service(&manager, "root", "Oven");
    let mut root = client(&manager, "root");
    let asked = to_manager(
        "access.grant",
        json!([]),
        json!({ "role": "owner", "user": "ada", "on": "*" }),
    );
    let mut ada = client(&manager, "ada");
    let mut again = client(&manager, "ada");
    for name in ["Laser", "Oven"] {
        ada.send_line(&asking(name, "set_power", name).to_string());
    }
    let ids = wait_for(&mut root, 2);
    // She owns everything now, and still decides about nothing of her own.
    assert_eq!(root.request(&asked)["error"], false);
    for peer in [&mut ada, &mut again] {
        assert!(waiting(peer).is_empty());
        let own = "PermissionError: nobody decides about a request of their own";
        expect_error(&approve(peer, &ids[0]), own);
        expect_error(&refuse(peer, &ids[0], "no"), own);
    }
    let mut olga = client(&manager, "olga");
    assert_eq!(wait_for(&mut olga, 1), ids[..1], "she owns Laser only");
    let mut otto = client(&manager, "otto");
    assert!(waiting(&mut otto).is_empty(), "an operator decides about nothing");
    let unknown = "KeyError: no request ";
    let (begin, _) = ids[1].split_once('-').unwrap();
    for (peer, id) in [(&mut olga, &ids[1]), (&mut otto, &ids[0])] {
        expect_error(&approve(peer, id), unknown);
        expect_error(&refuse(peer, id, "no"), unknown);
    }
    // What is guessed, or looks nearly the same.
    let guesses = [
        String::new(),
        "1".to_owned(),
        begin.to_owned(),
        format!("{begin}-"),
        format!("{begin}-3"),
        format!("{begin}-01"),
        format!("{begin}-+1"),
        format!("{begin}-18446744073709551616"),
        format!("{}-1", begin.to_uppercase()),
        "x".repeat(10_000),
    ];
    for guess in &guesses {
        expect_error(&approve(&mut root, guess), unknown);
    }
    for args in [json!([]), json!([1]), json!([null]), json!([ids[0], "a", "b"])] {
        let answer = root.request(&to_manager("approve", args, json!({})));
        expect_error(&answer, "TypeError: approve() takes ");
    }
    assert_eq!(wait_for(&mut root, 2), ids, "all still wait");
}

#[test]
fn of_two_who_decide_at_once_one_does_and_the_other_is_told() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let (mut root, mut olga) = (client(&manager, "root"), client(&manager, "olga"));
    let mut ada = client(&manager, "ada");
    for number in 0..10 {
        ada.send_line(&asking("Laser", "set_power", &number.to_string()).to_string());
        let ids = wait_for(&mut root, 1);
        let decision = to_manager("approve", json!([ids[0]]), json!({}));
        for peer in [&mut root, &mut olga] {
            peer.send_line(&decision.to_string());
        }
        let answers = [root.read_json(), olga.read_json()];
        let decided = answers.iter().filter(|answer| answer["error"] == false).count();
        assert_eq!(decided, 1, "{answers:?}");
        let other = answers.iter().find(|answer| answer["error"] == true).unwrap();
        expect_error(other, "KeyError: no request ");
        answer_next(&mut laser);
        assert_eq!(ada.read_json()["result"], "done", "it was sent once");
    }
}

#[test]
fn a_request_with_a_deadline_ends_when_nobody_has_decided() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let mut ada = client_with(&manager, "ada", &["origin"]);
    let mut asked = asking("Laser", "set_power", "1");
    asked["deadline"] = json!(0.2);
    let answer = ada.request(&asked);
    assert_eq!(
        answer["message"],
        "TimeoutError: nobody has approved the request to the 'Laser' Service within 0.2 s, it was not executed"
    );
    assert_eq!(
        (&answer["ended"], &answer["executed"]),
        (&json!("deadline"), &json!("no"))
    );
    let mut root = client(&manager, "root");
    assert_eq!(stats(&mut root)["approvals_expired"], 1);
}

/// Of its deadline, what is left goes to the service, and ends the request there.
#[test]
fn the_time_that_a_request_has_waited_is_part_of_its_deadline() {
    let manager = start();
    let mut laser = log_in(&manager, "olga");
    laser.identify(&json!({ "type": "service", "name": "Laser", "attributes": {}, "features": ["cancel"] }));
    let mut ada = client(&manager, "ada");
    let mut olga = client(&manager, "olga");
    wait_until("Laser never appeared", || {
        let identity = olga.request(&request("Manager", "identity"));
        identity["result"]["services"].get("Laser").is_some()
    });
    let mut asked = asking("Laser", "set_power", "1");
    asked["deadline"] = json!(1000);
    ada.send_line(&asked.to_string());
    let ids = wait_for(&mut olga, 1);
    assert_eq!(approve(&mut olga, &ids[0])["error"], false);
    let left = laser.read_json()["deadline"].as_f64().unwrap();
    assert!(left > 900.0 && left < 1_000.0, "{left}");
}

#[test]
fn what_waits_for_approval_ends_with_a_cancellation_its_client_its_service_or_the_manager() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let mut root = client(&manager, "root");
    let mut ada = client_with(&manager, "ada", &["origin"]);
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    wait_for(&mut root, 1);
    ada.send_line(&to_manager("cancel", json!(["1"]), json!({})).to_string());
    let mut answers = [ada.read_json(), ada.read_json()];
    answers.sort_by_key(|answer| answer["uid"].as_str().unwrap().to_owned());
    expect_error(
        &answers[0],
        "CancelledError: the request to the 'Laser' Service was cancelled while it waited",
    );
    assert_eq!(answers[0]["ended"], "cancelled");
    assert_eq!(answers[1]["result"], "ended", "{answers:?}");
    assert!(waiting(&mut root).is_empty());

    // Its client leaves, or says that it sends no more.
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "set_power", "1").to_string());
    let ids = wait_for(&mut root, 1);
    eve.close_sending_side();
    expect_error(
        &eve.read_json(),
        "ConnectionError: you have closed your sending side",
    );
    wait_for(&mut root, 0);
    expect_error(&approve(&mut root, &ids[0]), "KeyError");
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "set_power", "1").to_string());
    wait_for(&mut root, 1);
    drop(eve);
    wait_for(&mut root, 0);

    // Its service leaves.
    ada.send_line(&asking("Laser", "set_power", "2").to_string());
    wait_for(&mut root, 1);
    laser.break_off();
    expect_error(
        &ada.read_json(),
        "ConnectionError: the 'Laser' Service left while the request waited for approval",
    );
    assert!(waiting(&mut root).is_empty());

    // The manager stops.
    let _laser = service(&manager, "olga", "Laser");
    ada.send_line(&asking("Laser", "set_power", "3").to_string());
    wait_for(&mut root, 1);
    manager.signal(Signal::TERM);
    let answer = ada.read_json();
    expect_error(
        &answer,
        "ConnectionError: the manager is shutting down, the request was not executed",
    );
    assert_eq!(answer["uid"], "3", "{answer}");
}

/// Grants and locks count as they are at the decision, and a grant that allows makes it needless.
#[test]
fn a_decision_is_taken_with_the_rules_and_locks_of_its_moment() {
    let manager = start();
    let mut laser = service(&manager, "olga", "Laser");
    let (mut root, mut ada) = (client(&manager, "root"), client(&manager, "ada"));
    let mut otto = client(&manager, "otto");
    // Somebody else locks the service.
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    let ids = wait_for(&mut root, 1);
    for attribute in ["link", "acquire_lock"] {
        assert_eq!(
            otto.request(&to_manager(attribute, json!(["Laser"]), json!({})))["error"],
            false
        );
    }
    let told = approve(&mut root, &ids[0]);
    expect_error(
        &told,
        "RuntimeError: you approved the request, but it was refused for another reason meanwhile: ",
    );
    expect_error(&ada.read_json(), "PermissionError: the 'Laser' Service is locked");
    otto.request(&to_manager("release_lock", json!(["Laser"]), json!({})));
    // The grant ends, and the request with it.
    ada.send_line(&asking("Laser", "set_power", "2").to_string());
    let ids = wait_for(&mut root, 1);
    let grants = root.request(&request("Manager", "access.grants"))["result"].clone();
    let own = grants
        .as_array()
        .unwrap()
        .iter()
        .find(|grant| grant["user"] == "ada");
    let id = own.unwrap_or_else(|| panic!("{grants}"))["id"].clone();
    let revoked = root.request(&to_manager("access.revoke", json!([id]), json!({})));
    assert_eq!(revoked["error"], false, "{revoked}");
    expect_error(
        &ada.read_json(),
        "PermissionError: the permission 'call Laser.set_power' is not granted",
    );
    expect_error(&approve(&mut root, &ids[0]), "KeyError: no request ");
    // A grant that allows wins, whichever comes first.
    for role in ["operator", "asker"] {
        let granted = to_manager("access.grant", json!([]), json!({ "role": role, "user": "ada" }));
        assert_eq!(root.request(&granted)["error"], false);
    }
    ada.send_line(&asking("Laser", "set_power", "3").to_string());
    assert_eq!(answer_next(&mut laser)["uid"], "3");
    // A user who is removed leaves, and so does what waits.
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "set_power", "4").to_string());
    wait_for(&mut root, 1);
    let removed = root.request(&to_manager("users_table.delete", json!(["eve"]), json!({})));
    assert_eq!(removed["error"], false, "{removed}");
    wait_for(&mut root, 0);
}

/// Only those learn of it who may decide, and the decision is told as well.
#[test]
fn those_who_may_approve_are_notified_and_nobody_else() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let mut watchers = ["root", "olga", "otto"].map(|user| client(&manager, user));
    for watcher in &mut watchers {
        let subscribed = watcher.request(&to_manager("subscribe", json!(["manager.approval"]), json!({})));
        assert_eq!(subscribed["error"], false, "{subscribed}");
    }
    let mut ada = client_with(&manager, "ada", &["progress"]);
    ada.send_line(&asking("Laser", "set_power", "1").to_string());
    // She is told that it waits.
    let progress = ada.read_json();
    assert_eq!(progress["progress"]["waits_for"], "approval", "{progress}");
    let id = progress["progress"]["id"].as_str().unwrap().to_owned();
    let [root, olga, otto] = &mut watchers;
    for watcher in [&mut *root, &mut *olga] {
        let told = watcher.read_json()["result"][0].clone();
        assert_eq!(told[0], "manager.approval", "{told}");
        let told = &told[1];
        assert_eq!(
            (&told["id"], &told["outcome"]),
            (&json!(id), &json!("asked")),
            "{told}"
        );
        assert_eq!(told["arguments"], "[5]");
    }
    refuse(olga, &id, "no");
    let told = root.read_json()["result"][0][1].clone();
    assert_eq!(
        (&told["outcome"], &told["by"], &told["reason"]),
        (&json!("refused"), &json!("olga"), &json!("no")),
        "{told}"
    );
    let answer = otto.request(&request("Manager", "identity"));
    assert!(
        answer["result"]["services"].is_object(),
        "the first that otto is told: {answer}"
    );
}
