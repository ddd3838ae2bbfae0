//! What a refusal says about a lock.

use serde::Deserialize;

/// What the manager says about a lock in the way of a request: see
/// [`CallError::lock`](crate::CallError::lock). Managers before Labwire 0.2 say nothing.
///
/// See the example of [`LockOptions`](crate::LockOptions).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct LockState {
    /// The service.
    pub service: String,
    /// The network name of the client that has held its lock longest. `None` if links, or requests
    /// that wait, are in the way.
    pub holder: Option<String>,
    /// The number of other clients that hold a lock.
    pub others: usize,
    /// Whether the lock is shared.
    pub shared: Option<bool>,
    /// Since when it is held: a date and time (UTC, RFC 3339).
    pub since: Option<String>,
    /// When it expires unless it is renewed: a date and time (UTC, RFC 3339).
    pub until: Option<String>,
    /// Whether it is only kept for the holder, who had it before the manager was restarted, `until`
    /// then.
    pub reserved: bool,
    /// The reason that the holder gave.
    pub reason: Option<String>,
    /// The position in the queue that the request had, or would have had, counted from 1.
    pub position: usize,
    /// Set if it was the own lock, which has ended: `expired` or `broken`.
    pub ended: Option<String>,
    /// When it has ended: a date and time (UTC, RFC 3339).
    pub at: Option<String>,
    /// The administrator who has broken it.
    pub by: Option<String>,
}
