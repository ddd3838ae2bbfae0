//! Tests the store as the manager uses it: many callers, one thread, and other programs with the
//! same file.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use labwire_home::local_time_zone;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::*;
use crate::database::tests::{empty_database, python_database};
use crate::login_failure::LoginFailure;
use crate::passwords::{COMPATIBLE_ROUNDS, DEFAULT_ROUNDS};

fn open(path: &Path, upgrade_passwords: bool) -> Store {
    // Without a limit of age: the rows of the fixture are old.
    let options = StoreOptions {
        upgrade_passwords,
        audit_max_age_days: 0,
        ..StoreOptions::default()
    };
    Store::open(path, &options).unwrap()
}

fn python_store(upgrade_passwords: bool) -> (TempDir, PathBuf, Store) {
    let (folder, path) = python_database();
    let store = open(&path, upgrade_passwords);
    (folder, path, store)
}

fn event(message: &str) -> ConnectionEvent {
    ConnectionEvent {
        ip: "192.0.2.1".to_owned(),
        domain: "bench".to_owned(),
        port: 1875,
        message: message.to_owned(),
    }
}

fn count(path: &Path, what: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {what}");
    Connection::open(path)
        .unwrap()
        .query_row(&sql, [], |row| row.get(0))
        .unwrap()
}

fn salt(path: &Path, username: &str) -> Vec<u8> {
    let sql = "SELECT salt FROM auth_users WHERE username = ?";
    Connection::open(path)
        .unwrap()
        .query_row(sql, [username], |row| row.get(0))
        .unwrap()
}

fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

/// Waits until the file contains what the store writes in the background.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_mins(1), looking).await;
    assert!(waited.is_ok(), "it never happens: {what}");
}

#[tokio::test]
async fn a_login_says_who_is_an_administrator_and_nothing_about_who_is_not_let_in() {
    let (_folder, _path, store) = python_store(false);
    let login = store.verify_login("a.smith", "!PaSsWoRd*").await.unwrap();
    assert_eq!(login.map(|login| login.is_admin), Ok(true));
    let login = store.verify_login("j.doe", "a good password").await.unwrap();
    assert_eq!(login.map(|login| login.is_admin), Ok(false));
    for (username, password, failure) in [
        ("j.doe", "wrong", LoginFailure::WrongPassword),
        ("nobody", "a good password", LoginFailure::UnknownUser),
        ("", "", LoginFailure::UnknownUser),
        ("\0", "\0", LoginFailure::UnknownUser),
    ] {
        assert_eq!(
            store.verify_login(username, password).await.unwrap(),
            Err(failure)
        );
    }
    store.close().await;
}

#[tokio::test]
async fn users_are_managed_and_mistakes_named_in_the_order_of_the_reference() {
    let (_folder, path) = empty_database();
    let store = open(&path, false);
    store
        .insert_user("ada", "one", true, COMPATIBLE_ROUNDS)
        .await
        .unwrap();
    store.insert_user("bob", "two", false, 120_000).await.unwrap();
    assert_eq!(store.usernames().await.unwrap(), ["ada", "bob"]);
    assert_eq!(
        store.users().await.unwrap(),
        [("ada".to_owned(), true), ("bob".to_owned(), false)]
    );
    assert!(store.is_admin("ada").await.unwrap());
    assert!(!store.is_admin("eve").await.unwrap());
    assert!(!store.is_user_registered("eve").await.unwrap());
    store
        .update_user("bob", Some("three"), Some(true), COMPATIBLE_ROUNDS)
        .await
        .unwrap();
    let login = store.verify_login("bob", "three").await.unwrap();
    assert_eq!(login.map(|login| login.is_admin), Ok(true));

    let mistakes = [
        store.insert_user("eve:1", "", false, 1).await,
        store.insert_user("eve", "", false, COMPATIBLE_ROUNDS).await,
        store.insert_user("ada", "x", false, COMPATIBLE_ROUNDS).await,
        store.update_user("eve", None, None, 1).await,
        store.update_user("ada", None, None, 1).await,
        store
            .update_user("ada", Some(""), Some(false), COMPATIBLE_ROUNDS)
            .await,
        store.delete_user("eve").await,
    ];
    let expected = [
        "ValueError: A username cannot end with \":<integer>\"",
        "ValueError: You must specify a password for 'eve'",
        "ValueError: A user with the name 'ada' already exists",
        "ValueError: Cannot update 'eve'. This user is not in the table.",
        "ValueError: Must specify either the password and/or the admin rights when updating",
        "ValueError: You must specify a password for 'ada'",
        "ValueError: Cannot delete 'eve'. This user is not in the table.",
    ];
    assert_eq!(mistakes.map(|mistake| mistake.unwrap_err().peer_text()), expected);
    assert!(
        store.is_admin("ada").await.unwrap(),
        "a refused update changes nothing"
    );
    store.delete_user("ada").await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_row_of_few_rounds_stays_as_it_is_unless_an_upgrade_is_asked_for() {
    let (_folder, path, store) = python_store(false);
    let before = salt(&path, "j.doe");
    store
        .verify_login("j.doe", "a good password")
        .await
        .unwrap()
        .unwrap();
    store.close().await;
    assert_eq!(
        (salt(&path, "j.doe"), count(&path, "labwire_password_rounds")),
        (before, 0)
    );
}

#[tokio::test]
async fn an_upgrade_comes_with_a_good_login_and_only_then() {
    let (_folder, path, store) = python_store(true);
    let before = salt(&path, "j.doe");
    let login = store.verify_login("j.doe", "wrong").await.unwrap();
    assert_eq!(login, Err(LoginFailure::WrongPassword));
    assert_eq!(salt(&path, "j.doe"), before);

    store
        .verify_login("j.doe", "a good password")
        .await
        .unwrap()
        .unwrap();
    let upgraded = salt(&path, "j.doe");
    assert_ne!(upgraded, before);
    let records = format!("labwire_password_rounds WHERE rounds = {DEFAULT_ROUNDS}");
    assert_eq!(count(&path, &records), 1);

    store
        .verify_login("j.doe", "a good password")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(salt(&path, "j.doe"), upgraded, "once is enough");
    store.close().await;
}

#[tokio::test]
async fn a_login_is_good_even_if_its_row_cannot_be_upgraded() {
    let (_folder, path, store) = python_store(true);
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TRIGGER no BEFORE UPDATE ON auth_users BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let login = store.verify_login("a.smith", "!PaSsWoRd*").await.unwrap();
    assert_eq!(login.map(|login| login.is_admin), Ok(true));
    store.close().await;
}

#[tokio::test]
async fn closing_writes_every_event_that_was_recorded() {
    let (_folder, path, store) = python_store(false);
    for number in 0..3_000 {
        store.record(event(&format!("event {number}")));
    }
    store.clone().close().await;
    assert_eq!((count(&path, "connections"), store.audit_dropped()), (3_002, 0));
    assert_eq!(count(&path, "connections WHERE message = 'event 2999'"), 1);
}

#[tokio::test]
async fn what_is_recorded_can_be_asked_for() {
    let (_folder, _path, store) = python_store(false);
    store.record(event("connected as a client"));
    let recent = Some("2025-01-01".to_owned());
    let rows = store.connections(recent.clone(), None).await.unwrap();
    for _ in 0..5_000 {
        store.record(event("disconnected"));
    }
    let later = store.connections(recent, None).await.unwrap();
    assert_eq!(
        (rows.len(), later.len()),
        (1, 5_001),
        "each time all that was recorded before"
    );
    assert_eq!((rows[0].0, rows[0].5.as_str()), (3, "connected as a client"));
    let error = store
        .connections(None, Some("tomorrow".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(
        error.peer_text(),
        "ValueError: 'tomorrow' is not a time, write yyyy-mm-dd or yyyy-mm-ddTHH:MM:SS"
    );
    store.close().await;
}

#[tokio::test]
async fn a_database_that_another_program_locks_never_holds_back_the_audit() {
    let (_folder, path, store) = python_store(false);
    let other = lock(&path);
    let recorded = 3 * AUDIT_QUEUE as u64;
    for _ in 0..recorded {
        store.record(event("during the lock"));
    }
    let lost = store.audit_dropped();
    assert!(lost > 0, "the queue is bounded");
    other.execute_batch("COMMIT").unwrap();
    store.close().await;
    assert_eq!(
        store.audit_dropped(),
        lost,
        "what was queued is written once the lock is gone"
    );
    let written = u64::try_from(count(&path, "connections") - 2).unwrap();
    assert_eq!(written, recorded - lost);
}

#[tokio::test]
async fn rows_that_a_lock_kept_out_are_written_once_it_is_gone() {
    let (_folder, path, store) = python_store(false);
    let other = lock(&path);
    store.record(event("patient"));
    // Asking makes the thread try, and fail, to write what was recorded before.
    let refused = store.connections(None, None).await.unwrap_err();
    assert_eq!(refused.peer_text(), "OperationalError: database is locked");
    other.execute_batch("COMMIT").unwrap();
    until("the row is written", async || {
        count(&path, "connections WHERE message = 'patient'") == 1
    })
    .await;
    assert_eq!(store.audit_dropped(), 0);
    store.close().await;
}

#[tokio::test]
async fn closing_gives_up_and_counts_what_a_lock_keeps_out() {
    let (_folder, path, store) = python_store(false);
    let other = lock(&path);
    for _ in 0..2_500 {
        store.record(event("lost"));
    }
    store.close().await;
    other.execute_batch("COMMIT").unwrap();
    assert_eq!((count(&path, "connections"), store.audit_dropped()), (2, 2_500));
}

#[tokio::test]
async fn an_administrators_change_waits_for_a_short_lock() {
    let (_folder, path, store) = python_store(false);
    let other = lock(&path);
    let waiting = store.clone();
    let (begin, has_begun) = oneshot::channel();
    let mut change = tokio::spawn(async move {
        // What `insert_hostname` asks the store's thread to do.
        let insert = waiting.ask(move |database| {
            let _ = begin.send(());
            database.insert_hostname("late")
        });
        insert.await
    });
    has_begun.await.unwrap();
    // A change that does not wait has failed by then.
    let early = timeout(Duration::from_millis(300), &mut change).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    other.execute_batch("COMMIT").unwrap();
    change.await.unwrap().unwrap();
    assert!(store.hostnames().await.unwrap().contains(&"late".to_owned()));
    store.close().await;
}

#[tokio::test]
async fn an_administrators_change_that_fails_is_an_error_to_who_asked() {
    let (_folder, path, store) = python_store(false);
    let other = lock(&path);
    let error = store.insert_hostname("never").await.unwrap_err();
    assert!(!error.is_callers_mistake());
    assert_eq!(error.peer_text(), "OperationalError: database is locked");
    other.execute_batch("COMMIT").unwrap();
    assert!(!store.hostnames().await.unwrap().contains(&"never".to_owned()));
    store.close().await;
}

#[tokio::test]
async fn a_job_whose_caller_is_gone_harms_nobody() {
    let (_folder, _path, store) = python_store(false);
    let (release, held) = mpsc::channel::<()>();
    let busy = store.clone();
    let holding = tokio::spawn(async move {
        busy.ask(move |_| {
            // The sender is dropped to let go.
            let _ = held.recv();
            Ok(())
        })
        .await
    });
    let cancelled = store.clone();
    let abandoned = tokio::spawn(async move { cancelled.insert_hostname("abandoned").await });
    tokio::task::yield_now().await;
    abandoned.abort();
    assert!(abandoned.await.is_err());
    drop(release);
    holding.await.unwrap().unwrap();
    assert!(store.hostnames().await.is_ok());
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_says_so_and_counts_what_it_cannot_record() {
    let (_folder, _path, store) = python_store(false);
    let other = store.clone();
    store.close().await;
    store.close().await;
    assert!(matches!(other.usernames().await, Err(StoreError::Closed)));
    assert!(matches!(
        other.verify_login("j.doe", "x").await,
        Err(StoreError::Closed)
    ));
    other.record(event("too late"));
    assert_eq!(other.audit_dropped(), 1);
}

#[tokio::test]
async fn dropping_the_last_handle_writes_the_audit_too() {
    let (_folder, path, store) = python_store(false);
    store.record(event("before the drop"));
    drop(store);
    until("the row is written", async || {
        count(&path, "connections WHERE message = 'before the drop'") == 1
    })
    .await;
}

#[tokio::test]
async fn the_audit_of_an_existing_database_is_pruned_after_opening() {
    let (_folder, path) = python_database();
    // Both rows of the Python tools are older than the default age when another one has the present
    // time.
    let now = present()
        .to_zoned(local_time_zone())
        .strftime("%Y-%m-%dT%H:%M:%S");
    let row = format!("INSERT INTO connections VALUES (NULL, '{now}', 'ip', 'domain', 1, 'x')");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(&row)
        .unwrap();
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    until("the old rows are gone", async || {
        store.connections(None, None).await.unwrap().len() == 1
    })
    .await;
    store.close().await;
}

fn lease(service: &str) -> crate::Lease {
    crate::Lease {
        key: crate::LeaseKey {
            service: service.into(),
            secret_hash: [1; 32],
        },
        holder: "Ada[bench:5]".into(),
        name: "Ada".into(),
        user: None,
        ip: "192.0.2.1".into(),
        shared: false,
        reason: None,
        ttl: None,
        until: None,
        since: Timestamp::UNIX_EPOCH,
        grace: Duration::from_secs(30),
    }
}

fn held(service: &str) -> crate::LeaseChange {
    crate::LeaseChange::Held(Box::new(lease(service)))
}

#[tokio::test]
async fn leases_are_written_before_the_store_is_closed_and_not_after_the_manager_stops() {
    let (_folder, path) = empty_database();
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    store.note_lease(held("before the start"));
    assert_eq!(store.leases(1875).await.unwrap(), []);
    for service in ["DMM", "Oven"] {
        store.note_lease(held(service));
    }
    store.note_lease(crate::LeaseChange::Ended(lease("Oven").key));
    store.keep_leases();
    store.note_lease(crate::LeaseChange::Ended(lease("DMM").key));
    store.close().await;
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    assert_eq!(store.leases(1).await.unwrap(), []);
    assert_eq!(store.leases(1875).await.unwrap(), [lease("DMM")]);
    assert_eq!((store.leases_lost(), store.lease_failures()), (0, 0));
}

#[tokio::test]
async fn leases_that_a_lock_kept_out_are_written_once_it_is_gone() {
    let (_folder, path) = empty_database();
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    store.leases(1).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    store.note_lease(held("DMM"));
    let failed = async {
        while store.lease_failures() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), failed).await.unwrap();
    other.execute_batch("COMMIT").unwrap();
    let written = async {
        while store.leases(1).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), written).await.unwrap();
}
