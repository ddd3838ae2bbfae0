//! Locks that are kept for their holders while the manager is restarted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peer::{SessionPeer, about, call, client_identity};
use super::{message, stats};
use crate::support::DEADLINE;
use crate::support::manager::{Home, Manager};
use crate::support::process::{Process, Signal};
use crate::support::python::{program, run_script};
use crate::support::wire::{RawPeer, request, wait_for_service};

const REASON: &str = "calibration of the reference";

fn start() -> Manager {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    Manager::start_in(home, &["--disable-tls"])
}

/// Starts a manager again that has ended, on its port and with its files.
fn start_again(manager: Manager, options: &[&str]) -> Manager {
    let port = manager.port().to_string();
    let home = manager.take_home();
    let mut command = home.command(&["start", "--disable-tls", "--port", &port]);
    command.args(options);
    Manager::start_command(home, &mut command)
}

/// Ends the manager with a signal and starts it again, with these options beside `--disable-tls`.
pub(super) fn restart(mut manager: Manager, signal: Signal, options: &[&str]) -> Manager {
    manager.signal(signal);
    manager.wait_for_end();
    start_again(manager, options)
}

pub(super) fn lock(service: &str, terms: Value) -> Value {
    let mut lock = about("acquire_lock", service);
    lock["kwargs"] = terms;
    lock
}

fn granted(answer: &Value) {
    assert_eq!(answer["error"], false, "{answer}");
}

/// Waits until that many locks are in the database.
pub(super) fn wait_until_written(manager: &Manager, count: usize) {
    let path = manager.home().path("manager.sqlite3");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                  print(c.execute('SELECT count(*) FROM labwire_leases').fetchone()[0])";
    let begun = Instant::now();
    loop {
        let mut python = std::process::Command::new(program("python"));
        let output = python.args(["-c", script]).arg(&path).output().unwrap();
        if String::from_utf8_lossy(&output.stdout).trim() == count.to_string() {
            return;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "the database has not changed: {output:?}"
        );
    }
}

/// Returns with a secret to a manager that does not know the session. Returns the services on which
/// it has priority.
pub(super) fn claim(peer: &mut SessionPeer) -> Value {
    let registered = peer.try_return_as(&json!({ "secret": peer.secret, "received": peer.read }));
    assert_eq!(registered["attribute"], "registered", "{registered}");
    let before = std::mem::take(&mut peer.secret);
    let session = &registered["kwargs"]["session"];
    session["secret"].as_str().unwrap().clone_into(&mut peer.secret);
    assert_ne!(peer.secret, before, "the session is a new one");
    registered["args"][0].as_str().unwrap().clone_into(&mut peer.name);
    (peer.read, peer.sent) = (0, 0);
    session["locks"].clone()
}

#[test]
fn a_lock_is_kept_over_a_restart_for_its_holder_and_no_rival_gets_in_between() {
    for signal in [Signal::TERM, Signal::KILL] {
        let manager = start();
        let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
        let mut holder = SessionPeer::client(&manager, "Ada");
        let terms = json!({ "wait": 0, "ttl": 600, "reason": REASON });
        granted(&holder.request(&lock("DMM", terms.clone())));
        wait_until_written(&manager, 1);
        let (before, secret) = (holder.name.clone(), holder.secret.clone());

        let manager = restart(manager, signal, &[]);
        let mut rival = RawPeer::client(&manager, "Rival");
        let mut dmm = RawPeer::service(&manager, "DMM", &json!({}));
        wait_for_service(&manager, "DMM");
        let begins = format!("PermissionError: 'DMM' service is locked by {before} since ");
        let refused = rival.request(&about("link", "DMM"));
        assert!(message(&refused).starts_with(&begins), "{refused}");
        assert!(
            message(&refused).contains(", for whom it is kept until "),
            "{refused}"
        );
        assert!(
            message(&refused).contains(" since the manager was restarted (reason: '"),
            "{refused}"
        );
        assert!(message(&rival.request(&request("DMM", "read"))).contains("locked"));
        let expected = json!({
            "service": "DMM", "expected": [format!("locked by {before} since "), "for whom it is kept until "],
        });
        run_script("locked.py", &manager.connection(), &expected);
        let status = rival.request(&request("Manager", "status"));
        let shown = &status["result"]["page"][0]["locks"][0];
        assert_eq!(shown["client"], json!(before), "{status}");
        assert!(shown["reserved_until"].is_string(), "{status}");
        // It waits before the holder is back.
        rival.send_line(&lock("DMM", json!({ "wait": 60 })).to_string());
        granted(&rival.request(&request("Manager", "identity")));

        assert_eq!(claim(&mut holder), json!(["DMM"]));
        granted(&holder.request(&lock("DMM", terms)));
        holder.send(&call("DMM", "1"));
        assert_eq!(dmm.read_json()["requester"], json!(holder.name));
        let status = holder.request(&about("status", ""));
        let shown = &status["result"]["page"][0]["locks"][0];
        assert!(shown.get("reserved_until").is_none(), "{status}");
        let renewed = holder.request(&about("renew_lock", "DMM"));
        assert_eq!(renewed["result"]["ttl"], 600.0, "{renewed}");
        granted(&holder.request(&about("unlink", "DMM")));
        granted(&rival.read_json());
        wait_until_written(&manager, 0);
        let log = manager.log();
        assert!(!log.contains(&secret) && !log.contains(&holder.secret));
        let file = std::fs::read(manager.home().path("manager.sqlite3")).unwrap();
        for secret in [&secret, &holder.secret] {
            let found = file
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "no secret is in the database");
        }
    }
}

#[test]
fn a_lock_whose_holder_does_not_return_is_free_after_the_grace_period() {
    let manager = start();
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut holder = SessionPeer::register(&manager, client_identity("Ada", &json!({ "grace": 2 })));
    granted(&holder.request(&lock("DMM", json!({ "wait": 0, "reason": REASON }))));
    let manager = restart(manager, Signal::TERM, &[]);
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    wait_for_service(&manager, "DMM");
    let mut rival = RawPeer::client(&manager, "Rival");
    let refused = rival.request(&about("link", "DMM"));
    assert!(
        message(&refused).contains("since the manager was restarted"),
        "{refused}"
    );
    rival.send_line(&lock("DMM", json!({ "wait": 60 })).to_string());
    granted(&rival.read_json());
    let counted = stats(&manager);
    assert_eq!(
        [&counted["reservations_expired"], &counted["reservations"]],
        [&json!(1), &json!(0)],
        "{counted}"
    );
    wait_until_written(&manager, 0);
    // Too late.
    let refused = holder.try_return(holder.read);
    assert!(
        message(&refused).starts_with("KeyError: there is no session"),
        "{refused}"
    );
}

#[test]
fn a_lock_waits_for_its_service_and_a_second_restart_and_shared_holders_are_all_admitted() {
    let manager = start();
    let dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let [mut ada, mut bob] = ["Ada", "Bob"].map(|name| SessionPeer::client(&manager, name));
    for peer in [&mut ada, &mut bob] {
        granted(&peer.request(&about("link", "DMM")));
    }
    for peer in [&mut ada, &mut bob] {
        granted(&peer.request(&lock("DMM", json!({ "shared": true, "reason": REASON }))));
    }
    let manager = restart(manager, Signal::TERM, &[]);
    drop(dmm);
    assert_eq!(claim(&mut ada), json!(["DMM"]));
    // Its claim is noted under its new secret.
    let manager = restart(manager, Signal::TERM, &[]);
    for peer in [&mut ada, &mut bob] {
        assert_eq!(claim(peer), json!(["DMM"]));
        let refused = peer.request(&lock("DMM", json!({ "shared": true, "wait": 0 })));
        assert!(message(&refused).starts_with("KeyError"), "{refused}");
    }
    let mut rival = RawPeer::client(&manager, "Rival");
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    wait_for_service(&manager, "DMM");
    let refused = rival.request(&about("link", "DMM"));
    assert!(message(&refused).contains(" and by another client"), "{refused}");
    for peer in [&mut ada, &mut bob] {
        granted(&peer.request(&about("link", "DMM")));
        granted(&peer.request(&lock("DMM", json!({ "shared": true }))));
    }
    let refused = rival.request(&about("link", "DMM"));
    assert!(!message(&refused).contains("restarted"), "{refused}");
}

#[test]
fn an_administrator_breaks_a_lock_that_is_kept_and_a_holder_gives_it_up() {
    let manager = start();
    let services = ["DMM", "Oven"].map(|name| RawPeer::service(&manager, name, &json!({})));
    let mut holder = SessionPeer::client(&manager, "Ada");
    for service in ["DMM", "Oven"] {
        granted(&holder.request(&lock(service, json!({ "wait": 0, "reason": REASON }))));
    }
    let manager = restart(manager, Signal::TERM, &[]);
    drop(services);
    let _services = ["DMM", "Oven"].map(|name| RawPeer::service(&manager, name, &json!({})));
    wait_for_service(&manager, "Oven");
    let mut admin = RawPeer::client(&manager, "Admin");
    assert_eq!(
        admin.request(&about("break_lock", "DMM"))["attribute"],
        "username"
    );
    admin.send_line("ada");
    admin.read_json();
    admin.send_line("x");
    assert_eq!(admin.read_json()["result"], json!([holder.name]));
    let line = manager.wait_for_log("on 'DMM' was broken by 'ada'");
    assert!(line.contains(&holder.name), "{line}");
    granted(&admin.request(&about("link", "DMM")));
    assert!(message(&admin.request(&about("link", "Oven"))).contains("restarted"));
    assert_eq!(claim(&mut holder), json!(["Oven"]));
    granted(&holder.request(&about("release_lock", "Oven")));
    granted(&admin.request(&about("link", "Oven")));
    wait_until_written(&manager, 0);
}

#[test]
fn nobody_else_claims_a_lock_and_a_peer_without_a_session_has_no_priority() {
    let manager = start();
    let _services = ["DMM", "Oven"].map(|name| RawPeer::service(&manager, name, &json!({})));
    wait_for_service(&manager, "Oven");
    let mut old = RawPeer::client(&manager, "Old");
    granted(&old.request(&lock("Oven", json!({ "wait": 0 }))));
    let mut holder = SessionPeer::client(&manager, "Ada");
    granted(&holder.request(&lock("DMM", json!({ "wait": 0, "reason": REASON }))));
    let manager = restart(manager, Signal::TERM, &[]);
    let _services = ["DMM", "Oven"].map(|name| RawPeer::service(&manager, name, &json!({})));
    wait_for_service(&manager, "Oven");
    let mut other = RawPeer::client(&manager, "Other");
    granted(&other.request(&about("link", "Oven")));
    for name in ["Eve", "Ada"] {
        let mut thief = SessionPeer::client(&manager, name);
        thief.break_off();
        thief.secret = if name == "Eve" {
            holder.secret.clone()
        } else {
            "A".repeat(32)
        };
        let refused = thief.try_return(0);
        assert!(
            message(&refused).starts_with("KeyError: there is no session"),
            "{refused}"
        );
    }
    assert_eq!(claim(&mut holder), json!(["DMM"]));
    assert_eq!(stats(&manager)["unknown_sessions"], 2);
}

#[test]
fn msl_network_uses_a_database_with_the_locks_of_labwire() {
    let manager = start();
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut holder = SessionPeer::client(&manager, "Ada");
    granted(&holder.request(&lock("DMM", json!({ "wait": 0, "reason": REASON }))));
    wait_until_written(&manager, 1);
    let database = manager.home().argument("manager.sqlite3");
    run_script(
        "tables.py",
        &manager.connection(),
        &json!({ "database": database }),
    );
    let home = manager.end();
    let python = Manager::start_reference(home, &["--disable-tls", "-d", &database]);
    run_script("admitted.py", &python.connection(), &json!({}));
    let home = python.end();
    let file = std::fs::read(home.path("manager.sqlite3")).unwrap();
    assert!(
        file.windows(REASON.len())
            .any(|window| window == REASON.as_bytes())
    );
}

#[test]
fn a_locked_database_costs_the_priority_and_nothing_else() {
    let manager = start();
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let mut holder = SessionPeer::client(&manager, "Ada");
    // Another program holds the write lock of the database.
    let path = manager.home().path("manager.sqlite3");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
                  c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()";
    let mut python = std::process::Command::new(program("python"));
    let mut locking = Process::spawn("python", python.args(["-c", script]).arg(&path));
    locking.wait_for("the lock", |line| line.contains("locked").then_some(()));
    for _ in 0..20 {
        let begun = Instant::now();
        granted(&holder.request(&lock("DMM", json!({ "wait": 0, "reason": REASON }))));
        granted(&holder.request(&about("release_lock", "DMM")));
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "nobody waits for the database"
        );
    }
    manager.wait_for_log("changes of locks cannot be written, trying again");
    granted(&holder.request(&lock("DMM", json!({ "wait": 0, "reason": REASON }))));
    locking.close_input();
    locking.wait();
    wait_until_written(&manager, 1);
}
