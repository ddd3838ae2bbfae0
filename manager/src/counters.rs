//! What was counted since the manager started.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was counted since the manager started. Only sums are read, so no order between them is needed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections that were accepted.
    pub(crate) connections: AtomicU64,
    /// Connections that ended before they were identified.
    pub(crate) rejected: AtomicU64,
    /// Requests that went to a service.
    pub(crate) requests: AtomicU64,
    /// Replies that went to a client.
    pub(crate) replies: AtomicU64,
    /// Requests that were refused when they were routed.
    pub(crate) refused: AtomicU64,
    /// Requests whose service left before it replied.
    pub(crate) abandoned: AtomicU64,
    /// Notifications that services emitted.
    pub(crate) notifications: AtomicU64,
    /// Notifications that were queued for a client.
    pub(crate) deliveries: AtomicU64,
    /// Replies that nobody waited for, and notifications in another's name.
    pub(crate) unsolicited: AtomicU64,
    /// Lines that were no frame.
    pub(crate) malformed: AtomicU64,
    /// Peers that were cut because they did not read.
    pub(crate) cut: AtomicU64,
    /// Logins that failed or were not tried after too many failures.
    pub(crate) failed_logins: AtomicU64,
}

impl Counters {
    /// Adds one; gives the new sum.
    pub(crate) fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds so many.
    pub(crate) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Every counter by its name.
    pub(crate) fn all(&self) -> [(&'static str, u64); 12] {
        [
            ("connections", &self.connections),
            ("rejected", &self.rejected),
            ("requests", &self.requests),
            ("replies", &self.replies),
            ("refused", &self.refused),
            ("abandoned", &self.abandoned),
            ("notifications", &self.notifications),
            ("deliveries", &self.deliveries),
            ("unsolicited", &self.unsolicited),
            ("malformed", &self.malformed),
            ("cut", &self.cut),
            ("failed_logins", &self.failed_logins),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}
