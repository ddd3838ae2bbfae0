//! Broken TLS connections: half of a handshake, bytes that are not a record, a program that is
//! killed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Inspected, expect_no_panic, manager_request};
use crate::support::manager::{HOST, Home, Manager};
use crate::support::process::Process;
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, request};

/// The real `openssl s_client`, which is killed on drop.
struct TlsPeer {
    process: Process,
    lines_read: usize,
}

impl TlsPeer {
    fn connect(port: u16) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &format!("{HOST}:{port}")]);
        Self {
            process: Process::spawn("openssl s_client", &mut command),
            lines_read: 0,
        }
    }

    fn identified(port: u16, identity: &Value) -> Self {
        let mut peer = Self::connect(port);
        assert_eq!(peer.frame()["attribute"], "identity");
        peer.process.type_line(&json!({ "result": identity }).to_string());
        peer
    }

    fn client(port: u16, name: &str) -> Self {
        Self::identified(port, &json!({ "type": "client", "name": name }))
    }

    fn frame(&mut self) -> Value {
        let (lines_read, frame) = self
            .process
            .wait_for_line_after(self.lines_read, "a frame", |line| {
                serde_json::from_str(line).ok().filter(Value::is_object)
            });
        self.lines_read = lines_read;
        frame
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.process.type_line(&request.to_string());
        self.frame()
    }

    fn link_and_lock(&mut self, service: &str) {
        wait_until("never linked", || {
            self.ask(&manager_request("link", json!([service])))["error"] == false
        });
        let mut lock = manager_request("acquire_lock", json!([service]));
        lock["kwargs"] = json!({ "shared": false });
        assert_eq!(self.ask(&lock)["error"], false);
    }
}

/// Starts a manager with TLS, and a service with a limit of one client.
fn manager_with_service() -> (TlsPeer, Manager) {
    let manager = Manager::start_in(Home::new(), &[]);
    let identity = json!({ "type": "service", "name": "Balance", "attributes": {}, "max_clients": 1 });
    let mut service = TlsPeer::identified(manager.port(), &identity);
    // The answer shows that the manager knows the service.
    assert_eq!(service.ask(&identity_request())["error"], false);
    (service, manager)
}

/// Forwards bytes between one client and a manager, and breaks the stream on request.
struct Relay {
    port: u16,
    break_with: mpsc::Sender<Vec<u8>>,
}

impl Relay {
    fn start(manager: &Manager) -> Self {
        let listener = TcpListener::bind((HOST, 0)).expect("the system has a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let (break_with, broken) = mpsc::channel::<Vec<u8>>();
        let manager_port = manager.port();
        thread::spawn(move || {
            let (near, _) = listener.accept().expect("a client connects");
            let far = TcpStream::connect((HOST, manager_port)).expect("the manager listens");
            let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
            let (near_reader, far_writer) = (clone(&near), clone(&far));
            let (far_reader, near_writer) = (clone(&far), clone(&near));
            thread::spawn(move || pass_on(near_reader, far_writer));
            thread::spawn(move || pass_on(far_reader, near_writer));
            // A closed channel means that the test is over: the streams then end with their last
            // owner.
            if let Ok(bytes) = broken.recv() {
                let mut far = &far;
                let _ = far.write_all(&bytes);
                let _ = broken.recv();
            }
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        });
        Self { port, break_with }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// The program that holds the link and the lock is killed: both are free.
#[test]
fn a_killed_program_leaves_no_link_and_no_lock_behind() {
    let (_service, manager) = manager_with_service();
    let mut client = TlsPeer::client(manager.port(), "victim");
    client.link_and_lock("Balance");
    drop(client);
    TlsPeer::client(manager.port(), "next").link_and_lock("Balance");
    expect_no_panic(&manager);
}

/// Bytes that are not a TLS record, and a forged record, in the middle of a session: the link and
/// the lock are free.
#[test]
fn a_broken_record_leaves_no_link_and_no_lock_behind() {
    let (mut service, manager) = manager_with_service();
    let forged_record = [&[0x17, 3, 3, 0, 32][..], &[0x5a; 32]].concat();
    for bytes in [vec![b'x'; 100], vec![0; 100], vec![0xff; 70_000], forged_record] {
        let relay = Relay::start(&manager);
        let mut client = TlsPeer::client(relay.port, "victim");
        client.link_and_lock("Balance");
        client.process.type_line(&request("Balance", "weigh").to_string());
        assert_eq!(service.frame()["attribute"], "weigh");
        relay.break_with.send(bytes).expect("the relay waits for it");
        TlsPeer::client(manager.port(), "next").link_and_lock("Balance");
    }
    expect_no_panic(&manager);
}

/// Half of a handshake, and bytes that are not a handshake: the connection ends by the timeout at
/// the latest, and its descriptors are closed.
#[test]
fn half_of_a_tls_handshake_ends() {
    let (mut service, manager) = manager_with_service();
    let process = Inspected::new(&manager);
    let before = process.descriptors();
    let connections: Vec<TcpStream> = [
        &b""[..],
        &[0x16],
        // A handshake's record of 512 bytes, of which a few arrive.
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &b"client\r\n"[..],
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 100],
        &[0xff; 100],
    ]
    .into_iter()
    .map(|bytes| {
        let mut stream = TcpStream::connect((HOST, manager.port())).expect("the manager listens");
        stream.write_all(bytes).expect("a few bytes are taken");
        stream
    })
    .collect();
    for mut stream in connections {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket takes options");
        let ended = match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(ended, "the connection is open after 20 s");
    }
    wait_until("descriptors were not given back", || {
        process.descriptors() <= before
    });
    assert_eq!(service.ask(&identity_request())["error"], false);
    expect_no_panic(&manager);
}
