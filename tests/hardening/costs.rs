//! Small requests with large answers: repeating them delays only the peer that sends them.

use std::time::Duration;

use serde_json::json;

use super::support::{Bystander, Inspected, Peer, expect_no_panic, start};
use crate::support::manager::Manager;
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, request};

const CLIENTS: usize = 300;

/// Maximum latency of a bystander while a dozen other tests run on two cores.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// Connects clients with names of that length.
fn crowd(manager: &Manager, length: usize) -> Vec<Peer> {
    let crowd = (0..CLIENTS)
        .map(|number| {
            let mut peer = Peer::connect(manager);
            let name = format!("{number:0>length$}");
            peer.identify(&json!({ "type": "client", "name": name }));
            peer
        })
        .collect();
    let mut observer = Peer::client(manager, "observer");
    wait_until("they never all came", || {
        observer.ask(&identity_request())["result"]["clients"]
            .as_object()
            .is_some_and(|clients| clients.len() > CLIENTS)
    });
    crowd
}

/// A frame of 100 bytes has an answer of 150 kB, which is created once and not for every request.
/// Replies of the same length show the cost of sending; creating the answers anew each time would
/// cost twice as much.
#[test]
fn asking_for_the_identity_of_a_crowd_costs_no_more_than_sending_it() {
    const ROUNDS: usize = 8;
    const QUESTIONS: usize = 250;
    let manager = start();
    let process = Inspected::new(&manager);
    let _crowd = crowd(&manager, 200);
    let mut client = Peer::client(&manager, "asker");
    let mut service = Peer::service(&manager, "Echo", 0);
    let question = identity_request().to_string();
    let length = client.ask_line(&question).to_string().len();
    let call = request("Echo", "echo").to_string();
    let payload = "x".repeat(length);

    // Alternating, so that other load on the computer slows down both.
    let (mut identities, mut replies) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..ROUNDS {
        let before = process.processor_time();
        for _ in 0..QUESTIONS {
            client.send_line(&question);
            client.line().expect("the manager answers");
        }
        let between = process.processor_time();
        for _ in 0..QUESTIONS {
            client.send_line(&call);
            let requester = service.frame()["requester"].clone();
            service.send_line(format!(
                r#"{{"requester":{requester},"result":"{payload}","uid":"request"}}"#
            ));
            assert!(client.line().expect("the service answers").len() > length);
        }
        identities += between.saturating_sub(before);
        replies += process.processor_time().saturating_sub(between);
    }
    println!("identities of {length} bytes took {identities:?}, replies of that length {replies:?}");
    assert!(identities < replies, "{identities:?}, replies {replies:?}");
    expect_no_panic(&manager);
}

/// A peer that repeats the request and does not read the answers only delays itself, although each
/// answer differs since others come and go: the answers do not fill the memory, and no other peer
/// is delayed.
#[test]
fn asking_for_the_identity_of_a_crowd_without_reading_it_fills_no_memory() {
    /// The answers have 150 kB each.
    const QUESTIONS: usize = 1_500;
    /// The capacity of the queue is 64 MiB.
    const BOUND: u64 = 128 * 1024 * 1024;
    let manager = start();
    let process = Inspected::new(&manager);
    let _crowd = crowd(&manager, 200);
    let bystander = Bystander::start(&manager);
    let mut stuck = Peer::client(&manager, "stuck");
    let before = process.peak_memory();
    for _ in 0..QUESTIONS {
        stuck.send_line(identity_request().to_string());
        let mut passing = Peer::connect(&manager);
        passing.identify(&json!({ "type": "client", "name": "passing" }));
        // The manager knows it once it has answered.
        assert_eq!(passing.ask_manager("link", json!(["Nobody"]))["error"], true);
    }
    stuck.wait_for_unread();
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    let grown = process.peak_memory() - before;
    assert!(grown < BOUND, "the memory grew by {grown} bytes");
    expect_no_panic(&manager);
}
