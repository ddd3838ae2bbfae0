//! Notes which locks are held by clients that can prove it after a restart of the manager: those
//! with a session. The notes go to the database without anybody waiting for it.

use std::sync::Arc;

use labwire_store::{Lease, LeaseChange, LeaseKey};

use super::locks::Lock;
use super::peers::PeerId;
use super::state::{Client, Holder, Registry};
use crate::sessions::SecretHash;
#[cfg(any(test, feature = "fuzzing"))]
use std::collections::HashSet;

impl Holder {
    /// Returns what is noted of the lock of this client on a service.
    fn lease(&self, service: &Arc<str>, client: &Client, lock: &Lock) -> Lease {
        Lease {
            key: self.secret.key(service),
            holder: Arc::clone(&client.name),
            name: Arc::clone(&self.name),
            user: self.user.clone(),
            ip: client.principal.from.ip.to_string().into(),
            shared: lock.terms.shared,
            reason: lock.terms.reason.clone(),
            ttl: lock.terms.ttl,
            until: lock.until.map(|until| until.time),
            since: lock.since,
            grace: self.grace,
        }
    }
}

/// The changes that are not yet handed to the database.
#[derive(Debug, Default)]
pub(super) struct LeaseChanges {
    changes: Vec<LeaseChange>,
    /// Locks that were not noted, since too many are.
    left_out: usize,
    /// What the database has once all changes are written.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) standing: HashSet<LeaseKey>,
}

impl LeaseChanges {
    pub(super) fn push(&mut self, change: LeaseChange) {
        #[cfg(any(test, feature = "fuzzing"))]
        match &change {
            LeaseChange::Held(lease) => {
                self.standing.insert(lease.key.clone());
            }
            LeaseChange::Ended(key) => {
                self.standing.remove(key);
            }
        }
        self.changes.push(change);
    }
}

impl Registry {
    /// Notes a client's lock on a service, if the client has a session. Call it whenever the terms
    /// of the lock have changed.
    pub(super) fn record_lock(&mut self, client: PeerId, id: PeerId) {
        let (Some(service), Some(state)) = (self.services.get_mut(id), self.clients.get_mut(client)) else {
            return;
        };
        let (Some(holder), Some(lock)) = (&state.holder, service.locks.get_mut(client)) else {
            return;
        };
        if lock.record.is_none() {
            if !self.kept_leases.admits(state.kept_leases, 1) {
                self.lease_changes.left_out += 1;
                return;
            }
            self.kept_leases.add(state.kept_leases, 1);
            state.kept_leases += 1;
            lock.record = Some(holder.secret);
        }
        let lease = holder.lease(&service.name, state, lock);
        self.lease_changes.push(LeaseChange::Held(Box::new(lease)));
    }

    /// Takes what is noted of the locks of a client, the oldest first, so that they stay noted when it
    /// leaves.
    pub(super) fn take_leases(&mut self, client: PeerId) -> Vec<Lease> {
        let Some(state) = self.clients.get_mut(client) else {
            return Vec::new();
        };
        let Some(holder) = &state.holder else {
            return Vec::new();
        };
        let mut leases = Vec::new();
        for &id in &state.links {
            if let Some(service) = self.services.get_mut(id)
                && let Some(lock) = service.locks.get_mut(client)
                && lock.record.take().is_some()
            {
                leases.push(holder.lease(&service.name, state, lock));
            }
        }
        self.kept_leases.subtract(state.kept_leases, state.kept_leases);
        state.kept_leases = 0;
        leases
    }

    /// Notes that a lock was removed from a service. Call it for every one.
    pub(super) fn lock_gone(&mut self, service: &Arc<str>, client: PeerId, lock: &Lock) {
        if let Some(reserved) = &lock.reserved {
            self.drop_reservation(reserved.id);
        }
        let Some(secret) = lock.record else { return };
        if let Some(state) = self.clients.get_mut(client) {
            self.kept_leases.subtract(state.kept_leases, 1);
            state.kept_leases -= 1;
        }
        self.lease_changes.push(LeaseChange::Ended(secret.key(service)));
    }

    /// Returns the changes since the last call, and the number of locks that were not noted since
    /// too many are.
    pub(crate) fn take_lease_changes(&mut self) -> (Vec<LeaseChange>, usize) {
        let LeaseChanges {
            changes, left_out, ..
        } = &mut self.lease_changes;
        (std::mem::take(changes), std::mem::take(left_out))
    }

    /// Returns the number of locks that are noted.
    pub(crate) fn kept_leases(&self) -> usize {
        self.kept_leases.used()
    }
}

impl SecretHash {
    /// Returns the key of the lock on a service whose holder has this secret.
    pub(super) fn key(self, service: &Arc<str>) -> LeaseKey {
        LeaseKey {
            service: Arc::clone(service),
            secret_hash: self.bytes(),
        }
    }
}
