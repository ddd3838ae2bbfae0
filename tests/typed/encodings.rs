//! Byte order marks, telnet, and text that is not UTF-8.

use std::fs;

use serde_json::json;

use super::{pipe_into_netcat, printed};
use crate::support::manager::{Home, Manager};
use crate::support::wire::{RawPeer, request};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes that `PuTTY` sends directly after it has connected, when its connection type is
/// Telnet.
const PUTTY: &[u8] = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn what_editors_and_telnet_put_before_the_first_line_does_not_count() {
    let manager = Manager::start(&["--disable-tls"]);
    for before in [MARK, PUTTY] {
        for line in ["client Ada", r#"{"result":{"type":"client","name":"Ada"}}"#] {
            let script = [before, line.as_bytes(), b"\r\nwhoami\r\n"].concat();
            let frames = printed(pipe_into_netcat(&manager, &script));
            let name = frames.last().unwrap()["result"].as_str().unwrap_or_default();
            assert!(name.starts_with("Ada["), "{before:x?} {line}: {frames:?}");
        }
    }
}

#[test]
fn nor_does_it_before_a_password() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "abc 123"]);
    for before in [MARK, PUTTY] {
        let script = [before, b"abc 123\r\nclient\r\nwhoami\r\n"].concat();
        let frames = printed(pipe_into_netcat(&manager, &script));
        assert!(frames.last().unwrap()["result"].is_string(), "{frames:?}");
    }
    // UTF-16 leads to an error that names it, and does not count as a wrong password.
    let frames = printed(pipe_into_netcat(&manager, &utf16("\u{feff}abc 123\n")));
    assert_eq!(
        frames.last().unwrap()["message"],
        "UnicodeDecodeError: the line is UTF-16, send it as UTF-8"
    );
}

#[test]
fn utf16_is_named() {
    let manager = Manager::start(&["--disable-tls"]);
    for text in ["\u{feff}client\n", "client\n"] {
        let frames = printed(pipe_into_netcat(&manager, &utf16(text)));
        assert_eq!(
            frames.last().unwrap()["message"],
            "UnicodeDecodeError: the line is UTF-16, send it as UTF-8"
        );
    }
    let mut client = RawPeer::client(&manager, "Ada");
    client.send_bytes(&utf16("whoami\n"));
    assert_eq!(
        client.read_json()["message"],
        "UnicodeDecodeError: the line is UTF-16, send it as UTF-8"
    );
}

/// Ctrl-C in telnet, and a mark before each line, as a program writes them that opens its writer
/// anew.
#[test]
fn later_lines_may_have_them_too() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut service = RawPeer::service(&manager, "Echo", &json!({}));
    let mut client = RawPeer::client(&manager, "Ada");
    for before in [MARK, b"\xff\xf4\xff\xfd\x06"] {
        client.send_bytes(&[before, b"Echo say 1.10\r\n"].concat());
        let got = service.read_json();
        assert_eq!(got["attribute"], "say");
        let requester = &got["requester"];
        let answer = format!(r#"{{"error": false, "requester": {requester}, "result": 1.10, "uid": ""}}"#);
        service.send_bytes(&[MARK, answer.as_bytes(), b"\r\n"].concat());
        assert_eq!(client.read_line(), answer);
    }
    let frame = request("Echo", "say").to_string();
    client.send_bytes(&[MARK, frame.as_bytes(), b"\r\n"].concat());
    let got = service.read_line();
    assert!(
        got.starts_with('{') && got.contains(r#""uid":"request""#),
        "{got}"
    );
}

#[test]
fn a_password_file_may_begin_with_a_byte_order_mark() {
    let home = Home::new();
    fs::write(home.path("password.txt"), [MARK, b"abc 123\r\n"].concat()).unwrap();
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-password", "password.txt"]);
    let frames = printed(pipe_into_netcat(&manager, b"abc 123\nclient\nwhoami\n"));
    assert!(frames.last().unwrap()["result"].is_string(), "{frames:?}");

    let home = Home::new();
    fs::write(home.path("password.txt"), utf16("\u{feff}abc 123\r\n")).unwrap();
    let failure = Manager::start_expecting_failure(&home, &["--auth-password", "password.txt"]);
    for text in ["password.txt", "UTF-16", "save it as UTF-8"] {
        assert!(failure.printed.contains(text), "{}", failure.printed);
    }
}
