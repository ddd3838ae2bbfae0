//! The log file obeys its maximum size, and other programs can move it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::support::DEADLINE;
use super::support::manager::{Home, Manager};
use super::support::process::Signal;
use super::support::wire::{RawPeer, identity_request};
use crate::support::waiting::wait_until;

/// Waits until the file contains the text: lines are written a moment after their event.
fn wait_for_line(file: &Path, text: &str) {
    wait_until(&format!("{text:?} is not in {}", file.display()), || {
        fs::read_to_string(file).is_ok_and(|log| log.contains(text))
    });
}

#[test]
fn a_reload_makes_a_log_file_anew_that_was_moved_away() {
    let home = Home::new();
    let manager = Manager::start_in(home, &["--disable-tls", "--log-file", "rotated/a.log"]);
    let mut client = RawPeer::client(&manager, "Ada");
    client.request(&identity_request());
    let (current, moved) = (
        manager.home().path("rotated/a.log"),
        manager.home().path("rotated/a.log.1"),
    );
    wait_for_line(&current, "Ada[");
    fs::rename(&current, &moved).unwrap();
    manager.signal(Signal::HUP);
    manager.wait_for_log("opened the log file anew");
    RawPeer::client(&manager, "Bob").request(&identity_request());
    // The connection from before the reload is still served.
    client.request(&identity_request());
    let _home = manager.end();
    let (old, new) = (
        fs::read_to_string(&moved).unwrap(),
        fs::read_to_string(&current).unwrap(),
    );
    assert!(old.contains("Ada[") && !old.contains("Bob["), "{old}");
    assert!(new.contains("Bob[") && new.contains("has stopped"), "{new}");
}

#[test]
fn a_full_log_file_is_moved_aside_and_the_oldest_goes() {
    const LIMIT: u64 = 64 * 1024;
    let options = [
        "--disable-tls",
        "--log-file",
        "logs/a.log",
        "--log-max-size",
        "64KiB",
        "--log-old-files",
        "2",
    ];
    let manager = Manager::start_in(Home::new(), &options);
    // The newest last.
    let files = ["logs/a.log.2", "logs/a.log.1", "logs/a.log"];
    let [oldest, old, _] = files.map(|name| manager.home().path(name));
    let deadline = Instant::now() + DEADLINE;
    let mut clients = 0;
    let mut connect_until = |is_enough: &dyn Fn() -> bool| {
        while !is_enough() {
            assert!(Instant::now() < deadline, "the log is not moved aside");
            // Two lines, with names of maximum length.
            RawPeer::client(&manager, &format!("{clients:0250}")).request(&identity_request());
            clients += 1;
        }
    };
    connect_until(&|| old.exists());
    let first = fs::read_to_string(&old).unwrap();
    assert!(first.contains("Network Manager running on "), "{first}");
    // The lines of the manager's start are removed with the oldest file.
    let holds_start =
        |file: &Path| fs::read_to_string(file).is_ok_and(|log| log.contains("Network Manager running on "));
    connect_until(&|| holds_start(&oldest));
    connect_until(&|| oldest.exists() && !holds_start(&oldest));

    let home = manager.end();
    assert!(!home.path("logs/a.log.3").exists());
    let mut all = String::new();
    for name in files {
        let file = home.path(name);
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        let size = metadata.len();
        assert!(size <= LIMIT, "{name} has {size} bytes");
        assert!(
            name == "logs/a.log" || size > LIMIT - 1_024,
            "{name} has only {size} bytes"
        );
        all += &fs::read_to_string(file).unwrap();
    }
    // No line is lost between two files.
    let newcomers = all
        .lines()
        .filter(|line| line.ends_with("is a new Client connection"));
    let numbers = newcomers.filter_map(|line| {
        let (_, name) = line.split_once("labwire - ")?;
        name.split_once('[')?.0.parse::<usize>().ok()
    });
    let numbers: Vec<_> = numbers.collect();
    let is_complete = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    assert!(
        is_complete && numbers.last() == Some(&(clients - 1)),
        "{clients} clients: {numbers:?}"
    );
    assert!(numbers.len() > 100, "{numbers:?}");
}

#[test]
fn delete_removes_the_old_log_files_too_and_nothing_else() {
    let home = Home::new();
    fs::create_dir(home.path("logs")).unwrap();
    let (logs, others) = (
        ["a.log", "a.log.1", "a.log.12"],
        ["a.log.old", "notes.1", "a.log.", "a.log.1.txt"],
    );
    for name in logs.iter().chain(&others) {
        fs::write(home.path("logs").join(name), "2026-11-20 ").unwrap();
    }
    home.prepare(&["delete", "--logs", "--yes"]);
    for name in logs {
        assert!(!home.path("logs").join(name).exists(), "{name}");
    }
    for name in others {
        assert!(home.path("logs").join(name).exists(), "{name}");
    }
}

#[test]
fn a_start_leaves_a_file_that_is_no_log() {
    let home = Home::new();
    for contents in [
        "-----BEGIN PRIVATE KEY-----\n",
        "port = 8326\n",
        "{\"users\": []}\n",
        "20 samples\n",
        "n",
    ] {
        fs::write(home.path("file.txt"), contents).unwrap();
        let refused = Manager::start_expecting_failure(&home, &["--log-file", "file.txt"]);
        for text in ["file.txt", "is no log", "--log-file"] {
            assert!(refused.printed.contains(text), "{text}: {}", refused.printed);
        }
        let check = home.labwire(&["start", "--check", "--port", "0", "--log-file", "file.txt"]);
        let said = String::from_utf8(check.stdout).unwrap();
        assert!(
            said.contains("file.txt is no log") && !check.status.success(),
            "{said}"
        );
        assert_eq!(fs::read_to_string(home.path("file.txt")).unwrap(), contents);
        // No other file was created before the error.
        assert!(!home.path("manager.sqlite3").exists());
    }
}

#[test]
fn a_start_goes_on_with_a_log_of_any_form_also_one_that_was_cut_short() {
    let mut home = Home::new();
    for contents in [
        "",
        "2026-11-20 13:05:09,123 [INFO ] msl.network - loaded certificate\n",
        "{\"timestamp\":\"2026-11-20T13:05:09.123+00:00\",\"level\":\"INFO\"}\n",
        "2026-1",
        // The contents of a file whose first lines were lost in a power failure.
        "\0\0\0\0\0\0\0\0",
    ] {
        fs::write(home.path("a.log"), contents).unwrap();
        home = Manager::start_in(home, &["--disable-tls", "--log-file", "a.log"]).end();
        let log = fs::read_to_string(home.path("a.log")).unwrap();
        assert!(
            log.starts_with(contents) && log.contains("Network Manager running on "),
            "{log}"
        );
    }
}
