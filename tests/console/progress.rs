//! Calls that take long: their progress, their items, their deadline, and Ctrl-C.

use super::pty::Terminal;
use super::*;

/// Starts a manager and the service `Stage` with these features.
fn stage(features: &[&str]) -> (Manager, RawPeer) {
    let manager = start();
    let mut stage = RawPeer::connect(&manager);
    stage.identify(&json!({
        "type": "service", "name": "Stage", "attributes": { "travel": "()" }, "features": features,
    }));
    wait_for_service(&manager, "Stage");
    (manager, stage)
}

/// Returns a frame about the request `asked`.
fn about(asked: &Value, member: &str, value: &Value) -> String {
    json!({ "requester": asked["requester"], "uid": asked["uid"], member: value }).to_string()
}

fn result(asked: &Value, value: &Value) -> String {
    json!({
        "error": false, "requester": asked["requester"], "result": value, "uid": asked["uid"],
    })
    .to_string()
}

#[test]
fn a_call_shows_its_progress_and_prints_its_items_as_they_come() {
    for form in [&[][..], &["--json"]] {
        let (manager, mut stage) = stage(&["progress"]);
        let arguments = [&["call", "Stage", "travel", "--progress"], form].concat();
        let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
        let asked = stage.read_json();
        assert_eq!(asked["progress"], true);
        stage.send_line(&about(
            &asked,
            "progress",
            &json!({ "done": 1, "total": 4, "message": "x" }),
        ));
        call.wait_for("the progress", |text| text.contains("25 %, x").then_some(()));
        for item in [json!([1, 2]), json!("é")] {
            stage.send_line(&about(&asked, "item", &item));
        }
        stage.send_line(&result(&asked, &json!(7)));
        assert_eq!(call.wait().code(), Some(0), "{}", call.everything_printed());
        let output = call.everything_printed();
        assert!(!output.contains("no progress"), "{output}");
        if form.is_empty() {
            for line in ["[1,2]", "é", "7"] {
                assert!(
                    output.lines().any(|printed| printed == line),
                    "{line} in {output}"
                );
            }
        } else {
            assert!(
                output.contains("\"item\":[1,2]") && output.contains("\"result\":7"),
                "{output}"
            );
        }
    }
}

#[test]
fn a_service_that_sends_no_progress_is_told_once_at_the_end() {
    let (manager, mut stage) = stage(&[]);
    let arguments = ["call", "Stage", "travel", "--progress", "--repeat", "2"];
    let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
    for _ in 0..2 {
        let asked = stage.read_json();
        stage.send_line(&result(&asked, &json!(7)));
    }
    assert_eq!(call.wait().code(), Some(0), "{}", call.everything_printed());
    assert_eq!(call.output(), "7\n7\n");
    let printed = call.everything_printed();
    assert_eq!(
        printed.matches("'Stage' has sent no progress").count(),
        1,
        "{printed}"
    );
}

#[test]
fn no_bar_is_drawn_before_the_first_progress_came() {
    let (manager, mut stage) = stage(&["progress"]);
    let arguments = ["call", "Stage", "travel", "--progress"];
    let mut call = Terminal::open(&manager, &arguments, (80, 24), &[("TERM", "xterm-256color")]);
    let asked = stage.read_json();
    for item in ["first", "second"] {
        stage.send_line(&about(&asked, "item", &json!(item)));
        call.wait_for(item);
    }
    // Neither a bar nor the commands that clear one.
    assert!(call.shown.starts_with("first\r\nsecond"), "{:?}", call.shown);
    let progress = json!({ "done": 1, "total": 4, "message": "filter" });
    stage.send_line(&about(&asked, "progress", &progress));
    call.wait_for("25 % filter");
    stage.send_line(&result(&asked, &json!("done")));
    assert_eq!(call.end(), Some(0), "{:?}", call.shown);
    assert!(call.shown.contains("done\r\n"), "{:?}", call.shown);
}

#[test]
fn ctrl_c_cancels_a_call_and_waits_for_the_service() {
    let (manager, mut stage) = stage(&["cancel"]);
    let arguments = ["call", "Stage", "travel", "--cancel-on-interrupt"];
    let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
    let asked = stage.read_json();
    call.signal(Signal::INT);
    let told = stage.read_json();
    assert_eq!(
        (&told["attribute"], &told["args"][1]),
        (&json!("cancel"), &asked["uid"])
    );
    assert_eq!(told["kwargs"], json!({ "cause": "client", "reason": "Ctrl-C" }));
    call.wait_for("what it waits for", |text| {
        text.contains("press Ctrl-C again").then_some(())
    });
    let error = json!({
        "error": true, "message": "CancelledError: it stands still", "requester": asked["requester"],
        "result": null, "traceback": [], "uid": asked["uid"],
    });
    stage.send_line(&error.to_string());
    assert_eq!(call.wait().code(), Some(130), "{}", call.everything_printed());
    assert!(
        call.everything_printed().contains("it stands still"),
        "{}",
        call.everything_printed()
    );

    // A second one leaves.
    let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
    stage.read_json();
    call.signal(Signal::INT);
    call.wait_for("what it waits for", |text| {
        text.contains("press Ctrl-C again").then_some(())
    });
    call.signal(Signal::INT);
    assert_eq!(call.wait().code(), Some(130), "{}", call.everything_printed());
    let printed = call.everything_printed();
    assert!(
        printed.contains("was asked to stop, and has not confirmed it"),
        "{printed}"
    );
}

#[test]
fn a_call_that_ctrl_c_ends_asks_its_service_to_stop_and_says_what_may_happen() {
    let (manager, mut stage) = stage(&["cancel"]);
    let mut call = Process::spawn("labwire", &mut command(&manager, &["call", "Stage", "travel"]));
    let asked = stage.read_json();
    call.signal(Signal::INT);
    let told = stage.read_json();
    assert_eq!(
        (&told["attribute"], &told["args"][1], &told["kwargs"]["cause"]),
        (&json!("cancel"), &asked["uid"], &json!("disconnected"))
    );
    assert_eq!(call.wait().code(), Some(130));
    let printed = call.everything_printed();
    for text in [
        "the request in flight may still be executed",
        "asks the service to stop, but not every service can",
        "--cancel-on-interrupt",
    ] {
        assert!(printed.contains(text), "{printed}");
    }
}

#[test]
fn a_service_that_cannot_stop_may_still_execute_what_ctrl_c_cancels() {
    let (manager, mut stage) = stage(&[]);
    let arguments = ["call", "Stage", "travel", "--cancel-on-interrupt", "--progress"];
    let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
    stage.read_json();
    call.signal(Signal::INT);
    assert_eq!(call.wait().code(), Some(130), "{}", call.everything_printed());
    assert!(
        call.everything_printed().contains("may still be running"),
        "{}",
        call.everything_printed()
    );
}

#[test]
fn what_a_service_sends_after_the_cancellation_is_printed_and_the_signal_decides_the_exit_code() {
    for (signal, code, name) in [(Signal::INT, 130, "Ctrl-C"), (Signal::TERM, 143, "TERM")] {
        let (manager, mut stage) = stage(&["progress", "cancel"]);
        let arguments = ["call", "Stage", "travel", "--cancel-on-interrupt", "--progress"];
        let mut call = Process::spawn("labwire", &mut command(&manager, &arguments));
        let asked = stage.read_json();
        stage.send_line(&about(&asked, "item", &json!(1)));
        call.wait_for("the first item", |line| (line == "1").then_some(()));
        call.signal(signal);
        assert_eq!(stage.read_json()["kwargs"]["reason"], name);
        stage.send_line(&about(&asked, "item", &json!(2)));
        stage.send_line(&result(&asked, &json!("stopped")));
        assert_eq!(call.wait().code(), Some(code), "{}", call.everything_printed());
        let printed = call.everything_printed();
        assert!(
            printed.contains("\n2\n") && printed.contains("stopped"),
            "{printed}"
        );
    }
}

#[test]
fn a_deadline_ends_a_call_and_asks_the_service_to_stop() {
    let (manager, mut stage) = stage(&["cancel"]);
    let done = labwire(&manager, &["call", "Stage", "travel", "--deadline", "0.1"]);
    assert_eq!(done.code, Some(124), "{done:?}");
    assert!(done.errors.contains("did not reply within 0.1 s"), "{done:?}");
    assert_eq!(stage.read_json()["deadline"], 0.1);
    assert_eq!(stage.read_json()["kwargs"]["cause"], "deadline");
}
