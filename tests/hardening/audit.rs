//! The audit of connections: it is pruned, it never delays peers, and lost rows are counted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use super::support::{
    Administrator, Bystander, Peer, control_failed_as_expected, expect_no_panic, home_with_administrator,
    start, start_reference,
};
use crate::support::manager::{Home, Manager};
use crate::support::{DEADLINE, POLL_INTERVAL};

/// Maximum latency of a bystander while a dozen other tests run on two cores.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

fn database(home: &Home) -> PathBuf {
    home.path("manager.sqlite3")
}

/// Returns the number of rows of the audit that meet the condition.
fn rows(audit: &Connection, condition: &str) -> i64 {
    let question = format!("SELECT count(*) FROM connections WHERE {condition}");
    audit.query_row(&question, [], |row| row.get(0)).unwrap()
}

fn wait_for_rows(audit: &Connection, condition: &str, wanted: impl Fn(i64) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !wanted(rows(audit, condition)) {
        let count = rows(audit, condition);
        assert!(Instant::now() < deadline, "{count} rows with {condition}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn lock(home: &Home) -> Connection {
    let other = Connection::open(database(home)).unwrap();
    other.busy_timeout(DEADLINE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

/// A hundred connections come and go, one after the other: the audit never contains more than the
/// newest fifty rows.
#[test]
fn the_audit_keeps_as_many_rows_as_it_may() {
    let manager = Manager::start(&["--disable-tls", "--connections-max-rows", "50"]);
    let audit = Connection::open(database(manager.home())).unwrap();
    for number in 0..100 {
        Peer::client(&manager, &format!("client {number}")).settle();
    }
    // Each of them has three rows, and their numbers continue when rows are removed.
    wait_for_rows(&audit, "pid = 300", |count| count == 1);
    assert_eq!(rows(&audit, "true"), 50);
}

/// Rows of several years exist when the manager starts: it removes them little by little, and keeps
/// the others.
#[test]
fn an_old_audit_is_pruned_while_everyone_is_served() {
    const OLD: i64 = 20_000;
    let home = home_with_administrator();
    let audit = Connection::open(database(&home)).unwrap();
    let fill = format!(
        "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT {OLD})
            INSERT INTO connections SELECT NULL, '2020-01-01T00:00:00', 'ip', 'old', 1, 'x' FROM numbers"
    );
    audit.execute_batch(&fill).unwrap();
    assert_eq!(rows(&audit, "domain = 'old'"), OLD);
    // The newest row shows that the clock is right.
    let newest = "INSERT INTO connections \
        VALUES (NULL, strftime('%Y-%m-%dT%H:%M:%S', 'now', 'localtime'), 'ip', 'new', 1, 'x')";
    audit.execute_batch(newest).unwrap();
    audit.busy_timeout(DEADLINE).unwrap();
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let bystander = Bystander::start(&manager);
    wait_for_rows(&audit, "domain = 'old'", |count| count == 0);
    assert_eq!(rows(&audit, "domain = 'new'"), 1);
    manager.wait_for_log(&format!("removed {OLD} records of connections: older than "));
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    wait_for_rows(&audit, "message = 'connected as a client'", |count| count > 0);
    expect_no_panic(&manager);
}

/// Thousands connect and disconnect while another program has the database locked: rows that exceed
/// the queue are lost and counted, and no peer waits.
#[test]
fn an_audit_that_cannot_be_written_is_lost_and_counted() {
    // Each of them has three rows.
    const CONNECTIONS: usize = 4_400;
    let manager = start();
    let mut administrator = Administrator::new(&manager);
    let other = lock(manager.home());
    let bystander = Bystander::start(&manager);
    for number in 0..CONNECTIONS {
        let mut peer = Peer::connect(&manager);
        peer.identify(&json!({ "type": "client", "name": format!("client {number}") }));
    }
    administrator.wait_for_counter("audit_dropped", 1);
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    drop(other);
    let audit = Connection::open(database(manager.home())).unwrap();
    wait_for_rows(&audit, "true", |count| count > 1_000);
    expect_no_panic(&manager);
}

#[test]
fn the_reference_stands_still_while_its_database_is_locked() {
    let manager = start_reference();
    let mut observer = Peer::client(&manager, "observer");
    let other = lock(manager.home());
    let _newcomer = Peer::connect(&manager);
    let deadline = Instant::now() + DEADLINE;
    let stood_still = loop {
        assert!(Instant::now() < deadline, "nobody waits");
        observer.send_line(crate::support::wire::identity_request().to_string());
        if observer.line_until(Instant::now() + LONGEST_WAIT).is_err() {
            break true;
        }
    };
    drop(other);
    assert!(stood_still && observer.line().is_some());
    control_failed_as_expected("one connection while the database was locked kept everybody waiting");
}
