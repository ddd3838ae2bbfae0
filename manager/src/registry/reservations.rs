//! Locks that are kept for their holders from before a restart of the manager.
//!
//! A reservation is a lock of a client that is not there. It keeps others out as any lock does, so
//! that nothing else needs to know of it. A holder that returns with the secret of its session
//! *claims* its reservations: from then on they are its own, and become locks again when it acquires
//! them. A service that is not registered has no locks, so the reservation waits for it here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use jiff::Timestamp;
use labwire_store::{Lease, LeaseChange};
use labwire_wire::Identity;

use super::deadlines::Expiring;
use super::event::{Event, LockEnded, ReservationEnded};
use super::locks::{ReservationId, Reserved};
use super::moment::Moment;
use super::peers::PeerId;
use super::state::{Holder, Registry};
use super::terms::Terms;
use crate::bounds::MOST_CLAIMED;
use crate::principal::Principal;
use crate::refusal::{LockCause, LockEnd};
use crate::sessions::SecretHash;

/// A lock that is kept for its holder.
#[derive(Debug)]
struct Reservation {
    lease: Lease,
    secret: SecretHash,
    /// The client to which it belongs: nobody before it is claimed.
    client: PeerId,
    is_claimed: bool,
    /// For how long it is kept, and until when. A claimed one waits for its service without a limit.
    grace: Duration,
    until: Option<Moment>,
    /// The service, while it is registered.
    place: Option<PeerId>,
}

/// The reservations.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    by_id: HashMap<ReservationId, Reservation>,
    by_service: HashMap<Arc<str>, BTreeSet<ReservationId>>,
    /// Those that are not claimed.
    by_secret: HashMap<SecretHash, BTreeSet<ReservationId>>,
    /// Those that are claimed.
    by_client: HashMap<PeerId, BTreeSet<ReservationId>>,
    last: u64,
}

/// Removes an id from one of the sets of a table.
fn take_out<K: std::hash::Hash + Eq, S: std::hash::BuildHasher>(
    table: &mut std::collections::HashMap<K, BTreeSet<ReservationId>, S>,
    key: &K,
    id: ReservationId,
) {
    if let Some(ids) = table.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            table.remove(key);
        }
    }
}

/// The network name of a client whose reservation was broken, and what it is told.
pub(super) type Broken = (Arc<str>, Event<'static>);

impl Reservations {
    fn of_service(&self, service: &str) -> Vec<ReservationId> {
        let ids = self.by_service.get(service);
        ids.map_or_else(Vec::new, |ids| ids.iter().copied().collect())
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn has(&self, id: ReservationId) -> bool {
        self.by_id.contains_key(&id)
    }

    fn insert(&mut self, reservation: Reservation) -> ReservationId {
        self.last += 1;
        let id = ReservationId(self.last);
        let service = Arc::clone(&reservation.lease.key.service);
        self.by_service.entry(service).or_default().insert(id);
        self.by_secret.entry(reservation.secret).or_default().insert(id);
        self.by_id.insert(id, reservation);
        id
    }

    fn remove(&mut self, id: ReservationId) -> Option<Reservation> {
        let reservation = self.by_id.remove(&id)?;
        take_out(&mut self.by_service, &reservation.lease.key.service, id);
        if reservation.is_claimed {
            take_out(&mut self.by_client, &reservation.client, id);
        } else {
            take_out(&mut self.by_secret, &reservation.secret, id);
        }
        Some(reservation)
    }

    /// Returns the reservations that a client has claimed, each with its service.
    pub(super) fn claimed_by(&self, client: PeerId) -> Vec<(ReservationId, Arc<str>)> {
        let ids = self.by_client.get(&client).into_iter().flatten();
        ids.filter_map(|id| Some((*id, Arc::clone(&self.by_id.get(id)?.lease.key.service))))
            .collect()
    }

    /// Returns the reservation that a client has claimed on a service.
    pub(super) fn claimed(&self, client: PeerId, service: &str) -> Option<ReservationId> {
        let mut ids = self.by_client.get(&client)?.iter();
        let is_of = |id: &&ReservationId| {
            let reservation = self.by_id.get(id);
            reservation.is_some_and(|reservation| *reservation.lease.key.service == *service)
        };
        ids.find(is_of).copied()
    }
}

impl Registry {
    /// Reserves the locks that were held when the manager stopped, each for the grace period of its
    /// holder, which is `limit` at most. Those that have expired meanwhile are free.
    pub(crate) fn reserve(&mut self, leases: Vec<Lease>, limit: Duration, now: Moment) {
        for lease in leases {
            let secret = SecretHash::from_bytes(lease.key.secret_hash);
            let mut grace = lease.grace.min(limit);
            if let Some(until) = lease.until {
                let left = Duration::try_from(until.duration_since(now.time));
                grace = grace.min(left.unwrap_or_default());
            }
            if grace.is_zero() {
                self.lease_changes.push(LeaseChange::Ended(lease.key));
                continue;
            }
            let until = now.after(grace);
            // The number of a peer that nobody is.
            let client = PeerId::of_nobody(self.next_number());
            #[cfg(any(test, feature = "fuzzing"))]
            self.lease_changes.standing.insert(lease.key.clone());
            let id = self.reservations.insert(Reservation {
                grace: lease.grace.min(limit),
                lease,
                secret,
                client,
                is_claimed: false,
                until: Some(until),
                place: None,
            });
            self.deadlines.insert(until.instant, Expiring::Reservation(id));
            self.place(id, now);
        }
    }

    /// Keeps the noted locks of a client that leaves because the manager stops, for its return to the next
    /// one. Nobody else gets them meanwhile.
    pub(crate) fn keep_locks(&mut self, client: PeerId, limit: Duration, now: Moment) {
        let mut leases = self.take_leases(client);
        let ids = self.reservations.by_client.get(&client);
        for id in ids.into_iter().flatten().copied().collect::<Vec<_>>() {
            self.unplace(id);
            if let Some(reservation) = self.reservations.remove(id) {
                let until = reservation.until.map(|until| until.instant);
                self.deadlines.remove(until, Expiring::Reservation(id));
                leases.push(reservation.lease);
            }
        }
        leases.sort_by(|one, other| (one.since, &one.key.service).cmp(&(other.since, &other.key.service)));
        self.reserve(leases, limit, now);
    }

    /// Returns whether a client that presents this secret held locks before the restart that are
    /// kept for it.
    pub(crate) fn held_before(&self, secret: SecretHash, identity: &Identity, principal: &Principal) -> bool {
        let ids = self.reservations.by_secret.get(&secret);
        ids.into_iter()
            .flatten()
            .any(|id| self.belongs_to(*id, identity, principal))
    }

    fn belongs_to(&self, id: ReservationId, identity: &Identity, principal: &Principal) -> bool {
        let reservation = self.reservations.by_id.get(&id);
        let is_client = matches!(identity.role, labwire_wire::Role::Client);
        reservation.is_some_and(|Reservation { lease, .. }| {
            is_client && *lease.name == *identity.name && lease.user.as_ref() == principal.user()
        })
    }

    /// Notes the session of a client that has just joined, and lets it claim the locks that it held
    /// before the restart, if it presents the secret of its session from then. Returns their
    /// services.
    pub(crate) fn begin_session(
        &mut self,
        client: PeerId,
        identity: &Identity,
        secret: SecretHash,
        grace: Duration,
        now: Moment,
    ) -> Vec<Arc<str>> {
        let Some(state) = self.clients.get_mut(client) else {
            return Vec::new();
        };
        state.holder = Some(Box::new(Holder {
            secret,
            name: identity.name.as_str().into(),
            user: state.principal.user().cloned(),
            grace,
        }));
        let resume = identity
            .session
            .as_ref()
            .and_then(|session| session.resume.as_ref());
        let Some(resume) = resume.filter(|_| !self.reservations.by_id.is_empty()) else {
            return Vec::new();
        };
        let principal = Arc::clone(&state.principal);
        let name = Arc::clone(&state.name);
        let before = SecretHash::of(&resume.secret);
        let ids = self.reservations.by_secret.get(&before);
        let ids: Vec<ReservationId> = ids.into_iter().flatten().copied().collect();
        let mut claimed = Vec::new();
        for id in ids {
            if !self.belongs_to(id, identity, &principal) {
                continue;
            }
            if claimed.len() >= MOST_CLAIMED {
                self.end_reservation(id);
                continue;
            }
            self.unplace(id);
            take_out(&mut self.reservations.by_secret, &before, id);
            self.reservations.by_client.entry(client).or_default().insert(id);
            let Some(reservation) = self.reservations.by_id.get_mut(&id) else {
                continue;
            };
            self.deadlines.remove(
                reservation.until.map(|until| until.instant),
                Expiring::Reservation(id),
            );
            let lease = &mut reservation.lease;
            self.lease_changes.push(LeaseChange::Ended(lease.key.clone()));
            lease.key = secret.key(&lease.key.service);
            lease.holder = Arc::clone(&name);
            lease.grace = grace;
            lease.until = lease.ttl.map(|ttl| now.after(ttl).time);
            self.lease_changes
                .push(LeaseChange::Held(Box::new(lease.clone())));
            claimed.push(Arc::clone(&lease.key.service));
            reservation.secret = secret;
            (reservation.client, reservation.is_claimed) = (client, true);
            (reservation.grace, reservation.until) = (grace, None);
            self.place(id, now);
        }
        claimed
    }

    /// Places the reservations on a service that has just joined.
    pub(crate) fn place_reservations(&mut self, service: PeerId, now: Moment) {
        if self.reservations.by_id.is_empty() {
            return;
        }
        let Some(name) = self
            .services
            .get(service)
            .map(|service| Arc::clone(&service.name))
        else {
            return;
        };
        for id in self.reservations.of_service(&name) {
            self.place(id, now);
        }
    }

    /// Makes a reservation a lock on its service, if that is registered. The time of a claimed one
    /// begins then.
    fn place(&mut self, id: ReservationId, now: Moment) {
        let Some(reservation) = self.reservations.by_id.get_mut(&id) else {
            return;
        };
        let Some(&service_id) = self.service_names.get(&reservation.lease.key.service) else {
            return;
        };
        let Some(service) = self.services.get_mut(service_id) else {
            return;
        };
        let until = reservation.until.unwrap_or_else(|| {
            let until = now.after(reservation.grace);
            self.deadlines.insert(until.instant, Expiring::Reservation(id));
            until
        });
        reservation.until = Some(until);
        reservation.place = Some(service_id);
        let Lease {
            holder,
            shared,
            ttl,
            reason,
            since,
            ..
        } = &reservation.lease;
        let terms = Terms {
            shared: *shared,
            ttl: *ttl,
            reason: reason.clone(),
        };
        let reserved = Reserved {
            id,
            until: until.time,
            listed: format!("{holder} {}", id.0).into(),
        };
        let number = self.last_ticket.next();
        service
            .locks
            .insert_reserved(reservation.client, holder, terms, reserved, number, *since);
    }

    /// Removes the lock of a reservation from its service, if that is registered.
    fn unplace(&mut self, id: ReservationId) {
        let Some(reservation) = self.reservations.by_id.get_mut(&id) else {
            return;
        };
        let Some(service_id) = reservation.place.take() else {
            return;
        };
        if let Some(service) = self.services.get_mut(service_id) {
            service.locks.remove(reservation.client);
        }
        self.touch(service_id);
    }

    /// Lets the reservations on a service that has left wait for its return.
    pub(super) fn displace_reservations(&mut self, service: &str) {
        if self.reservations.by_id.is_empty() {
            return;
        }
        for id in self.reservations.of_service(service) {
            let Some(reservation) = self.reservations.by_id.get_mut(&id) else {
                continue;
            };
            reservation.place = None;
            if reservation.is_claimed {
                let until = reservation.until.take().map(|until| until.instant);
                self.deadlines.remove(until, Expiring::Reservation(id));
            }
        }
    }

    /// Removes a reservation whose lock is removed from its service already.
    pub(super) fn drop_reservation(&mut self, id: ReservationId) -> Option<Lease> {
        let reservation = self.reservations.remove(id)?;
        let until = reservation.until.map(|until| until.instant);
        self.deadlines.remove(until, Expiring::Reservation(id));
        self.lease_changes
            .push(LeaseChange::Ended(reservation.lease.key.clone()));
        Some(reservation.lease)
    }

    /// Removes a reservation.
    fn end_reservation(&mut self, id: ReservationId) -> Option<Lease> {
        self.unplace(id);
        self.drop_reservation(id)
    }

    /// Removes the reservation that a client has on a service and makes into a lock, if it has one.
    /// Returns since when it held the lock.
    pub(super) fn redeem(&mut self, client: PeerId, service: PeerId) -> Option<Timestamp> {
        let lock = self.services.get(service)?.locks.get(client)?;
        let (id, since) = (lock.reserved.as_ref()?.id, lock.since);
        self.unplace(id);
        self.drop_reservation(id);
        Some(since)
    }

    /// Removes the reservation that a client has claimed on a service, also on one that is not
    /// registered. Returns whether there was one.
    pub(super) fn release_reservation(&mut self, client: PeerId, service: &str) -> bool {
        let claimed = self.reservations.claimed(client, service);
        claimed.is_some_and(|id| self.end_reservation(id).is_some())
    }

    /// Removes all reservations that a client has claimed.
    pub(super) fn release_reservations(&mut self, client: PeerId) {
        let ids = self.reservations.by_client.get(&client);
        let ids: Vec<ReservationId> = ids.into_iter().flatten().copied().collect();
        for id in ids {
            self.end_reservation(id);
        }
    }

    /// Ends a reservation whose time is over.
    pub(super) fn expire_reservation(&mut self, id: ReservationId) -> Option<Event<'static>> {
        let at = self.reservations.by_id.get(&id)?.until?.time;
        let cause = LockCause::NotAcquired;
        let (_, event) = self.end_claimed(id, LockEnd { at, cause })?;
        Some(event)
    }

    /// Ends a reservation that has expired or was broken. If its holder has claimed it, that is told as
    /// of any lock, and its requests for the service are refused until it links again. Returns the
    /// holder's name.
    pub(super) fn end_claimed(
        &mut self,
        id: ReservationId,
        end: LockEnd,
    ) -> Option<(Arc<str>, Event<'static>)> {
        let reservation = self.reservations.by_id.get(&id)?;
        let (client, place) = (reservation.client, reservation.place);
        let lease = self.end_reservation(id)?;
        let name = Arc::clone(&lease.holder);
        let Some(holder) = self.clients.get_mut(client) else {
            let end = matches!(end.cause, LockCause::Broken { .. }).then_some(end);
            let ended = Box::new(ReservationEnded { lease, end });
            return Some((name, Event::ReservationEnded(ended)));
        };
        if let Some((service_id, service)) = place.and_then(|id| Some((id, self.services.get_mut(id)?))) {
            service.unlink(client, &holder.name);
            holder.links.remove(&service_id);
            holder.ended_locks.insert(service_id);
            service.ended_locks.insert(client, end.clone());
        }
        let ended = LockEnded {
            service: Arc::clone(&lease.key.service),
            client: Arc::clone(&holder.name),
            log_limit: Arc::clone(&holder.log_limit),
            principal: Arc::clone(&holder.principal),
            features: holder.features,
            end,
            outbox: Arc::clone(&holder.outbox),
        };
        if let Some(service) = place {
            self.touch(service);
        }
        Some((name, Event::LockEnded(ended)))
    }

    /// Breaks the reservations on a service that is not registered: that of the client with that name,
    /// or with `None` all. Breaks `most` at most. Returns also whether there are more; `None` if there
    /// is none.
    pub(super) fn break_unplaced(
        &mut self,
        service: &str,
        client: Option<&str>,
        end: &LockEnd,
        most: usize,
    ) -> Option<(Vec<Broken>, bool)> {
        let mut ids = self.reservations.of_service(service);
        ids.retain(|id| {
            let reservation = self.reservations.by_id.get(id);
            let is_of = |name: &str| reservation.is_some_and(|own| *own.lease.holder == *name);
            client.is_none_or(is_of)
        });
        let has_more = ids.len() > most;
        let ended = ids.iter().take(most);
        let ended: Vec<_> = ended
            .filter_map(|id| self.end_claimed(*id, end.clone()))
            .collect();
        (!ended.is_empty()).then_some((ended, has_more))
    }

    /// Breaks a reservation that has a lock on a service. Returns `None` if that lock is no
    /// reservation.
    pub(super) fn break_reservation(
        &mut self,
        client: PeerId,
        service: PeerId,
        end: &LockEnd,
    ) -> Option<(Arc<str>, Event<'static>)> {
        let lock = self.services.get(service)?.locks.get(client)?;
        let id = lock.reserved.as_ref()?.id;
        self.end_claimed(id, end.clone())
    }

    /// Returns the number of reservations.
    pub(crate) fn reservations(&self) -> usize {
        self.reservations.by_id.len()
    }

    /// Returns a contradiction between the reservations, the locks and what is noted: for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn lost_reservation(&self) -> Option<String> {
        let locks = || {
            let services = self.services.iter();
            services.flat_map(|(_, service)| service.locks.by_age().map(move |(_, lock)| (service, lock)))
        };
        for (id, reservation) in &self.reservations.by_id {
            let place = reservation.place.and_then(|place| self.services.get(place));
            let lock = place.and_then(|place| place.locks.get(reservation.client));
            let is_placed = lock
                .and_then(|lock| lock.reserved.as_ref())
                .is_some_and(|own| own.id == *id);
            if is_placed != self.service_names.contains_key(&reservation.lease.key.service) {
                return Some(format!("{reservation:?} is not where it should be"));
            }
        }
        let reserved = locks().filter(|(_, lock)| lock.reserved.is_some()).count();
        let placed = self.reservations.by_id.values();
        let placed = placed.filter(|reservation| reservation.place.is_some()).count();
        if reserved != placed {
            return Some(format!(
                "{reserved} locks are reserved, and {placed} have a place"
            ));
        }
        if !self.leaving.is_empty() {
            return None;
        }
        let mut keys: BTreeSet<_> = locks()
            .filter_map(|(service, lock)| Some(lock.record?.key(&service.name)))
            .map(|key| (key.service, key.secret_hash))
            .collect();
        let kept = keys.len();
        let reservations = self.reservations.by_id.values();
        keys.extend(reservations.map(|reservation| {
            let key = reservation.lease.key.clone();
            (key.service, key.secret_hash)
        }));
        let standing = self.lease_changes.standing.iter().cloned();
        let standing: BTreeSet<_> = standing.map(|key| (key.service, key.secret_hash)).collect();
        if keys != standing {
            return Some(format!(
                "{} locks are to be noted, and {} are",
                keys.len(),
                standing.len()
            ));
        }
        (kept != self.kept_leases())
            .then(|| format!("{kept} locks are noted, and {} counted", self.kept_leases()))
    }
}
