//! Support for hostile peers: sockets that are reset, floods, and a view of the manager's process.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::manager::{HOST, Home, Manager};
use crate::support::waiting::wait_until;
use crate::support::wire::{identity_request, request, wait_for_service};
use crate::support::{DEADLINE, POLL_INTERVAL};

/// The administrator of every manager that has one.
pub(crate) const ADMINISTRATOR: &str = "m.curie";
/// Her password.
pub(crate) const PASSWORD: &str = "radium";

/// Returns a folder whose database has one administrator. Her password has few rounds, since the
/// hashing is not under test.
pub(crate) fn home_with_administrator() -> Home {
    let home = Home::new();
    home.prepare(&[
        "user",
        "add",
        ADMINISTRATOR,
        "--admin",
        "--compatible",
        "--password",
        PASSWORD,
    ]);
    home
}

/// Starts a manager without TLS and authentication, which has an administrator.
pub(crate) fn start() -> Manager {
    Manager::start_in(home_with_administrator(), &["--disable-tls"])
}

/// Starts the Python package's manager, without TLS and authentication, as a control.
pub(crate) fn start_reference() -> Manager {
    start_reference_in(Home::new(), &[])
}

/// Like [`start_reference`], with these further arguments, on the files in `home`.
pub(crate) fn start_reference_in(home: Home, arguments: &[&str]) -> Manager {
    let arguments = [&["--disable-tls"], arguments].concat();
    Manager::start_reference(home, &arguments)
}

/// Prints that the Python package's manager fails where Labwire does not, which shows that the
/// check can fail.
pub(crate) fn control_failed_as_expected(what: &str) {
    println!("control failed as expected: {what}");
}

/// A peer that can violate the protocol.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Connects, and sends nothing yet.
    pub(crate) fn connect(manager: &Manager) -> Self {
        let stream = TcpStream::connect((HOST, manager.port())).expect("the manager listens");
        Self::over(stream)
    }

    /// Connects from one of this computer's many loopback addresses.
    pub(crate) fn connect_from(manager: &Manager, address: IpAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        let own = SocketAddr::new(address, 0);
        socket
            .bind(&own.into())
            .expect("every loopback address is this computer's");
        let manager = SocketAddr::from(([127, 0, 0, 1], manager.port()));
        socket.connect(&manager.into()).expect("the manager listens");
        Self::over(socket.into())
    }

    /// Wraps an open connection, on which nothing was sent yet.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket takes options");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a socket takes options");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Connects to a manager without authentication and identifies as a client. The manager knows
    /// it when this returns.
    pub(crate) fn client(manager: &Manager, name: &str) -> Self {
        let mut peer = Self::connect(manager);
        peer.identify(&json!({ "type": "client", "name": name }));
        peer.settle();
        peer
    }

    /// Connects to a manager without authentication and identifies as a service. The manager knows
    /// it when this returns.
    pub(crate) fn service(manager: &Manager, name: &str, max_clients: i64) -> Self {
        let peer = Self::unannounced_service(manager, name, max_clients);
        wait_for_service(manager, name);
        peer
    }

    /// Like [`Self::service`], without waiting until the manager knows it.
    pub(crate) fn unannounced_service(manager: &Manager, name: &str, max_clients: i64) -> Self {
        let mut peer = Self::connect(manager);
        peer.identify(&json!({
            "type": "service", "name": name, "attributes": {}, "max_clients": max_clients,
        }));
        peer
    }

    /// Answers the manager's request for an identity.
    pub(crate) fn identify(&mut self, identity: &Value) {
        self.expect_request("identity");
        self.send_line(json!({ "result": identity }).to_string());
    }

    /// Expects a request of the manager with this attribute, and returns the argument of that
    /// request.
    pub(crate) fn expect_request(&mut self, attribute: &str) -> Value {
        let request = self.frame();
        assert_eq!(request["attribute"], attribute, "{request}");
        request["args"][0].clone()
    }

    /// Answers the manager's questions for a login.
    pub(crate) fn log_in(&mut self, username: &str, password: &str) {
        self.expect_request("username");
        self.send_line(json!({ "result": username }).to_string());
        self.expect_request("password");
        self.send_line(json!({ "result": password }).to_string());
    }

    /// Sends bytes and the end of a line.
    pub(crate) fn send_line(&mut self, line: impl AsRef<[u8]>) {
        self.send_bytes(&[line.as_ref(), b"\r\n"].concat());
    }

    /// Sends bytes unchanged.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the manager reads");
    }

    /// Sends bytes to a manager that may have closed the connection. Returns whether they were
    /// accepted.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Returns the next line, or `None` if the connection was closed.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.line_until(Instant::now() + DEADLINE)
            .expect("the manager answers or closes the connection")
    }

    /// Returns the next line, `None` if the connection was closed first, or an error if neither
    /// happened in time.
    pub(crate) fn line_until(&mut self, deadline: Instant) -> Result<Option<String>, TooLate> {
        let mut chunk = vec![0; 64 * 1024];
        let mut searched = 0;
        loop {
            if let Some(end) = self.received[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.received.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                let line = String::from_utf8(line).expect("the manager writes UTF-8");
                return Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()));
            }
            searched = self.received.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TooLate);
            }
            self.stream
                .set_read_timeout(Some(left))
                .expect("a socket takes options");
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "the last line was cut");
                    return Ok(None);
                }
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                // For example when the process is stopped for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(TooLate);
                }
                Err(error) => panic!("reading failed: {error}"),
            }
        }
    }

    /// Returns the next frame.
    pub(crate) fn frame(&mut self) -> Value {
        let line = self.line().expect("the connection is open");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the line {line}"))
    }

    /// Returns the message of the next frame, which must be an error; `None` if the connection was
    /// closed instead.
    pub(crate) fn error_or_close(&mut self) -> Option<String> {
        let line = self.line()?;
        let frame: Value = serde_json::from_str(&line).expect("the manager writes JSON");
        assert_eq!(frame["error"], true, "{frame}");
        Some(
            frame["message"]
                .as_str()
                .expect("an error has a message")
                .to_owned(),
        )
    }

    /// Expects one error frame and then the end of the connection. Returns the error's message.
    pub(crate) fn expect_rejection(&mut self) -> String {
        let message = self
            .error_or_close()
            .expect("a reason comes before the connection is closed");
        self.expect_closed();
        message
    }

    /// Expects that the manager sends nothing more and closes the connection.
    pub(crate) fn expect_closed(&mut self) {
        let line = self.line();
        assert_eq!(line, None, "the connection should be closed");
    }

    /// Sends a request and returns the next frame.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send_line(request.to_string());
        self.frame()
    }

    /// Sends a line and returns the next frame.
    pub(crate) fn ask_line(&mut self, line: &str) -> Value {
        self.send_line(line);
        self.frame()
    }

    /// Sends a request to the manager and returns the next frame.
    pub(crate) fn ask_manager(&mut self, attribute: &str, args: Value) -> Value {
        self.ask(&manager_request(attribute, args))
    }

    /// Waits until the manager has routed everything that was sent so far, and expects no other
    /// frames. Returns this peer's name on the network.
    pub(crate) fn settle(&mut self) -> String {
        let frame = self.ask(&identity_request());
        assert!(
            frame["result"]["hostname"].is_string(),
            "this should be the manager's identity: {frame}"
        );
        frame["requester"]
            .as_str()
            .expect("a reply names its requester")
            .to_owned()
    }

    /// Sends an `identity` request, and discards the frames before its answer, such as a client's
    /// request that was not refused.
    pub(crate) fn settle_or_read(&mut self) {
        self.send_line(identity_request().to_string());
        while self.frame()["result"]["hostname"].is_null() {}
    }

    /// Links with a service and locks it exclusively, as soon as the manager allows it.
    pub(crate) fn link_and_lock(&mut self, service: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let frame = self.ask_manager("link", json!([service]));
            if frame["error"] == false {
                break;
            }
            assert!(Instant::now() < deadline, "never linked: {frame}");
            std::thread::sleep(POLL_INTERVAL);
        }
        let mut lock = manager_request("acquire_lock", json!([service]));
        lock["kwargs"] = json!({ "shared": false });
        let frame = self.ask(&lock);
        assert_eq!(frame["error"], false, "{frame}");
    }

    /// Returns a second handle of the connection, for sending.
    pub(crate) fn try_clone(&self) -> Self {
        Self::over(self.stream.try_clone().expect("a socket can be shared"))
    }

    /// Returns the port of the peer's own end.
    pub(crate) fn port(&self) -> u16 {
        let own = self
            .stream
            .local_addr()
            .expect("a connected socket has an address");
        own.port()
    }

    /// Waits until the system holds bytes that this peer has not read.
    pub(crate) fn wait_for_unread(&self) {
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket takes options");
        let count = self.stream.peek(&mut [0]).expect("the manager answers");
        assert_eq!(count, 1, "the connection was closed");
    }

    /// Closes the sending side; the peer can still read.
    pub(crate) fn end_of_input(&self) {
        self.stream
            .shutdown(std::net::Shutdown::Write)
            .expect("the connection is open");
    }

    /// Ends the connection with a reset instead of a close.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a socket takes options");
    }
}

/// The deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLate;

/// Returns a request to the manager.
pub(crate) fn manager_request(attribute: &str, args: Value) -> Value {
    let mut request = request("Manager", attribute);
    request["args"] = args;
    request
}

/// Returns one of the manager's counters, by an administrator's request.
pub(crate) fn counter(manager: &Manager, name: &str) -> u64 {
    let mut administrator = Peer::client(manager, "administrator");
    administrator.send_line(manager_request("stats", json!([])).to_string());
    administrator.log_in(ADMINISTRATOR, PASSWORD);
    let frame = administrator.frame();
    frame["result"][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no counter {name:?} in {frame}"))
}

/// An administrator who stays logged in: for counters of a manager that accepts no more
/// connections.
pub(crate) struct Administrator(Peer);

impl Administrator {
    /// Logs in to a manager without authentication.
    pub(crate) fn new(manager: &Manager) -> Self {
        let mut peer = Peer::client(manager, "administrator");
        peer.send_line(manager_request("port", json!([])).to_string());
        peer.log_in(ADMINISTRATOR, PASSWORD);
        assert_eq!(peer.frame()["result"], manager.port());
        Self(peer)
    }

    /// Logs in to a manager that requires a login from every peer.
    pub(crate) fn with_login(manager: &Manager) -> Self {
        let mut peer = Peer::connect(manager);
        peer.log_in(ADMINISTRATOR, PASSWORD);
        peer.identify(&json!({ "type": "client", "name": "administrator" }));
        peer.settle();
        Self(peer)
    }

    /// Returns one of the manager's counters.
    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        let frame = self.0.ask_manager("stats", json!([]));
        frame["result"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no counter {name:?} in {frame}"))
    }

    /// Waits until a counter has at least this value.
    pub(crate) fn wait_for_counter(&mut self, name: &str, least: u64) {
        wait_until(&format!("{name} never became {least}"), || {
            self.counter(name) >= least
        });
    }

    /// Sends a request to the manager and returns the next frame.
    pub(crate) fn ask(&mut self, attribute: &str, args: Value) -> Value {
        self.0.ask_manager(attribute, args)
    }
}

/// Expects that the manager has not panicked so far.
pub(crate) fn expect_no_panic(manager: &Manager) {
    let log = manager.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// The process of a manager, as the operating system sees it.
pub(crate) struct Inspected {
    folder: String,
}

impl Inspected {
    /// Finds the process that listens on the manager's port.
    pub(crate) fn new(manager: &Manager) -> Self {
        let sockets = listening_sockets(manager.port());
        let folder = fs::read_dir("/proc")
            .expect("the tests run on Linux")
            .flatten()
            .map(|entry| entry.path().display().to_string())
            .find(|folder| {
                open_files(folder)
                    .iter()
                    .any(|file| sockets.iter().any(|socket| file == socket))
            })
            .expect("the manager's process is there");
        Self { folder }
    }

    /// Returns the number of open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        open_files(&self.folder).len()
    }

    /// Returns the processor time of its threads, to a hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("{}/stat", self.folder)).expect("the manager runs");
        // The name before these fields may contain any characters.
        let fields = stat.rsplit_once(')').expect("Linux says so").1;
        // User and system time, in hundredths of a second.
        let spent = fields.split_whitespace().skip(11).take(2);
        let spent = spent.map(|count| count.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * spent.sum::<u64>())
    }

    /// Returns the peak memory of the process, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("{}/status", self.folder)).expect("the manager runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.expect("Linux says so").trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().expect("a number") * 1024
    }
}

impl Inspected {
    /// Returns the soft and the hard limit of open files.
    pub(crate) fn open_files_limits(&self) -> (String, String) {
        let limits = fs::read_to_string(format!("{}/limits", self.folder)).expect("the manager runs");
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        let mut fields = line.expect("Linux says so").split_whitespace().map(str::to_owned);
        (fields.next().unwrap(), fields.next().unwrap())
    }
}

fn open_files(folder: &str) -> Vec<String> {
    // Processes of other users, and those that have just ended, are not readable.
    let entries = fs::read_dir(format!("{folder}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect()
}

/// Returns the sockets that listen on a port, in the form of a process's open files.
fn listening_sockets(port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, own_port) = fields[1].rsplit_once(':')?;
            let listens = fields[3] == LISTENING && u16::from_str_radix(own_port, 16) == Ok(port);
            listens.then(|| format!("socket:[{}]", fields[9]))
        })
        .collect()
}

/// Repeatedly requests the manager's identity during a test, and measures the latency of the
/// answers.
pub(crate) struct Bystander {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Bystander {
    /// Starts to send requests at a manager without authentication.
    pub(crate) fn start(manager: &Manager) -> Self {
        Self::asking(Peer::client(manager, "bystander"))
    }

    /// Starts to send requests over a client's connection.
    pub(crate) fn asking(mut peer: Peer) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            loop {
                let asked = Instant::now();
                peer.settle();
                longest = longest.max(asked.elapsed());
                // A hundred requests per second.
                if stopped.recv_timeout(POLL_INTERVAL).is_ok() {
                    return longest;
                }
            }
        });
        Self { stop, thread }
    }

    /// Stops, and returns the longest latency.
    pub(crate) fn stop(self) -> Duration {
        self.stop.send(()).expect("the bystander was served all the time");
        self.thread.join().expect("the bystander was served all the time")
    }
}
