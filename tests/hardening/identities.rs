//! Large identities: a service with hundreds of methods can register, but an unauthenticated peer
//! cannot send as much.

use serde_json::{Value, json};

use super::support::{Peer, expect_no_panic, manager_request, start_reference};
use crate::support::manager::Manager;
use crate::support::python::Service;
use crate::support::wire::wait_for_service;

/// Returns the identity of a service with these attributes, as its peer sends it.
fn identity(attributes: &Value) -> String {
    let identity = json!({ "type": "service", "name": "Broad", "attributes": attributes });
    json!({ "result": identity }).to_string()
}

/// 800 methods, and a table of 3,000 numbers: together twice the limit before authentication.
fn attributes() -> Value {
    let signature = "(channel: int, samples: int = 100, rate: float = 1.5, unit: str = 'V') -> list";
    let mut attributes: serde_json::Map<String, Value> = (0..800)
        .map(|number| (format!("measure_on_channel_{number:03}"), json!(signature)))
        .collect();
    let table: Vec<f64> = (0..3_000).map(|number| f64::from(number) / 7.0).collect();
    attributes.insert("table".to_owned(), json!(table));
    attributes.into()
}

/// Registers a service with such attributes, and links a client with it.
fn expect_registered(manager: &Manager, authenticate: impl Fn(&mut Peer)) {
    let attributes = attributes();
    let line = identity(&attributes);
    assert!(line.len() > 128 * 1024, "{} bytes", line.len());
    let mut service = Peer::connect(manager);
    authenticate(&mut service);
    service.expect_request("identity");
    service.send_line(line);
    service.settle();
    let mut client = Peer::connect(manager);
    authenticate(&mut client);
    client.identify(&json!({ "type": "client", "name": "Ada" }));
    client.send_line(manager_request("link", json!(["Broad"])).to_string());
    let linked = client.line().expect("the client is linked");
    assert!(linked.contains(&attributes.to_string()), "not byte for byte");
    expect_no_panic(manager);
}

#[test]
fn a_service_with_hundreds_of_methods_registers_where_nothing_is_asked() {
    expect_registered(&Manager::start(&["--disable-tls"]), |_| {});
}

#[test]
fn a_service_with_hundreds_of_methods_registers_once_it_has_authenticated() {
    let manager = Manager::start(&["--disable-tls", "--auth-password", "sesame"]);
    expect_registered(&manager, |peer| {
        peer.expect_request("password");
        peer.send_line("sesame");
    });
    // A peer that has not authenticated cannot send as much, and the error names the option.
    let mut stranger = Peer::connect(&manager);
    stranger.expect_request("password");
    stranger.send_line(identity(&attributes()));
    let message = stranger.expect_rejection();
    assert!(
        message.contains("65536 bytes") && message.contains("--handshake-line"),
        "{message}"
    );
}

/// The largest identity is read on another thread, and arrives whole.
#[test]
fn an_identity_of_three_mebibytes_registers_and_a_longer_one_is_told_the_option() {
    let manager = Manager::start(&["--disable-tls"]);
    let large = |mebibytes: usize| identity(&json!({ "text": "x".repeat(mebibytes << 20) }));
    let mut service = Peer::connect(&manager);
    service.expect_request("identity");
    service.send_line(large(3));
    service.settle();
    for mebibytes in [5, 12] {
        let mut too_large = Peer::connect(&manager);
        too_large.expect_request("identity");
        too_large.send_line(large(mebibytes));
        let message = too_large.expect_rejection();
        assert!(
            message.contains("4194304 bytes") && message.contains("--identity-line"),
            "{message}"
        );
    }
    expect_no_panic(&manager);
}

#[test]
fn the_option_raises_and_lowers_the_limit() {
    for (arguments, fits) in [
        (["--identity-line", "8MiB"], true),
        (["--identity-line", "100KiB"], false),
        // An identity may be as long as a line before authentication.
        (["--handshake-line", "8MiB"], true),
    ] {
        let manager = Manager::start(&[&["--disable-tls"][..], &arguments].concat());
        let mut peer = Peer::connect(&manager);
        peer.expect_request("identity");
        peer.send_line(identity(&json!({ "text": "x".repeat(5 << 20) })));
        if fits {
            peer.settle();
        } else {
            let message = peer.expect_rejection();
            assert!(message.contains("102400 bytes (see --identity-line"), "{message}");
        }
    }
}

/// The unmodified Python service, on both managers.
#[test]
fn a_python_service_with_hundreds_of_methods_works_as_on_its_own_manager() {
    let mut seen = Vec::new();
    for manager in [Manager::start(&["--disable-tls"]), start_reference()] {
        let _service = Service::start("Broad", &manager.connection());
        wait_for_service(&manager, "Broad");
        let mut client = Peer::client(&manager, "Ada");
        let linked = client.ask(&manager_request("link", json!(["Broad"])));
        let mut call = crate::support::wire::request("Broad", "measure_on_channel_799");
        call["args"] = json!([7]);
        let reply = client.ask(&call);
        assert_eq!(reply["result"], json!([7, 100, 1.5, "V"]), "{reply}");
        seen.push(linked["result"]["attributes"].clone());
    }
    assert_eq!(seen[0]["table"].as_array().map(Vec::len), Some(3_000));
    assert!(seen.iter().all(|attributes| *attributes == seen[0]));
}

/// Unfinished long identities count towards the budget of unfinished lines.
#[test]
fn unfinished_identities_are_bounded_for_all_together() {
    let manager = Manager::start(&[
        "--disable-tls",
        "--identity-line",
        "8MiB",
        "--budget-lines",
        "16MiB",
    ]);
    let peers = [5, 7, 6].map(|mebibytes| {
        let mut peer = Peer::connect(&manager);
        peer.expect_request("identity");
        peer.try_send(&vec![b'x'; mebibytes << 20]);
        peer
    });
    manager.wait_for_log("rejected, closing connection: MemoryError: ");
    let messages = peers.map(|mut peer| {
        peer.try_send(b"\r\n");
        peer.expect_rejection()
    });
    let over_budget =
        |message: &&String| message.starts_with("MemoryError: ") && message.contains("--budget-lines");
    assert_eq!(messages.iter().filter(over_budget).count(), 1, "{messages:?}");
    let whole = |message: &&String| message.contains("a typed line may not be longer than 65536 bytes");
    assert_eq!(messages.iter().filter(whole).count(), 2, "{messages:?}");
    expect_no_panic(&manager);
}
