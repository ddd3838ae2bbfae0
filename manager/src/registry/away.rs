//! Peers that are away: their connection is broken, and their place is kept.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use labwire_tcp::WatchedSocket;

use super::deadlines::Expiring;
use super::event::{Event, Presence};
use super::leaving::Leaving;
use super::moment::Moment;
use super::peers::PeerId;
use super::requests::Requests;
use super::state::{Client, Registry, Service};
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{Refusal, SessionRefusal};

/// Since when a peer is away, and until when its place is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) since: Timestamp,
    pub(crate) until: Moment,
}

impl Away {
    /// Returns the members of an object, after a comma.
    pub(super) fn members(away: Option<&Self>) -> String {
        away.map_or_else(String::new, |Self { since, until }| {
            format!(r#","away":{{"since":"{since}","until":"{}"}}"#, until.time)
        })
    }
}

impl Service {
    /// Returns the refusal of a request, if the service is away and did not ask that its callers
    /// wait.
    #[inline]
    pub(super) fn refuses_while_away(&self) -> Option<Refusal> {
        let away = self.away.as_ref().filter(|_| !self.keep_callers)?;
        Some(
            SessionRefusal::ServiceAway {
                service: self.name.to_string(),
                since: away.since,
            }
            .into(),
        )
    }

    /// Returns the refusal of a request of `length` bytes, if the service is away and it cannot be
    /// kept.
    #[inline]
    pub(crate) fn cannot_keep(&self, length: usize) -> Option<Refusal> {
        let away = self.away.as_ref()?;
        (!self.outbox.keeps(length)).then(|| {
            SessionRefusal::ServiceAwayFull {
                service: self.name.to_string(),
                since: away.since,
            }
            .into()
        })
    }
}

impl Registry {
    /// Notes that a peer's connection is broken, and keeps its place for `grace`. Returns `None` if
    /// it has left. If it is a service whose callers do not wait, it is returned with those whose
    /// requests end now: see [`next_concerned`](Self::next_concerned).
    pub(crate) fn go_away(
        &mut self,
        id: PeerId,
        grace: Duration,
        now: Moment,
    ) -> Option<(Event<'static>, Option<Leaving>)> {
        let away = Away {
            since: now.time,
            until: now.after(grace),
        };
        let (presence, leaving) = if let Some(client) = self.clients.get_mut(id) {
            client.away = Some(Box::new(away));
            let presence = Presence {
                name: (*client.name).into(),
                service: None,
                principal: Arc::clone(&client.principal),
                away: Some(away),
                told: Vec::new(),
            };
            (presence, None)
        } else {
            let service = self.services.get_mut(id)?;
            service.away = Some(Box::new(away));
            service.socket = None;
            let leaving = (!service.keep_callers && service.in_flight > 0).then(|| {
                service.in_flight = 0;
                let callers = std::mem::take(&mut service.callers);
                Leaving::of_callers(id, Arc::clone(&service.name), callers)
            });
            (self.presence_of_service(id)?, leaving)
        };
        self.deadlines.insert(away.until.instant, Expiring::Away(id));
        Some((Event::WentAway(presence), leaving))
    }

    /// Notes that a peer is back, with the result of its authentication. Returns `None` if it has
    /// left.
    pub(crate) fn come_back(
        &mut self,
        id: PeerId,
        principal: &Arc<Principal>,
        socket: Option<WatchedSocket>,
    ) -> Option<Event<'static>> {
        let until = |away: Option<Box<Away>>| away.map(|away| away.until.instant);
        let presence = if let Some(client) = self.clients.get_mut(id) {
            client.principal = Arc::clone(principal);
            let until = until(client.away.take());
            let presence = Presence {
                name: (*client.name).into(),
                service: None,
                principal: Arc::clone(principal),
                away: None,
                told: Vec::new(),
            };
            self.deadlines.remove(until, Expiring::Away(id));
            presence
        } else {
            let service = self.services.get_mut(id)?;
            service.principal = Arc::clone(principal);
            service.socket = socket;
            let until = until(service.away.take());
            self.deadlines.remove(until, Expiring::Away(id));
            self.presence_of_service(id)?
        };
        Some(Event::CameBack(presence))
    }

    /// Describes a service that went away or came back, with the linked clients that are told.
    fn presence_of_service(&self, id: PeerId) -> Option<Presence> {
        let service = self.services.get(id)?;
        let has_sessions = |(client, outbox): (&PeerId, &Arc<Outbox>)| {
            let client = self.clients.get(*client)?;
            client.features.sessions.then(|| Arc::clone(outbox))
        };
        Some(Presence {
            name: service.full_name.clone(),
            service: Some(Arc::clone(&service.name)),
            principal: Arc::clone(&service.principal),
            away: service.away.as_deref().copied(),
            told: service.links.iter().filter_map(has_sessions).collect(),
        })
    }

    /// Returns the event of the end of the grace period of a peer that is away.
    pub(super) fn expire_away(&mut self, id: PeerId) -> Option<Event<'static>> {
        let client = self.clients.get(id).and_then(|client| client.away.as_ref());
        let service = self.services.get(id).and_then(|service| service.away.as_ref());
        client.or(service).map(|_| Event::GraceOver { peer: id })
    }

    /// Returns the deadline of a peer that is away.
    pub(super) fn away_deadline(away: Option<&Away>) -> Option<std::time::Instant> {
        away.map(|away| away.until.instant)
    }

    /// Returns the principal of a peer.
    pub(crate) fn principal_of(&self, id: PeerId) -> Option<Arc<Principal>> {
        let client = self.clients.get(id).map(|client: &Client| &client.principal);
        let service = self.services.get(id).map(|service| &service.principal);
        client.or(service).cloned()
    }

    /// Returns since when the service of that name is away, and until when its name is kept.
    pub(crate) fn away_service(&self, name: &str) -> Option<Away> {
        let service = self.services.get(*self.service_names.get(name)?)?;
        service.away.as_deref().copied()
    }

    /// Returns the uids of a client's requests in flight, as JSON text each. Returns `None` if there
    /// are more than `most`.
    pub(crate) fn uids_in_flight(&self, client: PeerId, most: usize) -> Option<Vec<String>> {
        let state = self.clients.get(client)?;
        if state.in_flight.count() > most {
            return None;
        }
        let places = state.asked.iter();
        let requests = places.filter_map(|service| self.services.get(*service)?.callers.get(&client));
        let uids = requests.flat_map(Requests::uids);
        Some(uids.map(|uid| uid.to_json().into_owned()).collect())
    }
}
