use labwire_wire::{Features, Identity};

use super::Step;
use super::stage::Stage;

impl Stage {
    /// The last line that the client was told.
    async fn client_hears(&self) -> String {
        let batch = self
            .clients_queue()
            .next_batch()
            .await
            .expect("something is queued");
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
    assert!(matches!(stage.client_says(REQUEST.as_bytes()), Step::Next));
    assert!(matches!(stage.service_says(reply.as_bytes()), Step::Next));
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
        assert!(matches!(stage.client_says(line.as_bytes()), Step::Next));
        let heard = stage.client_hears().await;
        assert!(
            heard.starts_with(r#"{"error":true,"executed":"no","message":""#)
                && heard.contains(r#","origin":"manager","requester":"c[h:2]""#),
            "{line}: {heard}"
        );
    }
}
