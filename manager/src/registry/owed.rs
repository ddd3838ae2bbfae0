//! Requests that have ended before their reply, which their service still owes.
//!
//! They are kept with their client, so that the late reply is recognised, and so that no other
//! request takes it for its own.

use foldhash::HashMap;
use labwire_wire::{Names, Text, Uid};

use super::identify::SEARCHED_CALLERS;
use super::peers::PeerId;
use super::requests::Requests;
use super::state::Registry;
use super::uid;
use crate::bounds::{CROWDED_OWED, LEAST_OWED, MOST_OWED, MOST_OWED_OF_ALL};

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

    /// Returns the uids of the requests whose reply this service owes and that a reply with `uid` may
    /// be for, as their client wrote them: that uid alone if there is one, or else those of the other
    /// type or in another spelling; all of them for a reply without a uid.
    fn like<'a>(&'a self, service: PeerId, uid: Option<&'a Uid<'_>>) -> impl Iterator<Item = Uid<'a>> {
        let other_type = uid.and_then(Uid::other_type);
        let exact = uid.filter(|uid| self.contains(service, uid.as_bytes()));
        let of_service = self.0.iter().filter(move |(holder, _)| *holder == service);
        of_service
            .map(|(_, own)| own.get())
            .filter(move |own| match (exact, uid) {
                (Some(exact), _) => own == exact,
                (None, Some(uid)) => Some(own) == other_type.as_ref() || own.is_same_number(uid),
                (None, None) => true,
            })
    }

    /// Removes the requests of a service that has left. Returns their number.
    fn forget(&mut self, service: PeerId) -> usize {
        let before = self.0.len();
        self.0.retain(|(holder, _)| *holder != service);
        before - self.0.len()
    }

    /// Removes a request. Returns whether there was one.
    fn remove(&mut self, service: PeerId, uid: &[u8]) -> bool {
        let place = self.position(service, uid);
        if let Some(place) = place {
            self.0.remove(place);
        }
        place.is_some()
    }

    /// Removes the oldest request if there are `most`. Returns its service.
    fn make_room(&mut self, most: usize) -> Option<PeerId> {
        (self.0.len() >= most).then(|| self.0.remove(0).0)
    }
}

impl Registry {
    /// Finds the request that has ended before its reply and that a reply with these names is for: the
    /// only one that the service owes and that has them, as far as they could be read. Returns the name
    /// of its client on the network, and its uid as the client wrote it.
    ///
    /// A reply that names neither client nor uid is for none: the one that is owed may still come.
    pub(crate) fn find_owed(&self, service: PeerId, names: &Names) -> Option<(String, Uid<'static>)> {
        let holder = self.services.get(service)?;
        let uid = names.uid.as_ref();
        if let Some(name) = &names.requester {
            let id = self.client_names.get(name.as_str())?;
            let waits = || {
                holder
                    .callers
                    .get(id)
                    .is_some_and(|requests| requests.count() > 0)
            };
            if uid.is_none() && waits() {
                return None;
            }
            let owed = &self.clients.get(*id)?.owed;
            return Some((name.clone(), the_same(owed.like(service, uid))?.into_owned()));
        }
        // A service that does not know the uid writes the empty one.
        let uid = uid.filter(|uid| !uid.is_empty())?;
        if holder.owing.len() > SEARCHED_CALLERS {
            return None;
        }
        let clients = holder.owing.iter().filter_map(|id| self.clients.get(*id));
        let (name, uid) = the_same(clients.flat_map(|client| {
            let like = client.owed.like(service, Some(uid));
            like.map(|uid| (&*client.name, uid))
        }))?;
        Some((name.to_owned(), uid.into_owned()))
    }

    /// Returns whether a service's frame is about a request that has ended before its reply.
    pub(crate) fn is_owed(&self, service: PeerId, requester: &Text<'_>, uid: &Uid<'_>) -> bool {
        let client = self.client_names.get(requester.as_str());
        let client = client.and_then(|client| self.clients.get(*client));
        client.is_some_and(|client| client.owed.contains(service, uid.as_bytes()))
    }

    /// Takes the note of a request that has ended before its reply, which has come now. Returns
    /// whether there was one.
    pub(crate) fn take_owed(&mut self, service: PeerId, requester: &Text<'_>, uid: &Uid<'_>) -> bool {
        let client = self.client_names.get(requester.as_str()).copied();
        client.is_some_and(|client| self.remove_owed(client, service, uid.as_bytes()))
    }

    /// As [`take_owed`](Self::take_owed), for the id of the client and the bytes of the uid.
    pub(super) fn remove_owed(&mut self, client: PeerId, service: PeerId, uid: &[u8]) -> bool {
        let state = self.clients.get_mut(client);
        let is_owed = state.is_some_and(|state| state.owed.remove(service, uid));
        if is_owed {
            self.owed -= 1;
            self.settle_owing(client, service);
        }
        is_owed
    }

    /// Forgets that a service owes a client something, if that was the last reply.
    fn settle_owing(&mut self, client: PeerId, service: PeerId) {
        let state = self.clients.get(client);
        let still_owes = state.is_some_and(|state| state.owed.services().any(|holder| holder == service));
        if !still_owes && let Some(holder) = self.services.get_mut(service) {
            holder.owing.remove(&client);
        }
    }

    /// Notes that a service owes the reply to a request that has ended. The client's oldest note makes
    /// room for it if the client has as many as it may.
    pub(crate) fn note_owed(&mut self, client: PeerId, service: PeerId, uid: &[u8]) {
        let most = most_owed(self.owed);
        let (Some(state), Some(_)) = (self.clients.get_mut(client), self.services.get(service)) else {
            return;
        };
        match state.owed.make_room(most) {
            Some(holder) => self.settle_owing(client, holder),
            None if self.owed >= MOST_OWED_OF_ALL => return,
            None => self.owed += 1,
        }
        if let (Some(state), Some(holder)) = (self.clients.get_mut(client), self.services.get_mut(service)) {
            state.owed.0.push((service, uid.into()));
            holder.owing.insert(client);
        }
    }

    /// Returns whether the replies to all these requests could be noted as owed.
    pub(super) fn can_owe(&self, callers: &HashMap<PeerId, Requests>) -> bool {
        let all: usize = callers.values().map(Requests::count).sum();
        let most = most_owed(self.owed + all);
        let fits = |(client, requests): (&PeerId, &Requests)| {
            let client = self.clients.get(*client);
            client.is_none_or(|client| client.owed.len() + requests.count() <= most)
        };
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

/// Returns how many notes a client may have, if there are that many of all clients.
fn most_owed(of_all: usize) -> usize {
    if of_all < CROWDED_OWED {
        MOST_OWED
    } else {
        LEAST_OWED
    }
}

/// Returns the item of an iterator, if it yields one, or the same several times: requests may share a
/// uid.
fn the_same<T: PartialEq>(mut of: impl Iterator<Item = T>) -> Option<T> {
    let first = of.next()?;
    of.all(|other| other == first).then_some(first)
}
