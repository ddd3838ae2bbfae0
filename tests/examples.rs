//! Every program of `examples`, in every language, works as documented.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};

use super::support::manager::{Home, Manager};
use super::support::process::Process;
use super::support::ssh_server::{self, Server};
use super::support::wire::{RawPeer, request};
use super::support::{program, python};

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// Starts a program that runs until it is dropped: a service, or an instrument.
fn start(name: &str, manager: &Manager, arguments: &[&str]) -> Process {
    let mut command = program(name);
    Process::spawn(name, command.envs(manager.environment()).args(arguments))
}

/// Starts a service, and waits until it is registered.
fn service(program: &str, name: &str, manager: &Manager, arguments: &[&str]) -> Process {
    let process = start(program, manager, arguments);
    manager.wait_for_registered(name);
    process
}

fn printed(what: &str, output: &Output) -> String {
    let [out, error] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        output.status.success(),
        "{what} ended with {}\n{out}{error}",
        output.status
    );
    out
}

fn run(name: &str, manager: &Manager) -> String {
    let output = program(name).envs(manager.environment()).output().unwrap();
    printed(name, &output)
}

fn run_python(name: &str, manager: &Manager) -> String {
    let mut command = Command::new(python::program("python"));
    command.arg(path("python").join(name)).envs(manager.environment());
    printed(
        name,
        &command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap(),
    )
}

fn run_shell(name: &str, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new("sh")
        .arg(path("shell").join(name))
        .args(arguments)
        .output()
        .unwrap();
    let frames = printed(name, &output);
    frames
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn echo_gives_back_what_it_was_sent() {
    let manager = Manager::start(&[]);
    let _echo = service("echo", "Echo", &manager, &[]);
    assert_eq!(
        run_python("echo_client.py", &manager),
        "['hello', nan] {'x': 1.5}\n"
    );
}

/// Checks the output of six calls that take 1 to 6 s, and returns the printed total time.
fn basic_math(printed: &str) -> f64 {
    let (results, total) = printed.split_once("Total execution time: ").unwrap();
    assert_eq!(
        results.to_lowercase(),
        "1+2= 3\n1-2= -1\n1*2= 2\n1/2= 0.5\nis positive? true\n2**4= 16\n"
    );
    total.trim().trim_end_matches(" seconds").parse().unwrap()
}

/// Runs the program of this name, and returns its output.
type Run = fn(&str, &Manager) -> String;

#[test]
fn slow_calls_overlap_or_follow_each_other_as_the_client_wants() {
    let manager = Manager::start(&[]);
    let _basic_math = service("basic_math", "BasicMath", &manager, &[]);
    let programs: [(Run, &str, f64); 4] = [
        (run, "asynchronous", 6.0),
        (run_python, "asynchronous.py", 6.0),
        (run, "synchronous", 21.0),
        (run_python, "synchronous.py", 21.0),
    ];
    thread::scope(|scope| {
        for (run, name, least) in programs {
            let manager = &manager;
            scope.spawn(move || {
                let seconds = basic_math(&run(name, manager));
                // Sequential calls take 21 s; a shorter time means that they overlapped.
                let most = if least < 21.0 { 21.0 } else { f64::INFINITY };
                assert!((least..most).contains(&seconds), "{name} took {seconds} s");
            });
        }
    });
}

#[test]
fn arrays_are_the_same_in_every_language() {
    let manager = Manager::start(&[]);
    let _my_array = service("my_array", "MyArray", &manager, &[]);
    let expected = "[0.0, 0.25, 0.5, 0.75, 1.0]\n[0.0, 2.5, 5.0, 7.5, 10.0]\n";
    assert_eq!(run("typed_client", &manager), expected);
    assert_eq!(run_python("typed_client.py", &manager), expected);

    let address = format!("localhost:{}", manager.port());
    check_shell(&run_shell("openssl.sh", &[&address, &manager.certificate()]));
}

#[test]
fn an_unmodified_client_reads_and_sends_arrays_with_numpy() {
    let manager = Manager::start(&[]);
    let _camera = service("camera", "Camera", &manager, &[]);
    assert_eq!(
        run_python("camera_client.py", &manager),
        "[[ 0  1  2  3]\n [ 4  5  6  7]\n [ 8  9 10 11]]\nuint16 22\n5.5\n"
    );
}

#[test]
fn a_shell_needs_netcat_alone() {
    let manager = Manager::start(&["--disable-tls"]);
    let _my_array = service("my_array", "MyArray", &manager, &[]);
    check_shell(&run_shell(
        "netcat.sh",
        &["localhost", &manager.port().to_string()],
    ));
}

fn check_shell(frames: &[Value]) {
    assert_eq!(frames[0]["attribute"], "identity");
    let result = |uid: &str| &frames.iter().find(|frame| frame["uid"] == uid).unwrap()["result"];
    assert_eq!(result("1"), &json!([0.0, 0.25, 0.5, 0.75, 1.0]));
    assert_eq!(result("2"), &json!([0.0, 5.0, 10.0]));
}

/// Plays a recorded conversation, one frame a line. Replaces `CLIENT`, `HOST` and `PORT`; `*`
/// matches any value.
fn play(peer: &mut RawPeer, conversation: &str) {
    let mut requester = String::new();
    for line in conversation.lines() {
        let (direction, text) = line.split_at(3);
        if direction == "-> " {
            peer.send_line(&text.replace("CLIENT[HOST:PORT]", &requester));
            continue;
        }
        let mut frame = peer.read_json();
        let mut expected: Value = serde_json::from_str(&text.replace(":*,", ":\"*\",")).unwrap();
        if expected["result"] == "*" {
            expected["result"] = frame["result"].clone();
        }
        let name = frame["requester"].take();
        name.as_str().unwrap().clone_into(&mut requester);
        let (given, wanted) = (&requester, expected["requester"].take());
        let same = wanted.as_str().unwrap().split('[').next() == Some("CLIENT")
            || wanted.as_str().unwrap().split('[').next() == given.split('[').next();
        assert!(same, "{given} instead of {wanted}");
        assert_eq!(frame, expected);
    }
    peer.expect_closed();
}

#[test]
fn the_frames_for_labview_are_those_on_the_wire() {
    let manager = Manager::start(&["--disable-tls"]);
    let _my_array = service("my_array", "MyArray", &manager, &[]);
    let client = fs::read_to_string(path("labview/client.jsonl")).unwrap();
    play(&mut RawPeer::connect(&manager), &client);

    let adder = fs::read_to_string(path("labview/service.jsonl")).unwrap();
    thread::scope(|scope| {
        let manager = &manager;
        scope.spawn(move || play(&mut RawPeer::connect(manager), &adder));
        manager.wait_for_registered("Adder");
        let mut client = RawPeer::client(manager, "Ada");
        let mut add = request("Adder", "add_numbers");
        add["kwargs"] = json!({ "x": 1.2, "y": 3.4 });
        add["uid"] = json!("1");
        assert_eq!(client.request(&add)["result"], 4.6);
    });
}

#[test]
fn a_heartbeat_is_heard_and_reset() {
    let manager = Manager::start(&["--disable-tls"]);
    let _heartbeat = service("heartbeat", "Heartbeat", &manager, &[]);
    let mut nurse = RawPeer::client(&manager, "Nurse");
    let mut faster = request("Heartbeat", "set_heart_rate");
    faster["args"] = json!([10]);
    assert_eq!(nurse.request(&faster)["error"], false);
    for printed in [
        run("watch_heartbeat", &manager),
        run_python("watch_heartbeat.py", &manager),
    ] {
        let (before, after) = printed.split_once("reset\n").unwrap();
        let beats = |text: &str| -> Vec<u64> {
            let numbers = text.lines().map(|line| line.strip_prefix("beat ").unwrap());
            numbers.map(|number| number.parse().unwrap()).collect()
        };
        let (before, after) = (beats(before), beats(after));
        assert!(
            before.len() == 5 && before.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{before:?}"
        );
        // A beat may have been in flight when the counter was reset.
        assert!(after.len() == 3 && after.contains(&0), "{after:?}");
    }
    assert_eq!(nurse.request(&request("Heartbeat", "kill"))["error"], false);
}

/// Runs the multimeter's service on the simulated instrument, with the clients in both languages.
fn multimeter(arguments: &[&str]) {
    const NAME: &str = "Hewlett Packard 34401A";
    let manager = Manager::start(&[]);
    let instrument = start("simulated_multimeter", &manager, arguments);
    let address = instrument.wait_for("where it is", |line| {
        line.strip_prefix("simulated multimeter on ").map(str::to_owned)
    });
    let _service = service("digital_multimeter", NAME, &manager, &[&address]);
    // The instrument repeats its five readings.
    let readings = [
        "1.2500000",
        "1.2500017",
        "1.2499977",
        "1.2500006",
        "1.2499991",
        "1.2500000",
    ];
    let expected = |readings: &[&str]| {
        let lines = readings.join(" V\n");
        format!("LABWIRE,SIMULATED 34401A,0,1.0\n{lines} V\n")
    };
    assert_eq!(run("blocking_script", &manager), expected(&readings[..3]));
    assert_eq!(
        run_python("blocking_script.py", &manager),
        expected(&readings[3..])
    );
}

#[test]
fn a_multimeter_is_read_over_tcp() {
    multimeter(&[]);
}

#[test]
fn a_multimeter_is_read_over_a_serial_port() {
    multimeter(&["--serial"]);
}

#[test]
fn a_service_is_started_and_ended_on_another_computer() {
    let server = Server::start();
    let home = Home::new();
    let folder = home.argument("");
    // The program on the other computer finds its files in that folder.
    let wrapper = server.path("program");
    let remote = program("remote_service");
    let text = format!(
        "#!/bin/sh\nLABWIRE_HOME='{folder}' exec {:?} \"$@\"\n",
        remote.get_program()
    );
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();

    let host_key = server.text("host_key.pub");
    fs::write(
        server.path("known_hosts"),
        format!("[localhost]:{} {host_key}", server.port),
    )
    .unwrap();

    let mut command = program("remote_start");
    let output = command
        .args([
            &format!("{}@localhost", ssh_server::user()),
            wrapper.to_str().unwrap(),
        ])
        .args(["--port", &server.port.to_string()])
        .args(["--key", server.path("user_key").to_str().unwrap()])
        .args(["--known-hosts", server.path("known_hosts").to_str().unwrap()])
        .env("LABWIRE_HOME", &folder)
        .output()
        .unwrap();
    let told = printed("remote_start", &output);
    let (_, told) = told.split_once("@localhost\n").unwrap();
    assert_eq!(
        told,
        "1+2+3+4= 10\n4**2= 16\n5**3= 125\nthe service and its manager have been ended\n"
    );
}
