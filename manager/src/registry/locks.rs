//! The clients that hold a lock on a service, since when, and until when.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::HashMap;
use jiff::Timestamp;

use super::lock_queue::Ticket;
use super::moment::Moment;
use super::peers::PeerId;
use super::roster::Roster;
use super::terms::Terms;
use crate::refusal::HeldLock;
use crate::sessions::SecretHash;
use labwire_wire::frames::json_string;

/// The clients that hold a lock on one service.
#[derive(Debug, Default)]
pub(super) struct Locks {
    by_client: HashMap<PeerId, Lock>,
    /// The lock that has been held longest comes first, also if the time of day was set back.
    by_age: BTreeMap<Ticket, PeerId>,
    names: Roster,
    /// The number of those that are only kept for their holders.
    reserved: usize,
}

/// Identifies a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ReservationId(pub(super) u64);

/// That a lock is only reserved.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    pub(super) id: ReservationId,
    /// Until when.
    pub(super) until: Timestamp,
    /// The name in the list of holders, which no other has.
    pub(super) listed: Arc<str>,
}

/// The lock of one client.
#[derive(Debug)]
pub(super) struct Lock {
    /// `NAME[HOST:PORT]`.
    pub(super) holder: Arc<str>,
    pub(super) since: Timestamp,
    /// Orders locks by the time at which they were acquired.
    pub(super) number: Ticket,
    /// The number of the request that it was granted to, if that has waited.
    pub(super) asked: Ticket,
    pub(super) terms: Terms,
    /// When it expires unless it is renewed. `None`: it does not.
    pub(super) until: Option<Moment>,
    /// The hash of its holder's secret under which it is noted for the time after a restart of the
    /// manager.
    pub(super) record: Option<SecretHash>,
    /// Set if it is only kept for its holder from before a restart.
    pub(super) reserved: Option<Box<Reserved>>,
}

impl Lock {
    /// Returns when it expires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.until?.instant)
    }

    /// Returns its name in the list of holders.
    fn listed(&self) -> &Arc<str> {
        let listed = self.reserved.as_ref().map(|reserved| &reserved.listed);
        listed.unwrap_or(&self.holder)
    }
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

    /// Returns the lock of a client.
    pub(super) fn get(&self, client: PeerId) -> Option<&Lock> {
        self.by_client.get(&client)
    }

    pub(super) fn get_mut(&mut self, client: PeerId) -> Option<&mut Lock> {
        self.by_client.get_mut(&client)
    }

    /// Returns whether a client holds a lock that is not only kept for it.
    pub(super) fn is_held_by(&self, client: PeerId) -> bool {
        self.get(client).is_some_and(|lock| lock.reserved.is_none())
    }

    /// Returns whether a lock is only kept for its holder, who may link in spite of the others.
    pub(super) fn has_reserved(&self) -> bool {
        self.reserved > 0
    }

    /// Records a lock that is kept for its holder, which `id` stands for.
    pub(super) fn insert_reserved(
        &mut self,
        id: PeerId,
        holder: &Arc<str>,
        terms: Terms,
        reserved: Reserved,
        number: Ticket,
        since: Timestamp,
    ) {
        let entry = format!(",{}", json_string(holder)).into();
        self.names.insert(Arc::clone(&reserved.listed), entry);
        self.by_age.insert(number, id);
        self.reserved += 1;
        let lock = Lock {
            holder: Arc::clone(holder),
            since,
            number,
            asked: number,
            terms,
            until: None,
            record: None,
            reserved: Some(Box::new(reserved)),
        };
        self.by_client.insert(id, lock);
    }

    /// Returns whether another client holds a lock.
    pub(super) fn is_held_by_another(&self, client: PeerId) -> bool {
        self.len() > usize::from(self.contains(client))
    }

    /// Records that the client of that name holds a lock from `now` on. If it holds one already, it
    /// keeps its time, and the terms are replaced. `entry` is its name as an entry of a list, `number`
    /// is new, and `asked` the number of the request.
    ///
    /// Returns when the lock would have expired before, and when it expires now.
    pub(super) fn insert(
        &mut self,
        id: PeerId,
        name: &Arc<str>,
        entry: Bytes,
        terms: Terms,
        [number, asked]: [Ticket; 2],
        now: Moment,
    ) -> [Option<Instant>; 2] {
        let until = terms.ttl.map(|ttl| now.after(ttl));
        let before = match self.by_client.entry(id) {
            Entry::Vacant(place) => {
                place.insert(Lock {
                    holder: Arc::clone(name),
                    since: now.time,
                    number,
                    asked,
                    terms,
                    until,
                    record: None,
                    reserved: None,
                });
                self.by_age.insert(number, id);
                self.names.insert(Arc::clone(name), entry);
                None
            }
            Entry::Occupied(mut place) => {
                let lock = place.get_mut();
                let before = lock.deadline();
                (lock.terms, lock.until) = (terms, until);
                before
            }
        };
        [before, until.map(|until| until.instant)]
    }

    /// Lets a client's lock expire later: `ttl` after `now`, or as long as before if that is
    /// `None`. Returns the deadlines as [`insert`](Self::insert) does, and the lock; `None` if the
    /// client holds none.
    pub(super) fn renew(
        &mut self,
        client: PeerId,
        ttl: Option<Duration>,
        now: Moment,
    ) -> Option<([Option<Instant>; 2], &Lock)> {
        let lock = self.by_client.get_mut(&client)?;
        let before = lock.deadline();
        lock.terms.ttl = ttl.or(lock.terms.ttl);
        lock.until = lock.terms.ttl.map(|ttl| now.after(ttl));
        Some(([before, lock.deadline()], lock))
    }

    /// Removes the lock of a client. Returns it, if there was one.
    pub(super) fn remove(&mut self, client: PeerId) -> Option<Lock> {
        let lock = self.by_client.remove(&client)?;
        self.by_age.remove(&lock.number);
        self.names.remove(lock.listed());
        self.reserved -= usize::from(lock.reserved.is_some());
        Some(lock)
    }

    /// Returns the names of the clients.
    pub(super) fn names(&self) -> &Roster {
        &self.names
    }

    /// Returns the locks, the oldest first, each with its client.
    pub(super) fn by_age(&self) -> impl Iterator<Item = (PeerId, &Lock)> {
        let ids = self.by_age.values();
        ids.filter_map(|id| Some((*id, self.by_client.get(id)?)))
    }

    /// Returns the lock of another client than `client` that has been held longest, and the number of
    /// further ones; `None` if there is none. `waiting` is the number of requests that wait.
    pub(super) fn held(&self, client: PeerId, waiting: usize) -> Option<Box<HeldLock>> {
        let (_, oldest) = self.by_age().find(|(holder, _)| *holder != client)?;
        Some(Box::new(HeldLock {
            holder: oldest.holder.to_string(),
            since: oldest.since,
            until: match &oldest.reserved {
                Some(reserved) => Some(reserved.until),
                None => oldest.until.map(|until| until.time),
            },
            is_reserved: oldest.reserved.is_some(),
            reason: oldest.terms.reason.clone(),
            shared: oldest.terms.shared,
            others: self.len() - 1 - usize::from(self.contains(client)),
            waiting,
        }))
    }
}
