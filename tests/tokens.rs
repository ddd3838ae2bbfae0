//! Tokens: what they allow with and without `--roles`, and how they end.

use serde_json::{Value, json};

use super::support::clock;
use super::support::manager::{Home, Manager};
use super::support::python::{self, Service};
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

const LOGIN: [&str; 2] = ["--disable-tls", "--auth-login"];
const ROLES: [&str; 3] = ["--disable-tls", "--auth-login", "--roles"];

/// Returns a folder with the administrators `root` and `ada`, and with `bob`. All have the password
/// `x`.
fn home() -> Home {
    let home = Home::new();
    for user in ["root", "ada"] {
        home.prepare(&["user", "add", user, "--admin", "--compatible", "--password", "x"]);
    }
    home.prepare(&["user", "add", "bob", "--compatible", "--password", "x"]);
    home
}

/// A token that was added by a command.
struct Token {
    id: i64,
    secret: String,
}

/// Adds a token with these further options.
fn add(home: &Home, options: &[&str]) -> Token {
    let added = home.labwire(&[&["token", "add", "--json", "--user"], options].concat());
    assert!(added.status.success(), "{added:?}");
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    Token {
        id: added["id"].as_i64().unwrap(),
        secret: added["secret"].as_str().unwrap().to_owned(),
    }
}

fn list(home: &Home) -> Vec<Value> {
    let listed = home.labwire(&["token", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Connects with a username and a password or a secret, and identifies itself.
fn connect(manager: &Manager, user: &str, secret: &str, identity: &Value) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    for credential in [user, secret] {
        let asked = peer.read_json();
        assert_eq!(asked["error"], false, "{asked}");
        peer.send_line(&json!({ "result": credential }).to_string());
    }
    peer.identify(identity);
    peer
}

fn client(manager: &Manager, user: &str, secret: &str) -> RawPeer {
    connect(
        manager,
        user,
        secret,
        &json!({ "type": "client", "name": "script" }),
    )
}

/// Connects as a client that expects frames which it did not ask for.
fn modern_client(manager: &Manager, user: &str, secret: &str) -> RawPeer {
    let identity = json!({ "type": "client", "name": "script", "features": ["progress"] });
    connect(manager, user, secret, &identity)
}

/// Connects as a service, and waits until it is registered.
fn service(manager: &Manager, user: &str, secret: &str, name: &str) -> RawPeer {
    let identity = json!({ "type": "service", "name": name, "attributes": {} });
    let peer = connect(manager, user, secret, &identity);
    manager.wait_for_log(&format!(" {name}["));
    peer
}

fn to_manager(attribute: &str, args: Value, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    (request["args"], request["kwargs"]) = (args, kwargs);
    request
}

#[track_caller]
fn expect_refused(answer: &Value, permission: &str, lacking: &str) {
    let expected = format!("PermissionError: the permission '{permission}' is {lacking}");
    assert_eq!(answer["message"], expected, "{answer}");
}

fn not_of(token: &Token, user: &str) -> String {
    format!("not one of the token {} of the user '{user}'", token.id)
}

/// Calls a method of a service that answers at once.
fn call(caller: &mut RawPeer, service: &mut RawPeer, name: &str, attribute: &str) {
    caller.send_line(&request(name, attribute).to_string());
    let asked = service.read_json();
    let answer = json!({
        "requester": asked["requester"], "uid": asked["uid"], "result": "done", "error": false,
    });
    service.send_line(&answer.to_string());
    let answer = caller.read_json();
    assert_eq!(answer["result"], "done", "{answer}");
}

#[test]
fn a_script_of_the_python_package_logs_in_with_a_token_and_a_service_with_another() {
    let home = home();
    let to_serve = add(&home, &["ada", "--register", "Echo"]);
    let to_use = add(
        &home,
        &["ada", "--may", "Echo.echo", "--for", "30d", "--note", "night"],
    );
    let manager = Manager::start_in(home, &LOGIN);
    let connection = manager.connection();
    let as_service = connection.clone().with("username", "ada");
    let _echo = Service::start("Echo", &as_service.with("password", to_serve.secret.as_str()));
    manager.wait_for_log(" Echo[");
    let _hidden = service(&manager, "ada", "x", "Hidden");
    python::run_script(
        "tokens.py",
        &connection,
        &json!({
            "token": to_use.secret,
            "id": to_use.id,
            "revoke": [env!("CARGO_BIN_EXE_labwire"), "token", "revoke", to_use.id.to_string()],
            "home": manager.home().argument("."),
        }),
    );
    manager.wait_for_log(&format!("is disconnected: the token {} was revoked", to_use.id));
    assert!(!manager.log().contains(&to_use.secret), "{}", manager.log());
    let [serving] = &list(manager.home())[..] else {
        panic!("one token is left")
    };
    assert_eq!(serving["may"], json!(["register Echo", "notify Echo"]));
    assert!(serving["last_used"].is_string(), "{serving}");
}

#[test]
fn a_token_to_register_serves_one_name_and_calls_nobody() {
    let home = home();
    let token = add(&home, &["bob", "--register", "DMM"]);
    let manager = Manager::start_in(home, &LOGIN);
    let mut dmm = service(&manager, "bob", &token.secret, "DMM");
    let other = json!({ "type": "service", "name": "DMM2", "attributes": {} });
    let refused = connect(&manager, "bob", &token.secret, &other).read_json();
    expect_refused(&refused, "register DMM2", &not_of(&token, "bob"));
    let mut peer = client(&manager, "bob", &token.secret);
    let refused = peer.request(&request("DMM", "read"));
    expect_refused(&refused, "call DMM.read", &not_of(&token, "bob"));
    assert_eq!(
        peer.request(&request("Manager", "identity"))["result"]["services"],
        json!({})
    );
    // Others are not restricted.
    call(&mut client(&manager, "bob", "x"), &mut dmm, "DMM", "read");
}

#[test]
fn with_roles_a_token_allows_what_its_user_may_do_and_its_own_restriction_allows() {
    let home = home();
    home.prepare(&["grant", "add", "operator", "--to", "bob", "--on", "DMM*"]);
    let narrow = add(&home, &["bob", "--may", "*.read*"]);
    let wide = add(&home, &["bob", "--everything"]);
    let manager = Manager::start_in(home, &ROLES);
    let mut dmm = service(&manager, "root", "x", "DMM1");
    let _oven = service(&manager, "root", "x", "Oven");
    let mut peer = client(&manager, "bob", &narrow.secret);
    call(&mut peer, &mut dmm, "DMM1", "reading");
    let refused = peer.request(&request("DMM1", "write"));
    expect_refused(&refused, "call DMM1.write", &not_of(&narrow, "bob"));
    let refused = peer.request(&request("Oven", "read"));
    expect_refused(&refused, "call Oven.read", "not granted to the user 'bob'");
    let mut peer = client(&manager, "bob", &wide.secret);
    call(&mut peer, &mut dmm, "DMM1", "write");
    let refused = peer.request(&request("Oven", "read"));
    expect_refused(&refused, "call Oven.read", "not granted to the user 'bob'");
    let refused = peer.request(&request("Manager", "users_table.users"));
    expect_refused(
        &refused,
        "administer users_table.users",
        "not granted to the user 'bob'",
    );
}

#[test]
fn an_administrators_token_allows_the_requests_that_it_names_also_in_a_later_login() {
    let home = home();
    let token = add(&home, &["ada", "--may", "administer users_table.user*"]);
    let manager = Manager::start_in(home, &LOGIN);
    let mut peer = client(&manager, "ada", &token.secret);
    let users = peer.request(&request("Manager", "users_table.usernames"));
    assert_eq!(users["result"], json!(["root", "ada", "bob"]));
    let refused = peer.request(&to_manager("users_table.delete", json!(["bob"]), json!({})));
    expect_refused(&refused, "administer users_table.delete", &not_of(&token, "ada"));
    let home = manager.end();
    // A manager without logins asks for one when an administrator's request comes.
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let mut peer = RawPeer::client(&manager, "script");
    for (asked, expected) in [
        (to_manager("users_table.delete", json!(["bob"]), json!({})), None),
        (
            request("Manager", "users_table.usernames"),
            Some(json!(["root", "ada", "bob"])),
        ),
    ] {
        let mut answer = peer.request(&asked);
        for credential in ["ada", token.secret.as_str()] {
            if answer["attribute"].is_string() {
                peer.send_line(&json!({ "result": credential }).to_string());
                answer = peer.read_json();
            }
        }
        match expected {
            Some(expected) => assert_eq!(answer["result"], expected, "{answer}"),
            None => expect_refused(&answer, "administer users_table.delete", &not_of(&token, "ada")),
        }
    }
}

#[test]
fn an_administrator_adds_lists_and_revokes_tokens_over_the_network_and_a_revoked_one_is_out_at_once() {
    let manager = Manager::start_in(home(), &LOGIN);
    let mut root = client(&manager, "root", "x");
    let kwargs = json!({ "user": "bob", "may": ["DMM.read*", "lock DMM"], "note": "night", "until": "2999-01-01T00:00:00Z" });
    let added = root.request(&to_manager("access.add_token", json!([]), kwargs));
    let (id, secret) = (
        &added["result"]["id"],
        added["result"]["secret"].as_str().unwrap(),
    );
    assert!(secret.starts_with("lwt_"), "{added}");
    let listed = root.request(&request("Manager", "access.tokens"));
    let token = &listed["result"][0];
    assert_eq!(
        token["may"],
        json!(["call DMM.read*", "see DMM", "link DMM", "lock DMM"])
    );
    assert_eq!(token["until"], "2999-01-01T00:00:00Z");
    assert!(!listed.to_string().contains(secret), "{listed}");
    for (kwargs, expected) in [
        (
            json!({ "user": "bo", "may": ["DMM"] }),
            "ValueError: there is no user 'bo', did you mean 'bob'?",
        ),
        (
            json!({ "user": "bob" }),
            "ValueError: a token that allows nothing is of no use, give it a permission",
        ),
        (
            json!({ "user": "bob", "register": "DMM*" }),
            "ValueError: 'DMM*': the name of one service has no * or ?",
        ),
        (
            json!({ "user": "bob", "register": "@lab" }),
            "ValueError: '@lab': the name of one service has no * or ?, and no @ in front",
        ),
        (
            json!({ "user": "bob", "register": "Manager" }),
            "ValueError: the name 'Manager' belongs to the manager",
        ),
        (
            json!({ "user": "bob", "register": "DMM " }),
            "ValueError: the name 'DMM ' begins or ends with a blank",
        ),
    ] {
        let refused = root.request(&to_manager("access.add_token", json!([]), kwargs));
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }

    let mut dmm = service(&manager, "bob", "x", "DMM");
    let mut idle = modern_client(&manager, "bob", secret);
    let mut waiting = client(&manager, "bob", secret);
    let mut silent = client(&manager, "bob", secret);
    let mut asked = request("DMM", "read");
    asked["uid"] = "waits".into();
    waiting.send_line(&asked.to_string());
    dmm.read_json();
    assert_eq!(idle.request(&request("Manager", "identity"))["error"], false);
    let revoked = root.request(&to_manager("access.revoke_token", json!([id]), json!({})));
    assert_eq!(revoked["error"], false, "{revoked}");
    let expected = format!("PermissionError: the token {id} was revoked, with which this peer had logged in");
    let told = waiting.read_json();
    assert_eq!(
        (told["message"].as_str(), told["uid"].as_str()),
        (Some(&*expected), Some("waits"))
    );
    waiting.expect_closed();
    let told = idle.read_json();
    assert_eq!(
        (told["message"].as_str(), told["uid"].as_str()),
        (Some(&*expected), Some(""))
    );
    idle.expect_closed();
    // A client of MSL-Network takes no error that it did not ask for.
    silent.expect_closed();
    let stats = root.request(&request("Manager", "stats"));
    assert_eq!(stats["result"]["logins_ended"], 3, "{stats}");
    let refused = root.request(&to_manager("access.revoke_token", json!([id]), json!({})));
    assert_eq!(refused["message"], format!("ValueError: there is no token {id}"));
}

#[test]
fn a_token_ends_with_its_user() {
    let home = home();
    let token = add(&home, &["bob", "--may", "DMM"]);
    let manager = Manager::start_in(home, &LOGIN);
    let mut peer = modern_client(&manager, "bob", &token.secret);
    manager.home().prepare(&["user", "remove", "bob"]);
    let told = peer.read_json();
    let expected = "PermissionError: the user was removed, as which this peer had logged in";
    assert_eq!(told["message"], expected, "{told}");
    peer.expect_closed();
    manager
        .home()
        .prepare(&["user", "add", "bob", "--compatible", "--password", "x"]);
    assert!(list(manager.home()).is_empty());
}

#[test]
fn a_token_ends_in_time_also_if_the_clock_jumps() {
    let home = home();
    let token = add(&home, &["bob", "--may", "DMM", "--for", "30d"]);
    let time = home.path("time");
    std::fs::write(&time, "+0d").unwrap();
    let mut command = home.command(&["start", "--port", "0"]);
    clock::follow(command.args(LOGIN), &time);
    let manager = Manager::start_command(home, &mut command);
    let mut dmm = service(&manager, "bob", "x", "DMM");
    let mut peer = modern_client(&manager, "bob", &token.secret);
    call(&mut peer, &mut dmm, "DMM", "read");
    let identity = json!({ "type": "client", "name": "asking", "features": ["origin"] });
    let mut asking = connect(&manager, "bob", &token.secret, &identity);
    std::fs::write(&time, "+31d").unwrap();
    asking.send_line(&request("DMM", "read").to_string());
    let told = peer.read_json();
    let expected = format!(
        "PermissionError: the token {} has ended, with which this peer had logged in",
        token.id
    );
    assert_eq!(told["message"], expected, "{told}");
    peer.expect_closed();
    // Whether the request came before the end of the connection or not: then it is not read any more.
    let told = asking.read_json();
    let executed = if told["uid"] == "" {
        Value::Null
    } else {
        json!("no")
    };
    assert_eq!(
        (&told["message"], &told["executed"]),
        (&json!(expected), &executed),
        "{told}"
    );
    // It does not begin again when the clock is set back, though nobody has logged in with it meanwhile.
    std::fs::write(&time, "+0d").unwrap();
    let mut late = RawPeer::connect(&manager);
    for credential in ["bob", &token.secret] {
        late.read_json();
        late.send_line(&json!({ "result": credential }).to_string());
    }
    let refused = late.read_json();
    assert_eq!(
        refused["message"],
        "ValueError: Unregistered user or Wrong login password"
    );
}

#[test]
fn a_token_that_is_named_by_its_note_is_not_revoked() {
    let home = home();
    add(&home, &["bob", "--note", "night", "--may", "call DMM.read"]);
    let by_name = home.labwire(&["token", "revoke", "night"]);
    let said = String::from_utf8_lossy(&by_name.stderr);
    assert_eq!(by_name.status.code(), Some(2));
    assert!(said.contains("named by its number: labwire token list"), "{said}");
}

#[test]
fn a_session_that_is_resumed_with_another_token_does_not_end_with_the_first() {
    let home = home();
    let [first, second] = [(); 2].map(|()| add(&home, &["bob", "--may", "administer stats"]));
    let manager = Manager::start_in(home, &LOGIN);
    let mut identity = json!({
        "type": "client", "name": "script", "features": ["sessions"], "session": { "grace": 600 },
    });
    let mut script = connect(&manager, "bob", &first.secret, &identity);
    let session = script.read_json()["kwargs"]["session"].clone();
    // For a request, it logs in as somebody else.
    assert_eq!(
        script.request(&to_manager("stats", json!([]), json!({})))["attribute"],
        "username"
    );
    for credential in ["root", "x"] {
        script.send_line(&json!({ "result": credential }).to_string());
        script.read_json();
    }
    script.break_off();
    manager.wait_for_log("is away");
    identity["session"] = json!({ "secret": session["secret"], "received": 0 });
    let mut script = connect(&manager, "bob", &second.secret, &identity);
    assert_eq!(script.read_json()["attribute"], "resumed");
    let mut root = client(&manager, "root", "x");
    let revoked = to_manager("access.revoke_token", json!([first.id]), json!({}));
    assert_eq!(root.request(&revoked)["error"], false);
    // It was sent before the end of the first token, or is still served after it.
    let asked = request("Manager", "identity");
    script.send_line(&asked.to_string());
    loop {
        let line = script.read_json();
        assert!(!line.to_string().contains("was revoked"), "{line}");
        if line["uid"] == asked["uid"] && !line["result"].is_null() && line["result"]["services"].is_object()
        {
            break;
        }
    }
}

#[test]
fn a_token_of_a_session_that_is_away_ends_too() {
    let home = home();
    let token = add(&home, &["bob", "--register", "DMM"]);
    let manager = Manager::start_in(home, &LOGIN);
    let identity = json!({
        "type": "service", "name": "DMM", "attributes": {}, "features": ["sessions"], "session": { "grace": 600 },
    });
    let mut dmm = connect(&manager, "bob", &token.secret, &identity);
    assert_eq!(dmm.read_json()["attribute"], "registered");
    dmm.break_off();
    manager.wait_for_log("is away");
    manager
        .home()
        .prepare(&["token", "revoke", &token.id.to_string()]);
    let expected = format!(
        "does not return to its session: the token {} was revoked",
        token.id
    );
    manager.wait_for_log(&expected);
    let mut root = client(&manager, "root", "x");
    wait_until("the name is still taken", || {
        root.request(&request("Manager", "identity"))["result"]["services"] == json!({})
    });
}

#[test]
fn the_record_names_the_token_of_each_command_login_refusal_and_end_and_no_secret() {
    let home = home();
    let token = add(&home, &["bob", "--register", "DMM", "--note", "bench 3"]);
    let manager = Manager::start_in(home, &LOGIN);
    let mut dmm = service(&manager, "bob", &token.secret, "DMM");
    let other = json!({ "type": "service", "name": "PSU", "attributes": {} });
    let refused = connect(&manager, "bob", &token.secret, &other).read_json();
    expect_refused(&refused, "register PSU", &not_of(&token, "bob"));
    let mut peer = client(&manager, "bob", &token.secret);
    let refused = peer.request(&to_manager("link", json!(["PSU"]), json!({})));
    expect_refused(&refused, "link PSU", &not_of(&token, "bob"));
    let mut by_password = modern_client(&manager, "bob", "x");
    let home = manager.home();
    home.prepare(&["token", "revoke", &token.id.to_string()]);
    dmm.read_json();
    dmm.expect_closed();
    peer.expect_closed();
    home.prepare(&["user", "disable", "bob", "--reason", "on leave"]);
    by_password.read_json();
    by_password.expect_closed();
    home.prepare(&["user", "set", "bob", "--full-name", "Bob"]);
    home.prepare(&["user", "enable", "bob"]);

    let home = manager.end();
    let commands = ["--kind", "command"];
    let attributes = home.recorded(&commands, "attribute");
    assert_eq!(
        attributes[3..],
        [
            "token add",
            "token revoke",
            "user disable",
            "user set",
            "user enable"
        ]
    );
    assert_eq!(
        home.recorded(&commands, "text")[3..],
        [
            "Added the token 1 for bob, which allows register DMM, notify DMM; bench 3",
            "Revoked the token 1",
            "bob cannot log in any more: on leave",
            "Updated bob: full name 'Bob'",
            "bob can log in",
        ]
    );
    let logins = ["--kind", "login", "--user", "bob"];
    let [by_token, by_password] = ["with the token 1", "-"];
    assert_eq!(home.recorded(&logins, "text"), [by_token, by_token, by_password]);
    let refused = ["--outcome", "refused", "--service", "PSU", "--user", "bob"];
    assert_eq!(home.recorded(&refused, "kind"), ["reject", "link"]);
    let ends = |options: &[&str]| home.recorded(&[&["--kind", "leave"], options].concat(), "text");
    assert_eq!(ends(&["--service", "DMM"]), ["the token 1 was revoked"]);
    assert_eq!(
        ends(&["--peer", "script"]),
        ["the token 1 was revoked", "the user was disabled"]
    );
    let all = home.recorded(&[], "text").join("\n");
    assert!(!all.contains(&token.secret), "{all}");
}

#[test]
fn a_token_that_needs_more_than_is_granted_to_its_user_is_added_with_a_note() {
    let home = home();
    let noted = |options: &[&str]| {
        let added = home.labwire(&[&["token", "add", "--user"], options].concat());
        assert!(added.status.success(), "{added:?}");
        let said = String::from_utf8(added.stderr).unwrap();
        // The secret follows the last line.
        let last = said.lines().last().unwrap();
        assert!(last.ends_with("its secret is shown this once:"), "{said}");
        let note = said
            .lines()
            .find_map(|line| line.strip_prefix("labwire: with --roles, "));
        note.map(str::to_owned)
    };
    // Without grants nobody uses roles.
    assert_eq!(noted(&["bob", "--register", "DMM"]), None);
    home.prepare(&["grant", "add", "operator", "--to", "bob", "--on", "DMM*"]);
    for (options, expected) in [
        (
            &["bob", "--register", "DMM"][..],
            Some("bob also needs a grant of 'register DMM' and 'notify DMM'"),
        ),
        (
            &["bob", "--may", "Oven"],
            Some("bob also needs a grant of 'call Oven', 'see Oven' and 'link Oven'"),
        ),
        (&["bob", "--may", "DMM.read*"], None),
        (&["bob", "--everything"], None),
        (&["ada", "--register", "DMM"], None),
    ] {
        assert_eq!(noted(options).as_deref(), expected, "{options:?}");
    }
    let listed = String::from_utf8(home.labwire(&["token", "list"]).stdout).unwrap();
    let first = listed.lines().next().unwrap();
    assert_eq!(
        first,
        "1  bob: the token allows register DMM, notify DMM; never used"
    );
}

#[test]
fn a_program_that_retries_with_a_revoked_token_keeps_no_other_of_its_user_out() {
    let home = home();
    let [revoked, valid] = [0; 2].map(|_| add(&home, &["bob", "--may", "DMM"]));
    home.prepare(&["token", "revoke", &revoked.id.to_string()]);
    let manager = Manager::start_in(home, &LOGIN);
    let tries = || {
        let mut peer = RawPeer::connect(&manager);
        for credential in ["bob", &revoked.secret] {
            peer.read_json();
            peer.send_line(&json!({ "result": credential }).to_string());
        }
        peer.read_json()["message"].as_str().unwrap().to_owned()
    };
    wait_until("it is refused", || tries().contains("too many failed logins"));
    for secret in [valid.secret.as_str(), "x"] {
        let answer = client(&manager, "bob", secret).request(&request("Manager", "identity"));
        assert_eq!(answer["error"], false, "{answer}");
    }
}
