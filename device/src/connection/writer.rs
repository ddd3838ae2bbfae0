//! Writes frames.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};

use super::ConnectionReader;
use crate::dial::Transport;

/// The most frames per system call: the limit of Linux.
const FRAMES_AT_ONCE: usize = 1024;

/// Writes frames to the manager.
///
/// ```
/// use labwire_device::{ConnectOptions, ConnectionWriter, Introduction, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::start().await;
/// # let options = ConnectOptions::new().port(manager.port()).without_tls();
/// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
/// let writer: &mut ConnectionWriter = &mut connection.writer;
/// let request = r#"{"service":"Manager","attribute":"identity","args":[],"kwargs":{},"uid":"1"}"#;
/// writer.write(&[format!("{request}\r\n").into()]).await?;
/// let reply = connection.reader.next_line().await?.expect("the manager is still there");
/// assert!(String::from_utf8_lossy(reply.content()).contains(r#""uid":"1""#));
/// # Ok(())
/// # }
/// ```
pub struct ConnectionWriter {
    stream: WriteHalf<Box<dyn Transport>>,
    /// The unwritten frames; of the first one, the unwritten part.
    unwritten: VecDeque<Bytes>,
    /// Whether the stream was flushed after the last frame.
    flushed: bool,
    /// What to write if the connection is dropped while it works, and whether it is over.
    farewell: Option<(Bytes, Arc<AtomicBool>)>,
}

/// Says goodbye for a device that is dropped, so that the manager does not keep its session.
impl Drop for ConnectionWriter {
    fn drop(&mut self) {
        let Some((farewell, is_over)) = self.farewell.take() else {
            return;
        };
        if is_over.load(Ordering::Relaxed) || !self.is_idle() {
            return;
        }
        // Nothing can wait here: if there is no room, the manager keeps the session for a while.
        let mut context = Context::from_waker(Waker::noop());
        let mut stream = Pin::new(&mut self.stream);
        if let Poll::Ready(Ok(_)) = stream.as_mut().poll_write(&mut context, &farewell) {
            let _ = stream.poll_flush(&mut context);
        }
    }
}

impl fmt::Debug for ConnectionWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConnectionWriter").finish_non_exhaustive()
    }
}

impl ConnectionWriter {
    pub(crate) fn new(stream: WriteHalf<Box<dyn Transport>>) -> Self {
        Self {
            stream,
            unwritten: VecDeque::new(),
            flushed: true,
            farewell: None,
        }
    }

    /// Writes this frame if the connection is dropped while it works.
    pub(crate) fn say_when_dropped(&mut self, farewell: Bytes, reader: &ConnectionReader) {
        self.farewell = Some((farewell, Arc::clone(&reader.is_over)));
    }

    /// Notes that the connection is over.
    fn end(&self) {
        if let Some((_, is_over)) = &self.farewell {
            is_over.store(true, Ordering::Relaxed);
        }
    }

    /// Writes frames, each with its line end, in as few system calls as possible.
    ///
    /// Cancel safe: if the future is dropped early, the next call writes the rest.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
    /// let frames = ["1", "2"].map(|uid| {
    ///     format!(r#"{{"service":"Manager","attribute":"identity","args":[],"kwargs":{{}},"uid":"{uid}"}}"#)
    /// });
    /// connection.writer.write(&frames.map(|frame| format!("{frame}\r\n").into())).await?;
    /// for uid in ["1", "2"] {
    ///     let reply = connection.reader.next_line().await?.expect("the manager is still there");
    ///     assert!(String::from_utf8_lossy(reply.content()).contains(&format!(r#""uid":"{uid}""#)));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write(&mut self, frames: &[Bytes]) -> io::Result<()> {
        for frame in frames {
            self.push(frame.clone());
        }
        self.write_pushed().await
    }

    /// Appends a frame, with its line end, to what [`write_pushed`](Self::write_pushed) writes.
    ///
    /// See the example of [`write_pushed`](Self::write_pushed).
    pub fn push(&mut self, frame: Bytes) {
        if !frame.is_empty() {
            self.unwritten.push_back(frame);
            self.flushed = false;
        }
    }

    /// Returns whether all pushed frames are written.
    ///
    /// See the example of [`write_pushed`](Self::write_pushed).
    pub fn is_idle(&self) -> bool {
        self.unwritten.is_empty() && self.flushed
    }

    /// Writes the frames that were pushed, in as few system calls as possible.
    ///
    /// Cancel safe: if the future is dropped early, the next call writes the rest.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let connection = connect(&options, &Introduction::client("Ada")).await?;
    /// let (mut reader, mut writer) = (connection.reader, connection.writer);
    /// let request = r#"{"service":"Manager","attribute":"identity","args":[],"kwargs":{},"uid":"1"}"#;
    /// writer.push(format!("{request}\r\n").into());
    /// // One task reads and writes, whichever can go on.
    /// let reply = loop {
    ///     tokio::select! {
    ///         written = writer.write_pushed(), if !writer.is_idle() => written?,
    ///         line = reader.next_line() => break line?.expect("the manager is still there"),
    ///     }
    /// };
    /// assert!(String::from_utf8_lossy(reply.content()).contains(r#""uid":"1""#));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_pushed(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            let slices: Vec<IoSlice<'_>> = self
                .unwritten
                .iter()
                .take(FRAMES_AT_ONCE)
                .map(|frame| IoSlice::new(frame))
                .collect();
            let written = self
                .stream
                .write_vectored(&slices)
                .await
                .inspect_err(|_| self.end())?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.drop_written(written);
        }
        self.stream.flush().await?;
        self.flushed = true;
        Ok(())
    }

    fn drop_written(&mut self, mut written: usize) {
        while let Some(first) = self.unwritten.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.unwritten.pop_front();
        }
    }

    /// Closes the writing side, which tells the manager that no more frames follow. Pushed frames
    /// that are not written yet are lost: call [`write_pushed`](Self::write_pushed) first.
    ///
    /// Cancel safe: if the future is dropped early, another call completes it.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let mut connection = connect(&options, &Introduction::client("Ada")).await?;
    /// connection.writer.close().await?;
    /// // The manager sees that the device has left, and closes its side.
    /// assert!(connection.reader.next_line().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&mut self) -> io::Result<()> {
        self.end();
        self.stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_write_that_was_dropped_half_way_is_taken_up_where_it_stopped() {
        let (near, mut far) = tokio::io::duplex(4);
        let stream: Box<dyn Transport> = Box::new(near);
        let mut writer = ConnectionWriter::new(tokio::io::split(stream).1);
        let frames = ["0123456789\r\n", "abc\r\n"];
        for frame in frames {
            writer.push(Bytes::from_static(frame.as_bytes()));
        }
        let mut arrived = Vec::new();
        while !writer.is_idle() {
            // The pipe takes four bytes at a time; a write that waits for more capacity is dropped.
            tokio::select! {
                biased;
                written = writer.write_pushed() => written.unwrap(),
                read = far.read_buf(&mut arrived) => assert!(read.unwrap() > 0),
            }
        }
        drop(writer);
        far.read_to_end(&mut arrived).await.unwrap();
        assert_eq!(arrived, frames.concat().as_bytes());
    }
}
