//! The state that all connections share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use labwire_tcp::WatchedSocket;
use labwire_wire::{Features, Identity, Shape};

use super::deadlines::Deadlines;
use super::event::Event;
use super::in_flight::InFlight;
use super::likeness::Likenesses;
use super::locks::Locks;
use super::manager::ManagerIdentity;
use super::peers::{PeerId, Peers};
use super::requests::{EmptyPlaces, Requests};
use super::roster::Roster;
use crate::budget::Pool;
use crate::config::Limits;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{LinkedClients, Refusal, excerpt};

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
    pub(super) fn of(identity: &Identity) -> Self {
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
    pub(super) principal: Arc<Principal>,
    pub(super) links: HashSet<PeerId>,
    /// The services that have a place for requests of this client.
    pub(super) asked: HashSet<PeerId>,
    pub(super) in_flight: InFlight,
    /// Until when it is kept that sends no more.
    pub(super) deadline: Option<Instant>,
    /// The service that it asked last, and asks again most likely.
    pub(super) asked_last: PeerId,
}

/// What stands before the name of who asks, and behind it, in the end of a request.
pub(super) const AROUND_REQUESTER: [&str; 2] = [",\"requester\":", "}\r\n"];

impl Client {
    /// The member `requester` of its requests, behind another one.
    pub(crate) fn requester_member(&self) -> &[u8] {
        let [_, behind] = AROUND_REQUESTER;
        &self.request_end.as_bytes()[..self.request_end.len() - behind.len()]
    }

    /// Its name as it stands in a list.
    pub(super) fn name_entry(&self) -> Bytes {
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
    pub(super) full_name: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    /// The JSON text that a client gets when it links.
    pub(super) description: Bytes,
    pub(super) max_clients: Option<u64>,
    /// The clients that are linked with it, and their queues.
    pub(super) links: HashMap<PeerId, Arc<Outbox>>,
    pub(super) locks: Locks,
    /// The names of those that are linked.
    pub(super) linked: Roster,
    /// The requests of each client that it holds. When it leaves, nothing else is searched for them.
    pub(super) callers: HashMap<PeerId, Requests>,
    /// The client that it answered last.
    pub(super) answered_last: PeerId,
    pub(super) principal: Arc<Principal>,
    /// That of its connection, if it has one.
    pub(super) socket: Option<WatchedSocket>,
    /// Whether it was told of a malformed line since it sent a proper reply.
    pub(crate) was_told: bool,
}

impl Service {
    /// Forgets the link of a client, and its lock.
    pub(super) fn unlink(&mut self, client: PeerId, name: &str) {
        self.links.remove(&client);
        self.linked.remove(name);
        self.locks.remove(client);
    }

    /// The clients that are linked with it, for a refusal.
    pub(super) fn linked_clients(&self) -> LinkedClients {
        LinkedClients::new(self.linked.names(), self.links.len())
    }
}

/// The state that all connections share.
///
/// Each request is looked up here several times, so its tables hash faster than the standard library's; the
/// hashes are seeded anew in each process, so that nobody can prepare names or uids that collide.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) manager: ManagerIdentity,
    pub(super) last_number: u64,
    pub(super) clients: Peers<Client>,
    pub(super) services: Peers<Service>,
    pub(super) client_names: HashMap<Arc<str>, PeerId>,
    pub(super) service_names: HashMap<Arc<str>, PeerId>,
    pub(super) likenesses: Likenesses,
    /// The names of services that have left, which some clients do not know yet.
    pub(super) leaving: HashSet<Arc<str>>,
    /// The clients and services as they stand in the manager's identity.
    pub(super) client_roster: Roster,
    pub(super) service_roster: Roster,
    pub(super) in_flight: Pool,
    pub(super) in_flight_limit: usize,
    pub(super) empty_places: EmptyPlaces,
    pub(super) deadlines: Deadlines,
    /// The bytes of the services' descriptions.
    pub(super) identities: Pool,
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

    pub(super) fn client_name(&self, id: PeerId) -> String {
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

    pub(super) fn outboxes(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        let clients = self.clients.iter().map(|(_, client)| &client.outbox);
        let services = self.services.iter().map(|(_, service)| &service.outbox);
        clients.chain(services)
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

    /// How many bytes the descriptions of all services have.
    pub(crate) fn identity_bytes(&self) -> usize {
        self.identities.used()
    }

    /// How many clients and services are connected.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.clients.len(), self.services.len())
    }
}
