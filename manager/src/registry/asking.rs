//! Finds the service for a request, and the request for a reply.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use labwire_wire::{Features, Shape, Text, Uid};

use super::deadlines::Deadlines;
use super::in_flight::InFlight;
use super::manager::ManagerIdentity;
use super::noted_calls::{CallLog, Calling, Forwarded, Noted};
use super::peers::PeerId;
use super::permissions::Rules;
use super::requests::{EmptyPlaces, HeldRequest, Requests};
use super::state::{Client, Reader, Registry, Service};
use super::tracked::{Tracked, TrackedRequest};
use super::traffic::{Answered, Traffic};
use crate::budget::Pool;
use crate::outbox::Outbox;
use crate::progress::{ClientsProgress, WaitingProgress};
use crate::refusal::{LockRefusal, Refusal, excerpt};

/// A client whose request may go to that service.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    /// The ids of the client and of the service.
    pub(super) ids: (PeerId, PeerId),
    pub(crate) client: &'a mut Client,
    pub(crate) service: &'a mut Service,
    pub(super) in_flight: &'a mut Pool,
    /// The rules about who may do what, if there are any.
    pub(super) rules: Option<&'a mut Rules>,
    /// Set if calls are recorded.
    pub(super) calls: Option<&'a mut CallLog>,
}

impl Asking<'_> {
    /// Returns the service's id.
    pub(crate) fn service_id(&self) -> PeerId {
        self.ids.1
    }

    /// Returns whether this client is the service's only one and stays so: it holds a lock, or the
    /// service takes one client.
    pub(crate) fn is_alone(&self) -> bool {
        let is_client = |id: &PeerId| *id == self.ids.0;
        let Service {
            locks,
            max_clients,
            links,
            callers,
            ..
        } = &*self.service;
        (locks.contains(self.ids.0) || *max_clients == Some(1))
            && !locks.has_reserved()
            && links.len() == 1
            && links.keys().all(is_client)
            && callers
                .iter()
                .all(|(id, requests)| requests.count() == 0 || is_client(id))
    }

    /// Records that the service holds the request since `now`, in microseconds since the manager
    /// started.
    pub(crate) fn begin(self, forwarded: &Forwarded<'_>, now: u64) {
        let (client, service) = self.ids;
        let bytes = forwarded.bytes;
        let requests = match self.service.callers.entry(client) {
            Entry::Occupied(requests) => requests.into_mut(),
            Entry::Vacant(place) => {
                self.client.asked.insert(service);
                place.insert(Requests::default())
            }
        };
        let noted = match self.calls {
            Some(calls) => {
                let calling = Calling {
                    ids: self.ids,
                    client: &self.client.name,
                    principal: &self.client.principal,
                    caller: &mut self.client.caller,
                    service: &self.service.name,
                    recorded: self.service.recorded.as_deref(),
                    in_flight: requests.count(),
                    last: requests.last_series(),
                };
                calls.note(calling, forwarded, now)
            }
            None => Noted::Nothing,
        };
        requests.add(forwarded.uid, now, noted);
        self.service.in_flight += 1;
        self.service.traffic.request(bytes);
        self.client.traffic.request(bytes);
        self.client.in_flight.add_one(self.in_flight);
    }
}

/// A request in flight at that service, and its client.
#[derive(Debug)]
pub(crate) struct Awaited<'a> {
    /// The ids of the client and of the service.
    ids: (PeerId, PeerId),
    /// The client's name on the network.
    pub(crate) requester: &'a Arc<str>,
    pub(crate) outbox: &'a Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    /// Whether the client is away.
    pub(crate) is_away: bool,
    pub(crate) service_name: &'a Arc<str>,
    service_was_told: &'a mut bool,
    held: HeldRequest<'a>,
    traffic: [&'a mut Traffic; 2],
    services_in_flight: &'a mut usize,
    clients_in_flight: &'a mut InFlight,
    clients_progress: &'a mut Option<ClientsProgress>,
    shared: Shared<'a>,
}

/// The tables of all requests.
#[derive(Debug)]
struct Shared<'a> {
    empty_places: &'a mut EmptyPlaces,
    in_flight: &'a mut Pool,
    tracked: &'a mut Tracked,
    deadlines: &'a mut Deadlines,
    waiting_progress: &'a WaitingProgress,
    calls: Option<&'a CallLog>,
}

impl<'a> Awaited<'a> {
    /// Finds the request with that uid, if the service holds it. `ids` are those of the client and
    /// of the service.
    #[inline]
    fn find(
        ids: (PeerId, PeerId),
        client: &'a mut Client,
        service: &'a mut Service,
        shared: Shared<'a>,
        uid: &Uid<'_>,
    ) -> Option<Self> {
        let held = service.callers.get_mut(&ids.0)?.find(uid.as_bytes())?;
        service.answered_last = ids.0;
        Some(Self {
            ids,
            requester: &client.name,
            outbox: &client.outbox,
            reader: client.reader,
            features: client.features,
            is_away: client.away.is_some(),
            service_name: &service.name,
            service_was_told: &mut service.was_told,
            held,
            traffic: [&mut client.traffic, &mut service.traffic],
            services_in_flight: &mut service.in_flight,
            clients_in_flight: &mut client.in_flight,
            clients_progress: &mut client.progress,
            shared,
        })
    }

    /// Returns when the request was forwarded, in microseconds since the manager started.
    pub(super) fn begun(&self) -> u64 {
        self.held.begun()
    }

    /// Returns what is known of the request beside its uid, if anything is.
    pub(super) fn tracked(&self) -> Option<&TrackedRequest> {
        self.shared.tracked.get(self.held.tracked()?)
    }

    pub(super) fn tracked_mut(&mut self) -> Option<&mut TrackedRequest> {
        self.shared.tracked.get_mut(self.held.tracked()?)
    }

    /// Returns the account of the progress that waits for the client.
    pub(super) fn progress_account(&mut self) -> ClientsProgress {
        let waiting = self.shared.waiting_progress;
        self.clients_progress
            .get_or_insert_with(|| waiting.of_client())
            .clone()
    }

    /// Adds to the size of the replies, in bytes.
    pub(crate) fn add_reply_bytes(&mut self, bytes: usize) {
        for traffic in &mut self.traffic {
            traffic.reply_bytes += bytes as u64;
        }
        self.held.add_noted_bytes(bytes, true);
    }

    /// Returns the client's id.
    pub(crate) fn client_id(&self) -> PeerId {
        self.ids.0
    }

    /// Returns the request's uid, as its client wrote it.
    pub(crate) fn uid(&self) -> Uid<'_> {
        self.held.uid()
    }

    /// Adds to the size of the request, in bytes.
    pub(crate) fn add_request_bytes(&mut self, bytes: usize) {
        for traffic in &mut self.traffic {
            traffic.request_bytes += bytes as u64;
        }
        self.held.add_noted_bytes(bytes, false);
    }

    /// Ends the request after a proper reply.
    pub(crate) fn answer(self, answered: Answered) {
        *self.service_was_told = false;
        self.end(answered);
    }

    /// Ends the request.
    pub(crate) fn end(mut self, answered: Answered) {
        let (client, service) = self.ids;
        let begun = self.held.begun();
        if let Some(calls) = self.shared.calls {
            self.held.record(calls, answered);
        }
        for traffic in self.traffic {
            traffic.answer(begun, answered);
        }
        *self.services_in_flight -= 1;
        if let Some(tracked) = self.held.end((service, client), self.shared.empty_places) {
            self.shared.tracked.remove(tracked, self.shared.deadlines);
        }
        self.clients_in_flight.remove(1, self.shared.in_flight);
    }
}

impl Service {
    /// Checks whether that client may send it a request of that shape now.
    fn admits(&self, (id, client): (PeerId, &Client), shape: Shape) -> Result<(), Refusal> {
        if !self.reader.can_read(shape) {
            return Err(Refusal::UnreadableRequest {
                service: self.name.to_string(),
            });
        }
        if !self.ended_locks.is_empty()
            && let Some(refusal) = self.ended(id, client)
        {
            return Err(refusal);
        }
        if (self.max_clients.is_some() || !self.locks.is_empty()) && !self.links.contains_key(&id) {
            return Err(self.not_linked(id, client.name.to_string()));
        }
        Ok(())
    }

    /// Returns why an unlinked client is refused. Recommends linking only if that would succeed.
    #[cold]
    fn not_linked(&self, id: PeerId, client: String) -> Refusal {
        let service = self.name.to_string();
        if self.locks.get(id).is_some_and(|lock| lock.reserved.is_some()) {
            return LockRefusal::NotAcquired { service, client }.into();
        }
        if let Some(held) = self.held(id) {
            return Refusal::CallLocked {
                service,
                client,
                held,
            };
        }
        if let Some(waiting) = self.lock_queue.first_before(id, true) {
            return LockRefusal::Awaited {
                service,
                waiting,
                position: self.lock_queue.len() + 1,
            }
            .into();
        }
        Refusal::LinkBecauseLimited {
            service,
            client,
            is_full: self.is_full(),
        }
    }
}

fn no_such_service(name: &Text<'_>, manager: &ManagerIdentity) -> Refusal {
    Refusal::NoSuchService {
        service: excerpt(name.as_str()).to_owned(),
        manager: manager.name(),
    }
}

impl Registry {
    /// Finds the service for a client's request, if the client may send it there now. Returns
    /// `None` if the client has left.
    pub(crate) fn ask(
        &mut self,
        client: PeerId,
        name: &Text<'_>,
        shape: Shape,
    ) -> Result<Option<Asking<'_>>, Refusal> {
        if self.empty_places.are_many() {
            self.remove_empty_places();
        }
        let Some(caller) = self.clients.get_mut(client) else {
            return Ok(None);
        };
        let id = match self.services.get(caller.asked_last) {
            // Hashing the name would take longer.
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
        if let Some(refusal) = service.refuses_while_away() {
            return Err(refusal);
        }
        if caller.in_flight.count() >= self.in_flight_limit {
            return Err(Refusal::TooManyInFlight {
                client: caller.name.to_string(),
                limit: self.in_flight_limit,
            });
        }
        if !self.in_flight.admits(caller.in_flight.count(), 1) {
            return Err(Refusal::InFlightOverBudget {
                client: caller.name.to_string(),
                count: caller.in_flight.count(),
                budget: self.in_flight.budget(),
            });
        }
        caller.asked_last = id;
        Ok(Some(Asking {
            ids: (client, id),
            client: caller,
            service,
            in_flight: &mut self.in_flight,
            rules: self.rules.as_mut(),
            calls: self.calls.as_mut(),
        }))
    }

    /// Checks whether a client may still send a service a request of that shape, of which a part was forwarded.
    ///
    /// # Errors
    /// As [`ask`](Self::ask). None if one of them has left: somebody else notices that.
    pub(crate) fn still_admits(&self, client: PeerId, service: PeerId, shape: Shape) -> Result<(), Refusal> {
        match (self.clients.get(client), self.services.get(service)) {
            (Some(own), Some(service)) => service.admits((client, own), shape),
            _ => Ok(()),
        }
    }

    /// Finds the request that a reply of `service` answers, if the named client still waits for it.
    pub(crate) fn awaited(
        &mut self,
        service: PeerId,
        requester: &Text<'_>,
        uid: &Uid<'_>,
    ) -> Option<Awaited<'_>> {
        let answering = self.services.get_mut(service)?;
        let id = match self.clients.get(answering.answered_last) {
            Some(last) if *requester == *last.name => answering.answered_last,
            _ => *self.client_names.get(requester.as_str())?,
        };
        let client = self.clients.get_mut(id)?;
        let shared = Shared {
            empty_places: &mut self.empty_places,
            in_flight: &mut self.in_flight,
            tracked: &mut self.tracked,
            deadlines: &mut self.deadlines,
            waiting_progress: &self.waiting_progress,
            calls: self.calls.as_ref(),
        };
        Awaited::find((id, service), client, answering, shared, uid)
    }

    /// As [`awaited`](Self::awaited), for a client whose id is known.
    pub(crate) fn awaited_by(
        &mut self,
        client: PeerId,
        service: PeerId,
        uid: &Uid<'_>,
    ) -> Option<Awaited<'_>> {
        let answering = self.services.get_mut(service)?;
        let client_state = self.clients.get_mut(client)?;
        let shared = Shared {
            empty_places: &mut self.empty_places,
            in_flight: &mut self.in_flight,
            tracked: &mut self.tracked,
            deadlines: &mut self.deadlines,
            waiting_progress: &self.waiting_progress,
            calls: self.calls.as_ref(),
        };
        Awaited::find((client, service), client_state, answering, shared, uid)
    }

    /// Returns whether all requests in flight and all links of a client are at this service.
    pub(crate) fn listens_only(&self, client: PeerId, service: PeerId) -> bool {
        let Some(client_state) = self.clients.get(client) else {
            return false;
        };
        let held = self
            .services
            .get(service)
            .and_then(|service| service.callers.get(&client))
            .map_or(0, Requests::count);
        held == client_state.in_flight.count() && client_state.links.iter().all(|link| *link == service)
    }

    /// Returns the number of requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.used()
    }
}

impl Registry {
    /// Removes the places that hold no request.
    #[cold]
    pub(super) fn remove_empty_places(&mut self) {
        for (service, client) in self.empty_places.take() {
            // The places of a service that has left were removed with it.
            let Some(service_state) = self.services.get_mut(service) else {
                continue;
            };
            let Entry::Occupied(mut place) = service_state.callers.entry(client) else {
                continue;
            };
            let requests = place.get_mut();
            if requests.unlist() {
                continue;
            }
            place.remove();
            if let Some(client) = self.clients.get_mut(client) {
                client.asked.remove(&service);
            }
        }
    }
}
