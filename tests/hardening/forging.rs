//! Nobody speaks for another: replies and notifications count only from the service that they
//! belong to.

use serde_json::{Value, json};

use super::support::{Peer, control_failed_as_expected, counter, expect_no_panic, start, start_reference};
use crate::support::manager::Manager;
use crate::support::wire::request;

fn reply(requester: &str, uid: &str, result: &str) -> String {
    json!({ "error": false, "requester": requester, "result": result, "uid": uid }).to_string()
}

fn notification(service: &str, text: &str) -> String {
    json!({ "error": false, "result": [[text], {}], "service": service, "uid": "notification" }).to_string()
}

fn call(uid: &str) -> Value {
    let mut call = request("Balance", "weigh");
    call["uid"] = json!(uid);
    call
}

/// A service, a client that is linked with it, and two peers that try to act as others.
struct Cast {
    // Declared first: the peers disconnect before the manager is asked to end.
    service: Peer,
    victim: Peer,
    victim_name: String,
    client: Peer,
    other_service: Peer,
    manager: Manager,
}

fn cast(manager: Manager) -> Cast {
    let service = Peer::service(&manager, "Balance", 0);
    let mut victim = Peer::client(&manager, "victim");
    let frame = victim.ask_manager("link", json!(["Balance"]));
    assert_eq!(frame["error"], false, "{frame}");
    Cast {
        service,
        victim_name: victim.settle(),
        victim,
        client: Peer::client(&manager, "forger"),
        other_service: Peer::service(&manager, "Forger", 0),
        manager,
    }
}

/// Replies of a client, of another service, of the right service to a client that has no request,
/// and a second reply: dropped and counted. The real reply arrives, once.
#[test]
fn forged_replies_reach_nobody_and_the_real_one_arrives_once() {
    let mut cast = cast(start());
    cast.victim.send_line(call("1").to_string());
    cast.service.frame();

    for forger in [&mut cast.client, &mut cast.other_service] {
        forger.send_line(reply(&cast.victim_name, "1", "forged"));
        forger.settle();
    }
    let forger_name = cast.client.settle();
    cast.service.send_line(reply(&forger_name, "1", "forged"));
    cast.service.send_line(reply(&cast.victim_name, "2", "forged"));
    cast.service.send_line(reply(&cast.victim_name, "1", "real"));
    cast.service.send_line(reply(&cast.victim_name, "1", "again"));
    cast.service.settle();

    let frame = cast.victim.frame();
    assert_eq!((&frame["result"], &frame["uid"]), (&json!("real"), &json!("1")));
    cast.victim.settle();
    cast.client.settle();
    assert_eq!(counter(&cast.manager, "unsolicited"), 5);
    expect_no_panic(&cast.manager);
}

/// Replies to the manager, to the service itself and to unknown names are dropped.
#[test]
fn replies_to_peers_that_are_no_clients_reach_nobody() {
    let mut cast = cast(start());
    let manager_name = cast.client.ask_manager("identity", json!([]))["result"]["hostname"].clone();
    for requester in [
        "",
        "Manager",
        "Forger",
        "Balance",
        &format!(
            "Manager[{}:{}]",
            manager_name.as_str().unwrap(),
            cast.manager.port()
        ),
    ] {
        cast.service.send_line(reply(requester, "1", "forged"));
        cast.service.send_line(reply(requester, "", "forged"));
    }
    cast.service.settle();
    for peer in [&mut cast.victim, &mut cast.client, &mut cast.other_service] {
        peer.settle();
    }
    assert_eq!(counter(&cast.manager, "unsolicited"), 10);
}

/// Notifications in a service's name, by another service and by a client, are dropped and counted.
/// The real one arrives.
#[test]
fn forged_notifications_reach_nobody_and_the_real_one_arrives() {
    let mut cast = cast(start());
    cast.other_service.send_line(notification("Balance", "forged"));
    cast.other_service.settle();
    cast.client.send_line(notification("Balance", "forged"));
    cast.client.settle();
    cast.service.send_line(notification("Balance", "real"));
    let frame = cast.victim.frame();
    assert_eq!(frame["result"], json!([["real"], {}]));
    cast.victim.settle();
    assert_eq!(counter(&cast.manager, "unsolicited"), 2);
    expect_no_panic(&cast.manager);
}

/// A request contains a forged `requester`; the service gets the real one.
#[test]
fn the_requester_is_the_managers_own_word() {
    let mut cast = cast(start());
    let mut forged = call("1");
    forged["requester"] = json!(cast.victim_name);
    cast.client.send_line(forged.to_string());
    let name = cast.client.settle();
    assert_eq!(cast.service.frame()["requester"], json!(name));
}

/// Two clients choose the same uid: each gets its own reply.
#[test]
fn clients_that_choose_the_same_uid_get_their_own_replies() {
    let mut cast = cast(start());
    let client_name = cast.client.settle();
    cast.victim.send_line(call("1").to_string());
    cast.service.frame();
    cast.client.send_line(call("1").to_string());
    cast.service.frame();
    cast.service.send_line(reply(&client_name, "1", "for the client"));
    cast.service
        .send_line(reply(&cast.victim_name, "1", "for the victim"));
    assert_eq!(cast.victim.frame()["result"], "for the victim");
    assert_eq!(cast.client.frame()["result"], "for the client");
}

#[test]
fn the_reference_delivers_forged_replies_and_notifications() {
    let manager = start_reference();
    let mut cast = cast(manager);
    cast.victim.send_line(call("1").to_string());
    cast.service.frame();
    cast.client.send_line(reply(&cast.victim_name, "1", "forged"));
    assert_eq!(cast.victim.frame()["result"], "forged");
    control_failed_as_expected("a client answered another one's request");
    cast.client.send_line(notification("Balance", "forged"));
    assert_eq!(cast.victim.frame()["result"], json!([["forged"], {}]));
    control_failed_as_expected("a client emitted a service's notification");
}
