//! The loop that drives all connections in one thread.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::event::Event;
use mio::{Events, Poll, Token};
use rustls::ClientConfig;

use crate::connection::{Connection, Received};
use crate::dialect::Dialect;

/// How many messages one connection may handle before the others have their turn.
const TURN: usize = 4_096;

/// How often one connection may be read before the others have their turn: what is read of a large message on the one
/// makes room for what is to be sent of it on the other.
const READS: usize = 8;

/// How long is listened after the last message that was expected.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// What a workload does with the messages that arrive.
pub(crate) trait Workload {
    /// What the next messages say has arrived by now: asked once for all that one read brought.
    fn arrived(&mut self, _now: Instant) {}

    /// A whole message has arrived on a connection. What is appended to `output` is sent on the same one.
    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()>;

    /// After each round: to send what no message asked for.
    fn idle(&mut self, _driver: &mut Driver) {}
}

/// All connections of a load generator.
pub(crate) struct Driver {
    poll: Poll,
    events: Option<Events>,
    dialect: Dialect,
    connections: Vec<Connection>,
    /// What the next connection goes over, if that is there already.
    stream: Option<TcpStream>,
    /// Connections that have something to send.
    dirty: Vec<usize>,
    /// Connections that may have more to read than their turn allowed.
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

    /// Has the next connection go over a stream that is there already.
    pub(crate) fn use_first(&mut self, stream: TcpStream) {
        self.stream = Some(stream);
    }

    /// Opens one more connection; gives its number.
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
        // The first word of a TLS session is the client's.
        self.dirty.push(number);
        Ok(number)
    }

    /// Where to append what is to be sent on a connection.
    pub(crate) fn output(&mut self, connection: usize) -> &mut Vec<u8> {
        self.dirty.push(connection);
        self.connections[connection].output()
    }

    /// Has all connections take the memory that messages of so many bytes need.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        for connection in &mut self.connections {
            connection.reserve(bytes);
        }
    }

    /// Sends what is to be sent, waits up to `patience` for something to arrive, and gives it to the workload.
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
        // Reading may have made a TLS session want to write, as at its beginning.
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

    /// Goes on until `done`, or fails when that takes longer than `patience`.
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

    /// Listens a little longer, for messages that should not come.
    pub(crate) fn hear_out(&mut self, workload: &mut impl Workload) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < LAST_WORDS {
            self.round(workload, LAST_WORDS)?;
        }
        Ok(())
    }
}
