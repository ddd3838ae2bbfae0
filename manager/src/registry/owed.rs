//! Requests that have ended before their reply, which their service still owes.
//!
//! They are kept with their client, so that the late reply is recognised, and so that no other
//! request takes it for its own.

use labwire_wire::{Text, Uid};

use super::peers::PeerId;
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
        let Some(place) = client.owed.position(service, uid.as_bytes()) else {
            return false;
        };
        client.owed.0.remove(place);
        self.owed -= 1;
        true
    }

    /// Returns the number of requests that have ended before their reply and are kept.
    pub(crate) fn owed(&self) -> usize {
        self.owed
    }
}
