//! Who is here, who is linked, who holds a lock, and what is in flight.
//!
//! Every method is synchronous and does all of its change or none of it; callers hold the one lock around
//! the registry meanwhile. A peer leaves in one step ([`Registry::leave`]): its name, links, locks and
//! requests are gone together, and what others must be told about it is returned.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use labwire_wire::frames::json_string;
use labwire_wire::{Identity, MANAGER_NAME, Role};

use crate::outbox::Outbox;
use crate::refusal::Refusal;

/// Names one connection for as long as the manager runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(u64);

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Client {
    /// `NAME[HOST:PORT]`.
    pub(crate) name: Arc<str>,
    /// The name as JSON text: what stands behind `requester` in every request.
    pub(crate) requester: Box<str>,
    pub(crate) outbox: Arc<Outbox>,
    description: String,
    links: HashSet<PeerId>,
    /// The services that hold requests of this client, by the request's uid.
    in_flight: HashMap<Box<str>, Holders>,
    in_flight_count: usize,
}

/// Which services hold the requests of one client that carry one uid.
///
/// Nearly always one; people at terminals send every request with the empty uid.
#[derive(Debug)]
enum Holders {
    One(PeerId),
    Many(Vec<PeerId>),
}

impl Holders {
    fn add(&mut self, service: PeerId) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, service]),
            Self::Many(all) => all.push(service),
        }
    }

    fn contains(&self, service: PeerId) -> bool {
        match self {
            Self::One(only) => *only == service,
            Self::Many(all) => all.contains(&service),
        }
    }

    fn as_slice(&self) -> &[PeerId] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }

    /// Takes one request of `service` away; tells whether none is left.
    fn remove_one(&mut self, service: PeerId) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(all) => {
                if let Some(index) = all.iter().position(|&holder| holder == service) {
                    all.swap_remove(index);
                }
                all.is_empty()
            }
        }
    }

    /// Takes all requests of `service` away; tells how many there were and whether none is left.
    fn remove_all(&mut self, service: PeerId) -> (usize, bool) {
        match self {
            Self::One(only) if *only == service => (1, true),
            Self::One(_) => (0, false),
            Self::Many(all) => {
                let before = all.len();
                all.retain(|&holder| holder != service);
                (before - all.len(), all.is_empty())
            }
        }
    }
}

/// A service that is connected.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) outbox: Arc<Outbox>,
    /// The JSON text that a client gets when it links.
    description: Bytes,
    max_clients: Option<u64>,
    links: HashSet<PeerId>,
    locks: HashSet<PeerId>,
    /// How many requests of each client it holds.
    callers: HashMap<PeerId, usize>,
}

/// What the registry holds of the manager itself.
#[derive(Debug)]
pub(crate) struct ManagerIdentity {
    /// The computer's name, without white space.
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) language: String,
    pub(crate) os: String,
}

impl ManagerIdentity {
    /// `Manager[HOST:PORT]`, the form by which Python peers recognise a manager.
    pub(crate) fn name(&self) -> String {
        format!("{MANAGER_NAME}[{}:{}]", self.hostname, self.port)
    }
}

/// A request whose service left before it answered.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(crate) client: Arc<Outbox>,
    pub(crate) requester: Arc<str>,
    pub(crate) uid: Box<str>,
}

/// Where a reply goes.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) outbox: &'a Arc<Outbox>,
    client: PeerId,
}

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Registry {
    manager: ManagerIdentity,
    last_id: u64,
    clients: HashMap<PeerId, Client>,
    services: HashMap<PeerId, Service>,
    client_names: BTreeMap<Arc<str>, PeerId>,
    service_names: BTreeMap<Arc<str>, PeerId>,
    /// The manager's identity as JSON text, until somebody comes or goes: it can be large, and is asked for
    /// far more often than it changes.
    identity: Option<Bytes>,
    in_flight: usize,
    in_flight_limit: usize,
}

impl Registry {
    /// An empty registry, whose clients may have `in_flight_limit` requests under way each.
    pub(crate) fn new(manager: ManagerIdentity, in_flight_limit: usize) -> Self {
        Self {
            manager,
            last_id: 0,
            clients: HashMap::new(),
            services: HashMap::new(),
            client_names: BTreeMap::new(),
            service_names: BTreeMap::new(),
            identity: None,
            in_flight: 0,
            in_flight_limit,
        }
    }

    fn next_id(&mut self) -> PeerId {
        self.last_id += 1;
        PeerId(self.last_id)
    }

    /// Takes a peer in. `address` is its `HOST:PORT`.
    pub(crate) fn join(
        &mut self,
        identity: &Identity,
        address: &str,
        outbox: Arc<Outbox>,
    ) -> Result<PeerId, Refusal> {
        let id = match &identity.role {
            Role::Client => self.join_client(identity, address, outbox)?,
            Role::Service {
                attributes,
                max_clients,
            } => {
                let description = describe_service(identity, attributes, *max_clients, address);
                self.join_service(&identity.name, *max_clients, description, outbox)?
            }
        };
        self.identity = None;
        Ok(id)
    }

    fn join_client(
        &mut self,
        identity: &Identity,
        address: &str,
        outbox: Arc<Outbox>,
    ) -> Result<PeerId, Refusal> {
        let name: Arc<str> = format!("{}[{address}]", identity.name).into();
        if self.client_names.contains_key(&name) {
            return Err(Refusal::ClientNameTaken(name.to_string()));
        }
        let id = self.next_id();
        self.client_names.insert(Arc::clone(&name), id);
        let client = Client {
            requester: json_string(&name).into(),
            name,
            outbox,
            description: describe_client(identity, address),
            links: HashSet::new(),
            in_flight: HashMap::new(),
            in_flight_count: 0,
        };
        self.clients.insert(id, client);
        Ok(id)
    }

    fn join_service(
        &mut self,
        name: &str,
        max_clients: Option<u64>,
        description: String,
        outbox: Arc<Outbox>,
    ) -> Result<PeerId, Refusal> {
        if self.service_names.contains_key(name) {
            return Err(Refusal::NameTaken(name.to_owned()));
        }
        let name: Arc<str> = name.into();
        let id = self.next_id();
        self.service_names.insert(Arc::clone(&name), id);
        let service = Service {
            name,
            outbox,
            description: description.into(),
            max_clients,
            links: HashSet::new(),
            locks: HashSet::new(),
            callers: HashMap::new(),
        };
        self.services.insert(id, service);
        Ok(id)
    }

    /// Takes a peer out, with everything that is its own. The requests that it held as a service are
    /// returned: their callers must be told.
    pub(crate) fn leave(&mut self, id: PeerId) -> Vec<Abandoned> {
        if let Some(client) = self.clients.remove(&id) {
            self.forget_client(id, &client);
            self.identity = None;
        }
        let Some(service) = self.services.remove(&id) else {
            return Vec::new();
        };
        self.service_names.remove(&service.name);
        self.identity = None;
        for client in &service.links {
            if let Some(client) = self.clients.get_mut(client) {
                client.links.remove(&id);
            }
        }
        self.abandon(id, &service)
    }

    fn forget_client(&mut self, id: PeerId, client: &Client) {
        self.client_names.remove(&client.name);
        for service in &client.links {
            if let Some(service) = self.services.get_mut(service) {
                service.links.remove(&id);
                service.locks.remove(&id);
            }
        }
        for service in client.in_flight.values().flat_map(Holders::as_slice) {
            if let Some(service) = self.services.get_mut(service) {
                service.callers.remove(&id);
            }
        }
        self.in_flight -= client.in_flight_count;
    }

    fn abandon(&mut self, id: PeerId, service: &Service) -> Vec<Abandoned> {
        let mut abandoned = Vec::with_capacity(service.callers.values().sum());
        for caller in service.callers.keys() {
            let Some(client) = self.clients.get_mut(caller) else {
                continue;
            };
            let Client {
                in_flight,
                in_flight_count,
                outbox,
                name,
                ..
            } = client;
            in_flight.retain(|uid, holders| {
                let (count, none_left) = holders.remove_all(id);
                for _ in 0..count {
                    let (client, requester) = (Arc::clone(outbox), Arc::clone(name));
                    abandoned.push(Abandoned {
                        client,
                        requester,
                        uid: uid.clone(),
                    });
                }
                *in_flight_count -= count;
                !none_left
            });
        }
        self.in_flight -= abandoned.len();
        abandoned
    }

    /// A client that is connected.
    pub(crate) fn client(&self, id: PeerId) -> Option<&Client> {
        self.clients.get(&id)
    }

    /// A service that is connected.
    pub(crate) fn service(&self, id: PeerId) -> Option<&Service> {
        self.services.get(&id)
    }

    fn client_name(&self, id: PeerId) -> String {
        self.clients
            .get(&id)
            .map(|client| client.name.to_string())
            .unwrap_or_default()
    }

    fn names_of(&self, clients: &HashSet<PeerId>) -> Vec<String> {
        let mut names: Vec<String> = clients.iter().map(|&id| self.client_name(id)).collect();
        names.sort();
        names
    }

    /// Finds the service that a client's request is for, if the client may send it there now.
    pub(crate) fn service_for(&self, client: PeerId, service: &str) -> Result<PeerId, Refusal> {
        let Some(&id) = self.service_names.get(service) else {
            let manager = self.manager.name();
            return Err(Refusal::NoSuchService {
                service: service.to_owned(),
                manager,
            });
        };
        let found = &self.services[&id];
        if (found.max_clients.is_some() || !found.locks.is_empty()) && !found.links.contains(&client) {
            let (service, client) = (service.to_owned(), self.client_name(client));
            return Err(if found.locks.is_empty() {
                Refusal::LinkBecauseLimited { service, client }
            } else {
                Refusal::LinkBecauseLocked { service, client }
            });
        }
        match self.clients.get(&client) {
            Some(client) if client.in_flight_count >= self.in_flight_limit => Err(Refusal::TooManyInFlight {
                client: client.name.to_string(),
                limit: self.in_flight_limit,
            }),
            _ => Ok(id),
        }
    }

    /// Notes that `service` holds a request of `client`.
    pub(crate) fn begin_request(&mut self, client: PeerId, service: PeerId, uid: &str) {
        let Some(caller) = self.clients.get_mut(&client) else {
            return;
        };
        match caller.in_flight.get_mut(uid) {
            Some(holders) => holders.add(service),
            None => {
                caller.in_flight.insert(uid.into(), Holders::One(service));
            }
        }
        caller.in_flight_count += 1;
        self.in_flight += 1;
        if let Some(service) = self.services.get_mut(&service) {
            *service.callers.entry(client).or_default() += 1;
        }
    }

    /// Finds where a reply of `service` goes: to the named client, if it still waits for this very reply.
    pub(crate) fn destination(&self, service: PeerId, requester: &str, uid: &str) -> Option<Destination<'_>> {
        let &client = self.client_names.get(requester)?;
        let found = &self.clients[&client];
        found
            .in_flight
            .get(uid)?
            .contains(service)
            .then_some(Destination {
                outbox: &found.outbox,
                client,
            })
    }

    /// Notes that the request was answered.
    pub(crate) fn end_request(&mut self, service: PeerId, requester: &str, uid: &str) {
        let Some(client) = self
            .destination(service, requester, uid)
            .map(|found| found.client)
        else {
            return;
        };
        if let Some(caller) = self.clients.get_mut(&client)
            && let Some(holders) = caller.in_flight.get_mut(uid)
        {
            if holders.remove_one(service) {
                caller.in_flight.remove(uid);
            }
            caller.in_flight_count -= 1;
            self.in_flight -= 1;
        }
        if let Some(found) = self.services.get_mut(&service)
            && let Some(count) = found.callers.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                found.callers.remove(&client);
            }
        }
    }

    /// How many requests wait for a reply.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The queues of the clients that are linked with a service.
    pub(crate) fn linked_outboxes(&self, service: PeerId) -> impl Iterator<Item = &Arc<Outbox>> {
        let links = self
            .services
            .get(&service)
            .into_iter()
            .flat_map(|service| &service.links);
        links.filter_map(|client| Some(&self.clients.get(client)?.outbox))
    }

    /// Links a client with a service; gives the service's identity.
    pub(crate) fn link(&mut self, client: PeerId, name: &str) -> Result<Bytes, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(Refusal::CannotLink {
                service: name.to_owned(),
                client: self.client_name(client),
            });
        };
        let service = &self.services[&id];
        if !service.links.contains(&client) {
            if !service.locks.is_empty() {
                return Err(Refusal::Locked {
                    service: name.to_owned(),
                });
            }
            if service
                .max_clients
                .is_some_and(|limit| service.links.len() as u64 >= limit)
            {
                let linked = self.names_of(&service.links);
                return Err(Refusal::Limit {
                    service: name.to_owned(),
                    linked,
                });
            }
        }
        if let (Some(service), Some(client_state)) =
            (self.services.get_mut(&id), self.clients.get_mut(&client))
        {
            service.links.insert(client);
            client_state.links.insert(id);
            return Ok(service.description.clone());
        }
        Err(Refusal::CannotLink {
            service: name.to_owned(),
            client: self.client_name(client),
        })
    }

    /// Ends a link and the lock that came with it. A service that is gone counts as unlinked.
    pub(crate) fn unlink(&mut self, client: PeerId, name: &str) -> Result<(), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Ok(());
        };
        if let Some(service) = self.services.get_mut(&id)
            && service.links.remove(&client)
        {
            service.locks.remove(&client);
            if let Some(client) = self.clients.get_mut(&client) {
                client.links.remove(&id);
            }
            return Ok(());
        }
        Err(Refusal::NotLinked {
            service: name.to_owned(),
            client: self.client_name(client),
        })
    }

    /// Locks a service for the clients that are linked with it now; gives their names.
    pub(crate) fn acquire_lock(
        &mut self,
        client: PeerId,
        name: &str,
        shared: bool,
    ) -> Result<Vec<String>, Refusal> {
        let client_name = self.client_name(client);
        let Some(&id) = self.service_names.get(name) else {
            return Err(Refusal::CannotLock {
                service: name.to_owned(),
                client: client_name,
            });
        };
        let service = &self.services[&id];
        if !service.links.contains(&client) {
            return Err(Refusal::LockWithoutLink {
                service: name.to_owned(),
                client: client_name,
            });
        }
        let linked = self.names_of(&service.links);
        if !shared && linked.len() > 1 {
            return Err(Refusal::NotAlone {
                service: name.to_owned(),
                client: client_name,
                linked,
            });
        }
        if let Some(service) = self.services.get_mut(&id) {
            service.locks.insert(client);
        }
        Ok(linked)
    }

    /// Releases a client's lock, if it has one; gives the names of those that still hold one.
    pub(crate) fn release_lock(&mut self, client: PeerId, name: &str) -> Result<Vec<String>, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            let client = self.client_name(client);
            return Err(Refusal::CannotRelease {
                service: name.to_owned(),
                client,
            });
        };
        if let Some(service) = self.services.get_mut(&id) {
            service.locks.remove(&client);
        }
        Ok(self.names_of(&self.services[&id].locks))
    }

    /// How many links and locks a service has: for the log.
    pub(crate) fn links_and_locks(&self, name: &str) -> (usize, usize) {
        let service = self.service_names.get(name).map(|id| &self.services[id]);
        service.map_or((0, 0), |service| (service.links.len(), service.locks.len()))
    }

    /// How many clients and services are connected.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.clients.len(), self.services.len())
    }

    /// The manager's identity, with everyone who is connected: the JSON text of an object.
    pub(crate) fn identity(&mut self) -> Bytes {
        if let Some(identity) = &self.identity {
            return identity.clone();
        }
        let ManagerIdentity {
            hostname,
            port,
            language,
            os,
        } = &self.manager;
        let identity = format!(
            r#"{{"hostname":{},"port":{port},"attributes":{},"language":{},"os":{},"clients":{},"services":{}}}"#,
            json_string(hostname),
            MANAGER_ATTRIBUTES,
            json_string(language),
            json_string(os),
            self.clients_json(),
            self.services_json(),
        );
        let identity = Bytes::from(identity);
        self.identity = Some(identity.clone());
        identity
    }

    /// Everyone who asks, by name: the JSON text of an object.
    pub(crate) fn clients_json(&self) -> String {
        let entries = self
            .client_names
            .iter()
            .map(|(name, id)| (name, self.clients[id].description.as_str()));
        json_object(entries)
    }

    /// Everyone who answers, by name: the JSON text of an object.
    pub(crate) fn services_json(&self) -> String {
        let description = |id| std::str::from_utf8(&self.services[id].description).unwrap_or("null");
        json_object(
            self.service_names
                .iter()
                .map(|(name, id)| (name, description(id))),
        )
    }

    /// The linked clients of each service: the JSON text of an object.
    pub(crate) fn links_json(&self) -> String {
        self.client_lists_json(|service| &service.links)
    }

    /// The clients that hold a lock, of each service: the JSON text of an object.
    pub(crate) fn locks_json(&self) -> String {
        self.client_lists_json(|service| &service.locks)
    }

    fn client_lists_json(&self, clients: impl Fn(&Service) -> &HashSet<PeerId>) -> String {
        json_object(self.service_names.iter().map(|(name, id)| {
            let names = self.names_of(clients(&self.services[id]));
            (name, serde_json::Value::from(names).to_string())
        }))
    }
}

/// What anyone may ask of the manager, as it stands in its identity.
const MANAGER_ATTRIBUTES: &str = r#"{"acquire_lock":"(service: str, shared: bool) -> list","identity":"() -> dict","link":"(service: str) -> dict","release_lock":"(service: str) -> list","unlink":"(service: str) -> bool"}"#;

fn json_object<'a>(entries: impl Iterator<Item = (&'a Arc<str>, impl AsRef<str>)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in entries.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&json_string(name));
        text.push(':');
        text.push_str(value.as_ref());
    }
    text.push('}');
    text
}

fn describe_client(identity: &Identity, address: &str) -> String {
    format!(
        r#"{{"name":{},"address":{},"language":{},"os":{}}}"#,
        json_string(&identity.name),
        json_string(address),
        json_string(&identity.language),
        json_string(&identity.os),
    )
}

fn describe_service(
    identity: &Identity,
    attributes: &str,
    max_clients: Option<u64>,
    address: &str,
) -> String {
    let max_clients = max_clients.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
    format!(
        r#"{{"attributes":{attributes},"address":{},"language":{},"os":{},"max_clients":{max_clients}}}"#,
        json_string(address),
        json_string(&identity.language),
        json_string(&identity.os),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let manager = ManagerIdentity {
            hostname: "h".into(),
            port: 1875,
            language: "Rust".into(),
            os: "Linux".into(),
        };
        Registry::new(manager, 1_000)
    }

    fn client(registry: &mut Registry, name: &str) -> PeerId {
        let identity = Identity::client(name).unwrap();
        registry.join(&identity, "h:1", Outbox::new(1_000)).unwrap()
    }

    fn service(registry: &mut Registry, name: &str, max_clients: i32) -> PeerId {
        let text = format!(
            r#"{{"type":"service","name":"{name}","attributes":{{"a":"()"}},"max_clients":{max_clients}}}"#
        );
        let identity = Identity::from_json(text.as_bytes()).unwrap();
        registry.join(&identity, "h:2", Outbox::new(1_000)).unwrap()
    }

    #[test]
    fn a_link_is_granted_once_per_place_and_comes_back_with_its_client() {
        let mut registry = registry();
        service(&mut registry, "S", 1);
        let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
        assert!(registry.link(a, "S").is_ok());
        assert!(registry.link(a, "S").is_ok(), "linking again succeeds");
        assert_eq!(
            registry.link(b, "S"),
            Err(Refusal::Limit {
                service: "S".into(),
                linked: vec!["a[h:1]".into()]
            })
        );
        assert!(registry.leave(a).is_empty());
        assert!(registry.link(b, "S").is_ok());
    }

    #[test]
    fn a_limited_or_locked_service_serves_linked_clients_only() {
        let mut registry = registry();
        let limited = service(&mut registry, "limited", 2);
        let open = service(&mut registry, "open", 0);
        let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
        assert!(matches!(
            registry.service_for(a, "limited"),
            Err(Refusal::LinkBecauseLimited { .. })
        ));
        registry.link(a, "limited").unwrap();
        assert_eq!(registry.service_for(a, "limited"), Ok(limited));

        assert_eq!(registry.service_for(b, "open"), Ok(open));
        registry.link(a, "open").unwrap();
        registry.acquire_lock(a, "open", false).unwrap();
        assert!(matches!(
            registry.service_for(b, "open"),
            Err(Refusal::LinkBecauseLocked { .. })
        ));
        assert_eq!(
            registry.link(b, "open"),
            Err(Refusal::Locked {
                service: "open".into()
            })
        );
        registry.leave(a);
        assert_eq!(registry.service_for(b, "open"), Ok(open));
    }

    #[test]
    fn an_exclusive_lock_needs_the_only_link_and_a_shared_one_does_not() {
        let mut registry = registry();
        service(&mut registry, "S", 0);
        let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
        assert!(matches!(
            registry.acquire_lock(a, "S", true),
            Err(Refusal::LockWithoutLink { .. })
        ));
        registry.link(a, "S").unwrap();
        registry.link(b, "S").unwrap();
        assert!(matches!(
            registry.acquire_lock(a, "S", false),
            Err(Refusal::NotAlone { .. })
        ));
        assert_eq!(registry.acquire_lock(a, "S", true).unwrap(), ["a[h:1]", "b[h:1]"]);
        assert_eq!(registry.acquire_lock(b, "S", true).unwrap(), ["a[h:1]", "b[h:1]"]);
        assert_eq!(registry.release_lock(a, "S").unwrap(), ["b[h:1]"]);
        registry.unlink(b, "S").unwrap();
        assert_eq!(
            registry.locks_json(),
            r#"{"S":[]}"#,
            "unlinking releases the lock"
        );
    }

    #[test]
    fn a_reply_counts_once_and_only_from_the_service_that_holds_the_request() {
        let mut registry = registry();
        let (s, other) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
        let a = client(&mut registry, "a");
        registry.begin_request(a, s, "1");
        assert!(registry.destination(other, "a[h:1]", "1").is_none());
        assert!(registry.destination(s, "a[h:1]", "2").is_none());
        assert!(registry.destination(s, "b[h:1]", "1").is_none());
        assert!(registry.destination(s, "a[h:1]", "1").is_some());
        registry.end_request(s, "a[h:1]", "1");
        assert!(registry.destination(s, "a[h:1]", "1").is_none());
        assert_eq!(registry.in_flight(), 0);
    }

    #[test]
    fn requests_may_share_a_uid_as_terminals_do() {
        let mut registry = registry();
        let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
        let a = client(&mut registry, "a");
        for service in [s, s, t] {
            registry.begin_request(a, service, "");
        }
        registry.end_request(s, "a[h:1]", "");
        assert!(registry.destination(s, "a[h:1]", "").is_some());
        assert_eq!(registry.leave(t).len(), 1);
        registry.end_request(s, "a[h:1]", "");
        assert!(registry.destination(s, "a[h:1]", "").is_none());
        assert_eq!(registry.in_flight(), 0);
    }

    #[test]
    fn a_service_that_leaves_gives_back_every_request_that_it_held() {
        let mut registry = registry();
        let (s, t) = (service(&mut registry, "S", 0), service(&mut registry, "T", 0));
        let (a, b) = (client(&mut registry, "a"), client(&mut registry, "b"));
        registry.begin_request(a, s, "1");
        registry.begin_request(a, t, "2");
        registry.begin_request(b, s, "1");
        let mut left: Vec<_> = registry
            .leave(s)
            .into_iter()
            .map(|gone| (gone.requester.to_string(), gone.uid.to_string()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [("a[h:1]".into(), "1".into()), ("b[h:1]".into(), "1".into())]
        );
        assert_eq!(registry.in_flight(), 1);
        registry.leave(a);
        assert_eq!(registry.in_flight(), 0);
        assert!(registry.leave(t).is_empty(), "nobody waits any more");
    }

    #[test]
    fn the_identity_follows_who_comes_and_goes() {
        let mut registry = registry();
        let s = service(&mut registry, "S", 0);
        client(&mut registry, "a");
        let identity: serde_json::Value = serde_json::from_slice(&registry.identity()).unwrap();
        assert_eq!(identity["clients"]["a[h:1]"]["name"], "a");
        assert_eq!(identity["services"]["S"]["max_clients"], -1);
        assert_eq!(identity["services"]["S"]["attributes"]["a"], "()");
        registry.leave(s);
        let identity: serde_json::Value = serde_json::from_slice(&registry.identity()).unwrap();
        assert_eq!(identity["services"], serde_json::json!({}));
    }

    #[test]
    fn names_are_unique_while_their_peer_is_here() {
        let mut registry = registry();
        let s = service(&mut registry, "S", 0);
        let again = Identity::from_json(br#"{"type":"service","name":"S","attributes":{}}"#).unwrap();
        let refused = registry.join(&again, "h:3", Outbox::new(1));
        assert_eq!(refused, Err(Refusal::NameTaken("S".into())));
        registry.leave(s);
        assert!(registry.join(&again, "h:3", Outbox::new(1)).is_ok());
    }
}
