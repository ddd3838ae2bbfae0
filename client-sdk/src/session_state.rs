//! What became of a client's session.

use std::time::Duration;

/// The state of a client's session with the manager, from [`Client::session`](crate::Client::session).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{Client, SessionState};
///
/// let client = Client::connect("Ada", options.session(false)).await?;
/// assert_eq!(client.session(), SessionState::None);
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// There is none: the options want none, or the manager keeps none. When the connection breaks,
    /// links, locks and calls in flight are lost with it.
    None,
    /// The session has begun with this connection.
    New,
    /// The connection is broken. The manager keeps the session until the grace period is over, and
    /// the client is returning to it.
    Away,
    /// The client has returned to its session: links, locks and calls in flight were kept.
    Kept,
    /// The session has ended while the client was away. Locks and the calls in flight are lost. A
    /// client that reconnects is registered anew and makes its links again. If the manager was
    /// restarted, it has kept the locks, and they are taken again: see
    /// [`LockGuard`](crate::LockGuard).
    Lost,
}

impl SessionState {
    /// Returns the state of a session that has just begun, if one has.
    pub(crate) fn of(grace: Option<Duration>) -> Self {
        grace.map_or(Self::None, |_| Self::New)
    }
}
