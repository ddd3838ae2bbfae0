//! What a call refuses before anything is sent, and what it says when it is interrupted.

use super::*;
use crate::support::waiting::wait_until;

#[test]
fn a_value_takes_no_arguments_and_nothing_is_sent() {
    let manager = start();
    let attributes = json!({ "gain": 3.5, "unit": "V", "read": "(n)", "tune": "tune(n)" });
    let mut probe = RawPeer::service(&manager, "DMM", &attributes);
    wait_for_service(&manager, "DMM");
    fs::write(manager.home().path("calls"), "DMM gain 3\nDMM unit x=1\n").unwrap();
    for arguments in [
        &["call", "DMM", "gain", "3"][..],
        &["call", "DMM", "unit", "n=3"],
        &["call", "--batch", "calls"],
        &["bench", "DMM", "gain", "3"],
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!((done.code, &*done.output), (Some(2), ""), "{done:?}");
        assert!(
            done.errors.contains("is a value, it takes no arguments"),
            "{done:?}"
        );
        assert!(done.errors.contains("labwire call DMM "), "{done:?}");
    }
    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", &mut shell);
    shell.type_line("DMM gain 3");
    assert_eq!(shell.wait().code(), Some(2), "{}", shell.everything_printed());
    assert!(shell.everything_printed().contains("read it with: DMM gain"));
    assert!(probe.read_for(Duration::from_millis(200)).is_empty());
    // A text may describe a method in a form of its own.
    let done = labwire(&manager, &["call", "DMM", "tune", "3", "--timeout", "0.2"]);
    assert_eq!(done.code, Some(124), "{done:?}");
}

#[test]
fn numbers_reach_the_service_as_they_were_typed() {
    let manager = start();
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "set": "(*args)" }));
    wait_for_service(&manager, "Probe");
    let numbers = ["-0", "1e300", "-1.50", "0.10", "n=-0"];
    let call = [&["call", "Probe", "set", "--timeout", "0.2"][..], &numbers].concat();
    assert_eq!(labwire(&manager, &call).code, Some(124));
    let sent = String::from_utf8(probe.read_for(Duration::from_millis(200))).unwrap();
    assert!(sent.contains("[-0,1e300,-1.50,0.10]"), "{sent}");
    assert!(sent.contains("{\"n\":-0}"), "{sent}");
    for number in ["1e400", "-1e400", "(1e400, 2)", "n=1e400"] {
        let done = labwire(&manager, &["call", "Probe", "set", number]);
        assert_eq!(done.code, Some(2), "{number}: {done:?}");
        assert!(done.errors.contains("1e400 is too large"), "{number}: {done:?}");
    }
}

#[test]
fn a_call_as_in_a_program_is_shown_as_words() {
    let manager = start();
    let mut probe = RawPeer::service(&manager, "DMM", &json!({ "read": "(n)" }));
    wait_for_service(&manager, "DMM");
    for (arguments, code, text) in [
        (&["call", "DMM.read(3)"][..], 2, "labwire call DMM read 3\n"),
        (&["call", "DMM.read"], 2, "labwire call DMM read\n"),
        (
            &["call", "DMM", "read(3, unit='V')"],
            2,
            "labwire call DMM read 3 unit='V'\n",
        ),
        (&["call", "DMM.read", "3"], 4, "two words: DMM read\n"),
        (&["call", "DMM"], 2, "labwire describe DMM\n"),
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.errors.ends_with(text), "{arguments:?}: {done:?}");
    }
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    shell.type_line("DMM.read(3)");
    assert_eq!(shell.wait().code(), Some(2));
    assert!(shell.everything_printed().contains("type: DMM read 3"));
    assert!(probe.read_for(Duration::from_millis(100)).is_empty());
}

#[test]
fn only_a_request_in_flight_may_still_be_executed_after_ctrl_c() {
    let manager = start();
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "read": "()" }));
    wait_for_service(&manager, "Probe");
    let every = ["call", "Probe", "read", "--every", "1h", "-o", "results"];
    let mut call = Process::spawn("labwire", &mut command(&manager, &every));
    let request = probe.read_json();
    let reply = json!({
        "error": false, "requester": request["requester"], "result": 7, "uid": request["uid"],
    });
    probe.send_line(&reply.to_string());
    let results = manager.home().path("results");
    wait_until("there is no result", || {
        fs::read_to_string(&results).is_ok_and(|text| text == "7\n")
    });
    call.signal(Signal::INT);
    assert_eq!(call.wait().code(), Some(130));
    assert!(
        call.everything_printed()
            .trim_end()
            .ends_with("labwire: interrupted"),
        "{}",
        call.everything_printed()
    );
    assert_eq!(fs::read_to_string(&results).unwrap(), "7\n");

    let waiting = ["call", "Probe", "read", "-o", "none"];
    let mut call = Process::spawn("labwire", &mut command(&manager, &waiting));
    probe.read_json();
    call.signal(Signal::INT);
    assert_eq!(call.wait().code(), Some(130));
    assert!(call.everything_printed().contains("may still be executed"));
    assert!(!manager.home().path("none").exists());
}

#[test]
fn wrong_arguments_get_the_signature_of_the_method() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let _camera = Process::spawn(
        "camera",
        crate::support::program("camera").envs(manager.environment()),
    );
    manager.wait_for_registered("Camera");
    for (line, signature) in [
        (&["BasicMath", "add", "1"][..], "its signature is: add(x: Union"),
        (
            &["BasicMath", "add", "1", "z=2"],
            "its signature is: add(x: Union",
        ),
        (&["Camera", "frame", "x"], "its signature is: frame(exposure: "),
    ] {
        let done = labwire(&manager, &[&["call"], line].concat());
        assert_eq!(done.code, Some(5), "{done:?}");
        assert!(
            done.errors.contains("TypeError: ") && done.errors.contains(signature),
            "{done:?}"
        );
        let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
        shell.type_line(&line.join(" "));
        assert_eq!(shell.wait().code(), Some(5));
        assert!(
            shell.everything_printed().contains(signature),
            "{}",
            shell.everything_printed()
        );
    }
    let done = labwire(&manager, &["call", "BasicMath", "divide", "1", "0"]);
    assert!(!done.errors.contains("signature"), "{done:?}");
}

#[test]
fn the_number_of_calls_has_one_name() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    let call = ["call", "Echo", "echo", "--every", "10ms"];
    let printed = output(&manager, &[&call[..], &["--repeat", "3"]].concat());
    assert_eq!(printed.lines().count(), 3, "{printed}");
    let done = labwire(&manager, &[&call[..], &["--count", "3"]].concat());
    assert_eq!((done.code, &*done.output), (Some(2), ""), "{done:?}");
    assert!(done.errors.contains("is --repeat 3;"), "{done:?}");
    let help = output(&manager, &["call", "--help"]);
    assert!(
        !help.contains("--count") && help.contains("until Ctrl-C"),
        "{help}"
    );
}

#[test]
fn texts_that_begin_like_negative_numbers_arrive_as_they_were_typed() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    for (word, value) in [
        ("-3dB", json!("-3dB")),
        ("-5 V", json!("-5 V")),
        ("-5%", json!("-5%")),
        ("-.5V", json!("-.5V")),
        ("-inf", json!("-inf")),
        ("-1e-6", json!(-1e-6)),
        ("-.5", json!(-0.5)),
    ] {
        let printed = output(&manager, &["call", "Echo", "echo", word]);
        assert_eq!(json_lines(&printed)[0][0], json!([value]), "{word}");
    }
    for word in ["[1,", "(1,"] {
        let done = labwire(&manager, &["call", "Echo", "echo", word]);
        assert_eq!(done.code, Some(2), "{done:?}");
    }
}
