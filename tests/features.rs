//! The features that a peer requests in its identity, `registered`, `unlinked` and `origin`, and
//! that other peers get the same frames as without them. The form of the frames is documented and
//! tested by the protocol page.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use serde_json::{Value, json};

use super::support::DEADLINE;
use super::support::manager::Manager;
use super::support::process::Signal;
use super::support::python::Service;
use super::support::wire::{RawPeer, identity_request, request, wait_for_service};

/// Number of repetitions of a test that could pass by chance.
const ROUNDS: usize = 30;

fn start() -> Manager {
    Manager::start(&["--disable-tls"])
}

fn identity(kind: &str, name: &str, features: &[&str]) -> Value {
    json!({ "type": kind, "name": name, "attributes": {}, "features": features })
}

fn client(manager: &Manager, name: &str, features: &[&str]) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    peer.identify(&identity("client", name, features));
    peer
}

/// Connects a service, and waits until the manager knows it.
fn service(manager: &Manager, name: &str) -> RawPeer {
    let mut peer = RawPeer::connect(manager);
    peer.identify(&identity("service", name, &["registered"]));
    expect_told(&mut peer, "registered");
    peer
}

/// Expects a frame of the manager with this attribute, and returns its argument.
fn expect_told(peer: &mut RawPeer, attribute: &str) -> String {
    let frame = peer.read_json();
    assert_eq!(
        (&frame["attribute"], &frame["error"], &frame["uid"]),
        (&json!(attribute), &json!(false), &json!("")),
        "{frame}"
    );
    let requester = frame["requester"].as_str().unwrap();
    assert!(requester.starts_with("Manager["), "{frame}");
    frame["args"][0].as_str().unwrap().to_owned()
}

fn manager_request(attribute: &str, service: &str) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = json!([service]);
    request
}

fn link(client: &mut RawPeer, service: &str) {
    let frame = client.request(&manager_request("link", service));
    assert_eq!(frame["error"], false, "{frame}");
}

/// Expects that the manager has sent nothing else to the peer.
fn expect_silence(peer: &mut RawPeer) {
    let frame = peer.request(&identity_request());
    assert!(frame["result"]["hostname"].is_string(), "{frame}");
}

/// Expects an error, and returns its members `origin` and `executed`.
fn expect_error(peer: &mut RawPeer) -> (Value, Value) {
    let frame = peer.read_json();
    assert_eq!(frame["error"], true, "{frame}");
    (frame["origin"].clone(), frame["executed"].clone())
}

fn managers(executed: &str) -> (Value, Value) {
    (json!("manager"), json!(executed))
}

/// Everything that features add to happens to two clients: one requests no feature, the other an
/// unknown one. They get the same bytes as clients of the first version.
#[test]
fn who_asks_for_nothing_that_is_known_hears_the_same_bytes_as_ever() {
    let manager = start();
    let identities = [
        json!({ "type": "client", "name": "c" }),
        json!({ "type": "client", "name": "c", "features": ["levitation", "", "Origin"] }),
    ];
    for identity in identities {
        let mut service = service(&manager, "Balance");
        let mut client = RawPeer::connect(&manager);
        client.identify(&identity);
        link(&mut client, "Balance");
        client.send_line("Oven heat");
        client.send_line(&request("Balance", "weigh").to_string());
        let requester = service.read_json()["requester"].as_str().unwrap().to_owned();
        service.send_line(r#"{"service":"","attribute":"__disconnect__"}"#);
        service.expect_closed();
        let name = expect_silence_and_heard(
            &mut client,
            &[
                ("", "KeyError: the 'Oven' Service is not connected to MANAGER"),
                (
                    "request",
                    "ConnectionError: the 'Balance' Service left before it replied, the request may have been executed",
                ),
            ],
            &format!("Manager[{}:{}]", hostname(&requester), manager.port()),
        );
        assert_eq!(name, requester);
    }
}

/// Expects exactly these errors, each a line without the members of a feature, and no further
/// frames. Returns the client's name.
fn expect_silence_and_heard(client: &mut RawPeer, errors: &[(&str, &str)], manager: &str) -> String {
    let heard: Vec<String> = errors.iter().map(|_| client.read_line()).collect();
    let identity = client.request(&identity_request());
    let name = identity["requester"].as_str().unwrap().to_owned();
    for (line, (uid, message)) in heard.iter().zip(errors) {
        let message = message.replace("MANAGER", manager);
        assert_eq!(
            *line,
            format!(
                r#"{{"error":true,"message":"{message}","requester":"{name}","result":null,"traceback":[],"uid":"{uid}"}}"#
            )
        );
    }
    name
}

/// Returns the host in `NAME[HOST:PORT]`.
fn hostname(name: &str) -> &str {
    let (_, address) = name.split_once('[').expect("a name has an address");
    address.split(':').next().expect("an address has a host")
}

#[test]
fn features_that_are_no_array_of_strings_are_refused() {
    let manager = start();
    let mut peer = RawPeer::connect(&manager);
    peer.identify(&json!({ "type": "client", "name": "c", "features": "origin" }));
    assert_eq!(
        peer.read_json()["message"],
        "TypeError: the identity's member \"features\" must be an array of strings"
    );
    peer.expect_closed();
}

#[test]
fn a_client_is_told_that_it_is_in_before_what_it_sent_with_its_identity_is_answered() {
    let manager = start();
    let mut peer = RawPeer::connect(&manager);
    peer.read_json();
    let lines = [
        json!({ "result": identity("client", "hasty", &["registered"]) }),
        identity_request(),
        request("Oven", "heat"),
    ];
    peer.send_line(&lines.map(|line| line.to_string()).join("\r\n"));
    let name = expect_told(&mut peer, "registered");
    assert_eq!(name.split('[').next(), Some("hasty"));
    let known = peer.read_json();
    assert!(known["result"]["clients"][&name].is_object(), "{known}");
    assert_eq!(peer.read_json()["error"], true);
}

/// A client sends requests as fast as it can to a service that is about to connect.
#[test]
fn a_service_is_told_that_it_is_in_before_the_first_request_reaches_it() {
    let manager = start();
    for round in 0..ROUNDS {
        let name = format!("service {round}");
        let mut caller = RawPeer::client(&manager, "caller");
        let mut service = RawPeer::connect(&manager);
        service.identify(&identity("service", &name, &["registered"]));
        let deadline = Instant::now() + DEADLINE;
        let ask = request(&name, "weigh").to_string();
        caller.send_line(&ask);
        caller.send_line(&identity_request().to_string());
        // Until the service is registered, each request is refused before the answer to `identity`.
        while caller.read_json()["error"] == true {
            assert!(Instant::now() < deadline, "{name} never came");
            caller.read_json();
            caller.send_line(&ask);
            caller.send_line(&identity_request().to_string());
        }
        assert!(expect_told(&mut service, "registered").starts_with(&format!("{name}[")));
        assert_eq!(service.read_json()["attribute"], "weigh");
    }
}

#[test]
fn a_peer_that_is_not_let_in_is_told_why_and_nothing_else() {
    let manager = start();
    let _service = service(&manager, "Balance");
    let mut copy = RawPeer::connect(&manager);
    copy.identify(&identity(
        "service",
        "Balance",
        &["registered", "unlinked", "origin"],
    ));
    let line = copy.read_line();
    assert!(
        line.starts_with(r#"{"error":true,"message":"NameError: A 'Balance' service is already running"#)
            && !line.contains("origin"),
        "{line}"
    );
    copy.expect_closed();
}

#[test]
fn a_linked_client_is_told_that_its_service_was_killed() {
    let manager = start();
    let killed = Service::start("Echo", &manager.connection());
    wait_for_service(&manager, "Echo");
    let mut client = client(&manager, "client", &["unlinked"]);
    link(&mut client, "Echo");
    drop(killed);
    assert_eq!(expect_told(&mut client, "unlinked"), "Echo");
    expect_silence(&mut client);
}

/// However a service disconnects, its linked clients first get the errors of their requests, then
/// `unlinked`.
#[test]
fn a_linked_client_is_told_that_its_service_left_after_the_errors_of_its_requests() {
    const REQUESTS: usize = 20;
    let endings: [fn(RawPeer); 3] = [
        drop,
        |mut service| {
            service.send_line(r#"{"service":"","attribute":"__disconnect__"}"#);
            service.expect_closed();
        },
        |mut service| service.send_bytes(b"disconnect\n"),
    ];
    let manager = start();
    for leave in endings {
        let mut service = service(&manager, "Balance");
        let mut linked = client(&manager, "linked", &["unlinked", "origin"]);
        let mut stranger = client(&manager, "stranger", &["unlinked"]);
        let mut unlinked = client(&manager, "unlinked", &["unlinked"]);
        link(&mut linked, "Balance");
        link(&mut unlinked, "Balance");
        let frame = unlinked.request(&manager_request("unlink", "Balance"));
        assert_eq!(frame["result"], true, "{frame}");
        for client in [&mut linked, &mut stranger] {
            for _ in 0..REQUESTS {
                client.send_line(&request("Balance", "weigh").to_string());
                service.read_json();
            }
        }
        leave(service);
        for _ in 0..REQUESTS {
            assert_eq!(expect_error(&mut linked), managers("maybe"));
            expect_error(&mut stranger);
        }
        assert_eq!(expect_told(&mut linked, "unlinked"), "Balance");
        for mut client in [linked, stranger, unlinked] {
            expect_silence(&mut client);
        }
    }
}

/// A service disconnects and reconnects at once while a client repeatedly asks for a link with it.
/// The frames that the client gets must be consistent in their order. Errors for many other
/// requests at the same time make a mistake more likely to be seen.
#[test]
fn the_end_of_a_link_is_told_before_the_next_link_is_granted() {
    const REQUESTS: usize = 2_000;
    let manager = start();
    let mut client = client(&manager, "client", &["unlinked"]);
    let ask = manager_request("link", "Balance").to_string();
    let requests = vec![request("Balance", "weigh").to_string(); REQUESTS].join("\r\n");
    std::thread::scope(|scope| {
        let (manager, requests) = (&manager, &requests);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let coming_and_going = scope.spawn(move || {
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let mut service = RawPeer::connect(manager);
                service.identify(&identity("service", "Balance", &["registered"]));
                // If the last one is still connected, this one is refused.
                if service.read_json()["error"] == false {
                    let mut caller = RawPeer::client(manager, "caller");
                    caller.send_line(requests);
                    expect_silence(&mut caller);
                }
            }
        });
        let (mut is_linked, mut ends) = (false, 0);
        for _ in 0..20 {
            client.send_line(&ask);
        }
        while ends < ROUNDS {
            let frame = client.read_json();
            if frame["attribute"] == "unlinked" {
                assert!(is_linked, "the end of a link was told that was not granted");
                (is_linked, ends) = (false, ends + 1);
                continue;
            }
            if frame["error"] == true {
                assert!(
                    !is_linked,
                    "the service was gone before the end of the link was told"
                );
            } else {
                is_linked = true;
            }
            client.send_line(&ask);
        }
        drop(stop);
        coming_and_going.join().expect("services may come and go");
    });
}

#[test]
fn a_manager_that_stops_ends_the_connection_and_tells_of_no_link() {
    let mut manager = start();
    let _services = ["Balance", "Oven"].map(|name| service(&manager, name));
    let mut client = client(&manager, "client", &["unlinked"]);
    link(&mut client, "Balance");
    link(&mut client, "Oven");
    manager.signal(Signal::TERM);
    client.expect_closed();
    assert!(manager.wait_for_end().success());
}

#[test]
fn an_error_of_a_line_that_reached_nobody_says_that_it_was_not_executed() {
    let manager = start();
    let _service = service(&manager, "Balance");
    let mut holder = RawPeer::client(&manager, "holder");
    link(&mut holder, "Balance");
    let frame = holder.request(&manager_request("acquire_lock", "Balance"));
    assert_eq!(frame["error"], false, "{frame}");
    let mut client = client(&manager, "client", &["origin"]);
    for line in [
        request("Oven", "heat").to_string(),
        request("Balance", "weigh").to_string(),
        manager_request("link", "Balance").to_string(),
        manager_request("link", "Oven").to_string(),
        manager_request("acquire_lock", "Balance").to_string(),
        json!({ "service": "Balance", "attribute": 5 }).to_string(),
        json!({ "result": [], "requester": "x", "uid": [5] }).to_string(),
        r#"{"service":"Balance""#.to_owned(),
        "[]".to_owned(),
        "weigh".to_owned(),
        "client again".to_owned(),
        format!("Balance weigh {}", "x".repeat(70_000)),
    ] {
        client.send_line(&line);
        assert_eq!(
            expect_error(&mut client),
            managers("no"),
            "{}",
            &line[..line.len().min(80)]
        );
    }
}

#[test]
fn an_error_of_the_login_for_an_administrators_request_says_that_it_was_not_executed() {
    let manager = start();
    let mut client = client(&manager, "client", &["origin"]);
    client.send_line(&request("Manager", "shutdown_manager").to_string());
    for asked in ["username", "password"] {
        expect_told(&mut client, asked);
        client.send_line(&json!({ "result": "nobody" }).to_string());
    }
    assert_eq!(expect_error(&mut client), managers("no"));
    client.expect_closed();
}

#[test]
fn an_error_of_a_request_that_its_service_had_got_says_that_it_may_have_been_executed() {
    let manager = start();
    let mut service = service(&manager, "Balance");
    let mut client = RawPeer::connect(&manager);
    let mut python = identity("client", "client", &["origin"]);
    python["language"] = json!("Python 3.11");
    client.identify(&python);
    let too_deep = "[".repeat(1_000) + &"]".repeat(1_000);
    for (error, result) in [("5", "1"), ("false", too_deep.as_str())] {
        client.send_line(&request("Balance", "weigh").to_string());
        let requester = service.read_json()["requester"].clone();
        service.send_line(&format!(
            r#"{{"error":{error},"requester":{requester},"result":{result},"uid":"request"}}"#
        ));
        assert_eq!(expect_error(&mut client), managers("maybe"));
    }
    client.send_line(&request("Balance", "weigh").to_string());
    service.read_json();
    drop(service);
    assert_eq!(expect_error(&mut client), managers("maybe"));
    expect_silence(&mut client);
}

#[test]
fn a_manager_that_stops_tells_what_may_have_been_executed_from_what_was_not() {
    let mut manager = start();
    let mut service = service(&manager, "Balance");
    let mut client = client(&manager, "client", &["origin"]);
    client.send_line(&request("Balance", "weigh").to_string());
    service.read_json();
    manager.signal(Signal::TERM);
    manager.wait_for_log("shutting down the Network Manager");
    client.send_line(&request("Balance", "weigh").to_string());
    assert_eq!(expect_error(&mut client), managers("no"));
    manager.signal(Signal::TERM);
    assert_eq!(expect_error(&mut client), managers("maybe"));
    client.expect_closed();
    assert!(manager.wait_for_end().success());
}

#[test]
fn an_error_of_a_service_says_nothing_of_the_manager_whatever_the_service_claims() {
    let manager = start();
    let mut service = service(&manager, "Balance");
    let mut client = client(&manager, "client", &["origin"]);
    client.send_line(&request("Balance", "weigh").to_string());
    let requester = service.read_json()["requester"].clone();
    service.send_line(
        &json!({
            "error": true, "executed": "no", "message": "E: no", "origin": "manager", "requester": requester,
            "result": null, "traceback": [], "uid": "request",
        })
        .to_string(),
    );
    assert_eq!(expect_error(&mut client), (Value::Null, Value::Null));
}

/// A service may not send requests, so its errors never have the member `executed`.
#[test]
fn the_errors_of_a_service_that_knows_of_origins_are_as_ever() {
    let manager = start();
    let mut service = RawPeer::connect(&manager);
    service.identify(&identity("service", "Balance", &["registered", "origin"]));
    expect_told(&mut service, "registered");
    service.send_line(&request("Oven", "heat").to_string());
    assert_eq!(expect_error(&mut service), (Value::Null, Value::Null));
}
