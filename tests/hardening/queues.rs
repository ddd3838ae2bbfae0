//! Peers that read little or nothing: they delay others by the stall time at most, however many
//! they are and whatever is queued for them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Bystander, Peer, counter, expect_no_panic, start};
use crate::support::process::Signal;
use crate::support::wire::request;

/// The stall time of 2 s, and the tolerance on two busy cores.
const SOON: Duration = Duration::from_secs(8);

/// Returns a request of that many bytes.
fn large_request(service: &str, bytes: usize) -> String {
    let mut request = request(service, "weigh");
    request["args"] = json!(["x".repeat(bytes)]);
    request.to_string()
}

/// A service stops reading with some megabytes in its queue. A request arrives that is smaller than
/// the queue but does not fit beside them: its sender waits, no other peer does, and the service is
/// disconnected.
#[test]
fn a_request_that_does_not_fit_beside_what_waits_keeps_nobody_else_waiting() {
    let manager = start();
    let service = Peer::service(&manager, "Balance", 0);
    let mut sender = Peer::client(&manager, "sender");
    // More than the system's own buffers hold, and less than half of the queue.
    sender.send_line(large_request("Balance", 16_000_000));
    sender.settle();
    let bystander = Bystander::start(&manager);
    sender.send_line(large_request("Balance", 60_000_000));
    let error = sender.frame();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("left before it replied"),
        "{error}"
    );
    let error = sender.frame();
    assert!(
        error["message"].as_str().unwrap().contains("is not connected"),
        "{error}"
    );
    let waited = bystander.stop();
    assert!(
        waited < Duration::from_secs(3),
        "a bystander waited for {waited:?}"
    );
    assert_eq!(counter(&manager, "cut"), 1);
    drop(service);
    expect_no_panic(&manager);
}

/// Ten linked clients do not read: they are disconnected together, not one after the other, and the
/// one that reads gets every notification in order.
#[test]
fn several_clients_that_do_not_read_cost_the_others_one_stall() {
    const FRAMES: usize = 1_500;
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let stuck: Vec<Peer> = (0..10)
        .map(|number| {
            let mut peer = Peer::client(&manager, &format!("stuck {number}"));
            peer.ask_manager("link", json!(["Balance"]));
            peer
        })
        .collect();
    let mut reader = Peer::client(&manager, "reader");
    reader.ask_manager("link", json!(["Balance"]));

    let payload = "x".repeat(60_000);
    let writing = std::thread::spawn(move || {
        for number in 0..FRAMES {
            let frame = json!({
                "error": false, "result": [[number, payload], {}], "service": "Balance", "uid": "notification",
            });
            service.send_line(frame.to_string());
        }
        service
    });
    let mut longest = Duration::ZERO;
    for number in 0..FRAMES {
        let asked = Instant::now();
        let frame = reader.frame();
        longest = longest.max(asked.elapsed());
        assert_eq!(frame["result"][0][0], number, "a notification is missing");
    }
    assert!(longest < SOON, "the reader waited for {longest:?}");
    let service = writing.join().expect("the manager took every notification");
    assert_eq!(counter(&manager, "cut"), 10);
    drop((service, stuck));
    expect_no_panic(&manager);
}

/// A client floods a service that reads slowly but steadily: the client has to wait, the service
/// stays connected, and every request arrives.
#[test]
fn a_service_that_reads_slowly_but_steadily_is_not_cut() {
    const REQUESTS: usize = 40;
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut sender = Peer::client(&manager, "sender");
    let sending = std::thread::spawn(move || {
        for _ in 0..REQUESTS {
            sender.send_line(large_request("Balance", 4_000_000));
        }
        sender
    });
    for _ in 0..REQUESTS {
        let frame = service.frame();
        assert_eq!(frame["attribute"], "weigh");
    }
    let sender = sending.join().expect("the manager took every request");
    assert_eq!(counter(&manager, "cut"), 0);
    drop(sender);
    expect_no_panic(&manager);
}

/// `printf '…' | nc -N`: a client that has closed its sending side still gets its reply.
#[test]
fn a_client_that_closed_its_own_side_gets_its_last_reply() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "script");
    client.send_line(request("Balance", "weigh").to_string());
    client.end_of_input();
    let asked = service.frame();
    service.send_line(json!({"requester": asked["requester"], "result": 5, "uid": asked["uid"]}).to_string());
    assert_eq!(client.frame()["result"], 5);
    client.expect_closed();
    expect_no_panic(&manager);
}

/// Peers that send without end do not hold up a stopping manager: it ends their connections.
#[test]
fn peers_that_send_without_end_do_not_hold_a_manager_that_stops() {
    let mut manager = start();
    let flooding: Vec<_> = (0..3)
        .map(|number| {
            let mut peer = Peer::client(&manager, &format!("flood {number}"));
            let lines = "\n".repeat(65_536);
            std::thread::spawn(move || while peer.try_send(lines.as_bytes()) {})
        })
        .collect();
    // Another peer is still served, so the manager has begun to read the flood.
    Peer::client(&manager, "bystander").settle();
    manager.signal(Signal::TERM);
    assert!(manager.wait_for_end().success());
    for flood in flooding {
        flood.join().expect("a flood ends with its connection");
    }
    let log = manager.log();
    let stopped = log.find("the Network Manager has stopped").expect("it says so");
    for number in 0..3 {
        let closed = log
            .lines()
            .find(|line| line.contains(&format!("flood {number}[")) && line.ends_with("connection closed"));
        let closed = log
            .find(closed.expect("every connection ends"))
            .expect("the line was found");
        assert!(closed < stopped, "flood {number} outlived the manager:\n{log}");
    }
}
