//! Peers whose computer or cable fails silently, and peers that only look like that.

use std::time::{Duration, Instant};

use labwire_client::{CallError, Client, Executed};
use labwire_service::{ConnectOptions, ReadError, RunError, Runner};
use serde_json::{Value, json};

use crate::hardening::support::{Peer, manager_request};
use crate::support::DEADLINE;
use crate::support::manager::Manager;
use crate::support::network::Network;
use crate::support::waiting::wait_until;
use crate::support::wire::request;

/// Three times the `--keepalive` of these tests.
const LIMIT: Duration = Duration::from_secs(6);

/// Tolerance on a busy computer.
const SLACK: Duration = Duration::from_secs(8);

/// Starts a manager on the near computer that serves the far one.
fn start(network: &Network, keepalive: &str) -> Manager {
    network.near(|| Manager::start(&["--disable-tls", "--open", "--keepalive", keepalive]))
}

/// Connects a client on the far computer that holds the exclusive lock on a service.
fn far_holder(network: &Network, manager: &Manager, name: &str, service: &str) -> Peer {
    let mut peer = far_peer(network, manager, &json!({ "type": "client", "name": name }));
    peer.link_and_lock(service);
    peer
}

fn far_service(network: &Network, manager: &Manager, name: &str) -> Peer {
    let identity = json!({ "type": "service", "name": name, "attributes": {}, "features": ["registered"] });
    let mut peer = far_peer(network, manager, &identity);
    peer.expect_request("registered");
    peer
}

fn far_peer(network: &Network, manager: &Manager, identity: &Value) -> Peer {
    let mut peer = Peer::over(network.connect_from_far(manager.port()));
    peer.identify(identity);
    peer
}

/// Returns a notification in a service's name.
fn notification(service: &str, argument: &Value) -> String {
    json!({ "error": false, "result": [[argument], {}], "service": service, "uid": "notification" })
        .to_string()
}

/// Repeatedly asks for a link until the holder of the lock is gone. Returns when that was.
fn wait_for_lock(peer: &mut Peer, service: &str) -> Instant {
    wait_until(&format!("the lock on {service} is never free"), || {
        peer.ask_manager("link", json!([service]))["error"] == false
    });
    Instant::now()
}

#[test]
fn clients_behind_a_pulled_cable_lose_their_locks_at_the_stated_time_idle_or_with_bytes_in_flight() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "2s");
    let cases = ["Idle", "Busy", "Late"];
    let mut services = cases.map(|name| network.near(|| Peer::service(&manager, name, 0)));
    let holders = cases.map(|name| far_holder(&network, &manager, &format!("holder of {name}"), name));
    let mut heir = network.near(|| Peer::client(&manager, "heir"));
    for holder in &holders {
        network.wait_until_acknowledged(holder.port());
    }
    network.pull();
    let pulled = Instant::now();
    services[1].send_line(notification("Busy", &json!(1)));
    let late = std::thread::spawn({
        let mut service = services[2].try_clone();
        move || {
            // With the operating system's timeout alone, the peer would have its full time once
            // more.
            std::thread::sleep((LIMIT * 7 / 8).saturating_sub(pulled.elapsed()));
            service.send_line(notification("Late", &json!(1)));
        }
    });
    for name in cases {
        let took = wait_for_lock(&mut heir, name).duration_since(pulled);
        println!("{name}: the lock was free after {:.1} s", took.as_secs_f64());
        // The last packet of the peer arrived before the pull.
        assert!(took > LIMIT / 2, "{name}: {took:?}");
        assert!(took < LIMIT + SLACK, "{name}: {took:?}");
    }
    late.join().unwrap();
    let log = manager.log();
    assert_eq!(log.matches("has vanished").count(), 3, "{log}");
}

/// The peer's computer answers every probe, but its program does nothing, as in a debugger.
#[test]
fn a_client_that_reads_nothing_is_kept_as_long_as_its_computer_answers() {
    let manager = Manager::start(&["--disable-tls", "--keepalive", "2s"]);
    let mut service = Peer::service(&manager, "Camera", 0);
    let mut client = Peer::client(&manager, "Ada");
    let linked = client.ask_manager("link", json!(["Camera"]));
    assert_eq!(linked["error"], false, "{linked}");
    // More than the buffers of both ends hold.
    let text = "x".repeat(1024 * 1024);
    for number in 0..24 {
        service.send_line(notification("Camera", &json!([number, text])));
    }
    std::thread::sleep(LIMIT * 3 / 2);
    for number in 0..24 {
        let frame = client.frame();
        assert_eq!(frame["result"][0][0][0], number);
    }
    client.settle();
}

#[test]
fn a_client_that_reads_nothing_and_then_vanishes_is_gone_at_the_stated_time() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "2s");
    let mut service = network.near(|| Peer::service(&manager, "Camera", 0));
    let _holder = far_holder(&network, &manager, "holder", "Camera");
    let mut heir = network.near(|| Peer::client(&manager, "heir"));
    let text = "x".repeat(1024 * 1024);
    for _ in 0..24 {
        service.send_line(notification("Camera", &json!(text)));
    }
    std::thread::sleep(LIMIT);
    assert_eq!(heir.ask_manager("link", json!(["Camera"]))["error"], true);
    network.pull();
    let pulled = Instant::now();
    let took = wait_for_lock(&mut heir, "Camera").duration_since(pulled);
    println!("the lock was free after {:.1} s", took.as_secs_f64());
    assert!(took > LIMIT / 3, "{took:?}");
    assert!(took < LIMIT + SLACK, "{took:?}");
}

/// Maximum waiting time of a service that replaces a dead one, and the tolerance on a busy
/// computer.
const REPLACED: Duration = Duration::from_secs(2 + 3);

#[test]
fn a_service_whose_connection_is_dead_is_replaced_by_one_from_the_same_address_idle_or_with_bytes_in_flight()
{
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "30s");
    let mut client = network.near(|| Peer::client(&manager, "Ada"));
    for (name, is_asked) in [("Idle", false), ("Busy", true)] {
        let old = far_service(&network, &manager, name);
        network.wait_until_acknowledged(old.port());
        network.forget(old.port());
        if is_asked {
            client.send_line(request(name, "measure").to_string());
        }
        let asked = Instant::now();
        let mut new = far_service(&network, &manager, name);
        let took = asked.elapsed();
        println!("{name}: replaced after {:.2} s", took.as_secs_f64());
        assert!(took < REPLACED, "{name}: {took:?}");
        if is_asked {
            let told = client.frame();
            let message = told["message"].as_str().unwrap();
            assert!(message.contains("left before it replied"), "{told}");
            assert!(message.contains("may have been executed"), "{told}");
        }
        client.send_line(request(name, "measure").to_string());
        let asked = new.frame();
        new.send_line(
            json!({ "requester": asked["requester"], "result": 5, "uid": asked["uid"] }).to_string(),
        );
        assert_eq!(client.frame()["result"], 5);
    }
}

#[test]
fn a_service_that_is_alive_keeps_its_name_though_it_reads_nothing() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "30s");
    let mut client = network.near(|| Peer::client(&manager, "Ada"));
    let mut old = far_service(&network, &manager, "Oven");
    let claim = || {
        let identity = json!({ "type": "service", "name": "Oven", "attributes": {} });
        let mut new = far_peer(&network, &manager, &identity);
        let refused = new.expect_rejection();
        assert_eq!(
            refused,
            "NameError: A 'Oven' service is already running on the Manager"
        );
    };
    claim();
    // Long enough for an immediate probe.
    std::thread::sleep(Duration::from_millis(1_200));
    claim();
    // It has bytes to read, and does not read them.
    client.send_line(request("Oven", "measure").to_string());
    claim();
    let asked = old.frame();
    old.send_line(json!({ "requester": asked["requester"], "result": 5, "uid": asked["uid"] }).to_string());
    assert_eq!(client.frame()["result"], 5);
}

#[test]
fn a_dead_service_is_not_replaced_by_one_from_another_address() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "30s");
    let old = far_service(&network, &manager, "Oven");
    network.forget(old.port());
    let mut other = network.near(|| Peer::unannounced_service(&manager, "Oven", 0));
    assert!(other.expect_rejection().contains("already running"));
    let mut client = network.near(|| Peer::client(&manager, "Ada"));
    let services = client.ask(&manager_request("identity", json!([])))["result"]["services"].clone();
    assert!(services.get("Oven").is_some(), "{services}");
}

struct Kettle;

#[labwire_service::service]
impl Kettle {
    pub fn boil(&self) -> bool {
        true
    }
}

/// How long a client tries to return to its session.
const GRACE: Duration = Duration::from_secs(2);

/// The same on the other side: pending calls and services of the SDKs end when the manager is gone.
#[test]
fn pending_calls_and_services_end_when_the_manager_has_vanished_idle_or_with_bytes_in_flight() {
    let Some(network) = Network::new() else {
        return;
    };
    let manager = start(&network, "30s");
    let _oven = network.near(|| Peer::service(&manager, "Oven", 0));
    let options = ConnectOptions::new()
        .host(network.near_address().to_string())
        .port(manager.port())
        .without_tls()
        .session_grace(GRACE)
        .keepalive(LIMIT / 3);
    network.far(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let service = Runner::new(Kettle)
                .options(options.clone().without_reconnect())
                .connect()
                .await
                .unwrap();
            let mut links = Vec::new();
            for name in ["Ada", "Grace"] {
                let client = Client::connect(name, options.clone()).await.unwrap();
                links.push(client.link("Oven").await.unwrap());
            }
            let idle = links[0].call::<()>("measure", ()).send().await.unwrap();
            // A reply to a later request shows that this request has arrived.
            links[0].client().identities().await.unwrap();
            network.pull();
            let pulled = Instant::now();
            let in_flight = links[1].call::<()>("measure", ()).send().await.unwrap();
            for (name, pending) in [("idle", idle), ("in flight", in_flight)] {
                let error = tokio::time::timeout(DEADLINE, pending)
                    .await
                    .unwrap()
                    .unwrap_err();
                let took = pulled.elapsed();
                println!("{name}: {error} after {:.1} s", took.as_secs_f64());
                assert!(
                    matches!(&error, CallError::Disconnected { .. }),
                    "{name}: {error:?}"
                );
                assert_eq!(error.executed(), Executed::Maybe, "{name}: {error}");
                assert!(
                    error.to_string().contains("the manager has vanished"),
                    "{name}: {error}"
                );
                assert!(
                    took > LIMIT / 2 && took < LIMIT + GRACE + SLACK,
                    "{name}: {took:?}"
                );
            }
            let ended = tokio::time::timeout(DEADLINE, service.wait())
                .await
                .unwrap()
                .unwrap_err();
            assert!(
                matches!(&ended, RunError::Lost(ReadError::Vanished(_))),
                "{ended}"
            );
        });
    });
}
