//! The TCP connections of managers, services and clients.
//!
//! A computer that loses its power or its network sends no end of its connections. A
//! [`WatchedStream`] notices this within a fixed time, [`KeepAlive::limit`], whether the connection
//! is idle or has bytes in flight: its next read then fails with an error for which
//! [`has_vanished`] returns `true`. A peer that is alive but does not read is kept, however long
//! that takes.
//!
//! A [`WatchedSocket`] is a handle on such a connection for tasks other than its reader and writer.
//! [`WatchedSocket::probe`] checks whether the peer is alive at this moment.
//!
//! The TCP implementations of both computers do all of this. Peers receive no additional frames and
//! need no other software.
//!
//! ```
//! use std::time::Duration;
//! use labwire_tcp::{KeepAlive, Watch, WatchedStream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
//! let mut peer = TcpStream::connect(listener.local_addr()?).await?;
//! let (stream, _) = listener.accept().await?;
//!
//! let watch = Watch::new(KeepAlive::every(Duration::from_secs(30)));
//! let mut stream = WatchedStream::new(stream, &watch);
//! stream.set_options()?;
//! stream.write_all(b"hello").await?;
//! let mut text = [0; 5];
//! peer.read_exact(&mut text).await?;
//! assert_eq!(&text, b"hello");
//! # Ok(())
//! # }
//! ```

mod judge;
mod keep_alive;
mod probe;
mod signs;
mod socket;
mod stream;
mod watch;

pub use keep_alive::KeepAlive;
pub use probe::Presence;
pub use socket::{WatchedSocket, has_vanished};
pub use stream::WatchedStream;
pub use watch::Watch;
