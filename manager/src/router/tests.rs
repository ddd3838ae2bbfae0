use labwire_wire::{Features, Identity, LineView};

use super::*;
use crate::registry::ManagerIdentity;

/// A service and a client, and what they are told.
struct Stage {
    registry: Registry,
    counters: Counters,
    chatter: Chatter,
    service: (PeerId, Arc<Outbox>),
    client: (PeerId, Arc<Outbox>),
}

impl Stage {
    fn new(client: &Identity) -> Self {
        let manager = ManagerIdentity {
            hostname: "h".into(),
            port: 1875,
            language: String::new(),
            os: String::new(),
        };
        let mut registry = Registry::new(manager, 10);
        let service = Identity::from_json(br#"{"type":"service","name":"S","attributes":{}}"#).unwrap();
        let mut join = |identity: &Identity, address| {
            let outbox = Outbox::new(10_000);
            (registry.join(identity, address, &outbox).unwrap(), outbox)
        };
        let (service, client) = (join(&service, "h:1"), join(client, "h:2"));
        Self {
            registry,
            counters: Counters::default(),
            chatter: Chatter::new(),
            service,
            client,
        }
    }

    /// Routes what the client says, as the session of a client with these features would.
    fn client_says(&mut self, line: &str, origin: bool) {
        let (id, outbox) = &self.client;
        let from = Sender {
            id: *id,
            name: "c[h:2]",
            outbox,
            origin,
            chatter: &self.chatter,
        };
        let mut router = Router {
            registry: &mut self.registry,
            counters: &self.counters,
            draining: false,
            nesting: 1_024,
        };
        let step =
            router.route_from_client(&from, LineView::new(line.as_bytes()), &Kind::of(line.as_bytes()));
        assert!(matches!(step, Step::Next));
    }

    fn service_says(&mut self, line: &str) {
        let (id, outbox) = &self.service;
        let from = Sender {
            id: *id,
            name: "S[h:1]",
            outbox,
            origin: false,
            chatter: &self.chatter,
        };
        let mut router = Router {
            registry: &mut self.registry,
            counters: &self.counters,
            draining: false,
            nesting: 1_024,
        };
        let step =
            router.route_from_service(&from, LineView::new(line.as_bytes()), &Kind::of(line.as_bytes()));
        assert!(matches!(step, Step::Next));
    }

    /// The last line that the client was told.
    async fn client_hears(&self) -> String {
        let batch = self.client.1.next_batch().await.expect("something is queued");
        let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
        let text = String::from_utf8(bytes).unwrap();
        text.trim_end().lines().last().unwrap_or_default().to_owned()
    }
}

/// A client with these features, and the language of its peer.
fn client(features: &[&str], language: &str) -> Identity {
    Identity {
        features: Features::from_names(features.iter().copied()),
        language: language.to_owned(),
        ..Identity::client("c").unwrap()
    }
}

const REQUEST: &str = r#"{"service":"S","attribute":"a","uid":"1"}"#;

/// What the client hears when the service answers its request so.
async fn answered(client: &Identity, reply: &str) -> String {
    let mut stage = Stage::new(client);
    stage.client_says(REQUEST, client.features.origin);
    stage.service_says(reply);
    stage.client_hears().await
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
        let mut stage = Stage::new(&client(&["origin"], ""));
        stage.client_says(line, true);
        let heard = stage.client_hears().await;
        assert!(
            heard.starts_with(r#"{"error":true,"executed":"no","message":""#)
                && heard.contains(r#","origin":"manager","requester":"c[h:2]""#),
            "{line}: {heard}"
        );
    }
}
