//! Services that have left, and the clients that are not yet notified.

use std::cell::OnceCell;
use std::collections::hash_map::IntoIter;
use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::{HashMap, HashSet};

use super::abandoned::Abandoned;
use super::deadlines::Expiring;
use super::event::{Event, WaitRefused};
use super::lock_queue::{Ticket, Waiter};
use super::locks::{Lock, Locks};
use super::peers::PeerId;
use super::requests::Requests;
use super::state::Registry;
use crate::buffers;
use crate::outbox::Outbox;
use crate::refusal::{LockEnd, Refusal};

/// The most linked clients whose tables are freed on the routing thread.
const DROPPED_HERE: usize = 1_000;

/// How many ends of locks are forgotten in the time of one frame.
const FORGOTTEN_AT_ONCE: usize = 16;

/// A service that has left. Nobody can call it or link with it. Its name is free once every client
/// concerned is notified. Otherwise a client could link with the next service of that name first,
/// and take the late notification for the end of its new link.
#[derive(Debug)]
pub(crate) struct Leaving {
    id: PeerId,
    name: Arc<str>,
    requests: usize,
    /// The requests that the service never received, since it was away, and what their callers are
    /// told.
    unsent: IntoIter<PeerId, Requests>,
    unsent_reason: Option<Refusal>,
    callers: IntoIter<PeerId, Requests>,
    links: IntoIter<PeerId, Arc<Outbox>>,
    locks: Locks,
    waiting: btree_map::IntoIter<Ticket, Waiter>,
    ended_locks: IntoIter<PeerId, LockEnd>,
    /// The clients to whom it may owe a reply.
    owing: std::collections::hash_set::IntoIter<PeerId>,
    /// The frame that notifies a client of the end of its link, once composed.
    unlinked: OnceCell<Bytes>,
    /// Whether the name is free once everyone is notified.
    frees_name: bool,
}

impl Leaving {
    /// The callers of a service that is away: their requests end, and nothing else.
    pub(super) fn of_callers(
        id: PeerId,
        name: Arc<str>,
        (unsent, unsent_reason): (HashMap<PeerId, Requests>, Option<Refusal>),
        callers: HashMap<PeerId, Requests>,
    ) -> Self {
        Self {
            id,
            requests: callers.values().chain(unsent.values()).map(Requests::count).sum(),
            unsent: unsent.into_iter(),
            unsent_reason,
            name,
            callers: callers.into_iter(),
            links: HashMap::default().into_iter(),
            locks: Locks::default(),
            waiting: BTreeMap::new().into_iter(),
            ended_locks: HashMap::default().into_iter(),
            owing: HashSet::default().into_iter(),
            unlinked: OnceCell::new(),
            frees_name: false,
        }
    }

    /// Returns the service's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of requests that it held.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }
}

impl Registry {
    /// Removes a peer and everything that belongs to it. Returns `None` if it has left already. A
    /// service is returned with the clients concerned.
    pub(crate) fn leave(&mut self, id: PeerId) -> Option<(Event<'static>, Option<Leaving>)> {
        let login_end = self.logins.remove(&id).and_then(|login| login.dismissal.end());
        if let Some(client) = self.clients.remove(id) {
            let (unlinked, left_behind) = self.forget_client(id, &client);
            let event = Event::Left {
                name: (*client.name).into(),
                is_service: false,
                principal: client.principal,
                login_end,
                requests: 0,
                unlinked,
                left_behind,
            };
            return Some((event, None));
        }
        let (unsent, unsent_reason) = self.never_received(id);
        let service = self.services.remove(id)?;
        let away = Self::away_deadline(service.away.as_deref());
        self.deadlines.remove(away, Expiring::Away(id));
        let bytes = service.description.len();
        self.identities.subtract(bytes, bytes);
        self.service_names.remove(&service.name);
        self.likenesses.remove(&service.name);
        self.service_roster.remove(&service.name);
        self.leaving.insert(Arc::clone(&service.name));
        self.displace_reservations(&service.name);
        self.end_approvals_for(id);
        if service.links.len() > DROPPED_HERE {
            buffers::discard(service.linked);
        }
        let all = service.callers.values().chain(unsent.values());
        let requests = all.map(Requests::count).sum();
        let event = Event::Left {
            name: service.full_name,
            is_service: true,
            principal: service.principal,
            login_end,
            requests,
            unlinked: Vec::new(),
            left_behind: Vec::new(),
        };
        let leaving = Leaving {
            id,
            requests,
            unsent: unsent.into_iter(),
            unsent_reason,
            name: service.name,
            callers: service.callers.into_iter(),
            links: service.links.into_iter(),
            locks: service.locks,
            waiting: service.lock_queue.into_all(),
            ended_locks: service.ended_locks.into_iter(),
            owing: service.owing.into_iter(),
            unlinked: OnceCell::new(),
            frees_name: true,
        };
        Some((event, Some(leaving)))
    }

    /// Returns the event for the next client that the departure of a service concerns: first those
    /// with requests in flight, refused for `reason`, then those that wait for a lock or were linked. After the last
    /// one, the name is free.
    pub(crate) fn next_concerned<'a>(
        &mut self,
        leaving: &'a mut Leaving,
        reason: &'a Refusal,
    ) -> Option<Event<'a>> {
        let unsent_reason = leaving.unsent_reason.as_ref().unwrap_or(reason);
        for (caller, requests) in leaving.unsent.by_ref() {
            if let Some(requests) = self.abandon(leaving.id, caller, requests) {
                return Some(Event::Abandoned {
                    requests,
                    reason: unsent_reason,
                });
            }
        }
        for (caller, requests) in leaving.callers.by_ref() {
            if let Some(requests) = self.abandon(leaving.id, caller, requests) {
                return Some(Event::Abandoned { requests, reason });
            }
        }
        for (ticket, waiter) in leaving.waiting.by_ref() {
            self.deadlines
                .remove(Some(waiter.deadline), Expiring::LockWait(leaving.id, ticket));
            if let Some(client) = self.clients.get_mut(waiter.client) {
                self.lock_waits.subtract(client.lock_waits.len(), 1);
                client.lock_waits.retain(|(_, own)| *own != ticket);
                let refusal = Refusal::CannotLock {
                    service: leaving.name.to_string(),
                    client: waiter.name.to_string(),
                };
                return Some(Event::WaitRefused(WaitRefused::new(client, waiter, refusal)));
            }
        }
        if leaving.owing.len() > 0 {
            self.forget_owing(leaving.id, leaving.owing.by_ref().take(FORGOTTEN_AT_ONCE));
            return Some(Event::Forgotten);
        }
        if leaving.ended_locks.len() > 0 {
            for (client, _) in leaving.ended_locks.by_ref().take(FORGOTTEN_AT_ONCE) {
                if let Some(client) = self.clients.get_mut(client) {
                    client.ended_locks.remove(&leaving.id);
                }
            }
            return Some(Event::Forgotten);
        }
        for (client, outbox) in leaving.links.by_ref() {
            let lock = leaving.locks.get(client);
            self.deadlines
                .remove(lock.and_then(Lock::deadline), Expiring::Lease(leaving.id, client));
            if let Some(lock) = lock.filter(|lock| lock.reserved.is_none()) {
                self.lock_gone(&leaving.name, client, lock);
            }
            // The client may have left meanwhile.
            if let Some(client) = self.clients.get_mut(client) {
                client.links.remove(&leaving.id);
                let told = client.features.unlinked.then_some(outbox);
                return Some(Event::LinkEnded {
                    service: &leaving.name,
                    frame: &leaving.unlinked,
                    told,
                });
            }
        }
        if leaving.locks.len() > DROPPED_HERE {
            buffers::discard(std::mem::take(&mut leaving.locks));
        }
        if leaving.frees_name {
            self.leaving.remove(&leaving.name);
        }
        None
    }

    /// Returns whether a service of that name has left and some clients are not yet notified.
    pub(crate) fn is_leaving(&self, name: &str) -> bool {
        self.leaving.contains(name)
    }
}

impl Registry {
    /// Removes all requests in flight. Returns them with the names of the services that held them.
    pub(crate) fn abandon_all(&mut self) -> Vec<(Arc<str>, Abandoned)> {
        let mut all = Vec::new();
        for id in self.service_names.values().copied().collect::<Vec<_>>() {
            let Some(service) = self.services.get_mut(id) else {
                continue;
            };
            let (name, callers) = (Arc::clone(&service.name), std::mem::take(&mut service.callers));
            service.in_flight = 0;
            for (caller, requests) in callers {
                let abandoned = self.abandon(id, caller, requests);
                all.extend(abandoned.map(|abandoned| (Arc::clone(&name), abandoned)));
            }
        }
        all
    }

    /// Removes the requests of a caller that a service holds. Returns `None` if there are none, or
    /// if the caller has left.
    pub(super) fn abandon(
        &mut self,
        service: PeerId,
        caller: PeerId,
        mut requests: Requests,
    ) -> Option<Abandoned> {
        requests.untrack(&mut self.tracked, &mut self.deadlines, false);
        let client = self.clients.get_mut(caller)?;
        // A service that was away may be back already and hold others, and one that leaves may hold
        // some that it received beside those that it did not.
        let place = self.services.get(service);
        if place.is_none_or(|service| !service.callers.contains_key(&caller)) {
            client.asked.remove(&service);
        }
        if requests.count() == 0 {
            return None;
        }
        client.in_flight.remove(requests.count(), &mut self.in_flight);
        Some(Abandoned {
            client: Arc::clone(&client.outbox),
            requester: Arc::clone(&client.name),
            features: client.features,
            requests,
        })
    }
}
