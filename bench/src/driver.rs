//! The loop that drives all connections on one thread.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::event::Event;
use mio::{Events, Poll, Token};
use rustls::ClientConfig;

use crate::connection::{Connection, Received};
use crate::dialect::Dialect;

/// Messages that one connection may handle before the others have their turn.
const TURN: usize = 4_096;

/// Reads of one connection before the others have their turn: reading a large message on one
/// connection makes room for sending it on the other.
const READS: usize = 8;

/// How long to listen after the last expected message.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// A workload: handles the messages that arrive.
pub(crate) trait Workload {
    /// Notes the time at which the next messages have arrived. Called once for all messages of one
    /// read.
    fn arrived(&mut self, _now: Instant) {}

    /// Handles a whole message of a connection. The bytes appended to `output` are sent on the same
    /// connection.
    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Called after each round, to send messages that are not answers.
    fn idle(&mut self, _driver: &mut Driver) {}
}

/// All connections of a load generator.
pub(crate) struct Driver {
    poll: Poll,
    events: Option<Events>,
    dialect: Dialect,
    connections: Vec<Connection>,
    /// An open stream for the next connection, if there is one.
    stream: Option<TcpStream>,
    /// Connections with unsent output.
    dirty: Vec<usize>,
    /// Connections that may have more input than their turn allowed.
    unread: Vec<usize>,
}

impl Driver {
    pub(crate) fn new(dialect: Dialect) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Some(Events::with_capacity(1_024)),
            dialect,
            connections: Vec::new(),
            stream: None,
            dirty: Vec::new(),
            unread: Vec::new(),
        })
    }

    /// Uses an open stream for the next connection.
    pub(crate) fn use_first(&mut self, stream: TcpStream) {
        self.stream = Some(stream);
    }

    /// Opens a connection and returns its number.
    pub(crate) fn connect(
        &mut self,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> anyhow::Result<usize> {
        let number = self.connections.len();
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address)
                .with_context(|| format!("cannot connect to {address}; is the broker running there?"))?,
        };
        let connection = Connection::over(stream, address, tls, self.poll.registry(), Token(number))?;
        self.connections.push(connection);
        // In a TLS session the client sends first.
        self.dirty.push(number);
        Ok(number)
    }

    /// Returns the buffer for the output of a connection.
    pub(crate) fn output(&mut self, connection: usize) -> &mut Vec<u8> {
        self.dirty.push(connection);
        self.connections[connection].output()
    }

    /// Allocates memory for messages of so many bytes in all connections.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        for connection in &mut self.connections {
            connection.reserve(bytes);
        }
    }

    /// Sends the pending output, waits up to `patience` for input, and passes it to the workload.
    pub(crate) fn round(&mut self, workload: &mut impl Workload, patience: Duration) -> anyhow::Result<()> {
        self.flush()?;
        let patience = if self.unread.is_empty() {
            patience
        } else {
            Duration::ZERO
        };
        let mut events = self.events.take().context("a round within a round")?;
        match self.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        for connection in std::mem::take(&mut self.unread) {
            self.read(connection, workload)?;
        }
        for event in &events {
            self.react(event, workload)?;
        }
        self.events = Some(events);
        workload.idle(self);
        self.flush()
    }

    fn react(&mut self, event: &Event, workload: &mut impl Workload) -> anyhow::Result<()> {
        let Token(number) = event.token();
        if event.is_writable() {
            self.connections[number].set_writable();
            self.dirty.push(number);
        }
        if event.is_readable() {
            self.read(number, workload)?;
        }
        Ok(())
    }

    fn read(&mut self, number: usize, workload: &mut impl Workload) -> anyhow::Result<()> {
        let (mut handled, mut reads) = (0, 0);
        loop {
            let connection = &mut self.connections[number];
            let received = connection.receive()?;
            workload.arrived(Instant::now());
            handled += self.take_messages(number, workload)?;
            reads += 1;
            match received {
                Received::All => break,
                Received::Closed => bail!("the broker has closed connection {number}"),
                Received::Some if handled >= TURN || reads >= READS => {
                    self.unread.push(number);
                    break;
                }
                Received::Some => {}
            }
        }
        // A TLS session may need to write after a read, for example in its handshake.
        self.dirty.push(number);
        Ok(())
    }

    fn take_messages(&mut self, number: usize, workload: &mut impl Workload) -> anyhow::Result<usize> {
        let Self {
            connections, dialect, ..
        } = self;
        let connection = &mut connections[number];
        let mut output = std::mem::take(connection.output());
        let received = connection.input.received();
        let mut searched = connection.input.searched;
        let (mut taken, mut count) = (0, 0);
        while let Some(length) = dialect.message_length(&received[taken..], &mut searched) {
            workload.message(number, &received[taken..taken + length], &mut output)?;
            taken += length;
            searched = 0;
            count += 1;
        }
        connection.input.take(taken, searched);
        *connection.output() = output;
        Ok(count)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            self.connections[number]
                .flush()
                .with_context(|| format!("connection {number} broke"))?;
        }
        self.dirty = dirty;
        Ok(())
    }

    /// Runs rounds until `done`; fails after `patience`.
    pub(crate) fn run_until<W: Workload>(
        &mut self,
        workload: &mut W,
        patience: Duration,
        waited_for: &str,
        mut done: impl FnMut(&W) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !done(workload) {
            if Instant::now() >= deadline {
                bail!("waited {} s in vain for {waited_for}", patience.as_secs());
            }
            self.round(workload, Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Listens a little longer, for messages that must not come.
    pub(crate) fn hear_out(&mut self, workload: &mut impl Workload) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < LAST_WORDS {
            self.round(workload, LAST_WORDS)?;
        }
        Ok(())
    }
}
