//! Named pipes instead of files: a pipe without its other end is an error, and does not block a
//! start.

use std::fs;
use std::process::Command;
use std::thread;

use super::{Ran, command, run, start, takes_password};
use crate::support::manager::Home;
use crate::support::process::Process;

fn make_pipe(home: &Home, name: &str) {
    let made = Command::new("mkfifo").arg(home.path(name)).status().unwrap();
    assert!(made.success());
}

/// Runs a line that must end by itself.
fn ended(home: &Home, line: &str) -> Ran {
    let mut command = command(home, line);
    let mut process = Process::spawn("labwire", command.env("LABWIRE_PORT", "0"));
    let code = process.wait().code().expect("no signal ends it");
    Ran {
        code,
        output: String::new(),
        error: process.everything_printed(),
    }
}

#[test]
fn a_pipe_without_its_other_end_is_an_error_that_names_it() {
    let home = Home::new();
    for name in [
        "log",
        "password",
        "key",
        "certificate",
        "configuration",
        "database",
        "out",
    ] {
        make_pipe(&home, name);
    }
    run(&home, "labwire keygen ecc --out k.pem").succeeded();
    run(&home, "labwire certgen c.pem --key-file k.pem").succeeded();
    // A command waits for input that may come later; all lines run at the same time.
    thread::scope(|scope| {
        for (line, code, texts) in [
            (
                "labwire start --disable-tls --log-file log",
                1,
                ["that nobody reads", "--log-file"],
            ),
            (
                "labwire start --disable-tls -P password",
                1,
                ["the file password", "nobody writes"],
            ),
            ("labwire start -c c.pem -k key", 1, ["'key'", "nobody writes"]),
            (
                "labwire start -c certificate -k k.pem",
                1,
                ["'certificate'", "nobody writes"],
            ),
            (
                "labwire start --config configuration",
                1,
                ["configuration", "LABWIRE_CONFIG"],
            ),
            (
                "labwire start --disable-tls -d database",
                1,
                ["database is not a file", "--database"],
            ),
            (
                "labwire user list -d database",
                1,
                ["database is not a file", "--database"],
            ),
            (
                "labwire certgen out --key-file k.pem",
                1,
                ["'out'", "that nobody reads"],
            ),
        ] {
            let home = &home;
            scope.spawn(move || ended(home, line).failed(code, &texts));
        }
    });
    let check = run(&home, "labwire start --check --port 0 --disable-tls -l log");
    assert!(
        check.output.contains("doubtful  log            log is a pipe"),
        "{check:?}"
    );
    let check = run(&home, "labwire start --check --port 0 --disable-tls -d database");
    assert!(check.output.contains("database is not a file"), "{check:?}");
}

#[test]
fn a_pipe_with_its_other_end_serves_as_a_file() {
    let home = Home::new();
    for name in ["log", "password"] {
        make_pipe(&home, name);
    }
    let log = home.path("log");
    let reading = thread::spawn(move || fs::read_to_string(log).unwrap());
    let password = home.path("password");
    let writing = thread::spawn(move || fs::write(password, "of a pipe\n").unwrap());
    // A start is refused until the reader has opened its end.
    let hold = Process::spawn(
        "a writer",
        Command::new("bash").args(["-c", "exec 3>\"$0\"; echo open; read", &home.argument("log")]),
    );
    hold.wait_for("that the pipe is read", |line| (line == "open").then_some(()));
    let manager = start(home, "labwire start --disable-tls --log-file log -P password");
    assert!(takes_password(&manager, "of a pipe"));
    let _home = manager.end();
    drop(hold);
    writing.join().unwrap();
    let logged = reading.join().unwrap();
    assert!(
        logged.contains("Network Manager running on ") && logged.contains("has stopped"),
        "{logged}"
    );
}

#[test]
fn a_log_file_that_became_a_pipe_is_not_taken_up_by_a_reload() {
    let manager = start(Home::new(), "labwire start --disable-tls --log-file a.log");
    fs::remove_file(manager.home().path("a.log")).unwrap();
    make_pipe(manager.home(), "a.log");
    manager.signal(crate::support::process::Signal::HUP);
    let line = manager.wait_for_log("cannot open the log file anew, the old one is kept");
    assert!(line.contains("that nobody reads"), "{line}");
}
