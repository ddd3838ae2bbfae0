//! The commands for people who use a manager, in both forms of their output, with the exit code for
//! each kind of failure.

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
mod manual;
mod measuring;
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
mod watch;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
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

/// A time zone for commands whose output has local times: two hours ahead of UTC.
pub(super) const ZONE: &str = "LAB-2";

/// Returns the time of day in [`ZONE`] of a time in UTC, as commands show it to people.
pub(super) fn time_in_zone(time: &Value) -> String {
    let time = &time.as_str().unwrap()[11..19];
    let hour: u8 = time[..2].parse().unwrap();
    format!("{:02}{}", (hour + 2) % 24, &time[2..])
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
fn services_are_listed_and_described_in_both_forms() {
    let manager = start();
    let done = labwire(&manager, &["services"]);
    assert_eq!((done.code, &*done.output), (Some(0), ""));
    assert!(done.errors.contains("no services are connected"), "{done:?}");
    let _math = service(&manager, "BasicMath");
    let _echo = service(&manager, "Echo");
    let listed = output(&manager, &["services"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[0].starts_with("NAME ") && lines[1].starts_with("BasicMath "),
        "{listed}"
    );
    assert!(lines[2].starts_with("Echo ") && lines.len() == 3, "{listed}");

    assert_eq!(output(&manager, &["list"]), listed);
    assert!(output(&manager, &["stats"]).contains("\nBasicMath "));

    let listed = json_lines(&output(&manager, &["services", "b*", "--json"]));
    assert_eq!(listed.len(), 1);
    let limit = &listed[0]["max_clients"];
    assert_eq!((&listed[0]["name"], limit), (&json!("BasicMath"), &Value::Null));
    assert!(
        listed[0]["attributes"]
            .as_array()
            .unwrap()
            .contains(&json!("add"))
    );
    let described = output(&manager, &["describe", "BasicMath"]);
    assert!(described.starts_with("BasicMath\nPython "), "{described}");
    assert!(described.contains("\n  add(x: Union[int, float]"), "{described}");
    assert!(described.contains("\n  pi = 3.14159"), "{described}");
    let described = json_lines(&output(&manager, &["describe", "BasicMath", "--json"]));
    let attributes = described[0]["attributes"].as_array().unwrap();
    let pi = attributes
        .iter()
        .find(|attribute| attribute["name"] == "pi")
        .unwrap();
    assert_eq!(
        (&pi["signature"], &pi["value"]),
        (&Value::Null, &json!(std::f64::consts::PI))
    );
}

#[test]
fn the_manager_is_described_by_the_requests_that_it_answers() {
    let home = Home::new();
    home.prepare(&["user", "add", "ada", "--admin", "--compatible", "--password", "x"]);
    let manager = Manager::start_in(home, &["--disable-tls"]);
    let described = output(&manager, &["describe", "Manager"]);
    assert!(described.starts_with("Manager\nLabwire "), "{described}");
    assert!(
        described.lines().all(|line| line.chars().count() <= 80),
        "{described}"
    );
    let objects = json_lines(&output(&manager, &["describe", "Manager", "--json"]));
    let requests = objects[0]["attributes"].as_array().unwrap();
    let mut client = RawPeer::client(&manager, "Ada");
    for request in requests {
        let name = request["name"].as_str().unwrap();
        assert!(described.contains(&format!("\n  {name} ")), "{described}");
        if name == "shutdown_manager" {
            continue;
        }
        let asked = json!({"service": "Manager", "attribute": name, "uid": "1"});
        if request["administrator"] == false {
            let message = client.request(&asked)["message"].to_string();
            assert!(!message.contains("AttributeError"), "{message}");
            continue;
        }
        let mut asked = command(&manager, &["admin", name]);
        asked.env("LABWIRE_USERNAME", "ada").env("LABWIRE_PASSWORD", "x");
        let done = run(&mut asked);
        assert!(!done.errors.contains("has no attribute"), "{name}: {done:?}");
    }
    let mut shell = command(&manager, &["shell"]);
    let mut shell = Process::spawn("labwire shell", &mut shell);
    shell.type_line("describe Manager");
    shell.close_input();
    assert_eq!(shell.wait().code(), Some(0), "{}", shell.everything_printed());
    assert_eq!(shell.output(), described);
    let reference = Manager::start_reference(Home::new(), &[]);
    let described = output(&reference, &["describe", "Manager"]);
    assert!(
        described.contains("acquire_lock") && !described.contains("publish"),
        "{described}"
    );
}

#[test]
fn a_service_cannot_send_commands_to_the_terminal() {
    let manager = start();
    let attributes = json!({ "on": "(\u{1b}[31mcolour: str)" });
    let _lamp = RawPeer::service(&manager, "Lamp", &attributes);
    wait_for_service(&manager, "Lamp");
    let described = output(&manager, &["describe", "Lamp"]);
    assert!(described.contains("(\u{fffd}[31mcolour: str)"), "{described:?}");
}

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
fn a_method_named_describe_is_called_only_if_it_documents_the_service() {
    let manager = start();
    let mut arm = RawPeer::service(&manager, "Arm", &json!({ "describe": "()" }));
    wait_for_service(&manager, "Arm");
    let described = output(&manager, &["describe", "Arm"]);
    assert!(
        described.contains("describe()") && described.contains("(it sends no documentation; "),
        "{described}"
    );
    assert!(arm.read_for(Duration::from_millis(200)).is_empty());
    let attributes = json!({ "describe": "() -> dict", "read": "() -> float" });
    let mut probe = RawPeer::service(&manager, "Probe", &attributes);
    wait_for_service(&manager, "Probe");
    let mut describing = command(&manager, &["describe", "Probe"]);
    let child = describing.stdout(Stdio::piped()).spawn().unwrap();
    let request = probe.read_json();
    let documentation =
        json!({ "description": "A probe.", "attributes": { "read": { "description": "Reads." } } });
    let reply = json!({
        "error": false, "requester": request["requester"], "result": documentation, "uid": request["uid"],
    });
    probe.send_line(&reply.to_string());
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(printed.contains("\nA probe.\n"), "{printed}");
    assert!(printed.contains("read() -> float\n      Reads."), "{printed}");
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
fn calls_are_repeated_at_the_given_pace() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let begun = Instant::now();
    let call = ["call", "BasicMath", "add", "1", "2"];
    let pace = ["--repeat", "3", "--every", "0.2s"];
    assert_eq!(output(&manager, &[&call[..], &pace].concat()), "3\n3\n3\n");
    assert!(begun.elapsed() >= Duration::from_millis(400));
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
fn a_profile_names_a_manager_and_options_go_before_it() {
    let manager = start();
    let _math = service(&manager, "BasicMath");
    let home = manager.home();
    let address = format!("localhost:{}", manager.port());
    let without_environment = |arguments: &[&str]| run(&mut home.command(arguments));
    let done = |arguments: &[&str]| {
        let done = without_environment(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.output
    };
    fs::write(home.path("config.toml"), "# Ada's\n").unwrap();
    done(&["profile", "add", "lab", "--host", &address, "--disable-tls"]);
    done(&[
        "profile",
        "add",
        "away",
        "--host",
        "192.0.2.1",
        "--cert-file",
        "away.pem",
    ]);
    assert_eq!(
        done(&["services", "--profile", "lab", "--json"]).lines().count(),
        1
    );
    done(&["profile", "default", "lab"]);
    assert_eq!(done(&["call", "BasicMath", "add", "1", "2"]), "3\n");
    let shown = done(&["profile", "show", "lab"]);
    let expected =
        format!("lab, the default profile\n  host             {address}\n  disable-tls      true\n");
    assert_eq!(shown, expected);
    let unknown = without_environment(&["profile", "show", "lap"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.errors.contains("did you mean 'lab'?"), "{unknown:?}");
    let listed = json_lines(&done(&["profile", "list", "--json"]));
    let shown = json_lines(&done(&["profile", "show", "lab", "--json"]));
    assert_eq!(shown, [listed[1].clone()]);
    let lab = json!({ "name": "lab", "default": true, "host": address, "disable-tls": true });
    assert_eq!(listed[1], lab);
    assert_eq!(listed[0]["cert-file"], json!(home.path("away.pem")));
    let listed = done(&["profile", "list"]);
    assert!(
        listed.contains(&format!("--host {address} --disable-tls")),
        "{listed}"
    );
    let text = fs::read_to_string(home.path("config.toml")).unwrap();
    assert!(text.contains("# Ada's"), "{text}");
    let replaced = done(&["profile", "add", "away", "--host", "192.0.2.2"]);
    assert!(
        replaced.contains("'away' is replaced") && replaced.contains("192.0.2.1"),
        "{replaced}"
    );
    assert!(done(&["profile", "add", "other", "--host", "192.0.2.3"]).contains("'other' is added"));
    for host in ["http://lab-pc:1875", "lab pc", ""] {
        let wrong = without_environment(&["profile", "add", "odd", "--host", host]);
        assert_eq!(wrong.code, Some(2), "{host}: {wrong:?}");
        assert!(wrong.errors.contains("HOST:PORT"), "{host}: {wrong:?}");
    }
    let url = run(home
        .command(&["services"])
        .env("LABWIRE_MANAGER", "http://lab-pc:1875"));
    assert_eq!(url.code, Some(2), "{url:?}");
    assert!(
        url.errors.contains("LABWIRE_MANAGER") && url.errors.contains("no URL"),
        "{url:?}"
    );
    let unset = done(&["profile", "default", "--unset"]);
    assert!(
        unset.contains("'lab' is not the default profile any more"),
        "{unset}"
    );
    let listed = json_lines(&done(&["profile", "list", "--json"]));
    assert!(
        listed.iter().all(|profile| profile["default"] == false),
        "{listed:?}"
    );
    done(&["profile", "default", "lab"]);
    let misspelt = without_environment(&["services", "--profile", "lba"]);
    assert_eq!(misspelt.code, Some(2));
    assert!(misspelt.errors.contains("did you mean 'lab'?"), "{misspelt:?}");
    let two_ports = ["profile", "add", "odd", "--host", "a:1", "--port", "2"];
    assert_eq!(without_environment(&two_ports).code, Some(2));
    let refused = without_environment(&["services", "--host", "localhost:1", "--disable-tls"]);
    assert_eq!(refused.code, Some(3), "an option goes before the default profile");
    done(&["profile", "remove", "lab"]);
    assert!(!done(&["profile", "list"]).contains("lab"));
    fs::write(home.path("config.toml"), "[profiles.x]\nhots = 'a'\n").unwrap();
    let wrong = without_environment(&["services"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.errors.contains("'hots'") && wrong.errors.contains("did you mean 'host'?"),
        "{wrong:?}"
    );
    fs::write(home.path("config.toml"), "[profile.x]\nhost = 'a'\n").unwrap();
    let wrong = without_environment(&["services"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.errors.contains("did you mean 'profiles'?"), "{wrong:?}");
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

#[test]
fn the_port_of_start_is_not_taken_for_that_of_a_command() {
    // An address of this computer at which nobody listens.
    let done = run(Home::new()
        .command(&["services"])
        .env("LABWIRE_MANAGER", "127.187.51.9")
        .env("LABWIRE_PORT", "8326"));
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.errors.contains("LABWIRE_PORT is for labwire start only"),
        "{done:?}"
    );
}
