//! A connection on which the device is known: lines come in, frames go out.

use std::fmt;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use labwire_wire::{Line, LineSplitter};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::dial::Transport;
use crate::error::ReadError;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How many frames are given to the operating system at once: what Linux takes in one call.
const FRAMES_AT_ONCE: usize = 1024;

/// A connection on which the device is known.
#[derive(Debug)]
pub struct Connection {
    /// The name that the device has on the network: `NAME[HOST:PORT]`. An older manager does not tell it; it is
    /// what that manager most likely uses, then.
    pub network_name: String,
    /// The manager's name: `Manager[HOST:PORT]`.
    pub manager: String,
    /// The port that the connection has on this computer.
    pub local_port: u16,
    /// Where lines come from.
    pub reader: ConnectionReader,
    /// Where frames go.
    pub writer: ConnectionWriter,
}

/// Reads lines from the manager.
pub struct ConnectionReader {
    stream: ReadHalf<Box<dyn Transport>>,
    splitter: LineSplitter,
    given_back: Option<Line>,
}

impl fmt::Debug for ConnectionReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConnectionReader").finish_non_exhaustive()
    }
}

impl ConnectionReader {
    pub(crate) fn new(stream: ReadHalf<Box<dyn Transport>>, limit: usize) -> Self {
        Self {
            stream,
            splitter: LineSplitter::new(limit),
            given_back: None,
        }
    }

    /// The line is read again next.
    pub(crate) fn give_back(&mut self, line: Line) {
        self.given_back = Some(line);
    }

    /// The next line; `None` when the manager has closed the connection. A last line that lacks its end is lost: it
    /// may be a part of what was meant.
    ///
    /// Cancel safe: what has arrived of a line is kept for the next call.
    pub async fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        if let Some(line) = self.given_back.take() {
            return Ok(Some(line));
        }
        loop {
            if let Some(line) = self.splitter.next_line()? {
                return Ok(Some(line));
            }
            let pending = self.splitter.pending();
            let buffer = self.splitter.buffer_mut();
            // Doubling keeps the number of times that a large line moves small.
            buffer.reserve(READ_BYTES.max(pending));
            if self.stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Writes frames to the manager.
pub struct ConnectionWriter {
    stream: WriteHalf<Box<dyn Transport>>,
}

impl fmt::Debug for ConnectionWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConnectionWriter").finish_non_exhaustive()
    }
}

impl ConnectionWriter {
    pub(crate) fn new(stream: WriteHalf<Box<dyn Transport>>) -> Self {
        Self { stream }
    }

    /// Writes frames, each with its line end, in as few system calls as possible.
    ///
    /// Not cancel safe: a part of a frame may have been written, after which the connection is of no more use.
    pub async fn write(&mut self, frames: &[Bytes]) -> io::Result<()> {
        for frames in frames.chunks(FRAMES_AT_ONCE) {
            self.write_some(frames).await?;
        }
        self.stream.flush().await
    }

    async fn write_some(&mut self, frames: &[Bytes]) -> io::Result<()> {
        let mut rest: Vec<Bytes> = frames.to_vec();
        let mut first = 0;
        while first < rest.len() {
            let slices: Vec<IoSlice<'_>> = rest[first..].iter().map(|frame| IoSlice::new(frame)).collect();
            let mut written = self.stream.write_vectored(&slices).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            while first < rest.len() && written >= rest[first].len() {
                written -= rest[first].len();
                first += 1;
            }
            if written > 0 {
                rest[first].advance(written);
            }
        }
        Ok(())
    }

    /// Tells the manager that nothing more will come, and closes the writing side.
    pub async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
