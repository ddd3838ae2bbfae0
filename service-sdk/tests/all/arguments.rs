//! Arguments of methods that the macro binds, and what clients are told of them.

use std::collections::HashMap;

use labwire_service::{Attribute, Attributes, Keywords, Positional, Request, Service, service};
use serde_json::{Value, json};

use crate::peer::{Peer, serve};

struct Binder;

const RANGE: f64 = 10.0;

/// Binds arguments.
///
/// To test it.
#[service(hidden(secret), max_clients = 3)]
impl Binder {
    /// Reads.
    pub fn read(&self, channel: u8, #[default(1)] samples: u32, #[default("V")] unit: &str) -> String {
        format!("{channel} {samples} {unit}")
    }

    pub async fn later(
        &self,
        values: &[f64],
        #[default(RANGE)] range: f64,
        #[default(None)] r#type: Option<String>,
    ) -> f64 {
        tokio::task::yield_now().await;
        values.iter().sum::<f64>() + range + r#type.map_or(0.0, |text| text.len() as f64)
    }

    pub fn mixed(
        &self,
        mut first: i32,
        request: &Request,
        rest: &Positional,
        #[default("x")] name: String,
        more: Keywords,
    ) -> (i32, usize, String, usize) {
        first += i32::from(request.uid().is_empty());
        (first, rest.len(), name, more.len())
    }

    pub fn maps(&self, map: HashMap<String, Vec<i64>>, pair: (f64, bool)) -> Result<Value, std::io::Error> {
        Ok(json!([map.len(), pair.1]))
    }

    pub fn secret(&self) -> bool {
        true
    }

    #[hidden]
    pub fn other_secret(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn arguments_are_bound_by_place_by_name_and_by_default() {
    let (manager, _running) = serve(Binder).await;
    let mut peer = Peer::connect(&manager).await;
    peer.link("Binder").await;
    for (attribute, args, kwargs, expected) in [
        ("read", json!([3]), json!({}), json!("3 1 V")),
        ("read", json!([3, 4, "A"]), json!({}), json!("3 4 A")),
        ("read", json!([3.0, 4e0]), json!({}), json!("3 4 V")),
        (
            "read",
            json!([]),
            json!({"unit": "A", "channel": 9}),
            json!("9 1 A"),
        ),
        ("later", json!([[1, 2.5]]), json!({}), json!(13.5)),
        (
            "later",
            json!([[1]]),
            json!({"type": "ab", "range": 0}),
            json!(3.0),
        ),
        ("mixed", json!([1]), json!({}), json!([1, 0, "x", 0])),
        (
            "mixed",
            json!([1, 2, 3]),
            json!({"name": "y", "a": 1}),
            json!([1, 2, "y", 1]),
        ),
        (
            "maps",
            json!([{"a": [1]}, [1.5, true]]),
            json!({}),
            json!([1, true]),
        ),
        ("secret", json!([]), json!({}), json!(true)),
        ("other_secret", json!([]), json!({}), json!(true)),
    ] {
        assert_eq!(
            peer.ask("Binder", attribute, args, kwargs).await,
            Ok(expected),
            "{attribute}"
        );
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_by_name() {
    let (manager, _running) = serve(Binder).await;
    let mut peer = Peer::connect(&manager).await;
    peer.link("Binder").await;
    for (args, kwargs, expected) in [
        (
            json!([]),
            json!({}),
            "read() missing 1 required argument: 'channel'",
        ),
        (
            json!(["x"]),
            json!({}),
            "read() argument 'channel': invalid type: string \"x\", expected u8",
        ),
        (
            json!([300]),
            json!({}),
            "read() argument 'channel': invalid value: integer `300`, expected u8",
        ),
        (
            json!([1.5]),
            json!({}),
            "read() argument 'channel': invalid type: floating point `1.5`, expected u8",
        ),
        (
            json!([1, 2, "V", 3]),
            json!({}),
            "read() takes from 1 to 3 positional arguments but 4 were given",
        ),
        (
            json!([1]),
            json!({"channel": 1}),
            "read() got multiple values for argument 'channel'",
        ),
        (
            json!([1]),
            json!({"x": 1}),
            "read() got an unexpected keyword argument 'x'",
        ),
    ] {
        assert_eq!(
            peer.ask("Binder", "read", args, kwargs).await,
            Err(format!("TypeError: {expected}"))
        );
    }
}

#[tokio::test]
async fn clients_see_signatures_in_the_words_of_python_and_can_ask_for_more() {
    let (manager, _running) = serve(Binder).await;
    let mut peer = Peer::connect(&manager).await;
    let identity = peer.link("Binder").await;
    assert_eq!(identity["max_clients"], 3);
    assert_eq!(
        identity["attributes"],
        json!({
            "read": "(channel: int, samples: int = 1, unit: str = 'V') -> str",
            "later": "(values: list[float], range: float = ..., type: str | None = None) -> float",
            "mixed": "(first: int, *rest, name: str = 'x', **more) -> tuple[int, int, str, int]",
            "maps": "(map: dict[str, list[int]], pair: tuple[float, bool]) -> object",
            "describe": "() -> dict",
        })
    );
    let described = peer.call("Binder", "describe", json!([])).await.unwrap();
    assert_eq!(described["name"], "Binder");
    assert_eq!(described["description"], "Binds arguments.\n\nTo test it.");
    assert_eq!(
        described["attributes"]["read"],
        json!({
            "signature": "(channel: int, samples: int = 1, unit: str = 'V') -> str",
            "description": "Reads.",
            "parameters": [
                {"name": "channel", "type": "int"},
                {"name": "samples", "type": "int", "default": "1"},
                {"name": "unit", "type": "str", "default": "'V'"},
            ],
        })
    );
    assert_eq!(described["attributes"]["secret"], json!(null));
    assert_eq!(
        peer.call("Binder", "describe", json!([1])).await,
        Err("TypeError: describe() takes 0 positional arguments but 1 was given".to_owned())
    );
}

struct Own;

#[service]
impl Own {
    pub fn describe(&self) -> &'static str {
        "myself"
    }
}

#[tokio::test]
async fn a_service_can_describe_itself() {
    let (manager, _running) = serve(Own).await;
    let mut peer = Peer::connect(&manager).await;
    assert_eq!(peer.call("Own", "describe", json!([])).await, Ok(json!("myself")));
}

struct Recorded;

#[service(record_arguments)]
impl Recorded {
    pub fn read(&self, channel: u8) -> u8 {
        channel
    }

    #[record(arguments, secret = "code", secret = "note")]
    pub async fn unlock(&self, code: &str, note: &str) -> bool {
        code.len() > note.len()
    }

    #[property]
    pub fn open(&self) -> bool {
        false
    }
}

#[test]
fn the_arguments_of_all_methods_are_recorded_if_the_service_says_so() {
    let read = Attribute::method("read", "(channel: int) -> int").parameter("channel", "int", None);
    let unlock = Attribute::method("unlock", "(code: str, note: str) -> bool")
        .parameter("code", "str", None)
        .parameter("note", "str", None);
    let attributes = Attributes::new()
        .with(read.record_arguments(&[]))
        .with(unlock.record_arguments(&["code", "note"]))
        .with(Attribute::property("open", || Ok(false)));
    assert_eq!(Recorded.attributes(), attributes);
}
