//! Requests that wait for their reply.

use std::collections::HashMap;
use std::sync::Arc;

use labwire_wire::frames;

use super::{Client, PeerId, Registry};
use crate::outbox::Outbox;
use crate::refusal::Refusal;

/// Which services hold the requests of one client that carry one uid.
///
/// Nearly always one; people at terminals send every request with the empty uid.
#[derive(Debug)]
pub(super) enum Holders {
    One(PeerId),
    Many(Vec<PeerId>),
}

impl Holders {
    pub(super) fn add(&mut self, service: PeerId) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, service]),
            Self::Many(all) => all.push(service),
        }
    }

    pub(super) fn contains(&self, service: PeerId) -> bool {
        match self {
            Self::One(only) => *only == service,
            Self::Many(all) => all.contains(&service),
        }
    }

    pub(super) fn as_slice(&self) -> &[PeerId] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }

    /// Takes one request of `service` away; tells whether none is left.
    pub(super) fn remove_one(&mut self, service: PeerId) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(all) => {
                if let Some(index) = all.iter().position(|&holder| holder == service) {
                    all.swap_remove(index);
                }
                all.is_empty()
            }
        }
    }

    /// Takes all requests of `service` away; tells how many there were and whether none is left.
    pub(super) fn remove_all(&mut self, service: PeerId) -> (usize, bool) {
        match self {
            Self::One(only) if *only == service => (1, true),
            Self::One(_) => (0, false),
            Self::Many(all) => {
                let before = all.len();
                all.retain(|&holder| holder != service);
                (before - all.len(), all.is_empty())
            }
        }
    }
}

/// A request whose service left before it answered.
#[derive(Debug)]
pub(crate) struct Abandoned {
    client: Arc<Outbox>,
    pub(super) requester: Arc<str>,
    pub(super) uid: Box<str>,
}

/// Where a reply goes.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) outbox: &'a Arc<Outbox>,
    client: PeerId,
}

impl Abandoned {
    /// Tells the client why there will be no reply.
    pub(crate) fn tell(&self, refusal: &Refusal) {
        let frame = frames::error(&refusal.to_string(), &self.requester, &self.uid, b"[]");
        self.client.push_always(&frame);
    }
}

impl Registry {
    /// Takes all requests back from their callers, with the names of the services that held them.
    pub(crate) fn abandon_all(&mut self) -> Vec<(Arc<str>, Abandoned)> {
        let mut all = Vec::with_capacity(self.in_flight);
        for id in self.service_names.values().copied().collect::<Vec<_>>() {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let (name, callers) = (Arc::clone(&service.name), std::mem::take(&mut service.callers));
            all.extend(
                self.abandon(id, &callers)
                    .into_iter()
                    .map(|request| (Arc::clone(&name), request)),
            );
        }
        all
    }

    /// Takes a service's requests back from their callers.
    pub(super) fn abandon(&mut self, id: PeerId, callers: &HashMap<PeerId, usize>) -> Vec<Abandoned> {
        let mut abandoned = Vec::with_capacity(callers.values().sum());
        for caller in callers.keys() {
            let Some(client) = self.clients.get_mut(caller) else {
                continue;
            };
            let Client {
                in_flight,
                in_flight_count,
                outbox,
                name,
                ..
            } = client;
            in_flight.retain(|uid, holders| {
                let (count, none_left) = holders.remove_all(id);
                for _ in 0..count {
                    let (client, requester) = (Arc::clone(outbox), Arc::clone(name));
                    abandoned.push(Abandoned {
                        client,
                        requester,
                        uid: uid.clone(),
                    });
                }
                *in_flight_count -= count;
                !none_left
            });
        }
        self.in_flight -= abandoned.len();
        abandoned
    }

    /// Notes that `service` holds a request of `client`.
    pub(crate) fn begin_request(&mut self, client: PeerId, service: PeerId, uid: &str) {
        let Some(caller) = self.clients.get_mut(&client) else {
            return;
        };
        match caller.in_flight.get_mut(uid) {
            Some(holders) => holders.add(service),
            None => {
                caller.in_flight.insert(uid.into(), Holders::One(service));
            }
        }
        caller.in_flight_count += 1;
        self.in_flight += 1;
        if let Some(service) = self.services.get_mut(&service) {
            *service.callers.entry(client).or_default() += 1;
        }
    }

    /// Finds where a reply of `service` goes: to the named client, if it still waits for this very reply.
    pub(crate) fn destination(&self, service: PeerId, requester: &str, uid: &str) -> Option<Destination<'_>> {
        let &client = self.client_names.get(requester)?;
        let found = &self.clients[&client];
        found
            .in_flight
            .get(uid)?
            .contains(service)
            .then_some(Destination {
                outbox: &found.outbox,
                client,
            })
    }

    /// Notes that the request was answered.
    pub(crate) fn end_request(&mut self, service: PeerId, requester: &str, uid: &str) {
        let Some(client) = self
            .destination(service, requester, uid)
            .map(|found| found.client)
        else {
            return;
        };
        if let Some(caller) = self.clients.get_mut(&client)
            && let Some(holders) = caller.in_flight.get_mut(uid)
        {
            if holders.remove_one(service) {
                caller.in_flight.remove(uid);
            }
            caller.in_flight_count -= 1;
            self.in_flight -= 1;
        }
        if let Some(found) = self.services.get_mut(&service)
            && let Some(count) = found.callers.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                found.callers.remove(&client);
            }
        }
    }

    /// How many requests wait for a reply.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
