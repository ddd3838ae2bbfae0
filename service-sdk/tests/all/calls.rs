//! Calls, their results and their errors.

use std::sync::Arc;
use std::time::Duration;

use labwire_service::{
    Attribute, Attributes, Keywords, Parameter, Positional, Reply, Request, Service, ServiceError, args,
    service,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::peer::{Peer, serve, soon};

struct Bench {
    gate: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
#[error("the meter does not answer")]
struct MeterError(#[from] std::num::ParseIntError);

#[service(name = "Test Bench")]
impl Bench {
    pub const UNIT: &str = "°C";

    pub fn echo(&self, args: Positional, kwargs: Keywords) -> (Positional, Keywords) {
        (args, kwargs)
    }

    pub fn fail(&self, text: &str) -> Result<i32, MeterError> {
        Ok(text.parse::<i32>()?)
    }

    pub fn panic(&self) {
        panic!("on purpose");
    }

    pub async fn panic_later(&self) {
        tokio::task::yield_now().await;
        panic!("on {}", "purpose");
    }

    pub async fn wait(&self, n: i32) -> i32 {
        self.gate.acquire().await.unwrap().forget();
        n
    }

    pub fn block(&self, n: i32) -> i32 {
        futures_free_block_on(async { self.gate.acquire().await.unwrap().forget() });
        n
    }

    pub fn open(&self, places: usize) {
        self.gate.add_permits(places);
    }

    pub fn who(&self, request: &Request) -> (String, String) {
        (request.requester().to_owned(), request.uid().to_owned())
    }

    pub async fn tell(&self, request: Request, text: String) {
        request.notifier().notify(args![text, n = 1]).unwrap();
    }

    pub fn large(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    pub fn strange(&self) -> std::collections::BTreeMap<(u8, u8), u8> {
        [((1, 2), 3)].into()
    }

    #[property]
    pub fn model(&self) -> &'static str {
        "T-1000"
    }

    fn private(&self) -> bool {
        true
    }

    pub(crate) fn within(&self) -> bool {
        self.private()
    }

    pub fn new() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
        }
    }
}

fn futures_free_block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Handle::current().block_on(future)
}

#[tokio::test]
async fn a_number_for_a_uid_comes_back_as_it_was_written_and_null_is_no_keyword_argument() {
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    let requester = peer.name().to_owned();
    for uid in ["5", "1.50", "123456789012345678901234567890"] {
        for (attribute, end) in [
            ("who", format!("[\"{requester}\",\"{uid}\"]")),
            ("nothing", "null".to_owned()),
        ] {
            peer.send_with_uid("Test Bench", attribute, "[]", "null", uid)
                .await;
            let line = peer.line().await;
            assert!(line.contains(&format!("\"result\":{end}")), "{line}");
            assert!(line.ends_with(&format!(",\"uid\":{uid}}}")), "{line}");
        }
    }
}

#[tokio::test]
async fn payloads_come_back_byte_for_byte_with_requester_and_uid() {
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    let requester = peer.name().to_owned();
    for uid in ["", "7"] {
        peer.send(
            "Test Bench",
            "echo",
            "[1.10,NaN, 1e400]",
            "{\"é\":-Infinity}",
            uid,
        )
        .await;
        assert_eq!(
            peer.line().await,
            format!(
                "{{\"error\":false,\"requester\":\"{requester}\",\"result\":[[1.10,NaN,1e400],{{\"é\":-Infinity}}],\
                 \"uid\":\"{uid}\"}}"
            )
        );
    }
}

#[tokio::test]
async fn errors_and_panics_are_error_replies() {
    assert!(Bench::new().within());
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    peer.send("Test Bench", "fail", "[\"x\"]", "{}", "1").await;
    let reply = peer.receive().await;
    assert_eq!(reply["message"], "MeterError: the meter does not answer");
    assert_eq!(
        reply["traceback"],
        json!(["caused by: invalid digit found in string"])
    );
    assert_eq!(
        (&reply["error"], &reply["result"], &reply["uid"]),
        (&json!(true), &json!(null), &json!("1"))
    );
    assert_eq!(peer.call("Test Bench", "fail", json!(["7"])).await, Ok(json!(7)));
    for (attribute, expected) in [
        ("panic", "RuntimeError: the service panicked: on purpose"),
        ("panic_later", "RuntimeError: the service panicked: on purpose"),
        (
            "nothing",
            "AttributeError: the 'Test Bench' service has no attribute 'nothing'",
        ),
        (
            "private",
            "AttributeError: the 'Test Bench' service has no attribute 'private'",
        ),
        (
            "within",
            "AttributeError: the 'Test Bench' service has no attribute 'within'",
        ),
        (
            "new",
            "AttributeError: the 'Test Bench' service has no attribute 'new'",
        ),
        ("_x", "PermissionError: Cannot request a private attribute"),
        (
            "strange",
            "TypeError: the value cannot be written as JSON: a key must be a string, a number or a boolean",
        ),
    ] {
        assert_eq!(
            peer.call("Test Bench", attribute, json!([])).await,
            Err(expected.to_owned())
        );
    }
}

#[tokio::test]
async fn values_are_listed_and_can_be_asked_for() {
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    let identity = peer.link("Test Bench").await;
    assert_eq!(identity["attributes"]["model"], "T-1000");
    assert_eq!(identity["attributes"]["UNIT"], "°C");
    assert_eq!(
        identity["attributes"]["echo"],
        "(*args, **kwargs) -> tuple[list, dict]"
    );
    assert_eq!(identity["attributes"]["tell"], "(text: str) -> None");
    assert_eq!(
        peer.call("Test Bench", "model", json!([])).await,
        Ok(json!("T-1000"))
    );
    assert_eq!(peer.call("Test Bench", "UNIT", json!([])).await, Ok(json!("°C")));
}

#[tokio::test]
async fn a_method_can_know_who_asks() {
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    let expected = json!([peer.name(), "ask"]);
    assert_eq!(peer.call("Test Bench", "who", json!([])).await, Ok(expected));
}

#[tokio::test]
async fn notifications_go_to_linked_clients() {
    let (manager, running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    peer.link("Test Bench").await;
    peer.send("Test Bench", "tell", "[\"é\"]", "{}", "1").await;
    assert_eq!(
        peer.line().await,
        "{\"error\":false,\"result\":[[\"é\"],{\"n\":1}],\"service\":\"Test Bench\",\"uid\":\"notification\"}"
    );
    assert_eq!(peer.receive().await["uid"], "1");
    let notifier = running.notifier().clone();
    std::thread::spawn(move || notifier.notify((2,)).unwrap())
        .join()
        .unwrap();
    assert_eq!(peer.receive().await["result"], json!([[2], {}]));
}

#[tokio::test]
async fn async_methods_overlap_without_a_limit_and_blocking_ones_up_to_theirs() {
    let manager = labwire_testing::TestManager::start().await;
    let runner = crate::peer::runner(&manager, Bench::new()).concurrency(3);
    let _running = runner.connect().await.unwrap();
    let mut peer = Peer::connect(&manager).await;
    for n in 0..100 {
        peer.send("Test Bench", "wait", &format!("[{n}]"), "{}", &n.to_string())
            .await;
    }
    // Two block and one place is left, in which `open` finds its turn.
    peer.send("Test Bench", "block", "[100]", "{}", "100").await;
    peer.send("Test Bench", "block", "[101]", "{}", "101").await;
    peer.send("Test Bench", "open", "[102]", "{}", "102").await;
    let mut answered = Vec::new();
    for _ in 0..103 {
        let reply = peer.receive().await;
        assert_eq!(reply["error"], false, "{reply}");
        answered.push(reply["uid"].as_str().unwrap().parse::<i32>().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..103).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_wait_in_order_and_a_full_queue_does_not_keep_the_service_from_ending() {
    let manager = labwire_testing::TestManager::start().await;
    let bench = Bench::new();
    let gate = Arc::clone(&bench.gate);
    let runner = crate::peer::runner(&manager, bench)
        .concurrency(1)
        .queue(4)
        .grace(Duration::from_millis(100));
    let running = runner.connect().await.unwrap();
    let mut peer = Peer::connect(&manager).await;
    for n in 0..10 {
        peer.send("Test Bench", "block", &format!("[{n}]"), "{}", &n.to_string())
            .await;
    }
    gate.add_permits(5);
    let mut answered = Vec::new();
    for _ in 0..5 {
        answered.push(peer.receive().await["result"].as_i64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, [0, 1, 2, 3, 4]);
    soon(running.shut_down()).await.unwrap();
    for _ in 5..10 {
        assert_eq!(peer.receive().await["error"], true);
    }
    // The threads that block end with the test.
    gate.add_permits(5);
}

#[tokio::test]
async fn a_large_result_arrives_whole() {
    let (manager, _running) = serve(Bench::new()).await;
    let mut peer = Peer::connect(&manager).await;
    let length = 40 * 1024 * 1024;
    let text = peer.call("Test Bench", "large", json!([length])).await.unwrap();
    assert_eq!(text.as_str().unwrap().len(), length);
}

struct ByHand;

impl Service for ByHand {
    fn attributes(&self) -> Attributes {
        Attributes::new().with(Attribute::method("add", "(x, y)"))
    }

    async fn call(self: Arc<Self>, request: Request) -> Result<Reply, ServiceError> {
        match request.attribute() {
            "add" => {
                let mut bound = request.bind(&[Parameter::required("x"), Parameter::required("y")])?;
                let (x, y): (f64, f64) = (bound.required()?, bound.required()?);
                Reply::value(&(x + y))
            }
            "thread" => {
                let here = std::thread::current().id();
                request
                    .blocking(move || Reply::value(&(std::thread::current().id() != here)))
                    .await
            }
            _ => Err(request.unknown_attribute()),
        }
    }
}

#[tokio::test]
async fn a_service_can_be_written_without_the_macro() {
    let (manager, _running) = serve(Arc::new(ByHand)).await;
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.call("ByHand", "add", json!([1, 2.5])).await, Ok(json!(3.5)));
    assert_eq!(peer.call("ByHand", "thread", json!([])).await, Ok(json!(true)));
    assert_eq!(
        peer.call("ByHand", "x", json!([])).await,
        Err("AttributeError: the 'ByHand' service has no attribute 'x'".to_owned())
    );
}
