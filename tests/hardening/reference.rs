//! Controls: the behaviour of the Python package's manager under the same attacks. Each prints in
//! one line how that manager failed. Controls that need the peers of another test are beside that
//! test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{
    ADMINISTRATOR, Bystander, Inspected, PASSWORD, Peer, control_failed_as_expected, home_with_administrator,
    manager_request, start_reference, start_reference_in,
};
use crate::support::manager::Manager;
use crate::support::process::Signal;
use crate::support::python::Service;
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, request, wait_for_service};
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Labwire answers or closes within milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// Expects that no frame comes, and that the connection stays open.
fn expect_silence(peer: &mut Peer, about: &str) {
    let line = peer.line_until(Instant::now() + PATIENCE);
    assert!(line.is_err(), "{about}: {line:?}");
}

/// Rows 2 and 3: each of these requests is forwarded unchanged. Its caller never gets an answer,
/// nor does the next one.
#[test]
fn the_reference_lets_malformed_requests_stop_a_python_service() {
    let manager = start_reference();
    let requests = [
        (
            "a uid of notifications",
            r#""attribute":"repeat","uid":"notification""#,
        ),
        ("a number for an attribute", r#""attribute":5,"uid":"1""#),
        ("an error", r#""attribute":"repeat","error":true,"uid":"1""#),
    ];
    let services = requests
        .map(|(what, _)| Service::start_with("Laboratory", &manager.connection(), &json!({ "name": what })));
    for (what, members) in requests {
        wait_for_service(&manager, what);
        let mut client = Peer::client(&manager, "client");
        client.send_line(format!(
            r#"{{"service":"{what}","args":[],"kwargs":{{}},{members}}}"#
        ));
        expect_silence(&mut client, what);
        let mut another = Peer::client(&manager, "another");
        another.send_line(request(what, "repeat").to_string());
        let answer = another.line_until(Instant::now() + PATIENCE);
        let is_served = matches!(&answer, Ok(Some(line)) if line.contains(r#""error": false"#));
        assert!(!is_served, "{what} did not stop the service: {answer:?}");
        control_failed_as_expected(&format!(
            "{what} was passed on, its sender waits for ever, and the service is gone"
        ));
    }
    drop(services);
}

/// Row 4: half a character in a name breaks every request for the identity.
#[test]
fn the_reference_lets_a_name_stop_those_who_ask_who_is_there() {
    let manager = start_reference();
    let mut observer = Peer::client(&manager, "observer");
    let mut hostile = Peer::connect(&manager);
    hostile.expect_request("identity");
    hostile.send_line(r#"{"result":{"type":"client","name":"\ud800"}}"#);
    let deadline = Instant::now() + DEADLINE;
    loop {
        observer.send_line(identity_request().to_string());
        match observer.line_until(Instant::now() + PATIENCE) {
            Ok(Some(_)) => assert!(Instant::now() < deadline, "the name harms nobody"),
            Ok(None) | Err(_) => break,
        }
    }
    control_failed_as_expected("half a character in a name, and who asks for the identity is never answered");
}

/// Row 4: the end of a line in a name.
#[test]
fn the_reference_lets_a_name_forge_a_line_of_the_log() {
    let manager = start_reference();
    let forged = "2026-01-01 00:00:00,000 [INFO ] forged";
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    peer.send_line(json!({ "result": { "type": "client", "name": format!("a\n{forged}") } }).to_string());
    let line = manager.wait_for_log(forged);
    assert!(line.starts_with(forged), "{line}");
    control_failed_as_expected("a name began a line of the log");
}

/// Row 5: a client that resets the connection while replies are written to it keeps its lock.
#[test]
fn the_reference_keeps_the_lock_of_a_client_that_was_reset() {
    let manager = start_reference();
    let deadline = Instant::now() + DEADLINE;
    for number in 0.. {
        assert!(Instant::now() < deadline, "{number} resets left no ghost");
        let name = format!("Balance {number}");
        let _service = Peer::service(&manager, &name, 1);
        let mut client = Peer::client(&manager, "broken");
        client.link_and_lock(&name);
        for _ in 0..500 {
            client.send_line(identity_request().to_string());
        }
        client.wait_for_unread();
        client.reset();
        if !becomes_free(&manager, &name) {
            control_failed_as_expected(&format!("reset {number} left a lock that is a ghost's"));
            return;
        }
    }
}

fn becomes_free(manager: &Manager, service: &str) -> bool {
    let mut next = Peer::client(manager, "next");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if next.ask_manager("link", json!([service]))["error"] == false {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    false
}

/// Row 6: other services connect while a client with many links disconnects.
#[test]
fn the_reference_loses_places_when_a_client_with_many_links_leaves() {
    const SERVICES: usize = 200;
    let manager = start_reference();
    let name = |number| format!("service {number}");
    let _services: Vec<Peer> = (0..SERVICES)
        .map(|number| Peer::unannounced_service(&manager, &name(number), 1))
        .collect();
    let mut client = Peer::client(&manager, "leaver");
    for number in 0..SERVICES {
        client.link_and_lock(&name(number));
    }
    // Each of them sends its identity while the manager iterates over the links.
    let mut coming: Vec<Peer> = (0..50).map(|_| Peer::connect(&manager)).collect();
    for peer in &mut coming {
        peer.expect_request("identity");
    }
    drop(client);
    for (number, peer) in coming.iter_mut().enumerate() {
        let identity = json!({ "type": "service", "name": format!("new {number}"), "attributes": {} });
        peer.send_line(json!({ "result": identity }).to_string());
    }
    wait_for_service(&manager, "new 49");
    let mut next = Peer::client(&manager, "next");
    // Long enough for Labwire.
    std::thread::sleep(PATIENCE);
    let lost = (0..SERVICES)
        .filter(|&number| next.ask_manager("link", json!([name(number)]))["error"] == true)
        .count();
    assert!(lost > 0, "every place is free again");
    control_failed_as_expected(&format!(
        "{lost} of {SERVICES} places are taken by a client that has left"
    ));
}

/// Row 11: one of two linked clients reads nothing, and the other gets no more notifications.
/// Labwire disconnects the first after two seconds.
#[test]
fn the_reference_starves_the_neighbours_of_a_client_that_does_not_read() {
    const STARVED: Duration = Duration::from_secs(4);
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let [_stuck, mut reader] = ["stuck", "reader"].map(|name| {
        let mut peer = Peer::client(&manager, name);
        assert_eq!(peer.ask_manager("link", json!(["Balance"]))["error"], false);
        peer
    });
    let payload = "x".repeat(60_000);
    let frame = json!({
        "error": false, "result": [[payload], {}], "service": "Balance", "uid": "notification",
    });
    let frame = format!("{frame}\r\n").into_bytes();
    // It ends with the manager at the latest.
    std::thread::spawn(move || (0..1_000).all(|_| service.try_send(&frame)));
    let mut read = 0;
    while reader.line_until(Instant::now() + STARVED).is_ok() {
        read += 1;
        assert!(read < 1_000, "every notification arrived");
    }
    control_failed_as_expected(&format!(
        "one does not read, and its neighbour gets nothing after {read} of 1000"
    ));
}

/// Row 12: a client waits for a reply when the manager is asked to stop.
#[test]
fn the_reference_stops_without_a_word_to_those_who_wait() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(request("Balance", "weigh").to_string());
    service.frame();
    manager.signal(Signal::TERM);
    client.expect_closed();
    control_failed_as_expected("a request under way ended with the connection and no word");
}

/// Row 13: an endless line before the identity.
#[test]
fn the_reference_keeps_an_endless_line_of_a_stranger() {
    let manager = start_reference();
    let process = Inspected::new(&manager);
    let before = process.peak_memory();
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    let chunk = vec![b'x'; 64 * 1024];
    assert!((0..1_024).all(|_| peer.try_send(&chunk)), "the line was cut");
    wait_until("the memory does not follow", || {
        process.peak_memory() - before >= 32 * 1024 * 1024
    });
    control_failed_as_expected("64 MiB of a stranger were taken, and memory followed");
}

/// Row 14: half the length that Labwire answers at once.
#[test]
fn the_reference_stands_still_for_a_long_terminal_line() {
    let manager = start_reference();
    let mut client = Peer::client(&manager, "typist");
    let bystander = Bystander::start(&manager);
    client.send_line(format!("S a {}", "w".repeat(40_000)));
    client.frame();
    let waited = bystander.stop();
    assert!(
        waited > super::frames::LONGEST_WAIT,
        "a bystander waited for {waited:?}"
    );
    control_failed_as_expected(&format!(
        "40 kB of w kept everybody waiting for {:.1} s",
        waited.as_secs_f64()
    ));
}

fn reference_with_login() -> Manager {
    start_reference_in(home_with_administrator(), &["--auth-login"])
}

/// Row 15: the peer gets no error, and the descriptor stays open even after the peer has
/// disconnected.
#[test]
fn the_reference_keeps_who_sends_a_blank_username() {
    let manager = reference_with_login();
    let process = Inspected::new(&manager);
    let before = process.descriptors();
    for _ in 0..5 {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("username");
        peer.send_line("");
        expect_silence(&mut peer, "a blank username");
    }
    // Long enough for Labwire.
    std::thread::sleep(PATIENCE);
    let kept = process.descriptors() - before;
    assert!(kept > 0, "every descriptor was given back");
    control_failed_as_expected(&format!(
        "5 blank usernames, nobody was told, {kept} descriptors are kept"
    ));
}

/// Row 18: an unknown user and a wrong password have different errors, and the number of guesses is
/// unlimited.
#[test]
fn the_reference_tells_which_users_exist_and_lets_guess_on() {
    let manager = reference_with_login();
    let mut peer = Peer::connect(&manager);
    peer.expect_request("username");
    peer.send_line("nobody");
    assert_eq!(peer.expect_rejection(), "ValueError: Unregistered user");
    control_failed_as_expected("an unknown user is told from a wrong password");
    for _ in 0..20 {
        let mut peer = Peer::connect(&manager);
        peer.log_in(ADMINISTRATOR, "guess");
        assert_eq!(peer.expect_rejection(), "ValueError: Wrong login password");
    }
    control_failed_as_expected("20 guesses in a row were checked");
}

/// Row 20: an administrator can read the password and use the database.
#[test]
fn the_reference_gives_an_administrator_the_password_and_the_database() {
    let arguments = ["--auth-password", "sesame"];
    let manager = start_reference_in(home_with_administrator(), &arguments);
    let mut peer = Peer::connect(&manager);
    peer.expect_request("password");
    peer.send_line("sesame");
    peer.identify(&json!({ "type": "client", "name": "administrator" }));
    peer.send_line(manager_request("password", json!([])).to_string());
    peer.log_in(ADMINISTRATOR, PASSWORD);
    assert_eq!(peer.frame()["result"], "sesame");
    control_failed_as_expected("an administrator was told the manager's password");
    peer.ask_manager("users_table.execute", json!(["DELETE FROM auth_users;"]));
    let users = peer.ask_manager("users_table.usernames", json!([]));
    assert_eq!(users["result"], json!([]), "{users}");
    control_failed_as_expected("an administrator ran SQL");
}

/// Row 21: the next frame after an administrator's request is taken for the username.
#[test]
fn the_reference_takes_requests_for_credentials() {
    let manager = start_reference_in(home_with_administrator(), &[]);
    let mut client = Peer::client(&manager, "client");
    let lines = [manager_request("port", json!([])), identity_request()];
    client.send_line(lines.map(|line| line.to_string()).join("\r\n"));
    client.expect_request("username");
    assert_eq!(
        client.error_or_close().as_deref(),
        Some("ValueError: Unregistered user")
    );
    control_failed_as_expected("a request became the username");
}

/// Row 25: the operating system never probes a silent peer.
#[test]
fn the_reference_never_asks_whether_a_silent_peer_is_there() {
    let manager = start_reference();
    let mut peer = Peer::client(&manager, "silent");
    // The answer acknowledges what was sent, so that no other timer hides this one.
    peer.settle();
    std::thread::sleep(PATIENCE);
    assert_eq!(super::limits::keepalive_timer(&manager, peer.port()), None);
    control_failed_as_expected("a peer that vanishes keeps its name for ever");
}

/// Row 27: errors contain paths, and every user can read the files.
#[test]
fn the_reference_shows_its_paths_and_its_files() {
    let manager = start_reference();
    let mut client = Peer::client(&manager, "client");
    let traceback = client.ask(&request("Nobody", "weigh"))["traceback"].to_string();
    assert!(traceback.contains("File \\\"/"), "{traceback}");
    control_failed_as_expected("an error tells where the manager's files are");
    let database = fs::metadata(manager.home().path("manager.sqlite3")).expect("it keeps its rows there");
    // Other users' access depends only on the umask of the user that starts the manager.
    let probe = fs::File::create(manager.home().path("probe")).and_then(|file| file.metadata());
    let usual = probe.expect("the folder can be written").permissions().mode();
    assert_eq!(database.permissions().mode(), usual);
    control_failed_as_expected(&format!("its database has the usual mode {:o}", usual & 0o777));
}
