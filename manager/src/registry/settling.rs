//! Grants locks to the requests that wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use labwire_wire::Uid;

use super::deadlines::Expiring;
use super::event::{Event, WaitRefused};
use super::lock_queue::{Ticket, Waiter};
use super::manager::Listing;
use super::moment::Moment;
use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use crate::outbox::Outbox;
use crate::refusal::{LockRefusal, Refusal, WaitEnd};

/// What is left to do after changes of links and locks.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// The requests that wait no longer.
    refused: VecDeque<WaitRefused>,
    /// The services whose first waiting requests may be granted, in the order in which they joined.
    /// The value is whether nobody held a lock when the first request was granted; `None` before
    /// that.
    queues: BTreeMap<PeerId, Option<bool>>,
}

/// The next consequence of a change of links or locks.
#[derive(Debug)]
pub(crate) enum Settled {
    /// A lock was granted to a request that waited.
    Granted(Grant),
    /// A request waits no longer.
    Refused(Event<'static>),
}

/// A lock that was granted to a request that waited.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) service: Arc<str>,
    pub(crate) client: Arc<str>,
    /// The numbers of links and of locks of the service now.
    pub(crate) links: usize,
    pub(crate) locks: usize,
    /// The list that answers the request.
    pub(crate) listing: Listing,
    pub(crate) uid: Uid<'static>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Registry {
    /// Notes that the requests that wait for a service may be granted now.
    pub(super) fn touch(&mut self, service: PeerId) {
        let waits = |service: &Service| !service.lock_queue.is_empty();
        if self.services.get(service).is_some_and(waits) {
            self.unsettled.queues.entry(service).or_default();
        }
    }

    /// Returns the next consequence of the changes before, for whoever waits for a lock. Call it
    /// after each change of links or locks, until it returns `None`, before the registry is
    /// unlocked.
    pub(crate) fn next_settled(&mut self, now: Moment) -> Option<Settled> {
        if let Some(refused) = self.unsettled.refused.pop_front() {
            return Some(Settled::Refused(Event::WaitRefused(refused)));
        }
        loop {
            let (&service, &was_free) = self.unsettled.queues.first_key_value()?;
            let is_free = || {
                self.services
                    .get(service)
                    .is_some_and(|state| state.locks.is_empty())
            };
            let was_free = was_free.unwrap_or_else(is_free);
            if let Some(grant) = self.grant_first(service, was_free, now) {
                self.unsettled.queues.insert(service, Some(was_free));
                return Some(Settled::Granted(grant));
            }
            self.unsettled.queues.remove(&service);
        }
    }

    /// Returns the first request that waits for a service, if nothing is in its way.
    fn first_grantable(&self, id: PeerId, together: bool) -> Option<Ticket> {
        let service = self.services.get(id)?;
        let (ticket, first) = service.lock_queue.first()?;
        let obstacle = service.obstacle(first.client, first.terms.shared, Some(ticket), together);
        obstacle.is_none().then_some(ticket)
    }

    /// Grants the first request that waits for a service, if nothing is in its way.
    fn grant_first(&mut self, id: PeerId, together: bool, now: Moment) -> Option<Grant> {
        let ticket = self.first_grantable(id, together)?;
        let (waiter, client) = self.take_waiter(id, ticket)?;
        let outbox = Arc::clone(&client.outbox);
        self.give_lock(waiter.client, id, waiter.terms, now);
        let service = self.services.get(id)?;
        Some(Grant {
            service: Arc::clone(&service.name),
            client: waiter.name,
            links: service.links.len(),
            locks: service.locks.len(),
            listing: Listing::LinkedWith(id),
            uid: waiter.uid,
            outbox,
        })
    }

    /// Removes a request that waits, with its deadline. Returns it with its client.
    fn take_waiter(&mut self, id: PeerId, ticket: Ticket) -> Option<(Waiter, &mut Client)> {
        let waiter = self.services.get_mut(id)?.lock_queue.remove(ticket)?;
        self.deadlines
            .remove(Some(waiter.deadline), Expiring::LockWait(id, ticket));
        let client = self.clients.get_mut(waiter.client)?;
        client.lock_waits.retain(|(_, own)| *own != ticket);
        Some((waiter, client))
    }

    /// Ends the wait of a client for a lock on a service. Its request is refused. Returns `false`
    /// if it does not wait for one.
    pub(super) fn end_wait(&mut self, client: PeerId, id: PeerId, end: WaitEnd) -> bool {
        let waits = self.clients.get(client).map(|client| client.lock_waits.iter());
        let Some(&(_, ticket)) = waits.and_then(|mut waits| waits.find(|(service, _)| *service == id)) else {
            return false;
        };
        let Some((waiter, client)) = self.take_waiter(id, ticket) else {
            return false;
        };
        let refused = WaitRefused {
            outbox: Arc::clone(&client.outbox),
            features: client.features,
            requester: Arc::clone(&waiter.name),
            uid: waiter.uid,
            refusal: LockRefusal::WaitEnded {
                service: self.services[id].name.to_string(),
                client: waiter.name.to_string(),
                end,
            }
            .into(),
        };
        self.unsettled.refused.push_back(refused);
        self.touch(id);
        true
    }

    /// Ends all waits of a client that sends no more.
    pub(super) fn end_waits(&mut self, client: PeerId) {
        let waits = self.clients.get(client).map(|client| client.lock_waits.clone());
        for (service, _) in waits.unwrap_or_default() {
            self.end_wait(client, service, WaitEnd::SendsNoMore);
        }
    }

    /// Removes the waits of a client that has left.
    pub(super) fn forget_waits(&mut self, client: &Client) {
        for &(id, ticket) in &client.lock_waits {
            if let Some(service) = self.services.get_mut(id)
                && let Some(waiter) = service.lock_queue.remove(ticket)
            {
                self.deadlines
                    .remove(Some(waiter.deadline), Expiring::LockWait(id, ticket));
                self.touch(id);
            }
        }
    }

    /// Refuses all requests that wait for locks: the manager stops.
    pub(crate) fn refuse_waits(&mut self) -> Vec<Event<'static>> {
        let waits = self
            .clients
            .iter()
            .flat_map(|(_, client)| client.lock_waits.iter().copied());
        let waits: Vec<(PeerId, Ticket)> = waits.collect();
        let mut refused = Vec::new();
        for (id, ticket) in waits {
            if let Some((waiter, client)) = self.take_waiter(id, ticket) {
                refused.push(Event::WaitRefused(WaitRefused {
                    outbox: Arc::clone(&client.outbox),
                    requester: waiter.name,
                    features: client.features,
                    uid: waiter.uid,
                    refusal: Refusal::Stopping,
                }));
            }
        }
        refused
    }

    /// Returns a service whose first waiting request could be granted: for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn unsettled_queue(&self) -> Option<String> {
        if !(self.unsettled.refused.is_empty() && self.unsettled.queues.is_empty()) {
            return Some("a change of locks is not settled".to_owned());
        }
        let mut services = self.services.iter();
        let (_, service) = services.find(|(id, _)| self.first_grantable(*id, false).is_some())?;
        Some(format!(
            "a request waits for {}, and nothing is in its way",
            service.name
        ))
    }
}
