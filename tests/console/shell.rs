//! `labwire shell`, as a script and at a terminal.

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
fn a_person_sees_the_state_in_the_prompt_and_completes_with_tab() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let mut terminal = terminal(&manager, &[]);
    terminal.send("lin\tBas\t\r");
    terminal.wait_for("link BasicMath");
    terminal.wait_for("linked with 'BasicMath'");
    terminal.wait_for("BasicMath [linked]> ");
    terminal.send("mult\t3 y\t4\r");
    terminal.wait_for("multiply 3 y=4");
    terminal.wait_for("\n12");
    terminal.wait_for("BasicMath [linked]> ");
    terminal.send("lock\r");
    terminal.wait_for("BasicMath [locked]> ");
    terminal.send("help add\r");
    terminal.wait_for("BasicMath add(x: ");
    terminal.wait_for("BasicMath [locked]> ");
    terminal.send("mutliply 3 4\r");
    terminal.wait_for("did you mean 'multiply'?");
    terminal.wait_for("BasicMath [locked]> ");
    terminal.send("unlink\r");
    terminal.wait_for("BasicMath> ");
    terminal.send("use\r");
    terminal.wait_for("labwire> ");
    terminal.send("\u{4}");
    assert!(terminal.wait().success());
    assert!(terminal.is_as_before());
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
fn ctrl_c_gives_up_a_call_and_the_shell_goes_on() {
    let manager = start();
    let mut silent = RawPeer::service(&manager, "Silent", &json!({ "read": "() -> float" }));
    let mut terminal = terminal(&manager, &[]);
    terminal.send("Silent read 1\r");
    assert_eq!(silent.read_json()["attribute"], "read");
    terminal.send("\u{3}");
    terminal.wait_for("may still be running");
    terminal.wait_for("labwire> ");
    terminal.send("thrown away\u{3}");
    terminal.wait_for("labwire> ");
    terminal.send("Silent read 2\r");
    assert_eq!(answer(&mut silent, &json!("second"))["args"], json!([2]));
    terminal.wait_for("\nsecond");
    terminal.send("timeout 0.2\r");
    terminal.wait_for("the timeout of calls is 0.2 s");
    terminal.send("Silent read 3\r");
    terminal.wait_for("no reply to 'Silent'.read within 0.2 s");
    terminal.wait_for("labwire> ");
    terminal.send("exit\r");
    assert!(terminal.wait().success());
    assert!(terminal.is_as_before());
}

#[test]
fn a_call_at_the_prompt_shows_its_progress_and_its_items_and_ctrl_c_asks_its_service_to_stop() {
    let manager = start();
    let mut stage = RawPeer::connect(&manager);
    stage.identify(&json!({
        "type": "service", "name": "Stage", "attributes": { "travel": "()" }, "features": ["progress", "cancel"],
    }));
    wait_for_service(&manager, "Stage");
    let mut terminal = terminal(&manager, &[]);
    let about = |asked: &Value, member: &str, value: &Value| {
        json!({ "requester": asked["requester"], "uid": asked["uid"], member: value }).to_string()
    };
    // Only a kept link has notifications.
    terminal.send("link Stage\r");
    terminal.wait_for("linked with 'Stage'");
    terminal.send("Stage travel\r");
    let asked = stage.read_json();
    assert_eq!(asked["progress"], true);
    stage.send_line(&about(
        &asked,
        "progress",
        &json!({ "done": 1, "total": 4, "message": "at x" }),
    ));
    terminal.wait_for("25 % at x");
    stage.send_line(&about(&asked, "item", &json!("first")));
    terminal.wait_for("first");
    // A notification goes above the bar.
    notify(&mut stage, "Stage", 5);
    terminal.wait_for("unit=\"V\"");
    terminal.send("\u{3}");
    terminal.wait_for("asked to stop; press Ctrl-C again");
    let told = stage.read_json();
    assert_eq!(
        (&told["attribute"], &told["args"][1]),
        (&json!("cancel"), &asked["uid"])
    );
    let stopped = json!({
        "error": true, "message": "CancelledError: it stands still", "requester": asked["requester"],
        "result": null, "traceback": [], "uid": asked["uid"],
    });
    stage.send_line(&stopped.to_string());
    terminal.wait_for("failed: CancelledError: it stands still");
    terminal.wait_for("Stage [linked]>");

    // The second Ctrl-C does not wait for the service.
    terminal.send("Stage travel\r");
    stage.read_json();
    terminal.send("\u{3}");
    terminal.wait_for("press Ctrl-C again");
    terminal.send("\u{3}");
    terminal.wait_for("may still be executed");
    terminal.wait_for("Stage [linked]>");
    terminal.send("exit\r");
    assert!(terminal.wait().success());
    assert!(terminal.is_as_before());
}

#[test]
fn a_notification_does_not_disturb_the_line_that_is_typed() {
    let manager = start();
    let mut probe = RawPeer::service(&manager, "Probe", &json!({ "read": "() -> float" }));
    let mut terminal = terminal(&manager, &[]);
    terminal.send("link Probe\r");
    terminal.wait_for("Probe [linked]> ");
    terminal.send("read \"half of");
    terminal.wait_for("read \"half of");
    notify(&mut probe, "Probe", 71);
    terminal.wait_for(" Probe 71 unit=\"V\"");
    terminal.wait_for("Probe [linked]> ");
    terminal.send(" it\"\r");
    assert_eq!(answer(&mut probe, &json!([1, 2]))["args"], json!(["half of it"]));
    terminal.wait_for("[1, 2]");
    terminal.wait_for("Probe [linked]> ");
    terminal.send("notifications off\r");
    terminal.wait_for("are not shown");
    terminal.wait_for("Probe [linked]> ");
    terminal.send("\u{4}");
    assert!(terminal.wait().success());
}

#[test]
fn the_terminal_is_restored_when_the_system_ends_the_shell() {
    let manager = start();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut terminal = terminal(&manager, &[]);
        assert!(!terminal.is_as_before(), "the editor has a mode of its own");
        terminal.signal(signal);
        assert_eq!(terminal.wait().code(), Some(code));
        assert!(terminal.is_as_before());
    }
}

#[test]
fn the_history_is_private_and_holds_no_password() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let _echo = service(&manager, "Echo");
    let mut shell = terminal(&manager, &[]);
    shell.send("Echo echo first\r");
    shell.wait_for("[[\"first\"], {}]");
    shell.wait_for("labwire> ");
    shell.send("Manager users_table.is_admin ada\r");
    shell.wait_for("username for Manager[");
    shell.send("ada\r");
    shell.wait_for("password for ada");
    shell.send("engine\r");
    shell.wait_for("true");
    shell.wait_for("labwire> ");
    shell.send("Manager users_table.insert bob hunter2 false\r");
    shell.wait_for("\nnull");
    shell.wait_for("labwire> ");
    shell.send(" Echo echo secretly\r");
    shell.wait_for("[[\"secretly\"], {}]");
    shell.wait_for("labwire> ");
    shell.send("\u{4}");
    assert!(shell.wait().success());
    let path = manager.home().path("shell-history");
    let history = fs::read_to_string(&path).unwrap();
    assert_eq!(history, "Echo echo first\nManager users_table.is_admin ada\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The next shell remembers.
    let mut shell = terminal(&manager, &[]);
    shell.send("\u{1b}[A\u{1b}[A\r");
    shell.wait_for("[[\"first\"], {}]");
    shell.wait_for("labwire> ");
    shell.send("\u{4}");
    assert!(shell.wait().success());
}

#[test]
fn ctrl_c_at_a_password_gives_up_the_request() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let mut shell = terminal(&manager, &["--username", "ada"]);
    shell.send("Manager stats\r");
    shell.wait_for("password for ada");
    shell.wait_for_modes(false);
    shell.send("\u{3}");
    shell.wait_for("error: ");
    shell.wait_for("labwire> ");
    shell.send("whoami\r");
    shell.wait_for("\nlabwire shell (");
    shell.wait_for("labwire> ");
    shell.send("Manager stats\r");
    shell.wait_for("password for ada");
    shell.wait_for_modes(false);
    shell.signal(Signal::TERM);
    assert_eq!(shell.wait().code(), Some(143));
    assert!(shell.is_as_before());
}

#[test]
fn a_login_is_asked_for_again_after_a_wrong_one() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let mut shell = terminal(&manager, &[]);
    for (username, password, answer) in [
        ("ada", "Engine", "error: "),
        ("aad", "engine", "error: "),
        ("ada", "engine", "true"),
    ] {
        shell.send("Manager users_table.is_admin ada\r");
        shell.wait_for("username for Manager[");
        shell.send(&format!("{username}\r"));
        shell.wait_for(&format!("password for {username}"));
        shell.send(&format!("{password}\r"));
        shell.wait_for(answer);
        shell.wait_for("labwire> ");
    }
    shell.send("exit\r");
    assert!(shell.wait().success());

    // A login that was accepted remains, although its request was refused for another reason.
    let mut shell = terminal(&manager, &["--username", "ada"]);
    shell.send("Manager users_table.is_admim ada\r");
    shell.wait_for("password for ada");
    shell.send("engine\r");
    shell.wait_for("error: ");
    shell.wait_for("labwire> ");
    shell.send("Manager users_table.is_admin ada\r");
    shell.wait_for("true");
    shell.wait_for("labwire> ");
    // An error after the login costs no login.
    shell.send("Manager users_table.is_admin\r");
    shell.wait_for("error: ");
    shell.wait_for("labwire> ");
    shell.send("Manager users_table.is_admin ada\r");
    shell.wait_for("true");
    shell.wait_for("labwire> ");
    shell.send("\u{4}");
    assert!(shell.wait().success());
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
