//! A supervisor such as systemd is told what the manager does.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Instant;

use serde_json::json;

use super::support::DEADLINE;
use super::support::manager::{Home, Manager};
use super::support::process::Signal;
use super::support::wire::{RawPeer, identity_request, request};

/// The supervisor's end: the socket on which it is told.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Returns the next message.
    fn heard(&self) -> String {
        let mut buffer = [0; 4_096];
        let length = self
            .0
            .recv(&mut buffer)
            .expect("the manager tells something in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Returns the next message with this line, and the messages before it.
    fn wait_for(&self, line: &str) -> (String, Vec<String>) {
        let (deadline, mut before) = (Instant::now() + DEADLINE, Vec::new());
        loop {
            assert!(Instant::now() < deadline, "not told {line}, but {before:?}");
            let message = self.heard();
            if message.lines().any(|told| told == line) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

#[test]
fn a_supervisor_hears_that_the_manager_is_ready_lives_reloads_and_stops() {
    let home = Home::new();
    let supervisor = Supervisor::new(UnixDatagram::bind(home.path("notify")).unwrap());
    let mut command = home.command(&["start", "--port", "0", "--disable-tls", "--drain", "7"]);
    command
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "100000")
        .env_remove("WATCHDOG_PID");
    let manager = Manager::start_command(home, &mut command);
    let (ready, before) = supervisor.wait_for("READY=1");
    assert!(
        ready.contains("\nSTATUS=Network Manager running on ") && ready.ends_with("(TLS DISABLED)"),
        "{ready}"
    );
    assert!(before.iter().all(|told| told == "WATCHDOG=1"), "{before:?}");
    RawPeer::client(&manager, "Ada").request(&identity_request());

    // A sign of life does not need a peer, and does not end.
    for _ in 0..5 {
        supervisor.wait_for("WATCHDOG=1");
    }

    manager.signal(Signal::HUP);
    let (reloading, _) = supervisor.wait_for("RELOADING=1");
    let since = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap_or_else(|| panic!("{reloading}"));
    assert!(since.parse::<u64>().unwrap() > 0, "{reloading}");
    supervisor.wait_for("READY=1");

    let home = manager.end();
    let (stopping, _) = supervisor.wait_for("STOPPING=1");
    // Seven seconds for the requests in flight, and twenty for the rest.
    assert!(stopping.ends_with("\nEXTEND_TIMEOUT_USEC=27000000"), "{stopping}");
    drop(home);
}

#[test]
fn a_supervisor_with_an_abstract_socket_and_without_a_watchdog_hears_no_signs_of_life() {
    let name = format!("labwire-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let supervisor = Supervisor::new(UnixDatagram::bind_addr(&address).unwrap());
    let home = Home::new();
    let mut command = home.command(&["start", "--port", "0", "--disable-tls"]);
    command
        .env("NOTIFY_SOCKET", format!("@{name}"))
        // Of another process.
        .env("WATCHDOG_USEC", "2000")
        .env("WATCHDOG_PID", "1");
    let manager = Manager::start_command(home, &mut command);
    assert!(supervisor.heard().starts_with("READY=1\n"));
    manager.end();
    assert!(supervisor.heard().starts_with("STOPPING=1\n"));
}

#[test]
fn a_manager_that_stops_does_not_tell_that_it_is_ready_again() {
    let home = Home::new();
    let supervisor = Supervisor::new(UnixDatagram::bind(home.path("notify")).unwrap());
    let mut command = home.command(&["start", "--port", "0", "--disable-tls", "--drain", "1min"]);
    command
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env_remove("WATCHDOG_USEC");
    let mut manager = Manager::start_command(home, &mut command);
    supervisor.wait_for("READY=1");
    let mut service = RawPeer::service(&manager, "Slow", &json!({}));
    let mut client = RawPeer::client(&manager, "Ada");
    client.send_line(&request("Slow", "measure").to_string());
    service.read_json();
    manager.signal(Signal::TERM);
    supervisor.wait_for("STOPPING=1");
    manager.signal(Signal::HUP);
    manager.wait_for_log("opened the log file anew");
    manager.signal(Signal::TERM);
    manager.wait_for_end();
    let told = supervisor
        .0
        .set_nonblocking(true)
        .and_then(|()| supervisor.0.recv(&mut [0; 64]));
    assert!(told.is_err(), "it told something more");
}

#[test]
fn a_supervisor_that_cannot_be_reached_does_not_keep_the_manager_from_serving() {
    for (socket, told) in [
        (
            "/nowhere/notify",
            "cannot tell the supervisor of this process \"READY=1",
        ),
        ("nowhere", "NOTIFY_SOCKET=nowhere: it is neither a path nor"),
    ] {
        let home = Home::new();
        let mut command = home.command(&["start", "--port", "0", "--disable-tls"]);
        command.env("NOTIFY_SOCKET", socket);
        let manager = Manager::start_command(home, &mut command);
        manager.wait_for_log(told);
        RawPeer::client(&manager, "Ada").request(&identity_request());
        manager.end();
    }
}
