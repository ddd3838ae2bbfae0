//! How connections end.

use std::io;
use std::time::Duration;

use labwire_wire::LineTooLong;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a peer that is on its way out has to read what still waits for it.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How much is read of what a peer sends that is on its way out, in bytes.
pub(super) const DISCARDED: u64 = 1024 * 1024;

/// The same of the rest of an identity that is too long, from a peer that has authenticated or needs not: its sender reads
/// nothing before it has sent all of it.
pub(super) const DISCARDED_IDENTITY: u64 = 64 * 1024 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Departure {
    /// It asked to be disconnected.
    Asked,
    /// The peer closed the connection.
    Closed,
    /// Reading or writing failed.
    Failed(io::Error),
    /// A line was too long: where the next begins is not known.
    TooLong(LineTooLong),
    /// It read nothing, or next to nothing, while others waited for room in its queue.
    Stalled,
    /// It failed to log in for an administrator's request.
    WrongLogin,
    /// The manager stops.
    Stopping,
}

/// Reads some of what a peer still sends. A connection that is closed with bytes unread is reset, and a reset
/// overtakes the last words that were sent; but who goes on sending without end is not listened to.
pub(super) async fn discard<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<()> {
    discard_up_to(stream, DISCARDED).await
}

pub(super) async fn discard_up_to<R: AsyncRead + Unpin>(stream: &mut R, limit: u64) -> io::Result<()> {
    tokio::io::copy(&mut stream.take(limit), &mut tokio::io::sink()).await?;
    Ok(())
}
