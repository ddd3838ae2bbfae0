//! `labwire call --batch`.

use super::*;

/// Runs a command with this standard input.
fn fed(manager: &Manager, arguments: &[&str], input: &str) -> Done {
    let path = manager.home().path("input");
    fs::write(&path, input).unwrap();
    let mut command = command(manager, arguments);
    let output = command.stdin(fs::File::open(&path).unwrap()).output().unwrap();
    Done {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_batch_calls_what_its_lines_say_and_keeps_their_order() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let _echo = service(&manager, "Echo");
    let lines = "\u{feff}# sums\nBasicMath add 1 2\n\nBasicMath multiply x=3 y=4\r\nEcho echo 'two words'\n";
    let done = fed(&manager, &["call", "--batch", "-"], lines);
    assert_eq!((done.code, &*done.errors), (Some(0), ""), "{done:?}");
    let results: Vec<_> = done.output.lines().collect();
    assert_eq!(results[..2], ["3", "12"]);
    assert!(
        results[2].contains("two words") && results.len() == 3,
        "{results:?}"
    );

    let path = manager.home().path("values");
    let numbers: Vec<_> = (0..300).map(|number| format!("{number} 1\n")).collect();
    fs::write(&path, numbers.concat()).unwrap();
    let batch = ["call", "BasicMath", "add", "--batch", path.to_str().unwrap()];
    let jobs = ["--jobs", "16", "--json"];
    let objects = json_lines(&output(&manager, &[&batch[..], &jobs].concat()));
    assert_eq!(objects.len(), 300);
    for (object, number) in objects.iter().zip(0..) {
        assert_eq!(object["line"], number + 1);
        assert_eq!(
            (&object["result"], &object["error"]),
            (&json!(number + 1), &Value::Null)
        );
    }
}

/// Answers a client as a manager that never links the service `Slow`. Ends with the connection.
fn manager_of_slow(stream: std::net::TcpStream) {
    use std::io::{BufRead, BufReader};

    let mut writer = stream.try_clone().unwrap();
    let mut say = |frame: Value| writer.write_all(format!("{frame}\r\n").as_bytes());
    let manager = "Manager[h:1]";
    let identity = json!({
        "args": [], "attribute": "identity", "error": false, "kwargs": {}, "requester": manager, "uid": "",
    });
    say(identity).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let Ok(request) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let result = match (request["service"].as_str(), request["attribute"].as_str()) {
            (Some("Manager"), Some("link")) if request["args"][0] == "Fast" => {
                json!({ "attributes": { "read": "()" }, "address": "h:2", "language": "", "os": "", "max_clients": -1 })
            }
            (Some("Fast"), _) => json!(7),
            _ => continue,
        };
        let reply = json!({ "error": false, "requester": manager, "result": result, "uid": request["uid"] });
        if say(reply).is_err() {
            break;
        }
    }
}

#[test]
fn a_service_that_is_not_linked_yet_does_not_hold_up_the_results_of_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mute = std::thread::spawn(move || manager_of_slow(listener.accept().unwrap().0));
    let home = Home::new();
    fs::write(home.path("calls"), "Fast read\nSlow read\nFast read\n").unwrap();
    let jobs = [
        "call",
        "--batch",
        "calls",
        "--jobs",
        "3",
        "--disable-tls",
        "--port",
        &port,
    ];
    let begun = Instant::now();
    let limit = ["--connect-timeout", "20"];
    let mut batch = Process::spawn("labwire", &mut home.command(&[&jobs[..], &limit].concat()));
    batch.wait_for("the first result", |line| (line == "7").then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    batch.signal(Signal::INT);
    assert_eq!(batch.wait().code(), Some(130));
    mute.join().unwrap();
}

#[test]
fn a_line_that_fails_is_told_and_the_others_are_called() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let lines = "BasicMath divide 1 0\nBasicMath add 1 2\nlink BasicMath\nBasicMat add 1 1\n";
    let done = fed(&manager, &["call", "--batch", "-", "--jobs", "4"], lines);
    assert_eq!((done.code, &*done.output), (Some(5), "3\n"), "{done:?}");
    for text in [
        "line 1: ",
        "ZeroDivisionError",
        "line 3: SERVICE ATTRIBUTE",
        "line 4: ",
        "did you mean 'BasicMath'?",
        "3 of 4 calls failed",
    ] {
        assert!(done.errors.contains(text), "{text}: {done:?}");
    }
    let done = fed(&manager, &["call", "--batch", "-", "--json"], lines);
    let objects = json_lines(&done.output);
    assert_eq!(objects.len(), 4, "{done:?}");
    let error = objects[0]["error"].as_str().unwrap();
    assert!(error.contains("ZeroDivisionError") && objects[0]["result"].is_null());
    assert_eq!(objects[2]["service"], Value::Null);
}

#[test]
fn a_batch_writes_to_a_file_and_refuses_what_contradicts_it() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let results = manager.home().argument("results");
    let done = fed(
        &manager,
        &["call", "BasicMath", "add", "--batch", "-", "-o", &results],
        "1 2\n3 4\n",
    );
    assert_eq!((done.code, &*done.output), (Some(0), ""), "{done:?}");
    assert_eq!(fs::read_to_string(&results).unwrap(), "3\n7\n");
    for arguments in [
        &["call", "--batch", "-", "--repeat", "2"][..],
        &["call", "BasicMath", "--batch", "-"],
        &["call", "BasicMath", "add", "1", "--jobs", "2"],
        &["call", "--batch", "-", "--jobs", "0"],
        &["call"],
    ] {
        let done = fed(&manager, arguments, "");
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
    }
    let done = fed(&manager, &["call", "--batch", "missing"], "");
    assert_eq!(done.code, Some(1), "{done:?}");
}

#[test]
fn results_before_a_line_that_cannot_be_read_are_shown() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let home = manager.home();
    fs::write(
        home.path("calls"),
        b"BasicMath add 1 2\nBasicMath add 2 2\n\xff\xfe\n",
    )
    .unwrap();
    let done = labwire(&manager, &["call", "--batch", "calls"]);
    assert_eq!((done.code, &*done.output), (Some(1), "3\n4\n"), "{done:?}");
    assert!(done.errors.contains("cannot read line 3"), "{done:?}");
}
