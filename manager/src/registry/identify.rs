//! Finds the request that a malformed reply answers.

use labwire_wire::{Names, Text, Uid};

use super::asking::Awaited;
use super::peers::PeerId;
use super::requests::Requests;
use super::state::{Registry, Service};

/// How many waiting clients are searched for a uid when a reply does not name its requester.
/// Searching this many takes as long as routing a few lines, however often a service sends such
/// replies.
pub(super) const SEARCHED_CALLERS: usize = 64;

/// How many requests are searched for a uid that is the same number in another spelling.
const SEARCHED_REQUESTS: usize = 256;

impl Registry {
    /// Finds the request that a malformed reply of `service` answers: the only one held by the
    /// service that has these names, as far as they could be read.
    pub(crate) fn identify(&mut self, service: PeerId, names: &Names) -> Option<Awaited<'_>> {
        let (client, uid) = self.identity_of_request(service, names)?;
        self.awaited_by(client, service, &uid)
    }

    fn identity_of_request(&self, service: PeerId, names: &Names) -> Option<(PeerId, Uid<'static>)> {
        let service = self.services.get(service)?;
        // A service that does not know the uid writes the empty one.
        let uid = names
            .uid
            .as_ref()
            .filter(|uid| names.requester.is_some() || !uid.is_empty());
        match (&names.requester, uid) {
            (Some(requester), uid) => {
                let client = *self.client_names.get(requester.as_str())?;
                let requests = service.callers.get(&client)?;
                let held = match uid {
                    Some(uid) => requests.held_as(uid)?,
                    None => requests.only_uid()?,
                };
                Some((client, held))
            }
            (None, Some(uid)) => {
                let mut waiting = service.waiting();
                let searched = waiting.by_ref().take(SEARCHED_CALLERS);
                let found =
                    only(searched.filter_map(|(client, requests)| Some((client, requests.held_as(uid)?))));
                found.filter(|_| waiting.next().is_none())
            }
            (None, None) => {
                let (client, requests) = only(service.waiting())?;
                Some((client, requests.only_uid()?))
            }
        }
    }

    /// Returns the uid of a request that a service holds, as its client wrote it, if the service
    /// answers with another type of the same text: a string for a number, or a number for a string.
    pub(crate) fn held_as_other_type(
        &self,
        service: PeerId,
        requester: &Text<'_>,
        uid: &Uid<'_>,
    ) -> Option<Uid<'static>> {
        let requests = self.requests(service, requester)?;
        uid.other_type().filter(|other| requests.contains(other))
    }

    /// Returns the uid of a request that a service holds, as its client wrote it, if the service
    /// answers with the same number in another spelling.
    pub(crate) fn held_in_other_spelling(
        &self,
        service: PeerId,
        requester: &Text<'_>,
        uid: &Uid<'_>,
    ) -> Option<Uid<'static>> {
        self.requests(service, requester)?.in_other_spelling(uid)
    }

    /// Returns the requests of a client that a service holds.
    fn requests(&self, service: PeerId, requester: &Text<'_>) -> Option<&Requests> {
        let client = self.client_names.get(requester.as_str())?;
        self.services.get(service)?.callers.get(client)
    }
}

impl Service {
    /// Returns the clients that wait for its replies, and their requests.
    fn waiting(&self) -> impl Iterator<Item = (PeerId, &Requests)> {
        let callers = self.callers.iter().map(|(client, requests)| (*client, requests));
        callers.filter(|(_, requests)| requests.count() > 0)
    }

    /// Returns whether it holds any requests.
    pub(crate) fn holds_requests(&self) -> bool {
        self.waiting().next().is_some()
    }
}

impl Requests {
    /// Returns the uid of one of these requests: `uid` itself, or else one of the other type or in
    /// another spelling.
    pub(super) fn held_as(&self, uid: &Uid<'_>) -> Option<Uid<'static>> {
        if self.contains(uid) {
            return Some(uid.clone().into_owned());
        }
        let other_type = uid.other_type().filter(|other| self.contains(other));
        other_type.or_else(|| self.in_other_spelling(uid))
    }

    /// Returns the uid of the only request with the same number in another spelling.
    fn in_other_spelling(&self, uid: &Uid<'_>) -> Option<Uid<'static>> {
        if !uid.is_number() || self.count() > SEARCHED_REQUESTS {
            return None;
        }
        only(self.uids().filter(|held| held.is_same_number(uid))).map(Uid::into_owned)
    }

    /// Returns the uid of the request, if it is the only one.
    fn only_uid(&self) -> Option<Uid<'static>> {
        let uid = self.uids().next().filter(|_| self.count() == 1);
        uid.map(Uid::into_owned)
    }
}

/// Returns the item of an iterator, if it yields exactly one.
fn only<T>(mut of: impl Iterator<Item = T>) -> Option<T> {
    let first = of.next()?;
    of.next().is_none().then_some(first)
}
