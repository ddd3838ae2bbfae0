//! Requests that wait for their reply.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;
use labwire_wire::frames::json_string;

use super::{Client, PeerId, Registry};
use crate::outbox::Outbox;
use crate::refusal::Refusal;

/// How many requests of one client that carry one uid each service holds.
///
/// Nearly always one request; people at terminals send every request with the empty uid.
#[derive(Debug)]
pub(super) enum Holders {
    One(PeerId),
    Many(Vec<(PeerId, usize)>),
}

impl Holders {
    fn add(&mut self, service: PeerId) {
        let all = match self {
            Self::One(first) => {
                *self = Self::Many(vec![(*first, 1)]);
                return self.add(service);
            }
            Self::Many(all) => all,
        };
        match all.iter_mut().find(|(holder, _)| *holder == service) {
            Some((_, count)) => *count += 1,
            None => all.push((service, 1)),
        }
    }

    fn contains(&self, service: PeerId) -> bool {
        self.services().any(|holder| holder == service)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = PeerId> {
        let (one, many) = match self {
            Self::One(only) => (Some(*only), &[][..]),
            Self::Many(all) => (None, &all[..]),
        };
        one.into_iter().chain(many.iter().map(|&(holder, _)| holder))
    }

    /// Takes up to `limit` requests of `service` away; tells how many there were and whether none is left.
    fn remove(&mut self, service: PeerId, limit: usize) -> (usize, bool) {
        match self {
            Self::One(only) if *only == service => (1, true),
            Self::One(_) => (0, false),
            Self::Many(all) => {
                let mut removed = 0;
                all.retain_mut(|(holder, count)| {
                    if *holder == service {
                        removed = limit.min(*count);
                        *count -= removed;
                    }
                    *count > 0
                });
                (removed, all.is_empty())
            }
        }
    }
}

/// The requests of one client whose service will not answer them.
#[derive(Debug)]
pub(crate) struct Abandoned {
    client: Arc<Outbox>,
    pub(super) requester: Arc<str>,
    /// Whether the client wants to know whose errors it gets.
    origin: bool,
    pub(super) uids: Vec<Box<str>>,
}

impl Abandoned {
    /// Tells the client why there will be no replies.
    ///
    /// The registry is locked meanwhile, and there can be many: only the uid is written anew for each.
    pub(crate) fn tell(&self, refusal: &Refusal) {
        let (head, tail) = refusal.around_uid(&self.requester, self.origin);
        self.client.push_always(|writer| {
            for uid in &self.uids {
                writer.copied(&head);
                writer.copied(json_string(uid).as_bytes());
                writer.copied(tail);
            }
        });
    }

    /// How many requests these are.
    pub(crate) fn count(&self) -> usize {
        self.uids.len()
    }
}

impl Registry {
    /// Takes all requests back from their callers, with the names of the services that held them.
    pub(crate) fn abandon_all(&mut self) -> Vec<(Arc<str>, Abandoned)> {
        let mut all = Vec::new();
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
        let mut all = Vec::with_capacity(callers.len());
        for (caller, &count) in callers {
            let Some(client) = self.clients.get_mut(caller) else {
                continue;
            };
            let Client {
                in_flight,
                in_flight_count,
                outbox,
                name,
                features,
                ..
            } = client;
            let mut uids = Vec::with_capacity(count);
            in_flight.retain(|uid, holders| {
                let (count, none_left) = holders.remove(id, usize::MAX);
                uids.extend(std::iter::repeat_n(uid, count).cloned());
                !none_left
            });
            *in_flight_count -= uids.len();
            self.in_flight -= uids.len();
            all.push(Abandoned {
                client: Arc::clone(outbox),
                requester: Arc::clone(name),
                origin: features.origin,
                uids,
            });
        }
        all
    }

    /// Notes that `service` holds a request of `client`.
    pub(crate) fn begin_request(&mut self, client: PeerId, service: PeerId, uid: &str) {
        let Some(caller) = self.clients.get_mut(&client) else {
            return;
        };
        match caller.in_flight.entry(uid.into()) {
            Entry::Occupied(mut holders) => holders.get_mut().add(service),
            Entry::Vacant(place) => {
                place.insert(Holders::One(service));
            }
        }
        caller.in_flight_count += 1;
        self.in_flight += 1;
        if let Some(service) = self.services.get_mut(&service) {
            *service.callers.entry(client).or_default() += 1;
        }
    }

    /// Finds where a reply of `service` goes: to the named client, if it still waits for this very reply.
    pub(crate) fn destination(
        &self,
        service: PeerId,
        requester: &str,
        uid: &str,
    ) -> Option<(PeerId, &Client)> {
        let &id = self.client_names.get(requester)?;
        let client = &self.clients[&id];
        client
            .in_flight
            .get(uid)?
            .contains(service)
            .then_some((id, client))
    }

    /// Notes that the service answered the client's request.
    pub(crate) fn end_request(&mut self, service: PeerId, client: PeerId, uid: &str) {
        if let Some(caller) = self.clients.get_mut(&client)
            && let Some(holders) = caller.in_flight.get_mut(uid)
        {
            if let (_, true) = holders.remove(service, 1) {
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
