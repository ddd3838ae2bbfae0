//! Managers on computers with a wrong clock.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::support::clock::begin_at;
use super::support::manager::{HOST, Home, Manager};
use super::support::process::Process;
use super::support::wire::{RawPeer, identity_request};
use super::support::{DEADLINE, POLL_INTERVAL};

/// Starts a manager whose clock shows this time.
fn start_at(home: Home, time: &str, options: &[&str]) -> Manager {
    let mut command = home.command(&["start", "--port", "0"]);
    begin_at(command.args(options), time);
    Manager::start_command(home, &mut command)
}

/// Sends an `identity` request over TLS, and expects the answer.
fn expect_served_over_tls(manager: &Manager) {
    let mut openssl = Command::new("openssl");
    let address = format!("{HOST}:{}", manager.port());
    let mut terminal = Process::spawn(
        "openssl",
        openssl.args(["s_client", "-quiet", "-connect", &address]),
    );
    terminal.type_line("client Ada");
    terminal.type_line("identity");
    terminal.wait_for("the identity", |line| line.contains("\"services\"").then_some(()));
}

fn expect_no_panic(manager: &Manager) {
    assert!(!manager.log().contains("panicked"), "{}", manager.log());
}

#[test]
fn a_first_start_by_a_clock_that_is_not_set_works_and_its_certificate_is_good_today() {
    let manager = start_at(
        Home::new(),
        "1970-01-01 00:00:02",
        &["--auth-password", "x", "-P", "x"],
    );
    assert!(manager.log().contains("created the self-signed certificate"));
    expect_no_panic(&manager);
    let home = manager.end();

    let manager = start_at(home, "1970-01-01 00:01:00", &[]);
    expect_served_over_tls(&manager);
    expect_no_panic(&manager);
    let home = manager.end();

    let check = home.labwire(&["start", "--check", "--port", "0"]);
    let found = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "{found}");
    assert!(
        found.contains("fits its key and is valid until 2070-01-01"),
        "{found}"
    );
    let manager = Manager::start_in(home, &[]);
    expect_served_over_tls(&manager);
    manager.wait_for_log("Network Manager running on ");
    assert!(
        !manager.log().contains("the certificate is not valid"),
        "{}",
        manager.log()
    );
}

#[test]
fn commands_work_by_a_clock_that_is_not_set() {
    let home = Home::new();
    for line in [
        &["keygen", "ecc"][..],
        &["certgen", "--show"],
        &["certgen", "short.crt", "--years-valid", "0.001"],
        &["user", "add", "ada", "--compatible", "--password", "x"],
        &["hostname", "add", "bench"],
        &["start", "--check", "--port", "0", "--auth-login"],
    ] {
        let mut command = home.command(line);
        begin_at(&mut command, "1970-01-01 00:00:00");
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{line:?}: {output:?}");
    }
}

#[test]
fn no_year_keeps_a_manager_from_starting_or_serving() {
    for time in [
        "2000-02-29 23:59:59",
        "2038-01-19 03:14:05",
        "2106-02-07 06:28:13",
        "9990-12-31 23:59:30",
    ] {
        let manager = start_at(Home::new(), time, &[]);
        expect_served_over_tls(&manager);
        expect_no_panic(&manager);
    }
    // The last seconds of the year 9999, the last one that the calendar supports. No certificate
    // can be created then.
    let manager = start_at(Home::new(), "9999-12-31 23:59:58", &["--disable-tls"]);
    for number in 0..5 {
        RawPeer::client(&manager, &format!("client {number}")).request(&identity_request());
        std::thread::sleep(Duration::from_secs(1));
    }
    expect_no_panic(&manager);
}

fn database(home: &Home) -> PathBuf {
    home.path("manager.sqlite3")
}

/// Adds an audit row for each of these numbers of days before today.
fn add_rows(home: &Home, days: &[u32]) {
    let audit = Connection::open(database(home)).unwrap();
    audit.busy_timeout(DEADLINE).unwrap();
    for days in days {
        let row = "INSERT INTO connections VALUES (NULL, strftime('%Y-%m-%dT%H:%M:%S', 'now', ?1), 'ip', 'own', 1, 'x')";
        audit.execute(row, [format!("-{days} days")]).unwrap();
    }
}

/// Returns the number of those rows.
fn own_rows(home: &Home) -> i64 {
    let audit = Connection::open(database(home)).unwrap();
    audit.busy_timeout(DEADLINE).unwrap();
    let count = "SELECT count(*) FROM connections WHERE domain = 'own'";
    audit.query_row(count, [], |row| row.get(0)).unwrap()
}

/// Returns the date from which a manager measures the ages of rows, after its first search for old
/// ones.
fn reference(home: &Home) -> String {
    let audit = Connection::open(database(home)).unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = audit.query_row("SELECT reference FROM labwire_pruning", [], |row| row.get(0));
        if let Ok(reference) = found {
            return reference;
        }
        assert!(Instant::now() < deadline, "old rows are never looked for");
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn starts_in_a_year_to_come_remove_no_records_and_say_what_is_wrong() {
    let home = Home::new();
    home.prepare(&["hostname", "add", "bench"]);
    add_rows(&home, &[399, 300, 10, 1, 0]);
    let mut home = Some(home);
    for start in 1..=2 {
        let manager = start_at(home.take().unwrap(), "2031-06-01 12:00:00", &["--disable-tls"]);
        RawPeer::client(&manager, "Ada").request(&identity_request());
        let line = manager.wait_for_log("days ahead of the newest records of connections");
        assert!(
            line.contains("[WARNING]") && line.contains("if it is wrong, set it"),
            "start {start}: {line}"
        );
        assert!(!reference(manager.home()).starts_with("2031"), "start {start}");
        home = Some(manager.end());
        assert_eq!(own_rows(home.as_ref().unwrap()), 5, "start {start}");
    }
    let manager = Manager::start_in(home.take().unwrap(), &["--disable-tls"]);
    RawPeer::client(&manager, "Ada").request(&identity_request());
    // Longer than the time until the first search for old rows.
    let searched = Instant::now() + Duration::from_secs(2);
    while Instant::now() < searched {
        assert_eq!(own_rows(manager.home()), 5);
        std::thread::sleep(POLL_INTERVAL);
    }
    assert!(!manager.log().contains("days ahead"), "{}", manager.log());
}
