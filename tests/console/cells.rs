//! What a service can put into text, tables and files of other programs.

use std::fs;

use serde_json::json;

use super::super::support::wire::{RawPeer, wait_for_service};
use super::start;
use super::watch::{interrupted, linked, notify};
use crate::support::waiting::wait_until;

/// Names and values that a spreadsheet would execute, or that a terminal would.
const HOSTILE: &str =
    r#"{"=cmd()": "=1+1", "volt": "-6.2E-02", "a\u001b[2J\nb": "@x", "'": "it\u009bs", "n": -5}"#;

#[test]
fn no_cell_is_a_formula_and_the_texts_can_be_read_back() {
    let manager = start();
    let mut meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let mut watcher = linked(&manager, &["watch", "Meter", "--csv", "--count", "1"], &["Meter"]);
    let recorder = linked(&manager, &["record", "lab.csv", "--watch", "Meter"], &["Meter"]);
    notify(&mut meter, "Meter", r#"["+cmd|' /C calc'!A0", "-2+3"]"#, HOSTILE);
    assert_eq!(watcher.wait().code(), Some(0));
    let printed = watcher.output();
    assert!(printed.starts_with("time,event,0,1,'=cmd(),volt,"), "{printed}");
    assert!(
        printed.contains(",notification,'+cmd|' /C calc'!A0,'-2+3,'=1+1,-6.2E-02,'@x,"),
        "{printed}"
    );
    let path = manager.home().path("lab.csv");
    wait_until("it is not recorded", || {
        fs::read_to_string(&path).unwrap().contains(",n,-5,")
    });
    assert_eq!(interrupted(recorder).0, Some(0));
    let content = fs::read_to_string(&path).unwrap();
    for row in [
        ",notification,Meter,,0,'+cmd|' /C calc'!A0,",
        ",notification,Meter,,1,'-2+3,",
        ",notification,Meter,,'=cmd(),'=1+1,",
        ",notification,Meter,,volt,-6.2E-02,",
        ",notification,Meter,,'',it",
        ",notification,Meter,,n,-5,",
    ] {
        assert!(content.contains(row), "{row}: {content}");
    }
}

#[test]
fn names_and_values_are_escaped_in_a_pipe_too() {
    let manager = start();
    let mut meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let mut watcher = linked(&manager, &["watch", "Meter", "--count", "1"], &["Meter"]);
    notify(&mut meter, "Meter", r#"["x\u001b[2J"]"#, HOSTILE);
    assert_eq!(watcher.wait().code(), Some(0));
    let printed = watcher.output();
    assert_eq!(printed.lines().count(), 1, "{printed:?}");
    assert!(!printed.trim_end().contains(char::is_control), "{printed:?}");
    assert!(
        printed.trim_end().ends_with(
            r#"  "x\u001b[2J" "=cmd()"="=1+1" volt="-6.2E-02" "a\u001b[2J\nb"="@x" "'"="it\u009bs" n=-5"#
        ),
        "{printed:?}"
    );
}
