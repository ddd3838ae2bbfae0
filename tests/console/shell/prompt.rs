//! A person at the prompt of `labwire shell`.

use super::*;

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
