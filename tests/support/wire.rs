//! A peer on a bare socket: sends any bytes, and returns the bytes that the manager sends.
//!
//! It shares no code with the manager, so that it cannot hide a mistake in the manager's parsing.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DEADLINE;
use super::manager::{HOST, Manager};
use super::waiting::wait_until;

/// A connection to a manager without TLS.
pub(crate) struct RawPeer {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl RawPeer {
    /// Connects, and sends nothing yet.
    pub(crate) fn connect(manager: &Manager) -> Self {
        let writer = TcpStream::connect((HOST, manager.port())).expect("the manager listens");
        writer.set_nodelay(true).expect("a socket takes options");
        writer
            .set_write_timeout(Some(DEADLINE))
            .expect("a socket takes options");
        let reader = BufReader::new(writer.try_clone().expect("a socket can be shared"));
        Self { reader, writer }
    }

    /// Connects to a manager without authentication and identifies as a client.
    pub(crate) fn client(manager: &Manager, name: &str) -> Self {
        let mut peer = Self::connect(manager);
        peer.identify(&serde_json::json!({ "type": "client", "name": name }));
        peer
    }

    /// Connects to a manager without authentication, identifies as a service, and waits until the
    /// manager knows it.
    pub(crate) fn service(manager: &Manager, name: &str, attributes: &Value) -> Self {
        let mut peer = Self::connect(manager);
        peer.identify(&serde_json::json!({ "type": "service", "name": name, "attributes": attributes }));
        wait_for_service(manager, name);
        peer
    }

    /// Answers the manager's request for an identity.
    pub(crate) fn identify(&mut self, identity: &Value) {
        let request = self.read_json();
        assert_eq!(
            request["attribute"], "identity",
            "the manager asks for something else: {request}"
        );
        self.send_line(&serde_json::json!({ "result": identity }).to_string());
    }

    /// Returns the port of the peer's own end.
    pub(crate) fn port(&self) -> u16 {
        self.writer
            .local_addr()
            .expect("a connected socket has an address")
            .port()
    }

    /// Sends a line with the line end of Python peers.
    pub(crate) fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes());
    }

    /// Sends bytes unchanged.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("the manager reads");
    }

    /// Closes the sending side of the connection.
    pub(crate) fn close_sending_side(&mut self) {
        self.writer
            .shutdown(Shutdown::Write)
            .expect("a connected socket has a sending side");
    }

    /// Returns the next line, without its end.
    pub(crate) fn read_line(&mut self) -> String {
        let line = String::from_utf8(self.read_raw_line()).expect("the manager writes UTF-8");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Returns the next line unchanged, with its end.
    pub(crate) fn read_raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let deadline = Instant::now() + DEADLINE;
        while !line.ends_with(b"\n") {
            self.set_read_deadline(deadline);
            let available = match self.reader.fill_buf() {
                Ok([]) => panic!(
                    "the manager closed the connection after {}",
                    String::from_utf8_lossy(&line)
                ),
                Ok(available) => available,
                // For example when the process is stopped for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no line from the manager: {error}"),
            };
            let taken = available
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(available.len(), |end| end + 1);
            line.extend_from_slice(&available[..taken]);
            self.reader.consume(taken);
        }
        line
    }

    /// Returns the next `count` bytes, whatever they are.
    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let deadline = Instant::now() + DEADLINE;
        let mut filled = 0;
        while filled < count {
            self.set_read_deadline(deadline);
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => panic!("the manager closed the connection after {filled} of {count} bytes"),
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{filled} of {count} bytes from the manager: {error}"),
            }
        }
        bytes
    }

    /// Returns the bytes that arrive within some time.
    pub(crate) fn read_for(&mut self, time: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.set_read_deadline(deadline);
            match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(available) => {
                    bytes.extend_from_slice(available);
                    let count = available.len();
                    self.reader.consume(count);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                    ) => {}
                Err(error) => panic!("nothing from the manager: {error}"),
            }
        }
        bytes
    }

    /// Returns the next line as a JSON value.
    pub(crate) fn read_json(&mut self) -> Value {
        let line = self.read_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the line {line}"))
    }

    /// Sends a request and returns the next line as a JSON value.
    pub(crate) fn request(&mut self, request: &Value) -> Value {
        self.send_line(&request.to_string());
        self.read_json()
    }

    /// Ends the connection in both directions.
    pub(crate) fn break_off(&mut self) {
        // It fails if the manager has ended it.
        let _ = self.writer.shutdown(std::net::Shutdown::Both);
    }

    /// Waits until the manager closes the connection, and expects that it sends nothing more.
    pub(crate) fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "the manager still said {rest}");
    }

    /// Returns what the manager says until it closes the connection.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut rest = Vec::new();
        self.set_read_deadline(Instant::now() + DEADLINE);
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn set_read_deadline(&self, deadline: Instant) {
        // The system takes a time of zero for "no limit", so the shortest one stands for "now".
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        self.writer
            .set_read_timeout(Some(left))
            .expect("a socket takes options");
    }
}

/// Returns a request for the manager's identity.
pub(crate) fn identity_request() -> Value {
    request("Manager", "identity")
}

/// Returns a request without arguments.
pub(crate) fn request(service: &str, attribute: &str) -> Value {
    serde_json::json!({
        "args": [], "attribute": attribute, "error": false, "kwargs": {}, "service": service, "uid": "request",
    })
}

/// Waits until a service is registered, however it connects. The manager must run without TLS and
/// authentication.
pub(crate) fn wait_for_service(manager: &Manager, name: &str) {
    let mut observer = RawPeer::client(manager, "observer");
    wait_until(&format!("the service {name:?} never appeared"), || {
        observer.request(&identity_request())["result"]["services"]
            .get(name)
            .is_some()
    });
    observer.send_line(&request("observer", "__disconnect__").to_string());
    observer.expect_closed();
}

/// Returns the unchanged text of a top-level member of a frame. It need not be JSON: `NaN` is
/// allowed.
pub(crate) fn member<'line>(line: &'line str, name: &str) -> &'line str {
    members(line)
        .into_iter()
        .find_map(|(found, value)| (found == name).then_some(value))
        .unwrap_or_else(|| panic!("no member {name:?} in {line}"))
}

/// Returns the top-level members of a frame, each with the unchanged text of its value.
fn members(line: &str) -> Vec<(&str, &str)> {
    let inner = line
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.unwrap_or_else(|| panic!("not an object: {line}"));
    split_at_top_level(inner, b',')
        .into_iter()
        .map(|member| {
            let parts = split_at_top_level(member, b':');
            let [name, value] = parts[..] else {
                panic!("not a member: {member}")
            };
            (name.trim().trim_matches('"'), value.trim_matches([' ', '\t']))
        })
        .collect()
}

/// Splits JSON text at a separator, except inside strings, arrays and objects.
fn split_at_top_level(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut in_string, mut escaped) =
        (Vec::new(), 0, 0_usize, false, false);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ if byte == separator && depth == 0 => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
