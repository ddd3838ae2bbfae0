//! The deadlines of clients.

use std::collections::BTreeSet;
use std::time::Instant;

use super::peers::PeerId;

/// The deadlines of clients, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Instant, PeerId)>,
}

impl Deadlines {
    /// Adds the deadline of a client that has none. Returns whether it is the earliest of all.
    pub(super) fn insert(&mut self, deadline: Instant, client: PeerId) -> bool {
        let is_first = self.first().is_none_or(|(first, _)| deadline < first);
        self.by_time.insert((deadline, client));
        is_first
    }

    /// Returns the earliest deadline.
    pub(super) fn first(&self) -> Option<(Instant, PeerId)> {
        self.by_time.first().copied()
    }

    /// Removes the deadline of a client, if it has one.
    pub(super) fn remove(&mut self, deadline: Option<Instant>, client: PeerId) {
        if let Some(deadline) = deadline {
            self.by_time.remove(&(deadline, client));
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn clients(&self) -> impl Iterator<Item = PeerId> {
        self.by_time.iter().map(|(_, client)| *client)
    }
}
