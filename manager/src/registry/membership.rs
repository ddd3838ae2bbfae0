//! Adds and removes peers.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use jiff::Timestamp;
use labwire_wire::frames::json_string;
use labwire_wire::{Identity, Role};

use super::deadlines::Expiring;
use super::describe::{describe_client, describe_service};
use super::event::{Away, EndedLink, Event};
use super::in_flight::InFlight;
use super::lock_queue::LockQueue;
use super::locks::Locks;
use super::owed::Owed;
use super::peers::PeerId;
use super::roster::Roster;
use super::state::{AROUND_REQUESTER, Client, Reader, Registry, Service};
use super::stopping::LeftBehind;
use super::traffic::Traffic;
use crate::log_limit::LogLimit;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{Refusal, SessionRefusal};

/// The state of any peer that joins, beside its identity.
struct Place {
    principal: Arc<Principal>,
    outbox: Arc<Outbox>,
}

impl Registry {
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds a peer with the result of its authentication. `address` is its `HOST:PORT`, `came` the
    /// time when it connected.
    pub(crate) fn join(
        &mut self,
        identity: &Identity,
        principal: &Arc<Principal>,
        address: &str,
        outbox: &Arc<Outbox>,
        came: Timestamp,
    ) -> Result<(PeerId, Event<'static>), Refusal> {
        let place = Place {
            principal: Arc::clone(principal),
            outbox: Arc::clone(outbox),
        };
        let id = match &identity.role {
            Role::Client => self.join_client(identity, address, place)?,
            Role::Service {
                attributes,
                max_clients,
                recorded,
            } => {
                let description = describe_service(identity, attributes, *max_clients, address);
                let id = self.join_service(identity, address, *max_clients, &description, place)?;
                if let (Some(service), Some(recorded)) = (self.services.get_mut(id), recorded) {
                    service.recorded = Some(Box::new(recorded.clone()));
                }
                id
            }
        };
        let event = Event::Joined {
            name: format!("{}[{address}]", identity.name),
            is_service: matches!(identity.role, Role::Service { .. }),
            principal: Arc::clone(principal),
            came,
            told: identity.features.registered.then(|| Arc::clone(outbox)),
        };
        Ok((id, event))
    }

    fn join_client(
        &mut self,
        identity: &Identity,
        address: &str,
        Place { principal, outbox }: Place,
    ) -> Result<PeerId, Refusal> {
        let name: Arc<str> = format!("{}[{address}]", identity.name).into();
        if self.client_names.contains_key(&name) {
            return Err(Refusal::ClientNameTaken(name.to_string()));
        }
        let client = Client {
            request_end: AROUND_REQUESTER.join(&json_string(&name)).into(),
            name: Arc::clone(&name),
            outbox,
            reader: Reader::of(identity),
            features: identity.features,
            principal,
            rights: None,
            caller_texts: None,
            log_limit: Arc::new(LogLimit::new()),
            links: HashSet::default(),
            lock_waits: Vec::new(),
            ended_locks: HashSet::default(),
            asked: HashSet::default(),
            in_flight: InFlight::default(),
            traffic: Traffic::default(),
            deadline: None,
            asked_last: PeerId::default(),
            owed: Owed::default(),
            progress: None,
            away: None,
            holder: None,
            kept_leases: 0,
            caller: None,
        };
        let entry = format!(",{}:{}", json_string(&name), describe_client(identity, address));
        self.client_roster.insert(Arc::clone(&name), entry.into());
        let number = self.next_number();
        let id = self.clients.insert(number, client);
        self.client_names.insert(name, id);
        Ok(id)
    }

    fn join_service(
        &mut self,
        identity: &Identity,
        address: &str,
        max_clients: Option<u64>,
        description: &str,
        Place { principal, outbox }: Place,
    ) -> Result<PeerId, Refusal> {
        if let Some(Away { since, until }) = self.away_service(&identity.name) {
            return Err(SessionRefusal::NameAway {
                name: identity.name.clone(),
                since,
                until: until.time,
            }
            .into());
        }
        if self.service_names.contains_key(identity.name.as_str()) || self.is_leaving(&identity.name) {
            return Err(Refusal::NameTaken(identity.name.clone()));
        }
        if let Some(other) = self.likenesses.of(&identity.name) {
            return Err(Refusal::NameLooksTaken {
                name: identity.name.clone(),
                other: other.to_string(),
            });
        }
        let bytes = description.len();
        if !self.identities.admits(0, bytes) {
            return Err(Refusal::IdentitiesOverBudget {
                bytes,
                budget: self.identities.budget(),
            });
        }
        self.identities.add(0, bytes);
        let name: Arc<str> = identity.name.as_str().into();
        let key = json_string(&name);
        let entry = Bytes::from(format!(",{key}:{description}"));
        self.service_roster.insert(Arc::clone(&name), entry.clone());
        let service = Service {
            name: Arc::clone(&name),
            full_name: format!("{name}[{address}]").into(),
            outbox,
            reader: Reader::of(identity),
            features: identity.features,
            // Shares the entry's memory, which can be large.
            description: entry.slice(entry.len() - description.len()..),
            max_clients,
            recorded: None,
            links: HashMap::default(),
            locks: Locks::default(),
            lock_queue: LockQueue::default(),
            ended_locks: HashMap::default(),
            linked: Roster::default(),
            callers: HashMap::default(),
            in_flight: 0,
            answered_last: PeerId::default(),
            traffic: Traffic::default(),
            principal,
            rights: None,
            socket: None,
            was_told: false,
            away: None,
            keep_callers: identity
                .session
                .as_ref()
                .is_some_and(|session| session.keep_callers),
            owing: HashSet::default(),
        };
        let number = self.next_number();
        let id = self.services.insert(number, service);
        self.likenesses.insert(Arc::clone(&name));
        self.service_names.insert(name, id);
        Ok(id)
    }

    /// Removes what belongs to a client. Returns the names of the services that it was linked with,
    /// and its requests whose services are to be asked to stop.
    pub(super) fn forget_client(&mut self, id: PeerId, client: &Client) -> (Vec<EndedLink>, Vec<LeftBehind>) {
        let mut left_behind = Vec::new();
        self.owed -= client.owed.len();
        for service in client.owed.services() {
            if let Some(service) = self.services.get_mut(service) {
                service.owing.remove(&id);
            }
        }
        self.deadlines.remove(client.deadline, Expiring::LastReplies(id));
        let away = Self::away_deadline(client.away.as_deref());
        self.deadlines.remove(away, Expiring::Away(id));
        self.client_names.remove(&client.name);
        self.client_roster.remove(&client.name);
        self.kept_leases.subtract(client.kept_leases, client.kept_leases);
        let unlinked = self.end_links(id, &client.name, &client.links);
        self.release_reservations(id);
        self.forget_waits(client);
        self.end_approvals_of(id);
        for service in &client.ended_locks {
            if let Some(service) = self.services.get_mut(*service) {
                service.ended_locks.remove(&id);
            }
        }
        // Some may be at a service that has left, of which this client is not yet notified.
        self.in_flight
            .subtract(client.in_flight.count(), client.in_flight.count());
        for &service in &client.asked {
            if let Some(service) = self.services.get_mut(service)
                && let Some(mut requests) = service.callers.remove(&id)
            {
                service.in_flight -= requests.count();
                // What an away service has not received, it never receives.
                let mut unsent = service.take_back_of(&client.name, &mut requests);
                unsent.untrack(&mut self.tracked, &mut self.deadlines, false);
                requests.untrack(&mut self.tracked, &mut self.deadlines, true);
                if service.features.cancel && requests.count() > 0 {
                    left_behind.push(LeftBehind {
                        service: Arc::clone(&service.outbox),
                        requester: Arc::clone(&client.name),
                        requests,
                    });
                } else {
                    requests.discard();
                }
            }
        }
        (unlinked, left_behind)
    }

    /// Ends these links of a client and its locks. Its requests stay in flight. Returns the links.
    pub(super) fn end_links(&mut self, id: PeerId, name: &str, links: &HashSet<PeerId>) -> Vec<EndedLink> {
        let mut unlinked = Vec::new();
        for &service_id in links {
            if let Some(service) = self.services.get_mut(service_id) {
                let lock = service.unlink(id, name);
                let service_name = Arc::clone(&service.name);
                let had_lock = lock.is_some();
                if let Some(lock) = lock {
                    self.deadlines
                        .remove(lock.deadline(), Expiring::Lease(service_id, id));
                    self.lock_gone(&service_name, id, &lock);
                }
                unlinked.push(EndedLink {
                    service: service_name,
                    had_lock,
                });
                self.touch(service_id);
            }
        }
        unlinked
    }
}
