//! Plain text at a manager with TLS, and TLS at a manager without it.

use std::process::{Command, Stdio};

use crate::support::manager::{HOST, Manager};
use crate::support::terminal::Terminal;
use crate::support::wire::RawPeer;

/// Expects the remedy for a person who connects with `nc` to a manager with TLS.
fn expect_remedy(message: &str, manager: &Manager) {
    for text in ["uses TLS", "openssl s_client -quiet -connect ", "--disable-tls"] {
        assert!(message.contains(text), "{text:?}: {message}");
    }
    assert!(message.contains(&format!(":{} ", manager.port())), "{message}");
}

#[test]
fn plain_text_where_tls_is_spoken_is_answered_in_plain_text_with_the_remedy() {
    let manager = Manager::start(&[]);
    let mut terminal = Terminal::netcat(&manager);
    let message = terminal.ask_in_vain("client Ada");
    assert!(message.starts_with("ConnectionError: "), "{message}");
    expect_remedy(&message, &manager);
    terminal.expect_closed();
    manager.wait_for_log("plain text came");

    for bytes in [
        &b"{\"result\":{\"type\":\"client\",\"name\":\"Ada\"}}\r\n"[..],
        b"\xef\xbb\xbfclient\r\n",
        b"\xff\xfb\x1fclient\r\n",
        b"\r\n",
    ] {
        let mut peer = RawPeer::connect(&manager);
        peer.send_bytes(bytes);
        let frame = peer.read_json();
        expect_remedy(frame["message"].as_str().unwrap(), &manager);
        assert_eq!(frame["uid"], "");
        peer.expect_closed();
    }
    // Other peers are served.
    Terminal::openssl(&manager).identified("client").ask("identity");
}

#[test]
fn who_waits_to_be_asked_where_tls_is_spoken_is_told_when_the_time_is_over() {
    let manager = Manager::start(&["--handshake", "500ms"]);
    let mut peer = RawPeer::connect(&manager);
    let frame = peer.read_json();
    let message = frame["message"].as_str().unwrap();
    assert!(
        message.starts_with("TimeoutError: nothing came within 0.5 s"),
        "{message}"
    );
    expect_remedy(message, &manager);
    peer.expect_closed();
}

#[test]
fn tls_where_none_is_spoken_is_named_in_the_log_and_closed() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "abc 123"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let output = Command::new("openssl")
            .args([
                "s_client",
                version,
                "-connect",
                &format!("{HOST}:{}", manager.port()),
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{output:?}");
    }
    let line = manager.wait_for_log("a TLS handshake came");
    assert!(line.contains("--disable-tls"), "{line}");
    // It did not count as a wrong password.
    for _ in 0..10 {
        let mut peer = RawPeer::connect(&manager);
        peer.read_json();
        peer.send_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert!(peer.read_json()["message"].as_str().unwrap().contains("TLS"));
        peer.expect_closed();
    }
    let mut peer = RawPeer::connect(&manager);
    peer.read_json();
    peer.send_line("abc 123");
    assert_eq!(peer.read_json()["attribute"], "identity");
}
