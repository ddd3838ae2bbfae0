//! Services that have left, and the clients that do not know yet.

use std::collections::hash_map::IntoIter;
use std::sync::Arc;

use super::requests::Requests;
use super::{Abandoned, PeerId, Registry};
use crate::memory;
use crate::outbox::Outbox;

/// Up to how many clients' places in a service that has left are dropped at once.
const DROPPED_HERE: usize = 1_000;

/// A service that has left. Nobody can ask it or link with it any more; its name is free once every client that this
/// concerns has been taken from here: else one could link with the next service of that name first, and take what it is
/// told then for the end of its new link.
#[derive(Debug)]
pub(crate) struct Leaving {
    id: PeerId,
    name: Arc<str>,
    requests: usize,
    callers: IntoIter<PeerId, Requests>,
    links: IntoIter<PeerId, Arc<Outbox>>,
}

/// A client, and what it is to be told.
#[derive(Debug)]
pub(crate) enum Concerned {
    /// Its requests will not be answered.
    Caller(Abandoned),
    /// Its link has ended, and it asked to be told.
    Linked(Arc<Outbox>),
    /// Nothing.
    Nothing,
}

impl Leaving {
    /// The service's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many requests it held.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }
}

impl Registry {
    /// Takes a peer out, with everything that is its own. A service is returned with the clients that this concerns.
    pub(crate) fn leave(&mut self, id: PeerId) -> Option<Leaving> {
        if let Some(client) = self.clients.remove(id) {
            self.forget_client(id, &client);
        }
        let service = self.services.remove(id)?;
        let bytes = service.description.len();
        self.identities.subtract(bytes, bytes);
        self.service_names.remove(&service.name);
        self.likenesses.remove(&service.name);
        self.service_roster.remove(&service.name);
        self.leaving.insert(Arc::clone(&service.name));
        if service.links.len() > DROPPED_HERE {
            memory::discard((service.linked, service.locks));
        }
        Some(Leaving {
            id,
            requests: service.callers.values().map(Requests::count).sum(),
            name: service.name,
            callers: service.callers.into_iter(),
            links: service.links.into_iter(),
        })
    }

    /// Takes the next client away from a service that has left: first those whose requests it held, then those that were
    /// linked. After the last one, the name is free.
    pub(crate) fn next_concerned(&mut self, leaving: &mut Leaving) -> Option<Concerned> {
        if let Some((caller, requests)) = leaving.callers.next() {
            let abandoned = self.abandon(leaving.id, caller, requests);
            return Some(abandoned.map_or(Concerned::Nothing, Concerned::Caller));
        }
        let Some((client, outbox)) = leaving.links.next() else {
            self.leaving.remove(&leaving.name);
            return None;
        };
        let Some(client) = self.clients.get_mut(client) else {
            return Some(Concerned::Nothing);
        };
        client.links.remove(&leaving.id);
        Some(if client.features.unlinked {
            Concerned::Linked(outbox)
        } else {
            Concerned::Nothing
        })
    }

    /// Whether a service of that name has left and some do not know yet.
    pub(crate) fn is_leaving(&self, name: &str) -> bool {
        self.leaving.contains(name)
    }
}
