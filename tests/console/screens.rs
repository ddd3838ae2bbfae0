//! `labwire top` and `labwire status --watch` on the whole screen of a terminal.

use serde_json::json;

use super::super::support::process::Signal;
use super::super::support::wire::{RawPeer, wait_for_service};
use super::pty::Terminal;
use super::start;

const UNICODE: &[(&str, &str)] = &[("LC_ALL", "C.UTF-8"), ("TERM", "xterm-256color")];

#[test]
fn top_shows_each_view_and_gives_the_terminal_back() {
    let manager = start();
    let name = "A rather long name of a service, \u{591a}\u{7528}\u{8868} number 12";
    let _long = RawPeer::service(&manager, name, &json!({}));
    let _meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let mut holder = RawPeer::client(&manager, "Ada");
    for (attribute, uid) in [("link", "1"), ("acquire_lock", "2")] {
        holder.request(&json!({"service": "Manager", "attribute": attribute, "args": ["Meter"], "uid": uid}));
    }
    for columns in [80, 200] {
        let mut screen = Terminal::open(&manager, &["top", "--every", "100ms"], (columns, 24), UNICODE);
        screen.wait_for("Meter");
        // Only changed cells are written, so a text is written without its blanks.
        screen.wait_for(if columns == 80 { "\u{2026}" } else { "12" });
        let lines = screen.wait_for_screen("ERR/S");
        let meter = lines.iter().find(|line| line.starts_with("Meter")).unwrap();
        assert_eq!(meter.starts_with("Meter [L] "), columns == 80, "{lines:#?}");
        assert_eq!(meter.contains("Ada["), columns == 200, "{lines:#?}");
        screen.type_keys("p");
        screen.wait_for("PAUSED");
        screen.type_keys("?");
        screen.wait_for("Keys");
        screen.type_keys("?\r");
        screen.wait_for("Latencies");
        screen.type_keys("\t/met");
        screen.wait_for("contains");
        // The letter is typed into the filter.
        screen.type_keys("q\rq");
        assert_eq!(screen.end(), Some(0));
        screen.expect_restored();
    }
    let mut stopped = Terminal::open(&manager, &["top"], (80, 24), UNICODE);
    stopped.wait_for("Meter");
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.end(), Some(0));
    stopped.expect_restored();
}

#[test]
fn a_watched_status_fits_into_its_screen_and_gives_the_terminal_back() {
    let manager = start();
    let services: Vec<_> = (0..8)
        .map(|number| RawPeer::service(&manager, &format!("Meter {number}"), &json!({})))
        .collect();
    wait_for_service(&manager, "Meter 7");
    let arguments = ["status", "--watch", "--every", "100ms"];
    let mut screen = Terminal::open(&manager, &arguments, (80, 8), UNICODE);
    screen.wait_for("Meter 3");
    screen.wait_for(" more lines: see labwire status");
    drop(services);
    screen.type_keys("q");
    assert_eq!(screen.end(), Some(0));
    assert!(!screen.shown.contains("Meter 7"), "{:?}", screen.shown);
    screen.expect_restored();
}
