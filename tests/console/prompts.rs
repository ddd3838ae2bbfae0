//! Passwords at a terminal: the terminal is as before, however the command ends.

use super::super::support::pseudo_terminal::PseudoTerminal;
use super::*;

/// Ends a command that asks for a password, with Ctrl-C or with a signal. Returns its exit code and
/// what it has shown.
fn ended(command: &Command, question: &str, signal: Option<Signal>) -> (Option<i32>, String) {
    let mut terminal = PseudoTerminal::start(command, 80, 24);
    terminal.wait_for(question);
    terminal.wait_for_modes(false);
    match signal {
        None => terminal.send("secr\u{3}"),
        Some(signal) => terminal.signal(signal),
    }
    let code = terminal.wait().code();
    assert!(terminal.is_as_before(), "{}", terminal.text());
    (code, terminal.text())
}

#[test]
fn the_terminal_is_restored_when_a_password_prompt_is_given_up() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    for (signal, code) in [(None, 130), (Some(Signal::INT), 130), (Some(Signal::TERM), 143)] {
        let home = Home::new();
        let user = home.command(&["user", "add", "bob"]);
        assert_eq!(ended(&user, "Password for bob: ", signal).0, Some(code));
        assert!(
            !home.path("manager.sqlite3").exists()
                || !home.labwire(&["user", "list"]).stdout.starts_with(b"bob")
        );
        let start = home.command(&["start", "--port", "0", "--disable-tls", "--auth-password"]);
        assert_eq!(ended(&start, "password for the manager: ", signal).0, Some(code));
        for arguments in [
            &["services", "--username", "ada"][..],
            &["watch", "Echo", "--username", "ada"],
        ] {
            let (ended_with, shown) = ended(&command(&manager, arguments), "password for ada", signal);
            assert_eq!(ended_with, Some(code), "{arguments:?}: {shown}");
            assert!(!shown.contains("may still be executed"), "{shown}");
        }
    }
}

#[test]
fn one_ctrl_c_ends_a_command_that_asks_whether_to_trust_a_manager() {
    let manager = Manager::start(&[]);
    let address = format!("localhost:{}", manager.port());
    for arguments in [
        &["services"][..],
        &["watch", "Echo"],
        &["link", "Echo", "--hold"],
        &["subscribe", "bench.>"],
        &["status", "--watch"],
        &["top"],
    ] {
        let home = Home::new();
        let command = home.command(&[arguments, &["--host", &address]].concat());
        let mut terminal = PseudoTerminal::start(&command, 80, 24);
        terminal.wait_for("Trust it from now on? y/n");
        terminal.send("\u{3}");
        let code = terminal.wait().code();
        assert_eq!(code, Some(130), "{arguments:?}: {}", terminal.text());
        assert!(terminal.is_as_before());
    }
}

#[test]
fn a_password_is_typed_with_corrections() {
    let home = Home::new();
    let mut terminal = PseudoTerminal::start(&home.command(&["user", "add", "ada"]), 80, 24);
    terminal.wait_for("Password for ada: ");
    terminal.wait_for_modes(false);
    terminal.send("wrong\u{15}engimµ\u{7f}\u{7f}ne\r");
    terminal.wait_for("Again, to be sure: ");
    terminal.wait_for_modes(false);
    terminal.send("engine\r");
    assert!(terminal.wait().success(), "{}", terminal.text());
    assert!(terminal.is_as_before());
    assert!(!terminal.text().contains("engi"), "{}", terminal.text());
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let mut services = command(&manager, &["services", "--username", "ada"]);
    assert_eq!(run(services.env("LABWIRE_PASSWORD", "engine")).code, Some(0));
}

#[test]
fn a_manager_whose_password_was_typed_stops_in_order() {
    let home = Home::new();
    let start = home.command(&["start", "--port", "0", "--disable-tls", "--auth-password"]);
    let mut terminal = PseudoTerminal::start(&start, 200, 24);
    terminal.wait_for("password for the manager: ");
    terminal.wait_for_modes(false);
    terminal.send("abc\r");
    terminal.wait_for("Network Manager running on");
    terminal.signal(Signal::TERM);
    assert!(terminal.wait().success(), "{}", terminal.text());
}

#[test]
fn a_login_that_is_missing_or_wrong_names_the_options_of_commands() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--password", "engine"]);
    let manager = Manager::start_in(home, &["--disable-tls", "--auth-login"]);
    let missing = labwire(&manager, &["services"]);
    assert_eq!(missing.code, Some(4), "{missing:?}");
    assert!(missing.errors.contains("--username NAME") && missing.errors.contains("LABWIRE_PASSWORD"));
    assert!(!missing.errors.contains("set `"), "{missing:?}");
    let mut wrong = command(&manager, &["services", "--username", "ada"]);
    let wrong = run(wrong.env("LABWIRE_PASSWORD", "wheel"));
    assert_eq!(wrong.code, Some(4), "{wrong:?}");
    assert!(wrong.errors.contains("labwire doctor"), "{wrong:?}");
}

#[test]
fn a_difference_about_tls_names_the_options_of_commands() {
    let plain = start();
    let address = format!("localhost:{}", plain.port());
    let done = run(&mut plain.home().command(&["services", "--host", &address]));
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.errors.contains("use --disable-tls"), "{done:?}");
    let secured = Manager::start(&[]);
    let address = format!("localhost:{}", secured.port());
    let home = Home::new();
    let done = run(&mut home.command(&["services", "--host", &address, "--disable-tls"]));
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.errors.contains("leave out --disable-tls"), "{done:?}");
    let done = run(&mut home.command(&["services", "--host", &address]));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(
        done.errors.contains(&format!("labwire trust {address}")),
        "{done:?}"
    );
}
