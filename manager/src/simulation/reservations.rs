//! Predicts the locks that are kept for their holders over a restart of the manager.

use std::sync::Arc;
use std::time::Duration;

use labwire_store::{Lease, LeaseKey};
use labwire_wire::Identity;

use super::locks::of_day;
use super::model::Model;
use super::speech::REASON;
use super::state::Key;
use crate::principal::Principal;
use crate::refusal::{HeldLock, LockCause, LockEnd, LockObstacle, LockRefusal, Refusal};
use crate::sessions::{SecretHash, SessionLimits};

/// A lock that is kept for its holder.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    /// Orders them by the time at which they were noted.
    pub(super) number: usize,
    /// What is written of the lock.
    pub(super) lease: Lease,
    /// The client that has returned and presented the secret of the holder.
    pub(super) client: Option<Key>,
    /// `None` if its client is there, and its service is not.
    pub(super) until: Option<Duration>,
    /// Orders it among the locks on its service, while that is there.
    pub(super) place: usize,
}

impl Reserved {
    /// Describes the lock for the refusal of another client.
    pub(super) fn held(&self, others: usize, waiting: usize) -> HeldLock {
        HeldLock {
            holder: self.lease.holder.to_string(),
            since: self.lease.since,
            until: self.until.map(of_day),
            is_reserved: true,
            reason: self.lease.reason.clone(),
            shared: self.lease.shared,
            others,
            waiting,
        }
    }
}

/// What happened around restarts of the manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    /// The managers that were killed, and those that stopped in order.
    pub(crate) killed: u64,
    pub(crate) stopped: u64,
    /// The locks that were kept, and those that had expired before the next start.
    pub(crate) kept: u64,
    pub(crate) expired_before: u64,
    /// The kept locks that their holders acquired again.
    pub(crate) taken_again: u64,
    /// The kept locks that ended otherwise: given up, not acquired in time, and broken.
    pub(crate) given_up: u64,
    pub(crate) not_in_time: u64,
    pub(crate) broken: u64,
    /// The refusals of others because of a kept lock.
    pub(crate) rivals_refused: u64,
}

impl Restarts {
    /// Returns the counts with their names.
    #[cfg(test)]
    pub(crate) fn all(self) -> [(&'static str, u64); 9] {
        [
            ("killed", self.killed),
            ("stopped in order", self.stopped),
            ("locks kept", self.kept),
            ("expired before", self.expired_before),
            ("taken again", self.taken_again),
            ("given up", self.given_up),
            ("not in time", self.not_in_time),
            ("broken", self.broken),
            ("rivals refused", self.rivals_refused),
        ]
    }
}

/// Returns whether a refusal is because of a lock that is kept for another client.
pub(super) fn is_about_reserved(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Locked { held, .. } | Refusal::CallLocked { held, .. } => held.is_reserved,
        Refusal::Lock(refusal) => match &**refusal {
            LockRefusal::NotGranted {
                obstacle: LockObstacle::Held(held),
                ..
            } => held.is_reserved,
            _ => false,
        },
        _ => false,
    }
}

/// Sorts leases as the database returns them: the oldest first.
pub(super) fn sort(leases: &mut [Lease]) {
    leases.sort_by_key(|lease| {
        (
            lease.since,
            Arc::clone(&lease.key.service),
            Arc::clone(&lease.holder),
        )
    });
}

impl Model {
    /// Returns all locks of clients that can prove after a restart that they held them.
    pub(super) fn leases(&self) -> Vec<Lease> {
        let held = self.locks.keys();
        let held = held.filter_map(|(service, client)| self.lease_of(*service, *client));
        let reserved = self.reserved.iter().map(|reserved| reserved.lease.clone());
        let mut leases: Vec<Lease> = held.chain(reserved).collect();
        sort(&mut leases);
        leases
    }

    fn lease_of(&self, service: Key, client: Key) -> Option<Lease> {
        let (held, holder) = (&self.locks[&(service, client)], &self.peers[&client]);
        let (shared, ttl, has_reason) = held.terms;
        Some(Lease {
            key: LeaseKey {
                service: self.peers[&service].identity.name.as_str().into(),
                secret_hash: holder.secret?.bytes(),
            },
            holder: holder.full_name().into(),
            name: holder.identity.name.as_str().into(),
            user: None,
            ip: Principal::sample().from.ip.to_string().into(),
            shared,
            reason: has_reason.then(|| REASON.into()),
            ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
            until: held.until.map(of_day),
            since: of_day(held.since),
            grace: holder.grace(),
        })
    }

    /// Replaces this by the model of the next manager, for which these locks are kept. One with a time
    /// to live is kept no longer than that.
    pub(super) fn restart(&mut self, leases: Vec<Lease>) {
        let next = Self::new(self.in_flight_limit);
        let before = std::mem::replace(self, next);
        self.time = before.time;
        self.restarts = before.restarts;
        self.written = before.written;
        let kept = leases.len();
        self.reserve(leases);
        self.restarts.kept += self.reserved.len() as u64;
        self.restarts.expired_before += (kept - self.reserved.len()) as u64;
    }

    /// Keeps locks for their holders, who are not there.
    pub(super) fn reserve(&mut self, leases: Vec<Lease>) {
        for lease in leases {
            let mut grace = lease.grace.min(SessionLimits::default().grace);
            if let Some(until) = lease.until {
                let left = until.duration_since(self.now());
                grace = grace.min(Duration::try_from(left).unwrap_or_default());
            }
            if grace.is_zero() {
                continue;
            }
            self.last_reserved += 1;
            let service = Arc::clone(&lease.key.service);
            self.reserved.push(Reserved {
                number: self.last_reserved,
                lease,
                client: None,
                until: Some(self.seconds() + grace),
                place: 0,
            });
            self.place(self.reserved.len() - 1, &service);
        }
    }

    /// Keeps the locks of a client for the next start, since it leaves because the manager stops.
    pub(super) fn keep_locks_of(&mut self, client: Key) {
        let own = self
            .reserved
            .iter()
            .filter(|reserved| reserved.client == Some(client));
        let own = own.map(|reserved| reserved.lease.clone());
        let held = self.locks.keys().filter(|pair| pair.1 == client);
        let held = held.filter_map(|(service, _)| self.lease_of(*service, client));
        let mut leases: Vec<Lease> = own.chain(held).collect();
        sort(&mut leases);
        self.reserved.retain(|reserved| reserved.client != Some(client));
        self.reserve(leases);
    }

    /// Gives a lock that is kept its place among the locks on its service, if that is there.
    fn place(&mut self, index: usize, service: &str) {
        if self.service_named(service).is_none() {
            return;
        }
        self.last_lock += 1;
        let now = self.seconds();
        let reserved = &mut self.reserved[index];
        reserved.place = self.last_lock;
        reserved.until.get_or_insert(now + reserved.lease.grace);
    }

    /// Gives the locks their places that are kept on a service that has joined.
    pub(super) fn place_reserved(&mut self, service: &str) {
        for index in 0..self.reserved.len() {
            if *self.reserved[index].lease.key.service == *service {
                self.place(index, service);
            }
        }
    }

    /// Lets the locks wait that are kept on a service that has left: those whose holders are back for
    /// as long as it takes.
    pub(super) fn displace_reserved(&mut self, service: &str) {
        for reserved in &mut self.reserved {
            if *reserved.lease.key.service == *service && reserved.client.is_some() {
                reserved.until = None;
            }
        }
    }

    /// Returns whether this lock is kept for a client that presents that secret.
    fn is_for(reserved: &Reserved, identity: &Identity, secret: SecretHash) -> bool {
        let Lease { key, name, .. } = &reserved.lease;
        reserved.client.is_none() && key.secret_hash == secret.bytes() && **name == *identity.name
    }

    /// Returns whether locks are kept for a client that presents that secret.
    pub(super) fn held_before(&self, identity: &Identity, secret: SecretHash) -> bool {
        let mut all = self.reserved.iter();
        matches!(identity.role, labwire_wire::Role::Client)
            && all.any(|reserved| Self::is_for(reserved, identity, secret))
    }

    /// Notes the session of a peer that has joined, and the locks that are kept for it if it presents
    /// its secret from before. Returns their services.
    pub(super) fn begin_session(
        &mut self,
        key: Key,
        own: SecretHash,
        presented: Option<SecretHash>,
    ) -> Vec<String> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Vec::new();
        };
        peer.secret = Some(own);
        let (identity, holder, grace) = (peer.identity.clone(), peer.full_name(), peer.grace());
        let (now, mut claimed) = (self.seconds(), Vec::new());
        for index in 0..self.reserved.len() {
            let reserved = &mut self.reserved[index];
            if !presented.is_some_and(|secret| Self::is_for(reserved, &identity, secret)) {
                continue;
            }
            (reserved.client, reserved.until) = (Some(key), None);
            let lease = &mut reserved.lease;
            lease.key.secret_hash = own.bytes();
            lease.holder = holder.as_str().into();
            lease.grace = grace;
            lease.until = lease.ttl.map(|ttl| of_day(now + ttl));
            let service = lease.key.service.to_string();
            self.place(index, &service);
            self.sums.reservations_claimed += 1;
            claimed.push(service);
        }
        claimed
    }

    /// Returns the locks that are kept on a service.
    pub(super) fn reserved_on(&self, service: Key) -> impl Iterator<Item = &Reserved> {
        let name = &self.peers[&service].identity.name;
        let all = self.reserved.iter();
        all.filter(move |reserved| *reserved.lease.key.service == **name)
    }

    /// Returns whether a lock is kept on a service of that name, which need not be there.
    pub(super) fn has_reserved_named(&self, service: &str) -> bool {
        let mut all = self.reserved.iter();
        all.any(|reserved| *reserved.lease.key.service == *service)
    }

    /// Returns the locks that are kept on a service for others than this client.
    pub(super) fn reserved_for_others(&self, service: Key, client: Key) -> impl Iterator<Item = &Reserved> {
        let all = self.reserved_on(service);
        all.filter(move |reserved| reserved.client != Some(client))
    }

    /// Returns whether a lock on a service is kept for this client.
    pub(super) fn has_reserved(&self, service: Key, client: Key) -> bool {
        self.reserved_on(service)
            .any(|reserved| reserved.client == Some(client))
    }

    /// Returns the service of a lock that is kept for this client, if there is one.
    pub(super) fn service_reserved_for(&self, client: Key) -> Option<String> {
        let mut all = self.reserved.iter();
        let first = all.find(|reserved| reserved.client == Some(client))?;
        Some(first.lease.key.service.to_string())
    }

    /// Removes the lock that is kept for a client which now holds it. Returns since when it held it.
    pub(super) fn redeem(&mut self, client: Key, service: Key) -> Option<Duration> {
        let number = self
            .reserved_on(service)
            .find(|reserved| reserved.client == Some(client))?
            .number;
        let Reserved { lease, .. } = self.take_reserved(number);
        self.restarts.taken_again += 1;
        Some(Duration::from_secs(
            u64::try_from(lease.since.as_second()).unwrap_or_default(),
        ))
    }

    fn take_reserved(&mut self, number: usize) -> Reserved {
        let place = self
            .reserved
            .iter()
            .position(|reserved| reserved.number == number);
        self.reserved.remove(place.expect("it is kept"))
    }

    /// Gives up the locks that are kept for a client that has returned: that on one service, or all.
    /// Returns whether there was one.
    pub(super) fn release_reserved(&mut self, client: Key, service: Option<&str>) -> bool {
        let before = self.reserved.len();
        self.reserved.retain(|reserved| {
            let is_it = service.is_none_or(|service| *reserved.lease.key.service == *service);
            reserved.client != Some(client) || !is_it
        });
        self.restarts.given_up += (before - self.reserved.len()) as u64;
        before > self.reserved.len()
    }

    /// Ends a lock that is kept and that its holder has not acquired in time.
    pub(super) fn expire_reserved(&mut self, number: usize, at: jiff::Timestamp) {
        self.sums.reservations_expired += 1;
        self.restarts.not_in_time += 1;
        let cause = LockCause::NotAcquired;
        self.end_reserved(number, &LockEnd { at, cause });
    }

    /// Breaks the locks that are kept on a service. Returns their places and holders.
    pub(super) fn break_reserved(&mut self, service: &str, end: &LockEnd) -> Vec<(usize, String)> {
        let all = self.reserved.iter();
        let broken: Vec<_> = all
            .filter(|reserved| *reserved.lease.key.service == *service)
            .cloned()
            .collect();
        for reserved in &broken {
            self.sums.locks_broken += 1;
            self.restarts.broken += 1;
            self.end_reserved(reserved.number, end);
        }
        let names = broken.into_iter();
        names
            .map(|reserved| (reserved.place, reserved.lease.holder.to_string()))
            .collect()
    }

    /// Ends a lock that is kept. A holder that has returned is told, and has no access to its service until
    /// it links again.
    fn end_reserved(&mut self, number: usize, end: &LockEnd) {
        let Reserved { lease, client, .. } = self.take_reserved(number);
        let Some(client) = client else {
            return;
        };
        self.tell_lock_end(client, &lease.key.service, end);
        if let Some(service) = self.service_named(&lease.key.service) {
            self.end_access(service, client, end.clone());
        }
    }
}
