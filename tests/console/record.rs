//! `labwire record`: what is recorded.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::super::support::manager::{Home, Manager};
use super::super::support::process::{Process, Signal, through};
use super::super::support::wire::{RawPeer, wait_for_service};
use super::super::support::{DEADLINE, POLL_INTERVAL, free_port};
use super::watch::{interrupted, linked, notify, start_at, wait};
use super::{command, json_lines, labwire, service, start};
use crate::support::waiting::wait_until;

mod files;
mod schedules;
mod topics;

fn meter(manager: &Manager) -> RawPeer {
    let meter = RawPeer::service(manager, "Meter", &json!({}));
    wait_for_service(manager, "Meter");
    meter
}

/// Waits until a file contains a text, and returns its content.
pub(super) fn wait_for_text(path: &Path, text: &str) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let content = fs::read_to_string(path).unwrap_or_default();
        if content.contains(text) {
            return content;
        }
        assert!(
            Instant::now() < deadline,
            "{text:?} never came into {}:\n{content}",
            path.display()
        );
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Returns the rows of a file without quoted cells, without the header.
fn rows(content: &str) -> Vec<Vec<&str>> {
    let mut lines = content.lines();
    assert_eq!(
        lines.next(),
        Some("time,event,service,source,key,value,seconds,note,message")
    );
    lines.map(|line| line.split(',').collect()).collect()
}

/// Returns one column of the rows of an event.
fn column<'a>(rows: &[Vec<&'a str>], event: &str, column: usize) -> Vec<&'a str> {
    rows.iter()
        .filter(|row| row[1] == event)
        .map(|row| row[column])
        .collect()
}

#[test]
fn notifications_and_calls_of_several_services_are_rows() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let mut meter = meter(&manager);
    let path = manager.home().path("lab.csv");
    let arguments = [
        "record",
        "lab.csv",
        "--watch",
        "Meter",
        "--poll",
        "BasicMath.add(1, y=2.50) every 100ms",
        "--poll",
        "BasicMath.divide(1, 0) every 1h timeout 1min",
    ];
    let recorder = linked(&manager, &arguments, &["Meter", "BasicMath"]);
    notify(&mut meter, "Meter", "[1.10]", r#"{"unit": "V", "ok": null}"#);
    notify(&mut meter, "Meter", "[]", "{}");
    wait_for_text(&path, ",notification,Meter,,unit,V,,,");
    wait_for_text(&path, ",result,BasicMath,\"add(1, y=2.50)\",,3.5,");
    wait(
        &recorder,
        "BasicMath.divide(1, 0): 'BasicMath'.divide failed: ZeroDivisionError",
    );
    let content = wait_for_text(&path, ",error,BasicMath,");
    assert!(content.contains("ZeroDivisionError: "), "{content}");
    assert_eq!(interrupted(recorder).0, Some(1), "one source has given no value");
    let content = fs::read_to_string(&path).unwrap();
    assert!(
        content.contains(",result,BasicMath,\"add(1, y=2.50)\",,3.5,"),
        "{content}"
    );
    let unquoted = content
        .replace("\"add(1, y=2.50)\"", "add")
        .replace("\"divide(1, 0)\"", "divide");
    let rows = rows(&unquoted);
    assert_eq!((rows[0][1], rows.last().unwrap()[1]), ("start", "end"));
    assert_eq!(column(&rows, "notification", 4), ["0", "unit", "ok", ""]);
    assert_eq!(column(&rows, "notification", 5), ["1.10", "V", "", ""]);
    let messages = column(&rows, "notification", 8);
    assert!(messages[0] == messages[1] && messages[1] == messages[2] && messages[2] != messages[3]);
    assert_eq!(column(&rows, "linked", 2).len(), 2);
    let results = rows.iter().filter(|row| row[1] == "result");
    assert!(results.clone().count() > 0);
    assert!(results.clone().all(|row| row[6].parse::<f64>().unwrap() < 60.0));
}

#[test]
fn restarts_of_the_service_and_of_the_manager_are_gaps() {
    let port = free_port();
    let manager = start_at(Home::new(), port);
    let folder = Home::new();
    let path = folder.path("lab.csv");
    let address = format!("localhost:{port}");
    let arguments = [
        "record",
        "lab.csv",
        "--watch",
        "Meter.0",
        "--disable-tls",
        "--host",
        &address,
    ];
    let recorder = Process::spawn("labwire", &mut folder.command(&arguments));
    wait(&recorder, "waiting for 'Meter'");
    let mut service = meter(&manager);
    wait(&recorder, "linked with 'Meter'");
    notify(&mut service, "Meter", "[1]", r#"{"other": 1}"#);
    wait_for_text(&path, ",notification,Meter,,0,1,");
    drop(service);
    wait(&recorder, "'Meter' is away since ");
    let service = meter(&manager);
    wait(&recorder, "'Meter' is back: gap since ");
    let home = manager.end();
    drop(service);
    wait_for_text(&path, "the connection with the manager was lost");
    let manager = start_at(home, port);
    let mut service = meter(&manager);
    let (_, ()) = recorder.wait_for_line_after(0, "that it is back twice", {
        let seen = std::cell::Cell::new(0);
        move |line| {
            seen.set(seen.get() + usize::from(line.contains("'Meter' is back")));
            (seen.get() == 2).then_some(())
        }
    });
    notify(&mut service, "Meter", "[2]", "{}");
    wait_for_text(&path, ",notification,Meter,,0,2,");
    assert_eq!(interrupted(recorder).0, Some(0));
    let content = fs::read_to_string(&path).unwrap();
    let rows = rows(&content);
    let mut events: Vec<_> = rows.iter().map(|row| row[1]).collect();
    // A gap that goes on for another reason has a row for it, too: a service that leaves and returns at
    // once may be known to be away before the list of services shows that.
    events.dedup();
    let expected = [
        "start",
        "gap",
        "linked",
        "notification",
        "gap",
        "linked",
        "away",
        "gap",
        "linked",
        "notification",
        "end",
    ];
    assert_eq!(events, expected, "{content}");
    let away = column(&rows, "linked", 6);
    assert!(
        away.iter().all(|seconds| seconds.parse::<f64>().unwrap() > 0.0),
        "{content}"
    );
    assert!(!content.contains("other"), "{content}");
}

/// Answers a request with a result, as JSON text.
fn answer(service: &mut RawPeer, request: &Value, result: &str) {
    let (requester, uid) = (&request["requester"], &request["uid"]);
    service.send_line(&format!(
        r#"{{"error": false, "requester": {requester}, "result": {result}, "uid": {uid}}}"#
    ));
}

#[test]
fn an_error_of_writing_ends_the_recording_and_says_what_is_missing() {
    let manager = start();
    let mut meter = meter(&manager);
    for file in ["lab.csv", "lab.sqlite3"] {
        // No file may be larger than 64 KiB.
        let limited = command(&manager, &["record", file, "--watch", "Meter"]);
        let script = "trap '' XFSZ; ulimit -f 128; exec \"$@\"";
        let mut limited: Command = through("sh", &["-c", script, "sh"], &limited);
        let mut recorder = Process::spawn("labwire", &mut limited);
        wait(&recorder, "linked with 'Meter'");
        let text = format!("[\"{}\"]", "x".repeat(10_000));
        for _ in 0..20 {
            notify(&mut meter, "Meter", &text, "{}");
        }
        assert_eq!(recorder.wait().code(), Some(1), "{file}");
        let printed = recorder.everything_printed();
        assert!(
            printed.contains(&format!("labwire: cannot write {file}: ")),
            "{printed}"
        );
        assert!(printed.contains("the recording is complete until "), "{printed}");
        // What was written before can be continued.
        let recorder = linked(&manager, &["record", file, "--watch", "Meter"], &["Meter"]);
        let printed = recorder.everything_printed();
        assert!(
            printed.contains("is continued") && !printed.contains("half a row"),
            "{printed}"
        );
        assert_eq!(interrupted(recorder).0, Some(1), "without a value");
    }
}

#[test]
fn a_file_says_what_to_record_and_mistakes_get_a_suggestion() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let home = manager.home();
    fs::create_dir(home.path("set-up")).unwrap();
    let config = home.path("set-up/lab.toml");
    let write = |text: &str| fs::write(&config, text).unwrap();
    write("file = \"lab.csv\"\npoll = [\"BasicMath.pi every 1h\"]\n");
    let recorder = linked(
        &manager,
        &["record", "--config", "set-up/lab.toml"],
        &["BasicMath"],
    );
    wait_for_text(&home.path("set-up/lab.csv"), ",result,BasicMath,pi,,3.14159");
    assert_eq!(interrupted(recorder).0, Some(0));
    for (text, expected) in [
        ("fiel = \"a.csv\"", "did you mean 'file'?"),
        ("file = 3", "file"),
        ("file = \"a.csv\"\npoll = [\"BasicMath.add(1\"]", "not closed"),
        (
            "file = \"a.csv\"\nrotate = \"weekly\"\nwatch = [\"A\"]",
            "day was expected",
        ),
        (
            "file = \"a.csv\"\nformat = \"sqlit\"\nwatch = [\"A\"]",
            "sqlite was expected",
        ),
        ("file = \"a.csv\"", "nothing to record"),
        ("watch = [\"A\"]", "name a file"),
        ("file = ", "TOML parse error"),
    ] {
        write(text);
        let done = labwire(&manager, &["record", "--config", "set-up/lab.toml"]);
        assert_eq!(done.code, Some(2), "{text}: {done:?}");
        assert!(done.errors.contains(expected), "{text}: {done:?}");
    }
    for (arguments, expected) in [
        (&["record", "lab.txt", "--watch", "A"][..], "--format"),
        (&["record", "lab.csv", "--poll", "A.b()"], "how often"),
        (
            &["record", "lab.csv", "--watch", "A", "--rotate", "1B"],
            "a size of at least",
        ),
        (
            &["record", "--config", "missing.toml"],
            "cannot read missing.toml",
        ),
    ] {
        let done = labwire(&manager, arguments);
        assert!(matches!(done.code, Some(1 | 2)), "{arguments:?}: {done:?}");
        assert!(done.errors.contains(expected), "{arguments:?}: {done:?}");
    }
    assert!(!home.path("lab.csv").exists());
    let misspelt = ["record", "b.csv", "--poll", "BasicMath.ad(1, 2) every 1h"];
    let recorder = linked(&manager, &misspelt, &["BasicMath"]);
    wait(&recorder, "did you mean 'add'?");
    assert_eq!(interrupted(recorder).0, Some(1), "without a value");
}
