//! A minimal router: it finds the top-level members of each line and moves the line to where they say. No
//! checks, no limits, no locks, no log, no bounds.
//!
//! A floor to compare brokers with, not a product.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

use anyhow::Context as _;
use memchr::{memchr, memchr2};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, Received};

const LISTENER: Token = Token(0);

/// Who a connection is, once it has said so.
#[derive(Clone, Debug)]
enum Peer {
    Unknown,
    Service(Vec<u8>),
    Client(Vec<u8>),
}

/// The connections and who they are.
#[derive(Default)]
struct Mux {
    connections: Vec<Option<Connection>>,
    peers: Vec<Peer>,
    services: HashMap<Vec<u8>, usize>,
    clients: HashMap<Vec<u8>, usize>,
    /// For each service, the clients that listen to it.
    links: HashMap<usize, Vec<usize>>,
    dirty: Vec<usize>,
}

/// The members of a line that say where it goes.
#[derive(Default)]
struct Members {
    service: Option<Range<usize>>,
    uid: Option<Range<usize>>,
    requester: Option<Range<usize>>,
    result: Option<Range<usize>>,
    args: Option<Range<usize>>,
}

/// Serves until it is killed. Tells its address on standard output.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut listener = TcpListener::bind(any)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening on {}", listener.local_addr()?);
    let mut mux = Mux::default();
    let mut events = Events::with_capacity(1_024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, address)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let number = mux.connections.len();
                    let token = Token(number + 1);
                    let connection = Connection::watch(stream, address, None, poll.registry(), token)?;
                    mux.connections.push(Some(connection));
                    mux.peers.push(Peer::Unknown);
                    mux.send(
                        number,
                        &[b"{\"attribute\":\"identity\",\"requester\":\"Manager[mux:1]\",\"uid\":\"\"}\r\n"],
                    );
                }
                continue;
            }
            let number = event.token().0 - 1;
            if event.is_writable()
                && let Some(connection) = &mut mux.connections[number]
            {
                connection.set_writable();
                mux.dirty.push(number);
            }
            if event.is_readable() {
                mux.read(number);
            }
        }
        mux.flush();
    }
}

impl Mux {
    fn read(&mut self, number: usize) {
        loop {
            let Some(connection) = &mut self.connections[number] else {
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
                // A line that is none goes nowhere.
                let _ = self.route(number, &bytes[taken..end]);
                (taken, searched) = (end, 0);
            }
            let searched = bytes.len() - taken;
            input.take(taken, searched);
            if let Some(connection) = &mut self.connections[number] {
                connection.input = input;
            }
            if received == Received::All {
                return;
            }
        }
    }

    fn forget(&mut self, number: usize) {
        self.connections[number] = None;
        match std::mem::replace(&mut self.peers[number], Peer::Unknown) {
            Peer::Service(name) => drop(self.services.remove(&name)),
            Peer::Client(name) => drop(self.clients.remove(&name)),
            Peer::Unknown => {}
        }
    }

    fn send(&mut self, to: usize, pieces: &[&[u8]]) {
        if let Some(connection) = &mut self.connections[to] {
            let output = connection.output();
            for piece in pieces {
                output.extend_from_slice(piece);
            }
            self.dirty.push(to);
        }
    }

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for number in dirty.drain(..) {
            if let Some(connection) = &mut self.connections[number]
                && connection.flush().is_err()
            {
                self.forget(number);
            }
        }
        self.dirty = dirty;
    }

    fn route(&mut self, from: usize, line: &[u8]) -> Option<()> {
        let members = Members::find(line)?;
        let text = |range: &Option<Range<usize>>| Some(&line[range.clone()?]);
        match &self.peers[from] {
            Peer::Unknown => self.introduce(from, text(&members.result)?),
            Peer::Client(name) => {
                let service = text(&members.service)?;
                if service == b"\"Manager\"" {
                    return self.link(from, text(&members.args)?, text(&members.uid)?);
                }
                let &to = self.services.get(service)?;
                let connection = self.connections[to].as_mut()?;
                let end = line.iter().rposition(|byte| *byte == b'}')?;
                let output = connection.output();
                output.extend_from_slice(&line[..end]);
                output.extend_from_slice(b", \"requester\": ");
                output.extend_from_slice(name);
                output.extend_from_slice(b"}\r\n");
                self.dirty.push(to);
                Some(())
            }
            Peer::Service(_) => {
                if text(&members.uid)? == b"\"notification\"" {
                    let linked = self.links.get(&from)?.clone();
                    for client in linked {
                        self.send(client, &[line]);
                    }
                    return Some(());
                }
                let &to = self.clients.get(text(&members.requester)?)?;
                self.send(to, &[line]);
                Some(())
            }
        }
    }

    fn introduce(&mut self, from: usize, identity: &[u8]) -> Option<()> {
        let name = memchr::memmem::find(identity, b"\"name\":").map(|at| &identity[at + 7..])?;
        let name = name.trim_ascii_start();
        let end = 1 + memchr(b'"', name.get(1..)?)?;
        if memchr::memmem::find(identity, b"\"service\"").is_some() {
            let name = name[..=end].to_vec();
            self.services.insert(name.clone(), from);
            self.peers[from] = Peer::Service(name);
        } else {
            let name = [&name[..end], format!("[mux:{from}]\"").as_bytes()].concat();
            self.clients.insert(name.clone(), from);
            self.peers[from] = Peer::Client(name);
        }
        Some(())
    }

    fn link(&mut self, from: usize, args: &[u8], uid: &[u8]) -> Option<()> {
        let service = args.strip_prefix(b"[")?.strip_suffix(b"]")?;
        match self.services.get(service) {
            Some(&service) => {
                self.links.entry(service).or_default().push(from);
                self.send(
                    from,
                    &[b"{\"error\": false, \"result\": true, \"uid\": ", uid, b"}\r\n"],
                );
            }
            None => self.send(
                from,
                &[
                    b"{\"error\": true, \"message\": \"does not exist\", \"uid\": ",
                    uid,
                    b"}\r\n",
                ],
            ),
        }
        Some(())
    }
}

impl Members {
    /// Finds where the members' values stand, without a look at what is inside them.
    fn find(line: &[u8]) -> Option<Self> {
        let mut members = Self::default();
        let mut at = memchr(b'{', line)? + 1;
        loop {
            at += memchr(b'"', &line[at..])? + 1;
            let key_end = at + memchr(b'"', &line[at..])?;
            let key = &line[at..key_end];
            let mut start = key_end + 1 + memchr(b':', &line[key_end + 1..])? + 1;
            while line.get(start)?.is_ascii_whitespace() {
                start += 1;
            }
            let end = skip(line, start)?;
            match key {
                b"service" => members.service = Some(start..end),
                b"uid" => members.uid = Some(start..end),
                b"requester" => members.requester = Some(start..end),
                b"result" => members.result = Some(start..end),
                b"args" => members.args = Some(start..end),
                _ => {}
            }
            at = end;
            while line.get(at)?.is_ascii_whitespace() {
                at += 1;
            }
            if line[at] != b',' {
                return Some(members);
            }
        }
    }
}

/// Where the value ends that starts there.
fn skip(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut depth = 0_usize;
    loop {
        match line.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    at += memchr2(b'"', b'\\', line.get(at..)?)?;
                    if line[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
                at += 1;
            }
            b'[' | b'{' => {
                depth += 1;
                at += 1;
                continue;
            }
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' if depth == 0 => return Some(at),
            _ => {
                while !matches!(line.get(at)?, b',' | b']' | b'}' | b'"' | b'[' | b'{') {
                    at += 1;
                }
                if depth > 0 && line[at] == b',' {
                    at += 1;
                    continue;
                }
            }
        }
        if depth == 0 {
            return Some(at);
        }
        while matches!(line.get(at)?, b',' | b' ' | b':') {
            at += 1;
        }
    }
}
