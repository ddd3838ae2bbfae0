//! The values of `labwire call`, and where its results go.

use super::*;

#[test]
fn calls_take_values_of_the_terminal_grammar_files_and_standard_input() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    let echoed = |arguments: &[&str]| {
        let arguments = [&["call", "Echo", "echo"], arguments].concat();
        serde_json::from_str::<Value>(&output(&manager, &arguments)).unwrap()
    };
    assert_eq!(
        echoed(&[
            "-1.5e-6",
            "-.5",
            "two words",
            "[1, null]",
            "\"5\"",
            "n=true",
            "unit=V"
        ]),
        json!([[-1.5e-6, -0.5, "two words", [1, null], "5"], { "n": true, "unit": "V" }])
    );
    fs::write(manager.home().path("values.json"), "{\"a\":\n [1, 2]}").unwrap();
    assert_eq!(echoed(&["@values.json"]), json!([[{ "a": [1, 2] }], {}]));
    let mut typed = command(&manager, &["call", "Echo", "echo", "-"]);
    let typed = typed.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = typed.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[3]\n").unwrap();
    let printed = child.wait_with_output().unwrap();
    assert_eq!(printed.stdout, b"[[[3]], {}]\n");
    let repeated = ["--output", "result", "--json", "--repeat", "2"];
    output(
        &manager,
        &[&["call", "Echo", "echo", "x"][..], &repeated].concat(),
    );
    let written = json_lines(&fs::read_to_string(manager.home().path("result")).unwrap());
    assert_eq!(written.len(), 2);
    assert_eq!(written[1]["result"], json!([["x"], {}]));
    let nan = json_lines(&output(&manager, &["call", "Echo", "echo", "NaN", "--json"]));
    assert!(nan[0]["time"].as_str().unwrap().ends_with('Z'), "{nan:?}");
    let text = json!("[[NaN], {}]");
    assert_eq!((&nan[0]["result"], &nan[0]["text"]), (&Value::Null, &text));
}

#[test]
fn a_text_goes_into_a_pipe_as_the_service_sent_it() {
    let manager = start();
    let mut service = RawPeer::service(&manager, "Scope", &json!({}));
    wait_for_service(&manager, "Scope");
    let mut call = command(&manager, &["call", "Scope", "read"]);
    let child = call.stdout(Stdio::piped()).spawn().unwrap();
    let request = service.read_json();
    let reply = json!({
        "error": false, "requester": request["requester"], "result": "a\tb\r\n\u{1b}[m", "uid": request["uid"],
    });
    service.send_line(&reply.to_string());
    let printed = child.wait_with_output().unwrap();
    assert_eq!(printed.stdout, b"a\tb\r\n\x1b[m\n");
}

#[test]
fn a_file_of_results_keeps_its_content_until_there_is_a_result() {
    let manager = start();
    let path = manager.home().path("readings");
    fs::write(&path, "precious, and longer than the next one\n").unwrap();
    let done = labwire(&manager, &["call", "Nobody", "read", "--output", "readings"]);
    assert_eq!(done.code, Some(4));
    assert!(fs::read_to_string(&path).unwrap().starts_with("precious"));
    let _math = service(&manager, "BasicMath");
    output(
        &manager,
        &["call", "BasicMath", "add", "1", "2", "--output", "readings"],
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    labwire(&manager, &["call", "Nobody", "read", "--output", "new"]);
    assert!(!manager.home().path("new").exists());
    let full = labwire(
        &manager,
        &["call", "BasicMath", "add", "1", "2", "--output", "/dev/full"],
    );
    assert_eq!(full.code, Some(1), "{full:?}");
}

#[test]
fn a_service_is_not_called_any_more_when_nobody_reads_the_results() {
    let manager = start();
    let mut log = RawPeer::service(&manager, "Log", &json!({}));
    wait_for_service(&manager, "Log");
    let mut call = command(&manager, &["call", "Log", "tick", "--repeat", "2000"]);
    let mut child = call.stdout(Stdio::piped()).spawn().unwrap();
    let answer = |log: &mut RawPeer, request: &Value| {
        let (requester, uid) = (&request["requester"], &request["uid"]);
        let reply = json!({ "error": false, "requester": requester, "result": 1, "uid": uid });
        log.send_line(&reply.to_string());
    };
    let request = log.read_json();
    answer(&mut log, &request);
    drop(child.stdout.take());
    let mut further = 0;
    while child.try_wait().unwrap().is_none() {
        let received = log.read_for(Duration::from_millis(50));
        if !received.is_empty() {
            further += 1;
            answer(&mut log, &serde_json::from_slice(&received).unwrap());
        }
    }
    // One more result may be written before the closed pipe is noticed.
    assert!(further <= 1, "{further} further calls");
    assert!(child.wait().unwrap().success());
}

#[test]
fn ctrl_c_ends_a_command_that_waits_for_standard_input() {
    let manager = start();
    for _ in 0..10 {
        let mut call = command(&manager, &["call", "Echo", "echo", "-"]);
        let mut child = call.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        // It is asked for again, since it may come before the command waits for it.
        let status = loop {
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(matches!(status.code(), Some(130) | None), "{status}");
    }
}

#[test]
fn calls_are_repeated_at_the_given_pace() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let begun = Instant::now();
    let call = ["call", "BasicMath", "add", "1", "2"];
    let pace = ["--repeat", "3", "--every", "0.2s"];
    assert_eq!(output(&manager, &[&call[..], &pace].concat()), "3\n3\n3\n");
    assert!(begun.elapsed() >= Duration::from_millis(400));
}
