use std::time::Duration;

use bytes::{Bytes, BytesMut};
use labwire_wire::{
    ArrivingEnvelope, Executed, Features, FrameView, Identity, LineSplitter, LineView, Payload, Salvage,
    TopicPattern,
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::rig::Rig;
use super::{CutThrough, Kind, Permits, Step, Unframed};
use crate::outbox::Outbox;
use crate::refusal::{LineEnd, Refusal};
use crate::registry::PeerId;
use crate::topics::Subscription;
use crate::work::{QUEUES_PER_WORK, TURN_WORK};

impl Rig {
    /// Returns the last line that the client received.
    async fn client_hears(&self) -> String {
        let text = all(self.clients_queue()).await;
        text.trim_end().lines().last().unwrap_or_default().to_owned()
    }
}

/// Returns everything in a queue.
async fn all(queue: &Outbox) -> String {
    let batch = timeout(Duration::from_secs(10), queue.next_batch());
    let batch = batch.await.expect("something is queued").expect("it is open");
    let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
    queue.written(bytes.len(), 0, Instant::now);
    String::from_utf8(bytes).unwrap()
}

/// Returns the identity of a client with these features and this language.
pub(super) fn client(features: &[&str], language: &str) -> Identity {
    Identity {
        features: Features::from_names(features.iter().copied()),
        language: language.to_owned(),
        ..Identity::client("c").unwrap()
    }
}

const REQUEST: &str = r#"{"service":"S","attribute":"a","uid":"1"}"#;

/// Returns what the client receives if the service answers its request with `reply`.
async fn answered(client: &Identity, reply: &str) -> String {
    let mut rig = Rig::new(client);
    assert!(matches!(rig.client_says(REQUEST.as_bytes()), Step::Next));
    assert!(matches!(rig.service_says(reply.as_bytes()), Step::Next));
    rig.client_hears().await
}

#[tokio::test]
async fn a_service_cannot_pass_its_error_off_as_the_managers() {
    let forged = r#"{"error":true,"executed":"no","message":"E: \ud800","origin":"manager","requester":"c[h:2]","result": null,"traceback":["x"],"uid":"1"}"#;
    assert_eq!(
        answered(&client(&["origin"], ""), forged).await,
        r#"{"error":true,"message":"E: \ud800","requester":"c[h:2]","result":null,"traceback":["x"],"uid":"1"}"#
    );
    assert_eq!(
        answered(&client(&["registered"], ""), forged).await,
        forged,
        "a reply to anyone else goes on as it came"
    );
}

#[tokio::test]
async fn a_result_goes_on_as_it_came_whoever_asked() {
    let reply = r#"{"error": false, "origin": 5, "requester": "c[h:2]", "result": 1.10, "uid": "1"}"#;
    assert_eq!(answered(&client(&["origin"], ""), reply).await, reply);
}

#[tokio::test]
async fn a_reply_that_cannot_be_passed_on_may_have_been_executed() {
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    for (language, error, result) in [("", "5", "1"), ("Python 3", "false", deep.as_str())] {
        let reply = format!(r#"{{"error":{error},"requester":"c[h:2]","result":{result},"uid":"1"}}"#);
        let heard = answered(&client(&["origin"], language), &reply).await;
        assert!(
            heard.starts_with(r#"{"error":true,"executed":"maybe","message":""#)
                && heard.contains(r#","origin":"manager","requester":"c[h:2]""#),
            "{heard}"
        );
        let heard = answered(&client(&[], language), &reply).await;
        assert!(
            heard.starts_with(r#"{"error":true,"message":""#) && !heard.contains("origin"),
            "{heard}"
        );
    }
}

/// The beginning of a head, up to the end of the description.
const DESCRIPTION: &[u8] = b"{\"buffers\":[]";

#[tokio::test]
async fn a_payload_goes_on_unchanged_behind_its_head() {
    for size in [0, 10, 100_000] {
        let payload: Bytes = (b'a'..=b'z').cycle().take(size).collect();
        let behind = String::from_utf8(payload.to_vec()).unwrap();
        let payload = Payload::new(payload, DESCRIPTION.len());
        let frame = |head| FrameView::new(LineView::new(head), Some(&payload));
        for features in [&["binary"][..], &["binary", "origin"]] {
            let service = br#"{"type":"service","name":"S","attributes":{},"features":["binary"]}"#;
            let mut rig = Rig::with_service(&client(features, ""), service);
            let link = br#"{"service":"Manager","attribute":"link","args":["S"],"uid":"0"}"#;
            assert!(matches!(rig.client_says(link), Step::Next));
            all(rig.clients_queue()).await;
            for (request, passed) in [
                (
                    &br#"{"buffers":[],"service":"S","attribute":"a","uid":"1"}"#[..],
                    r#"{"buffers":[],"args":[],"attribute":"a","error":false,"kwargs":{},"service":"S","uid":"1","requester":"c[h:2]"}"#,
                ),
                (
                    br#"{"buffers":[],"args":[],"attribute":"a","error":false,"kwargs":{},"service":"S","uid":"2"}"#,
                    r#"{"buffers":[],"args":[],"attribute":"a","error":false,"kwargs":{},"service":"S","uid":"2","requester":"c[h:2]"}"#,
                ),
            ] {
                let step = rig.as_client(|router, from| {
                    router.route_from_client(from, frame(request), &Kind::of(request))
                });
                assert!(matches!(step, Step::Next));
                let heard = all(rig.services_queue()).await;
                assert_eq!(heard, format!("{passed}\r\n{behind}"));
            }
            for (line, passed) in [
                (
                    &br#"{"buffers":[],"error":false,"requester":"c[h:2]","result":1,"uid":"1"}"#[..],
                    r#"{"buffers":[],"error":false,"requester":"c[h:2]","result":1,"uid":"1"}"#,
                ),
                (
                    br#"{"buffers":[],"result":1,"requester":"c[h:2]","uid":"2"}"#,
                    r#"{"buffers":[],"error":false,"requester":"c[h:2]","result":1,"uid":"2"}"#,
                ),
                (
                    br#"{"buffers":[],"error":false,"result":[[],{}],"service":"S","uid":"notification"}"#,
                    r#"{"buffers":[],"error":false,"result":[[],{}],"service":"S","uid":"notification"}"#,
                ),
            ] {
                let step = rig
                    .as_service(|router, from| router.route_from_service(from, frame(line), &Kind::of(line)));
                assert!(matches!(step, Step::Next));
                let heard = all(rig.clients_queue()).await;
                assert_eq!(heard, format!("{passed}\r\n{behind}"));
            }
        }
    }
}

#[test]
fn telling_many_who_watch_the_manager_counts_as_work() {
    let mut rig = Rig::new(&client(&[], ""));
    let watcher = Outbox::alone(1 << 20);
    for attribute in ["link", "unlink"] {
        let line = format!(r#"{{"service":"Manager","attribute":"{attribute}","args":["S"],"uid":"1"}}"#);
        let work = rig.as_client(|router, from| {
            for peer in 1..=1_000 {
                let topics = &router.events.topics;
                topics
                    .subscribe(PeerId::sample(1_000 + peer), &watcher, Subscription::Manager)
                    .unwrap();
            }
            router.work = 1;
            let view = LineView::new(line.as_bytes());
            router.route_from_client(from, view.into(), &Kind::of(line.as_bytes()));
            router.work
        });
        assert!(work > 1_000 / QUEUES_PER_WORK, "{attribute}: {work}");
    }
}

#[tokio::test]
async fn a_value_that_waits_is_composed_once_and_is_not_refused_as_if_it_were_not_delivered() {
    let mut rig = Rig::new(&client(&[], ""));
    let [reads, full] = [1 << 30, 1_000].map(Outbox::alone);
    full.push_always(|writer| writer.copied(&[b' '; 1_000]));
    let line = format!(
        r#"{{"service":"Manager","attribute":"publish","args":["a","{}"],"uid":"1"}}"#,
        "x".repeat(10_000)
    );
    let (kind, view) = (Kind::of(line.as_bytes()), LineView::new(line.as_bytes()));
    let route = |rig: &mut Rig, permits| {
        rig.as_client(|router, from| {
            router.permits = permits;
            router.work = 0;
            let step = router.route_from_client(from, view.into(), &kind);
            (step, router.work)
        })
    };
    rig.as_client(|router, _| {
        for (outbox, peer) in [(&reads, 1_001), (&full, 1_002)] {
            let pattern = Subscription::Pattern(TopicPattern::new("a").unwrap());
            let topics = &router.events.topics;
            topics.subscribe(PeerId::sample(peer), outbox, pattern).unwrap();
        }
    });
    let (Step::Wait(permits), work) = route(&mut rig, Permits::default()) else {
        panic!("one queue is full");
    };
    assert!(work >= 18, "{work}");
    let budget = 1;
    let end = permits.end_of_line(LineEnd::OverBudget { budget });
    assert_eq!(end, LineEnd::DeliveredInPart { budget });
    assert_eq!(Refusal::LineEnded(end).executed(), Executed::Maybe);
    let (Step::Wait(permits), work) = route(&mut rig, permits) else {
        panic!("it is full still");
    };
    assert_eq!(work, 0, "it is neither read nor copied again");
    assert_eq!(all(&full).await.len(), 1_000);
    assert!(matches!(route(&mut rig, permits).0, Step::Next));
    assert_eq!(all(&full).await, all(&reads).await);
    assert!(rig.client_hears().await.contains("true"));
}

/// Returns whether one of the permits is granted, or its peer may not receive the frame any more.
fn is_ready(permits: &Permits) -> bool {
    let granted = std::pin::pin!(permits.granted());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    granted.poll(&mut context).is_ready()
}

#[test]
fn who_ends_a_link_or_a_subscription_delays_no_sender_any_more() {
    let about = |attribute: &str, name: &str| {
        format!(r#"{{"service":"Manager","attribute":"{attribute}","args":["{name}"],"uid":"1"}}"#)
    };
    let text = "x".repeat(600_000);
    let value = format!(r#"{{"service":"Manager","attribute":"publish","args":["a.b","{text}"],"uid":"1"}}"#);
    let notification =
        format!(r#"{{"error":false,"result":[["{text}"],{{}}],"service":"S","uid":"notification"}}"#);
    let (link, unlink) = (about("link", "S"), about("unlink", "S"));
    let [exact, pattern, other] = ["a.b", "a.*", "c"].map(|topic| about("subscribe", topic));
    let [no_exact, no_pattern, no_other] = ["a.b", "a.*", "c"].map(|topic| about("unsubscribe", topic));
    for (before, line, ends) in [
        (vec![&exact], &value, vec![&no_exact]),
        (vec![&exact, &other], &value, vec![&no_exact]),
        (
            vec![&exact, &pattern, &other],
            &value,
            vec![&no_exact, &no_other, &no_pattern],
        ),
        (vec![&link, &other], &notification, vec![&no_other, &unlink]),
    ] {
        let mut rig = Rig::new(&client(&[], ""));
        for line in before {
            assert!(matches!(rig.client_says(line.as_bytes()), Step::Next));
        }
        let (kind, view) = (Kind::of(line.as_bytes()), LineView::new(line.as_bytes()));
        let route = |rig: &mut Rig, permits| {
            rig.as_service(|router, from| {
                router.permits = permits;
                router.route_from_service(from, view.into(), &kind)
            })
        };
        assert!(matches!(route(&mut rig, Permits::default()), Step::Next));
        let Step::Wait(mut permits) = route(&mut rig, Permits::default()) else {
            panic!("the queue has no room for another one");
        };
        for (place, end) in ends.iter().enumerate() {
            assert!(!is_ready(&permits), "{place}");
            assert!(matches!(rig.client_says(end.as_bytes()), Step::Next));
            // It looks again each time, and waits in its place while it is received.
            assert!(is_ready(&permits), "{place}");
            match route(&mut rig, std::mem::take(&mut permits)) {
                Step::Wait(waiting) if place + 1 < ends.len() => permits = waiting,
                Step::Next if place + 1 == ends.len() => {}
                step => panic!("{place}: {step:?}"),
            }
        }
        let queued = rig.clients_queue().queued();
        assert!((600_000..610_000).contains(&queued), "{queued} bytes are queued");
        let next = rig.clients_queue().push(1, |writer| writer.copied(b" "));
        assert!(next.is_ok(), "nobody waits");
    }
}

#[test]
fn a_service_whose_own_queue_is_full_still_publishes_but_not_without_end() {
    let mut rig = Rig::new(&client(&[], ""));
    let line = br#"{"service":"Manager","attribute":"publish","args":["a",1],"uid":"1"}"#;
    let fill = |rig: &Rig, bytes: usize| {
        rig.services_queue()
            .push_always(|writer| writer.copied(&vec![b' '; bytes]));
    };
    fill(&rig, 1 << 20);
    assert!(rig.services_queue().is_full());
    assert!(matches!(rig.service_says(line), Step::Next));
    let subscribe = br#"{"service":"Manager","attribute":"subscribe","args":["a"],"uid":"2"}"#;
    assert!(matches!(rig.service_says(subscribe), Step::Wait(_)));
    fill(&rig, 3 << 20);
    assert!(matches!(rig.service_says(line), Step::Wait(_)));
}

#[test]
fn what_takes_long_counts_as_much_work() {
    let work = |rig: &mut Rig, line: &str| {
        rig.as_client(|router, from| {
            let view = LineView::new(line.as_bytes());
            router.route_from_client(from, view.into(), &Kind::of(line.as_bytes()));
            router.work
        })
    };
    let attributes = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000));
    let service = format!(r#"{{"type":"service","name":"S","attributes":{attributes}}}"#);
    let mut rig = Rig::with_service(&client(&[], ""), service.as_bytes());
    assert_eq!(work(&mut rig, REQUEST), 0);
    let refused = r#"{"service":"Manager","attribute":"link","args":["T"],"uid":"1"}"#;
    assert!(work(&mut rig, refused) > 10);
    let identity = r#"{"service":"Manager","attribute":"identity","uid":"1"}"#;
    assert!(work(&mut rig, identity) > 900);
    let status = r#"{"service":"Manager","attribute":"status","args":["clients"],"uid":"1"}"#;
    assert!(work(&mut rig, status) >= TURN_WORK);
    let long = format!(
        r#"{{"service":"Manager","attribute":"port","args":["{}"]}}"#,
        "x".repeat(60_000)
    );
    assert!(work(&mut rig, &long) > 50);
}

#[tokio::test]
async fn a_refused_line_was_not_executed() {
    for line in [
        r#"{"service":"T","attribute":"a","uid":"1"}"#,
        r#"{"service":"S","attribute":5,"uid":"1"}"#,
        r#"{"service":"Manager","attribute":"link","args":["T"],"uid":"1"}"#,
        r#"{"service":"#,
        "[]",
        "nonsense",
    ] {
        let mut rig = Rig::new(&client(&["origin"], ""));
        assert!(matches!(rig.client_says(line.as_bytes()), Step::Next));
        let heard = rig.client_hears().await;
        assert!(
            heard.starts_with(r#"{"error":true,"executed":"no","message":""#)
                && heard.contains(r#","origin":"manager","requester":"c[h:2]""#),
            "{line}: {heard}"
        );
    }
}

/// Routes a line that arrives in pieces of `size` bytes. Returns whether it was cut through.
/// `begin` is called with each piece until it begins that.
fn arrive(
    rig: &mut Rig,
    line: &str,
    size: usize,
    begin: fn(&mut Rig, &[u8], &ArrivingEnvelope) -> Option<CutThrough>,
) -> bool {
    let mut splitter = LineSplitter::new(usize::MAX);
    let mut arriving = ArrivingEnvelope::default();
    let mut cut_through = None;
    for piece in line.as_bytes().chunks(size) {
        splitter.extend(piece);
        splitter.note_searched(arriving.look(splitter.buffer()));
        if let Some(rest) = splitter.next_line().unwrap() {
            let Some(cut_through) = cut_through else {
                return false;
            };
            let kind = match arriving.finish(rest.content()) {
                Ok(envelope) => Kind::Frame(envelope),
                Err(error) => Kind::Broken(Box::new(Unframed {
                    error,
                    salvage: Salvage::default(),
                })),
            };
            rig.as_client(|router, from| {
                router.end_cut_through(from, cut_through, rest.view().into(), &kind);
            });
            return true;
        }
        if cut_through.is_none() {
            cut_through = begin(rig, splitter.buffer(), &arriving);
        }
        if let Some(cut_through) = &mut cut_through
            && let Some(passing) = cut_through.go_on(splitter.buffer(), &arriving)
        {
            let bytes = splitter.take_out(passing.range.clone(), BytesMut::new());
            arriving.take_out(passing.range.clone());
            cut_through.pass(&passing, &bytes);
        }
    }
    panic!("the line has no end");
}

fn begin_request(rig: &mut Rig, line: &[u8], arriving: &ArrivingEnvelope) -> Option<CutThrough> {
    rig.as_client(|router, from| router.cut_request_through(from, line, arriving))
}

fn begin_reply(rig: &mut Rig, line: &[u8], arriving: &ArrivingEnvelope) -> Option<CutThrough> {
    rig.as_service(|router, from| router.cut_reply_through(from, line, arriving))
}

/// Whatever pieces a request arrives in, its service receives the same as if it had arrived whole.
#[tokio::test]
async fn a_request_that_goes_on_while_it_arrives_is_the_same_as_a_whole_one() {
    let start = r#"{"service":"S","attribute":"a","uid":"1""#;
    let mut begun = 0;
    for end in [
        r#","args":["xyz",[1.5e3,{"a":{}}],"\u00e9\"é"]}"#,
        r#", "args" : [ "xyz" ] , "kwargs" : {"k" : [ null ]} }"#,
        r#","kwargs":{"k":"v"},"args":[]}"#,
        r#","args":[1],"requester":"somebody","more":{"args":[2]},"kwargs":{},"error":false,"last":"x"}"#,
        r#","more":[1,2,3],"kwargs":{"a":1},"error":false,"args":[true]}"#,
        r#","error":false,"kwargs":{"a":1}}"#,
    ] {
        let line = format!("{start}{end}\r\n");
        let mut whole = Rig::cut_through();
        assert!(matches!(whole.client_says(line.as_bytes()), Step::Next));
        let expected: Value = serde_json::from_str(&all(whole.services_queue()).await).unwrap();
        for size in 1..line.len() {
            let mut rig = Rig::cut_through();
            if !arrive(&mut rig, &line, size, begin_request) {
                continue;
            }
            begun += 1;
            let heard = all(rig.services_queue()).await;
            assert!(heard.ends_with("}\r\n"), "in pieces of {size}: {heard}");
            let found: Value = serde_json::from_str(&heard).unwrap();
            assert_eq!(found, expected, "in pieces of {size}: {heard}");
            assert_eq!(
                heard.matches(r#""requester""#).count(),
                1,
                "in pieces of {size}: {heard}"
            );
            let reply = r#"{"error":false,"requester":"c[h:2]","result":7,"uid":"1"}"#;
            assert!(matches!(rig.service_says(reply.as_bytes()), Step::Next));
            assert_eq!(rig.client_hears().await, reply, "it is under way");
        }
    }
    assert!(begun >= 100, "{begun} went on before their end");
}

#[tokio::test]
async fn a_reply_that_goes_on_while_it_arrives_is_the_same_byte_for_byte() {
    let mut begun = 0;
    for end in [
        r#""result":["xyz",[1.5e3,{"a":{}}],"\u00e9\"é"]}"#,
        r#" "more" : {}, "result" : "long" , "again" : [ 1, 2 ] }"#,
    ] {
        let line = format!("{{\"error\":false,\"requester\":\"c[h:2]\",\"uid\":\"1\",{end}\r\n");
        for size in 1..line.len() {
            let mut rig = Rig::cut_through();
            all(rig.clients_queue()).await;
            assert!(matches!(rig.client_says(REQUEST.as_bytes()), Step::Next));
            if arrive(&mut rig, &line, size, begin_reply) {
                begun += 1;
                assert_eq!(all(rig.clients_queue()).await, line, "in pieces of {size}");
                assert!(matches!(rig.service_says(line.as_bytes()), Step::Next));
                assert!(rig.clients_queue().queued() == 0, "a second one is nobody's");
            }
        }
    }
    assert!(begun >= 50, "{begun} went on before their end");
}

#[tokio::test]
async fn what_could_be_refused_or_is_for_somebody_else_is_whole_before_it_goes_on() {
    let deep = "[".repeat(1_025);
    for begun in [
        r#"{"service":"T","attribute":"a","uid":"1","args":["#.to_owned(),
        r#"{"service":"Manager","attribute":"a","uid":"1","args":["#.to_owned(),
        r#"{"service":"S","attribute":"__disconnect__","uid":"1","args":["#.to_owned(),
        r#"{"service":"S","attribute":"a","args":["#.to_owned(),
        r#"{"service":"S","attribute":"a","uid":"notification","args":["#.to_owned(),
        r#"{"service":"S","attribute":"a","uid":"1","args":{"#.to_owned(),
        r#"{"service":"S","attribute":"a","uid":"1","result":["#.to_owned(),
        r#"{"service":"S","attribute":"a","uid":"1","error":true,"args":["#.to_owned(),
        format!(r#"{{"service":"S","attribute":"a","uid":"1","args":{deep}"#),
        format!(
            r#"{{"service":"S","attribute":"a","uid":"1","x":"{}","args":["#,
            "x".repeat(16_384)
        ),
    ] {
        let mut rig = Rig::cut_through();
        let mut arriving = ArrivingEnvelope::default();
        arriving.look(begun.as_bytes());
        assert!(
            begin_request(&mut rig, begun.as_bytes(), &arriving).is_none(),
            "{begun}"
        );
    }
    for begun in [
        r#"{"error":false,"requester":"c[h:3]","uid":"1","result":["#,
        r#"{"error":false,"requester":"c[h:2]","uid":"2","result":["#,
        r#"{"error":false,"requester":"c[h:2]","result":["#,
        r#"{"requester":"c[h:2]","uid":"1","result":["#,
        r#"{"error":true,"requester":"c[h:2]","uid":"1","result":["#,
        r#"{"error":false,"requester":"c[h:2]","uid":"1","more":["#,
    ] {
        let mut rig = Rig::cut_through();
        assert!(matches!(rig.client_says(REQUEST.as_bytes()), Step::Next));
        let mut arriving = ArrivingEnvelope::default();
        arriving.look(begun.as_bytes());
        assert!(
            begin_reply(&mut rig, begun.as_bytes(), &arriving).is_none(),
            "{begun}"
        );
    }
}

/// An error about a line's end waits in its sender's own queue, which is bounded like all queues.
#[tokio::test]
async fn a_sender_whose_own_queue_is_full_must_send_whole_lines() {
    let begun = br#"{"service":"S","attribute":"a","uid":"2","args":["#;
    let reply = br#"{"error":false,"requester":"c[h:2]","uid":"1","result":["#;
    let [mut arriving, mut arriving_reply] = [(); 2].map(|()| ArrivingEnvelope::default());
    arriving.look(begun);
    arriving_reply.look(reply);
    let full = |queue: &Outbox| queue.push_always(|frame| frame.copied(&vec![b'x'; 2 << 20]));

    let mut rig = Rig::cut_through();
    full(rig.clients_queue());
    assert!(begin_request(&mut rig, begun, &arriving).is_none());
    all(rig.clients_queue()).await;
    assert!(begin_request(&mut rig, begun, &arriving).is_some());

    let mut rig = Rig::cut_through();
    all(rig.clients_queue()).await;
    assert!(matches!(rig.client_says(REQUEST.as_bytes()), Step::Next));
    full(rig.services_queue());
    assert!(begin_reply(&mut rig, reply, &arriving_reply).is_none());
    all(rig.services_queue()).await;
    assert!(begin_reply(&mut rig, reply, &arriving_reply).is_some());
}
