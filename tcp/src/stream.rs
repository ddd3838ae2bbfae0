//! A TCP connection that notices when its peer has vanished.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::socket::Shared;
use crate::{Watch, WatchedSocket};

/// A TCP connection that notices when its peer has vanished.
///
/// See the example of the crate.
#[derive(Debug)]
pub struct WatchedStream {
    read: OwnedReadHalf,
    shared: Arc<Shared>,
}

impl WatchedStream {
    /// Creates a stream that is watched from the first write on. Its socket options stay unchanged
    /// until [`set_options`](Self::set_options) is called.
    pub fn new(stream: TcpStream, watch: &Watch) -> Self {
        let (read, write) = stream.into_split();
        let shared = Arc::new(Shared::new(write, watch.clone()));
        Self { read, shared }
    }

    /// Sets the options by which the operating system notices a vanished peer, and disables Nagle's
    /// algorithm so that small frames are sent at once.
    ///
    /// Fails if the operating system refuses, for example because the connection has already ended.
    pub fn set_options(&self) -> io::Result<()> {
        self.shared.stream().set_nodelay(true)?;
        self.shared.watch().keep_alive().apply(&self.shared.socket())
    }

    /// Limits the bytes that the operating system holds for a peer before it reports that the peer reads
    /// slowly: those that were not sent yet, or on Windows all of its send buffer.
    ///
    /// Fails if the operating system refuses, for example because the connection has already ended.
    pub fn limit_unsent(&self, bytes: u32) -> io::Result<()> {
        let socket = self.shared.socket();
        #[cfg(unix)]
        return socket.set_tcp_notsent_lowat(bytes);
        #[cfg(not(unix))]
        socket.set_send_buffer_size(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Returns the TCP stream, for its addresses and further options.
    pub fn tcp(&self) -> &TcpStream {
        self.shared.stream()
    }

    /// Returns a handle on the connection.
    pub fn socket(&self) -> WatchedSocket {
        WatchedSocket::new(&self.shared)
    }

    /// Writes once the socket has capacity.
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        length: impl FnOnce() -> usize,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.shared.stream();
        let mut length = Some(length);
        loop {
            ready!(stream.poll_write_ready(context))?;
            let mut sent_in_part = None;
            let sent = stream.try_io(Interest::WRITABLE, || {
                let count = write()?;
                // A partial write means that the socket is full: another attempt would waste a
                // system call. The operating system reports when there is capacity again.
                if cfg!(target_os = "linux") && length.take().is_some_and(|length| count < length()) {
                    sent_in_part = Some(count);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(count)
            });
            let sent = match sent_in_part {
                Some(count) => Ok(count),
                None => sent,
            };
            match sent {
                Ok(count) => {
                    self.shared.note_written();
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) if self.shared.has_vanished() => return Poll::Ready(Err(self.shared.error())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut this.read).poll_read(context, into));
        // Data that arrived before is read first.
        let has_read = into.filled().len() > before;
        if !has_read && this.shared.has_vanished() {
            return Poll::Ready(Err(this.shared.error()));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.shared.socket();
        self.poll_send(
            context,
            || bytes.len(),
            || socket.send_with_flags(bytes, NO_SIGNAL),
        )
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.shared.socket();
        self.poll_send(
            context,
            || pieces.iter().map(|piece| piece.len()).sum(),
            || socket.send_vectored_with_flags(pieces, NO_SIGNAL),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = self.shared.socket().shutdown(std::net::Shutdown::Write);
        Poll::Ready(match shut_down {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        })
    }
}

/// Makes writing to a connection that has ended an error instead of a signal.
#[cfg(target_os = "linux")]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: i32 = 0;
