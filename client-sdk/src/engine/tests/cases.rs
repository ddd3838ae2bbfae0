//! Single cases that random schedules rarely reach.

use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_device::{Backoff, NoAnswer, Question, Resumed};
use labwire_wire::{Executed, Line, MANAGER_NAME};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::super::machine::{Config, Engine, Wish};
use super::super::questions::Answer;
use super::super::session::Arrival;
use super::world::about;
use crate::command::{CallCommand, Command, Limit, Outcome, Target};
use crate::error::CallError;
use crate::frames::request_frame;
use crate::lock_options::{Lock, LockOptions};
use crate::notification_queue::notification_queue;
use crate::status::{About, ConnectionState, LinkState, LinkStatus};
use crate::uids::Uids;

/// Creates the engine of a client that does not reconnect.
pub(super) fn engine() -> Engine {
    engine_with(None, Uids::new())
}

fn engine_with(backoff: Option<Backoff>, uids: Uids) -> Engine {
    let config = Config {
        name: "Ada".to_owned(),
        buffer: 0,
        backoff,
    };
    let about = About {
        network_name: "Ada[h:2]".to_owned(),
        manager: "Manager[h:1]".to_owned(),
        local_port: 2,
        binary: false,
    };
    Engine::new(config, uids, about, None).0
}

pub(super) fn written(engine: &mut Engine) -> Vec<Value> {
    let frames = std::iter::from_fn(|| engine.poll_frame());
    frames
        .map(|frame: Bytes| serde_json::from_slice(&frame).unwrap())
        .collect()
}

pub(super) fn say(engine: &mut Engine, line: &Value) {
    engine.handle_line(Line::new(line.to_string().into()), Instant::now());
}

/// Makes a request to the manager.
fn call(engine: &mut Engine, uid: u64, limit: Option<Limit>, now: Instant) -> oneshot::Receiver<Outcome> {
    call_manager(engine, "identity", uid, limit, now)
}

fn call_manager(
    engine: &mut Engine,
    attribute: &str,
    uid: u64,
    limit: Option<Limit>,
    now: Instant,
) -> oneshot::Receiver<Outcome> {
    let (reply, receiver) = oneshot::channel();
    let call = CallCommand {
        follower: None,
        uid,
        frame: request_frame(MANAGER_NAME, attribute, "[]", "{}", uid),
        target: Target::new(MANAGER_NAME, attribute),
        through: None,
        limit,
        room: None,
        reply,
    };
    engine.handle_command(Command::Call(call), now);
    receiver
}

/// Links with the service `Echo`.
fn link(engine: &mut Engine, uid: u64) -> oneshot::Receiver<Result<watch::Receiver<LinkStatus>, CallError>> {
    let (reply, receiver) = oneshot::channel();
    let link = Command::Link {
        uid,
        service: "Echo".into(),
        room: None,
        reply,
    };
    engine.handle_command(link, Instant::now());
    receiver
}

fn linked(uid: &str) -> Value {
    json!({"error": false, "result": {"type": "service", "attributes": {}}, "uid": uid})
}

fn refused(uid: &str) -> Value {
    json!({"error": true, "message": "KeyError: not there", "origin": "manager", "executed": "no", "uid": uid})
}

#[test]
fn a_reply_to_a_request_that_was_not_written_is_none() {
    let mut engine = engine();
    let mut reply = call(&mut engine, 1, None, Instant::now());
    let line = json!({"error": false, "result": "forged", "uid": "1"});
    say(&mut engine, &line);
    assert!(reply.try_recv().is_err());
    assert_eq!(written(&mut engine).len(), 1);
    say(&mut engine, &line);
    assert_eq!(reply.try_recv().unwrap().unwrap().as_text(), "\"forged\"");
    assert!(engine.is_empty());
}

#[test]
fn a_refused_link_does_not_end_the_one_that_another_caller_asks_for() {
    let mut engine = engine();
    let mut first = link(&mut engine, 1);
    let mut second = link(&mut engine, 2);
    assert_eq!(written(&mut engine).len(), 2);
    say(&mut engine, &refused("1"));
    let error = first.try_recv().unwrap().unwrap_err();
    assert_eq!(error.executed(), Executed::No);
    say(&mut engine, &linked("2"));
    let status = second.try_recv().unwrap().unwrap();
    assert_eq!(status.borrow().state, LinkState::Linked);
}

#[test]
fn a_call_without_any_time_is_never_sent() {
    let mut engine = engine();
    let now = Instant::now();
    let limit = Limit {
        timeout: Duration::ZERO,
        deadline: now,
    };
    let mut reply = call(&mut engine, 1, Some(limit), now);
    let error = reply.try_recv().unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            CallError::TimedOut {
                executed: Executed::No,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(written(&mut engine).is_empty() && engine.is_empty());
}

#[test]
fn what_the_manager_said_last_is_part_of_the_reason() {
    let mut engine = engine();
    let mut status = engine.status.subscribe();
    let mut reply = call(&mut engine, 1, None, Instant::now());
    written(&mut engine);
    let words = json!({"error": true, "message": "TimeoutError: too slow", "uid": ""});
    say(&mut engine, &words);
    // Without a uid the error may be about any request to the manager.
    assert_eq!(reply.try_recv().unwrap().unwrap_err().executed(), Executed::Maybe);
    engine.disconnected("the manager closed the connection", true, Instant::now());
    assert_eq!(engine.wish(), Wish::End);
    let status = status.borrow_and_update().connection.clone();
    let expected = "the manager closed the connection, after it had said \"TimeoutError: too slow\"";
    assert!(matches!(status, ConnectionState::Closed(reason) if &*reason == expected));
}

#[test]
fn a_client_that_leaves_says_goodbye_last_and_hears_replies_until_the_end() {
    let mut engine = engine();
    let now = Instant::now();
    let mut before = call(&mut engine, 1, None, now);
    engine.handle_command(Command::Disconnect, now);
    let mut after = call(&mut engine, 2, None, now);
    let error = after.try_recv().unwrap().unwrap_err();
    assert_eq!(error.executed(), Executed::No);
    let frames = written(&mut engine);
    assert_eq!(frames[0]["attribute"], "identity");
    assert_eq!(frames[1]["attribute"], "__disconnect__");
    assert_eq!(frames.len(), 2);
    say(&mut engine, &json!({"error": false, "result": 1, "uid": "1"}));
    assert_eq!(before.try_recv().unwrap().unwrap().as_text(), "1");
    engine.frames_written(now);
    // The manager has read everything and does not close the connection.
    let deadline = engine.next_deadline().unwrap();
    engine.handle_timeout(deadline);
    assert_eq!(engine.wish(), Wish::End);
}

#[test]
fn a_guard_keeps_the_reason_for_its_end_when_another_one_gets_the_lock() {
    let mut engine = engine();
    let mut status = link(&mut engine, 1);
    written(&mut engine);
    say(&mut engine, &linked("1"));
    let status = status.try_recv().unwrap().unwrap();
    let lock = |engine: &mut Engine, uid| {
        let (reply, receiver) = oneshot::channel();
        let options = LockOptions::new(Lock::Shared);
        let lock = Command::Lock {
            uid,
            holder: 1,
            options,
            reply,
        };
        engine.handle_command(lock, Instant::now());
        assert_eq!(written(engine).len(), 1);
        receiver
    };
    let granted = |uid: &str| json!({"error": false, "result": ["Ada[h:2]"], "uid": uid});
    let _first = lock(&mut engine, 2);
    say(&mut engine, &granted("2"));
    let _second = lock(&mut engine, 3);
    let ended = ["Echo", "broken", "the lock was broken by 'ada'"];
    say(
        &mut engine,
        &json!({"attribute": "lock_ended", "args": ended, "kwargs": {}, "uid": ""}),
    );
    say(&mut engine, &granted("3"));
    let ends = status.borrow().lock_ends.clone();
    assert_eq!(ends.get(&2).map(|reason| &**reason), Some(ended[2]));
    assert_eq!((status.borrow().locks.contains(&3), ends.len()), (true, 1));
    for guard in [2, 3] {
        let release = Command::Release {
            uid: 10 + guard,
            holder: 1,
            guard,
            reply: None,
        };
        engine.handle_command(release, Instant::now());
    }
    assert!(status.borrow().lock_ends.is_empty());
}

#[test]
fn a_lock_that_ends_before_its_link_is_made_fails_with_the_reason_although_another_guard_gets_one() {
    let mut engine = engine();
    let lock = |engine: &mut Engine, uid| {
        let (reply, receiver) = oneshot::channel();
        let lock = Command::LockService {
            uid,
            service: "Echo".into(),
            options: LockOptions::new(Lock::Shared).with_link(),
            room: None,
            reply,
        };
        engine.handle_command(lock, Instant::now());
        receiver
    };
    let granted = |uid: &str| json!({"error": false, "result": ["Ada[h:2]"], "uid": uid});
    // Returns the uid of the request for a link that follows a granted lock.
    let asked = |engine: &mut Engine| {
        let frames = written(engine);
        assert_eq!((frames.len(), &frames[0]["attribute"]), (1, &json!("link")));
        frames[0]["uid"].as_str().unwrap().to_owned()
    };
    let (mut first, mut second) = (lock(&mut engine, 1), lock(&mut engine, 2));
    written(&mut engine);
    say(&mut engine, &granted("1"));
    let link_of_first = asked(&mut engine);
    let ended = ["Echo", "broken", "the lock was broken by 'ada'"];
    say(
        &mut engine,
        &json!({"attribute": "lock_ended", "args": ended, "kwargs": {}, "uid": ""}),
    );
    say(&mut engine, &granted("2"));
    let link_of_second = asked(&mut engine);
    say(&mut engine, &linked(&link_of_first));
    let error = first.try_recv().unwrap().unwrap_err();
    assert!(
        matches!(&error, CallError::LockEnded { reason, .. } if &**reason == ended[2]),
        "{error:?}"
    );
    say(&mut engine, &linked(&link_of_second));
    let (status, _) = second.try_recv().unwrap().unwrap();
    assert!(status.borrow().locks.contains(&2));
    assert!(written(&mut engine).is_empty(), "nothing is given back");
}

#[test]
fn an_open_question_concerns_only_requests_that_need_a_login() {
    let mut engine = engine();
    let now = Instant::now();
    let everybodys = ["publish", "subscribe", "unsubscribe", "renew_lock"];
    let mut public: Vec<_> = everybodys
        .iter()
        .zip(1..)
        .map(|(attribute, uid)| call_manager(&mut engine, attribute, uid, None, now))
        .collect();
    let mut administrators = call_manager(&mut engine, "stats", 9, None, now);
    written(&mut engine);
    say(
        &mut engine,
        &json!({"attribute": "username", "args": ["Manager[h:1]"], "kwargs": {}, "uid": ""}),
    );
    assert!(engine.poll_question().is_some());
    let manager = "Manager[h:1]".to_owned();
    engine.handle_answer(Answer::Missing(NoAnswer(Question::Username { manager })));
    let outcome = administrators.try_recv().unwrap();
    assert!(matches!(outcome, Err(CallError::NoAnswer(_))), "{outcome:?}");
    for (attribute, uid) in everybodys.iter().zip(11..) {
        public.push(call_manager(&mut engine, attribute, uid, None, now));
        written(&mut engine);
        assert!(
            engine.poll_question().is_none(),
            "nobody is asked because of {attribute}"
        );
    }
    for (reply, uid) in public.iter_mut().zip((1..5).chain(11..)) {
        say(
            &mut engine,
            &json!({"error": false, "result": true, "uid": uid.to_string()}),
        );
        assert_eq!(reply.try_recv().unwrap().unwrap().as_text(), "true", "{uid}");
    }
}

#[test]
fn a_link_that_was_refused_twice_is_asked_for_once_more_and_not_twice() {
    let uids = Uids::new();
    let mut engine = engine_with(Some(Backoff::new()), uids.clone());
    let unlinked = json!({"attribute": "unlinked", "args": ["Echo"], "kwargs": {}, "uid": ""});
    let _first = link(&mut engine, uids.next());
    let _second = link(&mut engine, uids.next());
    written(&mut engine);
    say(&mut engine, &linked("1"));
    say(&mut engine, &unlinked);
    let again = written(&mut engine)[0]["uid"].clone();
    // The link of the second caller is made before the service disconnects again.
    say(&mut engine, &linked("2"));
    say(&mut engine, &unlinked);
    let once_more = written(&mut engine)[0]["uid"].clone();
    for uid in [again, once_more] {
        say(&mut engine, &refused(uid.as_str().unwrap()));
    }
    let deadline = engine.next_deadline().unwrap();
    engine.handle_timeout(deadline);
    assert_eq!(written(&mut engine).len(), 1);
    assert_eq!(engine.next_deadline(), None);
}

/// Creates an engine whose session the manager keeps for 30 s.
fn engine_with_session() -> Engine {
    let config = Config {
        name: "Ada".to_owned(),
        buffer: 0,
        backoff: None,
    };
    let uids = Uids::new();
    // The callers of the tests take the first ones.
    while uids.next() < 10 {}
    Engine::new(config, uids, about(), Some(Duration::from_secs(30))).0
}

/// Lets the client return to its session. The manager has read everything up to `received`.
fn come_back(engine: &mut Engine, received: u64, lost: u64, in_flight: &[&str]) {
    engine.disconnected("the connection was cut", true, Instant::now());
    assert_eq!(engine.wish(), Wish::Reconnect);
    let resumed = Resumed {
        received,
        lost,
        in_flight: (lost > 0).then(|| in_flight.iter().map(|uid| format!("\"{uid}\"")).collect()),
    };
    let arrival = Arrival {
        grace: Some(Duration::from_secs(30)),
        resumed: Some(resumed),
        ..Arrival::default()
    };
    engine.connected(about(), &arrival);
}

#[test]
fn a_call_that_the_manager_had_not_read_was_not_executed_and_the_others_wait_on() {
    let mut engine = engine_with_session();
    let now = Instant::now();
    let mut read = call(&mut engine, 1, None, now);
    let mut unread = call(&mut engine, 2, None, now);
    let first = engine.poll_frame().unwrap();
    assert!(engine.poll_frame().is_some());
    come_back(&mut engine, first.len() as u64, 0, &[]);
    let error = unread.try_recv().unwrap().unwrap_err();
    assert_eq!(error.executed(), Executed::No);
    assert!(read.try_recv().is_err());
    assert!(written(&mut engine).is_empty(), "nothing is sent again");
    say(&mut engine, &json!({"error": false, "result": 1, "uid": "1"}));
    assert_eq!(read.try_recv().unwrap().unwrap().as_text(), "1");
    assert!(engine.is_empty());
}

#[test]
fn bytes_that_were_lost_are_a_gap_and_end_the_calls_whose_reply_they_had() {
    let mut engine = engine_with_session();
    let now = Instant::now();
    let _link = link(&mut engine, 1);
    let [mut lost, mut kept, mut held] = [2, 3, 4].map(|uid| call(&mut engine, uid, None, now));
    let mut sent = 0;
    while let Some(frame) = engine.poll_frame() {
        sent += frame.len() as u64;
    }
    say(&mut engine, &linked("1"));
    let (reader, receiver) = notification_queue(10);
    engine.handle_command(Command::Subscribe { holder: 1, reader }, now);
    come_back(&mut engine, sent, 100, &["4"]);
    let frames = written(&mut engine);
    let barrier = frames.last().unwrap()["uid"].as_str().unwrap().to_owned();
    // One reply is among the lines that the manager has kept.
    say(&mut engine, &json!({"error": false, "result": 3, "uid": "3"}));
    assert!(lost.try_recv().is_err());
    say(&mut engine, &refused(&barrier));
    let error = lost.try_recv().unwrap().unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
    assert_eq!(kept.try_recv().unwrap().unwrap().as_text(), "3");
    assert!(held.try_recv().is_err());
    say(&mut engine, &json!({"error": false, "result": 4, "uid": "4"}));
    assert_eq!(held.try_recv().unwrap().unwrap().as_text(), "4");
    let notification = json!({"error": false, "result": [[5], {}], "service": "Echo", "uid": "notification"});
    say(&mut engine, &notification);
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Some(next)) = receiver.poll_next(&context) else {
        panic!("a notification");
    };
    assert_eq!(next.lost(), 1);
}

#[test]
fn a_client_that_cannot_return_ends_when_the_grace_period_is_over() {
    let mut engine = engine_with_session();
    let now = Instant::now();
    let mut reply = call(&mut engine, 1, None, now);
    assert_eq!(written(&mut engine).len(), 1);
    engine.disconnected("the connection was cut", true, now);
    assert!(reply.try_recv().is_err());
    let deadline = engine.next_deadline().unwrap();
    assert_eq!(deadline, now + Duration::from_secs(30));
    engine.handle_timeout(deadline);
    assert_eq!(reply.try_recv().unwrap().unwrap_err().executed(), Executed::Maybe);
    assert_eq!(engine.wish(), Wish::End);
}
