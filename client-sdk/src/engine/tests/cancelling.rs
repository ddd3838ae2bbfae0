//! Calls that are cancelled or followed.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use labwire_wire::{Executed, MANAGER_NAME};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::machine::Engine;
use super::cases::{engine, say, written};
use crate::approval::Approval;
use crate::command::{CallCommand, Command, Limit, Outcome, Target};
use crate::error::CallError;
use crate::follower::Follower;
use crate::frames::request_frame;
use crate::progress_value::ProgressValue;

/// Makes a call, whose progress and items go to `follower`.
fn call(engine: &mut Engine, uid: u64, follower: Option<Follower>) -> oneshot::Receiver<Outcome> {
    call_within(engine, uid, follower, None)
}

fn call_within(
    engine: &mut Engine,
    uid: u64,
    follower: Option<Follower>,
    limit: Option<Limit>,
) -> oneshot::Receiver<Outcome> {
    let (reply, receiver) = oneshot::channel();
    let call = CallCommand {
        uid,
        frame: request_frame(MANAGER_NAME, "identity", "[]", "{}", uid),
        target: Target::new(MANAGER_NAME, "identity"),
        through: None,
        limit,
        room: None,
        follower: follower.map(Box::new),
        reply,
    };
    engine.handle_command(Command::Call(call), Instant::now());
    receiver
}

fn cancel(engine: &mut Engine, uid: u64, call: u64) -> oneshot::Receiver<Outcome> {
    let (reply, receiver) = oneshot::channel();
    let cancel = Command::Cancel {
        uid,
        call,
        reason: Some("too hot".to_owned()),
        reply,
    };
    engine.handle_command(cancel, Instant::now());
    receiver
}

#[test]
fn a_call_that_was_not_written_is_never_sent_once_it_is_cancelled() {
    let mut engine = engine();
    let mut reply = call(&mut engine, 1, None);
    let mut outcome = cancel(&mut engine, 2, 1);
    assert_eq!(outcome.try_recv().unwrap().unwrap().as_text(), "\"ended\"");
    let error = reply.try_recv().unwrap().unwrap_err();
    assert!(
        error.is_cancelled() && error.executed() == Executed::No,
        "{error:?}"
    );
    assert!(written(&mut engine).is_empty() && engine.is_empty());
}

#[test]
fn a_call_that_was_written_ends_with_its_service() {
    let mut engine = engine();
    let mut reply = call(&mut engine, 1, None);
    written(&mut engine);
    let mut outcome = cancel(&mut engine, 2, 1);
    let asked = written(&mut engine);
    assert_eq!(
        (&asked[0]["attribute"], &asked[0]["args"]),
        (&json!("cancel"), &json!(["1"]))
    );
    assert_eq!(asked[0]["kwargs"], json!({ "reason": "too hot" }));
    say(
        &mut engine,
        &json!({ "error": false, "result": "asked", "uid": "2" }),
    );
    assert_eq!(outcome.try_recv().unwrap().unwrap().as_text(), "\"asked\"");
    assert!(reply.try_recv().is_err(), "its service has not confirmed that");
    say(&mut engine, &json!({ "error": false, "result": 7, "uid": "1" }));
    assert_eq!(reply.try_recv().unwrap().unwrap().as_text(), "7");
    let mut outcome = cancel(&mut engine, 3, 1);
    assert_eq!(outcome.try_recv().unwrap().unwrap().as_text(), "\"over\"");
    assert!(written(&mut engine).is_empty() && engine.is_empty());
}

#[test]
fn the_manager_says_why_it_has_ended_a_call() {
    for (ended, is_cancelled) in [("cancelled", true), ("deadline", false)] {
        let mut engine = engine();
        let mut reply = call(&mut engine, 1, None);
        written(&mut engine);
        let line = json!({
            "ended": ended, "error": true, "executed": "maybe", "message": "m", "origin": "manager", "uid": "1",
        });
        say(&mut engine, &line);
        let error = reply.try_recv().unwrap().unwrap_err();
        assert_eq!(
            (error.is_cancelled(), error.executed()),
            (is_cancelled, Executed::Maybe)
        );
        assert_eq!(matches!(error, CallError::DeadlinePassed { .. }), !is_cancelled);
    }
}

#[test]
fn an_abandoned_call_is_cancelled_only_if_it_was_written() {
    let mut engine = engine();
    for uid in [1, 2] {
        drop(call(&mut engine, uid, None));
        if uid == 1 {
            engine.handle_command(Command::Abandon { uid }, Instant::now());
            assert!(written(&mut engine).is_empty());
        }
    }
    let reply = call(&mut engine, 3, None);
    assert_eq!(written(&mut engine).len(), 1);
    drop(reply);
    engine.handle_command(Command::Abandon { uid: 3 }, Instant::now());
    let asked = written(&mut engine);
    assert_eq!((asked.len(), &asked[0]["args"]), (1, &json!(["3"])));
    assert!(engine.is_empty());
}

#[test]
fn progress_and_items_reach_the_one_who_follows_the_call_until_its_end() {
    let mut engine = engine();
    let (follower, receivers) = Follower::new();
    let mut reply = call(&mut engine, 1, Some(follower));
    let _other = call(&mut engine, 2, None);
    written(&mut engine);
    let about =
        |uid: &str, member: &str, value: Value| json!({ "requester": "Ada[h:2]", "uid": uid, member: value });
    for uid in ["1", "2", "3"] {
        say(&mut engine, &about(uid, "progress", json!(0.25)));
        say(&mut engine, &about(uid, "item", json!([1])));
        say(&mut engine, &about(uid, "item", json!("two")));
        say(&mut engine, &about(uid, "progress", json!(0.5)));
    }
    say(&mut engine, &json!({ "error": false, "result": 7, "uid": "1" }));
    assert_eq!(reply.try_recv().unwrap().unwrap().as_text(), "7");
    let context = Context::from_waker(Waker::noop());
    let next = || match receivers.items.poll_next(&context) {
        Poll::Ready(Some(Ok(item))) => item.as_text().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!([next(), next(), next()], ["[1]", "\"two\"", "Ready(None)"]);
    let latest = receivers.progress.borrow().clone();
    assert_eq!(latest.as_ref().map(ProgressValue::json), Some("0.5"));
}

/// Returns what the manager, or else a service, says about the approval of the call with the uid 1.
fn news(value: &Value, is_managers: bool) -> Value {
    let mut frame = json!({ "progress": value, "requester": "Ada[h:2]", "uid": "1" });
    if is_managers {
        frame["origin"] = json!("manager");
    }
    frame
}

fn waits() -> Value {
    json!({ "id": "ab-1", "message": "m", "until": "2026-11-29T12:00:00Z", "waits_for": "approval" })
}

/// Makes a call with a time limit, which passes after the manager has said something about its approval.
/// Returns its reply, and what was written then.
fn overdue(engine: &mut Engine, said: &[Value]) -> (oneshot::Receiver<Outcome>, Vec<Value>, Instant) {
    let now = Instant::now();
    let timeout = Duration::from_secs(5);
    let limit = Limit {
        timeout,
        deadline: now + timeout,
    };
    // As a handle does: the engine's own requests have other uids.
    assert_eq!(engine.uids.next(), 1);
    let reply = call_within(engine, 1, None, Some(limit));
    written(engine);
    for line in said {
        say(engine, line);
    }
    let due = now + timeout;
    engine.handle_timeout(due);
    let frames = written(engine);
    (reply, frames, due)
}

#[track_caller]
fn expect_timeout(reply: &mut oneshot::Receiver<Outcome>, expected: Executed) {
    match reply.try_recv().expect("it has ended") {
        Err(CallError::TimedOut {
            executed, timeout, ..
        }) => assert_eq!((executed, timeout), (expected, Duration::from_secs(5))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_timeout_while_a_call_waits_for_approval_says_what_the_manager_says() {
    let ended = json!({
        "ended": "cancelled", "error": true, "executed": "no", "message": "CancelledError: m", "origin": "manager", "uid": "1",
    });
    let answer = |uid: &Value, result: &str| json!({ "error": false, "result": result, "uid": uid });
    let absent = |uid: &Value| json!({ "error": true, "executed": "no", "message": "KeyError: m", "origin": "manager", "uid": uid });
    for (case, executed) in [
        ("ended", Executed::No),
        ("asked", Executed::Maybe),
        ("absent", Executed::Maybe),
        ("silent", Executed::Maybe),
    ] {
        let mut engine = engine();
        let (mut reply, frames, due) = overdue(&mut engine, &[news(&waits(), true)]);
        assert!(reply.try_recv().is_err(), "the manager is asked first");
        assert_eq!(
            (frames.len(), &frames[0]["attribute"], &frames[0]["args"]),
            (1, &json!("cancel"), &json!(["1"]))
        );
        let uid = &frames[0]["uid"];
        match case {
            "ended" => {
                say(&mut engine, &ended);
                say(&mut engine, &answer(uid, "ended"));
            }
            "asked" => say(&mut engine, &answer(uid, "asked")),
            "absent" => say(&mut engine, &absent(uid)),
            _ => {
                engine.handle_timeout(due + Duration::from_millis(999));
                assert!(reply.try_recv().is_err());
                engine.handle_timeout(due + Duration::from_secs(1));
            }
        }
        expect_timeout(&mut reply, executed);
        if case != "silent" {
            assert!(engine.is_empty(), "{case}");
        }
    }
}

/// A reply that comes before the manager's answer is one.
#[test]
fn a_call_that_was_approved_just_in_time_has_its_result() {
    let mut engine = engine();
    let (mut reply, frames, _) = overdue(&mut engine, &[news(&waits(), true)]);
    say(&mut engine, &json!({ "error": false, "result": 7, "uid": "1" }));
    assert_eq!(reply.try_recv().unwrap().unwrap().as_text(), "7");
    let late = json!({ "error": false, "result": "ended", "uid": frames[0]["uid"] });
    say(&mut engine, &late);
    assert!(engine.is_empty());
}

#[test]
fn a_call_that_does_not_wait_for_approval_times_out_at_once() {
    let given = json!({ "approved_by": "olga", "id": "ab-1", "message": "m" });
    for said in [
        &[][..],
        // Only a service has said so.
        &[news(&waits(), false)],
        &[news(&waits(), true), news(&given, true)],
    ] {
        let mut engine = engine();
        let (mut reply, frames, _) = overdue(&mut engine, said);
        expect_timeout(&mut reply, Executed::Maybe);
        assert!(frames.is_empty() && engine.is_empty());
    }
}

#[test]
fn who_asks_learns_of_the_approval_before_and_after_the_manager_has_told_it() {
    let mut engine = engine();
    let watch = |engine: &mut Engine| {
        let (reply, mut receiver) = oneshot::channel();
        engine.handle_command(Command::Approval { call: 1, reply }, Instant::now());
        receiver.try_recv().ok()
    };
    assert!(watch(&mut engine).is_none(), "there is no such call");
    let (follower, receivers) = Follower::new();
    let _reply = call(&mut engine, 1, Some(follower));
    written(&mut engine);
    let early = watch(&mut engine).unwrap();
    assert_eq!(*early.borrow(), None);
    say(&mut engine, &news(&waits(), false));
    assert_eq!(*early.borrow(), None, "a service has said so");
    assert_eq!(receivers.progress.borrow().as_ref().unwrap().approval(), None);
    say(&mut engine, &news(&waits(), true));
    let late = watch(&mut engine).unwrap();
    for seen in [early.borrow().clone(), late.borrow().clone()] {
        assert!(
            matches!(&seen, Some(Approval::Waits { id, .. }) if id == "ab-1"),
            "{seen:?}"
        );
        let progress = receivers.progress.borrow().clone();
        assert_eq!(progress.unwrap().approval(), seen.as_ref());
    }
    say(&mut engine, &json!({ "error": false, "result": 7, "uid": "1" }));
    assert!(early.has_changed().is_err(), "the call has ended");
}
