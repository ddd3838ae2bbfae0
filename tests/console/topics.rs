//! Publishing to topics and subscribing to them.

use serde_json::json;

use super::super::support::{DEADLINE, free_port};
use super::watch::{start_at, wait};
use super::*;

#[test]
fn a_subscriber_prints_retained_values_and_those_that_are_published_later() {
    let manager = start();
    output(&manager, &["publish", "lab.door", "open", "--retain"]);
    let mut reader = Process::spawn("labwire", &mut command(&manager, &["subscribe", "lab.>"]));
    reader.wait_for("the retained value", |line| {
        line.ends_with("lab.door  open (retained)").then_some(())
    });
    output(&manager, &["publish", "lab.oven.temperature", "-180.50"]);
    output(&manager, &["publish", "lab.oven.temperature", "NaN"]);
    reader.wait_for("the next value", |line| {
        line.ends_with("lab.oven.temperature  -180.50").then_some(())
    });
    reader.wait_for("NaN", |line| {
        line.ends_with("lab.oven.temperature  NaN").then_some(())
    });
    reader.signal(Signal::INT);
    assert_eq!(reader.wait().code(), Some(0));

    output(&manager, &["publish", "lab.window", "[1, 2.50]", "--retain"]);
    let objects = json_lines(&output(
        &manager,
        &["subscribe", "lab.*", "--count", "2", "--json"],
    ));
    let values: Vec<_> = objects
        .iter()
        .map(|object| (&object["topic"], &object["value"]))
        .collect();
    assert_eq!(
        values,
        [
            (&json!("lab.door"), &json!("open")),
            (&json!("lab.window"), &json!([1, 2.5]))
        ]
    );
    assert_eq!(
        (&objects[0]["retained"], &objects[0]["lost"]),
        (&json!(true), &json!(0))
    );
    assert!(objects[0]["sender"].as_str().unwrap().starts_with("labwire["));
}

#[test]
fn what_is_no_topic_is_refused_before_or_by_the_manager() {
    let manager = start();
    for (arguments, code, text) in [
        (&["subscribe", "lab..door"][..], 2, "no word may be empty"),
        (&["publish", "lab.*", "1"], 4, "may not contain the wildcards"),
        (&["publish", "manager.door", "1"], 4, "only the manager publishes"),
        (&["publish", "lab", "@/nowhere/at/all"], 1, "cannot read"),
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.errors.contains(text), "{done:?}");
    }
}

#[test]
fn a_subscriber_sees_the_events_of_the_manager() {
    let manager = start();
    let arguments = ["subscribe", "manager.service_joined", "--count", "1", "--json"];
    let mut reader = Process::spawn("labwire", &mut command(&manager, &arguments));
    let begun = Instant::now();
    // The subscription is there at some time.
    for count in 0.. {
        assert!(begun.elapsed() < DEADLINE, "{}", reader.everything_printed());
        let _service = RawPeer::service(&manager, &format!("Balance {count}"), &json!({}));
        if reader.everything_printed().contains("service_joined") {
            break;
        }
    }
    assert_eq!(reader.wait().code(), Some(0));
}

#[test]
fn a_subscriber_goes_on_after_a_restart_of_the_manager() {
    let port = free_port();
    let manager = start_at(Home::new(), port);
    output(&manager, &["publish", "lab.door", "1", "--retain"]);
    let mut reader = Process::spawn("labwire", &mut command(&manager, &["subscribe", "lab.door"]));
    wait(&reader, "lab.door  1 (retained)");
    let manager = start_at(manager.end(), port);
    // Values were not kept across the restart, so that this one comes from the new manager.
    output(&manager, &["publish", "lab.door", "2", "--retain"]);
    wait(&reader, "lab.door  2");
    reader.signal(Signal::INT);
    assert_eq!(reader.wait().code(), Some(0));
}
