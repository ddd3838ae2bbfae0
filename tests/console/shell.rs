//! `labwire shell`, as a script and at a terminal.

mod prompt;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::support::manager::{Home, Manager};
use super::super::support::process::{Process, Signal};
use super::super::support::program;
use super::super::support::pseudo_terminal::PseudoTerminal;
use super::super::support::wire::RawPeer;
use super::watch::wait;
use super::{Done, command, json_lines, labwire, service, start, wait_for_service};

/// Runs a script to its end.
fn script(manager: &Manager, arguments: &[&str], lines: &str) -> Done {
    let mut command = command(manager, &[&["shell"], arguments].concat());
    run_script(&mut command, lines)
}

fn run_script(command: &mut Command, lines: &str) -> Done {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A script that ends early does not read the rest.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts a shell at a terminal, and waits for its prompt.
fn terminal(manager: &Manager, arguments: &[&str]) -> PseudoTerminal {
    let command = command(manager, &[&["shell"], arguments].concat());
    let mut terminal = PseudoTerminal::start(&command, 80, 24);
    terminal.wait_for("connected to Manager[");
    terminal.wait_for("labwire> ");
    terminal
}

/// Answers the next request that a service gets.
fn answer(service: &mut RawPeer, result: &Value) -> Value {
    let request = service.read_json();
    let reply = json!({
        "error": false, "requester": request["requester"], "result": result, "uid": request["uid"],
    });
    service.send_line(&reply.to_string());
    request
}

fn notify(service: &mut RawPeer, name: &str, value: u64) {
    let notification =
        json!({ "error": false, "result": [[value], {"unit": "V"}], "service": name, "uid": "notification" });
    service.send_line(&notification.to_string());
}

#[test]
fn a_script_is_executed_line_by_line() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let _echo = service(&manager, "Echo");
    let done = script(
        &manager,
        &[],
        "# a comment\n\nBasicMath add 1 y=2.5\nEcho echo \"two words\" [1, null] 1.10 unit='V m'\nuse BasicMath\n\
         multiply 3 4\npi\nexit\nBasicMath add 5 5\n",
    );
    assert_eq!((done.code, &*done.errors), (Some(0), ""), "{done:?}");
    assert_eq!(
        done.output,
        "3.5\n[[\"two words\", [1, null], 1.1], {\"unit\": \"V m\"}]\n'BasicMath' is selected\n12\n3.141592653589793\n"
    );
}

#[test]
fn a_script_ends_at_the_first_error_with_its_line_and_exit_code() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    for (line, code, text) in [
        ("BasicMath divide 1 0", 5, "ZeroDivisionError"),
        ("BasicMath ad 1 2", 5, "did you mean 'add'?"),
        ("BasicMat add 1 2", 4, "did you mean 'BasicMath'?"),
        ("BasicMath.add 1 2", 4, "BasicMath add"),
        ("sttaus", 4, "did you mean 'status'?"),
        ("unlink BasicMath", 4, "no link with 'BasicMath'"),
        ("describe basicmath", 4, "did you mean 'BasicMath'?"),
        ("help BasicMath.ad", 4, "did you mean 'add'?"),
        ("BasicMath", 2, "use BasicMath"),
        ("BasicMath add \"1", 2, "is not closed"),
        ("timeout soon", 2, "timeout [TIME|off]"),
        ("BasicMath add @missing.json", 1, "cannot read missing.json"),
    ] {
        let lines = format!("BasicMath add 1 1\n{line}\nBasicMath add 2 2\n");
        let done = script(&manager, &[], &lines);
        assert_eq!(
            (done.code, &*done.output),
            (Some(code), "2\n"),
            "{line}: {done:?}"
        );
        let is_told = done.errors.starts_with("labwire: line 2: ") && done.errors.contains(text);
        assert!(is_told, "{line}: {done:?}");
        let done = script(&manager, &["--keep-going"], &lines);
        assert_eq!(
            (done.code, &*done.output),
            (Some(code), "2\n4\n"),
            "{line}: {done:?}"
        );
        assert!(done.errors.contains(text), "{line}: {done:?}");
    }
}

#[test]
fn a_script_prints_objects() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let done = script(
        &manager,
        &["--json", "--name", "Ada"],
        "BasicMath add 1 2\nservices\ndescribe BasicMath\nlock BasicMath\nstatus\nunlock\nunlink\nwhoami\nidentity\n\
         timeout 2.5\nnotifications on\nuse\nhelp BasicMath.add\nhelp\n",
    );
    assert_eq!((done.code, &*done.errors), (Some(0), ""), "{done:?}");
    let objects = json_lines(&done.output);
    let call = &objects[0];
    assert_eq!(
        (&call["service"], &call["attribute"], &call["result"]),
        (&json!("BasicMath"), &json!("add"), &json!(3))
    );
    assert!(call["time"].as_str().unwrap().ends_with('Z') && call["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&objects[1]["name"], &objects[2]["name"]),
        (&json!("BasicMath"), &json!("BasicMath"))
    );
    let of = |command: &str| {
        let found = objects.iter().find(|object| object["command"] == command);
        found.unwrap_or_else(|| panic!("{command}: {objects:?}"))["result"].clone()
    };
    let name = of("whoami");
    assert!(name.as_str().unwrap().starts_with("Ada["), "{name}");
    assert_eq!(of("lock"), json!([name]));
    let status = of("status");
    assert_eq!(
        (&status["name"], &status["selected"]),
        (&name, &json!("BasicMath"))
    );
    assert_eq!(
        (&status["links"][0]["link"], &status["links"][0]["lock"]),
        (&json!("linked"), &json!("exclusive"))
    );
    assert_eq!((of("unlock"), of("unlink")), (json!([]), json!("BasicMath")));
    assert_eq!(of("identity")["port"], manager.port());
    assert_eq!(
        (of("timeout"), of("notifications"), of("use")),
        (json!(2.5), json!(true), Value::Null)
    );
    let signature = &of("help")["signature"];
    assert!(signature.as_str().unwrap().starts_with("(x: "), "{signature}");
    assert_eq!(objects.len(), 14, "{objects:?}");
}

#[test]
fn a_lock_keeps_others_out_until_it_is_released() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    shell.type_line("lock BasicMath");
    shell.wait_for("the lock", |line| {
        line.contains("'BasicMath' is locked for labwire shell (")
            .then_some(())
    });
    let refused = labwire(&manager, &["call", "BasicMath", "add", "1", "2"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.errors.contains("labwire shell ("), "{refused:?}");
    shell.type_line("BasicMath add 1 2");
    shell.wait_for("the result", |line| (line == "3").then_some(()));
    shell.type_line("status");
    shell.wait_for("the state", |line| {
        line.contains("locked, exclusive, since ").then_some(())
    });
    shell.type_line("unlock");
    shell.wait_for("the release", |line| {
        line.contains("not locked any more").then_some(())
    });
    assert_eq!(
        labwire(&manager, &["call", "BasicMath", "add", "1", "2"]).code,
        Some(0)
    );
    shell.close_input();
    assert!(shell.wait().success());
}

#[test]
fn a_lock_has_terms_at_the_prompt_too() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    let mut first = terminal(&manager, &[]);
    first.send("lock Echo ttl=5 reason=\"drift until 4\"\r");
    first.wait_for("'Echo' is locked for");
    // Others are told why, and can wait.
    let refused = script(&manager, &[], "lock Echo wait=0.2\n");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.errors.contains("drift until 4"), "{refused:?}");
    let mut second = terminal(&manager, &[]);
    second.send("lock Echo wait=30\r");
    second.wait_for("waiting for the lock on 'Echo'; Ctrl-C gives up");
    first.send("unlink\r");
    second.wait_for("'Echo' is locked for");
    // Who gives up is not in the queue any more.
    first.send("lock Echo wait=30\r");
    first.wait_for("waiting for the lock");
    first.send("\u{3}");
    first.wait_for("interrupted");
    second.send("exit\r");
    assert!(second.wait().success());
    let free = script(&manager, &[], "lock Echo\nEcho echo 1\n");
    assert_eq!(free.code, Some(0), "{free:?}");
}

#[test]
fn notifications_of_linked_services_are_printed_on_request() {
    let manager = start();
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "read": "() -> float" }));
    for (arguments, expected) in [
        (&["shell"][..], " Probe 7 unit=\"V\""),
        (
            &["shell", "--json"],
            "\"notification\":{\"args\":[7],\"kwargs\":{\"unit\":\"V\"}},\"lost\":0}",
        ),
    ] {
        let mut shell = Process::spawn("labwire shell", &mut command(&manager, arguments));
        shell.type_line("link Probe");
        shell.wait_for("the link", |line| line.contains("Probe").then_some(()));
        shell.type_line("notifications on");
        shell.wait_for("the state", |line| line.contains("notifications").then_some(()));
        notify(&mut probe, "Probe", 7);
        shell.wait_for("the notification", |line| line.ends_with(expected).then_some(()));
        shell.close_input();
        assert!(shell.wait().success());
    }
}

#[test]
fn a_connection_that_is_lost_is_told_and_made_again() {
    let manager = start();
    let port = manager.port().to_string();
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "read": "() -> float" }));
    let mut shell = Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    shell.type_line("lock Probe");
    shell.wait_for("the lock", |line| line.contains("is locked").then_some(()));
    let home = manager.end();
    shell.wait_for("the loss", |line| {
        line.contains("the connection is lost; connecting again")
            .then_some(())
    });
    shell.wait_for("the loss of the lock", |line| {
        line.contains("the lock on 'Probe' is lost").then_some(())
    });
    probe.expect_closed();
    let mut again = home.command(&["start", "--disable-tls", "--port", &port]);
    let manager = Manager::start_command(home, &mut again);
    shell.wait_for("the connection", |line| {
        line.contains("connected again, as labwire shell (").then_some(())
    });
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "read": "() -> float" }));
    shell.wait_for("the link", |line| {
        line.contains("linked with 'Probe' again").then_some(())
    });
    shell.type_line("read");
    answer(&mut probe, &json!("still here"));
    shell.wait_for("the result", |line| (line == "still here").then_some(()));
    shell.type_line("status");
    shell.wait_for("the state", |line| (line == "'Probe' linked").then_some(()));
    shell.close_input();
    assert!(shell.wait().success());
}

#[test]
fn the_help_of_a_method_says_why_it_has_no_documentation_and_keeps_what_was_read() {
    let manager = start();
    let _camera = Process::spawn("camera", program("camera").envs(manager.environment()));
    manager.wait_for_registered("Camera");
    let shell = || Process::spawn("labwire shell", &mut command(&manager, &["shell"]));
    let mut earlier = shell();
    earlier.type_line("help Camera.image");
    wait(&earlier, "An image.");
    let mut lock = Process::spawn("labwire", &mut command(&manager, &["lock", "Camera"]));
    wait(&lock, "is locked");
    let begun = earlier.output().lines().count();
    earlier.type_line("help Camera.image");
    earlier.wait_for_line_after(begun, "the documentation", |line| {
        line.contains("An image.").then_some(())
    });
    let mut later = shell();
    later.type_line("help Camera.image");
    wait(&later, "(its documentation can be read when it is not locked)");
    lock.signal(Signal::INT);
    lock.wait();
    later.type_line("help Camera.image");
    wait(&later, "An image.");
    for mut shell in [earlier, later] {
        shell.close_input();
        assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
    }
}

#[test]
fn requests_that_would_concern_another_connection_are_refused() {
    let manager = start();
    let _echo = service(&manager, "Echo");
    for (line, hint) in [
        ("Manager subscribe lab.>", "labwire subscribe"),
        ("Manager unsubscribe lab.>", "labwire subscribe"),
        ("Manager acquire_lock Echo shared=true", "type: lock Echo"),
        ("Manager renew_lock Echo", "type: lock Echo"),
        ("Manager release_lock Echo", "type: unlock Echo"),
        ("Manager link Echo", "type: link Echo"),
        ("Manager unlink Echo", "type: unlink Echo"),
        ("use Manager\nsubscribe lab.>", "labwire subscribe"),
    ] {
        let done = script(&manager, &[], &format!("{line}\n"));
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
        assert!(done.errors.contains(hint), "{line}: {done:?}");
    }
    let done = script(&manager, &[], "Manager publish lab.x 1\nlock Echo\nEcho echo 1\n");
    assert!(!done.errors.contains("line 1"), "{done:?}");
}

#[test]
fn the_shell_works_with_the_reference_manager_over_tls() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let _math = service(&manager, "BasicMath");
    let done = script(&manager, &[], "link BasicMath\nadd 1 2\nidentity\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.output.contains("\n3\n"), "{done:?}");
}

#[test]
fn a_service_that_is_locked_twice_stays_locked() {
    let manager = start();
    let _balance = RawPeer::service(&manager, "Balance", &json!({}));
    wait_for_service(&manager, "Balance");
    let mut shell = Process::spawn("labwire", &mut command(&manager, &["shell"]));
    for line in ["lock Balance", "lock Balance", "status"] {
        shell.type_line(line);
    }
    shell.wait_for("the second answer", |line| {
        line.contains("is locked already").then_some(())
    });
    let done = labwire(&manager, &["link", "Balance"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(!shell.output().contains("is lost"), "{}", shell.output());
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0));
}

#[test]
fn a_script_ends_when_it_is_asked_to() {
    let manager = start();
    let mut shell = Process::spawn("labwire", &mut command(&manager, &["shell"]));
    shell.type_line("whoami");
    shell.wait_for("an answer", |line| line.contains('[').then_some(()));
    shell.terminate();
    assert!(!shell.wait().success());
}
