//! A peer with a session, on a bare socket: it counts positions, breaks its connection, and returns.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::manager::{HOST, Manager};

/// A peer with a session.
pub(super) struct SessionPeer {
    port: u16,
    stream: TcpStream,
    identity: Value,
    /// The username and the password of its login.
    pub(super) login: (&'static str, &'static str),
    /// Bytes that have arrived and are not read yet.
    buffer: Vec<u8>,
    pub(super) secret: String,
    /// Its name on the network.
    pub(super) name: String,
    /// The position up to which it has read.
    pub(super) read: u64,
    /// The position up to which it has sent.
    pub(super) sent: u64,
    /// The keyword argument `session` of the last `registered` or `resumed`.
    pub(super) session: Value,
}

pub(super) fn client_identity(name: &str, session: &Value) -> Value {
    json!({ "type": "client", "name": name, "features": ["sessions", "origin", "cut-through", "leases", "unlinked"], "session": session })
}

pub(super) fn service_identity(name: &str, session: &Value) -> Value {
    json!({
        "type": "service", "name": name, "attributes": {}, "features": ["sessions"], "session": session,
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((HOST, port)).expect("the manager listens");
    stream.set_nodelay(true).unwrap();
    stream
}

impl SessionPeer {
    pub(super) fn client(manager: &Manager, name: &str) -> Self {
        Self::register(manager, client_identity(name, &json!({})))
    }

    pub(super) fn service(manager: &Manager, name: &str, session: &Value) -> Self {
        Self::register(manager, service_identity(name, session))
    }

    pub(super) fn register(manager: &Manager, identity: Value) -> Self {
        Self::register_as(manager, identity, ("ada", "x"))
    }

    /// As [`register`](Self::register), with this username and password if the manager asks for them.
    pub(super) fn register_as(
        manager: &Manager,
        identity: Value,
        login: (&'static str, &'static str),
    ) -> Self {
        let mut peer = Self {
            port: manager.port(),
            stream: connect(manager.port()),
            identity,
            login,
            buffer: Vec::new(),
            secret: String::new(),
            name: String::new(),
            read: 0,
            sent: 0,
            session: Value::Null,
        };
        peer.introduce(&peer.identity.clone());
        let registered = peer.read_json();
        assert_eq!(registered["attribute"], "registered", "{registered}");
        peer.name = text(&registered["args"][0]);
        peer.session = registered["kwargs"]["session"].clone();
        peer.secret = text(&peer.session["secret"]);
        // The frame itself does not count.
        (peer.read, peer.sent) = (0, 0);
        peer
    }

    /// Answers the question for the identity.
    fn introduce(&mut self, identity: &Value) {
        loop {
            let request = self.read_json();
            let answer = match request["attribute"].as_str() {
                Some("username") => json!(self.login.0),
                Some("password") => json!(self.login.1),
                Some("identity") => identity.clone(),
                _ => panic!("{request}"),
            };
            self.send(&json!({ "result": answer }));
            if answer == *identity {
                return;
            }
        }
    }

    /// Returns the connection as one more peer, which is left open.
    pub(super) fn clone_connection(&self) -> Self {
        Self {
            port: self.port,
            stream: self.stream.try_clone().unwrap(),
            identity: self.identity.clone(),
            login: self.login,
            buffer: Vec::new(),
            secret: self.secret.clone(),
            name: self.name.clone(),
            read: self.read,
            sent: self.sent,
            session: self.session.clone(),
        }
    }

    /// Breaks the connection.
    pub(super) fn break_off(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Returns with the secret, having received up to a position. Returns the manager's first frame.
    pub(super) fn try_return(&mut self, received: u64) -> Value {
        let secret = json!({ "secret": self.secret, "received": received });
        self.try_return_as(&secret)
    }

    pub(super) fn try_return_as(&mut self, session: &Value) -> Value {
        let mut identity = self.identity.clone();
        identity["session"] = session.clone();
        self.stream = connect(self.port);
        self.buffer.clear();
        let (read, sent) = (self.read, self.sent);
        self.introduce(&identity);
        let answer = self.read_json();
        // The handshake does not count.
        (self.read, self.sent) = (read, sent);
        answer
    }

    /// Returns with the secret, having received all that it has read.
    pub(super) fn come_back(&mut self) {
        let read = self.read;
        self.come_back_at(read);
    }

    /// Returns with the secret, having received up to a position.
    pub(super) fn come_back_at(&mut self, received: u64) {
        let resumed = self.try_return(received);
        assert_eq!(resumed["attribute"], "resumed", "{resumed}");
        assert_eq!(resumed["args"], json!([self.name]));
        self.session = resumed["kwargs"]["session"].clone();
        self.sent = self.session["received"].as_u64().unwrap();
        self.read = self.session["from"].as_u64().unwrap();
    }

    pub(super) fn send(&mut self, frame: &Value) {
        self.send_bytes(format!("{frame}\r\n").as_bytes());
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        self.stream.write_all(bytes).expect("the manager reads");
    }

    /// Confirms all that was read.
    pub(super) fn confirm(&mut self) {
        let line = format!("{{\"received\":{}}}\r\n", self.read);
        self.send_bytes(line.as_bytes());
    }

    fn fill(&mut self, until: Instant) -> usize {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut bytes = vec![0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                count
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => usize::MAX,
            Err(error) => panic!("nothing from the manager: {error}"),
        }
    }

    /// Reads a number of bytes, also in the middle of a line.
    pub(super) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        while self.buffer.len() < count {
            assert_ne!(self.fill(deadline), 0, "the manager closed the connection");
        }
        self.read += count as u64;
        self.buffer.drain(..count).collect()
    }

    pub(super) fn read_line(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return self.read_bytes(end + 1);
            }
            assert_ne!(self.fill(deadline), 0, "the manager closed the connection");
        }
    }

    pub(super) fn read_json(&mut self) -> Value {
        let line = self.read_line();
        serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error} in the line {}", String::from_utf8_lossy(&line)))
    }

    /// Reads the next line that is not a confirmation.
    pub(super) fn read_frame(&mut self) -> Value {
        loop {
            let frame = self.read_json();
            if frame["attribute"] != "received" {
                return frame;
            }
        }
    }

    /// Waits until the manager closes the connection.
    pub(super) fn expect_closed(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut rest = [0; 1024];
        while let Ok(count) = self.stream.read(&mut rest) {
            if count == 0 {
                return;
            }
            assert!(Instant::now() < deadline);
        }
    }

    /// Sends a request and reads its reply.
    pub(super) fn request(&mut self, request: &Value) -> Value {
        self.send(request);
        self.read_json()
    }

    /// Answers the next request with a result.
    pub(super) fn answer(&mut self, result: &Value) -> Value {
        let asked = self.read_frame();
        self.send(&reply(&asked, result));
        asked
    }
}

/// Returns the reply to a request.
pub(super) fn reply(asked: &Value, result: &Value) -> Value {
    json!({ "error": false, "requester": asked["requester"], "result": result, "uid": asked["uid"] })
}

/// Returns a request.
pub(super) fn call(service: &str, uid: &str) -> Value {
    json!({ "args": [], "attribute": "read", "error": false, "kwargs": {}, "service": service, "uid": uid })
}

/// Returns a request to the manager about a service.
pub(super) fn about(attribute: &str, service: &str) -> Value {
    json!({
        "args": [service], "attribute": attribute, "error": false, "kwargs": {}, "service": "Manager", "uid": attribute,
    })
}
