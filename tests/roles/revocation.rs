//! What peers have ends when the permission for it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ROLES, administer, call, client, expect_refused, grant, log_in, refused, run, service, to_manager,
};
use crate::support::clock::follow_file;
use crate::support::manager::{Home, Manager};
use crate::support::waiting::wait_until;
use crate::support::wire::{RawPeer, request};

fn with_features(manager: &Manager, user: &str, features: &Value) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user, "features": features }));
    peer
}

fn ask(peer: &mut RawPeer, attribute: &str, args: Value, kwargs: Value) -> Value {
    let answer = peer.request(&to_manager(attribute, args, kwargs));
    assert_eq!(answer["error"], false, "{attribute}: {answer}");
    answer["result"].clone()
}

/// Returns the entry of a service in the status.
fn status(root: &mut RawPeer, service: &str) -> Value {
    let status = ask(root, "status", json!([]), json!({}));
    let page = status["page"].as_array().unwrap();
    let found = page.iter().find(|entry| entry["name"] == service);
    found.unwrap_or(&Value::Null).clone()
}

#[test]
fn links_locks_and_subscriptions_end_with_the_permission() {
    let manager = Manager::start_in(Home::with_users(&["ada", "bob", "eve"]), &ROLES);
    let mut root = client(&manager, "root");
    let mut dmm = service(&manager, "root", "DMM");
    let mut oven = service(&manager, "root", "Oven");
    let id = grant(&mut root, "operator", "ada", "*");
    let locking = grant(&mut root, "operator", "eve", "*");
    grant(&mut root, "observer", "eve", "*");
    let bobs = grant(&mut root, "operator", "bob", "*");
    // One that understands everything, one as of MSL-Network, and one that waits for a lock.
    let mut ada = with_features(&manager, "ada", &json!(["unlinked", "leases"]));
    let mut plain = client(&manager, "ada");
    let mut eve = with_features(&manager, "eve", &json!(["unlinked", "leases"]));
    let mut bob = client(&manager, "bob");
    for peer in [&mut ada, &mut plain] {
        ask(peer, "link", json!(["DMM"]), json!({}));
        ask(peer, "subscribe", json!(["lab.>"]), json!({}));
    }
    ask(&mut ada, "link", json!(["Manager"]), json!({}));
    ask(&mut eve, "link", json!(["Oven"]), json!({}));
    ask(&mut eve, "acquire_lock", json!(["Oven"]), json!({}));
    bob.send_line(&to_manager("acquire_lock", json!(["Oven"]), json!({ "wait": 60 })).to_string());
    wait_until("bob never waited", || {
        status(&mut root, "Oven")["lock_wait_count"] == 1
    });

    administer(&mut root, "access.revoke", json!({ "id": id }));
    assert_eq!(
        status(&mut root, "DMM")["link_count"],
        0,
        "the answer comes when all has ended"
    );
    let mut told = BTreeSet::new();
    while told.len() < 2 {
        // Events of the manager may come first.
        let frame = ada.read_json();
        if frame["attribute"] == "unlinked" {
            told.insert(frame["args"][0].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(told, BTreeSet::from(["DMM".to_owned(), "Manager".to_owned()]));
    ask(&mut root, "publish", json!(["lab.x", 1]), json!({}));
    let notification =
        json!({ "result": [[1], {}], "service": "DMM", "uid": "notification", "error": false });
    dmm.send_line(&notification.to_string());
    for peer in [&mut ada, &mut plain] {
        // The next that they receive is the answer to their next request.
        refused(peer, &request("DMM", "read"), "call DMM.read", "ada");
        refused(
            peer,
            &to_manager("link", json!(["DMM"]), json!({})),
            "link DMM",
            "ada",
        );
    }

    // Who may still link loses only the lock, and its link with it; the next one in the queue gets it.
    administer(&mut root, "access.revoke", json!({ "id": locking }));
    let ended = eve.read_json();
    assert_eq!(ended["attribute"], "lock_ended", "{ended}");
    assert_eq!(ended["args"][0], "Oven", "{ended}");
    assert_eq!(ended["args"][1], "broken", "{ended}");
    let why = ended["args"][2].as_str().unwrap();
    assert!(
        why.ends_with("since the permission 'lock Oven' is not granted any more"),
        "{why}"
    );
    assert_eq!(bob.read_json()["error"], false, "bob has the lock");
    ask(&mut eve, "link", json!(["DMM"]), json!({}));
    call(&mut bob, &mut oven, "Oven", "read");

    // A request for a lock that waits is refused.
    let again = grant(&mut root, "operator", "eve", "*");
    eve.send_line(&to_manager("acquire_lock", json!(["Oven"]), json!({ "wait": 60 })).to_string());
    wait_until("eve never waited", || {
        status(&mut root, "Oven")["lock_wait_count"] == 1
    });
    administer(&mut root, "access.revoke", json!({ "id": again }));
    let refusal = eve.read_json();
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.contains("'lock Oven' is not granted any more"),
        "{refusal}"
    );
    administer(&mut root, "access.revoke", json!({ "id": bobs }));
    assert_eq!(status(&mut root, "Oven")["lock_count"], 0);
    refused(&mut bob, &request("Oven", "read"), "call Oven.read", "bob");
    manager.wait_for_log("the subscription of ada[");
}

#[test]
fn a_user_who_is_added_again_has_nothing_on_a_connection_from_before() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add owner --to-group everyone");
    let manager = Manager::start_in(home, &ROLES);
    let mut root = client(&manager, "root");
    let mut dmm = service(&manager, "root", "DMM");
    let mut ada = with_features(&manager, "ada", &json!(["unlinked"]));
    let mut own = service(&manager, "ada", "Own");
    call(&mut ada, &mut dmm, "DMM", "read");
    ask(&mut ada, "link", json!(["DMM"]), json!({}));
    let name = json!({ "username": "ada" });
    administer(&mut root, "users_table.delete", name);
    // The connections of the removed user end, and before that what was permitted.
    for peer in [&mut ada, &mut own] {
        let said = peer.read_to_end();
        assert!(
            said.is_empty() || said.contains("unlinked") || said.contains("\"error\":true"),
            "{said}"
        );
    }
    let new = json!({ "username": "ada", "password": "x", "is_admin": true });
    administer(&mut root, "users_table.insert", new);
    // The new user of the name may do it, on a connection of its own.
    let mut next = client(&manager, "ada");
    call(&mut next, &mut dmm, "DMM", "read");
}

#[test]
fn a_service_that_may_not_be_one_any_more_is_disconnected_and_its_clients_are_told() {
    let home = Home::with_users(&["sven"]);
    run(&home, "grant add owner --to sven --on DMM");
    let manager = Manager::start_in(home, &ROLES);
    let mut root = with_features(&manager, "root", &json!(["unlinked"]));
    let mut dmm = service(&manager, "sven", "DMM");
    ask(&mut root, "link", json!(["DMM"]), json!({}));
    root.send_line(&request("DMM", "read").to_string());
    assert_eq!(dmm.read_json()["attribute"], "read");
    let mut admin = client(&manager, "root");
    administer(&mut admin, "access.revoke", json!({ "id": 1 }));
    expect_refused(&dmm.read_json(), "register DMM", "sven");
    dmm.expect_closed();
    let answer = root.read_json();
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("left before it replied"),
        "{answer}"
    );
    assert_eq!(root.read_json()["attribute"], "unlinked");
}

/// Answers the requests that a service receives, until it is asked to stop.
fn answer_all(mut service: RawPeer) {
    loop {
        let asked = service.read_json();
        if asked["attribute"] == "stop" {
            return;
        }
        let answer = json!({
            "requester": asked["requester"], "uid": asked["uid"], "result": asked["attribute"], "error": false,
        });
        service.send_line(&answer.to_string());
    }
}

/// Sends batches of calls until `is_over`, and expects an answer for each. Returns the numbers of those
/// that were executed and refused.
fn flood(mut peer: RawPeer, attribute: &str, is_over: &AtomicBool) -> (usize, usize) {
    const BATCH: usize = 50;
    let (mut executed, mut refused) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let mut open = BTreeSet::new();
        for number in 0..BATCH {
            let mut asked = request("DMM", attribute);
            asked["uid"] = number.to_string().into();
            peer.send_line(&asked.to_string());
            open.insert(number.to_string());
        }
        while !open.is_empty() {
            let answer = peer.read_json();
            assert!(open.remove(answer["uid"].as_str().unwrap()), "{answer}");
            if answer["error"] == false {
                assert_eq!(answer["result"], attribute);
                executed += 1;
            } else {
                let message = answer["message"].as_str().unwrap();
                assert!(
                    message.starts_with("PermissionError: the permission 'call DMM."),
                    "{answer}"
                );
                refused += 1;
            }
        }
    }
    (executed, refused)
}

#[test]
fn roles_change_under_load_and_no_permitted_request_is_lost_nor_another_allowed() {
    const CHANGES: usize = 40;
    let home = Home::with_users(&["ada", "bob", "eve"]);
    run(&home, "grant add operator --to ada --on DMM");
    run(&home, "role add reader call");
    let manager = Manager::start_in(home, &ROLES);
    let dmm = service(&manager, "root", "DMM");
    let mut root = client(&manager, "root");
    let is_over = AtomicBool::new(false);
    let clients = |user: &str| (0..3).map(|_| client(&manager, user)).collect::<Vec<_>>();
    let (permitted, changing, never) = (clients("ada"), clients("bob"), clients("eve"));
    thread::scope(|scope| {
        let answering = scope.spawn(|| answer_all(dmm));
        let floods = |peers: Vec<RawPeer>, attribute: &'static str| {
            let spawn = |peer| scope.spawn(|| flood(peer, attribute, &is_over));
            peers.into_iter().map(spawn).collect::<Vec<_>>()
        };
        let (permitted, changing, never) = (
            floods(permitted, "read"),
            floods(changing, "read"),
            floods(never, "write"),
        );
        let mut checked = client(&manager, "bob");
        for _ in 0..CHANGES {
            let id = grant(&mut root, "reader", "bob", "DMM");
            let answer = checked.request(&request("DMM", "read"));
            assert_eq!(answer["result"], "read", "{answer}");
            let role = json!({ "role": "reader", "permissions": ["see Other*"] });
            administer(&mut root, "access.add_role", role.clone());
            administer(&mut root, "access.remove_role", role);
            administer(&mut root, "access.revoke", json!({ "id": id }));
            // Whatever is sent after the answer is refused.
            refused(&mut checked, &request("DMM", "read"), "call DMM.read", "bob");
        }
        is_over.store(true, Ordering::Relaxed);
        for flood in permitted {
            let (executed, refused) = flood.join().unwrap();
            assert!(executed > 0 && refused == 0, "{executed} {refused}");
        }
        for flood in changing {
            let (executed, refused) = flood.join().unwrap();
            println!("by who was permitted at times: {executed} executed, {refused} refused");
        }
        for flood in never {
            let (executed, refused) = flood.join().unwrap();
            assert!(executed == 0 && refused > 0, "{executed} {refused}");
        }
        root.send_line(&request("DMM", "stop").to_string());
        answering.join().unwrap();
    });
}

#[test]
fn a_link_ends_with_the_grant_by_itself() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let _dmm = service(&manager, "root", "DMM");
    let mut root = client(&manager, "root");
    let mut ada = with_features(&manager, "ada", &json!(["unlinked"]));
    let until = Timestamp::from_second(Timestamp::now().as_second() + 3).unwrap();
    let limited = json!({ "role": "observer", "user": "ada", "until": until.to_string() });
    administer(&mut root, "access.grant", limited);
    ask(&mut ada, "link", json!(["DMM"]), json!({}));
    assert_eq!(ada.read_json()["attribute"], "unlinked");
    assert!(Timestamp::now() >= until);
    assert_eq!(status(&mut root, "DMM")["link_count"], 0);
}

#[test]
fn a_grant_that_has_ended_stays_so_whatever_the_clock_shows() {
    const HOUR: i64 = 3_600;
    let home = Home::with_users(&["ada", "bob"]);
    run(&home, "grant add operator --to ada --for 1h");
    run(&home, "grant add operator --to bob --for 8h");
    let mut command = home.command(&["start", "--port", "0"]);
    let clock = follow_file(command.args(ROLES));
    let manager = Manager::start_command(home, &mut command);
    let mut dmm = service(&manager, "root", "DMM");
    let (mut ada, mut bob) = (client(&manager, "ada"), client(&manager, "bob"));
    call(&mut ada, &mut dmm, "DMM", "read");
    // The computer slept, or somebody has set the clock.
    clock.set(2 * HOUR);
    wait_until("the grant never ended", || {
        ada.request(&to_manager("link", json!(["DMM"]), json!({})))["error"] == true
    });
    refused(&mut ada, &request("DMM", "read"), "call DMM.read", "ada");
    call(&mut bob, &mut dmm, "DMM", "read");
    // Set back: the end is over all the same.
    for offset in [0, -30 * 24 * HOUR] {
        clock.set(offset);
        refused(&mut ada, &request("DMM", "read"), "call DMM.read", "ada");
        call(&mut bob, &mut dmm, "DMM", "read");
    }
}
