//! The requests that wait for a lock on a service.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use labwire_wire::Uid;

use super::peers::PeerId;
use super::terms::Terms;
use crate::refusal::WaitingRequest;

/// A number that orders requests by the time they began to wait, and locks by the time they were
/// granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(super) fn next(&mut self) -> Self {
        self.0 += 1;
        *self
    }
}

/// A request for a lock that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) client: PeerId,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(super) name: Arc<str>,
    pub(super) uid: Uid<'static>,
    pub(super) terms: Terms,
    pub(super) since: Timestamp,
    /// How long it waits.
    pub(super) wait: Duration,
    /// When it is refused.
    pub(super) deadline: Instant,
}

/// The requests that wait for locks on one service, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct LockQueue {
    by_ticket: BTreeMap<Ticket, Waiter>,
    /// The number of those that ask for an exclusive lock.
    exclusive: usize,
}

impl LockQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }

    pub(super) fn insert(&mut self, ticket: Ticket, waiter: Waiter) {
        self.exclusive += usize::from(!waiter.terms.shared);
        self.by_ticket.insert(ticket, waiter);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.by_ticket.remove(&ticket)?;
        self.exclusive -= usize::from(!waiter.terms.shared);
        Some(waiter)
    }

    /// Returns a request.
    pub(super) fn get(&self, ticket: Ticket) -> Option<&Waiter> {
        self.by_ticket.get(&ticket)
    }

    /// Returns the request that has waited longest.
    pub(super) fn first(&self) -> Option<(Ticket, &Waiter)> {
        let (ticket, waiter) = self.by_ticket.first_key_value()?;
        Some((*ticket, waiter))
    }

    /// Returns the position of a request, counted from 1.
    pub(super) fn position(&self, ticket: Ticket) -> usize {
        self.by_ticket.range(..=ticket).count()
    }

    /// Returns the first request of another client that comes before a new one: any, or with
    /// `exclusive` one that asks for an exclusive lock.
    pub(super) fn first_before(&self, client: PeerId, exclusive: bool) -> Option<WaitingRequest> {
        if exclusive && self.exclusive == 0 {
            return None;
        }
        let mut waiting = self.by_ticket.values();
        let first = waiting.find(|waiter| waiter.client != client && !(exclusive && waiter.terms.shared))?;
        Some(WaitingRequest {
            client: first.name.to_string(),
            since: first.since,
            exclusive: !first.terms.shared,
        })
    }

    /// Returns all requests.
    pub(super) fn into_all(self) -> IntoIter<Ticket, Waiter> {
        self.by_ticket.into_iter()
    }

    /// Returns all requests, in the order of their arrival.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Ticket, &Waiter)> {
        self.by_ticket.iter()
    }
}
