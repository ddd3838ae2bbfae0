//! The budgets, set to small values by their options and exhausted: the peer that uses most is
//! refused, and no peer that uses little.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Administrator, Bystander, Peer, expect_no_panic, home_with_administrator};
use crate::support::manager::Manager;
use crate::support::waiting::wait_until;

const MIB: usize = 1024 * 1024;

/// Starts a manager without TLS, with these options, and connects its administrator.
fn start(options: &[&str]) -> (Manager, Administrator) {
    let manager = Manager::start_in(home_with_administrator(), &[&["--disable-tls"], options].concat());
    let administrator = Administrator::new(&manager);
    (manager, administrator)
}

fn message(frame: &Value) -> &str {
    frame["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {frame}"))
}

/// The position of the uid in a request with a long payload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uid {
    /// Before the payload.
    First,
    /// After it, as in the requests of Python.
    Last,
}

/// Returns the beginning of a request whose payload has so many bytes, and its end.
fn long_request(uid: Uid, name: &str, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let payload = "x".repeat(bytes);
    let envelope =
        format!(r#""attribute":"count","error":false,"kwargs":{{}},"service":"Echo","uid":"{name}""#);
    let (head, tail) = match uid {
        Uid::First => (
            format!(r#"{{{envelope},"args":["{payload}"#),
            "\"]}\r\n".to_owned(),
        ),
        Uid::Last => (
            format!(r#"{{"args":["{payload}"#),
            format!("\"],{envelope}}}\r\n"),
        ),
    };
    (head.into_bytes(), tail.into_bytes())
}

/// Waits until the manager has counted so many bytes of unfinished lines.
fn wait_for_bytes(administrator: &mut Administrator, bytes: usize) {
    // The counter is rounded down.
    administrator.wait_for_counter("line_bytes", (bytes - bytes / 50) as u64);
}

/// Answers one request with the length of its first argument.
fn answer(service: &mut Peer) {
    let asked = service.frame();
    let length = asked["args"][0].as_str().map_or(0, str::len);
    service.send_line(
        json!({ "error": false, "requester": asked["requester"], "result": length, "uid": asked["uid"] })
            .to_string(),
    );
}

#[test]
fn the_longest_of_all_unfinished_lines_is_thrown_away_and_nobody_else_notices() {
    for uid in [Uid::First, Uid::Last] {
        let (manager, mut administrator) = start(&["--budget-lines", "8MiB"]);
        let mut service = Peer::service(&manager, "Echo", 0);
        let bystander = Bystander::start(&manager);
        let lengths = [MIB, 2 * MIB, 3 * MIB, MIB * 3 / 2];
        let mut clients: Vec<_> = (0..4)
            .map(|number| {
                let mut client = Peer::client(&manager, &format!("client {number}"));
                let (head, tail) = long_request(uid, &number.to_string(), lengths[number]);
                client.send_bytes(&head);
                (client, tail)
            })
            .collect();
        wait_for_bytes(&mut administrator, lengths.iter().sum());
        assert_eq!(administrator.counter("lines_over_budget"), 0);

        // The shortest line exceeds the rest of the budget, and the longest is discarded.
        clients[0].0.send_bytes(&vec![b'y'; MIB]);
        administrator.wait_for_counter("lines_over_budget", 1);
        let (mut longest, tail) = clients.remove(2);
        if uid == Uid::Last {
            // The caller is known when the end of the line has arrived.
            longest.send_bytes(&vec![b'z'; 3 * MIB]);
            longest.send_bytes(&tail);
        }
        let told = longest.frame();
        assert_eq!(
            (&told["uid"], &told["error"]),
            (&json!("2"), &json!(true)),
            "{told}"
        );
        for text in [
            "MemoryError: ",
            "8388608 bytes",
            "--budget-lines",
            "was not executed",
        ] {
            assert!(message(&told).contains(text), "{told}");
        }
        if uid == Uid::First {
            longest.send_bytes(&tail);
        }
        // The connection continues with the next line.
        longest.settle();

        for ((client, tail), (number, length)) in
            clients
                .iter_mut()
                .zip([(0, 2 * MIB), (1, lengths[1]), (3, lengths[3])])
        {
            client.send_bytes(tail);
            answer(&mut service);
            let reply = client.frame();
            assert_eq!(
                (&reply["uid"], &reply["result"]),
                (&json!(number.to_string()), &json!(length)),
                "{reply}"
            );
        }
        bystander.stop();
        assert_eq!(administrator.counter("lines_over_budget"), 1);
        assert_eq!(administrator.counter("line_bytes"), 0);
        manager.wait_for_log("--budget-lines");
        expect_no_panic(&manager);
    }
}

#[test]
fn a_line_that_is_longer_than_all_may_be_is_thrown_away_and_the_next_is_served() {
    let (manager, mut administrator) = start(&["--budget-lines", "1MiB"]);
    let mut service = Peer::service(&manager, "Echo", 0);
    let mut client = Peer::client(&manager, "Ada");
    for (number, length) in [(1, 5 * MIB), (2, MIB / 2), (3, 2 * MIB)] {
        let (head, tail) = long_request(Uid::Last, &number.to_string(), length);
        client.send_bytes(&head);
        client.send_bytes(&tail);
        if length < MIB {
            answer(&mut service);
            assert_eq!(client.frame()["result"], length);
        } else {
            let told = client.frame();
            assert!(message(&told).contains("--budget-lines"), "{told}");
            assert_eq!(told["uid"], number.to_string());
        }
    }
    assert_eq!(administrator.counter("lines_over_budget"), 2);
    expect_no_panic(&manager);
}

#[test]
fn the_caller_of_a_reply_that_is_thrown_away_is_told() {
    let (manager, mut administrator) = start(&["--budget-lines", "1MiB"]);
    let mut service = Peer::service(&manager, "Echo", 0);
    let mut client = Peer::client(&manager, "Ada");
    let (head, tail) = long_request(Uid::Last, "7", 10);
    client.send_bytes(&[head, tail].concat());
    let asked = service.frame();
    let reply = format!(
        r#"{{"result":"{}","requester":{},"uid":"7","error":false}}"#,
        "x".repeat(3 * MIB),
        asked["requester"]
    );
    service.send_line(reply);
    let told = client.frame();
    assert_eq!(told["uid"], "7");
    for text in [
        "MemoryError: the reply of the 'Echo' Service",
        "may have been executed",
    ] {
        assert!(message(&told).contains(text), "{told}");
    }
    // The service receives nothing of it.
    assert_eq!(administrator.counter("in_flight"), 0);
    let (head, tail) = long_request(Uid::Last, "8", 10);
    client.send_bytes(&[head, tail].concat());
    answer(&mut service);
    assert_eq!(client.frame()["result"], 10);
    expect_no_panic(&manager);
}

#[test]
fn a_line_that_stops_growing_is_thrown_away_and_its_sender_is_told() {
    let (manager, mut administrator) = start(&["--line-stall", "500ms"]);
    let mut service = Peer::service(&manager, "Echo", 0);
    for length in [10, 100_000, 3 * MIB] {
        let mut client = Peer::client(&manager, "Ada");
        let (head, tail) = long_request(Uid::First, "1", length);
        client.send_bytes(&head);
        let told = client.frame();
        assert_eq!(told["uid"], "1");
        for text in [
            "TimeoutError: ",
            "for 0.5 s",
            "--line-stall",
            "was not executed",
            "send it again",
        ] {
            assert!(message(&told).contains(text), "{told}");
        }
        client.send_bytes(&tail);
        client.settle();

        // The error comes at once, although the uid is not known yet, and then again.
        let (head, tail) = long_request(Uid::Last, "2", length);
        client.send_bytes(&head);
        let told = client.frame();
        assert_eq!(told["uid"], "");
        assert!(message(&told).contains("--line-stall"), "{told}");
        client.send_bytes(&tail);
        assert_eq!(client.frame()["uid"], "2");
        let (head, tail) = long_request(Uid::Last, "3", length);
        client.send_bytes(&[head, tail].concat());
        answer(&mut service);
        assert_eq!(client.frame()["result"], length);
    }
    assert_eq!(administrator.counter("lines_stalled"), 6);
    assert_eq!(administrator.counter("line_bytes"), 0);
    expect_no_panic(&manager);
}

/// A Python program cannot read an error without a uid, and a person may pause while typing.
#[test]
fn a_line_that_stops_growing_breaks_no_python_program_and_interrupts_nobody_who_types() {
    let (manager, mut administrator) = start(&["--line-stall", "200ms"]);
    let mut python = Peer::connect(&manager);
    python.identify(&json!({ "type": "client", "name": "py", "language": "Python 3.11.2" }));
    let (head, tail) = long_request(Uid::Last, "1", 100_000);
    python.send_bytes(&head);
    let mut person = Peer::client(&manager, "person");
    person.send_bytes(b"identi");
    administrator.wait_for_counter("lines_stalled", 1);
    std::thread::sleep(Duration::from_millis(400));
    python.send_bytes(&tail);
    let told = python.frame();
    assert_eq!(told["uid"], "1", "{told}");
    assert!(message(&told).contains("--line-stall"), "{told}");
    person.send_bytes(b"ty\r\n");
    assert!(person.frame()["result"]["hostname"].is_string());
    assert_eq!(administrator.counter("lines_stalled"), 1);
    expect_no_panic(&manager);
}

#[test]
fn peers_that_do_not_read_share_a_budget_and_are_cut_when_others_need_it() {
    let (manager, mut administrator) = start(&["--budget-queues", "32MiB", "--stall", "1s"]);
    let mut service = Peer::service(&manager, "Echo", 0);
    // Each requests replies that it does not read.
    let mut hoarders: Vec<_> = (0..4)
        .map(|number| Peer::client(&manager, &format!("hoarder {number}")))
        .collect();
    let payload = "x".repeat(2 * MIB);
    let reply = |service: &mut Peer| {
        let asked = service.frame();
        let reply = json!({
            "error": false, "requester": asked["requester"], "result": payload, "uid": asked["uid"],
        });
        service.send_line(reply.to_string());
    };
    let (head, tail) = long_request(Uid::Last, "1", 10);
    let small = [head, tail].concat();
    let mut turn = 0;
    while administrator.counter("queued_bytes") < 16 * MIB as u64 {
        // The system's own buffers hold some of it.
        assert!(turn < 200, "hardly anything is queued");
        hoarders[turn % 4].send_bytes(&small);
        reply(&mut service);
        turn += 1;
    }
    let mut honest = Peer::client(&manager, "honest");
    for number in 0..20 {
        let (head, tail) = long_request(Uid::Last, &number.to_string(), 10);
        honest.send_bytes(&[head, tail].concat());
        reply(&mut service);
        let told = honest.frame();
        assert_eq!(told["uid"], number.to_string());
        assert_eq!(told["result"].as_str().map(str::len), Some(payload.len()));
    }
    assert_eq!(administrator.counter("cut"), 0, "there was room for all of it");

    // Then another peer needs capacity.
    let length = 28 * MIB;
    let (head, tail) = long_request(Uid::Last, "long", length);
    honest.send_bytes(&head);
    honest.send_bytes(&tail);
    answer(&mut service);
    assert_eq!(honest.frame()["result"], length);
    assert!(administrator.counter("queues_over_budget") > 0);
    assert!(administrator.counter("cut") > 0, "whoever reads nothing is cut");
    manager.wait_for_log("was cut: it did not read while others waited for it");
    drop(hoarders);
    expect_no_panic(&manager);
}

#[test]
fn requests_in_flight_are_refused_to_those_who_have_most() {
    let (manager, mut administrator) = start(&["--budget-in-flight", "1000"]);
    let mut service = Peer::service(&manager, "Slow", 0);
    let mut hoarders: Vec<_> = (0..3)
        .map(|number| Peer::client(&manager, &format!("hoarder {number}")))
        .collect();
    let flood = |client: &mut Peer| {
        let requests: String = (0..1_000)
            .map(|uid| {
                format!(r#"{{"args":[],"attribute":"wait","kwargs":{{}},"service":"Slow","uid":"{uid}"}}"#)
                    + "\n"
            })
            .collect();
        client.send_bytes(requests.as_bytes());
    };
    for client in &mut hoarders {
        flood(client);
    }
    let deadline = Instant::now() + crate::support::DEADLINE;
    let mut in_flight = 0;
    while in_flight + administrator.counter("in_flight_over_budget") < 3_000 {
        assert!(Instant::now() < deadline, "{in_flight} are in flight");
        std::thread::sleep(crate::support::POLL_INTERVAL);
        in_flight = administrator.counter("in_flight");
    }
    assert!((750..1_050).contains(&in_flight), "{in_flight}");
    // At least two of them are refused something, whatever the order.
    let mut refused = 0;
    for client in &mut hoarders {
        let Ok(Some(told)) = client.line_until(Instant::now() + Duration::from_secs(1)) else {
            continue;
        };
        let told: Value = serde_json::from_str(&told).expect("the manager writes JSON");
        for text in [
            "RuntimeError: hoarder",
            "1000",
            "--budget-in-flight",
            "wait for replies",
        ] {
            assert!(message(&told).contains(text), "{told}");
        }
        refused += 1;
    }
    assert!(refused >= 2, "{refused} of them were refused something");
    manager.wait_for_log("--budget-in-flight");

    // A peer that uses little is served all the time.
    let mut echo = Peer::service(&manager, "Echo", 0);
    let mut bystander = Peer::client(&manager, "bystander");
    for number in 0..50 {
        let (head, tail) = long_request(Uid::Last, &number.to_string(), number);
        bystander.send_bytes(&[head, tail].concat());
        answer(&mut echo);
        assert_eq!(bystander.frame()["result"], number);
    }
    // What is released is available to others.
    for _ in 0..in_flight {
        let asked = service.frame();
        let (requester, uid) = (&asked["requester"], &asked["uid"]);
        service.send_line(
            json!({ "error": false, "requester": requester, "result": 1, "uid": uid }).to_string(),
        );
    }
    drop(hoarders);
    drop(service);
    let mut service = Peer::service(&manager, "Slow again", 0);
    bystander.send_line(json!({ "attribute": "wait", "service": "Slow again", "uid": "last" }).to_string());
    answer(&mut service);
    assert_eq!(bystander.frame()["uid"], "last");
    expect_no_panic(&manager);
}

#[test]
fn identities_are_refused_to_services_that_have_most_to_say() {
    let (manager, mut administrator) = start(&["--budget-identities", "64KiB"]);
    let identity = |name: &str, bytes: usize| json!({ "type": "service", "name": name, "attributes": { "a": "x".repeat(bytes) } });
    let join = |name: &str, bytes: usize| {
        let mut peer = Peer::connect(&manager);
        peer.identify(&identity(name, bytes));
        peer
    };
    let mut long = Vec::new();
    for (number, bytes) in [(0, 30_000), (1, 15_000)] {
        let name = format!("long {number}");
        long.push(join(&name, bytes));
        manager.wait_for_log(&format!("{name}["));
        administrator.wait_for_counter("services", number + 1);
    }
    let told = join("too long", 30_000).expect_rejection();
    for text in [
        "MemoryError: the identity has 30",
        "65536",
        "--budget-identities",
        "shorter",
    ] {
        assert!(told.contains(text), "{told}");
    }
    manager.wait_for_log("--budget-identities");
    assert_eq!(administrator.counter("identities_over_budget"), 1);
    // The last quarter is reserved for peers below their share.
    let share = join("share", 5_000);
    administrator.wait_for_counter("services", 3);
    let little: Vec<_> = (0..20)
        .map(|number| join(&format!("little {number}"), 2_000))
        .collect();
    administrator.wait_for_counter("services", 23);
    drop((long, share, little));
    wait_until("they are still counted", || {
        administrator.counter("identity_bytes") == 0
    });
    let _long = join("long again", 50_000);
    administrator.wait_for_counter("services", 1);
    expect_no_panic(&manager);
}

#[test]
fn budgets_are_told_at_the_start_and_come_from_the_file_too() {
    let home = home_with_administrator();
    let file = "budget-lines = \"32MiB\"\nbudget-queues = \"48MiB\"\nbudget-in-flight = 5000\ndisable-tls = true\nline-stall = 20\n";
    std::fs::write(home.path("labwire.toml"), file).unwrap();
    let mut command = home.command(&["start", "--port", "0", "--config", "labwire.toml"]);
    command.env("LABWIRE_BUDGET_IDENTITIES", "2MiB");
    let manager = Manager::start_command(home, &mut command);
    let line = manager.wait_for_log("all peers together may have");
    for text in [
        "MiB of memory",
        "32MiB in unfinished lines (--budget-lines)",
        "48MiB in queues (--budget-queues)",
        "2MiB in identities (--budget-identities)",
        "5000 requests in flight (--budget-in-flight)",
    ] {
        assert!(line.contains(text), "{line}");
    }
}

/// A service that writes its replies without a line end: each of its callers gets an error, and the
/// service gets none.
#[test]
fn each_caller_of_a_service_that_forgets_line_ends_is_told() {
    let (manager, mut administrator) = start(&["--line-stall", "300ms"]);
    let mut service = Peer::service(&manager, "Meter", 0);
    let mut client = Peer::client(&manager, "Ada");
    let ask = |client: &mut Peer, uid: usize| {
        let request = json!({ "service": "Meter", "attribute": "read", "uid": uid.to_string(), "args": [] });
        client.send_line(request.to_string());
    };
    for uid in 1..=3 {
        ask(&mut client, uid);
        let asked = service.frame();
        assert_eq!(
            asked["uid"],
            uid.to_string(),
            "the service is told nothing in between"
        );
        let reply =
            json!({ "error": false, "requester": asked["requester"], "result": 1, "uid": asked["uid"] });
        service.send_bytes(reply.to_string().as_bytes());
        let told = client.frame();
        assert_eq!(told["uid"], uid.to_string());
        for text in ["line end (\\n)", "--line-stall", "may have been executed"] {
            assert!(message(&told).contains(text), "{told}");
        }
    }
    ask(&mut client, 4);
    service.frame();
    service.send_bytes(b"nan");
    let told = client.frame();
    assert_eq!(told["uid"], "4");
    assert!(message(&told).contains("malformed reply"), "{told}");
    ask(&mut client, 5);
    let asked = service.frame();
    let reply = json!({ "error": false, "requester": asked["requester"], "result": 5, "uid": asked["uid"] });
    service.send_line(reply.to_string());
    assert_eq!(client.frame()["result"], 5);
    assert_eq!(administrator.counter("lines_stalled"), 4);
    expect_no_panic(&manager);
}
