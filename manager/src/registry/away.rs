//! Peers that are away: their connection is broken, and their place is kept.

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use labwire_tcp::WatchedSocket;
use labwire_wire::{Executed, Uid};

use super::deadlines::Expiring;
use super::event::{Away, Event, Presence};
use super::leaving::Leaving;
use super::moment::Moment;
use super::peers::PeerId;
use super::requests::Requests;
use super::state::{Client, Registry, Service};
use crate::outbox::{Asked, Outbox};
use crate::principal::Principal;
use crate::refusal::{Refusal, SessionRefusal};

/// The requests of a client that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct OpenRequests {
    /// The first of them, and whether each may have been executed.
    pub(crate) first: Vec<(Uid<'static>, Executed)>,
    /// Whether there are more.
    pub(crate) are_more: bool,
}

/// What follows when the connection of a peer is broken.
#[derive(Debug)]
pub(crate) struct WentAway {
    /// The change; `None` if the peer must leave, since it would owe more replies than can be noted.
    pub(crate) presence: Option<Presence>,
    /// The callers of a service whose requests end now: see
    /// [`next_concerned`](Registry::next_concerned).
    pub(crate) callers: Option<Leaving>,
}

impl Service {
    /// Takes the requests of a client back of which nothing was written, since the service is away.
    /// They are no longer among `requests`.
    pub(super) fn take_back_of(&self, requester: &str, requests: &mut Requests) -> Requests {
        let mut unsent = Requests::default();
        if self.away.is_some() {
            for Asked { uid, .. } in self
                .outbox
                .take_back(usize::MAX, |asked| *asked.requester == *requester)
            {
                requests.move_to(&mut unsent, &uid);
            }
        }
        unsent
    }

    /// Takes back a request of which nothing was written, since the service is away. Returns whether
    /// there was one.
    pub(super) fn take_back(&self, requester: &str, uid: &[u8]) -> bool {
        let is_it = |asked: &Asked| *asked.requester == *requester && *asked.uid == *uid;
        self.away.is_some() && !self.outbox.take_back(1, is_it).is_empty()
    }

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

/// The requests that an away service never received, by client.
pub(super) type Unsent = HashMap<PeerId, Requests>;

impl Registry {
    /// Takes the requests of all clients back of which nothing was written, since the service is away
    /// and its requests end now. Returns also what their callers are told.
    pub(super) fn never_received(&mut self, id: PeerId) -> (Unsent, Option<Refusal>) {
        let mut unsent = Unsent::default();
        let Some(service) = self.services.get_mut(id) else {
            return (unsent, None);
        };
        let Some(away) = &service.away else {
            return (unsent, None);
        };
        let refusal = SessionRefusal::ServiceAway {
            service: service.name.to_string(),
            since: away.since,
        };
        let manager = self.manager.name();
        let is_request = |asked: &Asked| *asked.requester != *manager;
        for Asked { requester, uid } in service.outbox.take_back(usize::MAX, is_request) {
            let Some(client) = self.client_names.get(&*requester) else {
                continue;
            };
            let requests = service.callers.get_mut(client);
            if let Some(requests) = requests {
                requests.move_to(unsent.entry(*client).or_default(), &uid);
            }
        }
        unsent.retain(|_, requests| requests.count() > 0);
        (unsent, Some(refusal.into()))
    }

    /// Takes the requests back of which nothing was written, and that had ended when the service went
    /// away: nobody waits for them.
    fn take_back_ended(&mut self, id: PeerId) {
        let Some(service) = self.services.get(id) else {
            return;
        };
        let manager = self.manager.name();
        let has_ended = |asked: &Asked| {
            let client = self.client_names.get(&*asked.requester);
            let requests = client.and_then(|client| service.callers.get(client));
            *asked.requester != *manager && !requests.is_some_and(|held| held.holds(&asked.uid))
        };
        let taken_back = service.outbox.take_back(usize::MAX, has_ended);
        for Asked { requester, uid } in taken_back {
            if let Some(client) = self.client_names.get(&*requester).copied() {
                // No reply will come.
                self.remove_owed(client, id, &uid);
            }
        }
    }

    /// Notes that a peer's connection is broken, and keeps its place for `grace`. What is queued for
    /// it is prepared for that before. Returns `None` if it has left.
    pub(crate) fn go_away(&mut self, id: PeerId, grace: Duration, now: Moment) -> Option<WentAway> {
        let away = Away {
            since: now.time,
            until: now.after(grace),
        };
        if let Some(client) = self.clients.get_mut(id) {
            client.away = Some(Box::new(away));
            let presence = Presence {
                name: (*client.name).into(),
                service: None,
                principal: Arc::clone(&client.principal),
                away: Some(away),
                told: Vec::new(),
            };
            self.deadlines.insert(away.until.instant, Expiring::Away(id));
            return Some(WentAway {
                presence: Some(presence),
                callers: None,
            });
        }
        let service = self.services.get_mut(id)?;
        service.away = Some(Box::new(away));
        service.socket = None;
        self.take_back_ended(id);
        let service = self.services.get_mut(id)?;
        let (mut callers, mut can_owe) = (None, true);
        if !service.keep_callers && service.in_flight > 0 {
            let (unsent, reason) = self.never_received(id);
            let service = self.services.get_mut(id)?;
            service.in_flight = 0;
            let name = Arc::clone(&service.name);
            let sent = std::mem::take(&mut service.callers);
            can_owe = self.can_owe(&sent);
            for (client, requests) in sent.iter().filter(|_| can_owe) {
                for uid in requests.each() {
                    self.note_owed(*client, id, uid);
                }
            }
            callers = Some(Leaving::of_callers(id, name, (unsent, reason), sent));
        }
        self.deadlines.insert(away.until.instant, Expiring::Away(id));
        Some(WentAway {
            presence: self.presence_of_service(id).filter(|_| can_owe),
            callers,
        })
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
            client.rights = None;
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
            service.rights = None;
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

    /// Returns the first `most` requests of a client that have no answer yet: those that wait for a lock or for
    /// approval, and then those that services hold.
    pub(crate) fn open_requests(&self, client: PeerId, most: usize) -> OpenRequests {
        let Some(state) = self.clients.get(client) else {
            return OpenRequests::default();
        };
        let waits = state.lock_waits.iter();
        let waits = waits.filter_map(|(service, ticket)| {
            let queue = &self.services.get(*service)?.lock_queue;
            Some(queue.get(*ticket)?.uid.clone())
        });
        let waiting = self.approvals.uids_of(client).cloned();
        let places = state.asked.iter();
        let held = places.filter_map(|service| self.services.get(*service)?.callers.get(&client));
        let held = held.flat_map(Requests::each_uid).map(Uid::into_owned);
        let unsent = waits.chain(waiting).map(|uid| (uid, Executed::No));
        let mut all = unsent.chain(held.map(|uid| (uid, Executed::Maybe)));
        OpenRequests {
            first: all.by_ref().take(most).collect(),
            are_more: all.next().is_some(),
        }
    }

    /// Returns the uids of a client's requests in flight, and of those that wait for approval, as JSON
    /// text each. Returns `None` if there
    /// are more than `most`.
    pub(crate) fn uids_in_flight(&self, client: PeerId, most: usize) -> Option<Vec<String>> {
        let state = self.clients.get(client)?;
        if state.in_flight.count() > most {
            return None;
        }
        let places = state.asked.iter();
        let requests = places.filter_map(|service| self.services.get(*service)?.callers.get(&client));
        let uids = requests.flat_map(Requests::uids);
        let uids = uids.map(|uid| uid.to_json().into_owned());
        let waiting = self.approvals.uids_of(client);
        Some(
            uids.chain(waiting.map(|uid| uid.to_json().into_owned()))
                .collect(),
        )
    }
}
