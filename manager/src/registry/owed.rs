//! Requests that have ended before their reply, which their service still owes.
//!
//! They are kept with their client, so that the late reply is recognised, and so that no other
//! request takes it for its own.

use foldhash::HashMap;
use labwire_wire::{Text, Uid};

use super::peers::PeerId;
use super::requests::Requests;
use super::state::Registry;
use super::uid;
use crate::bounds::{MOST_OWED, MOST_OWED_OF_ALL};

/// The requests of one client that have ended before their reply: the service and the uid of each,
/// the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Owed(Vec<(PeerId, uid::Uid)>);

impl Owed {
    /// Returns whether a service still owes the reply to an ended request with that uid.
    #[inline]
    pub(super) fn contains(&self, service: PeerId, uid: &[u8]) -> bool {
        !self.0.is_empty() && self.position(service, uid).is_some()
    }

    fn position(&self, service: PeerId, uid: &[u8]) -> Option<usize> {
        let is_it = |(holder, own): &(PeerId, uid::Uid)| *holder == service && own.as_bytes() == uid;
        self.0.iter().position(is_it)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the services that owe a reply.
    pub(super) fn services(&self) -> impl Iterator<Item = PeerId> {
        self.0.iter().map(|(service, _)| *service)
    }

    /// Removes the requests of a service that has left. Returns their number.
    fn forget(&mut self, service: PeerId) -> usize {
        let before = self.0.len();
        self.0.retain(|(holder, _)| *holder != service);
        before - self.0.len()
    }

    /// Removes a request. Returns whether there was one.
    pub(super) fn remove(&mut self, service: PeerId, uid: &[u8]) -> bool {
        let place = self.position(service, uid);
        if let Some(place) = place {
            self.0.remove(place);
        }
        place.is_some()
    }

    /// Adds a request. `all` is the number of those of all clients.
    pub(super) fn add(&mut self, service: PeerId, uid: &[u8], all: &mut usize) {
        if self.0.len() >= MOST_OWED {
            self.0.remove(0);
        } else if *all >= MOST_OWED_OF_ALL {
            return;
        } else {
            *all += 1;
        }
        self.0.push((service, uid.into()));
    }
}

impl Registry {
    /// Returns whether a service's frame is about a request that has ended before its reply.
    pub(crate) fn is_owed(&self, service: PeerId, requester: &Text<'_>, uid: &Uid<'_>) -> bool {
        let client = self.client_names.get(requester.as_str());
        let client = client.and_then(|client| self.clients.get(*client));
        client.is_some_and(|client| client.owed.contains(service, uid.as_bytes()))
    }

    /// Takes the note of a request that has ended before its reply, which has come now. Returns
    /// whether there was one.
    pub(crate) fn take_owed(&mut self, service: PeerId, requester: &Text<'_>, uid: &Uid<'_>) -> bool {
        let Some(client) = self.client_names.get(requester.as_str()) else {
            return false;
        };
        let Some(client) = self.clients.get_mut(*client) else {
            return false;
        };
        let is_owed = client.owed.remove(service, uid.as_bytes());
        self.owed -= usize::from(is_owed);
        is_owed
    }

    /// Notes that a service owes the reply to a request that has ended.
    pub(crate) fn note_owed(&mut self, client: PeerId, service: PeerId, uid: &[u8]) {
        let holder = self.services.get_mut(service);
        if let (Some(client_state), Some(holder)) = (self.clients.get_mut(client), holder) {
            client_state.owed.add(service, uid, &mut self.owed);
            holder.owing.insert(client);
        }
    }

    /// Returns whether the replies to all these requests could be noted as owed.
    pub(super) fn can_owe(&self, callers: &HashMap<PeerId, Requests>) -> bool {
        let fits = |(client, requests): (&PeerId, &Requests)| {
            let client = self.clients.get(*client);
            client.is_none_or(|client| client.owed.len() + requests.count() <= MOST_OWED)
        };
        let all: usize = callers.values().map(Requests::count).sum();
        self.owed + all <= MOST_OWED_OF_ALL && callers.iter().all(fits)
    }

    /// Forgets what a service owes that has left, to some clients.
    pub(super) fn forget_owing(&mut self, service: PeerId, clients: impl Iterator<Item = PeerId>) {
        for client in clients {
            if let Some(client) = self.clients.get_mut(client) {
                self.owed -= client.owed.forget(service);
            }
        }
    }

    /// Returns the number of requests that have ended before their reply and are kept.
    pub(crate) fn owed(&self) -> usize {
        self.owed
    }
}
