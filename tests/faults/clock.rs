//! Changes of the computer's clock, an hour forward and back.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::generator::{Task, run, spawn};
use crate::hostile::home_with_administrator;
use crate::observed::{IDLE_MEMORY, Subject};
use crate::outcomes::Outcomes;
use crate::peer::{Peer, Target, address, client};
use crate::programs::{start_lock_holder, start_service};
use crate::support::clock::library;
use crate::support::manager::Home;

/// The handshake timeout of an unidentified peer.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Tolerance of that timeout on a busy machine.
const A_LITTLE: Duration = Duration::from_millis(900);

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The clock of a manager.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Creates a correct clock for a manager that is started by this command.
    fn of(home: &Home, command: &mut Command) -> Self {
        let clock = Self {
            file: home.path("clock"),
        };
        clock.set(0);
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &clock.file)
            .env("FAKETIME_NO_CACHE", "1")
            // The kernel's monotonic clock is not affected by setting the time.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        clock
    }

    /// Sets the clock so many seconds before or after the computer's.
    fn set(&self, offset: i64) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset:+}\n")).expect("the home can be written");
        fs::rename(new, &self.file).expect("the home can be written");
    }
}

/// Returns the second of the day of the newest row in the manager's table of connections.
fn managers_time(subject: &mut Subject, connections: usize) -> i64 {
    let target = subject.target.clone();
    let name = format!("visitor {connections}");
    run(async move { Peer::client(&target, &name).await.map(drop) }).expect("the manager serves");
    let deadline = Instant::now() + crate::support::DEADLINE;
    loop {
        let rows = subject.ask("connections_table.connections");
        let rows = rows.as_array().expect("rows are an array");
        if rows.len() > connections {
            return second_of_day(&rows[rows.len() - 1]);
        }
        assert!(Instant::now() < deadline, "the connection is never recorded");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn second_of_day(row: &Value) -> i64 {
    let time = row[1].as_str().expect("a row has its time");
    let clock = time.split(['T', ' ']).nth(1).expect("it has a time of day");
    clock
        .split(':')
        .map(|part| part.split('.').next().unwrap_or_default())
        .fold(0, |sum, part| sum * 60 + part.parse::<i64>().expect("a number"))
}

/// Connects and sends nothing. Returns how long the connection stayed open.
fn silent_stranger(target: &Target, number: usize) -> Task<Duration> {
    let target = target.clone();
    spawn(async move {
        let mut peer = Peer::connect(&target, address(8, number))
            .await
            .expect("the manager accepts");
        peer.expect_asked("identity").await.expect("the manager asks");
        let begun = Instant::now();
        while peer
            .line()
            .await
            .expect("the manager closes the connection")
            .is_some()
        {}
        begun.elapsed()
    })
}

pub(crate) fn the_wall_clock_decides_about_no_deadline_link_or_connection() -> String {
    let home = home_with_administrator();
    let options = ["--disable-tls", "--handshake", "2s", "--keepalive", "1s"];
    let mut command = home.command(&["start", "--port", "0"]);
    command.args(options);
    let clock = Clock::of(&home, &mut command);
    let mut subject = Subject::start_command(home, &mut command, &options);
    let target = subject.target.clone();
    let service = start_service(&subject.manager, "Oven");
    let asking = target.clone();
    let (mut peer, mut outcomes) = run(async move {
        let mut peer = Peer::join(&asking, address(8, 0), client("Ada"))
            .await
            .expect("the manager serves");
        let outcomes = Outcomes::begin(&mut peer, "Oven", "heat", 0..10).await;
        (peer, outcomes.expect("the manager reads"))
    });
    let locked = start_service(&subject.manager, "Cabinet");
    let holder = start_lock_holder(&subject.manager, "Cabinet");
    let (links, locks) = (subject.ask("service_links"), subject.ask("service_locks"));

    let mut times = Vec::new();
    for (number, offset) in [HOUR, -HOUR, 0].into_iter().enumerate() {
        let before = managers_time(&mut subject, 4 * number + 1);
        let old_offset = [0, HOUR, -HOUR][number];
        let stranger = silent_stranger(&target, number);
        std::thread::sleep(HANDSHAKE / 2);
        assert!(!stranger.is_finished(), "the stranger's time is not up");
        clock.set(offset);
        let moved = (managers_time(&mut subject, 4 * number + 3) - before).rem_euclid(DAY);
        let expected = (offset - old_offset).rem_euclid(DAY);
        assert!(
            (expected - 2..expected + 60).contains(&moved),
            "the clock moved by {moved} s, not {expected} s"
        );
        let time = stranger.join();
        assert!(
            time.abs_diff(HANDSHAKE) < A_LITTLE,
            "a stranger's time was {time:?}"
        );
        times.push(format!("{:.1}", time.as_secs_f64()));
        assert_eq!(subject.ask("service_links"), links);
        assert_eq!(subject.ask("service_locks"), locks);
    }
    assert_eq!(subject.statistic("vanished"), 0);
    drop(service);
    run(async move {
        outcomes.read(&mut peer).await;
        assert_eq!(
            outcomes.expect_one_each("'Oven' Service left before it replied"),
            (0, 10)
        );
    });
    drop((locked, holder));
    let figures = format!(
        "the clock set by +1, -2 and +1 hours; strangers' 2 s were {} s; links, a lock and 10 requests held",
        times.join(", ")
    );
    subject.finish(&figures, IDLE_MEMORY)
}
