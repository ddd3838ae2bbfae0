//! Both formats of a recording, its rotation, and that nothing is lost or overwritten.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::*;

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
    // It can be read while it is written.
    wait_until("the rows never came", || {
        count("SELECT count(*) FROM readings") == Ok(7)
    });
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
    wait_until("the rows never came", || {
        count("SELECT count(*) FROM readings") == Ok(9)
    });
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
        wait_until("it is not continued", || values(&path).last() == Some(&-1));
        assert_eq!(values(&path).len(), kept.len() + 1);
        assert_eq!(interrupted(recorder).0, Some(0));
    }
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
