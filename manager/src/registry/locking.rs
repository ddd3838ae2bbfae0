//! Acquires, renews, releases and breaks locks.
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
    /// The names of the clients that held them.
    pub(crate) clients: Vec<Arc<str>>,
    pub(crate) events: Vec<Event<'static>>,
}

impl Service {
    /// Returns what keeps a client from a lock, if anything does. `ticket` is that of its waiting
    /// request, if it is one. A lock that is free is granted to all shared requests that wait for
    /// it together; with `together`, the locks of others are those.
    pub(super) fn obstacle(
        &self,
        client: PeerId,
        shared: bool,
        ticket: Option<Ticket>,
        together: bool,
    ) -> Option<LockObstacle> {
        let is_linked = self.links.contains_key(&client);
        let is_held = self.locks.is_held_by_another(client);
        if is_held && !(shared && (is_linked || together)) {
            return self.held().map(LockObstacle::Held);
        }
        if !shared && self.links.len() > usize::from(is_linked) {
            return Some(LockObstacle::Linked(self.linked_clients()));
        }
        if !is_linked && self.is_full() {
            return Some(LockObstacle::Full(self.linked_clients()));
        }
        // A waiting request is tried only when it is the first. A holder's request changes nothing
        // for others.
        if ticket.is_some() || self.locks.contains(client) {
            return None;
        }
        let only_exclusive = shared && is_linked;
        self.lock_queue
            .first_before(client, only_exclusive)
            .map(LockObstacle::Waiting)
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
        let Some(obstacle) = service.obstacle(client, terms.shared, None, false) else {
            self.give_lock(client, id, terms, now);
            let event = self.link_changed(LinkChange::Locked, client, name, Some(id));
            return Ok(Acquired::Granted(Listing::LinkedWith(id), event));
        };
        let Some(wait) = wait.filter(|wait| *wait > Duration::ZERO) else {
            return Err(match (obstacle, wait) {
                (LockObstacle::Linked(linked), None) => Refusal::NotAlone {
                    service: service_name,
                    client: client_name,
                    linked,
                },
                (obstacle, _) => LockRefusal::NotInTime {
                    service: service_name,
                    client: client_name,
                    obstacle,
                    wait: Duration::ZERO,
                    position: service.lock_queue.len() + 1,
                }
                .into(),
            });
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
            let deadlines = service.locks.insert(client, &holder.name, entry, terms, now);
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

    /// Releases a client's lock, if it has one, and ends its wait for one. Returns the list of the
    /// clients that still hold one.
    pub(crate) fn release_lock<'a>(
        &mut self,
        client: PeerId,
        name: &'a str,
    ) -> Result<(Listing, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            let client = self.client_name(client);
            return Err(Refusal::CannotRelease {
                service: excerpt(name).to_owned(),
                client,
            });
        };
        self.remove_lock(client, id);
        self.forget_ended(client, id);
        self.end_wait(client, id, WaitEnd::Released);
        let event = self.link_changed(LinkChange::Released, client, name, Some(id));
        Ok((Listing::Locking(id), event))
    }

    /// Removes a client's lock, with its deadline.
    pub(super) fn remove_lock(&mut self, client: PeerId, id: PeerId) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        if let Some(lock) = service.locks.remove(client) {
            self.deadlines
                .remove(lock.deadline(), Expiring::Lease(id, client));
            self.touch(id);
        }
    }

    /// Breaks the lock of the client with that name, or with `None` the locks of all clients, on a
    /// service. `by` is who does so, and `reason` why.
    ///
    /// # Errors
    /// The service is not connected, or that client holds no lock on it.
    pub(crate) fn break_lock(
        &mut self,
        name: &str,
        client: Option<&str>,
        cause: &LockCause,
        now: Timestamp,
    ) -> Result<Broken, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(LockRefusal::NoService {
                service: excerpt(name).to_owned(),
            }
            .into());
        };
        let held = |client: &PeerId| self.services[id].locks.contains(*client);
        let clients: Vec<PeerId> = match client {
            Some(client) => {
                let found = self.client_names.get(client).copied().filter(held);
                vec![found.ok_or_else(|| LockRefusal::HoldsNone {
                    service: name.to_owned(),
                    client: excerpt(client).to_owned(),
                })?]
            }
            None => self.services[id].locks.by_age().map(|(id, _)| id).collect(),
        };
        let end = LockEnd {
            at: now,
            cause: cause.clone(),
        };
        let mut broken = Broken {
            clients: Vec::new(),
            events: Vec::new(),
        };
        for client in clients {
            if let Some(event) = self.end_lock(client, id, end.clone()) {
                let name = self.clients.get(client).map(|client| Arc::clone(&client.name));
                broken.clients.extend(name);
                broken.events.push(event);
            }
        }
        Ok(broken)
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
        let obstacle = service
            .obstacle(waiter.client, waiter.terms.shared, Some(ticket), false)
            .or_else(|| {
                let before = service.lock_queue.first_before(waiter.client, false);
                before.map(LockObstacle::Waiting)
            });
        let service_name = service.name.to_string();
        self.touch(id);
        let client = self.clients.get_mut(waiter.client)?;
        client.lock_waits.retain(|(_, own)| *own != ticket);
        // It would have been granted if nothing were in its way.
        let refusal = LockRefusal::NotInTime {
            service: service_name,
            client: waiter.name.to_string(),
            obstacle: obstacle?,
            wait: waiter.wait,
            position,
        }
        .into();
        Some(Event::WaitRefused(WaitRefused {
            outbox: Arc::clone(&client.outbox),
            requester: waiter.name,
            features: client.features,
            uid: waiter.uid,
            refusal,
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
