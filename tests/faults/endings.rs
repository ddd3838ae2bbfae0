//! The end of a manager: by a request to stop, or by a kill.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::bystander::{Bystander, Seen, judge};
use crate::generator::{Task, block_on, run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, MIB, Observed, Subject, administrator, expect_no_panic, memory};
use crate::outcomes::Outcomes;
use crate::peer::{Peer, Target, reply};
use crate::runner::scaled;
use crate::support::manager::Manager;
use crate::support::process::Signal;

const CLIENTS: usize = 10;

/// More than the socket buffers hold for a client that does not read.
const UNREAD: usize = 32;

/// How long a manager takes beyond the end of the last request: a peer that does not read has two
/// seconds to read its last frames.
const FAREWELL: Duration = Duration::from_secs(3);

/// Connects a client that does not read its megabytes of notifications, and their service.
async fn stuck_reader(target: Target) -> (Peer, Peer) {
    let mut heart = Peer::service(&target, "Heart").await.expect("the manager serves");
    let mut stuck = Peer::client(&target, "stuck").await.expect("the manager serves");
    stuck.link("Heart").await.expect("there is room for a link");
    let notification = json!({
        "error": false, "result": [["x".repeat(1_000_000)], {}], "service": "Heart", "uid": "notification",
    });
    for _ in 0..UNREAD {
        heart.send(&notification).await.expect("the manager reads");
    }
    // The answer comes once all of them are queued.
    heart
        .ask_manager("identity", json!([]))
        .await
        .expect("the manager answers");
    (heart, stuck)
}

/// Reads requests, waits for `told`, and then answers those for `double`.
async fn answer_late(mut service: Peer, requests: usize, told: Arc<tokio::sync::Notify>) -> Peer {
    let mut asked = Vec::new();
    for _ in 0..requests {
        asked.push(service.frame().await.expect("requests come"));
    }
    told.notified().await;
    for request in asked.iter().filter(|request| request["attribute"] == "double") {
        let number = request["args"][0].as_u64().expect("the argument is a number");
        let answered = service.send(&reply(request, &(2 * number).into())).await;
        answered.expect("the manager reads");
    }
    service
}

/// Stops a manager with requests in flight, so many of which are never answered.
fn stop(drain: &str, unanswered: usize, limit: Duration) -> String {
    let each = scaled(20, 100);
    let mut subject = Subject::start(&["--disable-tls", "--drain", drain]);
    let target = subject.target.clone();
    let (heart, stuck) = run(stuck_reader(target.clone()));
    let told = Arc::new(tokio::sync::Notify::new());
    let telling = Arc::clone(&told);
    let (asked, answering) = run(async move {
        let oven = Peer::service(&target, "Oven").await.expect("the manager serves");
        let answering = spawn(answer_late(oven, CLIENTS * each, telling));
        let mut asked = Vec::new();
        for _ in 0..CLIENTS {
            let mut peer = Peer::client(&target, "Ada").await.expect("the manager serves");
            let answered = Outcomes::begin(&mut peer, "Oven", "double", unanswered..each).await;
            let never = Outcomes::begin(&mut peer, "Oven", "heat", 0..unanswered).await;
            let mut outcomes = answered.expect("the manager reads");
            outcomes.add(never.expect("the manager reads"));
            asked.push((peer, outcomes));
        }
        (asked, answering)
    });
    subject.wait_for_statistic("in_flight", |in_flight| in_flight >= (CLIENTS * each) as u64);
    let reading: Vec<_> = asked
        .into_iter()
        .map(|(mut peer, mut outcomes)| {
            spawn(async move {
                outcomes.read_to_end(&mut peer).await;
                outcomes
            })
        })
        .collect();
    // At most two copies of the unread bytes, beside the rest.
    let most = IDLE_MEMORY + 2 * UNREAD as u64 * MIB;
    let memory = memory(&subject.process(), most);
    subject.let_bystander_work();
    let asked = Instant::now();
    subject.manager.signal(Signal::TERM);
    subject.manager.wait_for_log("shutting down the Network Manager");
    told.notify_one();
    let status = subject.manager.wait_for_end();
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < limit, "the manager stopped after {took:?}");
    let counts = reading.into_iter().map(|task| {
        let outcomes = task.join();
        outcomes.expect_one_each("the request may have been executed by the 'Oven' Service")
    });
    let (results, errors) = counts.fold((0, 0), |sum, some| (sum.0 + some.0, sum.1 + some.1));
    assert_eq!(
        (results, errors),
        (CLIENTS * (each - unanswered), CLIENTS * unanswered)
    );
    drop((answering, heart, stuck));
    let figures = format!(
        "{} requests under way and a stuck reader: {results} answered, {errors} told that they may have been executed, \
         exit code 0 after {:.1} s of {:.0}",
        CLIENTS * each,
        took.as_secs_f64(),
        limit.as_secs_f64()
    );
    subject.finish_ended(&figures, &memory)
}

pub(crate) fn a_manager_that_is_asked_to_stop_ends_each_request_once_within_the_drain_time() -> String {
    // The stuck reader has all of that time to read its queue.
    let (drain, seconds) = scaled(("3s", 3), ("10s", 10));
    stop(drain, 0, Duration::from_secs(seconds) + FAREWELL)
}

pub(crate) fn a_manager_whose_requests_are_never_answered_still_stops() -> String {
    let (drain, seconds) = scaled(("2s", 2), ("10s", 10));
    stop(drain, scaled(10, 50), Duration::from_secs(seconds) + FAREWELL)
}

/// The changes that an administrator requested, and those that were confirmed.
#[derive(Default)]
struct Saved {
    asked: Vec<String>,
    confirmed: Vec<String>,
}

/// Returns the password of a user that the administrator inserts.
fn password(username: &str) -> String {
    format!("the password of {username}")
}

/// Inserts users and hostnames until the manager is gone.
async fn insert(mut administrator: Peer, life: usize, saved: Arc<Mutex<Saved>>) {
    for number in 0.. {
        let name = format!("user-{life}-{number}.example");
        for (attribute, args) in [
            ("hostnames_table.insert", json!([name])),
            (
                "users_table.insert",
                json!([name, password(&name), false, 100_000]),
            ),
        ] {
            let key = format!("{attribute} {name}");
            saved.lock().unwrap().asked.push(key.clone());
            let Ok(frame) = administrator.ask_manager(attribute, args).await else {
                return;
            };
            assert_eq!(frame["error"], false, "{frame}");
            saved.lock().unwrap().confirmed.push(key);
        }
    }
}

/// Returns all names of a table that the administrator sees, in the form of [`Saved`].
fn names(administrator: &mut Peer, list: &str, insert: &str) -> BTreeSet<String> {
    let frame = block_on(administrator.ask_manager(list, json!([]))).expect("the manager answers");
    let names: Vec<String> = serde_json::from_value(frame["result"].clone()).expect("names are texts");
    names.into_iter().map(|name| format!("{insert} {name}")).collect()
}

/// Expects that all confirmed changes exist, and that all existing ones are complete and were
/// requested. Returns the number of those that were not confirmed.
fn expect_saved(
    manager: &Manager,
    administrator: &mut Peer,
    saved: &Saved,
    checked: &mut BTreeSet<String>,
) -> usize {
    let path = manager.home().path("manager.sqlite3");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let integrity: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    let mut there = names(administrator, "users_table.usernames", "users_table.insert");
    there.extend(names(
        administrator,
        "hostnames_table.hostnames",
        "hostnames_table.insert",
    ));
    let lost: Vec<_> = saved
        .confirmed
        .iter()
        .filter(|key| !there.contains(*key))
        .collect();
    assert!(lost.is_empty(), "what was said to be saved is gone: {lost:?}");
    let asked: BTreeSet<&String> = saved.asked.iter().collect();
    let ours = there.iter().filter(|key| key.contains(" user-"));
    for key in ours.clone() {
        assert!(asked.contains(key), "nobody asked for {key}");
        let Some(username) = key.strip_prefix("users_table.insert ") else {
            continue;
        };
        // Each user is checked in the run after the one in which it was inserted.
        if checked.insert(key.clone()) {
            let args = json!([username, password(username)]);
            let frame = block_on(administrator.ask_manager("users_table.is_password_valid", args));
            let frame: Value = frame.expect("the manager answers");
            assert_eq!(frame["result"], true, "{username} is half-written: {frame}");
        }
    }
    ours.count() - saved.confirmed.len()
}

pub(crate) fn what_an_administrator_was_told_is_saved_survives_kills() -> String {
    let kills = scaled(10, 100);
    let control = Manager::start(&["--disable-tls"]);
    let mut home = home_with_administrator();
    let saved = Arc::new(Mutex::new(Saved::default()));
    let (mut checked, mut unconfirmed) = (BTreeSet::new(), 0);
    let (mut seen, mut seen_control) = (Seen::default(), Seen::default());
    for life in 0..=kills {
        let mut manager = Manager::start_in(home, &["--disable-tls"]);
        let target = Target::new(&manager, false);
        let mut curie = block_on(administrator(&target));
        unconfirmed = expect_saved(&manager, &mut curie, &saved.lock().unwrap(), &mut checked);
        if life == kills {
            let memory = memory(&Observed::new(&manager), IDLE_MEMORY);
            expect_no_panic(&manager);
            drop(curie);
            drop(manager);
            let bystander = judge(&seen, &seen_control, false);
            return format!(
                "{kills} kills, {} inserts confirmed and there, {unconfirmed} more there and whole; {memory}; {bystander}",
                saved.lock().unwrap().confirmed.len()
            );
        }
        let mut bystander = Bystander::connect(&target, &control).begin();
        let before = saved.lock().unwrap().confirmed.len();
        let inserting: Task<()> = spawn(insert(curie, life, Arc::clone(&saved)));
        // At a different moment each time.
        let wanted = before + 2 + life % 7;
        let deadline = Instant::now() + crate::support::DEADLINE;
        while saved.lock().unwrap().confirmed.len() < wanted {
            assert!(
                Instant::now() < deadline && !inserting.is_finished(),
                "nothing is inserted"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(life as u64 * 7_919 % 30_000));
        manager.signal(Signal::KILL);
        manager.wait_for_end();
        inserting.join();
        let [some, of_control] = bystander.stop();
        seen.add(some);
        seen_control.add(of_control);
        expect_no_panic(&manager);
        home = manager.take_home();
    }
    unreachable!("the last life ends the case: {unconfirmed}")
}
