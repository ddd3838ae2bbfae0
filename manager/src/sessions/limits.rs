//! Limits of sessions.

use std::time::Duration;

/// Limits of sessions, of peers with the feature `sessions`. The default is that of each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The longest time for which a peer may ask that its place is kept after a broken connection.
    /// A peer that asks for none has 30 s, or this if it is less. Default: 1 hour.
    pub grace: Duration,
    /// The bytes that are kept for one peer: those that it has not confirmed, and those that are
    /// queued for it while it is away. Default: 1 MiB.
    pub kept: usize,
    /// The most peers that are away. The last quarter of these places is for peers of users, or
    /// else of addresses, that have fewer than their share. Beyond them, a peer is released when its
    /// connection breaks. Default: 1,000.
    pub away: usize,
}

impl SessionLimits {
    /// The time for which the place of a peer is kept that does not ask for one.
    pub(crate) const USUAL_GRACE: Duration = Duration::from_secs(30);

    /// Returns the time for which the place of a peer is kept that asks for `seconds`.
    pub(crate) fn grace_for(&self, seconds: Option<u64>) -> Duration {
        let asked = seconds.map_or(Self::USUAL_GRACE, Duration::from_secs);
        asked.min(self.grace)
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            grace: Duration::from_hours(1),
            kept: 1024 * 1024,
            away: 1_000,
        }
    }
}
