//! Requests that wait for their reply.

use std::collections::hash_map::{Entry, OccupiedEntry};
use std::sync::Arc;

use foldhash::HashMap;
use labwire_wire::frames::json_string;
use labwire_wire::{Features, Shape, Text};

use super::uid::Uid;
use super::{Client, ManagerIdentity, PeerId, Reader, Registry, Service};
use crate::outbox::Outbox;
use crate::refusal::{Refusal, excerpt};

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

    #[inline]
    fn contains(&self, service: PeerId) -> bool {
        match self {
            Self::One(only) => *only == service,
            Self::Many(all) => all.iter().any(|(holder, _)| *holder == service),
        }
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

/// A client whose request may go to that service.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    /// Those of the client and of the service.
    pub(super) ids: (PeerId, PeerId),
    pub(crate) client: &'a mut Client,
    pub(crate) service: &'a mut Service,
    pub(super) in_flight: &'a mut usize,
}

impl Asking<'_> {
    /// The service's.
    pub(crate) fn service_id(&self) -> PeerId {
        self.ids.1
    }

    /// Whether the service has nobody to listen to but this client, nor will have: it is locked for it, or takes no other.
    pub(crate) fn is_alone(&self) -> bool {
        let is_client = |id: &PeerId| *id == self.ids.0;
        let Service {
            locks,
            max_clients,
            links,
            callers,
            ..
        } = &*self.service;
        (locks.contains(&self.ids.0) || *max_clients == Some(1))
            && links.len() == 1
            && links.keys().all(is_client)
            && callers.keys().all(is_client)
    }

    /// Notes that the service holds the request.
    pub(crate) fn begin(self, uid: &[u8]) {
        let (client, service) = self.ids;
        match self.client.in_flight.entry(uid.into()) {
            Entry::Occupied(mut holders) => holders.get_mut().add(service),
            Entry::Vacant(place) => {
                place.insert(Holders::One(service));
            }
        }
        self.client.in_flight_count += 1;
        *self.in_flight += 1;
        *self.service.callers.entry(client).or_default() += 1;
    }
}

/// A client that waits for a reply of that service.
#[derive(Debug)]
pub(crate) struct Awaited<'a> {
    /// Those of the client and of the service.
    ids: (PeerId, PeerId),
    pub(crate) outbox: &'a Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    holders: OccupiedEntry<'a, Uid, Holders>,
    in_flight_count: &'a mut usize,
    pub(crate) service: &'a mut Service,
    in_flight: &'a mut usize,
}

impl Awaited<'_> {
    /// The client's.
    pub(crate) fn client_id(&self) -> PeerId {
        self.ids.0
    }

    /// Notes that the service answered the request.
    pub(crate) fn end(mut self) {
        let (client, service) = self.ids;
        if let (_, true) = self.holders.get_mut().remove(service, 1) {
            self.holders.remove();
        }
        *self.in_flight_count -= 1;
        *self.in_flight -= 1;
        if let Some(count) = self.service.callers.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.service.callers.remove(&client);
            }
        }
    }
}

impl Service {
    /// Whether that client may send it a request of that shape now.
    fn admits(&self, (id, client): (PeerId, &Client), shape: Shape) -> Result<(), Refusal> {
        if !self.reader.can_read(shape) {
            return Err(Refusal::UnreadableRequest {
                service: self.name.to_string(),
            });
        }
        if (self.max_clients.is_some() || !self.locks.is_empty()) && !self.links.contains_key(&id) {
            let (service, client) = (self.name.to_string(), client.name.to_string());
            return Err(if self.locks.is_empty() {
                Refusal::LinkBecauseLimited { service, client }
            } else {
                Refusal::LinkBecauseLocked { service, client }
            });
        }
        Ok(())
    }
}

fn no_such_service(name: &Text<'_>, manager: &ManagerIdentity) -> Refusal {
    Refusal::NoSuchService {
        service: excerpt(name.as_str()).to_owned(),
        manager: manager.name(),
    }
}

/// The requests of one client whose service will not answer them.
#[derive(Debug)]
pub(crate) struct Abandoned {
    client: Arc<Outbox>,
    pub(super) requester: Arc<str>,
    /// Whether the client wants to know whose errors it gets.
    origin: bool,
    pub(super) uids: Vec<Uid>,
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
                writer.copied(json_string(uid.as_str()).as_bytes());
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
            let Some(service) = self.services.get_mut(id) else {
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
        for (&caller, &count) in callers {
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

    /// Finds the service that a client's request is for, if the client may send it there now. Nothing if the client
    /// itself is not here.
    pub(crate) fn ask(
        &mut self,
        client: PeerId,
        name: &Text<'_>,
        shape: Shape,
    ) -> Result<Option<Asking<'_>>, Refusal> {
        let Some(caller) = self.clients.get_mut(client) else {
            return Ok(None);
        };
        let id = match self.services.get(caller.asked_last) {
            // A hash of the name would take longer.
            Some(last) if *name == *last.name => caller.asked_last,
            _ => *self
                .service_names
                .get(name.as_str())
                .ok_or_else(|| no_such_service(name, &self.manager))?,
        };
        let Some(service) = self.services.get_mut(id) else {
            return Err(no_such_service(name, &self.manager));
        };
        service.admits((client, caller), shape)?;
        if caller.in_flight_count >= self.in_flight_limit {
            return Err(Refusal::TooManyInFlight {
                client: caller.name.to_string(),
                limit: self.in_flight_limit,
            });
        }
        caller.asked_last = id;
        Ok(Some(Asking {
            ids: (client, id),
            client: caller,
            service,
            in_flight: &mut self.in_flight,
        }))
    }

    /// Finds where a reply of `service` goes: to the named client, if it still waits for this very reply.
    pub(crate) fn awaited(
        &mut self,
        service: PeerId,
        requester: &Text<'_>,
        uid: &Text<'_>,
    ) -> Option<Awaited<'_>> {
        let answering = self.services.get_mut(service)?;
        let id = match self.clients.get(answering.answered_last) {
            Some(last) if *requester == *last.name => answering.answered_last,
            _ => *self.client_names.get(requester.as_str())?,
        };
        let client = self.clients.get_mut(id)?;
        let Entry::Occupied(holders) = client.in_flight.entry(uid.as_bytes().into()) else {
            return None;
        };
        if !holders.get().contains(service) {
            return None;
        }
        answering.answered_last = id;
        Some(Awaited {
            ids: (id, service),
            outbox: &client.outbox,
            reader: client.reader,
            features: client.features,
            holders,
            in_flight_count: &mut client.in_flight_count,
            service: answering,
            in_flight: &mut self.in_flight,
        })
    }

    /// How many requests wait for a reply.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
