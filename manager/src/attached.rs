//! Connections in memory, for programs in the manager's own process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// The most bytes in flight in each direction, as in the buffers of a socket.
const BUFFERED: usize = 256 * 1024;

/// A program's end of a connection in memory to a manager in the same process.
///
/// It carries the wire protocol, as a TCP connection without TLS does. The program is asked to
/// authenticate and to identify itself, the manager's limits apply to it, and dropping it ends the
/// connection. It belongs to no runtime: the program may read and write it on any.
///
/// Reading and writing are cancel safe.
#[derive(Debug)]
pub struct AttachedStream(DuplexStream);

impl AttachedStream {
    /// Returns the program's end and the manager's end.
    pub(crate) fn pair() -> (Self, DuplexStream) {
        let (program, manager) = duplex(BUFFERED);
        (Self(program), manager)
    }
}

impl AsyncRead for AttachedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for AttachedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
