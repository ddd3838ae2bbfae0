//! What waits for approval is bounded, and what a service does not read.

use super::*;

/// The bounds: of a client, of a user on many connections, and of one request. Others keep their places.
#[test]
fn a_flood_of_requests_for_approval_takes_no_place_of_others() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let mut root = client(&manager, "root");
    let mut peers = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        let mut ada = client(&manager, "ada");
        for number in 0..20 {
            ada.send_line(&asking("Laser", "set_power", &number.to_string()).to_string());
        }
        // Its own answer comes after those of the ones that are refused.
        ada.send_line(&asking("Manager", "identity", "last").to_string());
        loop {
            let answer = ada.read_json();
            if answer["uid"] == "last" {
                break;
            }
            expect_error(&answer, "RuntimeError: ");
            refused += 1;
        }
        peers.push(ada);
    }
    let counted = stats(&mut root);
    assert_eq!(counted["approvals_waiting"], 64, "{counted}");
    assert_eq!(
        (refused, &counted["too_many_approvals"]),
        (56, &json!(56)),
        "{counted}"
    );
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "set_power", "1").to_string());
    wait_until("eve has no place", || stats(&mut root)["approvals_waiting"] == 65);
    // The list has pages.
    let mut page = root.request(&to_manager("approvals", json!([]), json!({})))["result"].clone();
    assert_eq!(page["approvals"].as_array().unwrap().len(), 50);
    page = root.request(&to_manager("approvals", json!([page["next"]]), json!({})))["result"].clone();
    assert_eq!(page["approvals"].as_array().unwrap().len(), 15);
    assert_eq!(page["next"], Value::Null);
    expect_error(
        &root.request(&to_manager("approvals", json!(["7"]), json!({}))),
        "TypeError: approvals() takes if wanted, after=\"ID\" with the next of a page of this manager",
    );
    drop(peers);
    wait_until("the places are not free again", || {
        let counted = stats(&mut root);
        counted["approvals_waiting"] == 1 && counted["approval_bytes"].as_u64().unwrap() < 1_000
    });

    // Long ones have a bound each, and one together.
    let mut ada = client(&manager, "ada");
    let mut long = asking("Laser", "set_power", "long");
    long["args"] = json!(["x".repeat(1024 * 1024)]);
    expect_error(
        &ada.request(&long),
        "MemoryError: a request that waits for approval may have 1048576 bytes",
    );
    long["args"] = json!(["x".repeat(1_000_000)]);
    for number in 0..16 {
        long["uid"] = json!(number.to_string());
        ada.send_line(&long.to_string());
    }
    expect_error(
        &ada.read_json(),
        "RuntimeError: too many requests wait for approval",
    );
    let counted = stats(&mut root);
    assert!(
        counted["approval_bytes"].as_u64().unwrap() < 16 * 1024 * 1024,
        "{counted}"
    );
    let shown = waiting(&mut root);
    assert!(
        shown
            .iter()
            .all(|one| one["arguments"].as_str().unwrap().chars().count() <= 201),
        "{shown:?}"
    );
}

/// A client that asks and cancels without end is not published any more after some hundred events, so that those who
/// decide hear of the others.
#[test]
fn who_asks_and_cancels_without_end_hides_nobody_from_those_who_decide() {
    let manager = start();
    let _laser = service(&manager, "olga", "Laser");
    let mut olga = client(&manager, "olga");
    let subscribe = to_manager("subscribe", json!(["manager.approval"]), json!({}));
    assert_eq!(olga.request(&subscribe)["error"], false);
    let mut ada = client(&manager, "ada");
    for number in 0..500 {
        let uid = number.to_string();
        ada.send_line(&asking("Laser", "set_power", &uid).to_string());
        ada.request(&to_manager("cancel", json!([uid]), json!({})));
    }
    let mut eve = client(&manager, "eve");
    eve.send_line(&asking("Laser", "set_power", "1").to_string());
    let mut of_ada = 0;
    loop {
        let event = olga.read_json()["result"][0][1].clone();
        if event["user"] == "eve" {
            break;
        }
        assert_eq!(event["user"], "ada", "{event}");
        of_ada += 1;
    }
    assert!((1..200).contains(&of_ada), "{of_ada}");
}

/// A service that does not read: the decision waits for room in its queue, and the request with it.
#[test]
fn a_decision_waits_for_room_in_the_queue_of_the_service() {
    let manager = Manager::start_in(
        home(),
        &[&ROLES[..], &["--queue", "64k", "--stall", "60s"]].concat(),
    );
    let mut laser = service(&manager, "olga", "Laser");
    let (mut olga, mut ada) = (client(&manager, "olga"), client(&manager, "ada"));
    let mut long = asking("Laser", "set_power", "long");
    long["args"] = json!(["x".repeat(60_000)]);
    ada.send_line(&long.to_string());
    let ids = wait_for(&mut olga, 1);
    // Fills the queue, and the buffers of both sockets.
    let mut otto = client(&manager, "otto");
    let mut root = client(&manager, "root");
    let mut sent = 0;
    let full = loop {
        long["uid"] = json!(sent.to_string());
        long["attribute"] = json!("read");
        otto.send_line(&long.to_string());
        sent += 1;
        if stats(&mut root)["held_back"].as_u64().unwrap() > 0 {
            break sent;
        }
        assert!(sent < 1_000);
    };
    olga.send_line(&to_manager("approve", json!([ids[0]]), json!({})).to_string());
    let told = olga.read_for(Duration::from_millis(200));
    assert!(told.is_empty(), "{}", String::from_utf8_lossy(&told));
    assert_eq!(stats(&mut root)["approvals_waiting"], 1, "it still waits");
    let received: Vec<_> = (0..=full)
        .map(|_| laser.read_json()["attribute"].clone())
        .collect();
    assert!(received.contains(&json!("set_power")));
    assert_eq!(olga.read_json()["result"]["id"], ids[0]);
}
