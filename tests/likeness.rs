//! Answers that are equal to those of the Python package's manager, since clients compare them.

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::wire::{RawPeer, identity_request, request};

/// Starts both managers, without TLS and authentication, with an administrator of the same name and
/// password.
fn both() -> [Manager; 2] {
    let home = || {
        let home = Home::new();
        home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
        home
    };
    let arguments = ["--disable-tls"];
    [
        Manager::start_in(home(), &arguments),
        Manager::start_reference(home(), &arguments),
    ]
}

/// Returns the answer of each manager.
fn answers(ask: impl Fn(&mut RawPeer) -> Value) -> [Value; 2] {
    both().map(|manager| ask(&mut RawPeer::client(&manager, "Ada")))
}

#[test]
fn the_managers_identity_lists_the_attributes_that_the_references_does() {
    let [ours, theirs] =
        answers(|client| client.request(&identity_request())["result"]["attributes"].clone());
    assert_eq!(ours, theirs);
    assert_eq!(
        theirs,
        json!({ "identity": "() -> dict", "link": "(service: str) -> bool" })
    );
}

#[test]
fn an_administrator_who_asks_for_a_password_that_is_not_there_gets_null() {
    let [ours, theirs] = answers(|client| {
        client.request(&request("Manager", "password"));
        client.request(&json!({ "result": "ada" }));
        client.request(&json!({ "result": "x" }))
    });
    for member in ["error", "result", "requester"] {
        let without_port = |frame: &Value| frame[member].to_string().split(':').next().map(str::to_owned);
        assert_eq!(without_port(&ours), without_port(&theirs), "{ours} {theirs}");
    }
    assert_eq!(
        (&ours["error"], &ours["result"]),
        (&json!(false), &Value::Null),
        "{ours}"
    );
}
