//! `labwire record`: what each source of a recording has given, and what is said about one that has
//! given nothing.

use std::fs;

use serde_json::json;

use super::super::support::free_port;
use super::super::support::manager::Home;
use super::super::support::process::{Process, Signal};
use super::super::support::wire::{RawPeer, wait_for_service};
use super::record::wait_for_text;
use super::watch::{interrupted, notify, start_at, wait};
use super::{command, json_lines, labwire, run, service, start};

#[test]
fn a_source_without_a_value_is_an_error_and_a_gap_with_its_reason() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let arguments = [
        "record",
        "lab.csv",
        "--json",
        "--watch",
        "Metre",
        "--poll",
        "BasicMath.divide(1, 0) every 200ms",
        "--poll",
        "BasicMath.pi every 1h",
    ];
    let mut recorder = Process::spawn("labwire", &mut command(&manager, &arguments));
    let path = manager.home().path("lab.csv");
    wait_for_text(&path, ",result,BasicMath,pi,");
    wait_for_text(&path, ",error,BasicMath,");
    wait_for_text(&path, ",gap,Metre,");
    recorder.signal(Signal::INT);
    assert_eq!(recorder.wait().code(), Some(1));
    let printed = recorder.everything_printed();
    for text in [
        "recording in lab.csv (Ctrl-C ends it): Metre; BasicMath.divide(1, 0) every 0.2 s; ",
        "waiting for 'Metre': no service 'Metre' is connected",
        "labwire: Metre: 0 values, 1 gap\n",
        "labwire: BasicMath.divide(1, 0): 0 values, ",
        " failed call",
        "labwire: BasicMath.pi: 1 value\n",
        "labwire: Metre has given no value: no service 'Metre' is connected\n",
        "  BasicMath.divide(1, 0) has given no value: 'BasicMath'.divide failed: ZeroDivisionError",
    ] {
        assert!(printed.contains(text), "{text:?}: {printed}");
    }
    let summary = &json_lines(&recorder.output())[0];
    let sources = summary["sources"].as_array().unwrap();
    assert_eq!(
        sources[0],
        json!({"source": "Metre", "values": 0, "failed": 0, "lost": 0, "gaps": 1})
    );
    assert!(sources[1]["failed"].as_u64() >= Some(1), "{summary}");
    assert_eq!(sources[2]["values"], 1);
    let content = fs::read_to_string(&path).unwrap();
    assert!(
        content.contains(",gap,Metre,,,,,no service 'Metre' is connected,"),
        "{content}"
    );
    let end = content.lines().last().unwrap();
    assert!(
        end.contains(",end,,,,,,\"Metre: 0 values, 1 gap; BasicMath.divide(1, 0): 0 values"),
        "{end}"
    );
}

#[test]
fn a_manager_that_was_never_there_is_a_gap_of_each_service() {
    let home = Home::new();
    let address = format!("localhost:{}", free_port());
    let arguments = [
        "record",
        "lab.csv",
        "--watch",
        "Meter.x",
        "--poll",
        "Oven.read() every 1s",
        "--for",
        "500ms",
        "--disable-tls",
        "--quiet",
        "--host",
        &address,
    ];
    let done = run(&mut home.command(&arguments));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.errors
            .starts_with("labwire: Meter.x has given no value: cannot connect to "),
        "{done:?}"
    );
    assert!(
        done.errors
            .contains("\n  Oven.read() has given no value: cannot connect to "),
        "{done:?}"
    );
    let content = fs::read_to_string(home.path("lab.csv")).unwrap();
    for service in ["Meter", "Oven"] {
        assert!(content.contains(&format!(",gap,{service},,,,,")), "{content}");
    }
}

#[test]
fn a_gap_has_another_row_when_its_reason_changes_and_ends_with_the_link() {
    let port = free_port();
    let home = Home::new();
    let address = format!("localhost:{port}");
    let arguments = [
        "record",
        "lab.csv",
        "--watch",
        "Meter",
        "--watch",
        "Meter.other",
        "--disable-tls",
        "--host",
        &address,
    ];
    let recorder = Process::spawn("labwire", &mut home.command(&arguments));
    wait(&recorder, "waiting for the manager: ");
    let manager = start_at(Home::new(), port);
    wait(&recorder, "waiting for 'Meter': no service 'Meter' is connected");
    let mut meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    wait(&recorder, "linked with 'Meter' at Manager[");
    notify(&mut meter, "Meter", "[1]", "{}");
    wait(&recorder, "a notification without 'other'");
    let printed = {
        let (code, _) = interrupted(recorder);
        assert_eq!(code, Some(1));
        fs::read_to_string(home.path("lab.csv")).unwrap()
    };
    let events: Vec<_> = printed
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap())
        .collect();
    assert_eq!(
        events,
        ["start", "gap", "gap", "linked", "notification", "end"],
        "{printed}"
    );
    assert!(
        printed.contains("Meter: 1 value, 1 gap; Meter.other: 0 values, 1 gap"),
        "{printed}"
    );
}

#[test]
fn a_call_or_a_value_in_another_grammar_gets_the_right_one() {
    let manager = start();
    for (poll, expected) in [
        ("DMM read 1 every 1s", "did you mean 'DMM.read(1) every 1s'?"),
        ("DMM read 1.5 every 2s", "did you mean 'DMM.read(1.5) every 2s'?"),
        ("DMM read(3) every 1s", "did you mean 'DMM.read(3) every 1s'?"),
        ("DMM", "SERVICE.METHOD(ARGUMENTS) every TIME was expected"),
    ] {
        let done = labwire(&manager, &["record", "lab.csv", "--poll", poll]);
        assert_eq!(done.code, Some(2), "{poll}: {done:?}");
        assert!(done.errors.contains(expected), "{poll}: {done:?}");
    }
    for (service, expected) in [
        ("DMM.n", "for the value 'n' of 'DMM': labwire watch DMM n"),
        (
            "DMM.probe.x[3]",
            "for the value 'probe.x[3]' of 'DMM': labwire watch DMM 'probe.x[3]'",
        ),
        (
            "DMM.read(3)",
            "to repeat a call: labwire record FILE.csv --poll 'DMM.read(3) every 1s'",
        ),
    ] {
        let watcher = Process::spawn("labwire", &mut command(&manager, &["watch", service]));
        wait(&watcher, expected);
        assert_eq!(interrupted(watcher).0, Some(0));
        let done = labwire(&manager, &["watch", service, "--reconnect=false"]);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.errors.contains(expected), "{done:?}");
    }
}
