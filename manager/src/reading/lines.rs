//! Reads lines from a connection.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::ready;

use bytes::BufMut;
use labwire_wire::{Line, LineSplitter, LineTooLong};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::budget::LineShare;
use crate::buffers::{self, LARGE_BYTES, Loan};
use crate::refusal::LineEnd;

/// The size in bytes from which a line is long: it has memory of its own, into which the rest is
/// read.
pub(crate) const LONG_LINE_BYTES: usize = 64 * 1024;

/// The most bytes of a large frame that are read at once. A processor core keeps them in its own
/// cache until they are scanned too, and other peers wait for them for some 50 microseconds.
pub(crate) const LARGE_READ_BYTES: usize = 256 * 1024;

/// The most bytes that are read at once while nothing waits. Lines that are read together are
/// forwarded together.
const SCRATCH_BYTES: usize = 256 * 1024;

thread_local! {
    /// The scratch buffer. One per thread serves all connections, so that an idle one has no
    /// buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Lends the thread's scratch buffer to `read`. The next call overwrites its contents.
pub(crate) fn with_scratch<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(scratch))
}

/// Why no line could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    TooLong(#[from] LineTooLong),
    #[error("the bytes are those of another protocol")]
    Foreign,
    #[error(transparent)]
    Ended(#[from] LineEnd),
}

/// Returns whether bytes are read into the memory where they stay: the line is long, or follows a
/// long one.
pub(crate) fn has_own_memory(splitter: &LineSplitter) -> bool {
    splitter.pending() >= LONG_LINE_BYTES || splitter.buffer().capacity() >= LARGE_BYTES / 2
}

/// Reads the bytes that have arrived. Returns their number, 0 at the end of the stream. `loan` is
/// that of the line's memory. Cancel safe.
pub(crate) async fn read_some<R>(
    stream: &mut R,
    splitter: &mut LineSplitter,
    loan: &mut Option<Loan>,
) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    if has_own_memory(splitter) {
        return read_long(stream, splitter, loan).await;
    }
    read_short(stream, splitter).await
}

/// As [`read_some`], through the thread's scratch buffer.
pub(crate) async fn read_short<R>(stream: &mut R, splitter: &mut LineSplitter) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    std::future::poll_fn(|context| {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            splitter.extend(buffer.filled());
            Ok(buffer.filled().len()).into()
        })
    })
    .await
}

/// As [`read_some`], in the middle of a long line: reads into the memory where the bytes stay.
pub(crate) async fn read_long<R>(
    stream: &mut R,
    splitter: &mut LineSplitter,
    loan: &mut Option<Loan>,
) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    let pending = splitter.pending();
    let buffer = splitter.buffer_mut();
    if buffer.capacity() - pending < LONG_LINE_BYTES {
        if pending < LARGE_BYTES / 2 {
            *buffer = buffers::large(buffer);
        } else {
            buffers::grow(buffer, loan);
        }
    }
    stream.read_buf(&mut buffer.limit(LARGE_READ_BYTES)).await
}

/// Reads one line. Returns `None` at the end of the stream. The last line may lack its terminator.
/// The unfinished line counts in `share`. Fails if `is_foreign` returns `true` for the beginning of
/// the line, since another protocol may have no line ends. Cancel safe.
pub(crate) async fn read_line_unless<R>(
    stream: &mut R,
    splitter: &mut LineSplitter,
    share: &mut LineShare,
    is_foreign: impl Fn(&[u8]) -> bool,
) -> Result<Option<Line>, ReadError>
where
    R: AsyncRead + Unpin,
{
    let mut loan = None;
    loop {
        if is_foreign(splitter.buffer()) {
            return Err(ReadError::Foreign);
        }
        if let Some(line) = splitter.next_line()? {
            return Ok(Some(line));
        }
        share.hold(splitter.pending());
        let reading = read_some(stream, splitter, &mut loan);
        let read = if share.is_counted() {
            tokio::select! {
                biased;
                end = share.over_budget() => return Err(end.into()),
                read = reading => read?,
            }
        } else {
            reading.await?
        };
        if read == 0 {
            return Ok(splitter.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::budget::LineBudget;

    #[tokio::test]
    async fn lines_of_any_size_arrive_whole() {
        let (mut near, mut far) = tokio::io::duplex(10_000);
        let large = "x".repeat(3 * LONG_LINE_BYTES);
        let text = format!("one\n{large}\r\ntwo");
        let writing = tokio::spawn(async move {
            near.write_all(text.as_bytes()).await.unwrap();
        });
        let mut splitter = LineSplitter::new(1 << 20);
        let mut share = LineBudget::new(1 << 20).share();
        let mut lines = Vec::new();
        while let Some(line) = read_line_unless(&mut far, &mut splitter, &mut share, |_| false)
            .await
            .unwrap()
        {
            lines.push(line.content().to_vec());
        }
        writing.await.unwrap();
        assert_eq!(lines, [b"one".to_vec(), large.into_bytes(), b"two".to_vec()]);
    }
}
