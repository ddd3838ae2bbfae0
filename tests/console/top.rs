//! `labwire top`, where standard output is no terminal.

use super::super::support::free_port;
use super::watch::{interrupted, start_at, wait};
use super::*;

#[test]
fn the_rates_of_each_interval_are_printed_in_both_forms() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    let mut calls = Process::spawn(
        "labwire",
        &mut command(&manager, &["call", "Echo", "echo", "--every", "1ms"]),
    );
    calls.wait_for("a result", |line| line.starts_with("[[").then_some(()));
    let objects = json_lines(&output(
        &manager,
        &["top", "--count", "2", "--every", "0.3", "--json"],
    ));
    let echo = objects.iter().rfind(|object| object["name"] == "Echo").unwrap();
    assert_eq!(echo["kind"], "service");
    assert!(echo["calls_per_second"].as_f64() > Some(1.0), "{echo}");
    assert_eq!(echo["errors_per_second"], 0.0);
    let (p50, p99) = (
        echo["p50_seconds"].as_f64().unwrap(),
        echo["p99_seconds"].as_f64().unwrap(),
    );
    assert!(0.0 < p50 && p50 <= p99 && p99 < 10.0, "{echo}");
    assert!(echo["request_bytes_per_second"].as_f64() > Some(100.0), "{echo}");
    assert!(
        objects
            .iter()
            .any(|object| object["kind"] == "client" && object["calls_per_second"].as_f64() > Some(1.0))
    );
    let text = output(&manager, &["top", "--count", "1", "--every", "0.1"]);
    assert!(
        text.starts_with("SERVICE  CALLS/S") && text.contains("\nEcho "),
        "{text}"
    );
    calls.signal(Signal::INT);
    calls.wait();
}

#[test]
fn the_reference_manager_counts_nothing() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let done = labwire(&manager, &["top", "--count", "1"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("not one of Labwire"), "{done:?}");
}

/// Its own error would be that an object of Python has no such attribute.
#[test]
fn what_the_reference_manager_lacks_is_refused_by_its_name() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let _echo = service(&manager, "Echo");
    for (arguments, code, text) in [
        (
            &["history"][..],
            4,
            "entries of a record need a manager of Labwire, this is another one",
        ),
        (
            &["approve"],
            4,
            "approvals need a manager of Labwire, this is another one",
        ),
        (
            &["approve", "ab-1"],
            4,
            "approvals need a manager of Labwire, this is another one",
        ),
        (
            &["call", "Echo", "echo", "--deadline", "1"],
            2,
            "--deadline cannot be used with this manager: it is not one of Labwire",
        ),
        (
            &["call", "Echo", "echo", "--deadline", "1", "--cancel-on-interrupt"],
            2,
            "--deadline and --cancel-on-interrupt cannot be used with this manager",
        ),
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.errors.contains(text), "{arguments:?}: {done:?}");
    }
}

#[test]
fn the_rates_go_on_after_a_restart_of_the_manager() {
    let port = free_port();
    let manager = start_at(Home::new(), port);
    let _meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let top = Process::spawn(
        "labwire",
        &mut command(&manager, &["top", "--json", "--every", "100ms"]),
    );
    wait(&top, "\"name\":\"Meter\"");
    let manager = start_at(manager.end(), port);
    let _oven = RawPeer::service(&manager, "Oven", &json!({}));
    wait(&top, "\"name\":\"Oven\"");
    assert_eq!(interrupted(top).0, Some(0));
}
