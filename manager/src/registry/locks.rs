//! The clients that hold a lock on a service, and since when.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use jiff::Timestamp;

use super::peers::PeerId;
use super::roster::Roster;
use crate::refusal::HeldLock;

/// The clients that hold a lock on one service.
#[derive(Debug, Default)]
pub(super) struct Locks {
    by_client: HashMap<PeerId, Lock>,
    /// The lock that has been held longest comes first.
    by_time: BTreeSet<(Timestamp, PeerId)>,
    names: Roster,
}

/// The lock of one client.
#[derive(Debug)]
struct Lock {
    /// `NAME[HOST:PORT]`.
    holder: Arc<str>,
    since: Timestamp,
}

impl Locks {
    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    pub(super) fn contains(&self, client: PeerId) -> bool {
        self.by_client.contains_key(&client)
    }

    /// Records that the client of that name holds a lock since `now`, unless it holds one already.
    /// `entry` is its name as an entry of a list.
    pub(super) fn insert(&mut self, id: PeerId, name: &Arc<str>, entry: Bytes, now: Timestamp) {
        if let Entry::Vacant(place) = self.by_client.entry(id) {
            place.insert(Lock {
                holder: Arc::clone(name),
                since: now,
            });
            self.by_time.insert((now, id));
            self.names.insert(Arc::clone(name), entry);
        }
    }

    pub(super) fn remove(&mut self, client: PeerId) {
        if let Some(lock) = self.by_client.remove(&client) {
            self.by_time.remove(&(lock.since, client));
            self.names.remove(&lock.holder);
        }
    }

    /// Returns the names of the clients.
    pub(super) fn names(&self) -> &Roster {
        &self.names
    }

    /// Returns the holders, each with the time of its lock, the oldest first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.by_time.iter().filter_map(|(since, id)| {
            let lock = self.by_client.get(id)?;
            Some((&*lock.holder, *since))
        })
    }

    /// Returns the client that has held a lock longest, and the number of others; `None` if there
    /// is no lock.
    pub(super) fn held(&self) -> Option<HeldLock> {
        let (since, oldest) = self.by_time.first()?;
        Some(HeldLock {
            holder: self.by_client.get(oldest)?.holder.to_string(),
            since: *since,
            others: self.len() - 1,
        })
    }

    /// Returns the clients.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn clients(&self) -> impl Iterator<Item = &PeerId> {
        self.by_client.keys()
    }
}
