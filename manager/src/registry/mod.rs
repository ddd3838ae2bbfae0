//! Who is here, who is linked, who holds a lock, and what is in flight.
//!
//! Every method is synchronous and does all of its change or none of it; callers hold the one lock around
//! the registry meanwhile. A peer leaves in one step ([`Registry::leave`]): its name, links, locks and
//! requests are gone together, and whom that concerns is returned.

mod abandoned;
#[cfg(any(test, feature = "fuzzing"))]
mod consistency;
mod deadlines;
mod describe;
mod event;
mod identify;
mod in_flight;
mod leaving;
mod likeness;
mod locks;
mod membership;
mod peers;
mod requests;
mod roster;
mod uid;
mod uids;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use jiff::Timestamp;
use labwire_tcp::WatchedSocket;
use labwire_wire::{Features, Identity, Shape};

use crate::budget::Pool;
use crate::config::Limits;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{LinkedClients, Refusal, excerpt};

use deadlines::Deadlines;
use in_flight::InFlight;
use likeness::Likenesses;
use locks::Locks;
use peers::Peers;
use requests::{EmptyPlaces, Requests};
use roster::Roster;

pub(crate) use abandoned::Abandoned;
pub(crate) use describe::{Listing, ManagerIdentity};
pub(crate) use event::{Event, LinkChange};
pub(crate) use in_flight::Awaited;
pub(crate) use leaving::Leaving;
pub(crate) use peers::PeerId;

/// What a peer can read of what is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Python's own JSON reader, as MSL-Network's peers use it. It fails on what is nested deeper than about
    /// 980 levels, and on integers of more than 4,300 digits; either ends a peer's event loop, or leaves its
    /// caller without an answer.
    Python,
    /// Anything else.
    Other,
}

impl Reader {
    fn of(identity: &Identity) -> Self {
        if identity.language.to_ascii_lowercase().starts_with("python") {
            Self::Python
        } else {
            Self::Other
        }
    }

    /// Whether it can read a frame of that shape. Some levels are left for callers deeper in the stack.
    pub(crate) fn can_read(self, shape: Shape) -> bool {
        self == Self::Other || (shape.depth <= 900 && shape.integer_digits <= 4_300)
    }
}

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Client {
    /// `NAME[HOST:PORT]`.
    pub(crate) name: Arc<str>,
    /// What every request ends with: the member `requester`, and the frame's end.
    pub(crate) request_end: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    principal: Arc<Principal>,
    links: HashSet<PeerId>,
    /// The services that have a place for requests of this client.
    asked: HashSet<PeerId>,
    in_flight: InFlight,
    /// Until when it is kept that sends no more.
    deadline: Option<Instant>,
    /// The service that it asked last, and asks again most likely.
    asked_last: PeerId,
}

/// What stands before the name of who asks, and behind it, in the end of a request.
const AROUND_REQUESTER: [&str; 2] = [",\"requester\":", "}\r\n"];

impl Client {
    /// The member `requester` of its requests, behind another one.
    pub(crate) fn requester_member(&self) -> &[u8] {
        let [_, behind] = AROUND_REQUESTER;
        &self.request_end.as_bytes()[..self.request_end.len() - behind.len()]
    }

    /// Its name as it stands in a list.
    fn name_entry(&self) -> Bytes {
        let [before, behind] = AROUND_REQUESTER;
        let end = self.request_end.as_bytes();
        [b",", &end[before.len()..end.len() - behind.len()]]
            .concat()
            .into()
    }

    /// How many bytes of its requests' end are its name.
    pub(crate) fn requester_length(&self) -> usize {
        let [before, behind] = AROUND_REQUESTER;
        self.request_end.len() - before.len() - behind.len()
    }
}

/// A service that is connected.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    /// `NAME[HOST:PORT]`.
    full_name: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    /// The JSON text that a client gets when it links.
    description: Bytes,
    max_clients: Option<u64>,
    /// The clients that are linked with it, and their queues.
    links: HashMap<PeerId, Arc<Outbox>>,
    locks: Locks,
    /// The names of those that are linked.
    linked: Roster,
    /// The requests of each client that it holds. When it leaves, nothing else is searched for them.
    callers: HashMap<PeerId, Requests>,
    /// The client that it answered last.
    answered_last: PeerId,
    principal: Arc<Principal>,
    /// That of its connection, if it has one.
    socket: Option<WatchedSocket>,
    /// Whether it was told of a malformed line since it sent a proper reply.
    pub(crate) was_told: bool,
}

impl Service {
    /// The clients that are linked with it, for a refusal.
    fn linked_clients(&self) -> LinkedClients {
        LinkedClients::new(self.linked.names(), self.links.len())
    }

    /// Forgets the link of a client, and its lock.
    fn unlink(&mut self, client: PeerId, name: &str) {
        self.links.remove(&client);
        self.linked.remove(name);
        self.locks.remove(client);
    }
}

/// The state that all connections share.
///
/// Each request is looked up here several times, so its tables hash faster than the standard library's; the
/// hashes are seeded anew in each process, so that nobody can prepare names or uids that collide.
#[derive(Debug)]
pub(crate) struct Registry {
    manager: ManagerIdentity,
    last_number: u64,
    clients: Peers<Client>,
    services: Peers<Service>,
    client_names: HashMap<Arc<str>, PeerId>,
    service_names: HashMap<Arc<str>, PeerId>,
    likenesses: Likenesses,
    /// The names of services that have left, which some clients do not know yet.
    leaving: HashSet<Arc<str>>,
    /// The clients and services as they stand in the manager's identity.
    client_roster: Roster,
    service_roster: Roster,
    in_flight: Pool,
    in_flight_limit: usize,
    empty_places: EmptyPlaces,
    deadlines: Deadlines,
    /// The bytes of the services' descriptions.
    identities: Pool,
}

/// How many requests in flight each client may have, however many others have: more than a person or a program has that
/// waits for each reply.
const FREE_IN_FLIGHT: usize = 16;

/// How long a service's description may be, in bytes, however long those of others are: more than most have.
const FREE_DESCRIPTION: usize = 4 * 1024;

impl Registry {
    /// An empty registry, whose peers may have what these limits say.
    pub(crate) fn new(manager: ManagerIdentity, limits: &Limits) -> Self {
        Self {
            manager,
            last_number: 0,
            clients: Peers::default(),
            services: Peers::default(),
            client_names: HashMap::default(),
            service_names: HashMap::default(),
            likenesses: Likenesses::default(),
            leaving: HashSet::default(),
            client_roster: Roster::default(),
            service_roster: Roster::default(),
            in_flight: Pool::new(limits.budgets.in_flight, FREE_IN_FLIGHT),
            in_flight_limit: limits.in_flight_per_client,
            identities: Pool::new(limits.budgets.identities, FREE_DESCRIPTION),
            empty_places: EmptyPlaces::default(),
            deadlines: Deadlines::default(),
        }
    }

    /// Replaces the principal of a client, which has logged in; `None` if it is not here.
    pub(crate) fn set_principal(
        &mut self,
        client: PeerId,
        principal: Arc<Principal>,
    ) -> Option<Event<'static>> {
        let client = self.clients.get_mut(client)?;
        client.principal = Arc::clone(&principal);
        Some(Event::LoggedIn {
            name: Arc::clone(&client.name),
            principal,
        })
    }

    /// The event that a link or a lock of a client has changed so.
    fn link_changed<'a>(&self, change: LinkChange, client: PeerId, service: &'a str) -> Event<'a> {
        let (links, locks) = self.links_and_locks(service);
        Event::LinkChanged {
            change,
            service,
            client: self.client_name(client).into(),
            links,
            locks,
        }
    }

    /// A client that is connected.
    pub(crate) fn client(&self, id: PeerId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// A service that is connected.
    pub(crate) fn service(&self, id: PeerId) -> Option<&Service> {
        self.services.get(id)
    }

    /// The same, to be changed.
    pub(crate) fn service_mut(&mut self, id: PeerId) -> Option<&mut Service> {
        self.services.get_mut(id)
    }

    fn client_name(&self, id: PeerId) -> String {
        self.clients
            .get(id)
            .map(|client| client.name.to_string())
            .unwrap_or_default()
    }

    /// The clients that are linked with a service, and their queues.
    pub(crate) fn linked_outboxes(&self, service: PeerId) -> impl Iterator<Item = (PeerId, &Arc<Outbox>)> {
        self.services
            .get(service)
            .into_iter()
            .flat_map(|service| service.links.iter().map(|(&client, outbox)| (client, outbox)))
    }

    /// Whether a client is linked with a service.
    pub(crate) fn is_linked(&self, service: PeerId, client: PeerId) -> bool {
        self.services
            .get(service)
            .is_some_and(|service| service.links.contains_key(&client))
    }

    /// Whether everything that was queued for any peer is written.
    pub(crate) fn is_written(&self) -> bool {
        self.outboxes().all(|outbox| outbox.is_written())
    }

    /// How many bytes are queued for all peers.
    pub(crate) fn queued(&self) -> usize {
        self.outboxes().map(|outbox| outbox.queued()).sum()
    }

    fn outboxes(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        let clients = self.clients.iter().map(|(_, client)| &client.outbox);
        let services = self.services.iter().map(|(_, service)| &service.outbox);
        clients.chain(services)
    }

    /// Links a client with a service; returns the service's identity.
    pub(crate) fn link<'a>(&mut self, client: PeerId, name: &'a str) -> Result<(Bytes, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(Refusal::CannotLink {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        };
        let service = &self.services[id];
        if !service.links.contains_key(&client) {
            if let Some(held) = service.locks.held() {
                return Err(Refusal::Locked {
                    service: name.to_owned(),
                    held,
                });
            }
            if service
                .max_clients
                .is_some_and(|limit| service.links.len() as u64 >= limit)
            {
                return Err(Refusal::Limit {
                    service: name.to_owned(),
                    linked: service.linked_clients(),
                });
            }
        }
        if let (Some(service), Some(client_state)) = (self.services.get_mut(id), self.clients.get_mut(client))
        {
            if client_state.links.insert(id) {
                service.links.insert(client, Arc::clone(&client_state.outbox));
                let name = Arc::clone(&client_state.name);
                service.linked.insert(name, client_state.name_entry());
            }
            let description = service.description.clone();
            return Ok((description, self.link_changed(LinkChange::Linked, client, name)));
        }
        Err(Refusal::CannotLink {
            service: excerpt(name).to_owned(),
            client: self.client_name(client),
        })
    }

    /// Ends a link and the lock that came with it. A service that is gone counts as unlinked.
    pub(crate) fn unlink<'a>(&mut self, client: PeerId, name: &'a str) -> Result<Event<'a>, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Ok(self.link_changed(LinkChange::Unlinked, client, name));
        };
        if let Some(service) = self.services.get_mut(id)
            && let Some(client_state) = self.clients.get_mut(client)
            && client_state.links.remove(&id)
        {
            service.unlink(client, &client_state.name);
            return Ok(self.link_changed(LinkChange::Unlinked, client, name));
        }
        Err(Refusal::NotLinked {
            service: name.to_owned(),
            client: self.client_name(client),
        })
    }

    /// Locks a service at the time `now`, for the clients that are linked with it; returns the list of their names.
    pub(crate) fn acquire_lock<'a>(
        &mut self,
        client: PeerId,
        name: &'a str,
        shared: bool,
        now: Timestamp,
    ) -> Result<(Listing, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(Refusal::CannotLock {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        };
        let service = &self.services[id];
        if !service.links.contains_key(&client) {
            return Err(Refusal::LockWithoutLink {
                service: name.to_owned(),
                client: self.client_name(client),
            });
        }
        if !shared && service.links.len() > 1 {
            return Err(Refusal::NotAlone {
                service: name.to_owned(),
                client: self.client_name(client),
                linked: service.linked_clients(),
            });
        }
        if let (Some(service), Some(holder)) = (self.services.get_mut(id), self.clients.get(client)) {
            service.locks.insert(client, holder, now);
        }
        let event = self.link_changed(LinkChange::Locked, client, name);
        Ok((Listing::LinkedWith(id), event))
    }

    /// Releases a client's lock, if it has one; returns the list of the names of those that still hold one.
    pub(crate) fn release_lock<'a>(
        &mut self,
        client: PeerId,
        name: &'a str,
    ) -> Result<(Listing, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            let client = self.client_name(client);
            return Err(Refusal::CannotRelease {
                service: excerpt(name).to_owned(),
                client,
            });
        };
        if let Some(service) = self.services.get_mut(id) {
            service.locks.remove(client);
        }
        let event = self.link_changed(LinkChange::Released, client, name);
        Ok((Listing::Locking(id), event))
    }

    /// Why what was typed is not understood as a keyword, for a service of that name that is not here.
    pub(crate) fn no_such_keyword(&self, name: &str) -> Refusal {
        Refusal::NoSuchKeyword {
            service: excerpt(name).to_owned(),
            manager: self.manager.name(),
        }
    }

    /// Notes the socket of a service's connection.
    pub(crate) fn set_socket(&mut self, service: PeerId, socket: WatchedSocket) {
        if let Some(service) = self.services.get_mut(service) {
            service.socket = Some(socket);
        }
    }

    /// Returns the service of that name, the address that it connected from, and the socket of its connection if it has one.
    pub(crate) fn holder_of(&self, name: &str) -> Option<(PeerId, IpAddr, Option<WatchedSocket>)> {
        let id = *self.service_names.get(name)?;
        let service = &self.services[id];
        Some((id, service.principal.from.ip, service.socket.clone()))
    }

    /// Whether a service of that name is here.
    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.service_names.contains_key(name)
    }

    /// How many links and locks a service has.
    fn links_and_locks(&self, name: &str) -> (usize, usize) {
        let service = self.service_names.get(name).map(|&id| &self.services[id]);
        service.map_or((0, 0), |service| (service.links.len(), service.locks.len()))
    }

    /// How many bytes the descriptions of all services have.
    pub(crate) fn identity_bytes(&self) -> usize {
        self.identities.used()
    }

    /// How many clients and services are connected.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.clients.len(), self.services.len())
    }
}

#[cfg(test)]
mod tests;
