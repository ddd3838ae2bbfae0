//! Before its identity a peer costs little, and only for a short time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{
    ADMINISTRATOR, Inspected, PASSWORD, Peer, expect_no_panic, home_with_administrator, start,
};
use crate::support::manager::Manager;
use crate::support::waiting::wait_until;
use crate::support::wire::identity_request;

/// The timeout from the accepted connection to the accepted identity.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Tolerance of that timeout on a slow machine.
const TOLERANCE: Duration = Duration::from_secs(10);

const TIMEOUT_REASON: &str = "TimeoutError: authentication and identity took longer than 10 s";

/// 200 silent connections: those above the limit for one address get an error at once, the others
/// after the timeout; then their descriptors are closed. Other peers are served meanwhile.
#[test]
fn silent_connections_are_closed_with_a_reason_and_their_descriptors_given_back() {
    let manager = start();
    let mut observer = Peer::client(&manager, "observer");
    let process = Inspected::new(&manager);
    let before = process.descriptors();
    let connected = Instant::now();
    let silent: Vec<Peer> = (0..200).map(|_| Peer::connect(&manager)).collect();
    let mut timed_out = 0;
    for mut peer in silent {
        let mut frame = peer.frame();
        if frame["attribute"] == "identity" {
            frame = peer.frame();
        }
        let message = frame["message"].as_str().expect("there is a reason").to_owned();
        if message == TIMEOUT_REASON {
            assert!(connected.elapsed() >= HANDSHAKE, "too early");
            timed_out += 1;
        } else {
            assert!(message.contains("too many connections"), "{message}");
        }
        peer.expect_closed();
    }
    assert_eq!(timed_out, 100);
    let taken = connected.elapsed();
    assert!(taken < HANDSHAKE + TOLERANCE, "it took {taken:?}");
    observer.settle();
    wait_for_descriptors(&process, before);
    expect_no_panic(&manager);
}

/// A peer that sends one byte at a time has the same timeout as a silent one.
#[test]
fn a_dribbling_peer_is_closed_when_its_time_is_up() {
    let manager = start();
    let connected = Instant::now();
    let mut peer = Peer::connect(&manager);
    peer.expect_request("identity");
    let reason = loop {
        peer.try_send(b"x");
        match peer.line_until(Instant::now() + Duration::from_millis(100)) {
            Err(_) => assert!(
                connected.elapsed() < HANDSHAKE + TOLERANCE,
                "it may go on for ever"
            ),
            Ok(line) => break line.expect("there is a reason"),
        }
    };
    assert!(reason.contains(TIMEOUT_REASON), "{reason}");
    assert!(connected.elapsed() >= HANDSHAKE, "too early");
}

/// Blank usernames and passwords count as wrong ones: the connection ends. On the Python manager it
/// stays open for ever.
#[test]
fn blank_usernames_end_the_connection() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let process = Inspected::new(&manager);
    let before = process.descriptors();
    for blank in ["", " ", "\t \t", r#"{"result":""}"#, r#"{"result":null}"#] {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("username");
        peer.send_line(blank);
        let mut frame = peer.frame();
        if frame["attribute"] == "password" {
            peer.send_line(blank);
            frame = peer.frame();
        }
        assert_eq!(frame["error"], true, "{blank:?}: {frame}");
        peer.expect_closed();
    }
    wait_for_descriptors(&process, before);
    expect_no_panic(&manager);
}

/// The same for blank identities of programs. A person at a terminal may try again.
#[test]
fn blank_identities_end_the_connection() {
    let manager = start();
    for blank in [r#"{"result":""}"#, r#"{"result":null}"#, r#"{"result":{}}"#] {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("identity");
        peer.send_line(blank);
        peer.expect_rejection();
    }
    expect_no_panic(&manager);
}

/// Names that would forge log lines, imitate the manager or break the reply to `identity` are
/// refused with the reason, and other peers can still request the identity.
#[test]
fn names_that_could_deceive_are_refused() {
    let manager = start();
    let mut observer = Peer::client(&manager, "observer");
    let long = "x".repeat(2_000);
    for name in [
        "\"\\ud800\"",
        "\"a\\nb\"",
        "\"a\\rb\"",
        "\"\\u0000\"",
        "\"\\u001b[31m\"",
        "\"\\u2028\"",
        "\"\\u202eoven\"",
        "\"Manager\"",
        "\"manager\"",
        "\" Manager \"",
        // A Cyrillic letter, an invisible character, and a full-width one.
        "\"Man\\u0430ger\"",
        "\"Man\\u200bager\"",
        "\"\\uff2danager\"",
        "\"\"",
        "\"   \"",
        "5",
        "null",
        "[]",
        &format!("\"{long}\""),
    ] {
        for kind in ["client", "service"] {
            let mut peer = Peer::connect(&manager);
            peer.expect_request("identity");
            peer.send_line(format!(
                r#"{{"result":{{"type":"{kind}","name":{name},"attributes":{{}}}}}}"#
            ));
            peer.expect_rejection();
        }
        observer.settle();
    }
    let identity = observer.ask(&identity_request());
    assert_eq!(identity["result"]["services"], json!({}));
    assert_eq!(identity["result"]["clients"].as_object().unwrap().len(), 1);
    expect_no_panic(&manager);
}

/// Sends the identity of a service of that name, and returns the first line of the answer, if there
/// is one.
fn register(manager: &Manager, name: &str) -> (Peer, Option<String>) {
    let mut peer = Peer::connect(manager);
    peer.expect_request("identity");
    let identity = json!({ "type": "service", "name": name, "attributes": {}, "features": ["registered"] });
    peer.send_line(json!({ "result": identity }).to_string());
    let line = peer.line();
    (peer, line)
}

/// The error that refuses a name contains an acceptable name, which is accepted.
#[test]
fn names_that_look_like_another_are_refused_with_what_to_use() {
    let manager = start();
    for (name, which, usable) in [
        ("DMM ", "begins or ends with a blank", "DMM"),
        ("Oven\u{a0}1", "U+00A0 (character 5)", "Oven 1"),
        ("B\u{200b}ox", "U+200B (character 2)", "Box"),
        ("Lamp\u{202e}", "U+202E (character 5)", "Lamp"),
        ("Pump\u{e000}", "U+E000 (character 5)", "Pump"),
        ("Fan\u{378}", "U+0378 (character 4)", "Fan"),
        ("\u{212b}-meter", "write U+212B as U+00C5", "\u{c5}-meter"),
    ] {
        let (_peer, refusal) = register(&manager, name);
        let refusal: Value = serde_json::from_str(&refusal.expect("it is told why")).unwrap();
        let message = refusal["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("ValueError: the name "), "{refusal}");
        assert!(message.contains(which), "{message}");
        if !name.starts_with('\u{212b}') {
            assert!(message.contains(&format!("use '{usable}'")), "{message}");
        }
        let (_peer, accepted) = register(&manager, usable);
        let accepted = accepted.expect("it is told its name");
        assert!(accepted.contains(r#""attribute":"registered""#), "{accepted}");
    }
    expect_no_panic(&manager);
}

/// A service cannot imitate another connected one with letters of another alphabet.
#[test]
fn a_service_that_looks_like_another_one_is_refused_while_that_is_there() {
    let manager = start();
    let (echo, _) = register(&manager, "ECHO");
    let cyrillic = "\u{415}\u{421}\u{41d}\u{41e}";
    let (_peer, refusal) = register(&manager, cyrillic);
    let refusal = refusal.expect("it is told why");
    assert!(
        refusal.contains("NameError") && refusal.contains("looks like the name of the 'ECHO' service"),
        "{refusal}"
    );
    drop(echo);
    wait_until("it is refused for ever", || {
        register(&manager, cyrillic)
            .1
            .is_some_and(|line| line.contains("registered"))
    });
    // ASCII names that look alike are allowed.
    let _services = ["O2", "02", "Camera 1", "Camera l"].map(|name| {
        let (peer, line) = register(&manager, name);
        assert!(line.is_some_and(|line| line.contains("registered")), "{name}");
        peer
    });
}

/// Names that laboratories use today: inner blanks, punctuation, letters of other alphabets.
#[test]
fn names_of_every_alphabet_are_taken_as_they_are() {
    let manager = start();
    let names = [
        "My Service",
        "Site Manager",
        "a.b [left] (2)/x",
        "\u{b5}-meter",
        "\u{c5}ngstr\u{f6}m",
        "\u{41b}\u{430}\u{437}\u{435}\u{440}",
        "\u{6e29}\u{5ea6}",
        "N\u{b7}m",
        "\u{1f9ea}",
    ];
    let _services = names.map(|name| register(&manager, name));
    let mut observer = Peer::client(&manager, "observer");
    let identity = observer.ask(&identity_request());
    let services = identity["result"]["services"].as_object().unwrap();
    for name in names {
        assert!(services.contains_key(name), "{name} is not in {services:?}");
    }
}

/// No refusal reveals paths of the manager's files or sources.
#[test]
fn no_refusal_tells_where_anything_is() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let connected = |password: &str, identity: &str| {
        let mut peer = Peer::connect(&manager);
        peer.log_in(ADMINISTRATOR, password);
        if password == PASSWORD {
            peer.expect_request("identity");
            peer.send_line(identity);
        }
        peer
    };
    let mut refusals = vec![connected("wrong", "").frame(), connected(PASSWORD, "5").frame()];
    let mut client = connected(PASSWORD, "client Ada");
    for line in [
        "{",
        r#"{"service":"Nobody","attribute":"weigh","uid":"1"}"#,
        r#"{"service":"Manager","attribute":"link","args":["Nobody"],"uid":"1"}"#,
        r#"{"service":"Manager","attribute":"users_table.path","uid":"1"}"#,
        r#"{"service":"Manager","attribute":"users_table.delete","args":["nobody"],"uid":"1"}"#,
    ] {
        refusals.push(client.ask_line(line));
    }
    let home = manager.home().argument("");
    for refusal in refusals {
        assert_eq!(refusal["error"], true, "{refusal}");
        assert_eq!(refusal["traceback"], json!([]), "{refusal}");
        let text = refusal.to_string();
        assert!(
            ![home.trim_end_matches('/'), ".rs", "sqlite3"]
                .iter()
                .any(|place| text.contains(place)),
            "{text}"
        );
    }
}

/// Connections that close or reset at once, as those of port scanners and certificate fetchers,
/// leave nothing behind.
#[test]
fn connections_that_say_nothing_and_go_leave_nothing_behind() {
    let manager = start();
    let process = Inspected::new(&manager);
    // What the manager opens once, it has opened for the first peer.
    Peer::client(&manager, "first").settle();
    let before = process.descriptors();
    for number in 0..300 {
        let peer = Peer::connect(&manager);
        if number % 2 == 0 {
            peer.reset();
        }
    }
    Peer::client(&manager, "next").settle();
    wait_for_descriptors(&process, before);
    expect_no_panic(&manager);
}

fn wait_for_descriptors(process: &Inspected, before: usize) {
    wait_until("the descriptors were not given back", || {
        process.descriptors() <= before
    });
}
