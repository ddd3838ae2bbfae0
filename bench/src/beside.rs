//! Expensive work beside the measured calls, during which a manager must still serve other peers.
//!
//! The work: huge identities that many peers request while services come and go, refused links with
//! a service that hundreds are linked with, services that disconnect while their callers have
//! thousands of requests elsewhere, and clients that have closed their sending side and wait.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Number of services with long attributes.
const HUGE: usize = 900;

/// Length of the attributes of each, in bytes: close to the default limit.
const ATTRIBUTES: usize = 60_000;

/// Number of clients that are linked with one service, which is then at its limit.
const LINKED: usize = 500;

/// Number of refused links in one round.
const REFUSED: usize = 1_000;

/// Number of clients whose service disconnects, and of the requests that each has elsewhere.
const CALLERS: usize = 20;
const ELSEWHERE: usize = 10_000;

/// Number of clients that close their sending side while they wait, in one round.
const HALF_CLOSED: usize = 50;

/// Timeout for any answer of the broker.
const PATIENCE: Duration = Duration::from_mins(1);

/// The work, which runs until it is stopped.
pub(crate) struct Beside {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<usize>>,
}

impl Beside {
    /// Connects all participants, and starts the work.
    pub(crate) fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let mut crowd = Crowd::gather(address)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                crowd.round(rounds)?;
                rounds += 1;
            }
            Ok(rounds)
        });
        Ok(Self { stop, thread })
    }

    /// Stops the work after the current round.
    ///
    /// # Errors
    ///
    /// If the broker gave a wrong answer or none, or no round was completed.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(Ok(0)) => bail!("there was no time for the work beside"),
            Ok(rounds) => rounds.map(drop).context("the work beside"),
            Err(_) => bail!("the work beside has panicked"),
        }
    }
}

/// One connection.
struct Peer {
    reader: BufReader<TcpStream>,
    line: String,
}

impl Peer {
    /// Connects and sends the identity. Returns when the broker has accepted it.
    fn join(address: SocketAddr, identity: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut peer = Self {
            reader: BufReader::new(stream),
            line: String::new(),
        };
        peer.expect("\"identity\"")?;
        peer.send(&format!(
            r#"{{"result":{{{identity},"features":["registered"]}}}}"#
        ))?;
        peer.expect("\"registered\"")?;
        Ok(peer)
    }

    fn client(address: SocketAddr) -> anyhow::Result<Self> {
        Self::join(address, r#""type":"client","name":"beside""#)
    }

    fn service(address: SocketAddr, name: &str) -> anyhow::Result<Self> {
        Self::join(
            address,
            &format!(r#""type":"service","name":"{name}","attributes":{{}}"#),
        )
    }

    fn huge_service(address: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let text = "x".repeat(ATTRIBUTES);
        Self::join(
            address,
            &format!(r#""type":"service","name":"Huge {number}","attributes":{{"describe":"{text}"}}"#),
        )
    }

    fn send(&self, line: &str) -> anyhow::Result<()> {
        self.reader
            .get_ref()
            .write_all(format!("{line}\r\n").as_bytes())?;
        Ok(())
    }

    /// Reads the next line, which must contain the text.
    fn expect(&mut self, text: &str) -> anyhow::Result<()> {
        self.line.clear();
        self.reader.read_line(&mut self.line)?;
        if !self.line.contains(text) {
            let beginning: String = self.line.chars().take(200).collect();
            bail!("instead of something with {text} came {beginning:?}");
        }
        Ok(())
    }
}

fn request(service: &str, attribute: &str, argument: &str) -> String {
    format!(
        r#"{{"args":[{argument}],"attribute":"{attribute}","error":false,"kwargs":{{}},"service":"{service}","uid":"1"}}"#
    )
}

/// All participants.
struct Crowd {
    address: SocketAddr,
    huge: Vec<Peer>,
    /// The service at its limit, and the clients that are linked with it.
    _linked: Vec<Peer>,
    outsider: Peer,
    callers: Vec<Peer>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> anyhow::Result<Self> {
        let huge = (0..HUGE).map(|number| Peer::huge_service(address, number));
        let huge = huge.collect::<anyhow::Result<_>>()?;
        let scarce = format!(r#""type":"service","name":"Scarce","attributes":{{}},"max_clients":{LINKED}"#);
        let mut linked = vec![Peer::join(address, &scarce)?];
        for _ in 0..LINKED {
            let mut client = Peer::client(address)?;
            client.send(&request("Manager", "link", "\"Scarce\""))?;
            client.expect("\"max_clients\"")?;
            linked.push(client);
        }
        swallow(Peer::service(address, "Well")?);
        let callers = (0..CALLERS).map(|_| Peer::client(address));
        let callers: Vec<Peer> = callers.collect::<anyhow::Result<_>>()?;
        for caller in &callers {
            let wishes = vec![request("Well", "wish", ""); ELSEWHERE];
            caller.send(&wishes.join("\r\n"))?;
        }
        Ok(Self {
            address,
            huge,
            _linked: linked,
            outsider: Peer::client(address)?,
            callers,
        })
    }

    fn round(&mut self, number: usize) -> anyhow::Result<()> {
        let next = Peer::huge_service(self.address, HUGE + number)?;
        self.huge[number % HUGE] = next;
        self.outsider.send(&request("Manager", "identity", ""))?;
        self.outsider.expect("\"services\"")?;

        let refused = vec![request("Manager", "link", "\"Scarce\""); REFUSED];
        self.outsider.send(&refused.join("\r\n"))?;
        for _ in 0..REFUSED {
            self.outsider.expect("The maximum number of Clients")?;
        }

        let oven = Peer::service(self.address, &format!("Oven {number}"))?;
        for caller in &self.callers {
            caller.send(&request(&format!("Oven {number}"), "heat", ""))?;
        }
        // The manager has noted all requests that the service has read.
        let mut oven = oven;
        for _ in 0..CALLERS {
            oven.expect("\"heat\"")?;
        }
        drop(oven);
        for caller in &mut self.callers {
            caller.expect("left before it replied")?;
        }

        for _ in 0..HALF_CLOSED {
            let client = Peer::client(self.address)?;
            client.send(&request("Well", "wish", ""))?;
            client.reader.get_ref().shutdown(Shutdown::Write)?;
            // The manager keeps the connection for some seconds; this side must not wait for it.
            swallow(client);
        }
        Ok(())
    }
}

/// Reads and discards what arrives, on a thread of its own.
fn swallow(mut peer: Peer) {
    thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        let mut sink = std::io::sink();
        while Instant::now() < end && matches!(std::io::copy(&mut peer.reader, &mut sink), Ok(1..)) {}
    });
}
