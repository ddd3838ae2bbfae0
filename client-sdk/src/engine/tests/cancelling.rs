//! Calls that are cancelled or followed.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use labwire_wire::{Executed, MANAGER_NAME};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::machine::Engine;
use super::cases::{engine, say, written};
use crate::command::{CallCommand, Command, Outcome, Target};
use crate::error::CallError;
use crate::follower::Follower;
use crate::frames::request_frame;

/// Makes a call, whose progress and items go to `follower`.
fn call(engine: &mut Engine, uid: u64, follower: Option<Follower>) -> oneshot::Receiver<Outcome> {
    let (reply, receiver) = oneshot::channel();
    let call = CallCommand {
        uid,
        frame: request_frame(MANAGER_NAME, "identity", "[]", "{}", uid),
        target: Target::new(MANAGER_NAME, "identity"),
        through: None,
        limit: None,
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
    assert_eq!(receivers.progress.borrow().as_deref(), Some(&b"0.5"[..]));
}
