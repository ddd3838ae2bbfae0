//! Thousands of rejected peers leave little behind in the log and in the table of connections.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::support::{Administrator, Peer, expect_no_panic, home_with_administrator};
use crate::support::manager::Manager;

/// Number of unidentified peers, one after another.
const STRANGERS: usize = 3_000;

/// Bytes that all of them together may add to the log: lines about some of them, and the number of
/// lines left out.
const LOG_BYTES: usize = 16 * 1024;

/// Sends an invalid identity, and is refused.
fn be_refused(manager: &Manager, from: IpAddr) {
    let mut peer = Peer::connect_from(manager, from);
    peer.expect_request("identity");
    peer.send_line(r#"{"result":"I am nobody"}"#);
    assert!(peer.expect_rejection().contains("is no identity"));
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 9, last))
}

/// The log still contains a refusal from another address, and the number of missing lines.
#[test]
fn strangers_by_the_thousand_do_not_fill_the_log() {
    let manager = Manager::start(&["--disable-tls"]);
    let before = manager.log().len();
    for _ in 0..STRANGERS {
        be_refused(&manager, address(1));
    }
    be_refused(&manager, address(2));
    manager.wait_for_log("rejected, closing connection");
    let home = manager.end();
    let mut log = String::new();
    for file in std::fs::read_dir(home.path("logs")).unwrap() {
        log += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let added = log.len() - before;
    assert!(
        added < LOG_BYTES,
        "{STRANGERS} strangers added {added} bytes to the log:\n{log}"
    );
    let refused = log.lines().filter(|line| line.contains("is no identity"));
    let lines: Vec<_> = refused.collect();
    assert!(lines.len() > 10, "{log}");
    let summary = log.lines().find(|line| line.contains("were left out"));
    let summary = summary.unwrap_or_else(|| panic!("nothing says how many lines are missing: {log}"));
    let missing = STRANGERS + 1 - lines.len();
    assert!(
        summary.contains("[WARNING]")
            && summary.contains(&format!("{missing} log lines"))
            && summary.contains("127.0.9.1"),
        "{missing} lines are missing, and {summary:?} is said"
    );
}

/// A connection that closes without sending anything is logged at the level DEBUG only.
#[test]
fn a_stranger_who_comes_and_goes_is_not_logged() {
    let manager = Manager::start(&["--disable-tls"]);
    for _ in 0..10 {
        drop(Peer::connect(&manager));
    }
    Peer::client(&manager, "Ada").settle();
    manager.wait_for_log("Ada[");
    let log = manager.log();
    assert!(!log.contains("new connection request"), "{log}");
}

/// The rows of accepted peers stay, however many peers were rejected.
#[test]
fn strangers_by_the_thousand_push_nobody_out_of_the_table_of_connections() {
    let options = ["--disable-tls", "--connections-max-rows", "1000"];
    let manager = Manager::start_in(home_with_administrator(), &options);
    Peer::client(&manager, "Ada").settle();
    for _ in 0..STRANGERS {
        be_refused(&manager, address(1));
    }
    be_refused(&manager, address(2));
    let mut administrator = Administrator::new(&manager);
    let reply = administrator.ask("connections_table.connections", json!([]));
    let rows = reply["result"].as_array().unwrap();
    let with = |text: &str| {
        rows.iter()
            .filter(|row| row[5].as_str().unwrap().contains(text))
            .count()
    };
    assert_eq!(with("connected as a client"), 2, "{reply}");
    assert!(rows.len() < 100, "{} rows", rows.len());
    let of = |ip: &str| rows.iter().filter(|row| row[2] == ip).count();
    assert!(of("127.0.9.1") >= 2 && of("127.0.9.2") == 2, "{reply}");
    let left_out = administrator.counter("audit_left_out");
    let told = u64::try_from(with("is no identity")).unwrap();
    assert_eq!(left_out + told, STRANGERS as u64 + 1);
    expect_no_panic(&manager);
}

/// A peer from an address with fewer of these connections than another gets the permit of the
/// oldest of those, so that unidentified peers that take all permits exclude only their own
/// address.
#[test]
fn strangers_that_take_all_places_give_way_to_those_who_have_none() {
    for options in [&[][..], &["--disable-tls"]] {
        let options = [options, &["--unidentified", "4"]].concat();
        let manager = Manager::start_in(home_with_administrator(), &options);
        let has_tls = options.len() == 2;
        let mut strangers: Vec<_> = [1, 1, 1, 2]
            .map(|last| Peer::connect_from(&manager, address(last)))
            .into();
        if !has_tls {
            for peer in &mut strangers {
                peer.expect_request("identity");
            }
        }
        let mut newcomer = Peer::connect_from(&manager, address(3));
        if has_tls {
            // It is accepted as far as the TLS handshake, during which the other is disconnected.
            strangers.remove(0).expect_closed();
        } else {
            let told = strangers.remove(0).expect_rejection();
            assert!(
                told.contains("too many connections that have not identified themselves"),
                "{told}"
            );
            newcomer.identify(&json!({ "type": "client", "name": "newcomer" }));
            newcomer.settle();
        }
        manager.wait_for_log("too many connections that have not identified themselves");
        expect_no_panic(&manager);
    }
}
