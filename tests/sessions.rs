//! Sessions: the place of a peer is kept while its connection is broken.

mod binary;
mod logins;
mod owed;
mod peer;
mod restarts;
mod services;

use std::time::Instant;

use serde_json::{Value, json};

use self::peer::{SessionPeer, about, call, reply};
use super::support::DEADLINE;
use super::support::manager::{Home, Manager};
use super::support::wire::RawPeer;

fn start(options: &[&str]) -> Manager {
    Manager::start(&[&["--disable-tls"], options].concat())
}

/// Waits until the manager has noticed that a peer is away.
fn wait_until_away(manager: &Manager, name: &str) {
    manager.wait_for_log(&format!("{name} is away"));
}

/// Takes the next request at a service without a session, and returns its reply, to be sent later.
fn take(service: &mut RawPeer, result: &Value) -> String {
    let asked = service.read_json();
    reply(&asked, result).to_string()
}

#[test]
fn a_client_that_returns_has_its_links_locks_and_the_reply_that_came_meanwhile() {
    let manager = start(&[]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    assert_eq!(client.secret.len(), 32);
    assert_eq!(
        (&client.session["grace"], &client.session["kept"]),
        (&json!(30), &json!(1_048_576))
    );
    client.request(&about("link", "DMM"));
    client.request(&about("acquire_lock", "DMM"));
    client.send(&call("DMM", "1"));
    let answer = take(&mut dmm, &json!(1.5));
    client.break_off();
    wait_until_away(&manager, &client.name);

    // Nobody else gets in meanwhile.
    let mut other = RawPeer::client(&manager, "Other");
    let refused = other.request(&call("DMM", "x"));
    assert!(
        refused["message"].as_str().unwrap().contains(&client.name),
        "{refused}"
    );
    dmm.send_line(&answer);

    client.come_back();
    let received = client.read_json();
    assert_eq!(
        (&received["uid"], &received["result"]),
        (&json!("1"), &json!(1.5))
    );
    client.send(&call("DMM", "2"));
    let asked = dmm.read_json();
    assert_eq!(asked["requester"], json!(client.name), "it has its old name");
    dmm.send_line(&reply(&asked, &json!(2)).to_string());
    assert_eq!(client.read_json()["result"], 2);
    let refused = other.request(&call("DMM", "x"));
    assert!(
        refused["message"].as_str().unwrap().contains("locked"),
        "{refused}"
    );
}

#[test]
fn a_reply_that_the_break_cut_in_half_goes_on_where_it_was_cut() {
    let manager = start(&[]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    for (uid, length, cut) in [("1", 1_000, 500), ("2", 300_000, 1), ("3", 700_000, 600_000)] {
        client.confirm();
        client.send(&call("DMM", uid));
        let result = json!("x".repeat(length));
        let answer = take(&mut dmm, &result);
        dmm.send_line(&answer);
        let mut line = client.read_bytes(cut);
        client.break_off();
        client.come_back();
        line.extend(client.read_line());
        let received: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&received["uid"], &received["result"]), (&json!(uid), &result));
    }
    // What was received is not sent again.
    let answer = client.request(&about("unlink", "DMM"));
    assert_eq!(answer["uid"], "unlink");
}

/// Returns the counters and gauges of the manager.
fn stats(manager: &Manager) -> Value {
    let mut admin = RawPeer::client(manager, "Admin");
    let asked = admin.request(&json!({
        "args": [], "attribute": "stats", "error": false, "kwargs": {}, "service": "Manager", "uid": "stats",
    }));
    assert_eq!(asked["attribute"], "username", "{asked}");
    admin.send_line("ada");
    assert_eq!(admin.read_json()["attribute"], "password");
    admin.send_line("x");
    admin.read_json()["result"].clone()
}

/// Starts a manager with the administrator `ada`.
fn start_with_admin(options: &[&str]) -> Manager {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    Manager::start_in(home, &[&["--disable-tls"], options].concat())
}

fn message(frame: &Value) -> &str {
    frame["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {frame}"))
}

#[test]
fn a_line_that_the_break_cut_in_half_was_not_executed_and_the_position_says_so() {
    let manager = start(&[]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.send(&call("DMM", "1"));
    let answer = take(&mut dmm, &json!(1));
    dmm.send_line(&answer);
    client.read_json();
    let whole = client.sent;
    // Whole JSON, and only its line end is missing.
    client.send_bytes(call("DMM", "2").to_string().as_bytes());
    client.break_off();
    client.come_back();
    assert_eq!(client.session["received"], json!(whole));
    client.send(&call("DMM", "3"));
    assert_eq!(dmm.read_json()["uid"], "3");
}

#[test]
fn after_the_grace_period_everything_is_released() {
    let manager = start_with_admin(&[]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let identity = peer::client_identity("Ada", &json!({ "grace": 1 }));
    let mut client = SessionPeer::register(&manager, identity);
    assert_eq!(client.session["grace"], 1);
    client.request(&about("link", "DMM"));
    client.request(&about("acquire_lock", "DMM"));
    client.break_off();
    manager.wait_for_log(&format!("{} connection closed", client.name));
    let mut other = RawPeer::client(&manager, "Other");
    other.send_line(&call("DMM", "x").to_string());
    dmm.read_json();
    let refused = client.try_return(client.read);
    assert!(
        message(&refused).starts_with("KeyError: there is no session with this secret: it may have ended"),
        "{refused}"
    );
    client.expect_closed();
    let counted = stats(&manager);
    let expected = [
        ("sessions", 0),
        ("away", 0),
        ("sessions_expired", 1),
        ("unknown_sessions", 1),
        ("resumed", 0),
    ];
    for (name, count) in expected {
        assert_eq!(counted[name], count, "{name} in {counted}");
    }
}

#[test]
fn a_guessed_secret_and_another_name_are_refused_and_nothing_is_lost() {
    let manager = start_with_admin(&[]);
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.request(&about("link", "DMM"));
    client.break_off();
    let secret = std::mem::replace(&mut client.secret, "A".repeat(32));
    let refused = client.try_return(client.read);
    assert!(
        message(&refused).starts_with("KeyError: there is no session"),
        "{refused}"
    );
    client.secret = secret;
    let far = client.try_return(1 << 40);
    assert!(message(&far).contains("fewer bytes were sent"), "{far}");

    let mut thief = SessionPeer::client(&manager, "Eve");
    thief.secret = client.secret.clone();
    let refused = thief.try_return(0);
    assert!(message(&refused).contains("another name or type"), "{refused}");
    let log = manager.log();
    assert!(!log.contains(&client.secret), "no secret is in the log");

    client.come_back();
    assert_eq!(client.request(&about("unlink", "DMM"))["error"], false);
    assert_eq!(stats(&manager)["unknown_sessions"], 1);
}

#[test]
fn a_session_of_one_user_is_refused_to_another_who_knows_its_secret() {
    let home = Home::new();
    for user in ["ada", "charles"] {
        home.prepare(&["user", "add", user, "--compatible", "--password", "x"]);
    }
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut client = SessionPeer::client(&manager, "Ada");
    client.break_off();
    wait_until_away(&manager, &client.name);
    client.login.0 = "charles";
    let refused = client.try_return(client.read);
    assert!(
        message(&refused).contains("has logged in as another user"),
        "{refused}"
    );
    client.login.0 = "ada";
    client.come_back();
}

#[test]
fn a_valid_secret_takes_the_session_over_from_a_connection_that_looks_alive() {
    let manager = start(&[]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    client.send(&call("DMM", "1"));
    let answer = take(&mut dmm, &json!(1));
    let mut old = client.clone_connection();
    // The old connection is still open.
    client.come_back();
    old.expect_closed();
    dmm.send_line(&answer);
    assert_eq!(client.read_json()["uid"], "1");
}

#[test]
fn a_peer_that_says_goodbye_leaves_at_once() {
    let manager = start(&[]);
    let mut client = SessionPeer::client(&manager, "Ada");
    client.send(&json!({ "service": "Manager", "attribute": "__disconnect__" }));
    client.expect_closed();
    manager.wait_for_log(&format!("{} connection closed", client.name));
    let refused = client.try_return(0);
    assert!(
        message(&refused).starts_with("KeyError: there is no session"),
        "{refused}"
    );
}

#[test]
fn what_is_longer_than_can_be_kept_ends_with_an_error_and_holds_nobody_up() {
    let manager = start_with_admin(&["--session-kept", "64KiB"]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    assert_eq!(client.session["kept"], 65_536);
    for uid in ["1", "2", "3"] {
        client.send(&call("DMM", uid));
    }
    let results = [json!("x".repeat(40_000)), json!("y".repeat(40_000)), json!(3)];
    let answers = results.each_ref().map(|result| take(&mut dmm, result));
    client.break_off();
    wait_until_away(&manager, &client.name);
    for answer in &answers {
        dmm.send_line(answer);
    }
    // The service goes on with others.
    let mut other = RawPeer::client(&manager, "Other");
    other.send_line(&call("DMM", "x").to_string());
    let answer = take(&mut dmm, &json!("other"));
    dmm.send_line(&answer);
    assert_eq!(other.read_json()["result"], "other");

    client.come_back();
    assert_eq!(client.session["from"], json!(client.read));
    assert_eq!(client.read_json()["result"], results[0]);
    let lost = client.read_json();
    assert_eq!((&lost["uid"], &lost["executed"]), (&json!("2"), &json!("maybe")));
    assert!(
        message(&lost).contains("longer than could be kept (--session-kept"),
        "{lost}"
    );
    assert_eq!(client.read_json()["result"], 3);
}

#[test]
fn a_peer_that_never_confirms_loses_the_oldest_and_is_told_which_requests_can_still_end() {
    let manager = start_with_admin(&["--session-kept", "64KiB"]);
    let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut client = SessionPeer::client(&manager, "Ada");
    let began = client.read;
    for uid in ["1", "2", "3"] {
        client.send(&call("DMM", uid));
        let answer = take(&mut dmm, &json!("x".repeat(30_000)));
        dmm.send_line(&answer);
        client.read_json();
    }
    client.send(&json!({ "service": "DMM", "attribute": "read", "uid": 4 }));
    let answer = take(&mut dmm, &json!(4));
    client.break_off();
    wait_until_away(&manager, &client.name);
    // It says that it has received nothing since it registered.
    client.come_back_at(began);
    assert!(
        client.session["from"].as_u64().unwrap() > began,
        "{}",
        client.session
    );
    assert_eq!(client.session["in_flight"], json!([4]));
    let again = client.read_json();
    assert_eq!(again["uid"], "2", "from the beginning of a line: {again}");
    assert_eq!(client.read_json()["uid"], "3");
    dmm.send_line(&answer);
    assert_eq!(client.read_json()["uid"], 4);
    assert!(stats(&manager)["session_bytes_dropped"].as_u64().unwrap() > 30_000);
}

#[test]
fn confirmations_free_what_is_kept_and_a_false_one_is_refused() {
    let manager = start_with_admin(&["--session-kept", "64KiB"]);
    let mut client = SessionPeer::client(&manager, "Ada");
    let identity = json!({ "service": "Manager", "attribute": "identity", "uid": "i" });
    for _ in 0..100 {
        client.request(&identity);
    }
    assert!(stats(&manager)["session_bytes"].as_u64().unwrap() > 10_000);
    client.confirm();
    // The answer comes after the confirmation was handled.
    client.request(&identity);
    assert!(stats(&manager)["session_bytes"].as_u64().unwrap() < 2_000);
    let refused = client.request(&json!({ "received": 1_u64 << 50 }));
    assert!(message(&refused).contains("fewer bytes were sent"), "{refused}");
    assert_eq!(client.request(&identity)["uid"], "i");
}

#[test]
fn more_peers_than_may_be_away_are_released_at_once() {
    let manager = start_with_admin(&["--away", "4"]);
    let mut clients: Vec<_> = (0..6)
        .map(|number| SessionPeer::client(&manager, &format!("c{number}")))
        .collect();
    for client in &mut clients {
        client.break_off();
    }
    let mut counted = stats(&manager);
    let begun = Instant::now();
    while counted["away"].as_u64().unwrap() + counted["away_refused"].as_u64().unwrap() < 6 {
        assert!(begun.elapsed() < DEADLINE, "{counted}");
        counted = stats(&manager);
    }
    // One address may have most places, and not the last ones.
    assert_eq!(
        (&counted["away"], &counted["away_refused"]),
        (&json!(3), &json!(3))
    );
    let returned = clients
        .iter_mut()
        .map(|client| client.try_return(client.read)["attribute"] == "resumed");
    assert_eq!(returned.filter(|resumed| *resumed).count(), 3);
}

#[test]
fn a_request_to_the_manager_that_the_break_interrupts_ends_with_an_error() {
    let manager = start_with_admin(&[]);
    let mut client = SessionPeer::client(&manager, "Ada");
    let asked = client.request(&json!({ "service": "Manager", "attribute": "stats", "uid": "7" }));
    assert_eq!(asked["attribute"], "username");
    client.break_off();
    client.come_back();
    let refused = client.read_json();
    assert_eq!(
        (&refused["uid"], &refused["executed"]),
        (&json!("7"), &json!("no"))
    );
    assert!(
        message(&refused).contains("before the login was complete"),
        "{refused}"
    );
}

#[test]
fn the_status_says_since_when_and_until_when_a_peer_is_away() {
    let manager = start(&[]);
    let mut client = SessionPeer::client(&manager, "Ada");
    let mut dmm = SessionPeer::service(&manager, "DMM", &json!({}));
    for peer in [&mut client, &mut dmm] {
        peer.break_off();
        wait_until_away(&manager, &peer.name);
    }
    let mut observer = RawPeer::client(&manager, "Observer");
    for (kind, index) in [("clients", 0), ("services", 0)] {
        let status = observer.request(&json!({
            "service": "Manager", "attribute": "status", "kwargs": { "kind": kind }, "uid": "s",
        }));
        let away = &status["result"]["page"][index]["away"];
        let times = ["since", "until"].map(|time| away[time].as_str().unwrap_or_else(|| panic!("{status}")));
        assert!(times[0] < times[1], "{status}");
    }
    let status = manager
        .home()
        .labwire(&["status", "--port", &manager.port().to_string(), "--disable-tls"]);
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("away until"), "{text}");
}
