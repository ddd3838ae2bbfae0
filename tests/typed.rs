//! What people type, and what their programs put around it: the words of the grammar. The documentation's chapter is in
//! `terminal`.

use serde_json::{Value, json};

mod words;

/// The request in a frame that a service got, as its service, attribute, arguments and keyword arguments.
fn asked(frame: &Value) -> Value {
    json!([
        frame["service"],
        frame["attribute"],
        frame["args"],
        frame["kwargs"]
    ])
}

/// A service's reply to a request.
fn reply(request: &Value, result: &Value) -> String {
    json!({
        "error": false, "requester": request["requester"], "result": result, "uid": request["uid"],
    })
    .to_string()
}
