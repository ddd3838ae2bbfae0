//! What peers learn of others: lists, totals and events.

use serde_json::{Value, json};

use super::{ROLES, administer, client, grant, identity, log_in, run, service, to_manager};
use crate::support::manager::{Home, Manager};
use crate::support::waiting::wait_until;
use crate::support::wire::{RawPeer, request};

/// Returns the name and the value of the next event.
fn event(peer: &mut RawPeer) -> (String, Value) {
    let notification = peer.read_json();
    assert_eq!(notification["uid"], "notification", "{notification}");
    let [topic, value] = [0, 1].map(|index| notification["result"][0][index].clone());
    (topic.as_str().unwrap().to_owned(), value)
}

#[test]
fn totals_count_only_what_may_be_seen() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add operator --to ada --on DMM*");
    let manager = Manager::start_in(home, &ROLES);
    let _dmm = service(&manager, "root", "DMM1");
    let mut oven = service(&manager, "root", "Oven");
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    root.send_line(&request("Oven", "read").to_string());
    assert_eq!(oven.read_json()["attribute"], "read");
    let totals = |peer: &mut RawPeer| {
        let status = peer.request(&to_manager("status", json!([]), json!({})))["result"].clone();
        ["clients", "services", "in_flight"].map(|member| status[member].as_u64().unwrap())
    };
    assert_eq!(totals(&mut ada), [1, 1, 0]);
    let mut other = client(&manager, "root");
    assert_eq!(totals(&mut other), [3, 2, 1]);
    // What is permitted at once is decided anew.
    grant(&mut other, "observer", "ada", "Ov*");
    assert_eq!(totals(&mut ada), [1, 2, 1]);
}

#[test]
fn a_subscriber_to_the_managers_events_learns_only_what_it_may_see() {
    let home = Home::with_users(&["ada", "bob"]);
    run(&home, "role add watcher subscribe link");
    run(&home, "grant add watcher --to ada");
    run(&home, "grant add observer --to ada --on DMM");
    run(&home, "grant add operator --to bob");
    let manager = Manager::start_in(home, &ROLES);
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    for request in [
        to_manager("subscribe", json!(["manager.*"]), json!({})),
        to_manager("link", json!(["Manager"]), json!({})),
    ] {
        assert_eq!(ada.request(&request)["error"], false);
    }
    // All of this is about what she may not see.
    let oven = service(&manager, "root", "Oven");
    let mut bob = client(&manager, "bob");
    bob.request(&to_manager("link", json!(["Oven"]), json!({})));
    bob.request(&request("Absent", "read"));
    bob.request(&to_manager("acquire_lock", json!(["Oven"]), json!({})));
    administer(&mut root, "break_lock", json!({ "service": "Oven" }));
    drop(oven);
    wait_until("the service never left", || {
        identity(&mut root)["services"].get("Oven").is_none()
    });
    // And this about what she sees, or herself.
    let dmm = service(&manager, "root", "DMM");
    let (topic, value) = event(&mut ada);
    assert_eq!(topic, "manager.service_joined");
    assert!(value["name"].as_str().unwrap().starts_with("DMM["), "{value}");
    drop(dmm);
}

#[test]
fn a_peer_with_as_many_permissions_as_there_may_be_sees_what_it_may() {
    const SERVICES: usize = 6;
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let mut root = client(&manager, "root");
    let _services: Vec<_> = (0..SERVICES)
        .map(|number| service(&manager, "root", &format!("Device{number}")))
        .collect();
    // The decisions about one service take one step, and others are served between two steps.
    let permissions: Vec<_> = (0..255).map(|number| format!("see *a*b*c*d*{number}")).collect();
    let many = json!({ "role": "many", "permissions": permissions });
    administer(&mut root, "access.add_role", many);
    for _ in 0..39 {
        grant(&mut root, "many", "ada", "*");
    }
    grant(&mut root, "observer", "ada", "Device4");
    grant(&mut root, "observer", "ada", "Device5");
    let mut ada = client(&manager, "ada");
    for _ in 0..2 {
        let seen = identity(&mut ada);
        let names: Vec<_> = seen["services"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Device4", "Device5"]);
    }
    let mut typing = log_in(&manager, "ada");
    typing.read_line();
    typing.send_line("identity");
    assert_eq!(
        typing.read_json()["result"]["services"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    let status = ada.request(&to_manager("status", json!([]), json!({})));
    assert_eq!(status["result"]["services"], 2);
    // Requests that arrive together are answered in their order, also if all is decided anew.
    administer(&mut root, "access.add_group", json!({ "group": "new" }));
    let lines = ["identity", "status", "identity"].map(|attribute| {
        let mut asked = request("Manager", attribute);
        asked["uid"] = attribute.into();
        asked.to_string() + "\n"
    });
    ada.send_bytes(lines.concat().as_bytes());
    for uid in ["identity", "status", "identity"] {
        let answer = ada.read_json();
        assert_eq!(
            (&answer["uid"], &answer["error"]),
            (&json!(uid), &json!(false)),
            "{answer}"
        );
    }
}
