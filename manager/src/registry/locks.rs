//! Who holds a lock on a service, and since when.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;
use jiff::Timestamp;

use super::PeerId;
use crate::refusal::Held;

/// The clients that hold a lock on one service.
#[derive(Debug, Default)]
pub(super) struct Locks(HashMap<PeerId, Lock>);

/// The lock of one client.
#[derive(Debug)]
struct Lock {
    /// `NAME[HOST:PORT]`.
    holder: Arc<str>,
    since: Timestamp,
}

impl Locks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, client: PeerId) -> bool {
        self.0.contains_key(&client)
    }

    /// Notes that a client of that name holds a lock since `now`, unless it has held one for longer.
    pub(super) fn insert(&mut self, client: PeerId, name: &Arc<str>, now: Timestamp) {
        if let Entry::Vacant(place) = self.0.entry(client) {
            place.insert(Lock {
                holder: Arc::clone(name),
                since: now,
            });
        }
    }

    pub(super) fn remove(&mut self, client: PeerId) {
        self.0.remove(&client);
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &PeerId> {
        self.0.keys()
    }

    /// Who holds a lock, if anybody does: the client that has held one for the longest time is named.
    pub(super) fn held(&self) -> Option<Held> {
        let (_, oldest) = self
            .0
            .iter()
            .min_by_key(|(client, lock)| (lock.since, **client))?;
        Some(Held {
            holder: oldest.holder.to_string(),
            since: oldest.since,
            others: self.0.len() - 1,
        })
    }
}
