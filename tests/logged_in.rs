//! The usernames of logged-in peers, in the log and in the list for administrators.

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::wire::{RawPeer, request};

/// Returns a folder with an administrator and a user, whose passwords have few rounds.
fn home_with_users() -> Home {
    let home = Home::new();
    for user in [&["ada", "--admin"][..], &["b. o'neil"]] {
        let line = [&["user", "add"], user, &["--compatible", "--password", "x"]].concat();
        home.prepare(&line);
    }
    home
}

/// Answers the manager's next request, whichever it is.
fn answer(peer: &mut RawPeer, credential: &str) {
    let request = peer.read_json();
    assert_eq!(request["error"], false, "{request}");
    peer.send_line(&json!({ "result": credential }).to_string());
}

fn log_in(manager: &Manager, user: &str, password: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    answer(&mut peer, user);
    answer(&mut peer, password);
    peer
}

/// Returns the connected peers, as an administrator gets them.
fn sessions(administrator: &mut RawPeer) -> Value {
    administrator.request(&request("Manager", "sessions"))["result"].clone()
}

#[test]
fn who_logged_in_is_in_the_log_and_in_the_list_of_an_administrator() {
    let manager = Manager::start_in(home_with_users(), &["--disable-tls", "--auth-login"]);
    let mut administrator = log_in(&manager, "ada", "x");
    administrator.identify(&json!({ "type": "client", "name": "Console" }));
    let mut service = log_in(&manager, "b. o'neil", "x");
    service.identify(&json!({ "type": "service", "name": "Oven", "attributes": {} }));
    manager.wait_for_log("is a new Client connection, logged in as 'ada'");
    let line = manager.wait_for_log("is a new Service connection, logged in as \"b. o'neil\"");
    assert!(line.contains("Oven["), "{line}");

    let listed = sessions(&mut administrator);
    let name = listed[0]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("Console["), "{listed}");
    let expected = json!([
        { "type": "client", "name": name, "user": "ada", "is_admin": true, "with": null },
        { "type": "service", "name": "Oven", "user": "b. o'neil", "is_admin": false, "with": null },
    ]);
    assert_eq!(listed, expected);
    // Other users cannot list them.
    let mut client = log_in(&manager, "b. o'neil", "x");
    client.identify(&json!({ "type": "client", "name": "Other" }));
    let asked = client.request(&request("Manager", "sessions"));
    assert_eq!(asked["attribute"], "username", "{asked}");
}

#[test]
fn an_administrator_who_logs_in_later_is_listed_from_then_on() {
    let manager = Manager::start_in(home_with_users(), &["--disable-tls"]);
    let mut client = RawPeer::client(&manager, "Console");
    let _guest = RawPeer::client(&manager, "Guest");
    client.send_line(&request("Manager", "sessions").to_string());
    answer(&mut client, "ada");
    answer(&mut client, "x");
    let listed = client.read_json()["result"].clone();
    let users: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["user"])
        .collect();
    assert_eq!(users, [&json!("ada"), &Value::Null], "{listed}");
    let line = manager.wait_for_log("logged in as the administrator 'ada'");
    assert!(line.contains("Console["), "{line}");
}

#[test]
fn a_failed_login_tells_the_name_that_was_tried_and_a_crowd_of_them_does_not_fill_the_log() {
    // The documented maximum of lines about peers of one address in a minute.
    const MOST_LINES: usize = 20;
    let manager = Manager::start_in(home_with_users(), &["--disable-tls", "--auth-login"]);
    for name in ["ada", "nobody", "line\nbreak \u{202e}"] {
        let mut peer = log_in(&manager, name, "guess");
        let refused = peer.read_json();
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("Unregistered user or Wrong login password"),
            "{refused}"
        );
    }
    let line = manager.wait_for_log("(as 'nobody')");
    assert!(
        line.contains("Wrong login password") && line.contains("[INFO ]"),
        "{line}"
    );
    manager.wait_for_log("(as 'ada')");
    manager.wait_for_log("(as 'line\\nbreak \\u202e')");

    // Most of them are not even checked.
    for number in 0..5 * MOST_LINES {
        log_in(&manager, &format!("guess {number}"), "guess").read_line();
    }
    manager.wait_for_log("too many failed logins, try again");
    manager.wait_for_log("most of them are left out for a minute");
    let log = manager.log();
    let lines = log.lines().filter(|line| line.contains("(as '")).count();
    assert!(lines <= 2 * MOST_LINES, "{lines} lines tell of failed logins");
}

#[test]
fn a_failed_login_of_a_client_that_is_connected_tells_the_name_too() {
    let manager = Manager::start_in(home_with_users(), &["--disable-tls"]);
    let mut client = RawPeer::client(&manager, "Console");
    client.send_line(&request("Manager", "sessions").to_string());
    answer(&mut client, "b. o'neil");
    answer(&mut client, "guess");
    let line = manager.wait_for_log("failed to log in as \"b. o'neil\": ");
    assert!(line.contains("Console["), "{line}");
}

#[test]
fn a_name_of_any_length_takes_one_short_line_of_the_log() {
    let manager = Manager::start_in(home_with_users(), &["--disable-tls", "--auth-login"]);
    log_in(&manager, &"x".repeat(10_000), "guess").read_line();
    let line = manager.wait_for_log("(as 'xxx");
    assert!(line.len() < 600, "{line}");
}
