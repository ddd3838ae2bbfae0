//! A minimal router: finds the top-level members of each line and forwards the line to its
//! receiver. It has no checks, limits, locks, log or bounds.
//!
//! It is a baseline to compare brokers with, not a product.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use foldhash::{HashMap, HashMapExt as _};
use memchr::{memchr, memmem};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use self::members::Members;
use crate::connection::{Connection, Received};

mod members;

const LISTENER: Token = Token(0);

/// The role of a connection, once it has identified itself.
enum Role {
    Unknown,
    /// A service's name, in quotes, and the clients that listen to it.
    Service(Box<[u8]>, Vec<usize>),
    /// The member with the client's name, which is appended to its requests.
    Client(Box<[u8]>),
}

/// One connection.
struct Peer {
    connection: Option<Connection>,
    role: Role,
    /// Whether it has unsent output.
    is_dirty: bool,
}

/// The bytes before a client's name.
const REQUESTER: &[u8] = b", \"requester\": ";

/// The connections, with their indices by name.
struct Mux {
    peers: Vec<Peer>,
    services: HashMap<Box<[u8]>, usize>,
    clients: HashMap<Box<[u8]>, usize>,
    dirty: Vec<usize>,
}

/// Serves until it is killed. Prints its address on standard output.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener)
}

/// Serves all connections of the listener, without end.
pub(crate) fn serve(mut listener: TcpListener) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut mux = Mux {
        peers: Vec::new(),
        services: HashMap::new(),
        clients: HashMap::new(),
        dirty: Vec::new(),
    };
    let mut events = Events::with_capacity(1_024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                mux.accept(&listener, &poll)?;
                continue;
            }
            let number = event.token().0 - 1;
            if event.is_writable()
                && let Some(connection) = &mut mux.peers[number].connection
            {
                connection.set_writable();
                mux.mark(number);
            }
            if event.is_readable() {
                mux.read(number);
            }
        }
        mux.flush();
    }
}

impl Mux {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        while let Ok((stream, address)) = listener.accept() {
            stream.set_nodelay(true)?;
            let number = self.peers.len();
            let connection = Connection::watch(stream, address, None, poll.registry(), Token(number + 1))?;
            self.peers.push(Peer {
                connection: Some(connection),
                role: Role::Unknown,
                is_dirty: false,
            });
            let question = b"{\"attribute\":\"identity\",\"requester\":\"Manager[mux:1]\",\"uid\":\"\"}\r\n";
            self.send(number, &[question]);
        }
        Ok(())
    }

    fn read(&mut self, number: usize) {
        loop {
            let Some(connection) = &mut self.peers[number].connection else {
                return;
            };
            let Ok(received @ (Received::All | Received::Some)) = connection.receive() else {
                self.forget(number);
                return;
            };
            let mut input = std::mem::take(&mut connection.input);
            let bytes = input.received();
            let (mut taken, mut searched) = (0, input.searched);
            while let Some(offset) = memchr(b'\n', &bytes[taken + searched..]) {
                let end = taken + searched + offset + 1;
                // A line that is not valid is dropped.
                let _ = self.route(number, &bytes[taken..end]);
                (taken, searched) = (end, 0);
            }
            let searched = bytes.len() - taken;
            input.take(taken, searched);
            if let Some(connection) = &mut self.peers[number].connection {
                connection.input = input;
            }
            if received == Received::All {
                return;
            }
        }
    }

    fn forget(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        peer.connection = None;
        match std::mem::replace(&mut peer.role, Role::Unknown) {
            Role::Service(name, _) => drop(self.services.remove(&name)),
            Role::Client(requester) => drop(self.clients.remove(&requester[REQUESTER.len()..])),
            Role::Unknown => {}
        }
    }

    fn mark(&mut self, to: usize) {
        let peer = &mut self.peers[to];
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.dirty.push(to);
        }
    }

    fn send(&mut self, to: usize, pieces: &[&[u8]]) {
        if let Some(connection) = &mut self.peers[to].connection {
            let output = connection.output();
            for piece in pieces {
                output.extend_from_slice(piece);
            }
            self.mark(to);
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            self.peers[number].is_dirty = false;
            if let Some(connection) = &mut self.peers[number].connection
                && connection.flush().is_err()
            {
                self.forget(number);
            }
        }
        self.dirty = dirty;
    }

    fn route(&mut self, from: usize, line: &[u8]) -> Option<()> {
        let members = Members::find(line)?;
        match &self.peers[from].role {
            Role::Unknown => self.introduce(from, &line[members.result]),
            Role::Client(_) => {
                let Some(&to) = self.services.get(&line[members.service.clone()]) else {
                    if &line[members.service] != b"\"Manager\"" {
                        return None;
                    }
                    return self.link(from, &line[members.args], &line[members.uid]);
                };
                let [client, service] = self.peers.get_disjoint_mut([from, to]).ok()?;
                let (Role::Client(requester), Some(connection)) = (&client.role, &mut service.connection)
                else {
                    return None;
                };
                let output = connection.output();
                output.extend_from_slice(&line[..members.end]);
                output.extend_from_slice(requester);
                output.extend_from_slice(b"}\r\n");
                self.mark(to);
                Some(())
            }
            Role::Service(..) => {
                if let Some(&to) = self.clients.get(&line[members.requester]) {
                    self.send(to, &[line]);
                } else if &line[members.uid] == b"\"notification\"" {
                    self.notify(from, line);
                }
                Some(())
            }
        }
    }

    fn notify(&mut self, from: usize, line: &[u8]) {
        let Role::Service(_, linked) = &mut self.peers[from].role else {
            return;
        };
        let linked = std::mem::take(linked);
        for &client in &linked {
            self.send(client, &[line]);
        }
        if let Role::Service(_, empty) = &mut self.peers[from].role {
            *empty = linked;
        }
    }

    fn introduce(&mut self, from: usize, identity: &[u8]) -> Option<()> {
        let name = members::name(identity)?;
        self.peers[from].role = if memmem::find(identity, b"\"service\"").is_some() {
            let Entry::Vacant(place) = self.services.entry(name.into()) else {
                return None;
            };
            place.insert(from);
            Role::Service(name.into(), Vec::new())
        } else {
            let name = [&name[..name.len() - 1], format!("[mux:{from}]\"").as_bytes()].concat();
            let requester = [REQUESTER, &name].concat();
            self.clients.insert(name.into(), from);
            Role::Client(requester.into())
        };
        Some(())
    }

    fn link(&mut self, from: usize, args: &[u8], uid: &[u8]) -> Option<()> {
        let service = args.strip_prefix(b"[")?.strip_suffix(b"]")?;
        let answer: &[u8] = match self.services.get(service) {
            Some(&service) => {
                if let Role::Service(_, linked) = &mut self.peers[service].role {
                    linked.push(from);
                }
                b"{\"error\": false, \"result\": true, \"uid\": "
            }
            None => b"{\"error\": true, \"message\": \"does not exist\", \"uid\": ",
        };
        self.send(from, &[answer, uid, b"}\r\n"]);
        Some(())
    }
}
