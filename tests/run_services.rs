//! A manager and services in one process with `run_services`: its options, its end with the last
//! service, and its start on another computer.

use std::process::Command;
use std::time::{Duration, Instant};

use labwire_client::ssh::{StartOptions, blocking};
use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::process::{Process, Signal};
use super::support::python::run_script;
use super::support::wire::{RawPeer, request};
use super::support::{DEADLINE, program, ssh_server};

/// The program with the two services.
const PROGRAM: &str = "shutdownable_services";

/// Returns the program with these keyword arguments and the files in `home`.
fn command(home: &Home, keywords: &Value) -> Command {
    let mut command = program(PROGRAM);
    command.args(["--kwargs", &keywords.to_string()]);
    command
        .env("LABWIRE_HOME", home.path(""))
        .env_remove("MSL_NETWORK_HOME");
    command
}

fn start(home: Home, keywords: &Value) -> Manager {
    let mut command = command(&home, keywords);
    Manager::start_command(home, &mut command)
}

/// Runs the program in a case where it must fail, and returns its output.
fn failure(home: &Home, keywords: &Value) -> String {
    let mut process = Process::spawn(PROGRAM, &mut command(home, keywords));
    let status = process.wait();
    assert_eq!(status.code(), Some(1), "{status}");
    process.everything_printed()
}

#[test]
fn a_python_client_ends_both_services_and_so_the_process() {
    let mut manager = start(Home::new(), &json!({ "port": 0 }));
    let connection = manager.connection_with_certificate();
    run_script("shutdown_services.py", &connection, &json!({}));
    assert!(manager.wait_for_end().success());
}

#[test]
fn the_services_know_the_managers_password() {
    let keywords = json!({ "port": 0, "password_manager": "radium", "disable_tls": true, "unknown": [1] });
    let mut manager = start(Home::new(), &keywords);
    let connection = manager.connection().with("password_manager", "radium");
    run_script("shutdown_services.py", &connection, &json!({}));
    assert!(manager.wait_for_end().success());
    assert!(!manager.log().contains("radium"));
}

#[test]
fn the_services_log_in() {
    let home = Home::new();
    home.prepare(&["user", "add", "curie", "--password", "radium"]);
    let keywords = json!({ "port": 0, "auth_login": true, "username": "curie", "password": "radium" });
    let mut manager = start(home, &keywords);
    let connection = manager
        .connection()
        .with("username", "curie")
        .with("password", "radium");
    run_script("shutdown_services.py", &connection, &json!({}));
    assert!(manager.wait_for_end().success());
}

#[test]
fn a_signal_lets_the_services_answer_what_they_have() {
    let mut manager = start(Home::new(), &json!({ "port": 0, "disable_tls": true }));
    let mut client = RawPeer::client(&manager, "client");
    let mut slow = request("SubtractService", "subtract_slowly");
    slow["args"] = json!([5, 2]);
    client.send_line(&slow.to_string());
    // Requests of one client reach a service in their order.
    let mut fast = request("SubtractService", "subtract");
    fast["args"] = json!([1, 1]);
    fast["uid"] = json!("fast");
    assert_eq!(client.request(&fast)["uid"], "fast");
    manager.signal(Signal::TERM);
    let reply = client.read_json();
    assert_eq!(
        (&reply["error"], &reply["result"]),
        (&json!(false), &json!(3.0)),
        "{reply}"
    );
    assert!(manager.wait_for_end().success());
    assert!(manager.log().contains("the Network Manager has stopped"));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut manager = start(Home::new(), &json!({ "port": 0, "disable_tls": true }));
    let mut client = RawPeer::client(&manager, "client");
    let mut endless = request("SubtractService", "subtract_slowly");
    endless["args"] = json!([5, 2, 3600]);
    client.send_line(&endless.to_string());
    let mut fast = request("SubtractService", "subtract");
    fast["args"] = json!([1, 1]);
    client.request(&fast);
    let begin = Instant::now();
    manager.signal(Signal::TERM);
    manager.wait_for_log("termination signal received");
    manager.signal(Signal::TERM);
    assert!(manager.wait_for_end().success());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn what_makes_no_sense_or_cannot_be_is_told() {
    let home = Home::new();
    for (keywords, part) in [
        (json!([]), "there must be a JSON object"),
        (json!({ "port": "x" }), "--kwargs cannot be used"),
        (
            json!({ "auth_login": true, "auth_password": "x" }),
            "multiple authentication methods",
        ),
        (json!({ "auth_login": true }), "'auth_users' table is empty"),
        (
            json!({ "port": 0, "log_level": "loud" }),
            "Cannot set logging level",
        ),
    ] {
        let said = failure(&home, &keywords);
        assert!(said.contains(part), "{keywords}: {said}");
    }
    home.prepare(&["user", "add", "curie", "--password", "radium"]);
    let said = failure(&home, &json!({ "port": 0, "auth_login": true }));
    assert!(said.contains("set `username` and `password`"), "{said}");
}

#[test]
fn a_port_in_use_is_told() {
    let other = Manager::start(&["--disable-tls"]);
    let said = failure(
        &Home::new(),
        &json!({ "port": other.port(), "disable_tls": true }),
    );
    assert!(said.contains(") listens there: stop it"), "{said}");
    assert!(!said.contains("Network Manager running"), "{said}");
}

#[test]
fn the_program_can_be_started_on_another_computer() {
    let server = ssh_server::Server::start();
    let file = |name: &str| server.path(name).to_str().unwrap().to_owned();
    let start = || {
        StartOptions::new()
            .keyword("disable_tls", &true)
            .keyword("database", &file("manager.sqlite3"))
            .keyword("log_file", &file("manager.log"))
            .log_file(file("output"))
    };
    let ssh = server.with_key();
    let program = program(PROGRAM);
    let program_path = program.get_program().to_str().unwrap();
    let started = blocking::start_manager(&ssh, program_path, start().keyword("port", &0)).unwrap();
    let port = started.port().unwrap();

    let start = start().keyword("port", &port).log_file(file("second"));
    let error = blocking::start_manager(&ssh, program_path, start)
        .unwrap_err()
        .to_string();
    assert!(error.contains(") listens there: stop it"), "{error}");

    let options = labwire_client::ConnectOptions::new().port(port).without_tls();
    let client = labwire_client::blocking::Client::connect("Client", options).unwrap();
    for service in ["AddService", "SubtractService"] {
        let link = client.link(service).unwrap();
        let _: Value = link.shutdown_service(()).unwrap();
    }
    // The process has ended when the log says so, without a kill.
    let ssh = blocking::Ssh::connect(&ssh).unwrap();
    let wait = format!(
        "while kill -0 {} 2>/dev/null; do sleep 0.1; done",
        started.process_id
    );
    let ended = ssh.run(&wait, DEADLINE).unwrap();
    assert!(ended.success(), "{}", ended.stderr);
}
