//! The commands for people who use a manager, in both forms of their output, with the exit code for
//! each kind of failure.

mod approving;
mod arrays;
mod batch;
mod breaks;
mod calls;
mod cells;
mod closed_output;
mod completions;
mod doctor;
mod ending;
mod gaps;
mod holding;
mod listing;
mod manual;
mod measuring;
mod permissions;
mod profiles;
mod progress;
mod prompts;
mod pty;
mod record;
mod rendered;
mod screens;
mod shell;
mod sources;
mod status;
mod times;
mod top;
mod topics;
mod trust;
mod values;
mod watch;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::process::{Process, Signal};
use super::support::python::Service;
use super::support::wire::{RawPeer, wait_for_service};

/// A finished command.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) output: String,
    pub(super) errors: String,
}

/// Returns a command that connects to the manager.
pub(super) fn command(manager: &Manager, arguments: &[&str]) -> Command {
    let mut command = manager.home().command(arguments);
    command.envs(manager.environment());
    command
}

pub(super) fn run(command: &mut Command) -> Done {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the program was built");
    Done {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(super) fn labwire(manager: &Manager, arguments: &[&str]) -> Done {
    run(&mut command(manager, arguments))
}

/// Runs a command that must succeed, and returns its output.
pub(super) fn output(manager: &Manager, arguments: &[&str]) -> String {
    let done = labwire(manager, arguments);
    assert_eq!(
        (done.code, &*done.errors),
        (Some(0), ""),
        "{arguments:?}: {done:?}"
    );
    done.output
}

pub(super) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The hours that [`zone`] is ahead of UTC: it is about noon there, so that no time of a test is of another day,
/// which commands show with its date. Never 0.
static HOURS_AHEAD: LazyLock<i8> = LazyLock::new(|| {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    if hour == 12 { -2 } else { 12 - hour }
});

/// Returns a time zone for commands whose output has local times, for the variable `TZ`.
pub(super) fn zone() -> String {
    // POSIX counts the hours behind UTC.
    format!("LAB{}", -*HOURS_AHEAD)
}

/// Returns the time of day in [`zone`] of a time in UTC, as commands show it to people.
pub(super) fn time_in_zone(time: &Value) -> String {
    let time = &time.as_str().unwrap()[11..19];
    let hour: i8 = time[..2].parse().unwrap();
    format!("{:02}{}", (hour + *HOURS_AHEAD).rem_euclid(24), &time[2..])
}

pub(super) fn start() -> Manager {
    Manager::start(&["--disable-tls"])
}

/// Starts a service of the Python package and waits until it has registered.
pub(super) fn service(manager: &Manager, class: &str) -> Service {
    let service = Service::start(class, &manager.connection());
    manager.wait_for_registered(class);
    service
}

#[test]
fn a_manager_that_answers_nothing_is_not_waited_for() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mute = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let question = json!({
            "args": [], "attribute": "identity", "error": false, "kwargs": {},
            "requester": "Manager[h:1]", "uid": "",
        });
        stream.write_all(format!("{question}\r\n").as_bytes()).unwrap();
        // It reads until the command is gone.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let arguments = [
        "services",
        "--disable-tls",
        "--port",
        &port,
        "--connect-timeout",
        "0.3",
    ];
    let done = run(&mut home.command(&arguments));
    assert!(matches!(done.code, Some(3 | 124)), "{done:?}");
    mute.join().unwrap();
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_a_remedy() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    for (arguments, code, text) in [
        (
            &["call", "BasicMath", "add", "@missing"][..],
            1,
            "cannot read missing",
        ),
        (
            &["call", "BasicMath", "add", "x=1", "2"],
            2,
            "values without a key come first",
        ),
        (
            &["call", "BasicMath", "add", "--timeout", "soon"],
            2,
            "a time above 0",
        ),
        (&["call", "BasicMath", "add", "[1, 2"], 2, "is not closed"),
        (&["call", "BasicMath", "add", "--repeat", "0"], 2, "--repeat"),
        (
            &["services", "--host", "localhost:1", "--port", "2"],
            2,
            "two ports",
        ),
        (&["services", "--host", "a:b"], 2, "HOST:PORT"),
        (&["describe", "BasicMat"], 4, "did you mean 'BasicMath'?"),
        (&["call", "basicmath", "add"], 4, "did you mean 'BasicMath'?"),
        (&["call", "Spectrograph", "read"], 4, "labwire services"),
        (&["call", "BasicMath", "ad", "1"], 5, "did you mean 'add'?"),
        (&["call", "BasicMath", "divide", "1", "0"], 5, "ZeroDivisionError"),
        (
            &["services", "--port", &port, "--connect-timeout", "0.2"],
            3,
            &port,
        ),
    ] {
        let done = labwire(&manager, arguments);
        assert_eq!(
            (done.code, &*done.output),
            (Some(code), ""),
            "{arguments:?}: {done:?}"
        );
        assert!(done.errors.contains(text), "{arguments:?}: {done:?}");
    }
    drop(silent);
    let done = labwire(&manager, &["services", "--port", &port]);
    assert_eq!(done.code, Some(3), "{done:?}");
    let secured = Manager::start(&["--disable-tls", "--auth-password", "radium"]);
    let done = run(command(&secured, &["services"]).env("LABWIRE_MANAGER_PASSWORD", "polonium"));
    assert_eq!(done.code, Some(4), "{done:?}");
    let done = labwire(&secured, &["services"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.errors.contains("LABWIRE_MANAGER_PASSWORD"), "{done:?}");
}

#[test]
fn a_call_without_a_reply_ends_at_its_timeout_or_with_ctrl_c() {
    let manager = start();
    let mut silent = RawPeer::service(&manager, "Silent", &json!({}));
    wait_for_service(&manager, "Silent");
    let done = labwire(&manager, &["call", "Silent", "read", "--timeout", "0.2"]);
    assert_eq!(done.code, Some(124), "{done:?}");
    assert_eq!(silent.read_json()["attribute"], "read");
    let mut call = command(&manager, &["call", "Silent", "wait"]);
    let mut waiting = Process::spawn("labwire", &mut call);
    assert_eq!(silent.read_json()["attribute"], "wait");
    waiting.signal(Signal::INT);
    assert_eq!(waiting.wait().code(), Some(130));
    assert!(waiting.everything_printed().contains("may still be executed"));
}

#[test]
fn the_commands_work_with_the_reference_manager_over_tls() {
    let manager = Manager::start_reference(Home::new(), &[]);
    let _math = service(&manager, "BasicMath");
    assert_eq!(output(&manager, &["call", "BasicMath", "add", "1", "2"]), "3\n");
    assert!(output(&manager, &["services"]).contains("BasicMath"));
    assert_eq!(labwire(&manager, &["describe", "BasicMat"]).code, Some(4));
}

#[test]
fn an_administrator_asks_the_manager() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--password", "engine"]);
    home.prepare(&["user", "add", "bob", "--password", "wheel"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let ask = |user: &str, password: &str, arguments: &[&str]| {
        let mut command = command(&manager, &[&["admin"], arguments].concat());
        command.args(["--username", user]);
        run(command.env("LABWIRE_PASSWORD", password))
    };
    let users = ask("ada", "engine", &["users_table.users"]);
    assert_eq!(
        (users.code, &*users.output),
        (Some(0), "[[\"ada\",true],[\"bob\",false]]\n"),
        "{users:?}"
    );
    let port = ask("ada", "engine", &["port", "--json"]);
    assert_eq!(
        json_lines(&port.output),
        [json!({ "attribute": "port", "result": manager.port() })]
    );
    let is_user = ["users_table.is_user_registered", "username=bob"];
    assert_eq!(ask("ada", "engine", &is_user).output, "true\n");
    assert_eq!(ask("bob", "wheel", &["stats"]).code, Some(4));
    for (misspelt, hint) in [
        ("break_lok", "did you mean 'break_lock'?"),
        ("no_such_request", "labwire admin --help"),
    ] {
        let done = ask("ada", "engine", &[misspelt]);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.errors.contains(hint), "{done:?}");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    let home = Home::new();
    for (shell, text) in [
        ("bash", "complete -o nospace"),
        ("zsh", "#compdef labwire"),
        ("fish", "complete --keep-order --exclusive --command labwire"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "labwire"),
    ] {
        let done = run(&mut home.command(&["completions", shell]));
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.output.contains(text), "{shell}: {done:?}");
        // The help says where to put it.
        let help = run(&mut home.command(&["completions", "--help"])).output;
        assert!(help.contains(&format!("labwire completions {shell}")), "{help}");
    }
}
