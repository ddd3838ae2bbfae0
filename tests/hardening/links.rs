//! A disconnect is atomic: links, locks, names and requests are released together, however the
//! connection ends. Limits and locks are enforced.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{
    Peer, control_failed_as_expected, counter, expect_no_panic, manager_request, start, start_reference,
};
use crate::support::manager::Manager;
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, request};

/// A client with unread replies resets the connection: its link and its lock are free.
#[test]
fn a_reset_with_unread_replies_leaves_no_link_and_no_lock_behind() {
    let manager = start();
    let _service = Peer::service(&manager, "Balance", 1);
    for _ in 0..20 {
        let mut client = Peer::client(&manager, "broken");
        client.link_and_lock("Balance");
        for _ in 0..50 {
            client.send_line(identity_request().to_string());
        }
        client.wait_for_unread();
        client.reset();
        Peer::client(&manager, "next").link_and_lock("Balance");
    }
    expect_no_panic(&manager);
}

/// The same with requests in flight to the service, and half of a line.
#[test]
fn a_reset_in_the_middle_of_a_line_leaves_no_link_and_no_lock_behind() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 1);
    let mut client = Peer::client(&manager, "broken");
    client.link_and_lock("Balance");
    client.send_line(request("Balance", "weigh").to_string());
    let asked = service.frame();
    client.send_bytes(br#"{"service":"Balance","attri"#);
    client.reset();
    Peer::client(&manager, "next").link_and_lock("Balance");
    // There is no client for its reply.
    service.send_line(
        json!({ "error": false, "requester": asked["requester"], "result": 1, "uid": asked["uid"] })
            .to_string(),
    );
    service.settle();
    expect_no_panic(&manager);
}

/// A client that is linked with 200 services at their limit disconnects while other services come
/// and go: all 200 are free.
#[test]
fn a_client_with_two_hundred_links_frees_all_of_them() {
    const SERVICES: usize = 200;
    let manager = start();
    let name = |number| format!("service {number}");
    let _services: Vec<Peer> = (0..SERVICES)
        .map(|number| Peer::unannounced_service(&manager, &name(number), 1))
        .collect();
    wait_for_services(&manager, SERVICES);
    let mut client = Peer::client(&manager, "leaver");
    for number in 0..SERVICES {
        client.link_and_lock(&name(number));
    }

    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stopped, manager) = (&stopped, &manager);
        // Also after a failure, or the scope would wait for a thread that never ends.
        let stop = StopOnDrop(stopped);
        let churn = scope.spawn(move || {
            for count in 0.. {
                drop(Peer::unannounced_service(manager, &format!("passing {count}"), 1));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        client.reset();
        let mut next = Peer::client(manager, "next");
        for number in 0..SERVICES {
            next.link_and_lock(&name(number));
        }
        drop(stop);
        churn.join().expect("services may come and go");
    });
    expect_no_panic(&manager);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A service with a limit of one client serves no client that is not linked.
#[test]
fn an_unlinked_client_is_refused_by_a_service_with_a_limit() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 1);
    let mut stranger = Peer::client(&manager, "stranger");
    // The limit also applies while no client is linked.
    expect_link_required(&mut stranger);
    let mut client = Peer::client(&manager, "client");
    client.link_and_lock("Balance");
    expect_wait_for_lock(&mut stranger, &client.settle());
    expect_next_request_of(&mut client, &mut service);
    let frame = client.ask_manager("release_lock", json!(["Balance"]));
    assert_eq!(frame["error"], false, "{frame}");
    // The limit is reached, so a link is possible only later.
    let message = expect_link_required(&mut stranger);
    assert!(
        message.ends_with("once one of the linked clients has unlinked"),
        "{message}"
    );
}

/// A locked service without a limit serves only the clients that were linked before.
#[test]
fn an_unlinked_client_is_refused_by_a_locked_service() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut stranger = Peer::client(&manager, "stranger");
    let mut client = Peer::client(&manager, "client");
    client.link_and_lock("Balance");
    expect_wait_for_lock(&mut stranger, &client.settle());
    expect_next_request_of(&mut client, &mut service);

    // Without the lock there is no reason to refuse.
    let frame = client.ask_manager("release_lock", json!(["Balance"]));
    assert_eq!(frame["error"], false, "{frame}");
    stranger.send_line(request("Balance", "weigh").to_string());
    let name = service.frame()["requester"].as_str().unwrap().to_owned();
    assert!(name.starts_with("stranger["), "{name}");
}

/// After `unlink`, a client no longer counts as linked.
#[test]
fn a_client_that_has_unlinked_is_refused_by_a_service_with_a_limit() {
    let manager = start();
    let _service = Peer::service(&manager, "Balance", 1);
    let mut client = Peer::client(&manager, "client");
    client.link_and_lock("Balance");
    let frame = client.ask_manager("unlink", json!(["Balance"]));
    assert_eq!(frame["result"], true, "{frame}");
    expect_link_required(&mut client);
}

#[test]
fn the_reference_serves_unlinked_clients_beyond_the_limit_and_the_lock() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 1);
    let mut client = Peer::client(&manager, "client");
    client.link_and_lock("Balance");
    let mut stranger = Peer::client(&manager, "stranger");
    stranger.send_line(request("Balance", "weigh").to_string());
    let name = service.frame()["requester"].as_str().unwrap().to_owned();
    assert!(name.starts_with("stranger["), "{name}");
    control_failed_as_expected("an unlinked client was served by a locked service at its limit");
}

fn expect_link_required(stranger: &mut Peer) -> String {
    let frame = stranger.ask(&request("Balance", "weigh"));
    let message = frame["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("PermissionError: ") && message.contains("must link with it"),
        "{frame}"
    );
    assert_eq!(frame["uid"], "request");
    message.to_owned()
}

/// Expects that a request and a link are refused because of the lock, without advice to link.
fn expect_wait_for_lock(stranger: &mut Peer, holder: &str) {
    let linking = manager_request("link", json!(["Balance"]));
    for (asked, start) in [
        (
            request("Balance", "weigh"),
            "PermissionError: the 'Balance' Service is locked by ",
        ),
        (linking, "PermissionError: 'Balance' service is locked by "),
    ] {
        let frame = stranger.ask(&asked);
        let message = frame["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with(&format!("{start}{holder} since 20")),
            "{frame}"
        );
        assert!(!message.contains("must link"), "{frame}");
        assert_eq!(frame["uid"], "request");
    }
}

/// Expects that the next request at the service is this client's, so that no other request reached
/// it before.
fn expect_next_request_of(client: &mut Peer, service: &mut Peer) {
    client.send_line(request("Balance", "weigh").to_string());
    let requester = service.frame()["requester"].as_str().unwrap().to_owned();
    assert!(requester.starts_with("client["), "{requester}");
}

const CALLERS: usize = 4;
const CALLS: usize = 25;

/// Sends a hundred requests of several clients to a service that reads them all and answers none.
fn callers_in_flight(manager: &Manager, service: &mut Peer) -> Vec<Peer> {
    let callers = (0..CALLERS)
        .map(|caller| {
            let mut peer = Peer::client(manager, &format!("caller {caller}"));
            for number in 0..CALLS {
                let mut call = request("Balance", "weigh");
                call["uid"] = json!(format!("{caller}-{number}"));
                peer.send_line(call.to_string());
            }
            peer
        })
        .collect();
    for _ in 0..CALLERS * CALLS {
        service.frame();
    }
    callers
}

/// A service disconnects with a hundred requests in flight, with and without a farewell: a hundred
/// errors at once, one for each uid.
#[test]
fn a_service_that_dies_ends_every_request_that_it_held() {
    let endings: [fn(Peer); 3] = [drop, Peer::reset, |mut service| {
        service.send_bytes(b"null\r\n\xff");
    }];
    let manager = start();
    for die in endings {
        let mut service = Peer::service(&manager, "Balance", 0);
        let callers = callers_in_flight(&manager, &mut service);
        let died = Instant::now();
        die(service);
        for (caller, mut peer) in callers.into_iter().enumerate() {
            let mut expected: BTreeSet<String> =
                (0..CALLS).map(|number| format!("{caller}-{number}")).collect();
            for _ in 0..CALLS {
                let frame = peer.frame();
                assert_eq!(frame["error"], true, "{frame}");
                let message = frame["message"].as_str().unwrap();
                assert!(
                    message.contains("the request may have been executed"),
                    "{message}"
                );
                let uid = frame["uid"].as_str().unwrap();
                assert!(expected.remove(uid), "{uid:?} was answered twice, or never asked");
            }
            peer.settle();
        }
        let taken = died.elapsed();
        assert!(taken < Duration::from_secs(5), "the callers waited for {taken:?}");
    }
    assert_eq!(
        counter(&manager, "abandoned"),
        (endings.len() * CALLERS * CALLS) as u64
    );
    assert_eq!(counter(&manager, "in_flight"), 0);
    expect_no_panic(&manager);
}

/// People at terminals send every request with the empty uid: each of the requests gets its error.
#[test]
fn requests_with_the_same_uid_all_end_when_their_service_dies() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "typist");
    for _ in 0..10 {
        client.send_line("Balance weigh 1");
    }
    for _ in 0..10 {
        service.frame();
    }
    drop(service);
    for _ in 0..10 {
        let message = client.error_or_close().expect("the client stays");
        assert!(
            message.contains("the request may have been executed"),
            "{message}"
        );
    }
    client.settle();
}

/// The name of a dead service is free, and its successor cannot answer the old requests.
#[test]
fn a_successor_of_a_dead_service_cannot_answer_its_requests() {
    let manager = start();
    let mut service = Peer::service(&manager, "Balance", 0);
    let mut client = Peer::client(&manager, "client");
    client.send_line(request("Balance", "weigh").to_string());
    let asked = service.frame();
    drop(service);
    assert!(client.error_or_close().is_some());
    let mut successor = Peer::service(&manager, "Balance", 0);
    successor.send_line(
        json!({ "error": false, "requester": asked["requester"], "result": 1, "uid": asked["uid"] })
            .to_string(),
    );
    successor.settle();
    client.settle();
    assert_eq!(counter(&manager, "unsolicited"), 1);
}

#[test]
fn the_reference_lets_the_callers_of_a_dead_service_wait() {
    let manager = start_reference();
    let mut service = Peer::service(&manager, "Balance", 0);
    let callers = callers_in_flight(&manager, &mut service);
    drop(service);
    wait_for_services(&manager, 0);
    for mut peer in callers {
        // No other frame came before this answer.
        peer.settle();
    }
    control_failed_as_expected("the service is gone and nobody was told");
}

fn wait_for_services(manager: &Manager, count: usize) {
    let mut observer = Peer::client(manager, "observer");
    wait_until(&format!("there never were {count} services"), || {
        observer.ask(&identity_request())["result"]["services"]
            .as_object()
            .unwrap()
            .len()
            == count
    });
}
