//! Acquires, renews and releases locks. [`lock_ends`](super::lock_ends) breaks them.
//!
//! A request for a lock that cannot be granted may wait: see [`LockQueue`](super::lock_queue).
//! Whatever may let a waiting request go on is noted, and the caller then calls
//! [`Registry::next_settled`] until nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use labwire_wire::Uid;
use serde_json::json;

use super::deadlines::Expiring;
use super::event::{Event, LinkChange};
use super::lock_queue::{Ticket, Waiter};
use super::manager::Listing;
use super::moment::Moment;
use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use super::terms::Terms;
use crate::bounds::{MOST_WAITING, MOST_WAITS};
use crate::refusal::{LockObstacle, LockRefusal, Refusal, WaitEnd, excerpt};

/// The answer to a request for a lock.
#[derive(Debug)]
pub(crate) enum Acquired<'a> {
    /// The list of the linked clients.
    Granted(Listing, Event<'a>),
    /// The request waits, and is answered later.
    Waits,
}

/// A lock that was renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// The time to live, and when the lock expires; `None` if it does not.
    pub(crate) ttl: Option<(Duration, Timestamp)>,
}

impl Renewed {
    /// Returns the answer for the client.
    pub(crate) fn to_json(&self) -> String {
        match self.ttl {
            Some((ttl, until)) => json!({ "ttl": ttl.as_secs_f64(), "until": until.to_string() }).to_string(),
            None => json!({ "ttl": null, "until": null }).to_string(),
        }
    }
}

/// What keeps a client from a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The locks of others.
    Held,
    /// The links of others: an exclusive lock needs the only link.
    Linked,
    /// The client is not linked, and the service accepts no more links.
    Full,
    /// A request of another client that waits; `exclusive` if only one for an exclusive lock counts.
    Waiting { exclusive: bool },
}

impl Service {
    /// Returns what keeps a client from a lock because of links and locks, if anything does. A lock
    /// that is free is granted to all shared requests that wait for it together; with `together`,
    /// the locks of others are those.
    pub(super) fn obstacle(&self, client: PeerId, shared: bool, together: bool) -> Option<Obstacle> {
        let is_linked = self.links.contains_key(&client);
        let is_held = self.locks.is_held_by_another(client);
        let others_are_linked = self.links.len() > usize::from(is_linked);
        // A lock that is kept for a client lets it link as if it were linked.
        let is_admitted = is_linked || together || self.locks.contains(client);
        if is_held && !(shared && is_admitted) {
            Some(Obstacle::Held)
        } else if !shared && others_are_linked {
            Some(Obstacle::Linked)
        } else if !is_linked && self.is_full() {
            Some(Obstacle::Full)
        } else {
            None
        }
    }

    /// Returns the request that comes before a new one, if there is one. A holder's request changes
    /// nothing for others.
    fn before(&self, client: PeerId, shared: bool) -> Option<Obstacle> {
        // While a lock is held, those that are linked could pass a client for ever that is not.
        let exclusive = shared && self.locks.is_empty() && self.links.contains_key(&client);
        let has_before = || self.lock_queue.first_before(client, exclusive).is_some();
        (!self.locks.contains(client) && has_before()).then_some(Obstacle::Waiting { exclusive })
    }

    /// Returns whether a client's own link keeps a request from an exclusive lock, so that it would
    /// wait behind a request that waits for it.
    fn is_in_the_way(&self, client: PeerId) -> bool {
        self.links.contains_key(&client) && self.lock_queue.first_before(client, true).is_some()
    }

    /// Returns what changes when a client gets a lock.
    pub(super) fn change_by_lock(&self, client: PeerId) -> LinkChange {
        if self.links.contains_key(&client) {
            LinkChange::Locked
        } else {
            LinkChange::LinkedAndLocked
        }
    }

    /// Returns how long a request may wait behind an obstacle.
    ///
    /// # Errors
    /// It is not to wait, or must not.
    fn time_to_wait(
        &self,
        (id, client): (PeerId, &Client),
        obstacle: Obstacle,
        wait: Option<Duration>,
    ) -> Result<Duration, Refusal> {
        let is_in_the_way = self.is_in_the_way(id);
        if let Some(wait) = wait.filter(|wait| *wait > Duration::ZERO && !is_in_the_way) {
            return Ok(wait);
        }
        let obstacle = if is_in_the_way {
            Obstacle::Waiting { exclusive: true }
        } else {
            obstacle
        };
        Err(LockRefusal::NotGranted {
            service: self.name.to_string(),
            client: client.name.to_string(),
            obstacle: self.describe(id, obstacle),
            wait: wait.filter(|_| !is_in_the_way),
            position: self.lock_queue.len() + 1,
        }
        .into())
    }

    /// Describes an obstacle, for the refusal of that client.
    pub(super) fn describe(&self, client: PeerId, obstacle: Obstacle) -> LockObstacle {
        let linked = || LockObstacle::Linked(self.linked_clients());
        match obstacle {
            Obstacle::Held => self.held(client).map_or_else(linked, LockObstacle::Held),
            Obstacle::Linked => linked(),
            Obstacle::Full => LockObstacle::Full(self.linked_clients()),
            Obstacle::Waiting { exclusive } => {
                let waiting = self.lock_queue.first_before(client, exclusive);
                waiting.map_or_else(linked, LockObstacle::Waiting)
            }
        }
    }
}

impl Registry {
    /// Gives a client a lock on a service on these terms, or lets its request wait for `wait`. With
    /// `wait`, the client need not be linked: the lock comes with a link.
    ///
    /// # Errors
    /// The service is not connected, the client is not linked with it, or the lock cannot be
    /// granted in time.
    pub(crate) fn acquire_lock<'a>(
        &mut self,
        client: PeerId,
        name: &'a str,
        terms: Terms,
        wait: Option<Duration>,
        uid: &Uid<'_>,
        now: Moment,
    ) -> Result<Acquired<'a>, Refusal> {
        let Some((id, service, holder)) = self.service_and_client(client, name) else {
            return Err(Refusal::CannotLock {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        };
        let (service_name, client_name) = (name.to_owned(), holder.name.to_string());
        if holder.lock_waits.iter().any(|(service, _)| *service == id) {
            return Err(LockRefusal::AlreadyWaits {
                service: service_name,
                client: client_name,
            }
            .into());
        }
        if wait.is_none() && !service.links.contains_key(&client) {
            return Err(service.ended(client, holder).unwrap_or(Refusal::LockWithoutLink {
                service: service_name,
                client: client_name,
            }));
        }
        let obstacle = service
            .obstacle(client, terms.shared, false)
            .or_else(|| service.before(client, terms.shared));
        let Some(obstacle) = obstacle else {
            let change = service.change_by_lock(client);
            self.give_lock(client, id, terms, None, now);
            let event = self.link_changed(change, true, client, name, Some(id));
            return Ok(Acquired::Granted(Listing::LinkedWith(id), event));
        };
        if wait.is_none() && !terms.shared && service.links.len() > 1 {
            return Err(Refusal::NotAlone {
                service: service_name,
                client: client_name,
                linked: service.linked_clients(),
                position: service.lock_queue.len() + 1,
            });
        }
        let wait = service.time_to_wait((client, holder), obstacle, wait)?;
        self.may_wait(service, holder)?;
        self.wait_for_lock(client, id, terms, wait, uid, now);
        Ok(Acquired::Waits)
    }

    /// Checks whether one more request of a client may wait for a lock on a service.
    fn may_wait(&self, service: &Service, client: &Client) -> Result<(), Refusal> {
        let (name, count) = (client.name.to_string(), client.lock_waits.len());
        if count >= MOST_WAITS {
            return Err(LockRefusal::TooManyWaits {
                client: name,
                limit: MOST_WAITS,
            }
            .into());
        }
        if !self.lock_waits.admits(count, 1) {
            return Err(LockRefusal::WaitsOverBudget { client: name, count }.into());
        }
        if service.lock_queue.len() >= MOST_WAITING {
            return Err(LockRefusal::QueueFull {
                service: service.name.to_string(),
                limit: MOST_WAITING,
            }
            .into());
        }
        Ok(())
    }

    fn wait_for_lock(
        &mut self,
        client: PeerId,
        id: PeerId,
        terms: Terms,
        wait: Duration,
        uid: &Uid<'_>,
        now: Moment,
    ) {
        let (Some(holder), Some(service)) = (self.clients.get_mut(client), self.services.get_mut(id)) else {
            return;
        };
        let ticket = self.last_ticket.next();
        let deadline = now.after(wait).instant;
        self.lock_waits.add(holder.lock_waits.len(), 1);
        holder.lock_waits.push((id, ticket));
        service.lock_queue.insert(
            ticket,
            Waiter {
                client,
                name: Arc::clone(&holder.name),
                uid: uid.clone().into_owned(),
                terms,
                since: now.time,
                wait,
                deadline,
            },
        );
        self.deadlines.insert(deadline, Expiring::LockWait(id, ticket));
    }

    fn service_and_client(&self, client: PeerId, name: &str) -> Option<(PeerId, &Service, &Client)> {
        let id = *self.service_names.get(name)?;
        Some((id, self.services.get(id)?, self.clients.get(client)?))
    }

    /// Links a client with a service, if it is not yet, and gives it a lock. `asked` is the number of
    /// its request, if that has waited.
    pub(super) fn give_lock(
        &mut self,
        client: PeerId,
        id: PeerId,
        terms: Terms,
        asked: Option<Ticket>,
        now: Moment,
    ) {
        let held_since = self.redeem(client, id);
        self.add_link(client, id);
        if let (Some(service), Some(holder)) = (self.services.get_mut(id), self.clients.get(client)) {
            let entry = holder.name_entry();
            let number = self.last_ticket.next();
            let asked = asked.unwrap_or(number);
            let deadlines = service
                .locks
                .insert(client, &holder.name, entry, terms, [number, asked], now);
            if let (Some(since), Some(lock)) = (held_since, service.locks.get_mut(client)) {
                lock.since = since;
            }
            self.move_deadline(Expiring::Lease(id, client), deadlines);
            self.record_lock(client, id);
        }
    }

    fn move_deadline(&mut self, expiring: Expiring, [before, after]: [Option<Instant>; 2]) {
        self.deadlines.remove(before, expiring);
        if let Some(after) = after {
            self.deadlines.insert(after, expiring);
        }
    }

    /// Lets a client's lock expire `ttl` from now; without one, its own time to live from now.
    ///
    /// # Errors
    /// The service is not connected, or the client holds no lock on it any more.
    pub(crate) fn renew_lock(
        &mut self,
        client: PeerId,
        name: &str,
        ttl: Option<Duration>,
        now: Moment,
    ) -> Result<Renewed, Refusal> {
        let Some((id, service, holder)) = self.service_and_client(client, name) else {
            return Err(Refusal::CannotLock {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        };
        if !service.locks.is_held_by(client) {
            return Err(service.ended(client, holder).unwrap_or(
                LockRefusal::HoldsNone {
                    service: name.to_owned(),
                    client: holder.name.to_string(),
                }
                .into(),
            ));
        }
        let service = self.services.get_mut(id);
        let (deadlines, lock) = service
            .and_then(|service| service.locks.renew(client, ttl, now))
            .expect("the service is there, and the client holds a lock");
        let renewed = Renewed {
            ttl: lock.terms.ttl.zip(lock.until.map(|until| until.time)),
        };
        self.move_deadline(Expiring::Lease(id, client), deadlines);
        self.record_lock(client, id);
        Ok(renewed)
    }

    /// Releases a client's lock, if it has one, unless `wait_only` is set, and ends its wait for one.
    /// Returns the list of the clients that hold one now.
    pub(crate) fn release_lock<'a>(
        &mut self,
        client: PeerId,
        name: &'a str,
        wait_only: bool,
    ) -> Result<(Listing, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            self.release_reservation(client, name);
            let client = self.client_name(client);
            return Err(Refusal::CannotRelease {
                service: excerpt(name).to_owned(),
                client,
            });
        };
        let is_released = !wait_only && self.remove_lock(client, id);
        if !wait_only {
            self.forget_ended(client, id);
        }
        self.end_wait(client, id, &WaitEnd::Released);
        let event = self.link_changed(LinkChange::Released, is_released, client, name, Some(id));
        Ok((Listing::Locking(id), event))
    }

    /// Removes a client's lock, with its deadline. Returns `false` if it has none.
    pub(super) fn remove_lock(&mut self, client: PeerId, id: PeerId) -> bool {
        let service = self.services.get_mut(id);
        let Some(lock) = service.and_then(|service| service.locks.remove(client)) else {
            return false;
        };
        let name = Arc::clone(&self.services[id].name);
        self.deadlines
            .remove(lock.deadline(), Expiring::Lease(id, client));
        self.lock_gone(&name, client, &lock);
        self.touch(id);
        true
    }
}
