//! Logins that end between their check and what they are for.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::*;

/// A connection that is older than this is not trusted to be logged in without another look at the database.
const FOLLOWED: Duration = Duration::from_secs(1);

/// Answers the questions for a username and a password that an administrator's request has led to.
fn log_in_for_request(peer: &mut RawPeer, request: &Value, user: &str) {
    assert_eq!(peer.request(request)["attribute"], "username");
    peer.send_line(&json!({ "result": user }).to_string());
    assert_eq!(peer.read_json()["attribute"], "password");
    peer.send_line(&json!({ "result": "x" }).to_string());
}

/// Waits until a connection that was made at this time is older than [`FOLLOWED`].
fn wait_until_old(made: Instant) {
    sleep((FOLLOWED + Duration::from_millis(100)).saturating_sub(made.elapsed()));
}

#[test]
fn a_request_that_waits_for_a_login_is_not_executed_once_the_login_has_ended() {
    let home = home();
    for user in ["eve", "demoted"] {
        home.prepare(&["user", "add", user, "--admin", "--compatible", "--password", "x"]);
    }
    let manager = Manager::start_in(home, &LOGIN);
    let mut root = client(&manager, "root");
    let mut peers = ["eve", "demoted"].map(|user| (client(&manager, "ada"), user));
    // From now on a password takes long to be checked, whoever's it is.
    let slow = json!({ "username": "slow", "password": "x", "is_admin": false, "rounds": 6_000_000 });
    assert_eq!(administer(&mut root, "users_table.insert", slow)["error"], false);
    let shutdown = request("Manager", "shutdown_manager");
    for (ada, user) in &mut peers {
        log_in_for_request(ada, &shutdown, user);
    }
    // Both passwords are being checked.
    assert_eq!(root.request(&request("Manager", "identity"))["error"], false);
    let disabled = json!({ "user": "eve" });
    assert_eq!(
        administer(&mut root, "access.disable_user", disabled)["error"],
        false
    );
    let demoted = json!({ "username": "demoted", "is_admin": false });
    assert_eq!(
        administer(&mut root, "users_table.update", demoted)["error"],
        false
    );
    let [(mut disabled, _), (mut demoted, _)] = peers;
    let told = disabled.read_json();
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("the user was disabled") || message.contains("disabled by an administrator"),
        "{told}"
    );
    let told = demoted.read_json();
    assert!(
        told["message"].as_str().unwrap().contains("administrator"),
        "{told}"
    );
    assert_eq!(demoted.request(&request("Manager", "identity"))["error"], false);
    assert_eq!(
        administer(&mut root, "stats", json!({}))["error"],
        false,
        "the manager has stopped"
    );
}

#[test]
fn an_administrator_who_is_demoted_before_the_identity_is_told_is_none() {
    let home = home();
    for user in ["by request", "by command"] {
        home.prepare(&["user", "add", user, "--admin", "--compatible", "--password", "x"]);
    }
    let manager = Manager::start_in(home, &LOGIN);
    let mut root = client(&manager, "root");
    let made = Instant::now();
    let mut late = ["by request", "by command"].map(|user| log_in(&manager, user));
    for peer in &mut late {
        assert_eq!(peer.read_json()["attribute"], "identity");
    }
    let demoted = json!({ "username": "by request", "is_admin": false });
    assert_eq!(
        administer(&mut root, "users_table.update", demoted)["error"],
        false
    );
    manager.home().prepare(&["user", "update", "by command"]);
    wait_until_old(made);
    for mut peer in late {
        let identity = json!({ "result": { "type": "client", "name": "late" } });
        peer.send_line(&identity.to_string());
        let insert = json!({ "username": "back", "password": "x", "is_admin": true });
        let asked = administer(&mut peer, "users_table.insert", insert);
        assert_eq!(asked["attribute"], "username", "{asked}");
    }
    assert!(
        users(manager.home())
            .iter()
            .all(|user| user["username"] != "back")
    );
}

#[test]
fn what_a_command_has_revoked_before_the_identity_is_told_admits_nobody_also_if_nobody_else_is_logged_in() {
    let home = home();
    let added = home.labwire(&["token", "add", "--json", "--user", "root", "--everything"]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let manager = Manager::start_in(home, &LOGIN);
    // Those who may stay are known from now on.
    drop(client(&manager, "root"));
    let made = Instant::now();
    let mut late = ["ada", "root"].map(|user| {
        let mut peer = RawPeer::connect(&manager);
        let secret = if user == "root" {
            added["secret"].as_str().unwrap()
        } else {
            "x"
        };
        for credential in [user, secret] {
            peer.read_json();
            peer.send_line(&json!({ "result": credential }).to_string());
        }
        assert_eq!(peer.read_json()["attribute"], "identity");
        peer
    });
    manager.home().prepare(&["user", "disable", "ada"]);
    manager
        .home()
        .prepare(&["token", "revoke", &added["id"].to_string()]);
    wait_until_old(made);
    let told = ["the user was disabled", "was revoked"];
    for (peer, told) in late.iter_mut().zip(told) {
        let identity = json!({ "result": { "type": "client", "name": "late" } });
        peer.send_line(&identity.to_string());
        let refused = peer.read_json();
        assert!(refused["message"].as_str().unwrap().contains(told), "{refused}");
        peer.expect_closed();
    }
}

#[test]
fn who_has_logged_in_as_somebody_else_since_goes_with_the_first_login() {
    let manager = Manager::start_in(home(), &LOGIN);
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    log_in_for_request(&mut ada, &request("Manager", "stats"), "root");
    assert_eq!(ada.read_json()["error"], false);
    let disabled = json!({ "user": "ada" });
    assert_eq!(
        administer(&mut root, "access.disable_user", disabled)["error"],
        false
    );
    expect_dismissed(&mut ada);
}
