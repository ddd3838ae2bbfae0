//! Grants locks to the requests that wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use labwire_wire::Uid;

use super::deadlines::Expiring;
use super::event::{Event, LinkChange, WaitRefused};
use super::lock_queue::{Ticket, Waiter};
use super::manager::Listing;
use super::moment::Moment;
use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use super::terms::Terms;
use crate::log_limit::LogLimit;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{LockRefusal, Refusal, WaitEnd};

/// The most locks that are granted together, with the same list as the answer.
const GRANTED_AT_ONCE: usize = 64;

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
    /// Locks on a service were granted to requests that waited.
    Granted {
        service: Arc<str>,
        /// The numbers of links and of locks of the service now.
        links: usize,
        locks: usize,
        /// The list that answers the requests.
        listing: Listing,
        grants: Vec<Grant>,
    },
    /// A request waits no longer.
    Refused(Event<'static>),
}

/// A lock that was granted to a request that waited.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) change: LinkChange,
    pub(crate) client: Arc<str>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) terms: Terms,
    pub(crate) log_limit: Arc<LogLimit>,
    pub(crate) uid: Uid<'static>,
    pub(crate) outbox: Arc<Outbox>,
}

impl WaitRefused {
    pub(super) fn new(client: &Client, waiter: Waiter, refusal: Refusal) -> Self {
        Self {
            outbox: Arc::clone(&client.outbox),
            requester: waiter.name,
            principal: Arc::clone(&client.principal),
            features: client.features,
            uid: waiter.uid,
            refusal,
        }
    }
}

impl Registry {
    /// Notes that the requests that wait for a service may be granted now.
    pub(super) fn touch(&mut self, service: PeerId) {
        let waits = |service: &Service| !service.lock_queue.is_empty();
        if self.services.get(service).is_some_and(waits) {
            self.unsettled.queues.entry(service).or_default();
        }
    }

    /// Returns the next consequence of the changes before, for whoever waits for a lock; `None` if
    /// nothing is left.
    pub(crate) fn next_settled(&mut self, now: Moment) -> Option<Settled> {
        if let Some(ended) = self.approvals.next_ended() {
            return Some(Settled::Refused(ended));
        }
        if let Some(refused) = self.unsettled.refused.pop_front() {
            return Some(Settled::Refused(Event::WaitRefused(refused)));
        }
        loop {
            let (&id, &was_free) = self.unsettled.queues.first_key_value()?;
            let is_free = || self.services.get(id).is_some_and(|state| state.locks.is_empty());
            let mut together = was_free.unwrap_or_else(is_free);
            let mut grants = Vec::new();
            while grants.len() < GRANTED_AT_ONCE
                && let Some((grant, shared)) = self.grant_first(id, together, now)
            {
                grants.push(grant);
                // Nobody shares an exclusive lock.
                together &= shared;
            }
            if grants.len() < GRANTED_AT_ONCE {
                self.unsettled.queues.remove(&id);
            } else {
                self.unsettled.queues.insert(id, Some(together));
            }
            if let (false, Some(service)) = (grants.is_empty(), self.services.get(id)) {
                return Some(Settled::Granted {
                    service: Arc::clone(&service.name),
                    links: service.links.len(),
                    locks: service.locks.len(),
                    listing: Listing::LinkedWith(id),
                    grants,
                });
            }
        }
    }

    /// Returns whether [`next_settled`](Self::next_settled) may return something.
    pub(crate) fn is_unsettled(&self) -> bool {
        let Unsettled { refused, queues } = &self.unsettled;
        !(refused.is_empty() && queues.is_empty()) || self.approvals.has_ended()
    }

    /// Wakes whoever handles deadlines, to go on with what is unsettled.
    pub(crate) fn settle_later(&self) {
        self.deadlines.earlier().notify_one();
    }

    /// Returns the first request that waits for a service, if nothing is in its way.
    fn first_grantable(&self, id: PeerId, together: bool) -> Option<Ticket> {
        let service = self.services.get(id)?;
        let (ticket, first) = service.lock_queue.first()?;
        let obstacle = service.obstacle(first.client, first.terms.shared, together);
        obstacle.is_none().then_some(ticket)
    }

    /// Grants the first request that waits for a service, if nothing is in its way. Returns it, and
    /// whether its lock is shared.
    fn grant_first(&mut self, id: PeerId, together: bool, now: Moment) -> Option<(Grant, bool)> {
        let ticket = self.first_grantable(id, together)?;
        let service = self.services.get(id)?;
        let (_, first) = service.lock_queue.first()?;
        let change = service.change_by_lock(first.client);
        let (waiter, client) = self.take_waiter(id, ticket)?;
        let grant = Grant {
            change,
            client: waiter.name,
            principal: Arc::clone(&client.principal),
            terms: waiter.terms.clone(),
            log_limit: Arc::clone(&client.log_limit),
            uid: waiter.uid,
            outbox: Arc::clone(&client.outbox),
        };
        let shared = waiter.terms.shared;
        self.give_lock(waiter.client, id, waiter.terms, Some(ticket), now);
        Some((grant, shared))
    }

    /// Removes a request that waits, with its deadline. Returns it with its client.
    fn take_waiter(&mut self, id: PeerId, ticket: Ticket) -> Option<(Waiter, &mut Client)> {
        let waiter = self.services.get_mut(id)?.lock_queue.remove(ticket)?;
        self.deadlines
            .remove(Some(waiter.deadline), Expiring::LockWait(id, ticket));
        let client = self.clients.get_mut(waiter.client)?;
        self.lock_waits.subtract(client.lock_waits.len(), 1);
        client.lock_waits.retain(|(_, own)| *own != ticket);
        Some((waiter, client))
    }

    /// Ends the wait of a client for a lock on a service. Its request is refused. Returns `false`
    /// if it does not wait for one.
    pub(super) fn end_wait(&mut self, client: PeerId, id: PeerId, end: &WaitEnd) -> bool {
        let waits = self.clients.get(client).map(|client| client.lock_waits.iter());
        let Some(&(_, ticket)) = waits.and_then(|mut waits| waits.find(|(service, _)| *service == id)) else {
            return false;
        };
        let service = self.services[id].name.to_string();
        let Some((waiter, client)) = self.take_waiter(id, ticket) else {
            return false;
        };
        let refusal = LockRefusal::WaitEnded {
            service,
            client: waiter.name.to_string(),
            end: end.clone(),
        };
        let refused = WaitRefused::new(client, waiter, refusal.into());
        self.unsettled.refused.push_back(refused);
        self.touch(id);
        true
    }

    /// Ends all waits of a client that sends no more.
    pub(super) fn end_waits(&mut self, client: PeerId) {
        let waits = self.clients.get(client).map(|client| client.lock_waits.clone());
        for (service, _) in waits.unwrap_or_default() {
            self.end_wait(client, service, &WaitEnd::SendsNoMore);
        }
    }

    /// Removes the waits of a client that has left.
    pub(super) fn forget_waits(&mut self, client: &Client) {
        self.lock_waits
            .subtract(client.lock_waits.len(), client.lock_waits.len());
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
                let refusal = WaitRefused::new(client, waiter, Refusal::Stopping);
                refused.push(Event::WaitRefused(refusal));
            }
        }
        refused
    }

    /// Returns a service whose first waiting request could be granted: for tests.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn unsettled_queue(&self) -> Option<String> {
        if self.is_unsettled() {
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
