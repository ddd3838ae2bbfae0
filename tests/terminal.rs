//! A person at a terminal: every line of the documentation's chapter "Connecting from a Terminal", typed into
//! the real `nc` and, with TLS, the real `openssl s_client`.

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::python::Service;
use super::support::terminal::Terminal;
use super::support::wire::{RawPeer, member, wait_for_service};

const ADMINISTRATOR: &str = "m.curie";
const PASSWORD: &str = "radium and polonium";

fn home_with_administrator() -> Home {
    let home = Home::new();
    let mut arguments = vec!["user", "add", ADMINISTRATOR, "--admin", "--password"];
    arguments.extend(PASSWORD.split(' '));
    home.prepare(&arguments);
    home
}

/// Plays the chapter, line by line.
fn chapter(manager: &Manager, connect: fn(&Manager) -> Terminal) {
    let _basic_math = Service::start("BasicMath", &manager.connection());
    let _string_editor = Service::start("StringEditor", &manager.connection());

    let mut unnamed = connect(manager).identified("client");
    let mut named = connect(manager).identified("client My Name");

    let identity = wait_for_services(&mut named, &["BasicMath", "String Editor"]);
    let clients: Vec<_> = identity["clients"].as_object().unwrap().keys().collect();
    assert!(
        clients.iter().any(|name| name.starts_with("Client[")),
        "{clients:?}"
    );
    let me = clients
        .iter()
        .find(|name| name.starts_with("My Name["))
        .expect("the given name is shown");
    assert_eq!(identity["clients"][me.as_str()]["name"], "My Name");
    assert_eq!(unnamed.ask("identity"), identity);

    named.enter("Manager users_table.is_user_registered n.bohr");
    assert!(
        named.expect_request("username")[0]
            .as_str()
            .unwrap()
            .starts_with("Manager[")
    );
    named.enter(ADMINISTRATOR);
    assert_eq!(named.expect_request("password"), json!([ADMINISTRATOR]));
    named.enter(PASSWORD);
    assert_eq!(named.result(), false);
    // One login is enough.
    assert_eq!(
        named.ask(&format!("Manager users_table.is_user_registered {ADMINISTRATOR}")),
        true
    );

    assert_eq!(unnamed.ask("BasicMath add 4 10"), 14);
    let linked = named.ask("link BasicMath");
    assert_eq!(linked, identity["services"]["BasicMath"]);
    assert_eq!(named.ask("BasicMath add 4 10"), 14);
    assert_eq!(named.ask("BasicMath add x=4 y=10"), 14);
    let concatenated = named.ask(r#""String Editor" concat s1="first string" s2="second string""#);
    assert_eq!(concatenated, "first stringsecond string");
    assert_eq!(
        named.ask(r#"link "String Editor""#),
        identity["services"]["String Editor"]
    );

    named.enter("disconnect");
    named.expect_closed();
    unnamed.enter("exit");
    unnamed.expect_closed();
}

/// Requests the manager's identity until it contains all of these services.
fn wait_for_services(terminal: &mut Terminal, names: &[&str]) -> Value {
    let deadline = std::time::Instant::now() + super::support::DEADLINE;
    loop {
        let identity = terminal.ask("Manager identity");
        if names.iter().all(|name| identity["services"].get(name).is_some()) {
            return identity;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "not all of {names:?} appeared"
        );
        std::thread::sleep(super::support::POLL_INTERVAL);
    }
}

#[test]
fn the_chapter_works_as_printed_in_netcat() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls"]);
    chapter(&manager, Terminal::netcat);
}

#[test]
fn the_chapter_works_as_printed_in_openssl() {
    let manager = Manager::start_in(home_with_administrator(), &[]);
    chapter(&manager, Terminal::openssl);
}

#[test]
fn a_login_is_typed_as_bare_text() {
    let manager = Manager::start_in(home_with_administrator(), &["--auth-login"]);
    let mut terminal = Terminal::openssl(&manager);
    terminal.expect_request("username");
    terminal.enter(ADMINISTRATOR);
    assert_eq!(terminal.expect_request("password"), json!([ADMINISTRATOR]));
    terminal.enter(PASSWORD);
    let mut terminal = terminal.identified("client");
    // A person who is logged in as an administrator is not asked again.
    assert_eq!(
        terminal.ask("Manager users_table.usernames"),
        json!([ADMINISTRATOR])
    );
    terminal.enter("exit");
    terminal.expect_closed();
}

#[test]
fn a_wrong_login_gets_an_error_and_the_connection_closes() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let mut terminal = Terminal::netcat(&manager);
    terminal.expect_request("username");
    terminal.enter(ADMINISTRATOR);
    terminal.expect_request("password");
    terminal.enter("thorium");
    let message = terminal.error();
    assert!(
        message.starts_with("ValueError: ") && message.contains("Wrong login password"),
        "{message}"
    );
    terminal.expect_closed();
}

#[test]
fn a_manager_password_is_typed_as_bare_text() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "open", "the", "door"]);
    let mut terminal = Terminal::netcat(&manager);
    assert!(
        terminal.expect_request("password")[0]
            .as_str()
            .unwrap()
            .starts_with("Manager[")
    );
    terminal.enter("open the door");
    let mut terminal = terminal.identified("client");
    assert_eq!(terminal.ask("identity")["port"], manager.port());

    let mut stranger = Terminal::netcat(&manager);
    stranger.expect_request("password");
    stranger.enter("open the window");
    assert_eq!(stranger.error(), "ValueError: Wrong Manager password");
    stranger.expect_closed();
}

#[test]
fn a_refusal_says_why_and_the_session_goes_on() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut terminal = Terminal::netcat(&manager).identified("client");
    let message = terminal.ask_in_vain("link Nobody");
    assert!(
        message.contains("the 'Nobody' service does not exist, cannot link with Client["),
        "{message}"
    );
    let message = terminal.ask_in_vain("Nobody ask 1");
    assert!(
        message.contains("the 'Nobody' Service is not connected to Manager["),
        "{message}"
    );
    terminal.ask_in_vain("hello?");
    assert_eq!(terminal.ask("identity")["port"], manager.port());
}

#[test]
fn lines_pasted_at_once_are_all_answered() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut service = RawPeer::service(&manager, "Adder", &json!({ "add": "(x, y)" }));
    let mut terminal = Terminal::netcat(&manager).identified("client");
    terminal.enter("Adder add 1 2\nAdder add 3 4\nidentity\nAdder add x=5 y=6");

    for (args, kwargs) in [
        (json!([1, 2]), json!({})),
        (json!([3, 4]), json!({})),
        (json!([]), json!({"x": 5, "y": 6})),
    ] {
        let line = service.read_line();
        assert_eq!(
            serde_json::from_str::<Value>(member(&line, "args")).unwrap(),
            args
        );
        assert_eq!(
            serde_json::from_str::<Value>(member(&line, "kwargs")).unwrap(),
            kwargs
        );
        let (requester, uid) = (member(&line, "requester"), member(&line, "uid"));
        let sum: i64 = args
            .as_array()
            .unwrap()
            .iter()
            .chain(kwargs.as_object().unwrap().values())
            .fold(0, |sum, value| sum + value.as_i64().unwrap());
        service.send_line(&format!(
            r#"{{"error": false, "requester": {requester}, "result": {sum}, "uid": {uid}}}"#
        ));
    }
    let mut sums: Vec<_> = (0..4).map(|_| terminal.result()).filter(Value::is_i64).collect();
    sums.sort_by_key(Value::as_i64);
    assert_eq!(sums, [3, 7, 11]);
}

#[test]
fn values_are_read_as_literals_and_else_as_text() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut service = RawPeer::service(&manager, "Probe", &json!({ "ask": "(*args)" }));
    wait_for_service(&manager, "Probe");
    let mut terminal = Terminal::netcat(&manager).identified("client");
    terminal.enter("Probe ask TRUE false None null -3 1.5 text [1,2] key=true unit=nm");
    let line = service.read_line();
    let args: Value = serde_json::from_str(member(&line, "args")).unwrap();
    let kwargs: Value = serde_json::from_str(member(&line, "kwargs")).unwrap();
    assert_eq!(args, json!([true, false, null, null, -3, 1.5, "text", [1, 2]]));
    assert_eq!(kwargs, json!({ "key": true, "unit": "nm" }));
}
