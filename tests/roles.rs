//! Who may do what at a manager with `--roles`: every kind of request, changes, ends and commands.

mod labels;
mod revocation;
mod sight;
mod slow_patterns;

use std::time::Duration;

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::python::{self, Service};
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

const ROLES: [&str; 3] = ["--disable-tls", "--auth-login", "--roles"];

/// Runs a command on the files of a home.
fn run(home: &Home, line: &str) {
    home.prepare(&line.split(' ').collect::<Vec<_>>());
}

/// Connects as a user, up to the question for the identity.
fn log_in(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, "x"] {
        let asked = peer.read_json();
        assert_eq!(asked["error"], false, "{asked}");
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer
}

fn client(manager: &Manager, user: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "client", "name": user }));
    peer
}

/// Connects as a service that answers nothing by itself, and waits until it is registered.
fn service(manager: &Manager, user: &str, name: &str) -> RawPeer {
    let mut peer = log_in(manager, user);
    peer.identify(&json!({ "type": "service", "name": name, "attributes": {} }));
    let mut observer = client(manager, "root");
    wait_until("the service never appeared", || {
        identity(&mut observer)["services"].get(name).is_some()
    });
    peer
}

fn identity(peer: &mut RawPeer) -> Value {
    peer.request(&request("Manager", "identity"))["result"].clone()
}

/// Returns a request to the manager.
fn to_manager(attribute: &str, args: Value, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    (request["args"], request["kwargs"]) = (args, kwargs);
    request
}

/// Sends an administrator's request and expects success.
fn administer(root: &mut RawPeer, attribute: &str, kwargs: Value) -> Value {
    let answer = root.request(&to_manager(attribute, json!([]), kwargs));
    assert_eq!(answer["error"], false, "{answer}");
    answer["result"].clone()
}

fn grant(root: &mut RawPeer, role: &str, user: &str, on: &str) -> Value {
    administer(
        root,
        "access.grant",
        json!({ "role": role, "user": user, "on": on }),
    )
}

/// Calls a method of a service that answers at once, and returns the answer.
fn call(caller: &mut RawPeer, service: &mut RawPeer, name: &str, attribute: &str) -> Value {
    caller.send_line(&request(name, attribute).to_string());
    let asked = service.read_json();
    assert_eq!(asked["attribute"], attribute, "{asked}");
    let answer = json!({
        "requester": asked["requester"], "uid": asked["uid"], "result": "done", "error": false,
    });
    service.send_line(&answer.to_string());
    let answer = caller.read_json();
    assert_eq!(answer["result"], "done", "{answer}");
    answer
}

/// Expects that an answer is the refusal for a missing permission.
#[track_caller]
fn expect_refused(answer: &Value, permission: &str, user: &str) {
    let expected =
        format!("PermissionError: the permission '{permission}' is not granted to the user '{user}'");
    assert_eq!(answer["message"], expected, "{answer}");
    assert_eq!(answer["error"], true, "{answer}");
}

/// Expects that a peer's request is refused.
#[track_caller]
fn refused(peer: &mut RawPeer, asked: &Value, permission: &str, user: &str) {
    let answer = peer.request(asked);
    expect_refused(&answer, permission, user);
    assert_eq!(answer["uid"], asked["uid"], "{answer}");
}

#[test]
fn a_guest_may_see_and_link_but_not_call_and_an_operator_may_with_the_python_client() {
    let home = Home::with_users(&["guest", "operator", "nobody", "owner"]);
    run(&home, "grant add observer --to guest --on Echo");
    run(&home, "grant add operator --to operator");
    run(&home, "grant add owner --to owner");
    let manager = Manager::start_in(home, &ROLES);
    let connection = manager.connection();
    let as_owner = connection.clone().with("username", "owner").with("password", "x");
    let _echo = Service::start("Echo", &as_owner);
    let _hidden = service(&manager, "owner", "Hidden");
    manager.wait_for_log(" Echo[");
    python::run_script("roles.py", &connection, &json!({}));
}

#[test]
fn what_may_not_be_seen_is_in_no_list() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add observer --to ada --on DMM*");
    let manager = Manager::start_in(home, &ROLES);
    let _shown = service(&manager, "root", "DMM1");
    let _hidden = service(&manager, "root", "Oven");
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    let seen = identity(&mut ada);
    let names = |list: &Value| list.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&seen["services"]), ["DMM1"]);
    let clients = names(&seen["clients"]);
    assert!(clients.len() == 1 && clients[0].starts_with("ada["), "{seen}");
    let all = identity(&mut root);
    assert_eq!(names(&all["services"]), ["DMM1", "Oven"]);
    assert_eq!(all["services"]["DMM1"], seen["services"]["DMM1"]);
    for (kind, expected) in [("services", "DMM1"), ("clients", "ada[")] {
        let page = ada.request(&to_manager("status", json!([]), json!({ "kind": kind })));
        let page = page["result"]["page"].as_array().unwrap().clone();
        assert!(
            page.len() == 1 && page[0]["name"].as_str().unwrap().starts_with(expected),
            "{page:?}"
        );
    }
    // A person may ask before the identity.
    let mut typing = log_in(&manager, "ada");
    typing.read_line();
    typing.send_line("identity");
    let seen = typing.read_json()["result"].clone();
    assert_eq!(names(&seen["services"]), ["DMM1"]);
    assert_eq!(seen["clients"], json!({}));
}

#[test]
fn a_refusal_does_not_tell_whether_a_service_is_connected() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add operator --to ada --on DMM*");
    let manager = Manager::start_in(home, &ROLES);
    let _hidden = service(&manager, "root", "Oven");
    let mut ada = client(&manager, "ada");
    for name in ["Oven", "Absent"] {
        refused(
            &mut ada,
            &request(name, "read"),
            &format!("call {name}.read"),
            "ada",
        );
        for (attribute, permission) in [
            ("link", "link"),
            ("unlink", "link"),
            ("release_lock", "link"),
            ("acquire_lock", "lock"),
            ("renew_lock", "lock"),
        ] {
            let asked = to_manager(attribute, json!([name]), json!({}));
            refused(&mut ada, &asked, &format!("{permission} {name}"), "ada");
        }
        ada.send_line(&format!("{name} read"));
        expect_refused(&ada.read_json(), &format!("call {name}.read"), "ada");
    }
    let absent = ada.request(&request("DMM1", "read"));
    assert!(
        absent["message"].as_str().unwrap().starts_with("KeyError"),
        "{absent}"
    );
}

#[test]
fn each_kind_of_request_needs_its_permission() {
    let home = Home::with_users(&["ada", "sven"]);
    run(&home, "grant add operator --to ada --on DMM");
    run(&home, "role add server register");
    run(&home, "grant add server --to sven --on DMM");
    let manager = Manager::start_in(home, &ROLES);
    let mut dmm = service(&manager, "sven", "DMM");
    let mut ada = client(&manager, "ada");
    let ask = |attribute: &str, args: Value| to_manager(attribute, args, json!({}));

    // What an operator of the service may.
    call(&mut ada, &mut dmm, "DMM", "read");
    for attribute in ["link", "acquire_lock", "release_lock", "unlink"] {
        let answer = ada.request(&ask(attribute, json!(["DMM"])));
        assert_eq!(answer["error"], false, "{attribute}: {answer}");
    }
    let mut refusals = 0;
    for (asked, permission) in [
        (ask("publish", json!(["lab.x", 1])), "publish lab.x"),
        (ask("subscribe", json!(["lab.>"])), "subscribe lab.>"),
        // It shows all peers.
        (ask("link", json!(["Manager"])), "subscribe manager.>"),
        (ask("break_lock", json!(["DMM"])), "break-lock DMM"),
        (ask("stats", json!([])), "administer stats"),
        (ask("shutdown_manager", json!([])), "administer shutdown_manager"),
        (ask("access.grants", json!([])), "administer access.grants"),
    ] {
        refused(&mut ada, &asked, permission, "ada");
        refusals += 1;
    }
    let unknown = ada.request(&ask("_password", json!([])));
    assert!(
        unknown["message"].as_str().unwrap().starts_with("AttributeError"),
        "{unknown}"
    );

    // A service of another name, and a notification.
    let mut other = log_in(&manager, "sven");
    other.identify(&json!({ "type": "service", "name": "Oven", "attributes": {} }));
    expect_refused(&other.read_json(), "register Oven", "sven");
    other.expect_closed();
    ada.request(&ask("link", json!(["DMM"])));
    let notification = json!({
        "result": [[1], {}], "service": "DMM", "uid": "notification", "error": false,
    });
    dmm.send_line(&notification.to_string());
    expect_refused(&dmm.read_json(), "notify DMM", "sven");
    refusals += 2;

    let mut root = client(&manager, "root");
    let counted = administer(&mut root, "stats", json!({}));
    assert_eq!(counted["not_permitted"], refusals, "{counted}");
    manager.wait_for_log("the permission 'notify DMM' is not granted to the user 'sven'");

    // Each of them is allowed once it is granted.
    for permission in [
        "publish lab.*",
        "subscribe lab.*",
        "break-lock",
        "administer stats",
    ] {
        administer(
            &mut root,
            "access.add_role",
            json!({ "role": "extra", "permissions": [permission] }),
        );
    }
    grant(&mut root, "extra", "ada", "*");
    for asked in [
        ask("publish", json!(["lab.x", 1])),
        ask("subscribe", json!(["lab.>"])),
        ask("break_lock", json!(["DMM"])),
        ask("stats", json!([])),
    ] {
        let answer = ada.request(&asked);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(!message.starts_with("PermissionError"), "{answer}");
    }
    refused(&mut ada, &ask("subscribe", json!([">"])), "subscribe >", "ada");
    refused(&mut ada, &ask("clients", json!([])), "administer clients", "ada");
    grant(&mut root, "owner", "sven", "DMM");
    dmm.send_line(&notification.to_string());
    assert_eq!(ada.read_json()["result"], notification["result"]);
}

#[test]
fn a_changed_grant_applies_to_a_connected_peer_from_its_next_request_on() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let mut dmm = service(&manager, "root", "DMM");
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    let read = request("DMM", "read");
    refused(&mut ada, &read, "call DMM.read", "ada");
    for _ in 0..2 {
        let id = grant(&mut root, "operator", "ada", "DMM");
        call(&mut ada, &mut dmm, "DMM", "read");
        administer(&mut root, "access.revoke", json!({ "id": id }));
        refused(&mut ada, &read, "call DMM.read", "ada");
    }
    // Per attribute, and by a group.
    for (attribute, arguments) in [
        (
            "access.add_role",
            json!({ "role": "reader", "permissions": ["call @bench.read*"] }),
        ),
        ("access.add_set", json!({ "set": "bench", "patterns": ["D*"] })),
        (
            "access.add_role",
            json!({ "role": "reader", "permissions": ["call @bench.read*"] }),
        ),
        ("access.add_group", json!({ "group": "students" })),
        ("access.join_group", json!({ "group": "students", "user": "ada" })),
        ("access.grant", json!({ "role": "reader", "group": "students" })),
    ] {
        let answer = root.request(&to_manager(attribute, json!([]), arguments));
        // The first one names a set that does not exist yet.
        let message = answer["message"].as_str().unwrap_or("there is no set 'bench'");
        assert!(message.contains("there is no set 'bench'"), "{answer}");
    }
    call(&mut ada, &mut dmm, "DMM", "readings");
    refused(&mut ada, &request("DMM", "write"), "call DMM.write", "ada");
    administer(
        &mut root,
        "access.leave_group",
        json!({ "group": "students", "user": "ada" }),
    );
    refused(&mut ada, &request("DMM", "readings"), "call DMM.readings", "ada");
}

/// A service may receive the beginning of a long request before the manager has its end.
#[test]
fn a_right_that_ends_while_a_request_arrives_keeps_it_from_being_executed() {
    const BEGINNING: usize = 1024 * 1024;
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let mut root = client(&manager, "root");
    let mut camera = log_in(&manager, "root");
    camera.identify(&json!({
        "type": "service", "name": "Camera", "attributes": {}, "features": ["cut-through", "registered"],
        "max_clients": 1,
    }));
    camera.read_line();
    let mut ada = client(&manager, "ada");
    for change in ["revoke", "ask"] {
        let id = grant(&mut root, "operator", "ada", "Camera");
        // Only a service to which nobody else speaks receives the beginning.
        let answer = ada.request(&to_manager("link", json!(["Camera"]), json!({})));
        assert_eq!(answer["error"], false, "{answer}");
        let head = r#"{"service":"Camera","attribute":"store","uid":"1","args":[""#;
        let beginning = head.to_owned() + &"x".repeat(BEGINNING);
        let mut begun = Vec::new();
        wait_until("no request reached the service before its end", || {
            // A busy computer may keep the beginning from arriving quickly enough to be forwarded.
            ada.send_bytes(beginning.as_bytes());
            begun = camera.read_for(Duration::from_millis(300));
            if begun.is_empty() {
                ada.send_bytes(b"\"]}\n");
                let asked = camera.read_json();
                let reply =
                    json!({ "requester": asked["requester"], "uid": "1", "result": 1, "error": false });
                camera.send_line(&reply.to_string());
                assert_eq!(ada.read_json()["result"], 1);
            }
            !begun.is_empty()
        });
        administer(&mut root, "access.revoke", json!({ "id": id }));
        let expected = if change == "ask" {
            let role = json!({ "role": "asking", "permissions": ["ask call Camera"] });
            administer(&mut root, "access.add_role", role);
            grant(&mut root, "asking", "ada", "Camera");
            "PermissionError: the request to the 'Camera' Service needs approval since it began, send it again, it \
             was not executed"
        } else {
            "PermissionError: the permission 'call Camera.store' is not granted to the user 'ada'"
        };
        ada.send_bytes(b"\"]}\n");
        begun.extend(camera.read_raw_line());
        assert!(begun.ends_with(b"\x18\r\n"), "{change}: the service got the end");
        assert_eq!(ada.read_json()["message"], expected);
    }
}

#[test]
fn the_rights_of_an_administrator_and_of_a_user_who_is_removed_end_at_once() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let mut dmm = service(&manager, "root", "DMM");
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    let set_admin = json!({ "username": "ada", "is_admin": true });
    administer(&mut root, "users_table.update", set_admin);
    call(&mut ada, &mut dmm, "DMM", "read");
    administer(&mut ada, "stats", json!({}));
    let set_admin = json!({ "username": "ada", "is_admin": false });
    administer(&mut root, "users_table.update", set_admin);
    refused(&mut ada, &request("DMM", "read"), "call DMM.read", "ada");
    refused(&mut ada, &request("Manager", "stats"), "administer stats", "ada");
    // What is granted to everyone is for those who exist.
    let to_all = json!({ "role": "operator", "group": "everyone" });
    administer(&mut root, "access.grant", to_all);
    call(&mut ada, &mut dmm, "DMM", "read");
    administer(&mut root, "users_table.delete", json!({ "username": "ada" }));
    ada.expect_closed();
}

#[test]
fn a_grant_allows_nothing_after_its_end() {
    let home = Home::with_users(&["ada", "bob"]);
    run(&home, "grant add operator --to ada --until 2001-01-01");
    let manager = Manager::start_in(home, &ROLES);
    let as_root = manager
        .connection()
        .with("username", "root")
        .with("password", "x");
    let _echo = Service::start("Echo", &as_root);
    let mut root = client(&manager, "root");
    let mut ada = client(&manager, "ada");
    let echo = request("Echo", "echo");
    refused(&mut ada, &echo, "call Echo.echo", "ada");
    wait_until("Echo never appeared", || {
        identity(&mut root)["services"].get("Echo").is_some()
    });
    // One that ends while its user is connected and uses it.
    let mut bob = client(&manager, "bob");
    let end = jiff::Timestamp::now().as_second() + 3;
    let until = jiff::Timestamp::from_second(end).unwrap().to_string();
    let limited = json!({ "role": "operator", "user": "bob", "until": until });
    administer(&mut root, "access.grant", limited);
    wait_until("the grant never ended", || {
        let asked = jiff::Timestamp::now().as_second();
        let answer = bob.request(&echo);
        if answer["error"] == false {
            assert!(asked < end, "{answer}");
            return false;
        }
        expect_refused(&answer, "call Echo.echo", "bob");
        assert!(jiff::Timestamp::now().as_second() >= end);
        true
    });
}

#[test]
fn a_running_manager_follows_the_commands() {
    let manager = Manager::start_in(Home::with_users(&["ada"]), &ROLES);
    let _dmm = service(&manager, "root", "DMM");
    let mut ada = client(&manager, "ada");
    let link = to_manager("link", json!(["DMM"]), json!({}));
    refused(&mut ada, &link, "link DMM", "ada");
    run(manager.home(), "grant add observer --to ada --on DMM");
    wait_until("the grant never applied", || ada.request(&link)["error"] == false);
    run(manager.home(), "grant remove 1");
    wait_until("the grant still applies", || ada.request(&link)["error"] == true);
    let output = manager.home().labwire(&["may", "ada", "DMM", "read"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // The connection of a user who is removed by another program ends.
    run(manager.home(), "grant add observer --to-group everyone");
    wait_until("the grant never applied", || ada.request(&link)["error"] == false);
    manager.home().msl_network(&["user", "remove", "ada"]);
    assert_eq!(ada.read_to_end(), "");
}

#[test]
fn a_peer_without_a_user_may_do_what_is_granted_to_everyone() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add observer --to-group everyone");
    let manager = Manager::start_in(home, &["--disable-tls", "--roles"]);
    manager.wait_for_log("only what is granted to the group 'everyone'");
    let mut client = RawPeer::client(&manager, "Guest");
    assert!(identity(&mut client)["clients"].as_object().unwrap().len() == 1);
    let answer = client.request(&request("DMM", "read"));
    let expected = "PermissionError: the permission 'call DMM.read' is not granted to everyone, and this peer has not \
                    logged in as a user";
    assert_eq!(answer["message"], expected);
    let mut service = RawPeer::connect(&manager);
    service.identify(&json!({ "type": "service", "name": "DMM", "attributes": {} }));
    let refused = service.read_json();
    assert!(
        refused["message"].as_str().unwrap().contains("'register DMM'"),
        "{refused}"
    );
    // It can log in as an administrator, as without roles, and then may do everything.
    client.send_line(&request("Manager", "port").to_string());
    for credential in ["root", "x"] {
        assert_eq!(client.read_json()["error"], false);
        client.send_line(&json!({ "result": credential }).to_string());
    }
    assert_eq!(client.read_json()["result"], manager.port());
    let answer = client.request(&request("DMM", "read"));
    assert!(
        answer["message"].as_str().unwrap().starts_with("KeyError"),
        "{answer}"
    );
}

#[test]
fn without_the_option_grants_change_nothing() {
    let home = Home::with_users(&["ada"]);
    run(&home, "grant add observer --to ada --on Nothing");
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut dmm = service(&manager, "ada", "DMM");
    let mut ada = client(&manager, "ada");
    assert!(identity(&mut ada)["services"].get("DMM").is_some());
    call(&mut ada, &mut dmm, "DMM", "read");
    let asked = ada.request(&request("Manager", "stats"));
    assert_eq!(asked["attribute"], "username", "{asked}");
}

#[test]
fn a_manager_with_roles_does_not_start_without_its_rules() {
    let home = Home::with_users(&[]);
    let database = rusqlite::Connection::open(home.path("manager.sqlite3")).unwrap();
    database.execute_batch("DROP TABLE labwire_grants").unwrap();
    drop(database);
    let failure = Manager::start_expecting_failure(&home, &["--disable-tls", "--roles"]);
    assert_eq!(failure.status.code(), Some(1), "{}", failure.printed);
    assert!(failure.printed.contains("labwire_grants"), "{}", failure.printed);
}
