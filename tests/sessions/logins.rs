//! Sessions of peers whose login, or what it allows, has changed meanwhile.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::peer::{SessionPeer, about, call, client_identity, service_identity};
use super::restarts::{claim, lock, restart, wait_until_written};
use super::{message, wait_until_away};
use crate::support::manager::{Home, Manager};
use crate::support::process::Signal;
use crate::support::python::program;
use crate::support::waiting::wait_until;
use crate::support::wire::{RawPeer, request};

/// Starts a manager with the administrator `root`, and with `ada` and `sven`. All have the password `x`.
fn start(options: &[&str]) -> Manager {
    let home = Home::with_users(&["ada", "sven"]);
    Manager::start_in(home, &[&["--disable-tls", "--auth-login"], options].concat())
}

/// Connects as a user, up to the question for the identity.
fn log_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        peer.read_json();
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

fn client(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user }));
    peer
}

/// Connects as a service, and waits until it is registered.
fn service(manager: &Manager, root: &mut RawPeer, name: &str) -> RawPeer {
    let mut peer = log_in(manager, "root");
    peer.identify(&json!({ "type": "service", "name": name, "attributes": {} }));
    wait_until("the service never appeared", || !status(root, name).is_null());
    peer
}

fn administer(root: &mut RawPeer, attribute: &str, kwargs: Value) -> Value {
    let mut asked = request("Manager", attribute);
    asked["kwargs"] = kwargs;
    let answer = root.request(&asked);
    assert_eq!(answer["error"], false, "{answer}");
    answer["result"].clone()
}

/// Returns the entry of a service in the status.
fn status(root: &mut RawPeer, service: &str) -> Value {
    let status = administer(root, "status", json!({}));
    let page = status["page"].as_array().unwrap();
    let found = page.iter().find(|entry| entry["name"] == service);
    found.unwrap_or(&Value::Null).clone()
}

#[test]
fn who_returns_with_a_token_keeps_what_the_token_allows_and_nothing_else() {
    let manager = start(&[]);
    let mut root = client(&manager, "root");
    let _services = ["DMM", "Oven"].map(|name| service(&manager, &mut root, name));
    let may = json!({ "user": "ada", "may": ["call DMM.read", "link DMM"] });
    let token = administer(&mut root, "access.add_token", may)["secret"].clone();

    let mut ada = SessionPeer::register(&manager, client_identity("Ada", &json!({ "grace": 60 })));
    for asked in [
        about("link", "DMM"),
        about("link", "Oven"),
        about("acquire_lock", "Oven"),
        about("subscribe", "lab.>"),
        about("link", "Manager"),
    ] {
        let answer = ada.request(&asked);
        assert_eq!(answer["error"], false, "{answer}");
    }
    ada.break_off();
    wait_until_away(&manager, &ada.name);
    ada.login = ("ada", String::leak(token.as_str().unwrap().to_owned()));
    ada.come_back();
    wait_until("Oven is still linked", || {
        let oven = status(&mut root, "Oven");
        oven["link_count"] == 0 && oven["lock_count"] == 0
    });
    assert_eq!(status(&mut root, "DMM")["link_count"], 1, "the token allows it");
    let refused = client(&manager, "sven").request(&{
        let mut publish = request("Manager", "publish");
        publish["args"] = json!(["lab.oven", 1]);
        publish
    });
    assert_eq!(refused["error"], false, "{refused}");
    // The frames until the answer tell what has ended, and nothing of the topic.
    ada.send(&call("Oven", "last"));
    loop {
        let frame = ada.read_frame();
        assert_ne!(frame["result"][0][0], "lab.oven", "{frame}");
        if frame["uid"] == "last" {
            assert!(message(&frame).contains("'call Oven.read'"), "{frame}");
            return;
        }
    }
}

#[test]
fn a_service_that_is_away_gives_its_name_up_when_it_may_be_none_any_more() {
    let manager = start(&["--roles"]);
    let mut root = client(&manager, "root");
    let grant = json!({ "role": "owner", "user": "sven", "on": "DMM" });
    let id = administer(&mut root, "access.grant", grant);
    administer(
        &mut root,
        "access.grant",
        json!({ "role": "owner", "user": "ada" }),
    );
    let session = json!({ "grace": 60, "keep_callers": true });
    let mut dmm = SessionPeer::register_as(&manager, service_identity("DMM", &session), ("sven", "x"));
    wait_until("the service never appeared", || {
        !status(&mut root, "DMM").is_null()
    });
    let mut ada = client(&manager, "ada");
    ada.send_line(&call("DMM", "1").to_string());
    assert_eq!(dmm.read_frame()["attribute"], "read");
    dmm.break_off();
    wait_until_away(&manager, &dmm.name);

    administer(&mut root, "access.revoke", json!({ "id": id }));
    let ended = ada.read_json();
    assert_eq!(
        ended["uid"], "1",
        "its caller does not wait for its return: {ended}"
    );
    assert_eq!(ended["error"], true, "{ended}");
    assert!(status(&mut root, "DMM").is_null());
    // The name is free.
    service(&manager, &mut root, "DMM");
}

#[test]
fn a_lock_that_was_kept_over_a_restart_ends_with_the_permission() {
    let manager = start(&["--roles"]);
    let mut root = client(&manager, "root");
    let grant = json!({ "role": "operator", "user": "ada" });
    let id = administer(&mut root, "access.grant", grant);
    // It stays connected until the manager stops: a lock ends with its service.
    let _before = service(&manager, &mut root, "DMM");
    let mut ada = SessionPeer::register(&manager, client_identity("Ada", &json!({ "grace": 60 })));
    let granted = ada.request(&lock("DMM", json!({ "wait": 0, "ttl": 600 })));
    assert_eq!(granted["error"], false, "{granted}");
    wait_until_written(&manager, 1);
    let manager = restart(manager, Signal::TERM, &["--auth-login", "--roles"]);
    let mut root = client(&manager, "root");
    let _dmm = service(&manager, &mut root, "DMM");
    assert_eq!(claim(&mut ada), json!(["DMM"]));
    assert_eq!(status(&mut root, "DMM")["lock_count"], 1);

    administer(&mut root, "access.revoke", json!({ "id": id }));
    assert_eq!(status(&mut root, "DMM")["lock_count"], 0);
    let told = ada.read_frame();
    assert_eq!(told["attribute"], "lock_ended", "{told}");
    // Others are free to use it.
    let mut eve = client(&manager, "root");
    eve.request(&about("link", "DMM"));
    assert_eq!(eve.request(&about("acquire_lock", "DMM"))["error"], false);
}

#[test]
fn a_change_whose_peer_does_not_wait_for_the_answer_is_in_the_record() {
    const READ: &str = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
                        c.execute('BEGIN'); c.execute('SELECT * FROM auth_users').fetchall(); \
                        print('reading', flush=True); sys.stdin.readline()";
    let manager = start(&[]);
    let identity = client_identity("Root", &json!({ "grace": 60 }));
    let mut root = SessionPeer::register_as(&manager, identity.clone(), ("root", "x"));
    let mut again = log_in(&manager, "root");
    assert_eq!(again.read_json()["attribute"], "identity");
    // While another program reads the file, a change of it waits.
    let mut reading = Command::new(program("python"))
        .args(["-c", READ])
        .arg(manager.home().path("manager.sqlite3"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(reading.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "reading");
    let mut disable = request("Manager", "access.disable_user");
    disable["kwargs"] = json!({ "user": "sven", "reason": "on leave" });
    root.send(&disable);
    manager.wait_for_log("received an admin request 'access.disable_user'");
    // The same peer returns on another connection: the first one ends.
    let mut identity = identity;
    identity["session"] = json!({ "secret": root.secret, "received": root.read });
    again.send_line(&json!({ "result": identity }).to_string());
    assert_eq!(again.read_json()["attribute"], "resumed");
    drop(reading.stdin.take());
    assert!(reading.wait().unwrap().success());
    let file = manager.home().argument("manager.record.sqlite3");
    let recorded = || {
        let listed = manager
            .home()
            .labwire(&["history", "--kind", "admin", "--json", "--file", &file]);
        String::from_utf8(listed.stdout).unwrap()
    };
    wait_until("the change is not in the record", || {
        let recorded = recorded();
        recorded.contains("access.disable_user")
            && recorded.contains("has ended before the outcome was known")
    });
}
