//! `printf '…' | nc -N`: a script that has sent everything and closed its sending side.

use serde_json::{Value, json};

use super::{asked, pipe_into_netcat, printed, reply};
use crate::support::manager::Manager;
use crate::support::waiting::wait_until;
use crate::support::wire::{RawPeer, request};

fn manager_request(attribute: &str, service: &str) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = json!([service]);
    request
}

#[test]
fn a_script_with_a_link_and_a_lock_gets_all_replies() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut service = RawPeer::service(&manager, "Adder", &json!({}));
    let script = "client Ada\nlink Adder\nlock Adder\nAdder add 1 2\nAdder add x=3 y=4\n";
    let netcat = pipe_into_netcat(&manager, script.as_bytes());
    for expected in [
        json!(["Adder", "add", [1, 2], {}]),
        json!(["Adder", "add", [], { "x": 3, "y": 4 }]),
    ] {
        let request = service.read_json();
        assert_eq!(asked(&request), expected);
        service.send_line(&reply(&request, &expected));
    }
    let frames = printed(netcat);
    assert_eq!(frames.len(), 5, "{frames:?}");
    assert_eq!(frames[0]["attribute"], "identity");
    assert!(frames[1]["result"]["max_clients"].is_number());
    assert_eq!(frames[2]["result"], json!([frames[2]["requester"]]));
    assert_eq!(frames[3]["result"][2], json!([1, 2]));
    assert_eq!(frames[4]["result"][3], json!({ "x": 3, "y": 4 }));
}

/// A client that was killed looks the same, so its link and its lock must be free for others.
#[test]
fn the_place_and_the_lock_are_free_while_the_replies_are_awaited() {
    let manager = Manager::start(&["--disable-tls"]);
    let mut service = RawPeer::connect(&manager);
    service.identify(&json!({ "type": "service", "name": "DMM", "attributes": {}, "max_clients": 1 }));
    service.request(&request("Manager", "identity"));
    let netcat = pipe_into_netcat(&manager, b"client Ada\nlink DMM\nlock DMM\nDMM read\n");
    let asked_first = service.read_json();
    let mut next = RawPeer::client(&manager, "next");
    // The close may still be in flight.
    wait_until("the place is never free", || {
        next.request(&manager_request("link", "DMM"))["error"] == false
    });
    assert_eq!(
        next.request(&manager_request("acquire_lock", "DMM"))["error"],
        false
    );
    service.send_line(&reply(&asked_first, &json!(5)));
    let frames = printed(netcat);
    assert_eq!(
        frames.last().unwrap()["result"],
        5,
        "it was answered all the same"
    );
}
