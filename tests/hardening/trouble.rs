//! Failures of the system: a database that is locked, read-only, full or damaged, and a log that
//! cannot be written. Routing continues, a change that cannot be saved is an error for its sender,
//! all failures are counted, and no peer is admitted that would otherwise be refused.

use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::support::{
    ADMINISTRATOR, Administrator, Bystander, PASSWORD, Peer, expect_no_panic, home_with_administrator, start,
};
use crate::support::manager::{Home, Manager};
use crate::support::process::{Process, Signal, bound_by_modes, through};
use crate::support::wire::request;

/// The database in the home folder.
const DATABASE: &str = "manager.sqlite3";

/// How long a change waits for another program's lock: 5 seconds, and the tolerance on busy cores.
const BOUND: Duration = Duration::from_secs(15);

fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

fn insert(administrator: &mut Administrator, hostname: &str) -> Value {
    administrator.ask("hostnames_table.insert", json!([hostname]))
}

/// Expects the error of a database failure, and returns its text.
fn trouble(frame: &Value) -> String {
    let message = frame["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("OperationalError: "), "{frame}");
    message.to_owned()
}

/// Expects that a new service and a new client can connect, and that requests are routed between
/// them.
fn expect_routing(manager: &Manager, service: &str) {
    let mut peer = Peer::service(manager, service, 0);
    let mut client = Peer::client(manager, "Ada");
    client.send_line(request(service, "weigh").to_string());
    let asked = peer.frame();
    peer.send_line(json!({"requester": asked["requester"], "result": 5, "uid": asked["uid"]}).to_string());
    assert_eq!(client.frame()["result"], 5);
}

/// Each peer that requests a change gets an error after the same few seconds, however many peers
/// there are.
#[test]
fn a_database_that_another_program_locks_stops_changes_and_nothing_else() {
    let manager = start();
    let mut administrators: Vec<_> = (0..6).map(|_| Administrator::new(&manager)).collect();
    let bystander = Bystander::start(&manager);
    let other = lock(&manager.home().path(DATABASE));
    let asked = Instant::now();
    std::thread::scope(|scope| {
        for administrator in &mut administrators {
            scope.spawn(|| {
                let refused = insert(administrator, "never");
                assert_eq!(trouble(&refused), "OperationalError: database is locked");
            });
        }
        scope.spawn(|| expect_routing(&manager, "Balance"));
    });
    let waited = asked.elapsed();
    assert!(waited < BOUND, "the answers took {waited:?}");
    let waited = bystander.stop();
    assert!(
        waited < Duration::from_secs(3),
        "a bystander waited for {waited:?}"
    );

    let administrator = &mut administrators[0];
    assert!(administrator.counter("database_failures") >= 6);
    administrator.wait_for_counter("audit_failures", 1);
    manager.wait_for_log("the audit of connections cannot be written, trying again");
    drop(other);
    let saved = insert(administrator, "balance-7");
    assert_eq!(saved["error"], false, "{saved}");
    let hostnames = administrator.ask("hostnames_table.hostnames", json!([]))["result"].to_string();
    assert!(
        hostnames.contains("balance-7") && !hostnames.contains("never"),
        "{hostnames}"
    );
    expect_no_panic(&manager);
}

/// No peer is admitted while the database cannot be read.
#[test]
fn nobody_logs_in_while_the_database_is_locked() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    let other = lock(&manager.home().path(DATABASE));
    let mut peer = Peer::connect(&manager);
    peer.log_in(ADMINISTRATOR, PASSWORD);
    assert_eq!(peer.expect_rejection(), "OperationalError: database is locked");
    manager.wait_for_log("cannot check a login");
    drop(other);
    let mut administrator = Administrator::with_login(&manager);
    assert_eq!(administrator.counter("database_failures"), 1);
    expect_no_panic(&manager);
}

/// The database cannot grow, as on a full disk: saved data stay, and further changes fail.
#[test]
fn a_database_that_cannot_grow_stops_changes_and_nothing_else() {
    let home = home_with_administrator();
    let blocks = fs::metadata(home.path(DATABASE)).unwrap().len() / 512;
    let options = ["start", "--port", "0", "--disable-tls", "--log-file", "/dev/null"];
    let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut limited = through("sh", &["-c", &script], &home.command(&options));
    let manager = Manager::start_command(home, &mut limited);
    let mut administrator = Administrator::new(&manager);
    let name = |number: u32| format!("{number}{}", "x".repeat(5_000));
    let mut saved = 0;
    let refused = loop {
        let frame = insert(&mut administrator, &name(saved));
        if frame["error"] == true {
            break frame;
        }
        saved += 1;
        assert!(saved < 100, "the database grows");
    };
    trouble(&refused);
    expect_routing(&manager, "Balance");
    assert!(administrator.counter("database_failures") >= 1);
    let hostnames = administrator.ask("hostnames_table.hostnames", json!([]))["result"].to_string();
    for number in 0..=saved {
        assert_eq!(hostnames.contains(&name(number)), number < saved);
    }
    expect_no_panic(&manager);
    drop(administrator);
    let home = manager.end();
    let database = Connection::open(home.path(DATABASE)).unwrap();
    let sound: String = database
        .query_row("PRAGMA quick_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_database_that_may_not_be_written_stops_changes_and_nothing_else() {
    let home = home_with_administrator();
    fs::set_permissions(home.path(DATABASE), Permissions::from_mode(0o400)).unwrap();
    let options = ["start", "--port", "0", "--disable-tls"];
    let Some(mut command) = bound_by_modes(home.command(&options)) else {
        return;
    };
    let manager = Manager::start_command(home, &mut command);
    let mut administrator = Administrator::new(&manager);
    let refused = insert(&mut administrator, "never");
    assert_eq!(
        trouble(&refused),
        "OperationalError: attempt to write a readonly database"
    );
    expect_routing(&manager, "Balance");
    administrator.wait_for_counter("audit_failures", 1);
    assert_eq!(administrator.counter("database_failures"), 1);
    expect_no_panic(&manager);
}

/// Overwrites all but the first page, and increases the change counter in the header.
fn damage(path: &Path) {
    const PAGE: usize = 4_096;
    const CHANGE_COUNTER: u64 = 27;
    let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(CHANGE_COUNTER)).unwrap();
    file.write_all(&[0xee]).unwrap();
    file.seek(SeekFrom::Start(PAGE as u64)).unwrap();
    file.write_all(&vec![0xa5; length - PAGE]).unwrap();
}

#[test]
fn a_database_that_is_damaged_meanwhile_stops_changes_and_logins_and_nothing_else() {
    let manager = start();
    let mut administrator = Administrator::new(&manager);
    damage(&manager.home().path(DATABASE));
    let refused = insert(&mut administrator, "never");
    assert_eq!(
        trouble(&refused),
        "OperationalError: database disk image is malformed"
    );
    expect_routing(&manager, "Balance");
    administrator.wait_for_counter("audit_failures", 1);
    assert_eq!(administrator.counter("database_failures"), 1);
    expect_no_panic(&manager);

    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-login"]);
    damage(&manager.home().path(DATABASE));
    let mut peer = Peer::connect(&manager);
    peer.log_in(ADMINISTRATOR, PASSWORD);
    assert_eq!(
        peer.expect_rejection(),
        "OperationalError: database disk image is malformed"
    );
    expect_no_panic(&manager);
}

/// If the hostnames cannot be read again, the manager keeps the old ones.
#[test]
fn a_reload_from_a_damaged_database_trusts_nobody_else() {
    let manager = Manager::start_in(home_with_administrator(), &["--disable-tls", "--auth-hostname"]);
    damage(&manager.home().path(DATABASE));
    manager.signal(Signal::HUP);
    manager.wait_for_log("cannot read the trusted hostnames, the old ones stay");
    expect_routing(&manager, "Balance");
    expect_no_panic(&manager);
}

#[test]
fn a_log_that_cannot_be_written_loses_lines_and_nothing_else() {
    let options = ["--disable-tls", "--log-file", "/dev/full"];
    let manager = Manager::start_in(home_with_administrator(), &options);
    manager.wait_for_log(
        "the log file /dev/full cannot be written, its lines are lost: No space left on device",
    );
    expect_routing(&manager, "Balance");
    let mut administrator = Administrator::new(&manager);
    administrator.wait_for_counter("log_lines_lost", 5);
    assert_eq!(administrator.counter("log_failures"), 1);
    expect_no_panic(&manager);
}

/// Expects that a manager does not start, and prints these texts.
fn expect_no_start(mut command: Command, texts: &[&str]) {
    let mut process = Process::spawn("labwire", &mut command);
    let status = process.wait();
    let printed = process.everything_printed();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(!printed.contains("Network Manager running"), "{printed}");
    for text in texts {
        assert!(printed.contains(text), "{text:?} is not said: {printed}");
    }
}

fn starting(home: &Home, options: &[&str]) -> Command {
    home.command(&[&["start", "--port", "0", "--disable-tls"], options].concat())
}

#[test]
fn no_manager_starts_with_weaker_authentication_because_its_database_cannot_be_read() {
    for option in ["--auth-login", "--auth-hostname"] {
        let home = home_with_administrator();
        damage(&home.path(DATABASE));
        expect_no_start(starting(&home, &[option]), &["manager.sqlite3", "malformed"]);
        fs::write(home.path(DATABASE), [7; 8_192]).unwrap();
        expect_no_start(
            starting(&home, &[option]),
            &["manager.sqlite3", "file is not a database"],
        );

        let home = home_with_administrator();
        let other = lock(&home.path(DATABASE));
        expect_no_start(
            starting(&home, &[option]),
            &["manager.sqlite3", "database is locked"],
        );
        drop(other);
        fs::set_permissions(home.path(DATABASE), Permissions::from_mode(0o000)).unwrap();
        let Some(command) = bound_by_modes(starting(&home, &[option])) else {
            continue;
        };
        expect_no_start(command, &["manager.sqlite3", "unable to open database file"]);
    }
    let home = home_with_administrator();
    fs::write(home.path(DATABASE), b"").unwrap();
    expect_no_start(starting(&home, &["--auth-login"]), &["no one could log in"]);
}

#[test]
fn no_manager_starts_with_weaker_authentication_because_its_password_cannot_be_read() {
    let home = Home::new();
    let folder = home.path("secrets");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("password"), "open sesame\n").unwrap();
    let with_password = || starting(&home, &["--auth-password", "secrets/password"]);

    fs::write(home.path("empty"), "\n").unwrap();
    expect_no_start(
        starting(&home, &["--auth-password", "empty"]),
        &["the password is empty"],
    );

    fs::set_permissions(folder.join("password"), Permissions::from_mode(0o000)).unwrap();
    let Some(command) = bound_by_modes(with_password()) else {
        return;
    };
    let unreadable = ["--auth-password", "secrets/password", "Permission denied"];
    expect_no_start(command, &unreadable);

    // It is unknown whether the file exists, so its path must not become the password.
    fs::set_permissions(&folder, Permissions::from_mode(0o600)).unwrap();
    let command = bound_by_modes(with_password()).expect("it was there a moment ago");
    expect_no_start(command, &unreadable);
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}
