//! Lines that a person types before the identity.

use serde_json::Value;

use super::{pipe_into_netcat, printed};
use crate::support::manager::Manager;
use crate::support::terminal::Terminal;
use crate::support::wire::RawPeer;

/// Number of lines until one of them must be an identity.
const TRIES: usize = 8;

#[test]
fn somebody_who_does_not_know_what_to_type_gets_help_and_another_try() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut terminal = Terminal::netcat(&manager);
    terminal.expect_request("identity");
    let message = terminal.ask_in_vain("hello");
    assert_eq!(
        message,
        "ValueError: 'hello' is no identity, type: client, or: client My Name, or: help"
    );
    assert!(terminal.ask("help")["client MY NAME"].is_string());
    let identity = terminal.ask("identity");
    assert_eq!(identity["port"], manager.port());
    let message = terminal.ask_in_vain("client Manager");
    assert!(message.contains("belongs to the manager"), "{message}");
    terminal.enter("client Ada");
    let me = terminal.ask("whoami");
    assert!(me.as_str().unwrap().starts_with("Ada["), "{me}");
}

#[test]
fn somebody_can_leave_without_saying_who_they_are() {
    let manager = Manager::start(&["--disable-tls"]);
    for word in ["exit", "quit", "disconnect"] {
        // Later lines are not read.
        let frames = printed(pipe_into_netcat(
            &manager,
            format!("{word}\nclient\nwhoami\n").as_bytes(),
        ));
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0]["attribute"], "identity");
    }
}

#[test]
fn the_tries_are_counted_whatever_is_typed() {
    let manager = Manager::start(&["--disable-tls"]);
    for line in ["hello", "", "help", "identity", "client Manager", "\"half"] {
        let mut peer = RawPeer::connect(&manager);
        peer.read_json();
        for _ in 0..TRIES {
            peer.send_line(line);
            let answer = peer.read_json();
            assert!(answer["error"].is_boolean(), "{answer}");
        }
        let last = peer.read_json();
        let message = last["message"].as_str().unwrap_or_default();
        assert_eq!(
            message,
            format!("ValueError: none of {TRIES} lines was an identity, closing connection")
        );
        peer.expect_closed();
    }
}

/// Lines before the manager's request do not count as a try: the first line is the password.
#[test]
fn words_are_no_way_around_a_password() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "abc 123"]);
    for word in ["help", "identity", "exit", "whoami"] {
        let frames = printed(pipe_into_netcat(&manager, format!("{word}\nclient\n").as_bytes()));
        assert_eq!(frames.len(), 2, "{frames:?}");
        assert_eq!(frames[0]["attribute"], "password");
        assert_eq!(frames[1]["message"], "ValueError: Wrong Manager password");
    }
}

/// A web page can make a browser send such a request to this computer. None of its lines counts as
/// another try.
#[test]
fn the_lines_of_a_web_request_are_not_executed() {
    let manager = Manager::start(&["--disable-tls"]);
    for first in ["POST / HTTP/1.1", "client / HTTP/1.1"] {
        let request =
            format!("{first}\r\nHost: localhost\r\nContent-Length: 16\r\n\r\nclient\r\nidentity\r\n");
        let frames = printed(pipe_into_netcat(&manager, request.as_bytes()));
        let messages: Vec<&str> = frames
            .iter()
            .filter_map(|frame| frame["message"].as_str())
            .collect();
        assert_eq!(
            messages,
            ["ValueError: this is a network manager of a laboratory, it does not speak HTTP"],
            "{frames:?}"
        );
        assert!(
            frames
                .iter()
                .all(|frame| frame.get("result").is_none_or(Value::is_null))
        );
    }
}
