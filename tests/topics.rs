//! Topics: values that peers publish and subscribe to, and the manager's own events.

use std::time::Duration;

use serde_json::{Value, json};

use super::hardening::support::{Administrator, home_with_administrator};
use super::support::manager::Manager;
use super::support::python::{Service, run_script};
use super::support::waiting::wait_until;
use super::support::wire::{RawPeer, request};

fn start() -> Manager {
    Manager::start(&["--disable-tls"])
}

/// Returns a request to the manager about topics.
fn about(attribute: &str, args: Value, kwargs: Value) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = args;
    request["kwargs"] = kwargs;
    request
}

/// Sends a request and expects that it succeeds at once.
fn succeeds(peer: &mut RawPeer, request: &Value) {
    let answer = peer.request(request);
    assert_eq!(
        (&answer["error"], &answer["result"]),
        (&json!(false), &json!(true)),
        "{answer}"
    );
}

/// Sends a request that is refused, and returns the message.
fn refusal(peer: &mut RawPeer, request: &Value) -> String {
    let answer = peer.request(request);
    assert_eq!(answer["error"], true, "{answer}");
    answer["message"].as_str().unwrap().to_owned()
}

fn publish(topic: &str, value: &Value) -> Value {
    about("publish", json!([topic, value]), json!({}))
}

fn subscribe(pattern: &str) -> Value {
    about("subscribe", json!([pattern]), json!({}))
}

/// Reads the next value: its topic and itself.
fn value(peer: &mut RawPeer) -> (String, Value) {
    let frame = peer.read_json();
    assert_eq!(
        (&frame["service"], &frame["uid"]),
        (&json!("Manager"), &json!("notification")),
        "{frame}"
    );
    let topic = frame["result"][0][0].as_str().unwrap().to_owned();
    (topic, frame["result"][0][1].clone())
}

#[test]
fn an_unmodified_python_client_that_links_with_the_manager_hears_of_events() {
    let manager = start();
    let _laboratory = Service::start("Laboratory", &manager.connection());
    run_script("topics.py", &manager.connection(), &json!({}));
}

#[test]
fn every_subscriber_gets_the_values_that_match_once_and_in_order() {
    let manager = start();
    let [mut all, mut some, mut one] = ["All", "Some", "One"].map(|name| RawPeer::client(&manager, name));
    succeeds(&mut some, &subscribe("lab.*.temperature"));
    succeeds(&mut one, &subscribe("lab.oven.temperature"));
    succeeds(&mut one, &subscribe("lab.oven.pressure"));
    succeeds(
        &mut one,
        &about("unsubscribe", json!(["lab.oven.pressure"]), json!({})),
    );
    // Whoever was answered has joined: no event comes between these answers.
    succeeds(&mut all, &subscribe("lab.>"));
    succeeds(&mut all, &subscribe(">"));
    let mut oven = RawPeer::service(&manager, "Oven", &json!({}));
    let joined = loop {
        let (topic, joined) = value(&mut all);
        // Whoever looks whether the service is there comes and goes.
        if topic == "manager.service_joined" {
            break joined["name"].as_str().unwrap().to_owned();
        }
    };
    assert!(joined.starts_with("Oven["), "{joined}");
    for count in 0..100 {
        succeeds(&mut oven, &publish("lab.oven.temperature", &json!(count)));
        succeeds(&mut oven, &publish("lab.oven.pressure", &json!([count])));
        succeeds(
            &mut oven,
            &publish("lab.cryostat.temperature", &json!({ "K": count })),
        );
    }
    let temperature = |count| ("lab.oven.temperature".to_owned(), json!(count));
    let cryostat = |count| ("lab.cryostat.temperature".to_owned(), json!({ "K": count }));
    for count in 0..100 {
        assert_eq!(value(&mut one), temperature(count));
        assert_eq!(
            [value(&mut some), value(&mut some)],
            [temperature(count), cryostat(count)]
        );
    }
    let mut topics = Vec::new();
    while topics.len() < 300 {
        let (topic, _) = value(&mut all);
        if !topic.starts_with("manager.") {
            topics.push(topic);
        }
    }
    let expected = [
        "lab.oven.temperature",
        "lab.oven.pressure",
        "lab.cryostat.temperature",
    ];
    assert!(topics.chunks(3).all(|three| three == expected));
}

#[test]
fn only_what_changes_links_and_locks_is_an_event() {
    let manager = start();
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let [mut watcher, mut client] = ["Watcher", "Client"].map(|name| RawPeer::client(&manager, name));
    succeeds(&mut watcher, &subscribe("manager.*"));
    for (attribute, service) in [
        ("unlink", "Nope"),
        ("unlink", "Manager"),
        ("release_lock", "DMM"),
        ("link", "DMM"),
        ("link", "DMM"),
        ("acquire_lock", "DMM"),
        ("release_lock", "DMM"),
        ("release_lock", "DMM"),
        ("unlink", "DMM"),
    ] {
        let reply = client.request(&about(attribute, json!([service]), json!({})));
        assert_eq!(reply["error"], json!(false), "{reply}");
    }
    let message = refusal(&mut client, &publish("manager.linked", &json!(1)));
    assert!(message.contains("only the manager publishes"), "{message}");
    let mut topics = Vec::new();
    while topics.last().is_none_or(|last| last != "manager.refused") {
        let (topic, event) = value(&mut watcher);
        // Whoever looks whether the service is there comes and goes.
        if !topic.ends_with("_joined") && !topic.ends_with("_left") {
            assert!(event.to_string().contains("Client["), "{event}");
            topics.push(topic);
        }
    }
    let expected = [
        "manager.linked",
        "manager.locked",
        "manager.released",
        "manager.unlinked",
        "manager.refused",
    ];
    assert_eq!(topics, expected);
}

#[test]
fn who_watches_the_manager_is_told_of_links_that_come_with_locks_and_of_clients_that_send_no_more() {
    let manager = start();
    let _dmm = RawPeer::service(&manager, "DMM", &json!({}));
    let [mut watcher, mut holder, mut waiting] =
        ["Watcher", "Holder", "Waiting"].map(|name| RawPeer::client(&manager, name));
    succeeds(&mut watcher, &subscribe("manager.*"));
    let lock = about("acquire_lock", json!(["DMM"]), json!({ "wait": 60 }));
    assert_eq!(holder.request(&lock)["error"], false);
    waiting.send_line(&lock.to_string());
    waiting.request(&request("Manager", "identity"));
    waiting.send_line("lock My Service");
    let typed = waiting.read_json();
    assert_eq!(typed["error"], true, "{typed}");
    holder.close_sending_side();
    assert_eq!(waiting.read_json()["error"], false);
    let mut events = Vec::new();
    while events.len() < 6 {
        let (topic, event) = value(&mut watcher);
        let name = topic.strip_prefix("manager.").expect("it is the manager's");
        if !name.ends_with("_joined") && !name.ends_with("_left") {
            let name_of_client = event["client"].as_str().or(event["name"].as_str()).unwrap();
            events.push(format!("{name} {}", name_of_client.split('[').next().unwrap()));
        }
    }
    let expected = [
        "linked Holder",
        "locked Holder",
        "refused Waiting",
        "links_ended Holder",
        "linked Waiting",
        "locked Waiting",
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_retained_value_comes_first_and_null_removes_it() {
    let manager = start();
    let mut sender = RawPeer::client(&manager, "Sender");
    let retain =
        |topic: &str, value: Value| about("publish", json!([topic, value]), json!({ "retain": true }));
    for count in 0..3 {
        succeeds(&mut sender, &retain("lab.door", json!(count)));
    }
    succeeds(&mut sender, &publish("lab.door", &json!("not retained")));
    succeeds(&mut sender, &retain("lab.window", json!("open")));
    succeeds(&mut sender, &retain("lab.window", json!(null)));
    let name = sender.request(&request("Manager", "identity"))["requester"].clone();
    drop(sender);
    let mut late = RawPeer::client(&manager, "Late");
    late.send_line(&subscribe("lab.*").to_string());
    let frame = late.read_json();
    assert_eq!(
        frame["result"],
        json!([["lab.door", 2], { "retained": true, "sender": name }])
    );
    assert_eq!(late.read_json()["result"], true);
}

#[test]
fn what_is_no_topic_is_refused_and_named() {
    let manager = start();
    let mut peer = RawPeer::client(&manager, "Ada");
    for (wrong, expected) in [
        (publish("lab..door", &json!(1)), "no word may be empty"),
        (publish("lab.*", &json!(1)), "may not contain the wildcards"),
        (publish("manager.joined", &json!(1)), "only the manager publishes"),
        (publish("Manager.joined", &json!(1)), "only the manager publishes"),
        (
            publish("m\u{430}nager.joined", &json!(1)),
            "only the manager publishes",
        ),
        (subscribe("lab.>.x"), "> for all the rest, as the last word"),
        (subscribe(&["*"; 17].join(".")), "at most 16 words"),
        (
            about("subscribe", json!(["lab"]), json!({ "retain": true })),
            "TypeError: subscribe() takes",
        ),
        (
            about("publish", json!(["lab"]), json!({})),
            "TypeError: publish() takes",
        ),
        (
            about("publish", json!(["lab", 1]), json!({ "retain": 1 })),
            "TypeError: publish() takes",
        ),
        (
            about("subscribe", json!([]), json!({})),
            "TypeError: subscribe() takes",
        ),
        (
            about(
                "publish",
                json!(["lab", "x".repeat(1_100_000)]),
                json!({ "retain": true }),
            ),
            "MemoryError: the value of a topic may have 1048576 bytes",
        ),
    ] {
        let message = refusal(&mut peer, &wrong);
        assert!(message.contains(expected), "{message}");
    }
    let mut many = 0;
    let refused = loop {
        let answer = peer.request(&subscribe(&format!("lab.{many}")));
        if answer["error"] == true {
            break answer["message"].as_str().unwrap().to_owned();
        }
        many += 1;
    };
    assert_eq!(many, 256);
    assert!(refused.contains("this one has 256"), "{refused}");
}

#[test]
fn a_large_value_waits_for_a_subscriber_that_reads_late_and_delays_no_other() {
    let manager = start();
    let mut slow = RawPeer::client(&manager, "Slow");
    let mut quick = RawPeer::client(&manager, "Quick");
    for peer in [&mut slow, &mut quick] {
        succeeds(peer, &subscribe("camera"));
    }
    let mut camera = RawPeer::client(&manager, "Camera");
    let large = json!("x".repeat(1_000_000));
    // As much as its queue can hold.
    for _ in 0..60 {
        succeeds(&mut camera, &publish("camera", &large));
        assert_eq!(value(&mut quick).1, large);
    }
    for _ in 0..60 {
        assert_eq!(value(&mut slow).1, large);
    }
}

#[test]
fn a_subscriber_that_has_unsubscribed_or_left_does_not_delay_a_sender_any_more() {
    // Slow readers are not disconnected in this time.
    let options = [
        "--disable-tls",
        "--queue",
        "1M",
        "--stall",
        "5m",
        "--patience",
        "5m",
    ];
    let manager = Manager::start_in(home_with_administrator(), &options);
    let mut administrator = Administrator::new(&manager);
    let mut camera = RawPeer::client(&manager, "Camera");
    let image = publish("camera", &json!("x".repeat(600_000)));
    for leaves in [false, true] {
        let mut slow = RawPeer::client(&manager, "Slow");
        succeeds(&mut slow, &subscribe("camera"));
        let mut delivered = 0;
        loop {
            let [published, waits] = ["published", "held_back"].map(|name| administrator.counter(name));
            camera.send_line(&image.to_string());
            wait_until("the value is not routed", || {
                administrator.counter("published") > published
            });
            if administrator.counter("held_back") == waits {
                assert_eq!(camera.read_json()["result"], true);
            } else if camera.read_for(Duration::from_millis(300)).is_empty() {
                break;
            }
            delivered += 1;
        }
        if leaves {
            drop(slow);
            assert_eq!(camera.read_json()["result"], true);
            continue;
        }
        slow.send_line(&about("unsubscribe", json!(["camera"]), json!({})).to_string());
        assert_eq!(camera.read_json()["result"], true);
        for _ in 0..delivered {
            assert_eq!(value(&mut slow).0, "camera");
        }
        assert_eq!(slow.read_json()["result"], true);
    }
}

#[test]
fn senders_that_come_and_go_leave_room_for_the_values_of_others() {
    let manager = start();
    let retain =
        |topic: &str, value: &Value| about("publish", json!([topic, value]), json!({ "retain": true }));
    let mut oven = RawPeer::client(&manager, "Oven");
    succeeds(&mut oven, &retain("lab.oven", &json!("on")));
    let mut door = RawPeer::client(&manager, "Door");
    succeeds(&mut door, &retain("lab.door", &json!("open")));
    drop(door);
    let large = json!("x".repeat(1_000_000));
    for number in 0..50 {
        let mut camera = RawPeer::client(&manager, "Camera");
        succeeds(&mut camera, &retain(&format!("image.{number}"), &large));
        camera.close_sending_side();
        camera.expect_closed();
    }
    let mut late = RawPeer::client(&manager, "Late");
    succeeds(&mut late, &retain("lab.late", &large));
    late.send_line(&subscribe(">").to_string());
    let mut topics = Vec::new();
    loop {
        let frame = late.read_json();
        if frame["uid"] != "notification" {
            break;
        }
        topics.push(frame["result"][0][0].as_str().unwrap().to_owned());
    }
    for topic in ["lab.oven", "lab.door", "lab.late", "image.49"] {
        assert!(topics.iter().any(|own| own == topic), "{topic}: {topics:?}");
    }
    assert!(
        topics.iter().all(|topic| topic != "image.0"),
        "the oldest one makes room"
    );
}
