//! How connections end.

use std::io;
use std::time::Duration;

use crate::login_end::LoginEnd;
use labwire_wire::LineTooLong;
use labwire_wire::buffers::BuffersError;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a departing peer has to read what is queued for it.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How many bytes of a departing peer's input are read and discarded.
pub(super) const DISCARDED: u64 = 1024 * 1024;

/// The same for the rest of an identity that is too long, from a peer that has authenticated or
/// need not: its sender reads nothing before it has sent all of it.
pub(super) const DISCARDED_IDENTITY: u64 = 64 * 1024 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Departure {
    /// The peer asked to be disconnected.
    Asked,
    /// The peer closed the connection.
    Closed,
    /// Reading or writing failed.
    Failed(io::Error),
    /// A line was too long, so the beginning of the next one is unknown.
    TooLong(LineTooLong),
    /// The number of raw bytes after a line was wrong or unknown, so the beginning of the next line is
    /// unknown.
    Unsplittable(BuffersError),
    /// The last line was refused, and the number of raw bytes after it is unknown.
    Refused,
    /// The peer read too little while others waited for room in its queue.
    Stalled,
    /// The peer failed to log in for an administrator's request.
    WrongLogin,
    /// The login of the peer is not valid any more.
    Dismissed(LoginEnd),
    /// The manager stops.
    Stopping,
    /// The peer has returned to its session on another connection.
    Superseded,
}

impl Departure {
    /// Returns whether it is unknown where the next line begins.
    pub(super) fn is_unsplittable(&self) -> bool {
        matches!(self, Self::TooLong(_) | Self::Unsplittable(_) | Self::Refused)
    }
}

/// Reads and discards some of a peer's further input. Closing a connection with unread bytes resets
/// it, and a reset can overtake the last frames. An endless sender is not read to its end.
pub(super) async fn discard<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<()> {
    discard_up_to(stream, DISCARDED).await
}

pub(super) async fn discard_up_to<R: AsyncRead + Unpin>(stream: &mut R, limit: u64) -> io::Result<()> {
    tokio::io::copy(&mut stream.take(limit), &mut tokio::io::sink()).await?;
    Ok(())
}
