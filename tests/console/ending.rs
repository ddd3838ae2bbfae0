//! The end of commands: by signals at any time, and when the connection ends for good.

use std::io::Read;

use super::super::support::process::through;
use super::super::support::waiting::wait_until;
use super::super::support::wire::{identity_request, request};
use super::super::support::{DEADLINE, free_port};
use super::watch::{start_at, wait};
use super::*;

#[test]
fn ctrl_c_ends_a_command_that_connects_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let home = Home::new();
    for arguments in [
        &["status", "--watch"][..],
        &["top"],
        &["link", "Scope", "--hold"],
        &["lock", "Scope"],
        &["ping"],
        &["bench", "Scope", "read"],
        &["call", "Scope", "read"],
    ] {
        let options = ["--disable-tls", "--port", &port, "--connect-timeout", "300"];
        let mut command = home.command(&[arguments, &options].concat());
        let mut process = Process::spawn("labwire", &mut command);
        let mut accepted = listener.accept().unwrap().0;
        // It greets the manager, which does not answer.
        accepted
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let _ = accepted.read(&mut [0; 1024]);
        let begun = Instant::now();
        process.signal(Signal::INT);
        assert_eq!(process.wait().code(), Some(130), "{arguments:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{arguments:?}");
    }
}

/// A session that was kept for a command would hinder others for half a minute.
#[test]
fn a_command_that_is_ended_early_or_fails_leaves_nothing_behind() {
    let manager = start();
    let mut meter = RawPeer::service(&manager, "Meter", &json!({ "read": "()" }));
    wait_for_service(&manager, "Meter");
    let mut observer = RawPeer::client(&manager, "observer");
    // With the observer.
    let mut expect_clients = |count: usize, after: &str| {
        wait_until(&format!("there are not {count} clients after {after}"), || {
            let identity = observer.request(&identity_request());
            identity["result"]["clients"].as_object().unwrap().len() == count
        });
    };
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let call = command(&manager, &["call", "Meter", "read"]);
        let mut call = Process::spawn("labwire", &mut { call });
        meter.read_json();
        call.signal(signal);
        assert_eq!(call.wait().code(), Some(code));
        expect_clients(1, "a call that was ended");
    }
    let mut blocker = RawPeer::client(&manager, "blocker");
    let mut link = request("Manager", "link");
    link["args"] = json!(["Meter"]);
    assert_eq!(blocker.request(&link)["error"], false);
    let mut lock = Process::spawn(
        "labwire",
        &mut command(&manager, &["lock", "Meter", "--wait", "60"]),
    );
    lock.wait_for("that it waits", |line| line.contains("wait").then_some(()));
    lock.signal(Signal::INT);
    assert_eq!(lock.wait().code(), Some(130));
    drop(blocker);
    expect_clients(1, "a lock that was waited for");
    let mut call = Process::spawn("labwire", &mut command(&manager, &["call", "Meter", "raed"]));
    let called = meter.read_json();
    let refusal = json!({
        "error": true, "message": "AttributeError: raed", "result": null, "traceback": [],
        "uid": called["uid"], "requester": called["requester"],
    });
    meter.send_line(&refusal.to_string());
    assert_eq!(call.wait().code(), Some(5));
    expect_clients(1, "a call that has failed");
    let refused = labwire(&manager, &["lock", "Oven"]);
    assert_eq!(refused.code, Some(4));
    expect_clients(1, "a lock that was refused");
    for (arguments, begun) in [
        (&["watch", "Meter"][..], "linked with"),
        (&["record", "lab.csv", "--watch", "Meter"], "linked with"),
        (&["link", "Meter", "--hold"], "is linked"),
        (&["lock", "Meter"], "is locked"),
        (&["ping", "--count", "1000"], "Manager"),
        (&["status", "--watch", "--json"], "kind"),
        (&["top", "--json", "--every", "0.1"], "kind"),
        (&["subscribe", "manager.>"], ""),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let mut process = Process::spawn("labwire", &mut command(&manager, arguments));
            if begun.is_empty() {
                // It prints nothing, and a signal while a handler is being installed is lost.
                expect_clients(2, "its start");
            } else {
                wait(&process, begun);
            }
            process.signal(signal);
            process.wait();
            expect_clients(1, &arguments.join(" "));
        }
    }
}

#[test]
fn a_recording_below_nohup_goes_on_when_its_terminal_closes() {
    let manager = start();
    let mut meter = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    let record = command(&manager, &["record", "lab.csv", "--watch", "Meter"]);
    let recording = || fs::read_to_string(manager.home().path("lab.csv")).unwrap_or_default();
    for (ignored, goes_on) in [("HUP", true), ("USR1", false)] {
        let ignoring = format!("trap '' {ignored}; exec \"$@\"");
        let mut below = through("sh", &["-c", &ignoring, "sh"], &record);
        let mut process = Process::spawn("labwire", &mut below);
        wait(&process, "linked with 'Meter'");
        process.signal(Signal::HUP);
        if goes_on {
            super::watch::notify(&mut meter, "Meter", "[]", r#"{"volts": 1}"#);
            wait_until("the notification was not recorded", || {
                recording().contains("volts")
            });
            process.signal(Signal::INT);
        }
        process.wait();
        let is_ended_in_order = recording()
            .lines()
            .last()
            .is_some_and(|line| line.contains(",end,"));
        assert!(is_ended_in_order, "{}", recording());
    }
}

#[test]
fn commands_that_repeat_end_when_the_manager_refuses_the_next_connection() {
    for arguments in [
        &["status", "--watch", "--json", "--every", "0.1"][..],
        &["top", "--json", "--every", "0.1"],
    ] {
        let port = free_port();
        let manager = start_at(Home::new(), port);
        let _service = RawPeer::service(&manager, "Meter", &json!({}));
        let mut process = Process::spawn("labwire", &mut command(&manager, arguments));
        process.wait_for("the first report", |line| line.contains("\"kind\"").then_some(()));
        let home = manager.end();
        let port = port.to_string();
        let mut guarded = home.command(&[
            "start",
            "--disable-tls",
            "--port",
            &port,
            "--auth-password",
            "secret",
        ]);
        let _manager = Manager::start_command(home, &mut guarded);
        assert_eq!(process.wait().code(), Some(4), "{}", process.everything_printed());
        assert!(process.everything_printed().contains("the connection has ended"));
    }
}

#[test]
fn a_command_with_a_count_that_is_not_reached_is_interrupted() {
    let manager = start();
    let _service = RawPeer::service(&manager, "Meter", &json!({}));
    wait_for_service(&manager, "Meter");
    for (arguments, begun) in [
        (&["top", "--json", "--every", "0.1"][..], "\"kind\""),
        (&["subscribe", "manager.>"], "retained"),
        (&["watch", "Meter"], "linked with"),
    ] {
        for (count, signal, code) in [
            (None, Signal::INT, 0),
            (None, Signal::TERM, 0),
            (Some("100000"), Signal::INT, 130),
            (Some("100000"), Signal::TERM, 143),
            (Some("100000"), Signal::HUP, 129),
        ] {
            let count = count.map_or_else(Vec::new, |count| vec!["--count", count]);
            let mut process =
                Process::spawn("labwire", &mut command(&manager, &[arguments, &count].concat()));
            if begun == "retained" {
                // The subscription is there at some time.
                let begun = Instant::now();
                for number in 0.. {
                    assert!(begun.elapsed() < DEADLINE, "{arguments:?}");
                    let _peer = RawPeer::service(&manager, &format!("Balance {number}"), &json!({}));
                    if !process.output().is_empty() {
                        break;
                    }
                }
            } else {
                wait(&process, begun);
            }
            process.signal(signal);
            assert_eq!(
                process.wait().code(),
                Some(code),
                "{arguments:?} {count:?} {signal:?}"
            );
        }
    }
}

#[test]
fn times_that_cannot_be_waited_for_are_refused() {
    let home = Home::new();
    for arguments in [
        &["bench", "S", "a", "--seconds", "18000000000000000000"][..],
        &["lock", "S", "--wait", "3661d"],
        &["record", "x.csv", "--watch", "S", "--for", "1000000000000000h"],
    ] {
        let done = run(&mut home.command(arguments));
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.errors.contains("at most ten years"), "{done:?}");
    }
}
