//! Locks that are taken again after the manager was restarted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_device::Backoff;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::super::machine::{Config, Engine, Wish};
use super::super::session::Arrival;
use super::cases::{say, written};
use super::world::about;
use crate::command::{Command, Outcome};
use crate::lock_options::{Lock, LockOptions};
use crate::status::LinkStatus;
use crate::uids::Uids;

const GRACE: Duration = Duration::from_secs(30);

/// A client with a session that has linked with `Echo`, and holds its lock with a time to live.
struct Holder {
    engine: Engine,
    status: watch::Receiver<LinkStatus>,
    _lock: oneshot::Receiver<Outcome>,
}

/// Answers a request of the client.
fn answer(engine: &mut Engine, request: &Value, result: &Value) {
    say(
        engine,
        &json!({ "error": false, "result": result, "uid": request["uid"] }),
    );
}

fn linked() -> Value {
    json!({ "attributes": {}, "address": "h:1", "language": "", "os": "", "max_clients": -1 })
}

impl Holder {
    fn new() -> Self {
        let config = Config {
            name: "Ada".to_owned(),
            buffer: 0,
            backoff: Some(Backoff::new()),
        };
        let uids = Uids::new();
        // The callers of the tests take the first ones.
        while uids.next() < 10 {}
        let (mut engine, _) = Engine::new(config, uids, about(), Some(GRACE));
        let (reply, mut receiver) = oneshot::channel();
        let link = Command::Link {
            uid: 1,
            service: "Echo".into(),
            room: None,
            reply,
        };
        engine.handle_command(link, Instant::now());
        let asked = written(&mut engine);
        answer(&mut engine, &asked[0], &linked());
        let status = receiver.try_recv().unwrap().unwrap();
        let (reply, lock) = oneshot::channel();
        let options = LockOptions::new(Lock::Exclusive)
            .ttl(Duration::from_mins(1))
            .reason("calibration");
        let command = Command::Lock {
            uid: 2,
            holder: 1,
            options,
            reply,
        };
        engine.handle_command(command, Instant::now());
        let asked = written(&mut engine);
        answer(&mut engine, &asked[0], &json!(["Ada[h:2]"]));
        let holder = Self {
            engine,
            status,
            _lock: lock,
        };
        assert!(holder.is_held());
        holder
    }

    fn is_held(&self) -> bool {
        self.status.borrow().locks.contains(&2)
    }

    /// The manager is restarted. It keeps the locks on these services for the client.
    fn restart(&mut self, locks: &[&str]) -> Vec<Value> {
        self.engine
            .disconnected("the manager has ended", true, Instant::now());
        assert_eq!(self.engine.wish(), Wish::Reconnect);
        self.arrive(locks)
    }

    fn arrive(&mut self, locks: &[&str]) -> Vec<Value> {
        let arrival = Arrival {
            grace: Some(GRACE),
            resumed: None,
            locks: locks.iter().map(|service| Arc::from(*service)).collect(),
        };
        self.engine.connected(about(), &arrival);
        written(&mut self.engine)
    }

    fn release(&mut self) {
        let release = Command::Release {
            uid: 5,
            holder: 1,
            guard: 2,
            reply: None,
        };
        self.engine.handle_command(release, Instant::now());
    }
}

fn attributes(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame["attribute"].as_str())
        .collect()
}

#[test]
fn a_lock_that_the_manager_keeps_is_taken_again_on_the_same_terms_before_its_link() {
    let mut holder = Holder::new();
    let asked = holder.restart(&["Echo"]);
    assert_eq!(attributes(&asked), ["acquire_lock"]);
    let terms = json!({ "shared": false, "ttl": 60.0, "reason": "calibration", "wait": 0.0 });
    let sent = &asked[0]["kwargs"];
    for (name, value) in terms.as_object().unwrap() {
        let same = sent[name] == *value || sent[name].as_f64() == value.as_f64() && value.is_number();
        assert!(same, "{name} in {sent}");
    }
    assert!(holder.is_held(), "nobody else can have it");
    answer(&mut holder.engine, &asked[0], &json!(["Ada[h:2]"]));
    let asked = written(&mut holder.engine);
    assert_eq!(attributes(&asked), ["link"]);
    answer(&mut holder.engine, &asked[0], &linked());
    assert!(holder.is_held());
    // It is renewed again.
    let now = Instant::now() + Duration::from_secs(25);
    holder.engine.handle_timeout(now);
    assert_eq!(attributes(&written(&mut holder.engine)), ["renew_lock"]);
}

#[test]
fn a_lock_that_the_manager_has_not_kept_is_lost_and_its_link_is_made_again() {
    let mut holder = Holder::new();
    let asked = holder.restart(&["Oven"]);
    // Nobody wants that one any more.
    assert_eq!(attributes(&asked), ["release_lock", "link"]);
    assert_eq!(asked[0]["args"], json!(["Oven"]));
    assert!(!holder.is_held());
    assert!(holder.status.borrow().lock_ends.is_empty());
}

#[test]
fn a_lock_on_a_service_that_is_not_back_is_asked_for_until_it_is_and_one_that_others_have_is_lost() {
    let mut holder = Holder::new();
    let asked = holder.restart(&["Echo"]);
    let refuse = |engine: &mut Engine, request: &Value, lock: Option<Value>| {
        let mut refusal = json!({
            "error": true, "message": "KeyError: no", "origin": "manager", "uid": request["uid"],
        });
        if let Some(lock) = lock {
            refusal["lock"] = lock;
        }
        say(engine, &refusal);
    };
    refuse(&mut holder.engine, &asked[0], None);
    assert!(holder.is_held() && written(&mut holder.engine).is_empty());
    holder
        .engine
        .handle_timeout(Instant::now() + Duration::from_secs(10));
    let asked = written(&mut holder.engine);
    let again: Vec<_> = asked
        .iter()
        .filter(|frame| frame["attribute"] == "acquire_lock")
        .collect();
    assert_eq!(again.len(), 1, "{asked:?}");
    let lock = json!({ "service": "Echo", "holder": "Bob[h:3]", "position": 1 });
    refuse(&mut holder.engine, again[0], Some(lock));
    assert!(!holder.is_held());
    let reason = holder.status.borrow().lock_ends.get(&2).cloned();
    assert!(reason.unwrap().contains("could not be taken again: KeyError: no"));
    assert_eq!(attributes(&written(&mut holder.engine)), ["link"]);
}

#[test]
fn a_lock_that_is_released_meanwhile_is_given_back() {
    let mut holder = Holder::new();
    holder
        .engine
        .disconnected("the manager has ended", true, Instant::now());
    holder.engine.handle_timeout(Instant::now() + GRACE * 2);
    assert!(!holder.is_held(), "the grace period is over");
    assert!(holder.status.borrow().suspended.contains(&2));
    holder.release();
    let asked = holder.arrive(&["Echo"]);
    assert_eq!(attributes(&asked), ["release_lock", "link"]);

    let mut holder = Holder::new();
    let asked = holder.restart(&["Echo"]);
    holder.release();
    answer(&mut holder.engine, &asked[0], &json!(["Ada[h:2]"]));
    let asked = written(&mut holder.engine);
    assert!(attributes(&asked).contains(&"release_lock"), "{asked:?}");
    assert!(!holder.is_held());
}

#[test]
fn a_lock_whose_manager_was_away_for_longer_than_the_grace_period_is_held_again() {
    let mut holder = Holder::new();
    holder
        .engine
        .disconnected("the manager has ended", true, Instant::now());
    holder.engine.handle_timeout(Instant::now() + GRACE * 2);
    assert!(!holder.is_held());
    let asked = holder.arrive(&["Echo"]);
    assert!(!holder.is_held());
    answer(&mut holder.engine, &asked[0], &json!(["Ada[h:2]"]));
    assert!(holder.is_held());
    // The service leaves before the link is confirmed.
    let unlinked = json!({ "attribute": "unlinked", "args": ["Echo"], "kwargs": {}, "uid": "" });
    say(&mut holder.engine, &unlinked);
    assert!(!holder.is_held());
}
