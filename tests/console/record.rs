//! `labwire record`: what is recorded, in both formats, and that nothing is lost or overwritten.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::super::support::manager::{Home, Manager};
use super::super::support::process::{Process, Signal, through};
use super::super::support::wire::{RawPeer, wait_for_service};
use super::super::support::{DEADLINE, POLL_INTERVAL, free_port};
use super::watch::{interrupted, linked, notify, start_at, wait};
use super::{command, json_lines, labwire, service, start};

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
fn a_database_has_values_with_their_types() {
    let manager = start();
    let mut meter = meter(&manager);
    let _math = service(&manager, "BasicMath");
    let arguments = [
        "record",
        "lab.sqlite3",
        "--watch",
        "Meter",
        "--poll",
        "BasicMath.add(1, 2) every 1h",
    ];
    let recorder = linked(&manager, &arguments, &["Meter", "BasicMath"]);
    let values = r#"{"real": 1.5, "text": "5", "list": [1, 2], "nothing": null, "nan": NaN}"#;
    notify(&mut meter, "Meter", "[3]", values);
    let database = || Connection::open(manager.home().path("lab.sqlite3")).unwrap();
    let count = |sql: &str| database().query_row(sql, [], |row| row.get::<_, i64>(0));
    let deadline = Instant::now() + DEADLINE;
    // It can be read while it is written.
    while count("SELECT count(*) FROM readings") != Ok(7) {
        assert!(Instant::now() < deadline, "the rows never came");
        std::thread::sleep(POLL_INTERVAL);
    }
    assert_eq!(interrupted(recorder).0, Some(0));
    let database = database();
    let mut query = database
        .prepare("SELECT key, typeof(value) FROM readings WHERE service = 'Meter'")
        .unwrap();
    let found = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    let found: Vec<_> = found.unwrap().map(Result::unwrap).collect();
    let expected = [
        ("0", "integer"),
        ("real", "real"),
        ("text", "text"),
        ("list", "text"),
        ("nothing", "null"),
        ("nan", "text"),
    ];
    assert_eq!(
        found,
        expected.map(|(key, kind)| (key.to_owned(), kind.to_owned()))
    );
    let sum: i64 = database
        .query_row(
            "SELECT value FROM readings WHERE source = 'add(1, 2)'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sum, 3);
    drop(query);
    drop(database);
    // A second recording continues it, and the time between is a gap.
    let recorder = linked(&manager, &arguments, &["Meter", "BasicMath"]);
    notify(&mut meter, "Meter", "[4]", "{}");
    while count("SELECT count(*) FROM readings") != Ok(9) {
        assert!(Instant::now() < deadline, "the rows never came");
        std::thread::sleep(POLL_INTERVAL);
    }
    assert_eq!(interrupted(recorder).0, Some(0));
    assert_eq!(
        count("SELECT count(*) FROM recording WHERE event = 'start'"),
        Ok(2)
    );
    assert_eq!(
        count("SELECT count(*) FROM recording WHERE event = 'gap' AND note = 'nothing was recorded'"),
        Ok(1)
    );
    assert!(!manager.home().path("lab.sqlite3-wal").exists());
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
    let events: Vec<_> = rows.iter().map(|row| row[1]).collect();
    let expected = [
        "start",
        "gap",
        "linked",
        "notification",
        "gap",
        "linked",
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

#[test]
fn a_killed_recording_has_lost_no_more_than_a_second_and_is_continued() {
    for file in ["lab.csv", "lab.sqlite3"] {
        let manager = start();
        let mut meter = meter(&manager);
        let recorder = linked(&manager, &["record", file, "--watch", "Meter"], &["Meter"]);
        let begun = Instant::now();
        let mut sent = 0;
        let mut due = 0;
        while begun.elapsed() < Duration::from_millis(2_500) {
            notify(&mut meter, "Meter", &format!("[{sent}]"), "{}");
            sent += 1;
            if begun.elapsed() < Duration::from_millis(1_500) {
                due = sent;
            }
            // The pace of the meter; the loop ends by its clock.
            std::thread::sleep(Duration::from_millis(5));
        }
        recorder.signal(Signal::KILL);
        drop(recorder);
        let path = manager.home().path(file);
        let kept = values(&path);
        assert!(
            kept.len() >= due,
            "{file}: {} of {sent}, and {due} were due",
            kept.len()
        );
        assert!(
            (0..).zip(&kept).all(|(number, value)| number == *value),
            "{file}: all of them, in order"
        );
        if file.ends_with("csv") {
            let mut content = fs::read_to_string(&path).unwrap();
            content.push_str("2026-11-28T12:00:00.000000Z,notification,Meter,,0,\"half\na row");
            fs::write(&path, content).unwrap();
        }
        let recorder = linked(&manager, &["record", file, "--watch", "Meter"], &["Meter"]);
        if file.ends_with("csv") {
            wait(&recorder, "ended with half a row of ");
        }
        wait(&recorder, " is continued; its last row is of ");
        notify(&mut meter, "Meter", "[-1]", "{}");
        let deadline = Instant::now() + DEADLINE;
        while values(&path).last() != Some(&-1) {
            assert!(Instant::now() < deadline, "it is not continued");
            std::thread::sleep(POLL_INTERVAL);
        }
        assert_eq!(values(&path).len(), kept.len() + 1);
        assert_eq!(interrupted(recorder).0, Some(0));
    }
}

/// Answers a request with a result, as JSON text.
fn answer(service: &mut RawPeer, request: &Value, result: &str) {
    let (requester, uid) = (&request["requester"], &request["uid"]);
    service.send_line(&format!(
        r#"{{"error": false, "requester": {requester}, "result": {result}, "uid": {uid}}}"#
    ));
}

/// Returns the values of all notifications.
fn values(path: &Path) -> Vec<i64> {
    if path.extension().unwrap() == "csv" {
        let content = fs::read_to_string(path).unwrap();
        // The last row may be half written when it is read.
        let whole = &content[..=content.rfind('\n').unwrap()];
        return column(&rows(whole), "notification", 5)
            .iter()
            .map(|value| value.parse().unwrap())
            .collect();
    }
    let database = Connection::open(path).unwrap();
    let mut query = database
        .prepare("SELECT value FROM recording WHERE event = 'notification' ORDER BY id")
        .unwrap();
    let values = query.query_map([], |row| row.get(0)).unwrap();
    values.map(Result::unwrap).collect()
}

#[test]
fn files_are_rotated_by_size_and_by_day() {
    let manager = start();
    let mut meter = meter(&manager);
    for (file, size) in [("lab.csv", "8KiB"), ("lab.sqlite", "32KiB")] {
        let part = |number: usize| {
            let (stem, extension) = file.split_once('.').unwrap();
            manager.home().path(&format!("{stem}.{number:04}.{extension}"))
        };
        let arguments = ["record", file, "--rotate", size, "--watch", "Meter"];
        let recorder = linked(&manager, &arguments, &["Meter"]);
        let text = format!("[\"{}\"]", "x".repeat(2_000));
        let deadline = Instant::now() + DEADLINE;
        let mut sent = 0;
        while !part(3).exists() {
            notify(&mut meter, "Meter", &text, "{}");
            sent += 1;
            // The pace of the meter; the deadline ends the loop.
            std::thread::sleep(Duration::from_millis(20));
            assert!(Instant::now() < deadline, "there is no third file");
        }
        assert_eq!(interrupted(recorder).0, Some(0));
        assert!(!manager.home().path(file).exists());
        // The last file is continued.
        let recorder = linked(&manager, &arguments, &["Meter"]);
        assert_eq!(interrupted(recorder).0, Some(1), "without a value");
        let parts: Vec<_> = (1..100).map(part).take_while(|path| path.exists()).collect();
        let count: usize = parts.iter().map(texts).sum();
        assert_eq!(count, sent, "{file}");
    }
    let recorder = linked(
        &manager,
        &["record", "day.csv", "--rotate", "day", "--watch", "Meter"],
        &["Meter"],
    );
    assert_eq!(interrupted(recorder).0, Some(1), "without a value");
    let names = fs::read_dir(manager.home().path(".")).unwrap();
    let names: Vec<_> = names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let day: Vec<_> = names.iter().filter(|name| name.starts_with("day.2")).collect();
    assert!(
        day.len() == 1 && day[0].len() == "day.2026-11-28.csv".len(),
        "{names:?}"
    );
}

/// Returns the number of notifications in a file.
fn texts(path: &PathBuf) -> usize {
    if path.extension().unwrap() == "csv" {
        return fs::read_to_string(path)
            .unwrap()
            .matches(",notification,")
            .count();
    }
    let count = "SELECT count(*) FROM recording WHERE event = 'notification'";
    let database = Connection::open(path).unwrap();
    database
        .query_row(count, [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap()
}

#[test]
fn nothing_else_is_overwritten() {
    let manager = start();
    let home = manager.home();
    fs::write(home.path("other.csv"), "time,celsius\n1,20\n").unwrap();
    fs::write(home.path("text.sqlite3"), "precious ".repeat(100)).unwrap();
    Connection::open(home.path("other.sqlite3"))
        .unwrap()
        .execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)")
        .unwrap();
    fs::create_dir(home.path("folder.csv")).unwrap();
    for (file, text) in [
        ("other.csv", "something else than a recording"),
        ("text.sqlite3", "something else than an SQLite database"),
        ("other.sqlite3", "a database of another program"),
        ("folder.csv", "cannot record in folder.csv"),
        ("missing/lab.csv", "cannot record in missing/lab.csv"),
    ] {
        let before = fs::read(home.path(file)).ok();
        let done = labwire(&manager, &["record", file, "--watch", "Meter"]);
        assert_eq!(done.code, Some(1), "{file}: {done:?}");
        assert!(done.errors.contains(text), "{file}: {done:?}");
        assert_eq!(fs::read(home.path(file)).ok(), before, "{file}");
    }
}

#[test]
fn a_file_has_one_recording_at_a_time() {
    let manager = start();
    for file in ["lab.csv", "lab.sqlite3"] {
        let arguments = ["record", file, "--watch", "Meter"];
        let recorder = || {
            let recorder = Process::spawn("labwire", &mut command(&manager, &arguments));
            wait(&recorder, "waiting for 'Meter'");
            recorder
        };
        let first = recorder();
        let second = labwire(&manager, &arguments);
        assert_eq!(second.code, Some(1), "{second:?}");
        assert!(
            second.errors.contains("another recording writes to it"),
            "{second:?}"
        );
        // One that is killed is in nobody's way.
        first.signal(Signal::KILL);
        drop(first);
        let next = recorder();
        assert_eq!(interrupted(next).0, Some(1), "without a value");
        let left = manager.home().path(&format!("{file}-recording"));
        assert!(!left.exists(), "{file}");
    }
}

#[test]
fn a_slow_service_is_not_called_again_before_it_replies() {
    let manager = start();
    let mut meter = meter(&manager);
    let path = manager.home().path("lab.csv");
    let poll = "Meter.read() every 50ms timeout 300ms";
    let recorder = linked(&manager, &["record", "lab.csv", "--poll", poll], &["Meter"]);
    let request = meter.read_json();
    wait_for_text(&path, ",error,Meter,read(),,,");
    wait(&recorder, "no reply within 0.3 s");
    assert!(
        meter.read_for(Duration::from_millis(300)).is_empty(),
        "it is still busy"
    );
    answer(&mut meter, &request, r#"{"volt": 1.5, "ampere": 2}"#);
    let request = meter.read_json();
    answer(&mut meter, &request, "[1]");
    wait_for_text(&path, ",result,Meter,read(),,[1],");
    wait(&recorder, "Meter.read() works again");
    assert_eq!(interrupted(recorder).0, Some(0));
    let content = fs::read_to_string(&path).unwrap();
    let rows = rows(&content);
    assert_eq!(column(&rows, "result", 4)[..2], ["volt", "ampere"], "{content}");
    assert!(
        column(&rows, "result", 6)[0].parse::<f64>().unwrap() > 0.5,
        "{content}"
    );
    let lost: u64 = column(&rows, "lost", 5)[0].parse().unwrap();
    assert!(lost >= 8, "{content}");
}

#[test]
fn calls_keep_their_schedule() {
    let manager = start();
    let mut meter = meter(&manager);
    let path = manager.home().path("lab.csv");
    let arguments = [
        "record",
        "lab.csv",
        "--poll",
        "Meter.read every 200ms",
        "--for",
        "3",
        "--quiet",
        "--json",
    ];
    let mut recorder = Process::spawn("labwire", &mut command(&manager, &arguments));
    let begun = Instant::now();
    for _ in 0..8 {
        let request = meter.read_json();
        // The next call is due 100 ms later.
        std::thread::sleep(Duration::from_millis(100));
        answer(&mut meter, &request, "1");
    }
    assert_eq!(recorder.wait().code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(2_900));
    let summary = json_lines(&recorder.everything_printed());
    assert_eq!(
        (&summary[0]["file"], &summary[0]["continued"]),
        (&json!("lab.csv"), &json!(false))
    );
    let content = fs::read_to_string(&path).unwrap();
    let rows = rows(&content);
    let times: Vec<_> = column(&rows, "result", 0)
        .into_iter()
        .map(|time| time[17..26].parse::<f64>().unwrap())
        .collect();
    assert_eq!(times.len(), 8, "{content}");
    assert_eq!(summary[0]["rows"], rows.len());
    // What a call takes does not add up.
    let lost: u32 = column(&rows, "lost", 5)
        .iter()
        .map(|count| count.parse::<u32>().unwrap())
        .sum();
    let took = (times[7] - times[0]).rem_euclid(60.0);
    let expected = 0.2 * f64::from(7 + lost);
    assert!(
        (took - expected).abs() < 0.15,
        "{took} s, not {expected} s\n{content}"
    );
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
