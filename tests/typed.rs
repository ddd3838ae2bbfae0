//! Typed input, and the bytes that programs add to it: the words of the grammar, the first line,
//! the end of the input, encodings, and ports for another protocol. The documentation's chapter is
//! tested in `terminal`.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::DEADLINE;
use super::support::manager::{HOST, Manager};

mod encodings;
mod first_line;
mod half_closed;
mod words;
mod wrong_port;

/// Pipes text into the real `nc -N`, which closes its sending side afterwards.
fn pipe_into_netcat(manager: &Manager, input: &[u8]) -> Child {
    let mut child = Command::new("timeout")
        .arg(DEADLINE.as_secs().to_string())
        .args(["nc", "-N", HOST, &manager.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child
}

/// Returns the frames that `nc` printed until the manager closed the connection.
fn printed(child: Child) -> Vec<Value> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Returns a request that a service got, as its service, attribute, arguments and keyword
/// arguments.
fn asked(frame: &Value) -> Value {
    json!([
        frame["service"],
        frame["attribute"],
        frame["args"],
        frame["kwargs"]
    ])
}

/// Returns a service's reply to a request.
fn reply(request: &Value, result: &Value) -> String {
    json!({
        "error": false, "requester": request["requester"], "result": result, "uid": request["uid"],
    })
    .to_string()
}
