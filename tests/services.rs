//! Programs that run a service: they wait for their manager, return to it after a lost connection,
//! and tell each change in one line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::json;

use super::support::manager::{HOST, Home, Manager};
use super::support::process::{Process, Signal};
use super::support::wire::{RawPeer, request};
use super::support::{free_port, program};

/// Returns the command of a service that runs until it is told to end.
fn command(name: &str, port: u16, variables: &[(&str, &str)]) -> Command {
    let mut command = program("matrix_service");
    command
        .arg(name)
        .env("LABWIRE_MANAGER", format!("{HOST}:{port}"))
        .env("LABWIRE_DISABLE_TLS", "true")
        // `anyhow` would print one behind an error.
        .env("RUST_BACKTRACE", "0")
        .envs(variables.iter().copied());
    command
}

fn service(name: &str, port: u16, variables: &[(&str, &str)]) -> Process {
    Process::spawn(name, &mut command(name, port, variables))
}

/// Runs a service in a case where it must end by itself with an error. Returns what it printed.
fn failure(name: &str, port: u16, variables: &[(&str, &str)]) -> String {
    let mut process = service(name, port, variables);
    let status = process.wait();
    assert_eq!(status.code(), Some(1), "{}", process.everything_printed());
    process.everything_printed()
}

fn manager(home: Home, port: u16) -> Manager {
    let mut command = home.command(&["start", "--port", &port.to_string(), "--disable-tls"]);
    Manager::start_command(home, &mut command)
}

/// Waits until a service has printed an event, which follows the time and its name. Returns the rest
/// of the line.
fn event(process: &Process, after: &mut usize, name: &str, event: &str) -> String {
    let start = format!(" {name}: {event}");
    let (next, rest) = process.wait_for_line_after(*after, &start, |line| {
        line.split_once(&start).map(|(_, rest)| rest.to_owned())
    });
    *after = next;
    rest
}

fn add(manager: &Manager, service: &str) {
    let mut client = RawPeer::client(manager, "Ada");
    let mut link = request("Manager", "link");
    link["args"] = json!([service]);
    assert_eq!(client.request(&link)["error"], false);
    let mut sum = request(service, "add");
    sum["args"] = json!([1, 2]);
    assert_eq!(client.request(&sum)["result"], 3.0);
}

#[test]
fn a_service_waits_for_its_manager_and_returns_to_it_with_one_line_for_each_change() {
    let port = free_port();
    let mut balance = service("Balance", port, &[]);
    let mut seen = 0;
    let reason = event(&balance, &mut seen, "Balance", "waiting for the manager: ");
    assert!(
        reason.contains(&format!("cannot connect to {HOST}:{port}"))
            && reason.contains("is a manager running"),
        "{reason}"
    );
    let mut running = manager(Home::new(), port);
    event(&balance, &mut seen, "Balance", "registered as Balance[");
    add(&running, "Balance");

    for signal in [Signal::KILL, Signal::TERM] {
        running.signal(signal);
        running.wait_for_end();
        let home = running.take_home();
        let reason = event(&balance, &mut seen, "Balance", "disconnected: ");
        assert!(reason.ends_with("; connecting again"), "{reason}");
        running = manager(home, port);
        let rest = event(&balance, &mut seen, "Balance", "back after ");
        assert!(rest.contains(" s, registered as Balance["), "{rest}");
        add(&running, "Balance");
    }

    balance.terminate();
    assert!(balance.wait().success());
    assert_eq!(balance.output(), "");
    let told = balance.everything_printed();
    assert_eq!(told.lines().count(), 6, "{told}");
    for line in told.lines() {
        let time = line.split_once(" Balance: ").unwrap().0;
        assert!(time.len() == 19 && time.starts_with("20"), "{line}");
    }
}

#[test]
fn a_service_ends_when_waiting_changes_nothing() {
    let home = Home::new();
    let certificates = home.argument("");
    let port = free_port();
    let start = |arguments: &[&str]| {
        let mut command = home.command(&["start", "--port", &port.to_string()]);
        Manager::start_command(Home::new(), command.args(arguments))
    };
    let cyrillic = "\u{415}\u{421}\u{41d}\u{41e}";
    let elsewhere = home.argument("elsewhere");
    let over_tls = [("LABWIRE_DISABLE_TLS", "false"), ("LABWIRE_HOME", &elsewhere)];
    let wrong_password = [("LABWIRE_MANAGER_PASSWORD", "radium")];
    fs::create_dir_all(&certificates).unwrap();
    for (arguments, name, variables, reason) in [
        (
            &["--disable-tls", "--auth-password", "polonium"][..],
            "Balance",
            &wrong_password[..],
            "Wrong Manager password",
        ),
        (
            &["--disable-tls", "--auth-password", "polonium"],
            "Balance",
            &[],
            "set `manager_password`",
        ),
        (&["--disable-tls"], "Balance ", &[], "begins or ends with a blank"),
        (&["--disable-tls"], "Manager", &[], "Manager"),
        (
            &["--disable-tls"],
            cyrillic,
            &[],
            "looks like the name of the 'ECHO' service",
        ),
        (
            &["--disable-tls"],
            "ECHO",
            &[],
            "'ECHO' service is already running",
        ),
        (
            &["--disable-tls"],
            "Balance",
            &over_tls,
            "does not answer with TLS",
        ),
        (&[], "Balance", &over_tls, "is not known"),
    ] {
        let manager = start(arguments);
        let _echo = (arguments == ["--disable-tls"])
            .then(|| RawPeer::service(&manager, "ECHO", &json!({ "read": "()" })));
        let told = failure(name, port, variables);
        assert!(told.contains(reason), "{told}");
        // The error is all there is.
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with("Error: "), "{told}");
    }
}

#[test]
fn the_environment_makes_a_lost_connection_final() {
    let port = free_port();
    let never = [("LABWIRE_RECONNECT", "false")];
    let told = failure("Balance", port, &never);
    assert!(told.starts_with("Error: cannot connect to "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");

    let mut running = manager(Home::new(), port);
    let mut balance = service("Balance", port, &never);
    let mut seen = 0;
    event(&balance, &mut seen, "Balance", "registered as Balance[");
    running.signal(Signal::KILL);
    running.wait_for_end();
    assert_eq!(balance.wait().code(), Some(1));
    let told = balance.everything_printed();
    assert!(told.lines().last().unwrap().starts_with("Error: "), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");

    let told = failure("Balance", port, &[("LABWIRE_RECONNECT", "perhaps")]);
    assert!(told.contains("LABWIRE_RECONNECT must be true or false"), "{told}");
}

/// The manager's side of a connection, as a test plays it.
struct Played(BufReader<TcpStream>);

impl Played {
    /// Accepts a connection and asks for the identity, which a service answers.
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let mut played = Self(BufReader::new(stream));
        played.request("identity", "");
        let mut identity = String::new();
        played.0.read_line(&mut identity).unwrap();
        assert!(identity.contains("\"type\":\"service\""), "{identity}");
        played
    }

    fn request(&mut self, attribute: &str, argument: &str) {
        self.send(&json!({
            "args": [argument], "attribute": attribute, "error": false, "kwargs": {},
            "requester": "Manager[x:1]", "uid": "",
        }));
    }

    fn send(&mut self, frame: &serde_json::Value) {
        self.0
            .get_mut()
            .write_all(format!("{frame}\r\n").as_bytes())
            .unwrap();
    }
}

#[test]
fn a_service_that_was_registered_waits_until_its_name_is_free() {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut balance = service("Balance", port, &[]);
    let mut seen = 0;
    let mut first = Played::accept(&listener);
    first.request("registered", "Balance[x:2]");
    event(
        &balance,
        &mut seen,
        "Balance",
        "registered as Balance[x:2] at Manager[x:1]",
    );
    drop(first);
    event(&balance, &mut seen, "Balance", "disconnected: ");
    let refuse = || {
        Played::accept(&listener).send(&json!({
            "attribute": null, "error": true, "result": null, "requester": "Manager[x:1]", "traceback": [], "uid": "",
            "message": "NameError: A 'Balance' service is already running on the Manager",
        }));
    };
    refuse();
    let reason = event(&balance, &mut seen, "Balance", "waiting until its name is free: ");
    assert!(reason.contains("already running"), "{reason}");
    refuse();
    refuse();
    let mut last = Played::accept(&listener);
    last.request("registered", "Balance[x:3]");
    event(&balance, &mut seen, "Balance", "back after ");
    drop(last);
    event(&balance, &mut seen, "Balance", "disconnected: ");
    balance.terminate();
    assert!(balance.wait().success());
    let told = balance.everything_printed();
    assert_eq!(told.lines().count(), 5, "{told}");
}
