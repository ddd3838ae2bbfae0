//! Reads encrypted bytes in pieces that are worth a system call.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read at once: four full records.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The scratch buffer for encrypted bytes. One per thread serves all connections, so that an
    /// idle one has no buffer. It is always empty, and so takes no more memory than the longest
    /// read has touched.
    static ENCRYPTED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(READ_BYTES));
}

/// A stream below a TLS session. The session asks for 4 KiB at a time: a quarter of a full record,
/// and a fiftieth of what arrives at once from a busy peer. Bytes beyond that wait here.
#[derive(Debug)]
pub(crate) struct ReadAhead<S> {
    stream: S,
    waiting: Bytes,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            waiting: Bytes::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.waiting.is_empty() {
            this.waiting = ready!(ENCRYPTED.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::uninit(scratch.spare_capacity_mut());
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
                let (now, later) = read.filled().split_at(read.filled().len().min(into.remaining()));
                into.put_slice(now);
                Poll::Ready(Ok::<_, io::Error>(Bytes::copy_from_slice(later)))
            }))?;
            return Poll::Ready(Ok(()));
        }
        let count = this.waiting.len().min(into.remaining());
        into.put_slice(&this.waiting[..count]);
        this.waiting.advance(count);
        if this.waiting.is_empty() {
            // Frees the memory.
            this.waiting = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_read_ahead_is_given_out_in_order_and_then_the_end() {
        let (mut near, far) = tokio::io::duplex(2 * READ_BYTES);
        let sent: Vec<u8> = (0..251).cycle().take(READ_BYTES + 1_000).collect();
        near.write_all(&sent).await.unwrap();
        drop(near);
        let mut stream = ReadAhead::new(far);
        let mut received = Vec::new();
        let mut piece = [0; 1_000];
        loop {
            let count = stream.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            received.extend_from_slice(&piece[..count]);
        }
        assert_eq!(received, sent);
    }
}
