//! The ways to an instrument. What depends on the operating system is here.

mod serial;
mod tcp;
mod usbtmc;

use std::io;
use std::time::Duration;

use crate::definition::{Connection, Place};

/// What was read at once.
pub(crate) struct Read {
    /// The number of bytes.
    pub(crate) length: usize,
    /// Whether the connection marks the end of a message, and it came.
    pub(crate) is_message: bool,
}

/// An open connection with an instrument. Its methods block.
pub(crate) trait Port: Send {
    /// Sends all bytes.
    ///
    /// # Errors
    /// After an error, a part may have been sent.
    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()>;

    /// Waits until bytes arrive, and reads them.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if nothing came within the limit; all others mean that the connection is
    /// broken.
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<Read>;

    /// Discards what has arrived, and returns the number of bytes.
    ///
    /// # Errors
    /// If the connection is broken.
    fn discard(&mut self) -> io::Result<usize>;

    /// Whether a new connection has nothing to do with late answers on this one.
    fn forgets(&self) -> bool;

    /// Whether the instrument drops an answer that was not read when the next command comes, as IEEE 488.2 demands of
    /// one with an output queue (its error -410). Nothing is read there unless it was asked for.
    fn drops_unread(&self) -> bool;
}

/// Opens the connection. Blocks for the connect timeout at most, and as long as the system needs to
/// resolve a host name.
pub(crate) fn open(connection: &Connection) -> io::Result<Box<dyn Port>> {
    match &connection.place {
        Place::Tcp(address) => tcp::open(address, connection.connect_timeout),
        Place::Serial(settings) => serial::open(settings, connection.timeout),
        Place::Usbtmc(path) => usbtmc::open(path),
    }
}

/// A limit that the system accepts as one: not zero.
fn at_least_a_moment(limit: Duration) -> Duration {
    limit.max(Duration::from_millis(1))
}

/// The error for a limit that has passed.
fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
