//! Predicts the outcome of malformed replies.

use std::collections::BTreeSet;

use serde_json::json;

use super::garble::{Garble, Garbled, number, other_type, refusal_frame};
use super::model::Model;
use super::state::{InFlight, Key, Predicted};
use crate::refusal::Refusal;

/// The most callers that are searched for the request of a reply without a requester.
const SEARCHED_CALLERS: usize = 64;

/// The limit on the nesting of a line.
const NESTING: usize = 1_024;

impl Garbled {
    /// Returns the error that the caller receives.
    fn frame(&self, model: &Model, held: &InFlight) -> Vec<u8> {
        let client = &model.peers[&held.client];
        let (requester, uid) = (client.full_name(), &held.uid);
        if self.garble == Garble::Report {
            let requester = json!(requester);
            return format!(
                "{{\"error\":true,\"message\":\"E: \\u00e9\",\"requester\":{requester},\"result\":null,\"traceback\":[\"x\"],\"uid\":{uid}}}\r\n"
            )
            .into();
        }
        let service = model.peers[&held.service].identity.name.clone();
        let refusal = match self.garble {
            Garble::TooDeep => Refusal::ReplyTooDeep {
                service,
                limit: NESTING,
            },
            _ => Refusal::MalformedReply { service },
        };
        refusal_frame(&refusal, &requester, uid, client.identity.features)
    }

    /// Returns the error that the service receives if the reply matches no request.
    fn refusal(&self) -> Option<Refusal> {
        match self.garble {
            Garble::Report => None,
            Garble::Text => Some(Refusal::ServiceTypes),
            _ => self.error.map(Refusal::from),
        }
    }
}

impl Model {
    /// Returns the index of the request that a malformed reply is for.
    fn identify(&self, service: Key, requester: Option<&str>, uid: Option<&str>) -> Option<usize> {
        let caller = match requester {
            Some(name) => Some(self.client_named(name)?),
            None => None,
        };
        let uid = uid.filter(|uid| requester.is_some() || *uid != "\"\"");
        let held: Vec<usize> = (0..self.in_flight.len())
            .filter(|place| {
                let held = &self.in_flight[*place];
                held.service == service && caller.is_none_or(|caller| held.client == caller)
            })
            .collect();
        let Some(uid) = uid else {
            return (held.len() == 1).then(|| held[0]);
        };
        let mut clients: Vec<Key> = held.iter().map(|place| self.in_flight[*place].client).collect();
        clients.dedup();
        clients.sort_unstable();
        clients.dedup();
        if requester.is_none() && clients.len() > SEARCHED_CALLERS {
            return None;
        }
        let first = |client: Key, uid: &str| {
            let is_it = |place: &&usize| {
                let held = &self.in_flight[**place];
                held.client == client && held.uid == uid
            };
            held.iter().find(is_it).copied()
        };
        let found: Vec<usize> = clients
            .into_iter()
            .filter_map(|client| {
                first(client, uid)
                    .or_else(|| other_type(uid).and_then(|other| first(client, &other)))
                    .or_else(|| self.other_spelling(client, service, uid))
            })
            .collect();
        (found.len() == 1).then(|| found[0])
    }

    /// Notes that a reply with these names has come, which is for a request that has ended. Returns
    /// whether there is exactly one such, or several with one uid.
    pub(super) fn take_late(&mut self, from: Key, requester: Option<&str>, uid: Option<&str>) -> bool {
        let of_service = |request: &&InFlight| request.service == from;
        let client = match requester {
            Some(name) => match self.client_named(name) {
                Some(client) => Some(client),
                None => return false,
            },
            None if uid.is_none_or(|uid| uid == "\"\"") => return false,
            None => None,
        };
        let is_clients = |request: &&InFlight| client.is_none_or(|client| request.client == client);
        let waits = self
            .in_flight
            .iter()
            .filter(of_service)
            .any(|held| is_clients(&held));
        if uid.is_none() && waits {
            return false;
        }
        let owed: Vec<&InFlight> = self.owed.iter().filter(of_service).filter(is_clients).collect();
        let clients: BTreeSet<Key> = owed.iter().map(|owed| owed.client).collect();
        if requester.is_none() && clients.len() > SEARCHED_CALLERS {
            return false;
        }
        let has_exact = |client: Key| {
            owed.iter()
                .any(|owed| owed.client == client && Some(&*owed.uid) == uid)
        };
        let is_like = |owed: &&InFlight| match uid {
            None => true,
            Some(uid) if owed.uid == uid => true,
            Some(_) if has_exact(owed.client) => false,
            Some(uid) => {
                let is_same = number(uid)
                    .is_some_and(|value| number(&owed.uid).is_some_and(|own| own.total_cmp(&value).is_eq()));
                is_same || other_type(uid).as_ref() == Some(&owed.uid)
            }
        };
        let found: BTreeSet<(Key, String)> = owed
            .iter()
            .filter(|owed| is_like(owed))
            .map(|owed| (owed.client, owed.uid.clone()))
            .collect();
        match found.into_iter().collect::<Vec<_>>().as_slice() {
            [(client, uid)] => self.take_owed(*client, from, uid),
            _ => false,
        }
    }

    /// Predicts the outcome of a service's malformed reply.
    pub(super) fn malformed_reply(&mut self, from: Key, garbled: &Garbled) -> Predicted {
        let (requester, uid) = (garbled.requester.as_deref(), garbled.uid.as_deref());
        if let Some(place) = self.identify(from, requester, uid) {
            return self.end_malformed(from, place, |model, held| garbled.frame(model, held));
        }
        if self.take_late(from, requester, uid) {
            self.sums.malformed += 1;
            return Predicted::Next;
        }
        if requester.is_some() && uid.is_some() {
            self.sums.unsolicited += 1;
            return Predicted::Next;
        }
        let holds = self.in_flight.iter().any(|held| held.service == from);
        let refusal = garbled
            .refusal()
            .filter(|_| !holds && !self.was_told.contains(&from));
        if refusal.is_some()
            && let Some(wait) = self.own_room(from)
        {
            return wait;
        }
        self.sums.malformed += 1;
        self.sums.unattributed_replies += 1;
        if let Some(refusal) = refusal {
            self.was_told.insert(from);
            self.refuse(from, "\"\"", &refusal);
        }
        Predicted::Next
    }

    /// Ends a request with an error, since its reply was malformed.
    pub(super) fn end_malformed(
        &mut self,
        from: Key,
        place: usize,
        frame: impl FnOnce(&Self, &InFlight) -> Vec<u8>,
    ) -> Predicted {
        let held = self.in_flight[place].clone();
        let frame = frame(self, &held);
        if !self.takes(from, held.client, frame.len(), true) {
            return Predicted::Wait(vec![held.client]);
        }
        self.tell(held.client, frame);
        self.in_flight.remove(place);
        self.sums.malformed += 1;
        self.sums.malformed_replies += 1;
        Predicted::Next
    }
}
