//! The state that all connections share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use labwire_record::Caller;
use labwire_store::ValidLogins;
use labwire_tcp::WatchedSocket;
use labwire_wire::{Features, Identity, RecordedMethods, Shape};

use super::approvals::Approvals;
use super::caller::CallerTexts;
use super::deadlines::Deadlines;
use super::event::{Away, Event};
use super::in_flight::InFlight;
use super::lease_records::LeaseChanges;
use super::likeness::Likenesses;
use super::lock_queue::{LockQueue, Ticket};
use super::locks::{Lock, Locks};
use super::logins::LoggedIn;
use super::manager::ManagerIdentity;
use super::noted_calls::CallLog;
use super::owed::Owed;
use super::peers::{PeerId, Peers};
use super::permissions::{PeerRights, Rules};
use super::requests::{EmptyPlaces, Requests};
use super::reservations::Reservations;
use super::revoking::Revoking;
use super::roster::Roster;
use super::settling::Unsettled;
use super::tracked::Tracked;
use super::traffic::Traffic;
use crate::bounds::{FREE_LEASES, FREE_LOCK_WAITS, MOST_LEASES, MOST_LOCK_WAITS};
use crate::budget::Pool;
use crate::config::Limits;
use crate::log_limit::LogLimit;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::progress::{ClientsProgress, WaitingProgress};
use crate::refusal::{HeldLock, LinkedClients, LockEnd, LockRefusal, Refusal, excerpt};
use crate::sessions::SecretHash;

/// The JSON parser of a peer, as far as its limits matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Python's own JSON parser, which MSL-Network's peers use. It fails at more than about 980
    /// levels of nesting, and at integers of more than 4,300 digits. Either ends a peer's event
    /// loop, or leaves its caller without an answer.
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

    /// Returns whether it can read a frame of that shape. Some levels are left for callers deeper
    /// in the stack.
    pub(crate) fn can_read(self, shape: Shape) -> bool {
        self == Self::Other || (shape.depth <= 900 && shape.integer_digits <= 4_300)
    }
}

/// How a client with a session proves after a restart who it was.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(super) secret: SecretHash,
    /// The name that it gave itself.
    pub(super) name: Arc<str>,
    /// The user that it has logged in as in its handshake, not the administrator that it may be later.
    pub(super) user: Option<Arc<str>>,
    /// How long its place is kept.
    pub(super) grace: Duration,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    /// `NAME[HOST:PORT]`.
    pub(crate) name: Arc<str>,
    /// The end of every request: the member `requester`, and the frame's end.
    pub(crate) request_end: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    pub(super) principal: Arc<Principal>,
    /// What it may do, once that was needed.
    pub(super) rights: Option<Box<PeerRights>>,
    /// What services are told about it, once one asked.
    pub(super) caller_texts: Option<Box<CallerTexts>>,
    /// Limits the log lines about it.
    pub(crate) log_limit: Arc<LogLimit>,
    pub(super) links: HashSet<PeerId>,
    /// The services whose locks it waits for.
    pub(super) lock_waits: Vec<(PeerId, Ticket)>,
    /// The services on which its lock has ended: see [`Service::ended_locks`].
    pub(super) ended_locks: HashSet<PeerId>,
    /// The services that have a place for requests of this client.
    pub(super) asked: HashSet<PeerId>,
    pub(super) in_flight: InFlight,
    pub(super) traffic: Traffic,
    /// Until when the client is kept after it has closed its sending side.
    pub(super) deadline: Option<Instant>,
    /// The service that it asked last, and most likely asks next.
    pub(super) asked_last: PeerId,
    /// The requests that have ended before their reply.
    pub(super) owed: Owed,
    /// The progress that waits for it, once there was any.
    pub(super) progress: Option<ClientsProgress>,
    /// Set while its connection is broken and its place is kept.
    pub(super) away: Option<Box<Away>>,
    /// How it proves after a restart of the manager who it was, if it has a session.
    pub(super) holder: Option<Box<Holder>>,
    /// The number of its locks that are noted for that time.
    pub(super) kept_leases: usize,
    /// How the record names it in its calls, once there was one.
    pub(super) caller: Option<Arc<Caller>>,
}

/// The text before and after the requester's name at the end of a request.
pub(super) const AROUND_REQUESTER: [&str; 2] = [",\"requester\":", "}\r\n"];

impl Client {
    /// Returns the member `requester` of its requests, after a comma.
    pub(crate) fn requester_member(&self) -> &[u8] {
        let [_, behind] = AROUND_REQUESTER;
        &self.request_end.as_bytes()[..self.request_end.len() - behind.len()]
    }

    /// Returns its name as an entry of a list, after a comma.
    pub(super) fn name_entry(&self) -> Bytes {
        let [before, behind] = AROUND_REQUESTER;
        let end = self.request_end.as_bytes();
        [b",", &end[before.len()..end.len() - behind.len()]]
            .concat()
            .into()
    }

    /// Returns the length of its name in the end of its requests, in bytes.
    pub(crate) fn requester_length(&self) -> usize {
        let [before, behind] = AROUND_REQUESTER;
        self.request_end.len() - before.len() - behind.len()
    }
}

/// A connected service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    /// `NAME[HOST:PORT]`.
    pub(super) full_name: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reader: Reader,
    pub(crate) features: Features,
    /// The JSON text that a client receives when it links.
    pub(super) description: Bytes,
    pub(super) max_clients: Option<u64>,
    /// The methods whose arguments it wants to be recorded.
    pub(super) recorded: Option<Box<RecordedMethods>>,
    /// The linked clients and their queues.
    pub(super) links: HashMap<PeerId, Arc<Outbox>>,
    pub(super) locks: Locks,
    /// The requests that wait for a lock.
    pub(super) lock_queue: LockQueue,
    /// The clients whose lock has expired or was broken. Their requests are refused: each may still
    /// believe that the service is its own.
    pub(super) ended_locks: HashMap<PeerId, LockEnd>,
    /// The names of the linked clients.
    pub(super) linked: Roster,
    /// The requests that it holds, by client. When it leaves, only these are searched.
    pub(super) callers: HashMap<PeerId, Requests>,
    /// The number of requests that it holds.
    pub(super) in_flight: usize,
    /// The client that it answered last.
    pub(super) answered_last: PeerId,
    pub(super) traffic: Traffic,
    pub(super) principal: Arc<Principal>,
    /// What it may do, once that was needed.
    pub(super) rights: Option<Box<PeerRights>>,
    /// The socket of its connection, if it has one.
    pub(super) socket: Option<WatchedSocket>,
    /// Whether it received an error about a malformed line since its last proper reply.
    pub(crate) was_told: bool,
    /// Set while its connection is broken and its place is kept.
    pub(super) away: Option<Box<Away>>,
    /// Whether its callers wait while it is away.
    pub(super) keep_callers: bool,
    /// The clients to whom it owes the reply to a request that has ended.
    pub(super) owing: HashSet<PeerId>,
}

impl Service {
    /// Removes the link of a client, and its lock. Returns the lock.
    pub(super) fn unlink(&mut self, client: PeerId, name: &str) -> Option<Lock> {
        if let Some(outbox) = self.links.remove(&client) {
            outbox.recall();
        }
        self.linked.remove(name);
        self.locks.remove(client)
    }

    /// Returns whether it is linked with as many clients as it accepts.
    pub(super) fn is_full(&self) -> bool {
        self.max_clients
            .is_some_and(|limit| self.links.len() as u64 >= limit)
    }

    /// Returns the lock of another client, for the refusal of `client`.
    pub(super) fn held(&self, client: PeerId) -> Option<Box<HeldLock>> {
        self.locks.held(client, self.lock_queue.len())
    }

    /// Returns the refusal of a client whose lock has ended.
    pub(super) fn ended(&self, id: PeerId, client: &Client) -> Option<Refusal> {
        Some(
            LockRefusal::Ended {
                service: self.name.to_string(),
                client: client.name.to_string(),
                end: self.ended_locks.get(&id)?.clone(),
            }
            .into(),
        )
    }

    /// Returns the linked clients, for a refusal.
    pub(super) fn linked_clients(&self) -> LinkedClients {
        LinkedClients::new(self.linked.names(), self.links.len())
    }
}

/// The state that all connections share.
///
/// Each request is looked up here several times, so its tables use a faster hash than the standard
/// library's. The hashes are seeded in each process, so that nobody can prepare names or uids that
/// collide.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) manager: ManagerIdentity,
    /// The rules about who may do what; `None` if everybody may do everything, and no peer has logged
    /// in with a token so far.
    pub(super) rules: Option<Rules>,
    /// The peers that have logged in as a user.
    pub(super) logins: HashMap<PeerId, LoggedIn>,
    /// Who may stay logged in, as it was read the last time.
    pub(super) valid_logins: Option<Arc<ValidLogins>>,
    /// The peers that are to be checked by new rules.
    pub(super) revoking: Revoking,
    pub(super) last_number: u64,
    pub(super) clients: Peers<Client>,
    pub(super) services: Peers<Service>,
    pub(super) client_names: HashMap<Arc<str>, PeerId>,
    pub(super) service_names: HashMap<Arc<str>, PeerId>,
    pub(super) likenesses: Likenesses,
    /// The names of services that have left, while some clients are not yet notified.
    pub(super) leaving: HashSet<Arc<str>>,
    /// The clients and services as listed in the manager's identity.
    pub(super) client_roster: Roster,
    pub(super) service_roster: Roster,
    pub(super) in_flight: Pool,
    pub(super) in_flight_limit: usize,
    pub(super) empty_places: EmptyPlaces,
    pub(super) deadlines: Deadlines,
    pub(super) last_ticket: Ticket,
    /// What the last changes of links and locks mean for requests that wait for a lock.
    pub(super) unsettled: Unsettled,
    /// The requests of all clients that wait for locks.
    pub(super) lock_waits: Pool,
    /// The requests that wait for approval.
    pub(super) approvals: Approvals,
    /// The size of the services' descriptions, in bytes.
    pub(super) identities: Pool,
    /// The requests of which more is known than their uids.
    pub(super) tracked: Tracked,
    /// The number of requests of all clients that have ended before their reply.
    pub(super) owed: usize,
    pub(super) waiting_progress: WaitingProgress,
    /// The locks that are kept for their holders from before a restart of the manager.
    pub(super) reservations: Reservations,
    /// The locks that are noted for the time after the next restart, and the changes of them.
    pub(super) kept_leases: Pool,
    pub(super) lease_changes: LeaseChanges,
    /// Takes the calls that are answered, if they are recorded.
    pub(super) calls: Option<CallLog>,
}

/// The requests in flight that each client may have regardless of others: more than a person needs,
/// or a program that waits for each reply.
const FREE_IN_FLIGHT: usize = 16;

/// The size of a service's description that is allowed regardless of others, in bytes: more than
/// most have.
const FREE_DESCRIPTION: usize = 4 * 1024;

impl Registry {
    /// Creates an empty registry with these limits.
    pub(crate) fn new(manager: ManagerIdentity, limits: &Limits) -> Self {
        Self {
            manager,
            rules: None,
            logins: HashMap::default(),
            valid_logins: None,
            revoking: Revoking::default(),
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
            lock_waits: Pool::new(MOST_LOCK_WAITS, FREE_LOCK_WAITS),
            approvals: Approvals::default(),
            empty_places: EmptyPlaces::default(),
            deadlines: Deadlines::default(),
            last_ticket: Ticket::default(),
            unsettled: Unsettled::default(),
            tracked: Tracked::default(),
            owed: 0,
            waiting_progress: WaitingProgress::default(),
            reservations: Reservations::default(),
            kept_leases: Pool::new(MOST_LEASES, FREE_LEASES),
            lease_changes: LeaseChanges::default(),
            calls: None,
        }
    }

    /// Replaces the principal of a client that has logged in. Returns `None` if the client has
    /// left.
    pub(crate) fn set_principal(
        &mut self,
        client: PeerId,
        principal: Arc<Principal>,
    ) -> Option<Event<'static>> {
        let client = self.clients.get_mut(client)?;
        client.principal = Arc::clone(&principal);
        client.rights = None;
        client.caller = None;
        Some(Event::LoggedIn {
            name: Arc::clone(&client.name),
            principal,
        })
    }

    /// Returns a connected client.
    pub(crate) fn client(&self, id: PeerId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// Returns a connected service.
    pub(crate) fn service(&self, id: PeerId) -> Option<&Service> {
        self.services.get(id)
    }

    /// Returns a connected service.
    pub(crate) fn service_mut(&mut self, id: PeerId) -> Option<&mut Service> {
        self.services.get_mut(id)
    }

    /// Counts a notification that a service emitted.
    pub(crate) fn note_notification(&mut self, service: PeerId) {
        if let Some(service) = self.services.get_mut(service) {
            service.traffic.notifications += 1;
        }
    }

    pub(super) fn client_name(&self, id: PeerId) -> String {
        self.clients
            .get(id)
            .map(|client| client.name.to_string())
            .unwrap_or_default()
    }

    /// Returns the clients that are linked with a service, and their queues.
    pub(crate) fn linked_outboxes(&self, service: PeerId) -> impl Iterator<Item = (PeerId, &Arc<Outbox>)> {
        self.services
            .get(service)
            .into_iter()
            .flat_map(|service| service.links.iter().map(|(&client, outbox)| (client, outbox)))
    }

    /// Returns whether a client is linked with a service.
    pub(crate) fn is_linked(&self, service: PeerId, client: PeerId) -> bool {
        self.services
            .get(service)
            .is_some_and(|service| service.links.contains_key(&client))
    }

    /// Returns whether a client holds a lock on a service.
    #[cfg(feature = "lab")]
    pub(crate) fn has_lock(&self, service: PeerId, client: PeerId) -> bool {
        let service = self.services.get(service);
        service.is_some_and(|service| service.locks.contains(client))
    }

    /// Returns whether everything that was queued for any peer is written.
    pub(crate) fn is_written(&self) -> bool {
        self.outboxes().all(|outbox| outbox.is_written())
    }

    /// Returns the number of bytes queued for all peers.
    pub(crate) fn queued(&self) -> usize {
        self.outboxes().map(|outbox| outbox.queued()).sum()
    }

    pub(super) fn outboxes(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        let clients = self.clients.iter().map(|(_, client)| &client.outbox);
        let services = self.services.iter().map(|(_, service)| &service.outbox);
        clients.chain(services)
    }

    /// Returns the refusal of a typed line that begins with `name`, which is neither a keyword nor
    /// a connected service.
    pub(crate) fn no_such_keyword(&self, name: &str) -> Refusal {
        Refusal::NoSuchKeyword {
            service: excerpt(name).to_owned(),
            manager: self.manager.name(),
        }
    }

    /// Records the socket of a service's connection.
    pub(crate) fn set_socket(&mut self, service: PeerId, socket: WatchedSocket) {
        if let Some(service) = self.services.get_mut(service) {
            service.socket = Some(socket);
        }
    }

    /// Returns the service of that name, the address that it connected from, and its socket if it
    /// has one.
    pub(crate) fn holder_of(&self, name: &str) -> Option<(PeerId, IpAddr, Option<WatchedSocket>)> {
        let id = *self.service_names.get(name)?;
        let service = &self.services[id];
        Some((id, service.principal.from.ip, service.socket.clone()))
    }

    /// Returns whether a service of that name is connected.
    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.service_names.contains_key(name)
    }

    /// Returns the size of all services' descriptions, in bytes.
    pub(crate) fn identity_bytes(&self) -> usize {
        self.identities.used()
    }

    /// Returns the number of bytes of progress that wait for clients.
    pub(crate) fn progress_bytes(&self) -> usize {
        self.waiting_progress.bytes()
    }

    /// Returns the numbers of clients and of services.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.clients.len(), self.services.len())
    }
}
