//! Other computers: which of them are served, and their names. A slow name server delays no peer,
//! and a false name is not accepted.
//!
//! The manager runs in a network of its own with a name server of its own. It accepts connections
//! there from addresses of the range 203.0.113.0/24, which is reserved for documentation and
//! belongs to no computer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::network::{apart, inside};
use super::support::{control_failed_as_expected, expect_no_panic};
use crate::support::manager::{Home, Manager};
use crate::support::process::Process;
use crate::support::python;
use crate::support::{DEADLINE, POLL_INTERVAL};

/// The manager's timeout for a name, and what two busy cores may add until twenty peers can
/// continue.
const BOUND: Duration = Duration::from_secs(8);

/// Maximum latency of a bystander on two busy cores. The name server takes three seconds.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// A manager and the name server that it uses.
struct Place {
    // Declared first: the manager ends before the name server.
    manager: Manager,
    _name_server: Process,
}

impl Place {
    /// Starts `labwire` with these options; `None` where network namespaces are not available.
    fn start(home: Home, options: &[&str]) -> Option<Self> {
        let mut command = home.command(&["start", "--port", "0", "--disable-tls"]);
        command.args(options);
        let mut command = with_own_names(&home, &command)?;
        Some(Self::around(Manager::start_command(home, &mut command)))
    }

    /// Starts the Python package's manager with these options; `None` where network namespaces are
    /// not available.
    fn start_reference(options: &[&str]) -> Option<Self> {
        const PORT: u16 = 1_875;
        let home = Home::new();
        let options = [&["--disable-tls"], options].concat();
        // In a network namespace every port is free.
        let command = python::manager_command(&home.path(""), PORT, &options);
        let mut command = with_own_names(&home, &command)?;
        Some(Self::around(Manager::start_reference_command(home, &mut command)))
    }

    fn around(manager: Manager) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/name_server.py");
        let script = script.to_str().expect("the sources have a printable path");
        let name_server = Process::spawn("the name server", &mut inside(&manager, &["python3", script]));
        name_server.wait_for("ready", |line| (line == "ready").then_some(()));
        Self {
            manager,
            _name_server: name_server,
        }
    }

    /// Connects from an address.
    fn connect_from(&self, address: &str) -> Process {
        let port = self.manager.port().to_string();
        Process::spawn(
            "nc",
            &mut inside(&self.manager, &["nc", "-s", address, "127.0.0.1", &port]),
        )
    }

    /// Connects from twenty computers whose names come slowly, while a bystander requests the
    /// identity. Returns the longest latency of the bystander, and the time until all of the twenty
    /// were asked for their identity.
    fn twenty_with_slow_names(&self) -> (Duration, Duration) {
        let mut bystander = self.connect_from("127.0.0.1");
        bystander.type_line("client bystander");
        self.manager.wait_for_log("bystander[");
        let connected = Instant::now();
        let slow: Vec<_> = (101..=120)
            .map(|host| self.connect_from(&format!("203.0.113.{host}")))
            .collect();
        let (mut longest, mut seen) = (Duration::ZERO, 0);
        while slow.iter().any(|peer| peer.output().is_empty()) {
            assert!(
                connected.elapsed() < DEADLINE,
                "they are never asked who they are"
            );
            let asked = Instant::now();
            seen = ask_for_identity(&mut bystander, seen);
            longest = longest.max(asked.elapsed());
            std::thread::sleep(POLL_INTERVAL);
        }
        (longest, connected.elapsed())
    }
}

/// Requests the manager's identity and waits for it, among the lines from that number on. Returns
/// the next number.
fn ask_for_identity(peer: &mut Process, seen: usize) -> usize {
    peer.type_line("identity");
    let is_answer = |line: &str| line.contains("services").then_some(());
    peer.wait_for_line_after(seen, "the identity", is_answer).0
}

/// Returns the command in a network where the test's own server answers names.
fn with_own_names(home: &Home, command: &Command) -> Option<Command> {
    fs::write(home.path("resolv.conf"), "nameserver 127.0.0.1\n").expect("the folder can be written");
    fs::write(home.path("nsswitch.conf"), "hosts: dns\n").expect("the folder can be written");
    let (server, order) = (home.argument("resolv.conf"), home.argument("nsswitch.conf"));
    let preparation = format!(
        "ip route add local 203.0.113.0/24 dev lo; mount --bind '{server}' /etc/resolv.conf; \
         [ ! -e /etc/nsswitch.conf ] || mount --bind '{order}' /etc/nsswitch.conf;"
    );
    apart(&preparation, command)
}

/// Twenty computers connect whose names take three seconds each: they are called by their
/// addresses, and delay no other peer.
#[test]
fn a_slow_name_server_keeps_nobody_waiting() {
    let Some(place) = Place::start(Home::new(), &["--open", "--log-level", "debug"]) else {
        return;
    };
    let (longest, all) = place.twenty_with_slow_names();
    assert!(longest < LONGEST_WAIT, "a bystander waited for {longest:?}");
    assert!(all < BOUND, "the last one waited for {all:?}");
    for host in 101..=120 {
        place
            .manager
            .wait_for_log(&format!("new connection request from 203.0.113.{host}:"));
    }
    expect_no_panic(&place.manager);
}

#[test]
fn the_reference_keeps_everyone_waiting_for_a_slow_name_server() {
    let Some(place) = Place::start_reference(&[]) else {
        return;
    };
    let mut bystander = place.connect_from("127.0.0.1");
    bystander.type_line("client bystander");
    place.manager.wait_for_log("is a new Client connection");
    let _slow = place.connect_from("203.0.113.101");
    let (deadline, mut seen) = (Instant::now() + DEADLINE, 0);
    let waited = loop {
        assert!(Instant::now() < deadline, "nobody waits");
        let asked = Instant::now();
        seen = ask_for_identity(&mut bystander, seen);
        if asked.elapsed() > LONGEST_WAIT {
            break asked.elapsed();
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    let waited = waited.as_secs_f64();
    control_failed_as_expected(&format!("one slow name kept everybody waiting for {waited:.1} s"));
}

/// The owner of an address may give it any name, so a name counts only if it resolves back to the
/// address, and the name of the manager's own computer never counts.
#[test]
fn a_name_is_believed_only_if_it_leads_back() {
    let home = Home::new();
    home.prepare(&["hostname", "insert", "pc.lab.example"]);
    let Some(place) = Place::start(home, &["--auth-hostname"]) else {
        return;
    };
    let told = |address: &str| {
        let peer = place.connect_from(address);
        peer.wait_for("what it is told", |line| Some(line.to_owned()))
    };
    for liar in ["203.0.113.9", "203.0.113.7"] {
        let line = told(liar);
        assert!(line.contains("is not a trusted hostname"), "{liar}: {line}");
    }
    for honest in ["203.0.113.8", "127.0.0.1"] {
        let line = told(honest);
        assert!(line.contains(r#""attribute":"identity""#), "{honest}: {line}");
    }
    expect_no_panic(&place.manager);
}

#[test]
fn the_reference_takes_any_localhost_for_its_own_computer() {
    let Some(place) = Place::start_reference(&["--auth-hostname"]) else {
        return;
    };
    let peer = place.connect_from("203.0.113.9");
    peer.wait_for("the request for an identity", |line| {
        line.contains("identity").then_some(())
    });
    control_failed_as_expected("localhost.evil.example is trusted as localhost");
}

/// Without authentication only the manager's own computer is served, and opening the manager to
/// others logs a clear warning.
#[test]
fn without_authentication_other_computers_are_not_served_unless_the_operator_is_told_loudly() {
    let Some(place) = Place::start(Home::new(), &[]) else {
        return;
    };
    place
        .manager
        .wait_for_log("not using authentication, serving this computer only");
    let told = |place: &Place| {
        let peer = place.connect_from("203.0.113.8");
        peer.wait_for("what it is told", |line| Some(line.to_owned()))
    };
    let refused = told(&place);
    assert!(refused.contains("serves its own computer only"), "{refused}");

    let place = Place::start(Home::new(), &["--open"]).expect("it was possible before");
    let line = place.manager.wait_for_log("EVERYONE who can reach this computer");
    assert!(line.contains("[WARN"), "{line}");
    let asked = told(&place);
    assert!(asked.contains(r#""attribute":"identity""#), "{asked}");
}

#[test]
fn the_reference_serves_other_computers_without_authentication() {
    let Some(place) = Place::start_reference(&[]) else {
        return;
    };
    let peer = place.connect_from("203.0.113.8");
    peer.wait_for("the request for an identity", |line| {
        line.contains("identity").then_some(())
    });
    control_failed_as_expected("another computer is served without authentication, by default");
}
