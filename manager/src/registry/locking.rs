//! Acquires, renews, releases and breaks locks.
//!
//! A request for a lock that cannot be granted may wait: see [`LockQueue`](super::lock_queue).
//! Whatever may let a waiting request go on is noted, and the caller then calls
//! [`Registry::next_settled`] until nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use labwire_wire::{Uid, quoted};
use serde_json::json;

use super::deadlines::Expiring;
use super::event::{Event, LinkChange, LockEnded, WaitRefused};
use super::lock_queue::{Ticket, Waiter};
use super::manager::Listing;
use super::moment::Moment;
use super::peers::PeerId;
use super::state::{Registry, Service};
use super::terms::Terms;
use crate::bounds::{MOST_WAITING, MOST_WAITS};
use crate::refusal::{LockCause, LockEnd, LockObstacle, LockRefusal, Refusal, WaitEnd, excerpt};

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

/// The outcome of breaking locks.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The names of the clients that held or awaited them.
    pub(crate) clients: Vec<Arc<str>>,
    pub(crate) events: Vec<Event<'static>>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// The most locks and waits that are ended in one step, which takes less than a millisecond.
const BROKEN_AT_ONCE: usize = 64;

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
        if is_held && !(shared && (is_linked || together)) {
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
        let exclusive = shared && self.links.contains_key(&client);
        let has_before = || self.lock_queue.first_before(client, exclusive).is_some();
        (!self.locks.contains(client) && has_before()).then_some(Obstacle::Waiting { exclusive })
    }

    /// Returns whether a client's own link keeps a request from an exclusive lock, so that it would
    /// wait behind a request that waits for it.
    fn is_in_the_way(&self, client: PeerId) -> bool {
        self.links.contains_key(&client) && self.lock_queue.first_before(client, true).is_some()
    }

    /// Describes an obstacle, for the refusal of that client.
    fn describe(&self, client: PeerId, obstacle: Obstacle) -> LockObstacle {
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
        let waits = holder.lock_waits.iter();
        if waits.clone().any(|(service, _)| *service == id) {
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
            self.give_lock(client, id, terms, now);
            let event = self.link_changed(LinkChange::Locked, true, client, name, Some(id));
            return Ok(Acquired::Granted(Listing::LinkedWith(id), event));
        };
        if wait.is_none() && !terms.shared && service.links.len() > 1 {
            return Err(Refusal::NotAlone {
                service: service_name,
                client: client_name,
                linked: service.linked_clients(),
            });
        }
        let is_in_the_way = service.is_in_the_way(client);
        let wait = match wait {
            Some(wait) if wait > Duration::ZERO && !is_in_the_way => wait,
            wait => {
                let obstacle = if is_in_the_way {
                    Obstacle::Waiting { exclusive: true }
                } else {
                    obstacle
                };
                return Err(LockRefusal::NotGranted {
                    service: service_name,
                    client: client_name,
                    obstacle: service.describe(client, obstacle),
                    wait: wait.filter(|_| !is_in_the_way),
                    position: service.lock_queue.len() + 1,
                }
                .into());
            }
        };
        if waits.len() >= MOST_WAITS {
            return Err(LockRefusal::TooManyWaits {
                client: client_name,
                limit: MOST_WAITS,
            }
            .into());
        }
        if service.lock_queue.len() >= MOST_WAITING {
            return Err(LockRefusal::QueueFull {
                service: service_name,
                limit: MOST_WAITING,
            }
            .into());
        }
        self.wait_for_lock(client, id, terms, wait, uid, now);
        Ok(Acquired::Waits)
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

    fn service_and_client(
        &self,
        client: PeerId,
        name: &str,
    ) -> Option<(PeerId, &Service, &super::state::Client)> {
        let id = *self.service_names.get(name)?;
        Some((id, self.services.get(id)?, self.clients.get(client)?))
    }

    /// Links a client with a service, if it is not yet, and gives it a lock.
    pub(super) fn give_lock(&mut self, client: PeerId, id: PeerId, terms: Terms, now: Moment) {
        self.add_link(client, id);
        if let (Some(service), Some(holder)) = (self.services.get_mut(id), self.clients.get(client)) {
            let entry = holder.name_entry();
            let number = self.last_ticket.next();
            let deadlines = service
                .locks
                .insert(client, &holder.name, entry, terms, (number, now));
            self.move_deadline(Expiring::Lease(id, client), deadlines);
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
        if !service.locks.contains(client) {
            return Err(service.ended(client, holder).unwrap_or(
                LockRefusal::HoldsNone {
                    service: name.to_owned(),
                    client: holder.name.to_string(),
                }
                .into(),
            ));
        }
        let Some(service) = self.services.get_mut(id) else {
            return Ok(Renewed { ttl: None });
        };
        let Some((deadlines, lock)) = service.locks.renew(client, ttl, now) else {
            return Ok(Renewed { ttl: None });
        };
        let renewed = Renewed {
            ttl: lock.terms.ttl.zip(lock.until.map(|until| until.time)),
        };
        self.move_deadline(Expiring::Lease(id, client), deadlines);
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
        self.deadlines
            .remove(lock.deadline(), Expiring::Lease(id, client));
        self.touch(id);
        true
    }

    /// Breaks the lock of the client with that name on a service, and ends its wait for one; with
    /// `None` those of all clients, as far as they are not newer than `newest`. `cause` is who does
    /// so. Breaks [`BROKEN_AT_ONCE`] at most: call it again as long as there are more.
    ///
    /// # Errors
    /// The service is not connected, or that client neither holds a lock on it nor waits for one.
    pub(crate) fn break_lock(
        &mut self,
        name: &str,
        client: Option<&str>,
        newest: Ticket,
        cause: &LockCause,
        now: Timestamp,
    ) -> Result<Broken, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(LockRefusal::NoService {
                service: excerpt(name).to_owned(),
            }
            .into());
        };
        let service = &self.services[id];
        let named = client.map(|client| self.client_names.get(client).copied());
        let is_meant = |client: PeerId, number: Ticket| match named {
            Some(named) => named == Some(client),
            None => number <= newest,
        };
        // Waits first: a lock that is broken is granted to the next request that waits.
        let waits = service.lock_queue.all();
        let waits = waits.filter(|(number, waiter)| is_meant(waiter.client, **number));
        let waits = waits.map(|(_, waiter)| (waiter.client, false));
        let locks = service.locks.by_age();
        let locks = locks.filter(|(client, lock)| is_meant(*client, lock.number));
        let found = waits.chain(locks.map(|(client, _)| (client, true)));
        let found: Vec<(PeerId, bool)> = found.take(BROKEN_AT_ONCE + 1).collect();
        if let (Some(client), true) = (client, found.is_empty()) {
            return Err(LockRefusal::HoldsNone {
                service: name.to_owned(),
                client: quoted(excerpt(client)),
            }
            .into());
        }
        let end = LockEnd {
            at: now,
            cause: cause.clone(),
        };
        let mut broken = Broken {
            clients: Vec::new(),
            events: Vec::new(),
            has_more: found.len() > BROKEN_AT_ONCE,
        };
        for (client, has_lock) in found.into_iter().take(BROKEN_AT_ONCE) {
            let name = self.clients.get(client).map(|client| Arc::clone(&client.name));
            broken.clients.extend(name);
            if has_lock {
                broken.events.extend(self.end_lock(client, id, end.clone()));
            } else {
                self.end_wait(client, id, &WaitEnd::Broken(end.clone()));
            }
        }
        Ok(broken)
    }

    /// Returns the number of the newest lock, or request that waits for one.
    pub(crate) fn newest_lock(&self) -> Ticket {
        self.last_ticket
    }

    /// Ends the lock of a client that expired or was broken, and its link: others need not wait for
    /// a client that may never return. Its requests for the service are refused until it links
    /// again, or says that it holds no lock.
    pub(super) fn end_lock(&mut self, client: PeerId, id: PeerId, end: LockEnd) -> Option<Event<'static>> {
        let (service, holder) = (self.services.get_mut(id)?, self.clients.get_mut(client)?);
        let lock = service.unlink(client, &holder.name)?;
        self.deadlines
            .remove(lock.deadline(), Expiring::Lease(id, client));
        holder.links.remove(&id);
        holder.ended_locks.insert(id);
        service.ended_locks.insert(client, end.clone());
        let ended = LockEnded {
            service: Arc::clone(&service.name),
            client: Arc::clone(&holder.name),
            principal: Arc::clone(&holder.principal),
            features: holder.features,
            end,
            outbox: Arc::clone(&holder.outbox),
        };
        self.touch(id);
        Some(Event::LockEnded(ended))
    }

    /// Ends a lock that has expired.
    pub(super) fn expire_lease(&mut self, id: PeerId, client: PeerId) -> Option<Event<'static>> {
        let lock = self.services.get(id)?.locks.get(client)?;
        let end = LockEnd {
            at: lock.until?.time,
            cause: LockCause::Expired { ttl: lock.terms.ttl? },
        };
        self.end_lock(client, id, end)
    }

    /// Ends the wait of a request for a lock whose time is over.
    pub(super) fn expire_wait(&mut self, id: PeerId, ticket: Ticket) -> Option<Event<'static>> {
        let service = self.services.get_mut(id)?;
        let position = service.lock_queue.position(ticket);
        let waiter = service.lock_queue.remove(ticket)?;
        // It would have been granted if nothing were in its way.
        let obstacle = service
            .obstacle(waiter.client, waiter.terms.shared, false)
            .unwrap_or(Obstacle::Waiting { exclusive: false });
        let refusal = LockRefusal::NotGranted {
            service: service.name.to_string(),
            client: waiter.name.to_string(),
            obstacle: service.describe(waiter.client, obstacle),
            wait: Some(waiter.wait),
            position,
        };
        self.touch(id);
        let client = self.clients.get_mut(waiter.client)?;
        client.lock_waits.retain(|(_, own)| *own != ticket);
        Some(Event::WaitRefused(WaitRefused {
            outbox: Arc::clone(&client.outbox),
            requester: waiter.name,
            features: client.features,
            uid: waiter.uid,
            refusal: refusal.into(),
        }))
    }

    /// Forgets that a client's lock on a service has ended. Returns whether one had.
    pub(super) fn forget_ended(&mut self, client: PeerId, id: PeerId) -> bool {
        let Some(holder) = self.clients.get_mut(client) else {
            return false;
        };
        let had = holder.ended_locks.remove(&id);
        if let Some(service) = self.services.get_mut(id).filter(|_| had) {
            service.ended_locks.remove(&client);
        }
        had
    }
}
