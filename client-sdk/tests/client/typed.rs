//! Typed clients that the macro makes.

use std::time::Duration;

use labwire_client::{CallError, Client, blocking};

use crate::lab::{blocking_lab, lab};

/// A service that sends back what it gets.
#[labwire_client::client(service = "Echo")]
trait Parrot {
    /// Positional arguments, one of them borrowed, one with the name of something inside of the macro.
    #[attribute = "echo"]
    fn say(&self, text: &str, arguments: Vec<f64>) -> (serde_json::Value, serde_json::Value);

    #[attribute = "echo"]
    fn say_by_name(
        &self,
        first: bool,
        #[keyword] r#type: &str,
        #[keyword = "Unit"] unit: Option<&str>,
        #[keyword] value: Option<i64>,
    ) -> (serde_json::Value, serde_json::Value);

    #[attribute = "sleep"]
    fn nap(&self, seconds: f64);

    fn unknown(&self);
}

#[test]
fn arguments_go_by_place_and_by_name_and_what_is_none_is_left_out() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let parrot = ParrotClient::link(&client).await?;
        let said = parrot.say("a", vec![1.5]).await?;
        assert_eq!(said, (serde_json::json!(["a", [1.5]]), serde_json::json!({})));
        let said = parrot.say_by_name(true, "t", None, Some(2)).await?;
        assert_eq!(
            said,
            (
                serde_json::json!([true]),
                serde_json::json!({"type": "t", "value": 2})
            )
        );
        let said = parrot.say_by_name(true, "t", Some("V"), None).await?;
        assert_eq!(said.1, serde_json::json!({"type": "t", "Unit": "V"}));
        Ok(())
    });
}

#[test]
fn a_typed_call_is_a_call_like_any_other() {
    lab(|options| async move {
        let client = Client::connect("Ada", options).await?;
        let parrot = ParrotClient::from(client.link(ParrotClient::SERVICE).await?);
        let error = parrot
            .nap(60.0)
            .timeout(Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
        let error = parrot.unknown().await.unwrap_err();
        assert!(error.to_string().contains("no attribute 'unknown'"), "{error}");
        parrot.as_link().unlink().await?;
        Ok(())
    });
}

#[test]
fn the_blocking_twin_waits() {
    blocking_lab(|options| {
        let client = blocking::Client::connect("Ada", options)?;
        let parrot = ParrotBlockingClient::link(&client)?;
        let said = parrot.say("a", vec![])?;
        assert_eq!(said.0, serde_json::json!(["a", []]));
        parrot.nap(0.0)?;
        Ok(())
    });
}
