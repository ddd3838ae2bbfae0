//! Why a login failed is told to administrators alone.

use super::*;

/// Logs in and fails. Returns what the peer is told.
fn fail_to_log_in(manager: &Manager, user: &str, password: &str) -> String {
    let mut peer = RawPeer::connect(manager);
    for answer in [user, password] {
        assert_eq!(peer.read_json()["error"], false);
        peer.send_line(&json!({ "result": answer }).to_string());
    }
    let told = peer.read_json();
    assert_eq!(told["error"], true, "{user}: {told}");
    told["message"].as_str().unwrap().to_owned()
}

#[test]
fn the_record_says_why_a_login_failed_and_the_peer_is_told_one_thing() {
    let home = home();
    for user in ["carol", "dave"] {
        home.prepare(&["user", "add", user, "--compatible", "--password", "carol's"]);
    }
    home.prepare(&["user", "disable", "carol"]);
    let add_token = || {
        let added = home.labwire(&["token", "add", "--json", "--user", "bob", "--may", "DMM"]);
        let added: Value = serde_json::from_slice(&added.stdout).unwrap();
        (
            added["id"].to_string(),
            added["secret"].as_str().unwrap().to_owned(),
        )
    };
    let [(revoked, revoked_secret), (ended, ended_secret), (_, secret)] =
        [add_token(), add_token(), add_token()];
    home.prepare(&["token", "revoke", &revoked]);
    let database = rusqlite::Connection::open(home.path("manager.sqlite3")).unwrap();
    let sql = "UPDATE labwire_tokens SET until = 1000 WHERE id = ?1";
    assert_eq!(database.execute(sql, [&ended]).unwrap(), 1);
    drop(database);
    // Four failures of a name at most: more are refused for a while.
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let attempts = [
        ("eve", "a good guess", None, "unknown user"),
        ("bob", "a wrong guess", Some("bob"), "wrong password"),
        ("carol", "carol's", Some("carol"), "the user is disabled"),
        (
            "bob",
            &*revoked_secret,
            Some("bob"),
            "the token was revoked, or never existed",
        ),
        (
            "bob",
            &*ended_secret,
            Some("bob"),
            "the time of the token is over",
        ),
        (
            "dave",
            &*secret,
            Some("dave"),
            "the token is that of another user",
        ),
        ("eve", &*secret, None, "unknown user"),
    ];
    let options = ["--kind", "login", "--outcome", "refused"];
    for (number, (user, password, recorded_user, why)) in attempts.into_iter().enumerate() {
        let told = fail_to_log_in(&manager, user, password);
        assert_eq!(
            told, "ValueError: Unregistered user or Wrong login password",
            "{why}"
        );
        let failed = wait_for_entries(&manager, &options, number + 1);
        let last = failed.last().unwrap();
        assert_eq!(
            (last["user"].as_str(), last["text"].as_str()),
            (recorded_user, Some(why))
        );
    }
    // A client that logs in for an administrator's request.
    let mut client = RawPeer::connect(&manager);
    log_in_as(&mut client, "bob", "bob's own");
    client.send_line(&json!({ "result": { "type": "client", "name": "Bob" } }).to_string());
    assert_eq!(
        client.request(&request("Manager", "stats"))["attribute"],
        "username"
    );
    client.send_line("carol");
    assert_eq!(client.read_json()["attribute"], "password");
    client.send_line("carol's");
    let told = client.read_json();
    assert_eq!(
        told["message"],
        "ValueError: Unregistered user or Wrong login password"
    );
    let failed = wait_for_entries(&manager, &options, attempts.len() + 1);
    assert_eq!(failed.last().unwrap()["text"], "the user is disabled");
}

#[test]
fn who_may_read_the_record_without_being_an_administrator_is_not_told_why_a_login_failed() {
    let home = home();
    home.prepare(&["user", "add", "carol", "--compatible", "--password", "carol's"]);
    home.prepare(&["user", "disable", "carol"]);
    home.prepare(&["role", "add", "auditor", "administer history"]);
    home.prepare(&["grant", "add", "auditor", "--to", "bob"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login", "--roles"]);
    fail_to_log_in(&manager, "carol", "carol's");
    let failed = wait_for_entries(&manager, &["--kind", "login", "--outcome", "refused"], 1);
    assert_eq!(failed[0]["text"], "the user is disabled");

    let mut auditor = RawPeer::connect(&manager);
    log_in_as(&mut auditor, "bob", "bob's own");
    auditor.send_line(&json!({ "result": { "type": "client", "name": "Auditor" } }).to_string());
    let question = json!({
        "service": "Manager",
        "attribute": "history",
        "args": [],
        "kwargs": { "kind": "login", "outcome": "refused" },
        "uid": "1",
        "error": false,
    });
    auditor.send_line(&question.to_string());
    let told = auditor.read_json();
    let entries = told["result"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{told}");
    assert_eq!(entries[0]["user"], "carol");
    assert_eq!(entries[0]["text"], "the reason is for administrators alone");
}
