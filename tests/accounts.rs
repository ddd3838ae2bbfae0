//! Users who are disabled, and what is known of users.

mod late;

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::python;
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

const LOGIN: [&str; 2] = ["--disable-tls", "--auth-login"];

/// Returns a folder with the administrator `root` and with `ada`. Both have the password `x`.
fn home() -> Home {
    let home = Home::new();
    home.prepare(&[
        "user",
        "add",
        "root",
        "--admin",
        "--compatible",
        "--password",
        "x",
    ]);
    home.prepare(&["user", "add", "ada", "--compatible", "--password", "x"]);
    home
}

/// Connects and answers the questions for the username and the password `x`.
fn log_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        let asked = peer.read_json();
        assert_eq!(asked["error"], false, "{asked}");
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

/// Connects as a client that expects frames which it did not ask for.
fn client(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user, "features": ["progress"] }));
    assert_eq!(peer.request(&request("Manager", "identity"))["error"], false);
    peer
}

fn administer(root: &mut RawPeer, attribute: &str, kwargs: Value) -> Value {
    let mut asked = request("Manager", attribute);
    asked["kwargs"] = kwargs;
    root.request(&asked)
}

fn users(home: &Home) -> Vec<Value> {
    let listed = home.labwire(&["user", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn expect_dismissed(peer: &mut RawPeer) {
    let told = peer.read_json();
    let expected = "PermissionError: the user was disabled, as which this peer had logged in";
    assert_eq!(told["message"], expected, "{told}");
    peer.expect_closed();
}

#[test]
fn each_request_of_a_user_who_is_disabled_ends_however_many_there_are() {
    const FORWARDED: usize = 1_500;
    let manager = Manager::start_in(home(), &LOGIN);
    let mut dmm = log_in(&manager, "root");
    dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
    let mut root = client(&manager, "root");
    let lock = |wait: Value| {
        let mut lock = request("Manager", "acquire_lock");
        lock["args"] = json!(["DMM"]);
        lock["kwargs"] = json!({ "wait": wait });
        lock
    };
    let mut link = request("Manager", "link");
    link["args"] = json!(["DMM"]);
    let mut ada = log_in(&manager, "ada");
    ada.identify(&json!({ "type": "client", "name": "ada", "features": ["origin", "leases"] }));
    let mut other = log_in(&manager, "ada");
    other.identify(&json!({ "type": "client", "name": "other", "features": ["origin"] }));
    for peer in [&mut root, &mut ada, &mut other] {
        assert_eq!(peer.request(&link)["error"], false);
    }
    let mut held = link.clone();
    held["attribute"] = "acquire_lock".into();
    held["kwargs"] = json!({ "shared": true });
    assert_eq!(root.request(&held)["error"], false);
    let mut waits = lock(json!(600));
    waits["uid"] = "waits".into();
    ada.send_line(&waits.to_string());
    for (peer, count) in [(&mut ada, FORWARDED), (&mut other, 3)] {
        let lines: Vec<_> = (0..count)
            .map(|uid| {
                let mut asked = request("DMM", "read");
                asked["uid"] = uid.to_string().into();
                asked.to_string()
            })
            .collect();
        peer.send_line(&lines.join("\n"));
        for _ in 0..count {
            dmm.read_json();
        }
    }
    let disabled = administer(&mut root, "access.disable_user", json!({ "user": "ada" }));
    assert_eq!(disabled["error"], false, "{disabled}");
    let expected = "PermissionError: the user was disabled, as which this peer had logged in";
    let first = ada.read_json();
    assert_eq!(
        (&first["uid"], &first["executed"]),
        (&json!("waits"), &json!("no")),
        "{first}"
    );
    let mut told = std::collections::BTreeSet::new();
    let last = loop {
        let error = ada.read_json();
        assert_eq!(
            (&error["message"], &error["executed"]),
            (&json!(expected), &json!("maybe"))
        );
        match error["uid"].as_str().unwrap() {
            "" => break error,
            uid => assert!(told.insert(uid.to_owned()), "{uid} twice"),
        }
    };
    assert_eq!(last["error"], true);
    assert!(told.len() >= 500 && told.len() < FORWARDED, "{}", told.len());
    ada.expect_closed();
    for _ in 0..3 {
        let error = other.read_json();
        assert_ne!(error["uid"], "", "{error}");
    }
    other.expect_closed();
}

#[track_caller]
fn expect_not_let_in(manager: &Manager, user: &str) {
    let refused = log_in(manager, user).read_json();
    assert_eq!(
        refused["message"], "ValueError: Unregistered user or Wrong login password",
        "{refused}"
    );
}

#[test]
fn a_user_who_is_disabled_by_a_command_is_out_and_gets_in_again_once_enabled() {
    let manager = Manager::start_in(home(), &LOGIN);
    let mut ada = client(&manager, "ada");
    let mut root = client(&manager, "root");
    let home = manager.home();
    home.prepare(&["user", "disable", "ada", "--reason", "on leave"]);
    expect_dismissed(&mut ada);
    manager.wait_for_log("is disconnected: the user was disabled");
    expect_not_let_in(&manager, "ada");
    expect_not_let_in(&manager, "nobody");
    assert_eq!(users(home)[0]["disabled"]["reason"], "on leave");
    let listed = home.labwire(&["user", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.ends_with("ada      False         disabled: on leave\nroot     True\n"),
        "{listed}"
    );
    let may = home.labwire(&["may", "root", "DMM"]);
    assert!(
        !String::from_utf8_lossy(&may.stderr).contains("disabled"),
        "{may:?}"
    );
    let may = home.labwire(&["may", "ada", "DMM"]);
    let said = String::from_utf8_lossy(&may.stderr);
    assert!(said.contains("ada is disabled (on leave)"), "{said}");
    // Others stay.
    assert_eq!(root.request(&request("Manager", "identity"))["error"], false);
    home.prepare(&["user", "enable", "ada"]);
    client(&manager, "ada");
    assert_eq!(users(home)[0]["disabled"], Value::Null);
}

#[test]
fn an_administrator_disables_a_user_at_once_who_uses_the_python_package() {
    let manager = Manager::start_in(home(), &LOGIN);
    python::run_script("accounts.py", &manager.connection(), &json!({}));
    let stats = administer(&mut client(&manager, "root"), "stats", json!({}));
    assert_eq!(stats["result"]["logins_ended"], 2, "{stats}");
}

#[test]
fn what_is_known_of_a_user_is_set_and_listed_by_commands_and_over_the_network() {
    let manager = Manager::start_in(home(), &LOGIN);
    let home = manager.home();
    home.prepare(&[
        "user",
        "set",
        "ada",
        "--full-name",
        "Ada Lovelace",
        "--email",
        "ada@lab.example",
    ]);
    let mut root = client(&manager, "root");
    let kwargs = json!({ "user": "ada", "email": "ada@other.example" });
    assert_eq!(administer(&mut root, "access.set_user", kwargs)["error"], false);
    let refused = administer(
        &mut root,
        "access.set_user",
        json!({ "user": "ada", "email": "nowhere" }),
    );
    assert_eq!(
        refused["message"],
        "ValueError: 'nowhere' is not an e-mail address"
    );
    let refused = administer(&mut root, "access.disable_user", json!({ "user": "eve" }));
    assert_eq!(
        refused["message"],
        "ValueError: Cannot disable 'eve'. This user is not in the table."
    );
    let ada = &users(home)[0];
    assert_eq!(
        (&ada["full_name"], &ada["email"]),
        (&json!("Ada Lovelace"), &json!("ada@other.example"))
    );
    assert_eq!(
        (&ada["administrator"], &ada["last_login"]),
        (&json!(false), &Value::Null)
    );
    client(&manager, "ada");
    wait_until("the login was never noted", || {
        users(home)[0]["last_login"].is_string()
    });
    let listed = administer(&mut root, "access.users", json!({}));
    assert_eq!(listed["result"], json!(users(home)));
}

/// Connects as a client without features, with a password or a token.
fn plain_client(manager: &Manager, user: &str, secret: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, secret] {
        peer.read_json();
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer.identify(&json!({ "type": "client", "name": user }));
    peer
}

#[test]
fn an_administrator_who_is_demoted_is_none_on_open_connections_which_stay() {
    let home = home();
    home.prepare(&["user", "add", "ops", "--admin", "--compatible", "--password", "x"]);
    let added = home.labwire(&[
        "token",
        "add",
        "--json",
        "--user",
        "root",
        "--may",
        "administer users_table.*",
    ]);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let manager = Manager::start_in(home, &LOGIN);
    let mut ops = client(&manager, "ops");
    for by_command in [false, true] {
        let secrets = ["x", added["secret"].as_str().unwrap()];
        let mut roots = secrets.map(|secret| plain_client(&manager, "root", secret));
        for root in &mut roots {
            let listed = administer(root, "users_table.usernames", json!({}));
            assert_eq!(listed["error"], false, "{listed}");
        }
        if by_command {
            manager.home().prepare(&["user", "update", "root"]);
            manager.wait_for_log("is no administrator any more");
            wait_until("an administrator is still one", || {
                let sessions = administer(&mut ops, "sessions", json!({}))["result"].clone();
                let sessions = sessions.as_array().unwrap().clone();
                sessions
                    .iter()
                    .all(|peer| peer["user"] == "ops" || peer["is_admin"] == false)
            });
        } else {
            let demoted = json!({ "username": "root", "is_admin": false });
            assert_eq!(
                administer(&mut ops, "users_table.update", demoted)["error"],
                false
            );
        }
        for root in &mut roots {
            let insert = json!({ "username": "eve", "password": "x", "is_admin": true });
            let asked = administer(root, "users_table.insert", insert);
            assert_eq!(asked["attribute"], "username", "{asked}");
            // It may log in as somebody else, or go on without.
            root.send_line(&json!({ "result": "root" }).to_string());
            assert_eq!(root.read_json()["attribute"], "password");
            root.send_line(&json!({ "result": "x" }).to_string());
            let refused = root.read_json();
            assert!(
                refused["message"].as_str().unwrap().contains("administrator"),
                "{refused}"
            );
            assert_eq!(root.request(&request("Manager", "identity"))["error"], false);
        }
        let promoted = json!({ "username": "root", "is_admin": true });
        assert_eq!(
            administer(&mut ops, "users_table.update", promoted)["error"],
            false
        );
    }
    assert!(users(manager.home()).iter().all(|user| user["username"] != "eve"));
}

#[test]
fn a_user_who_is_removed_is_out_also_if_one_of_the_same_name_is_added_at_once() {
    const REMOVED: &str = "PermissionError: the user was removed, as which this peer had logged in";
    for options in [&LOGIN[..], &["--disable-tls", "--auth-login", "--roles"]] {
        let manager = Manager::start_in(home(), options);
        let home = manager.home();
        let mut dmm = log_in(&manager, "root");
        dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
        let mut root = client(&manager, "root");
        wait_until("the service never appeared", || {
            !root.request(&request("Manager", "identity"))["result"]["services"]["DMM"].is_null()
        });
        for by_command in [false, true] {
            let owner = json!({ "role": "owner", "user": "ada" });
            assert_eq!(administer(&mut root, "access.grant", owner)["error"], false);
            let mut ada = client(&manager, "ada");
            let link = json!({ "service": "DMM" });
            assert_eq!(administer(&mut ada, "link", link.clone())["error"], false);
            assert_eq!(administer(&mut ada, "acquire_lock", link)["error"], false);
            if by_command {
                home.prepare(&["user", "remove", "ada"]);
                home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "y"]);
            } else {
                let removed = administer(&mut root, "users_table.delete", json!({ "username": "ada" }));
                assert_eq!(removed["error"], false, "{removed}");
                let again = json!({ "username": "ada", "password": "x", "is_admin": false });
                assert_eq!(administer(&mut root, "users_table.insert", again)["error"], false);
            }
            // With rules, the lock may have ended before.
            let told = ada.read_to_end();
            assert!(told.contains(REMOVED), "{told}");
            wait_until("the lock is still held", || {
                let locks = administer(&mut root, "service_locks", json!({}))["result"].clone();
                locks["DMM"] == json!([])
            });
        }
        // The new user is not disconnected.
        let mut ada = plain_client(&manager, "ada", "y");
        assert_eq!(administer(&mut ada, "stats", json!({}))["error"], false);
        home.prepare(&["user", "remove", "root"]);
        // With rules, a service may have been disconnected before, since nothing permits it any more.
        let has_rules = options.contains(&"--roles");
        let told = dmm.read_to_end();
        let is_refused = told.contains("'register DMM' is not granted");
        assert!(told.contains(REMOVED) || has_rules && is_refused, "{told}");
        let told = root.read_to_end();
        assert!(told.contains(REMOVED), "{told}");
        let ended = &administer(&mut ada, "stats", json!({}))["result"]["logins_ended"];
        let most = if has_rules { 3..=4 } else { 4..=4 };
        assert!(
            ended.as_u64().is_some_and(|ended| most.contains(&ended)),
            "{ended}"
        );
    }
}

#[test]
fn what_is_revoked_before_the_identity_is_told_admits_nobody() {
    let manager = Manager::start_in(home(), &LOGIN);
    let mut root = client(&manager, "root");
    let mut dmm = RawPeer::connect(&manager);
    for credential in ["root", "x"] {
        dmm.read_json();
        dmm.send_line(&json!({ "result": credential }).to_string());
    }
    dmm.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
    let token = json!({ "user": "root", "may": ["call DMM.read", "link DMM"] });
    let token = administer(&mut root, "access.add_token", token)["result"].clone();

    let mut with_password = log_in(&manager, "ada");
    let mut with_token = RawPeer::connect(&manager);
    for credential in ["root", token["secret"].as_str().unwrap()] {
        with_token.read_json();
        with_token.send_line(&json!({ "result": credential }).to_string());
    }
    // Both logins have succeeded.
    for peer in [&mut with_password, &mut with_token] {
        assert_eq!(peer.read_json()["attribute"], "identity");
    }
    let changes = [
        ("access.revoke_token", json!({ "id": token["id"] })),
        ("access.disable_user", json!({ "user": "ada" })),
    ];
    for (change, kwargs) in changes {
        assert_eq!(administer(&mut root, change, kwargs)["error"], false);
    }
    let told = [
        "was disabled, as which this peer had logged in",
        "was revoked, with which this peer had logged in",
    ];
    for (peer, told) in [&mut with_password, &mut with_token].into_iter().zip(told) {
        let identity = json!({ "result": { "type": "client", "name": "late" } });
        peer.send_line(&identity.to_string());
        peer.send_line(&request("DMM", "read").to_string());
        let refused = peer.read_json();
        let message = refused["message"].as_str().unwrap();
        assert!(message.ends_with(told), "{refused}");
        peer.expect_closed();
    }
    // Nothing has reached the service: the next request is the first one.
    root.send_line(&request("DMM", "last").to_string());
    assert_eq!(dmm.read_json()["attribute"], "last");
}
