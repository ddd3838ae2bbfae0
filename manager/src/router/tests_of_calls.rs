//! Progress, items, cancellation and deadlines, as the router handles them.

mod random;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::Step;
use super::rig::Rig;
use super::tests::client;
use crate::outbox::Outbox;

const PLAIN: &str = r#"{"type":"service","name":"S","attributes":{}}"#;
const ABLE: &str = r#"{"type":"service","name":"S","attributes":{},"features":["progress","cancel"]}"#;

fn rig(features: &[&str], service: &str) -> Rig {
    Rig::with_service(&client(features, ""), service.as_bytes())
}

/// Returns the frames that wait in a queue.
async fn frames(queue: &Outbox) -> Vec<Value> {
    let mut text = Vec::new();
    while let Ok(Some(batch)) = timeout(Duration::ZERO, queue.next_batch()).await {
        for segment in batch.segments() {
            text.extend_from_slice(segment);
        }
    }
    let lines = std::str::from_utf8(&text).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Rig {
    #[track_caller]
    fn asks(&mut self, line: &Value) {
        assert!(matches!(
            self.client_says(line.to_string().as_bytes()),
            Step::Next
        ));
    }

    #[track_caller]
    fn serves(&mut self, line: &Value) {
        assert!(matches!(
            self.service_says(line.to_string().as_bytes()),
            Step::Next
        ));
    }

    async fn clients(&self) -> Vec<Value> {
        frames(self.clients_queue()).await
    }

    async fn services(&self) -> Vec<Value> {
        frames(self.services_queue()).await
    }

    fn check(&mut self) {
        self.as_client(|router, _| assert_eq!(router.registry.contradiction(), None));
    }

    /// Returns a counter.
    fn count(&mut self, name: &str) -> u64 {
        self.as_client(|router, _| {
            let mut all = router.counters.all();
            all.find(|(own, _)| *own == name)
                .expect("there is such a counter")
                .1
        })
    }

    /// Handles the deadlines that have passed after this time.
    fn expire(&mut self, after: Duration) {
        self.as_client(|router, _| {
            let now = router.moment().instant + after;
            while let Some(event) = router.registry.expire(now) {
                router.events.publish(event, None);
            }
        });
    }
}

fn request(uid: &str) -> Value {
    json!({ "service": "S", "attribute": "a", "uid": uid })
}

fn with(mut line: Value, member: &str, value: Value) -> Value {
    line[member] = value;
    line
}

fn partial(member: &str, value: Value, uid: &str) -> Value {
    with(json!({ "requester": "c[h:2]", "uid": uid }), member, value)
}

fn reply(uid: &str) -> Value {
    json!({ "error": false, "requester": "c[h:2]", "result": "done", "uid": uid })
}

fn cancel(uid: &str, kwargs: &Value) -> Value {
    json!({ "service": "Manager", "attribute": "cancel", "args": [uid], "kwargs": kwargs, "uid": "cancel" })
}

#[tokio::test]
async fn progress_and_items_reach_a_caller_that_asked_for_them_and_nobody_else() {
    for (features, asks, hears) in [
        (&[][..], json!(true), true),
        (&["progress"], json!(null), true),
        (&[], json!(null), false),
        (&[], json!(false), false),
    ] {
        let mut rig = rig(features, ABLE);
        rig.asks(&with(request("1"), "progress", asks));
        let asked = rig.services().await;
        assert_eq!(
            asked[0].get("progress"),
            hears.then_some(&json!(true)),
            "{asked:?}"
        );
        rig.serves(&partial("progress", json!(0.5), "1"));
        rig.serves(&partial("item", json!([1]), "1"));
        rig.serves(&reply("1"));
        let mut expected = vec![reply("1")];
        if hears {
            expected.insert(0, partial("item", json!([1]), "1"));
            expected.insert(0, partial("progress", json!(0.5), "1"));
        }
        assert_eq!(rig.clients().await, expected);
        assert_eq!(rig.count("unheard"), if hears { 0 } else { 2 });
        // It has ended.
        rig.serves(&partial("item", json!(2), "1"));
        assert_eq!(rig.clients().await.len(), 0);
        rig.check();
    }
}

#[tokio::test]
async fn only_the_latest_progress_waits_for_a_reader_and_all_items_do() {
    let mut rig = rig(&[], ABLE);
    rig.asks(&with(request("1"), "progress", json!(true)));
    for number in 0..100 {
        rig.serves(&partial("progress", json!(number), "1"));
        rig.serves(&partial("item", json!(number), "1"));
    }
    rig.serves(&reply("1"));
    let heard = rig.clients().await;
    assert_eq!(heard.len(), 102);
    assert_eq!(heard[0], partial("progress", json!(99), "1"));
    for (number, item) in heard[1..101].iter().enumerate() {
        assert_eq!(*item, partial("item", json!(number), "1"));
    }
    assert_eq!(heard[101], reply("1"));
    assert_eq!(rig.count("progress_replaced"), 99);
}

#[tokio::test]
async fn a_service_without_the_feature_sends_a_malformed_reply() {
    let mut rig = rig(&["progress"], PLAIN);
    rig.asks(&request("1"));
    assert_eq!(rig.services().await[0].get("progress"), None);
    rig.serves(&partial("item", json!(1), "1"));
    let heard = rig.clients().await;
    assert_eq!((&heard[0]["error"], heard.len()), (&json!(true), 1), "{heard:?}");
}

#[tokio::test]
async fn what_no_client_could_read_is_refused_and_the_request_goes_on() {
    let deep = "[".repeat(950) + &"]".repeat(950);
    for (wrong, message) in [
        (
            with(partial("item", json!(1), "1"), "progress", json!(1)),
            "not both",
        ),
        (json!({ "item": 1, "uid": "1" }), "\"requester\" is missing"),
        (
            json!({ "progress": 1, "requester": "c[h:2]" }),
            "\"uid\" is missing",
        ),
        (
            partial("progress", json!("x".repeat(70_000)), "1"),
            "send large values as items",
        ),
        (Value::Null, "cannot read this value"),
    ] {
        let mut rig = Rig::with_service(&client(&[], "Python 3"), ABLE.as_bytes());
        rig.asks(&with(request("1"), "progress", json!(true)));
        rig.services().await;
        let line = match wrong {
            Value::Null => format!(r#"{{"item":{deep},"requester":"c[h:2]","uid":"1"}}"#),
            wrong => wrong.to_string(),
        };
        assert!(matches!(rig.service_says(line.as_bytes()), Step::Next));
        let told = rig.services().await;
        assert!(told[0]["message"].as_str().unwrap().contains(message), "{told:?}");
        rig.serves(&reply("1"));
        assert_eq!(rig.clients().await, [reply("1")]);
    }
}

#[tokio::test]
async fn an_item_waits_for_room_and_is_neither_lost_nor_doubled() {
    let mut rig = rig(&[], ABLE);
    rig.asks(&with(request("1"), "progress", json!(true)));
    let item = partial("item", json!("x".repeat(500_000)), "1").to_string();
    let mut sent = 0;
    let waiting = loop {
        match rig.service_says(item.as_bytes()) {
            Step::Next => sent += 1,
            step => break step,
        }
        assert!(sent < 100, "the queue has no limit");
    };
    assert!(matches!(waiting, Step::Wait(_)));
    drop(waiting);
    let heard = rig.clients().await;
    assert_eq!(heard.len(), sent);
}

#[tokio::test]
async fn a_service_that_can_is_asked_once_to_stop_and_ends_the_request_itself() {
    let mut rig = rig(&[], ABLE);
    rig.asks(&request("1"));
    rig.asks(&cancel("1", &json!({ "reason": "too hot" })));
    rig.asks(&cancel("1", &json!({})));
    let told = rig.services().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1]["attribute"], "cancel");
    assert_eq!(told[1]["args"], json!(["c[h:2]", "1"]));
    assert_eq!(
        told[1]["kwargs"],
        json!({ "cause": "client", "reason": "too hot" })
    );
    let heard = rig.clients().await;
    let results: Vec<&Value> = heard.iter().map(|answer| &answer["result"]).collect();
    assert_eq!(results, [&json!("asked"), &json!("asked before")]);
    rig.serves(&reply("1"));
    assert_eq!(rig.clients().await, [reply("1")]);
    rig.asks(&cancel("1", &json!({})));
    let heard = rig.clients().await;
    assert!(
        heard[0]["message"].as_str().unwrap().starts_with("KeyError: "),
        "{heard:?}"
    );
    assert_eq!(rig.count("cancel_refused"), 1);
    rig.check();
}

#[tokio::test]
async fn a_request_to_a_service_that_cannot_stop_ends_at_once_and_its_reply_is_dropped() {
    let mut rig = rig(&["origin"], PLAIN);
    rig.asks(&request("1"));
    rig.services().await;
    rig.asks(&cancel("1", &json!({})));
    assert_eq!(rig.services().await.len(), 0);
    let heard = rig.clients().await;
    assert_eq!(
        (&heard[0]["uid"], &heard[0]["executed"]),
        (&json!("1"), &json!("maybe"))
    );
    assert_eq!(heard[0]["ended"], "cancelled");
    assert_eq!(heard[1]["result"], "ended");
    // The reply that still comes must not answer another request.
    rig.asks(&request("1"));
    let heard = rig.clients().await;
    assert!(
        heard[0]["message"]
            .as_str()
            .unwrap()
            .contains("choose another uid"),
        "{heard:?}"
    );
    rig.asks(&request("2"));
    rig.serves(&reply("1"));
    assert_eq!(rig.clients().await.len(), 0);
    assert_eq!((rig.count("late_replies"), rig.count("unsolicited")), (1, 0));
    rig.asks(&request("1"));
    rig.serves(&reply("2"));
    rig.serves(&reply("1"));
    assert_eq!(rig.clients().await, [reply("2"), reply("1")]);
    rig.check();
}

#[tokio::test]
async fn a_deadline_ends_the_request_and_the_service_is_asked_to_stop() {
    for (service, is_able) in [(PLAIN, false), (ABLE, true)] {
        let mut rig = rig(&["origin"], service);
        rig.asks(&with(request("1"), "deadline", json!(2.5)));
        let asked = rig.services().await;
        assert_eq!(asked[0].get("deadline"), is_able.then_some(&json!(2.5)));
        rig.expire(Duration::from_millis(2_400));
        assert_eq!(rig.clients().await.len(), 0);
        rig.expire(Duration::from_millis(2_600));
        let heard = rig.clients().await;
        assert_eq!((heard.len(), &heard[0]["uid"]), (1, &json!("1")));
        assert_eq!(
            (&heard[0]["ended"], &heard[0]["executed"]),
            (&json!("deadline"), &json!("maybe"))
        );
        let message = heard[0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("TimeoutError: the 'S' Service did not reply within 2.5 s"),
            "{message}"
        );
        let told = rig.services().await;
        assert_eq!(told.len(), usize::from(is_able));
        if is_able {
            assert_eq!(told[0]["kwargs"], json!({ "cause": "deadline" }));
        }
        rig.serves(&partial("progress", json!(1), "1"));
        rig.serves(&reply("1"));
        assert_eq!(rig.clients().await.len(), 0);
        assert_eq!((rig.count("deadlines_passed"), rig.count("late_replies")), (1, 1));
        rig.check();
    }
}

#[tokio::test]
async fn a_request_that_is_answered_in_time_has_no_deadline_any_more() {
    let mut rig = rig(&[], ABLE);
    rig.asks(&with(request("1"), "deadline", json!(1)));
    rig.serves(&reply("1"));
    rig.check();
    rig.expire(Duration::from_secs(10));
    assert_eq!(rig.clients().await, [reply("1")]);
}

#[tokio::test]
async fn deadlines_that_mean_nothing_are_refused_and_the_service_is_not_asked() {
    let mut rig = rig(&["origin"], ABLE);
    for deadline in [json!(0), json!(-1), json!("2"), json!(null), json!(1e9)] {
        rig.asks(&with(request("1"), "deadline", deadline.clone()));
        let heard = rig.clients().await;
        assert_eq!(heard[0]["executed"], "no", "{deadline}");
        let message = heard[0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("not {deadline}")), "{message}");
    }
    rig.asks(&with(request(""), "deadline", json!(1)));
    assert!(
        rig.clients().await[0]["message"]
            .as_str()
            .unwrap()
            .contains("needs a uid")
    );
    assert_eq!(rig.services().await.len(), 0);
    assert_eq!(rig.count("deadlines_refused"), 6);
}

#[tokio::test]
async fn typing_cancel_stops_what_was_typed() {
    for (service, result) in [(PLAIN, "ended"), (ABLE, "asked")] {
        let mut rig = rig(&[], service);
        assert!(matches!(rig.client_says(b"S measure 1"), Step::Next));
        rig.asks(&request("1"));
        rig.services().await;
        assert!(matches!(rig.client_says(b"cancel T"), Step::Next));
        assert!(
            rig.clients().await[0]["message"]
                .as_str()
                .unwrap()
                .contains("to the 'T' Service")
        );
        assert!(matches!(rig.client_says(b"cancel"), Step::Next));
        let heard = rig.clients().await;
        assert_eq!(heard.last().unwrap()["result"], result);
        if service == ABLE {
            assert_eq!(rig.services().await[0]["args"], json!(["c[h:2]", ""]));
        } else {
            assert!(
                heard[0]["message"]
                    .as_str()
                    .unwrap()
                    .starts_with("CancelledError: ")
            );
        }
        rig.serves(&reply("1"));
        assert_eq!(rig.clients().await, [reply("1")]);
        rig.check();
    }
}
