//! Ends locks, and waits for them: those that have expired, and those that are broken.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_wire::quoted;

use super::deadlines::Expiring;
use super::event::{Event, LockEnded, WaitRefused};
use super::lock_queue::Ticket;
use super::locking::Obstacle;
use super::locks::Lock;
use super::peers::PeerId;
use super::state::{Registry, Service};
use crate::refusal::{LockCause, LockEnd, LockRefusal, Refusal, WaitEnd, excerpt};

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

impl Service {
    /// Returns the clients that wait for a lock or hold one, and whether each holds one, as far as
    /// they asked no later than `newest`: [`BROKEN_AT_ONCE`] and one more at most.
    fn locks_until(&self, newest: Ticket) -> Vec<(PeerId, bool)> {
        // Waits first: a lock that is broken is granted to the next request that waits.
        let waits = self.lock_queue.all().filter(|(ticket, _)| **ticket <= newest);
        let waits = waits.map(|(_, waiter)| (waiter.client, false));
        // A request that waited may have been granted meanwhile.
        let locks = self.locks.by_age().filter(|(_, lock)| lock.asked <= newest);
        let found = waits.chain(locks.map(|(client, _)| (client, true)));
        found.take(BROKEN_AT_ONCE + 1).collect()
    }
}

impl Registry {
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
        let end = LockEnd {
            at: now,
            cause: cause.clone(),
        };
        let Some(&id) = self.service_names.get(name) else {
            // A lock may be kept over a restart for longer than its service takes to return.
            let Some((broken, has_more)) = self.break_unplaced(name, client, &end, BROKEN_AT_ONCE) else {
                return Err(LockRefusal::NoService {
                    service: excerpt(name).to_owned(),
                }
                .into());
            };
            let (clients, events) = broken.into_iter().unzip();
            return Ok(Broken {
                clients,
                events,
                has_more,
            });
        };
        let found = match client {
            Some(client) => self.lock_of(id, client),
            None => self.services[id].locks_until(newest),
        };
        if let (Some(client), true) = (client, found.is_empty()) {
            return Err(LockRefusal::HoldsNone {
                service: name.to_owned(),
                client: quoted(excerpt(client)),
            }
            .into());
        }
        let mut broken = Broken {
            clients: Vec::new(),
            events: Vec::new(),
            has_more: found.len() > BROKEN_AT_ONCE,
        };
        for (client, has_lock) in found.into_iter().take(BROKEN_AT_ONCE) {
            if has_lock && let Some((holder, event)) = self.break_reservation(client, id, &end) {
                broken.clients.push(holder);
                broken.events.push(event);
                continue;
            }
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

    /// Returns what the client of that name has of a lock on a service, as
    /// [`locks_until`](Service::locks_until) does.
    fn lock_of(&self, id: PeerId, client: &str) -> Vec<(PeerId, bool)> {
        let named = self.client_names.get(client);
        let Some((named, client)) = named.and_then(|named| Some((*named, self.clients.get(*named)?))) else {
            // The holder from before a restart may not be back.
            let mut locks = self.services[id].locks.by_age();
            let is_named = |lock: &Lock| lock.reserved.is_some() && *lock.holder == *client;
            let reserved = locks.find(|(_, lock)| is_named(lock));
            return reserved.map(|(holder, _)| (holder, true)).into_iter().collect();
        };
        let waits = client.lock_waits.iter().any(|(service, _)| *service == id);
        let locks = self.services[id].locks.contains(named);
        let found = [(waits, false), (locks, true)].into_iter();
        found
            .filter(|(is_there, _)| *is_there)
            .map(|(_, has_lock)| (named, has_lock))
            .collect()
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
            log_limit: Arc::clone(&holder.log_limit),
            principal: Arc::clone(&holder.principal),
            features: holder.features,
            end,
            outbox: Arc::clone(&holder.outbox),
        };
        self.lock_gone(&ended.service, client, &lock);
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
        self.lock_waits.subtract(client.lock_waits.len(), 1);
        client.lock_waits.retain(|(_, own)| *own != ticket);
        let refused = WaitRefused::new(client, waiter, refusal.into());
        Some(Event::WaitRefused(refused))
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
