//! Administrators can use only the requests on a fixed list, and such a request never turns other
//! requests into credentials.

use serde_json::json;

use super::support::{
    ADMINISTRATOR, PASSWORD, Peer, expect_no_panic, home_with_administrator, manager_request, start,
};
use crate::support::manager::Manager;
use crate::support::wire::{identity_request, request};

/// The manager's password, SQL statements, and other attributes of a Python object: refused for an
/// administrator, by frame and typed, and the answer reveals nothing of them.
#[test]
fn an_administrator_reaches_nothing_that_is_not_on_the_list() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let mut administrator = Peer::connect(&manager);
    administrator.log_in(ADMINISTRATOR, PASSWORD);
    administrator.identify(&json!({ "type": "client", "name": "administrator" }));
    for attribute in [
        "_password",
        "password.upper",
        "users_table",
        "users_table.execute",
        "users_table.cursor",
        "users_table.connection",
        "users_table.records",
        "users_table.path",
        "users_table.close",
        "users_table.insert.__globals__",
        "hostnames_table.execute",
        "connections_table.execute",
        "connections_table.insert",
        "__class__",
        "__class__.__init__.__globals__",
        "__dict__",
        "_loop",
        "loop.stop",
        "client_writers",
        "service_writers",
        "login",
        "shutdown_manager.__self__",
        "users_table.usernames.",
        ".users_table.usernames",
        "users_table..usernames",
        "USERS_TABLE.USERNAMES",
        "users_table.usernames\u{0}",
        "stats; DROP TABLE auth_users",
        "",
    ] {
        for args in [json!([]), json!(["DROP TABLE auth_users;"])] {
            let frame = administrator.ask_manager(attribute, args);
            assert_eq!(frame["error"], true, "{attribute:?}: {frame}");
            assert_eq!(frame["result"], serde_json::Value::Null);
            assert_eq!(frame["uid"], "request");
            assert_eq!(frame["traceback"], json!([]));
        }
    }
    for line in [
        "Manager _password",
        "Manager users_table.execute 'DROP TABLE auth_users;'",
    ] {
        administrator.send_line(line);
        assert!(administrator.error_or_close().is_some(), "{line}");
    }
    let frame = administrator.ask_manager("users_table.usernames", json!([]));
    assert_eq!(frame["result"], json!([ADMINISTRATOR]));
    expect_no_panic(&manager);
}

/// The manager's password is never sent; the refusal states the reason. Without a password the
/// answer is null, as on the Python manager.
#[test]
fn an_administrator_is_not_told_the_managers_password() {
    let ask = |arguments: &[&str], password: Option<&str>| {
        let arguments = [&["--disable-tls"], arguments].concat();
        let manager = Manager::start_in(home_with_administrator(), &arguments);
        let mut peer = Peer::connect(&manager);
        if let Some(password) = password {
            peer.expect_request("password");
            peer.send_line(password);
        }
        peer.identify(&json!({ "type": "client", "name": "administrator" }));
        peer.send_line(manager_request("password", json!([])).to_string());
        peer.log_in(ADMINISTRATOR, PASSWORD);
        peer.frame()
    };
    let none = ask(&[], None);
    assert_eq!(none["error"], false, "{none}");
    assert!(none["result"].is_null(), "{none}");
    let kept = ask(&["--auth-password", "sesame"], Some("sesame"));
    assert_eq!(
        kept["message"],
        "PermissionError: the Manager has a password, it is told to nobody"
    );
    assert!(!kept.to_string().contains("sesame"), "{kept}");
}

/// Arguments of every type for the requests on the list: an error, never a panic, and the tables
/// stay intact.
#[test]
fn an_administrator_cannot_break_anything_with_arguments() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let mut administrator = Peer::connect(&manager);
    administrator.log_in(ADMINISTRATOR, PASSWORD);
    administrator.identify(&json!({ "type": "client", "name": "administrator" }));
    let injection = "'); DROP TABLE auth_users; --";
    for attribute in [
        "users_table.is_user_registered",
        "users_table.is_admin",
        "users_table.is_password_valid",
        "users_table.insert",
        "users_table.update",
        "users_table.delete",
        "hostnames_table.insert",
        "hostnames_table.delete",
        "connections_table.connections",
        "set_logging_level",
        "port",
        "stats",
        "links",
    ] {
        for args in [
            json!([null]),
            json!([5]),
            json!([[]]),
            json!([{}]),
            json!([""]),
            json!([injection]),
            json!([injection, 5]),
            json!(["\u{0}"]),
            json!([1, 2, 3, 4, 5, 6]),
            json!(["x".repeat(100_000)]),
        ] {
            let frame = administrator.ask_manager(attribute, args);
            assert!(frame["error"].is_boolean(), "{frame}");
            let text = frame.to_string();
            assert!(!text.contains("sqlite3"), "no path is told: {text}");
        }
    }
    let frame = administrator.ask_manager("users_table.usernames", json!([]));
    assert_eq!(frame["result"], json!([ADMINISTRATOR]));
    expect_no_panic(&manager);
}

/// A client's administrator's request needs a login. Requests behind it in the same segment are
/// answered as ordinary requests, before and during the login.
#[test]
fn requests_behind_an_administrators_request_are_never_taken_for_credentials() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    let uid = |mut request: serde_json::Value, uid: &str| {
        request["uid"] = json!(uid);
        request.to_string()
    };
    let calls = |numbers: std::ops::Range<u32>| -> String {
        let lines = numbers.map(|number| uid(request("Balance", "weigh"), &format!("call {number}")));
        lines.collect::<Vec<_>>().join("\r\n")
    };
    let pipelined = [
        uid(manager_request("users_table.usernames", json!([])), "admin"),
        uid(identity_request(), "identity"),
        uid(manager_request("link", json!(["Balance"])), "link"),
        calls(0..10),
        uid(manager_request("port", json!([])), "port"),
        uid(manager_request("release_lock", json!(["Nobody"])), "release"),
    ]
    .join("\r\n");
    client.send_line(&pipelined);

    let answer = |service: &mut Peer, count: usize| {
        for _ in 0..count {
            let asked = service.frame();
            let reply = json!({
                "error": false, "requester": asked["requester"], "result": "weighed", "uid": asked["uid"],
            });
            service.send_line(reply.to_string());
        }
    };
    answer(&mut service, 10);
    // The request for the username, the identity, the link, the refusal, and ten replies.
    let mut frames: Vec<_> = (0..14).map(|_| client.frame()).collect();
    let question = frames.iter().position(|frame| frame["attribute"] == "username");
    frames.remove(question.expect("the manager asks for the username"));
    expect_answered(&frames, "identity", false);
    expect_answered(&frames, "link", false);
    expect_answered(&frames, "release", true);
    for number in 0..10 {
        expect_answered(&frames, &format!("call {number}"), false);
    }

    client.send_bytes(format!("{}\r\n{}\r\n", json!({ "result": ADMINISTRATOR }), calls(10..15)).as_bytes());
    answer(&mut service, 5);
    let mut frames: Vec<_> = (0..6).map(|_| client.frame()).collect();
    let question = frames.iter().position(|frame| frame["attribute"] == "password");
    frames.remove(question.expect("the manager asks for the password"));
    for number in 10..15 {
        expect_answered(&frames, &format!("call {number}"), false);
    }

    client.send_bytes(format!("{}\r\n{}\r\n", json!({ "result": PASSWORD }), calls(15..20)).as_bytes());
    answer(&mut service, 5);
    let frames: Vec<_> = (0..7).map(|_| client.frame()).collect();
    for number in 15..20 {
        expect_answered(&frames, &format!("call {number}"), false);
    }
    expect_answered(&frames, "admin", false);
    expect_answered(&frames, "port", false);
    client.settle();
    expect_no_panic(&manager);
}

fn expect_answered(frames: &[serde_json::Value], uid: &str, error: bool) {
    let answers: Vec<_> = frames.iter().filter(|frame| frame["uid"] == uid).collect();
    assert_eq!(answers.len(), 1, "{uid} in {frames:?}");
    assert_eq!(answers[0]["error"], error, "{answers:?}");
}

/// A failed login leads to an error for every administrator's request that waited for it.
#[test]
fn a_failed_login_ends_every_request_that_waited_for_it() {
    let manager = start();
    let mut client = Peer::client(&manager, "client");
    for number in 0..5 {
        let mut request = manager_request("port", json!([]));
        request["uid"] = json!(number.to_string());
        client.send_line(request.to_string());
    }
    client.log_in(ADMINISTRATOR, "wrong");
    let frames: Vec<_> = (0..5).map(|_| client.frame()).collect();
    for number in 0..5 {
        expect_answered(&frames, &number.to_string(), true);
    }
    client.expect_closed();
}

/// A service, which has no login, cannot send an administrator's request.
#[test]
fn a_service_cannot_make_an_administrators_request() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    service.send_line(manager_request("users_table.usernames", json!([])).to_string());
    let message = service.error_or_close().expect("the service stays");
    assert!(message.starts_with("PermissionError: "), "{message}");
    service.settle();
}
