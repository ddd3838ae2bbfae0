//! What ends by itself, and when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::lock_queue::Ticket;
use super::locks::ReservationId;
use super::peers::PeerId;
use super::tracked::TrackedId;

/// What ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiring {
    /// The wait of a client that sends no more for its last replies.
    LastReplies(PeerId),
    /// The lock on a service, the first one, of a client.
    Lease(PeerId, PeerId),
    /// The wait of a request for a lock on a service.
    LockWait(PeerId, Ticket),
    /// A request in flight.
    Request(TrackedId),
    /// The grace period of a peer that is away.
    Away(PeerId),
    /// A lock that is kept for its holder from before a restart of the manager.
    Reservation(ReservationId),
    /// A request that waits for approval.
    Approval(u64),
}

/// What ends by itself, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Instant, Expiring)>,
    earlier: Arc<Notify>,
}

impl Deadlines {
    /// Adds a deadline.
    pub(super) fn insert(&mut self, deadline: Instant, expiring: Expiring) {
        if self.first().is_none_or(|(first, _)| deadline < first) {
            self.earlier.notify_one();
        }
        self.by_time.insert((deadline, expiring));
    }

    /// Returns the earliest deadline.
    pub(super) fn first(&self) -> Option<(Instant, Expiring)> {
        self.by_time.first().copied()
    }

    /// Removes a deadline, if there is one.
    pub(super) fn remove(&mut self, deadline: Option<Instant>, expiring: Expiring) {
        if let Some(deadline) = deadline {
            self.by_time.remove(&(deadline, expiring));
        }
    }

    /// Returns the notification of a deadline that is earlier than all others.
    pub(super) fn earlier(&self) -> Arc<Notify> {
        Arc::clone(&self.earlier)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn all(&self) -> impl Iterator<Item = Expiring> {
        self.by_time.iter().map(|(_, expiring)| *expiring)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn only_the_earliest_deadline_wakes_the_one_who_waits() {
        let mut deadlines = Deadlines::default();
        let earlier = deadlines.earlier();
        let is_woken = || async { timeout(Duration::ZERO, earlier.notified()).await.is_ok() };
        let now = Instant::now();
        let [first, second] = [0, 1].map(|number| Expiring::LastReplies(PeerId::sample(number)));
        deadlines.insert(now, first);
        assert!(is_woken().await);
        deadlines.insert(now + Duration::from_secs(1), second);
        assert!(!is_woken().await);
        deadlines.remove(Some(now), first);
        deadlines.insert(now, first);
        assert!(is_woken().await);
        assert_eq!(deadlines.first(), Some((now, first)));
    }
}
