//! One connection of the load generator: its stream, its input and its output.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Initial size of a read, in bytes; a connection that fills it gets more, up to [`READ_BYTES`].
const FIRST_BYTES: usize = 1_024;

/// Largest size of a read of a busy connection, in bytes.
const READ_BYTES: usize = 256 * 1_024;

/// Largest size of a write, in bytes. The system continues a larger write as long as the broker
/// reads, and the other thread of the generator, which makes the small calls beside a large one,
/// had to wait for that.
const WRITE_BYTES: usize = 256 * 1_024;

/// Memory for output that a connection keeps, in bytes: four messages of a mebibyte with their
/// envelopes.
const KEPT_BYTES: usize = 5 * 1_024 * 1_024;

/// A non-blocking stream to the broker.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Whether another read may return more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// There may be more.
    Some,
    /// All bytes that had arrived were read.
    All,
    /// The broker has closed the connection.
    Closed,
}

/// Received bytes that were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    /// The positions of the first byte that was not taken yet, and of the end of the received
    /// bytes.
    start: usize,
    end: usize,
    /// How far after `start` the input was searched for the end of a message.
    pub(crate) searched: usize,
}

impl Input {
    /// Returns the space for more bytes.
    fn room(&mut self) -> &mut [u8] {
        let used = self.end - self.start;
        // A buffer that one read has filled to its end is too small for this connection, however
        // much of it was taken.
        let was_filled = self.end == self.buffer.len();
        if used == 0 {
            (self.start, self.end) = (0, 0);
        }
        if was_filled || self.buffer.len() - self.end < used.min(READ_BYTES / 4) {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, used);
            if was_filled || used * 2 >= self.buffer.len() {
                let wanted = (used * 2)
                    .max(FIRST_BYTES)
                    .max((self.buffer.len() * 4).min(READ_BYTES));
                self.buffer.resize(wanted.max(self.buffer.len()), 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Allocates memory for a message of so many bytes, and touches it.
    fn reserve(&mut self, bytes: usize) {
        // Includes the space for the next read, or the buffer would grow just before the message's
        // end.
        let wanted = bytes + READ_BYTES;
        self.buffer.resize(self.buffer.len().max(wanted), 1);
    }

    /// Returns the received bytes that were not taken.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Removes the first received bytes; `searched` counts from the first remaining one.
    pub(crate) fn take(&mut self, count: usize, searched: usize) {
        self.start += count;
        self.searched = searched;
    }
}

/// One connection of the load generator.
pub(crate) struct Connection {
    stream: Stream,
    pub(crate) input: Input,
    output: Vec<u8>,
    /// The memory for output that is kept when all is sent, in bytes.
    kept: usize,
    sent: usize,
    writable: bool,
}

impl Connection {
    /// Registers a connected stream under that token.
    pub(crate) fn over(
        socket: std::net::TcpStream,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Self::watch(TcpStream::from_std(socket), address, tls, registry, token)
    }

    /// Registers a stream under that token.
    pub(crate) fn watch(
        mut socket: TcpStream,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        registry: &Registry,
        token: Token,
    ) -> anyhow::Result<Self> {
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let connection = ClientConnection::new(Arc::clone(config), address.ip().into())?;
                Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        Ok(Self {
            stream,
            input: Input::default(),
            output: Vec::new(),
            kept: KEPT_BYTES,
            sent: 0,
            writable: true,
        })
    }

    /// Reads once.
    pub(crate) fn receive(&mut self) -> io::Result<Received> {
        let room = self.input.room();
        let asked = room.len();
        let (read, is_plain) = match &mut self.stream {
            Stream::Plain(stream) => (stream.read(room), true),
            Stream::Tls(stream) => (stream.read(room), false),
        };
        match read {
            Ok(0) => Ok(Received::Closed),
            Ok(count) => {
                self.input.end += count;
                // A short read means that the socket is empty, so another read is unnecessary.
                Ok(if is_plain && count < asked {
                    Received::All
                } else {
                    Received::Some
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::All),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Received::Some),
            Err(error) => Err(error),
        }
    }

    /// Allocates the memory for a message of so many bytes, in and out, so that the time for that
    /// is not counted as the broker's.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.input.reserve(bytes);
        let length = self.output.len();
        self.output.resize(length.max(bytes), 1);
        self.output.truncate(length);
        self.kept = self.kept.max(bytes);
    }

    /// Returns the buffer for the output of the next [`flush`](Self::flush).
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Notes that the socket is writable again.
    pub(crate) fn set_writable(&mut self) {
        self.writable = true;
    }

    /// Sends as much as the socket accepts.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.sent < self.output.len() {
            let rest = &self.output[self.sent..];
            let rest = &rest[..rest.len().min(WRITE_BYTES)];
            let written = match &mut self.stream {
                Stream::Plain(stream) => stream.write(rest),
                Stream::Tls(stream) => stream.write(rest),
            };
            match written {
                // A TLS session with a full buffer accepts 0 bytes.
                Ok(0) => self.writable = false,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            // Releases the memory of a large frame: a thousand of them would fill the memory.
            self.output.shrink_to(self.kept);
        }
        if let Stream::Tls(stream) = &mut self.stream {
            while stream.conn.wants_write() {
                match stream.conn.write_tls(&mut stream.sock) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_taken_for_a_message_is_enough_for_it() {
        const MESSAGE: usize = 3 * READ_BYTES;
        let mut input = Input::default();
        input.reserve(MESSAGE);
        let memory = (input.buffer.as_ptr(), input.buffer.len());
        for read in [1, READ_BYTES / 8, 7] {
            while input.end < MESSAGE {
                let count = read.min(MESSAGE - input.end);
                assert!(input.room().len() >= count);
                input.end += count;
            }
            assert_eq!((input.buffer.as_ptr(), input.buffer.len()), memory);
            input.take(MESSAGE, 0);
            input.room();
        }
    }

    #[test]
    fn memory_that_was_taken_for_what_is_sent_is_kept_until_then() -> anyhow::Result<()> {
        const MESSAGE: usize = 8 * READ_BYTES;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let poll = mio::Poll::new()?;
        let socket = std::net::TcpStream::connect(address)?;
        let mut connection = Connection::over(socket, address, None, poll.registry(), Token(0))?;
        connection.reserve(MESSAGE);
        let memory = connection.output.as_ptr();
        connection.flush()?;
        connection.output().resize(MESSAGE, b'x');
        assert_eq!(connection.output.as_ptr(), memory);
        Ok(())
    }
}
