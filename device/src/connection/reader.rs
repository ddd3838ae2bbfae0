//! Reads lines, and the buffers that follow them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, BytesMut};
use labwire_wire::buffers::Buffers;
use labwire_wire::{Line, LineSplitter, LineTooLong};
use tokio::io::{AsyncReadExt, ReadHalf};

use crate::dial::Transport;
use crate::error::ReadError;
use crate::raw::RawBytes;
use crate::session::Remains;

/// The read buffer's size, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Reads lines from the manager.
///
/// ```
/// use labwire_device::{ConnectOptions, ConnectionReader, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let connection = connect(&options, &Introduction::client("Ada")).await?;
/// let mut reader: ConnectionReader = connection.reader;
/// manager.stop().await;
/// // The manager has ended, and the connection with it.
/// assert!(reader.next_line().await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct ConnectionReader {
    stream: ReadHalf<Box<dyn Transport>>,
    splitter: LineSplitter,
    given_back: Option<Line>,
    /// The position of the last byte that was read.
    received: u64,
    /// Set when the connection is over.
    pub(super) is_over: Arc<AtomicBool>,
    /// Whether buffers may follow lines.
    is_binary: bool,
    /// The line whose buffers arrive.
    raw: Option<Box<RawBytes>>,
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
            received: 0,
            is_over: Arc::default(),
            is_binary: false,
            raw: None,
        }
    }

    /// From now on buffers may follow lines.
    pub(crate) fn expect_buffers(&mut self) {
        self.is_binary = true;
    }

    /// Changes the limit for lines, in bytes.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.splitter.set_limit(limit);
    }

    /// Returns what was received after the last whole line.
    pub(crate) fn unfinished(&self) -> &[u8] {
        self.splitter.buffer()
    }

    /// Counts positions from the first byte that was not handed out, which has this position.
    pub(crate) fn count_from(&mut self, position: u64) {
        self.received = position + self.splitter.pending() as u64;
    }

    /// Hands out these bytes, and goes on with this frame, before the bytes that were read.
    pub(crate) fn prepend(&mut self, (mut unhandled, raw): (BytesMut, Option<Box<RawBytes>>)) {
        self.raw = raw;
        if unhandled.is_empty() {
            return;
        }
        unhandled.extend_from_slice(self.splitter.buffer());
        self.splitter = LineSplitter::new(self.splitter.limit());
        *self.splitter.buffer_mut() = unhandled;
    }

    /// Returns the position of the last byte that was read, in bytes since the session began: since
    /// the manager's confirmation that it has accepted the device.
    ///
    /// See the example of [`Remains`].
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Returns what the device needs to return to its session.
    ///
    /// See the example of [`Remains`].
    pub fn into_remains(mut self) -> Remains {
        Remains {
            received: self.received,
            unhandled: std::mem::take(self.splitter.buffer_mut()),
            raw: self.raw,
            is_binary: self.is_binary,
        }
    }

    /// Returns a line to the reader: it is the next one to be read.
    pub(crate) fn give_back(&mut self, line: Line) {
        self.given_back = Some(line);
    }

    /// Waits for the next line. Returns `None` when the manager has closed the connection. A last
    /// line without its end is dropped, since it may be incomplete. So is a line that the manager
    /// broke off because its sender did not finish it.
    ///
    /// Cancel safe: the received part of a line is kept for the next call.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
    /// // What a person at a terminal types is understood as well.
    /// connection.writer.write(&["link Oven\r\n".into()]).await?;
    /// let line = connection.reader.next_line().await?.expect("the manager is still there");
    /// assert!(line.content().starts_with(b"{") && line.content().ends_with(b"}"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        if let Some(line) = self.given_back.take() {
            return Ok(Some(line));
        }
        loop {
            if let Some(line) = self.whole_line()? {
                return Ok(Some(line));
            }
            let read = if let Some(raw) = &mut self.raw {
                let room = raw.memory.len().max(READ_BYTES).min(raw.missing);
                raw.memory.reserve(room);
                let mut memory = (&mut raw.memory).limit(raw.missing);
                let read = self.stream.read_buf(&mut memory).await;
                raw.note_read(read.as_ref().map_or(0, |count| *count));
                read
            } else {
                let pending = self.splitter.pending();
                let buffer = self.splitter.buffer_mut();
                // Doubling limits how often a large line is moved.
                buffer.reserve(READ_BYTES.max(pending));
                self.stream.read_buf(buffer).await
            };
            if !matches!(read, Ok(1..)) {
                self.is_over.store(true, Ordering::Relaxed);
            }
            let read = read?;
            if read == 0 {
                return Ok(None);
            }
            self.received += read as u64;
        }
    }

    /// Returns the next line if it has arrived already, and `None` otherwise. Reads nothing.
    ///
    /// After [`next_line`](Self::next_line), this returns the other lines that arrived with it.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
    /// assert!(connection.reader.buffered_line()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn buffered_line(&mut self) -> Result<Option<Line>, ReadError> {
        match self.given_back.take() {
            Some(line) => Ok(Some(line)),
            None => self.whole_line(),
        }
    }

    fn whole_line(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            if let Some(raw) = &mut self.raw {
                raw.take(&mut self.splitter);
                if raw.missing > 0 {
                    return Ok(None);
                }
                if let Some(line) = self.raw.take().and_then(|raw| raw.finish()) {
                    return Ok(Some(line));
                }
            }
            let Some(line) = self.splitter.next_line()? else {
                return Ok(None);
            };
            if line.is_broken_off() {
                continue;
            }
            if !self.is_binary || !Buffers::follow(line.content()) {
                return Ok(Some(line));
            }
            let bytes = Buffers::read(line.content()).ok().map(|buffers| buffers.bytes());
            let limit = self.splitter.limit();
            let bytes = bytes.filter(|bytes| bytes.saturating_add(line.content().len()) <= limit);
            let bytes = bytes.ok_or(LineTooLong { limit })?;
            self.raw = Some(Box::new(RawBytes::after(line, bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::session::Session;

    #[tokio::test]
    async fn a_line_that_was_cut_goes_on_where_it_was_cut() {
        let (near, mut far) = tokio::io::duplex(1024);
        let stream: Box<dyn Transport> = Box::new(near);
        let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
        far.write_all(b"registered\r\none\r\ntw").await.unwrap();
        reader.next_line().await.unwrap().unwrap();
        reader.count_from(0);
        assert_eq!(reader.next_line().await.unwrap().unwrap().content(), b"one");
        drop(far);
        assert!(reader.next_line().await.unwrap().is_none());
        let remains = reader.into_remains();
        assert_eq!(remains.received(), 7);

        let (near, mut far) = tokio::io::duplex(1024);
        let stream: Box<dyn Transport> = Box::new(near);
        let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
        far.write_all(b"resumed\r\no\r\nthr").await.unwrap();
        reader.next_line().await.unwrap().unwrap();
        reader.count_from(remains.received());
        reader.prepend((remains.unhandled, remains.raw));
        assert_eq!(reader.next_line().await.unwrap().unwrap().content(), b"two");
        assert_eq!(reader.received(), 13);
        far.write_all(b"ee\r\n").await.unwrap();
        assert_eq!(reader.next_line().await.unwrap().unwrap().content(), b"three");
        assert_eq!(reader.received(), 17);
    }

    #[tokio::test]
    async fn buffers_that_were_cut_go_on_where_they_were_cut() {
        let line = r#"{"buffers":[{"dtype":"|u1","shape":[4],"bytes":4}],"result":1}"#;
        let sent = format!("one\r\n{line}\r\n\n\x18\n\n\ntwo\r\n");
        for cut in 0..=sent.len() {
            for lost in [false, true] {
                let (near, mut far) = tokio::io::duplex(1024);
                let stream: Box<dyn Transport> = Box::new(near);
                let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
                far.write_all(b"registered\r\n").await.unwrap();
                reader.next_line().await.unwrap().unwrap();
                reader.count_from(0);
                reader.expect_buffers();
                far.write_all(&sent.as_bytes()[..cut]).await.unwrap();
                drop(far);
                let mut lines = Vec::new();
                // Some of what has arrived is not handled.
                if cut % 2 == 0 {
                    while let Some(line) = reader.next_line().await.unwrap() {
                        lines.push(line);
                    }
                } else {
                    lines.extend(reader.next_line().await.unwrap());
                }
                let remains = reader.into_remains();
                assert_eq!(remains.received(), cut as u64);

                let (near, mut far) = tokio::io::duplex(1024);
                let stream: Box<dyn Transport> = Box::new(near);
                let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
                far.write_all(b"resumed\r\n").await.unwrap();
                reader.next_line().await.unwrap().unwrap();
                reader.expect_buffers();
                let begun = labwire_wire::SessionBegun {
                    secret: String::new(),
                    grace: 1,
                    kept: 1,
                    locks: Vec::new(),
                };
                let session = Session::begun(begun);
                let back = crate::session::Return { session, remains };
                let from = if lost { cut + 1 } else { cut };
                reader.count_from(from as u64);
                reader.prepend(back.unhandled(from as u64));
                let rest = if lost { "three\r\n" } else { &sent[cut..] };
                far.write_all(rest.as_bytes()).await.unwrap();
                drop(far);
                while let Some(line) = reader.next_line().await.unwrap() {
                    lines.push(line);
                }
                let whole = [5, 5 + line.len() + 7, sent.len()];
                let whole = whole.iter().filter(|end| !lost || **end <= cut).count();
                let mut expected = [&b"one"[..], line.as_bytes(), b"two"][..whole].to_vec();
                if lost {
                    expected.push(b"three");
                }
                let contents: Vec<&[u8]> = lines.iter().map(Line::content).collect();
                assert_eq!(contents, expected, "{cut} {lost}");
                if let Some(line) = lines.iter().find(|line| line.raw().is_some()) {
                    assert_eq!(line.raw().unwrap(), "\n\x18\n\n");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_line_that_was_broken_off_is_forgotten() {
        let (near, mut far) = tokio::io::duplex(1024);
        let stream: Box<dyn Transport> = Box::new(near);
        let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
        far.write_all(b"{\"uid\":\"1\",\"result\":\"half\x18\r\n{\"uid\":\"2\"}\r\n")
            .await
            .unwrap();
        let line = reader.next_line().await.unwrap().unwrap();
        assert_eq!(line.content(), b"{\"uid\":\"2\"}");
    }

    #[tokio::test]
    async fn buffers_follow_a_line_unless_they_were_broken_off() {
        let (near, mut far) = tokio::io::duplex(7);
        let stream: Box<dyn Transport> = Box::new(near);
        let mut reader = ConnectionReader::new(tokio::io::split(stream).0, 1024);
        reader.expect_buffers();
        let line = r#"{"buffers":[{"dtype":"|u1","shape":[4],"bytes":4}],"result":1}"#;
        let sent = format!("{line}\r\n\n\n\x18a\n{line}\r\nhalf\x18\r\n{{\"uid\":\"2\"}}\r\n");
        let writing = tokio::spawn(async move { far.write_all(sent.as_bytes()).await });
        let first = reader.next_line().await.unwrap().unwrap();
        assert_eq!(first.content(), line.as_bytes());
        assert_eq!(first.raw().unwrap(), "\n\n\x18a");
        let second = reader.next_line().await.unwrap().unwrap();
        assert_eq!(second.content(), b"{\"uid\":\"2\"}");
        assert_eq!(second.raw(), None);
        writing.await.unwrap().unwrap();
    }
}
