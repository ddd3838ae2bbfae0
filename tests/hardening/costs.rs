//! Small requests with large answers: asking again and again costs who asks, and nobody else.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Bystander, Inspected, Peer, expect_no_panic, start};
use crate::support::manager::Manager;
use crate::support::wire::{identity_request, request};
use crate::support::{DEADLINE, POLL_INTERVAL};

const CLIENTS: usize = 300;

/// What a bystander's answer may take while a dozen other tests run on two cores.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// Clients whose names are so long that a manager's identity with all of them takes 150 kB.
fn crowd(manager: &Manager) -> Vec<Peer> {
    let crowd = (0..CLIENTS)
        .map(|number| {
            let mut peer = Peer::connect(manager);
            let name = format!("{number:0>200}");
            peer.identify(&json!({ "type": "client", "name": name }));
            peer
        })
        .collect();
    let mut observer = Peer::client(manager, "observer");
    let deadline = Instant::now() + DEADLINE;
    while observer.ask(&identity_request())["result"]["clients"]
        .as_object()
        .is_none_or(|clients| clients.len() <= CLIENTS)
    {
        assert!(Instant::now() < deadline, "they never all came");
        std::thread::sleep(POLL_INTERVAL);
    }
    crowd
}

/// A frame of 55 bytes is answered with 150 kB: they are made once, not for every question. What it costs to send them
/// is seen at replies of the same length.
#[test]
fn asking_for_the_identity_of_a_crowd_costs_no_more_than_sending_it() {
    const QUESTIONS: usize = 1_000;
    let manager = start();
    let process = Inspected::new(&manager);
    let _crowd = crowd(&manager);
    let mut client = Peer::client(&manager, "asker");
    let mut service = Peer::service(&manager, "Echo", 0);
    let mut processor_time_of = |ask: &mut dyn FnMut(&mut Peer)| {
        let before = process.processor_time();
        (0..QUESTIONS).for_each(|_| ask(&mut client));
        process.processor_time() - before
    };

    let question = identity_request().to_string();
    let mut length = 0;
    let identities = processor_time_of(&mut |client| {
        client.send_line(&question);
        length = client.line().expect("the manager answers").len();
    });
    let call = request("Echo", "echo").to_string();
    let payload = "x".repeat(length);
    let replies = processor_time_of(&mut |client| {
        client.send_line(&call);
        let requester = service.frame()["requester"].clone();
        service.send_line(format!(
            r#"{{"requester":{requester},"result":"{payload}","uid":"request"}}"#
        ));
        assert!(client.line().expect("the service answers").len() > length);
    });
    println!(
        "{QUESTIONS} identities of {length} bytes took {identities:?}, replies of that length {replies:?}"
    );
    assert!(identities < 2 * replies, "{identities:?}, replies {replies:?}");
    expect_no_panic(&manager);
}

/// Who asks again and again and does not read the answers waits for itself: they do not fill the memory, and nobody
/// else notices.
#[test]
fn asking_for_the_identity_of_a_crowd_without_reading_it_fills_no_memory() {
    /// The queue may hold 64 MiB.
    const BOUND: u64 = 128 * 1024 * 1024;
    let manager = start();
    let process = Inspected::new(&manager);
    let _crowd = crowd(&manager);
    let bystander = Bystander::start(&manager);
    let mut stuck = Peer::client(&manager, "stuck");
    let before = process.peak_memory();
    // Their answers are 3 GB.
    stuck.send_bytes(format!("{}\n", identity_request()).repeat(20_000).as_bytes());
    stuck.wait_for_unread();
    let mut other = Peer::client(&manager, "other");
    for _ in 0..100 {
        other.settle();
    }
    let waited = bystander.stop();
    assert!(waited < LONGEST_WAIT, "a bystander waited for {waited:?}");
    let grown = process.peak_memory() - before;
    assert!(grown < BOUND, "the memory grew by {grown} bytes");
    expect_no_panic(&manager);
}
