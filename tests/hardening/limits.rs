//! Every limit of `start`, set to a small value by its option and exceeded: the peer gets an error
//! as far as it can still read it, the log contains it, and it is counted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::network::{apart, inside};
use super::support::{
    ADMINISTRATOR, Administrator, Peer, expect_no_panic, home_with_administrator, manager_request,
};
use crate::support::manager::{HOST, Home, Manager};
use crate::support::process::{Process, Signal};
use crate::support::waiting::wait_until;
use crate::support::wire::request;
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Starts a manager without TLS, with these options, and connects its administrator.
fn start(options: &[&str]) -> (Manager, Administrator) {
    let manager = Manager::start_in(home_with_administrator(), &[&["--disable-tls"], options].concat());
    let administrator = Administrator::new(&manager);
    (manager, administrator)
}

fn message(frame: &serde_json::Value) -> &str {
    frame["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {frame}"))
}

#[test]
fn a_handshake_that_takes_too_long() {
    let (manager, mut administrator) = start(&["--handshake", "1500ms"]);
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    let told = peer.expect_rejection();
    assert_eq!(
        told,
        "TimeoutError: authentication and identity took longer than 1.5 s"
    );
    manager.wait_for_log(&told);
    assert_eq!(administrator.counter("handshake_timeouts"), 1);
    expect_no_panic(&manager);
}

#[test]
fn a_tls_handshake_that_takes_too_long() {
    let manager = Manager::start(&["--handshake", "500ms"]);
    let mut peer = Peer::connect(&manager);
    // The beginning of a TLS handshake.
    peer.send_bytes(&[0x16, 3, 1, 2, 0]);
    peer.expect_closed();
    manager.wait_for_log("took longer than 0.5 s");
    let mut manager = manager;
    manager.signal(Signal::TERM);
    assert!(manager.wait_for_end().success());
    assert!(
        manager.log().contains(r#""handshake_timeouts":1"#),
        "{}",
        manager.log()
    );
}

#[test]
fn a_line_before_the_identity_that_is_too_long() {
    let (manager, mut administrator) = start(&["--handshake-line", "1KiB", "--identity-line", "1KiB"]);
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    peer.send_bytes(&[b'x'; 2_000]);
    let told = peer.expect_rejection();
    assert!(told.contains("1024 bytes"), "{told}");
    manager.wait_for_log(&told);
    assert_eq!(administrator.counter("lines_too_long"), 1);
    expect_no_panic(&manager);
}

#[test]
fn a_line_after_the_identity_that_is_too_long() {
    let (manager, mut administrator) = start(&["--line", "2KiB"]);
    let mut peer = Peer::client(&manager, "Ada");
    peer.send_bytes(&[b'x'; 3_000]);
    let told = peer.expect_rejection();
    assert!(told.contains("2048 bytes"), "{told}");
    manager.wait_for_log("Ada[");
    manager.wait_for_log("2048 bytes");
    assert_eq!(administrator.counter("lines_too_long"), 1);
    expect_no_panic(&manager);
}

#[test]
fn a_line_that_is_nested_too_deep() {
    let (manager, mut administrator) = start(&["--nesting", "8"]);
    let mut service = Peer::service(&manager, "Echo", 0);
    let mut client = Peer::client(&manager, "Ada");
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let call = |levels| {
        let args = nested(levels);
        format!(
            r#"{{"args":{args},"attribute":"echo","error":false,"kwargs":{{}},"service":"Echo","uid":"7"}}"#
        )
    };
    // The surrounding object counts as a level.
    client.send_line(call(8));
    let refused = client.frame();
    assert_eq!(
        message(&refused),
        "ValueError: the JSON text is nested deeper than 8 levels (see --nesting of labwire start)"
    );
    assert_eq!(refused["uid"], "7");
    client.send_line(call(2_000));
    assert_eq!(message(&client.frame()), message(&refused));
    manager.wait_for_log("nested deeper than 8 levels");
    assert_eq!(administrator.counter("nested_too_deep"), 2);

    // Typed lines become JSON, too.
    client.send_line(format!("Echo echo {}", nested(7)));
    assert_eq!(message(&client.frame()), message(&refused));

    client.send_line(call(7));
    let asked = service.frame();
    let reply = nested(8);
    service.send_line(format!(
        r#"{{"error":false,"requester":{},"result":{reply},"uid":"7"}}"#,
        asked["requester"]
    ));
    let told = client.frame();
    assert!(
        message(&told).contains("a reply that is nested deeper than 8 levels"),
        "{told}"
    );
    assert_eq!(told["uid"], "7");
    assert_eq!(administrator.counter("nested_too_deep"), 4);
    expect_no_panic(&manager);
}

/// A client that does not read is disconnected: after it has read nothing for the stall time, or
/// after others have waited for it longer than their patience.
#[test]
fn a_queue_that_is_full() {
    for times in [
        ["--stall", "500ms", "--patience", "1h"],
        ["--stall", "1h", "--patience", "500ms"],
    ] {
        let (manager, mut administrator) = start(&[&["--queue", "64KiB"], &times[..]].concat());
        let mut service = Peer::service(&manager, "Balance", 0);
        let mut stuck = Peer::client(&manager, "stuck");
        stuck.ask_manager("link", json!(["Balance"]));
        let payload = "x".repeat(60_000);
        // More than the system's own buffers hold.
        for _ in 0..400 {
            let frame = json!({
                "error": false, "result": [[payload], {}], "service": "Balance", "uid": "notification",
            });
            service.send_line(frame.to_string());
        }
        manager.wait_for_log("was cut: it did not read while others waited for it");
        administrator.wait_for_counter("cut", 1);
        assert!(administrator.counter("held_back") > 0);
        drop((stuck, service));
        expect_no_panic(&manager);
    }
}

/// On one computer all peers have the same address: the disconnect of a client does not affect the
/// others.
#[test]
fn peers_from_the_address_of_a_client_that_was_cut_are_served_like_all_others() {
    let (manager, mut administrator) = start(&["--queue", "64KiB", "--stall", "500ms"]);
    let mut service = Peer::service(&manager, "Balance", 0);
    let payload = "x".repeat(60_000);
    for number in 1..=3 {
        let mut stuck = Peer::client(&manager, "stuck");
        stuck.ask_manager("link", json!(["Balance"]));
        while administrator.counter("cut") < number {
            let frame = json!({
                "error": false, "result": [[payload], {}], "service": "Balance", "uid": "notification",
            });
            service.send_line(frame.to_string());
        }
    }
    // A client with many slow calls, and one of another service.
    let mut slow = Peer::service(&manager, "Oven", 0);
    let mut client = Peer::client(&manager, "Ada");
    let ask = |service: &str, uid: usize| {
        json!({ "service": service, "attribute": "read", "uid": uid.to_string(), "args": [] }).to_string()
    };
    for uid in 0..20 {
        client.send_line(ask("Oven", uid));
    }
    client.send_line(ask("Balance", 20));
    let reply = |asked: &Value| {
        json!({ "error": false, "requester": asked["requester"], "result": payload, "uid": asked["uid"] })
            .to_string()
    };
    let asked = service.frame();
    service.send_line(reply(&asked));
    let told = client.frame();
    assert_eq!(told["uid"], "20", "{told}");
    // A service that pauses before it reads, for longer than the last disconnected clients had.
    std::thread::sleep(Duration::from_millis(300));
    for uid in 0..20 {
        let asked = slow.frame();
        slow.send_line(reply(&asked));
        assert_eq!(client.frame()["uid"], uid.to_string());
    }
    assert_eq!(administrator.counter("cut"), 3);
    expect_no_panic(&manager);
}

#[test]
fn more_connections_than_there_may_be() {
    let (manager, mut administrator) = start(&["--connections", "3"]);
    let first = Peer::client(&manager, "first");
    let _second = Peer::client(&manager, "second");
    let told = Peer::connect(&manager).expect_rejection();
    assert_eq!(
        told,
        "ConnectionError: the manager has 3 connections, which is as many as it may have, try again later"
    );
    manager.wait_for_log(&told);
    assert_eq!(administrator.counter("too_many_connections"), 1);
    drop(first);
    manager.wait_for_log("first[");
    wait_until("the place is not given to anyone else", || {
        Peer::connect(&manager).frame()["attribute"] == "identity"
    });
    expect_no_panic(&manager);
}

#[test]
fn more_tls_connections_than_there_may_be() {
    let manager = Manager::start(&["--connections", "1"]);
    let open = || {
        let mut command = Command::new("openssl");
        let address = format!("{HOST}:{}", manager.port());
        command.args(["s_client", "-quiet", "-connect", &address]);
        Process::spawn("openssl s_client", &mut command)
    };
    let heard = |terminal: &Process, text: &str| {
        terminal.wait_for(text, |line| line.contains(text).then_some(()));
    };
    let first = open();
    heard(&first, "identity");
    let second = open();
    heard(&second, "which is as many as it may have");
    expect_no_panic(&manager);
}

#[test]
fn more_connections_without_an_identity_than_there_may_be() {
    let (manager, mut administrator) = start(&["--unidentified", "2"]);
    let mut silent: Vec<Peer> = (0..2).map(|_| Peer::connect(&manager)).collect();
    for peer in &mut silent {
        peer.expect_request("identity");
    }
    let told = Peer::connect(&manager).expect_rejection();
    assert!(
        told.contains("too many connections that have not identified themselves"),
        "{told}"
    );
    manager.wait_for_log(&told);
    assert_eq!(administrator.counter("too_many_unidentified"), 1);
    expect_no_panic(&manager);
}

#[test]
fn more_connections_of_one_address_without_an_identity_than_there_may_be() {
    let (manager, mut administrator) = start(&["--unidentified-per-address", "2"]);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut silent: Vec<Peer> = (0..2).map(|_| Peer::connect_from(&manager, here)).collect();
    for peer in &mut silent {
        peer.expect_request("identity");
    }
    let told = Peer::connect_from(&manager, here).expect_rejection();
    assert!(told.contains("too many connections from this address"), "{told}");
    manager.wait_for_log(&told);
    assert_eq!(administrator.counter("too_many_unidentified_per_address"), 1);
    Peer::connect_from(&manager, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))).expect_request("identity");
    expect_no_panic(&manager);
}

#[test]
fn more_requests_in_flight_than_a_client_may_have() {
    let (manager, mut administrator) = start(&["--in-flight", "2"]);
    let _service = Peer::service(&manager, "Slow", 0);
    let mut client = Peer::client(&manager, "Ada");
    for _ in 0..3 {
        client.send_line(request("Slow", "measure").to_string());
    }
    let refused = client.frame();
    assert!(
        message(&refused).contains("has 2 requests in flight"),
        "{refused}"
    );
    assert_eq!(refused["uid"], "request");
    manager.wait_for_log("has 2 requests in flight");
    assert_eq!(administrator.counter("too_many_in_flight"), 1);
    expect_no_panic(&manager);
}

/// Fails to log in from an address, and returns the reason.
fn guess(manager: &Manager, host: u8) -> String {
    let mut peer = Peer::connect_from(manager, IpAddr::V4(Ipv4Addr::new(127, 1, 1, host)));
    peer.log_in(ADMINISTRATOR, "a guess");
    peer.expect_rejection()
}

fn start_with_login(options: &[&str]) -> Manager {
    let options = [&["--disable-tls", "--auth-login"], options].concat();
    Manager::start_in(home_with_administrator(), &options)
}

#[test]
fn more_failed_logins_of_an_address_than_are_free() {
    for (options, seconds) in [
        (&["--login-penalty", "30s"][..], "30"),
        (&["--login-penalty", "30s", "--login-penalty-address", "2s"], "2"),
    ] {
        let manager = start_with_login(&[&["--login-failures", "2"], options].concat());
        for _ in 0..2 {
            assert_eq!(
                guess(&manager, 1),
                "ValueError: Unregistered user or Wrong login password"
            );
        }
        let told = guess(&manager, 1);
        assert_eq!(
            told,
            format!("PermissionError: too many failed logins, try again in {seconds} s")
        );
        manager.wait_for_log(&told);
        // Another address is not penalised, although the failures had that user's name.
        let mut administrator = Administrator::with_login(&manager);
        assert_eq!(administrator.counter("penalised_logins"), 1);
        assert_eq!(administrator.counter("failed_logins"), 3);
        expect_no_panic(&manager);
    }
}

/// Only the answers to wrong passwords are delayed: knowing a name must not be enough to delay its
/// owner.
#[test]
fn more_failed_logins_of_a_user_than_are_free() {
    let options = [
        "--login-failures",
        "1",
        "--login-penalty",
        "1h",
        "--login-penalty-user",
        "3s",
    ];
    let manager = start_with_login(&options);
    guess(&manager, 1);
    let asked = Instant::now();
    guess(&manager, 2);
    assert!(asked.elapsed().as_secs() >= 3, "the answer did not wait");
    let line = manager.wait_for_log("waits 3.0 s: too many failed for the same user");
    assert!(!line.contains(ADMINISTRATOR), "{line}");
    let asked = Instant::now();
    let mut administrator = Administrator::with_login(&manager);
    assert!(asked.elapsed().as_secs() < 3, "a good login waited");
    assert_eq!(administrator.counter("delayed_logins"), 1);

    let manager = start_with_login(&["--login-failures", "1", "--login-penalty-user", "0"]);
    for number in 1..=3 {
        guess(&manager, number);
    }
    let mut administrator = Administrator::with_login(&manager);
    assert_eq!(administrator.counter("delayed_logins"), 0);
    expect_no_panic(&manager);
}

#[test]
fn requests_that_are_not_answered_while_the_manager_stops() {
    let (mut manager, _administrator) = start(&["--drain", "200ms"]);
    let mut service = Peer::service(&manager, "Slow", 0);
    let mut client = Peer::client(&manager, "Ada");
    client.send_line(request("Slow", "measure").to_string());
    service.frame();
    manager.signal(Signal::TERM);
    let told = client.frame();
    assert!(
        message(&told).contains("may have been executed by the 'Slow' Service"),
        "{told}"
    );
    assert!(manager.wait_for_end().success());
    let log = manager.log();
    assert!(
        log.contains("1 request(s) were not answered, they had 0.2 s at most"),
        "{log}"
    );
    assert!(log.contains(r#""abandoned":1"#), "{log}");
    expect_no_panic(&manager);
}

/// Returns the time until the operating system's next keep-alive probe of the peer, in hundredths
/// of a second.
pub(super) fn keepalive_timer(manager: &Manager, peer_port: u16) -> Option<u64> {
    const KEEPALIVE: &str = "02";
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let ends = (port(fields[1])?, port(fields[2])?);
            let (kind, left) = fields[5].split_once(':')?;
            (ends == (manager.port(), peer_port) && kind == KEEPALIVE)
                .then(|| u64::from_str_radix(left, 16).expect("a number"))
        })
}

#[test]
fn a_silent_peer_is_asked_whether_it_is_there() {
    for (keepalive, expected) in [("5s", 0..=500), ("1h", 300_000..=360_000)] {
        let (manager, mut administrator) = start(&["--keepalive", keepalive]);
        let peer = Peer::client(&manager, "silent");
        let deadline = Instant::now() + DEADLINE;
        let left = loop {
            if let Some(left) = keepalive_timer(&manager, peer.port()) {
                break left;
            }
            assert!(Instant::now() < deadline, "nobody will ask");
            std::thread::sleep(POLL_INTERVAL);
        };
        assert!(expected.contains(&left), "{left}");
        assert_eq!(administrator.counter("vanished"), 0);
    }
}

/// In a network of its own, which is taken down under a connected client: the client is
/// disconnected although it never closed the connection.
#[test]
fn a_peer_that_has_vanished_is_dropped() {
    let home = Home::new();
    let options = ["start", "--port", "0", "--disable-tls", "--keepalive", "1s"];
    let Some(mut command) = apart("", &home.command(&options)) else {
        return;
    };
    let mut manager = Manager::start_command(home, &mut command);
    let port = manager.port().to_string();
    let mut client = Process::spawn("nc", &mut inside(&manager, &["nc", "127.0.0.1", &port]));
    client.type_line("client Ada");
    manager.wait_for_log("is a new Client connection");
    let down = inside(&manager, &["ip", "link", "set", "lo", "down"]).status();
    assert!(down.is_ok_and(|down| down.success()));
    let line = manager.wait_for_log("has vanished, nothing that was sent to it was acknowledged");
    assert!(line.contains("Ada["), "{line}");
    manager.signal(Signal::TERM);
    assert!(manager.wait_for_end().success());
    assert!(manager.log().contains(r#""vanished":1"#), "{}", manager.log());
}

#[test]
fn limits_come_from_the_file_and_the_environment_too() {
    let home = home_with_administrator();
    let file = "line = \"2KiB\"\nin-flight = 1\nstall = 0.5\ndisable-tls = true\nqueue = 65536\n";
    fs::write(home.path("labwire.toml"), file).unwrap();
    let mut command = home.command(&["start", "--port", "0", "--config", "labwire.toml"]);
    command.env("LABWIRE_IN_FLIGHT", "2").env("LABWIRE_NESTING", "5");
    let manager = Manager::start_command(home, &mut command);
    let _service = Peer::service(&manager, "Slow", 0);
    let mut client = Peer::client(&manager, "Ada");
    for _ in 0..3 {
        client.send_line(request("Slow", "measure").to_string());
    }
    assert!(message(&client.frame()).contains("has 2 requests in flight"));
    let deep = manager_request("identity", json!([[[[[]]]]]));
    assert!(message(&client.ask(&deep)).contains("deeper than 5 levels"));
    client.send_bytes(&[b'x'; 3_000]);
    assert!(client.expect_rejection().contains("2048 bytes"));
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_with_what_would() {
    let home = Home::new();
    let refused = |arguments: &[&str], text: &str| {
        let ended = home.labwire(&[&["start"], arguments].concat());
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(text), "{arguments:?}: {error}");
    };
    refused(&["--line", "10"], "--line can be 1KiB to 16GiB, it cannot be 10B");
    refused(&["--stall", "2h"], "--stall can be 100ms to 1h, it cannot be 2h");
    refused(
        &["--nesting", "5000"],
        "--nesting can be 4 to 1024, it cannot be 5000",
    );
    refused(
        &["--queue", "5XB"],
        "write a number of bytes, as in 65536, 64KiB or 1GiB",
    );
    refused(&["--drain", "soon"], "write a time, as in 10s, 500ms");
    for (line, text) in [
        ("line = \"10\"", "--line can be 1KiB to 16GiB"),
        (
            "line = \"much\"",
            "labwire.toml, line 1 is wrong: write a number of bytes",
        ),
        ("stall = -1", "labwire.toml, line 1 is wrong: write a time"),
        ("nesting = 5000", "--nesting can be 4 to 1024"),
    ] {
        fs::write(home.path("labwire.toml"), line).unwrap();
        refused(&["--config", "labwire.toml"], text);
    }
}
