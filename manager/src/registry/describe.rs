//! What the manager tells of itself and of everyone who is connected: JSON text.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use labwire_wire::frames::json_string;
use labwire_wire::{Identity, MANAGER_NAME};
use serde_json::{Value, json};

use super::{PeerId, Registry, Service, User};

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

impl Registry {
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
        json_object(&self.client_names, |id| self.clients[id].description.as_str())
    }

    /// Everyone who answers, by name: the JSON text of an object.
    pub(crate) fn services_json(&self) -> String {
        json_object(&self.service_names, |id| {
            std::str::from_utf8(&self.services[id].description).unwrap_or("null")
        })
    }

    /// Everyone who is connected, with the user that the peer logged in as: what [`sessions_json`] is made of.
    pub(crate) fn sessions(&self) -> Vec<PeerSession> {
        let of = |kind| {
            move |(name, id): (&Arc<str>, &PeerId)| PeerSession {
                kind,
                name: Arc::clone(name),
                user: self.users.get(id).cloned(),
            }
        };
        let clients = self.client_names.iter().map(of("client"));
        clients
            .chain(self.service_names.iter().map(of("service")))
            .collect()
    }

    /// The linked clients of each service: the JSON text of an object.
    pub(crate) fn links_json(&self) -> String {
        self.client_lists_json(|service| self.names_of(service.links.keys()))
    }

    /// The clients that hold a lock, of each service: the JSON text of an object.
    pub(crate) fn locks_json(&self) -> String {
        self.client_lists_json(|service| self.names_of(service.locks.clients()))
    }

    fn client_lists_json(&self, clients: impl Fn(&Service) -> Vec<String>) -> String {
        json_object(&self.service_names, |id| {
            serde_json::Value::from(clients(&self.services[id])).to_string()
        })
    }
}

/// A peer that is connected, and the user that it logged in as.
#[derive(Debug)]
pub(crate) struct PeerSession {
    kind: &'static str,
    name: Arc<str>,
    user: Option<User>,
}

/// The peers that are connected, by kind and name: the JSON text of an array. It needs no lock on the registry.
pub(crate) fn sessions_json(mut sessions: Vec<PeerSession>) -> String {
    sessions.sort_unstable_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    let sessions = sessions.iter().map(|PeerSession { kind, name, user }| {
        json!({
            "type": kind,
            "name": &**name,
            "user": user.as_ref().map(|user| &*user.name),
            "is_admin": user.as_ref().is_some_and(|user| user.is_admin),
        })
    });
    sessions.collect::<Value>().to_string()
}

/// What anyone may ask of the manager, as the reference lists it. Both answer `unlink`, `acquire_lock` and `release_lock`
/// too, but clients compare this list literally.
const MANAGER_ATTRIBUTES: &str = r#"{"identity":"() -> dict","link":"(service: str) -> bool"}"#;

/// What `describe` says of each peer, by its name and in the order of the names.
fn json_object<T: AsRef<str>>(peers: &HashMap<Arc<str>, PeerId>, describe: impl Fn(PeerId) -> T) -> String {
    let mut peers: Vec<_> = peers.iter().collect();
    peers.sort_unstable();
    let mut text = String::from("{");
    for (index, (name, &id)) in peers.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&json_string(name));
        text.push(':');
        text.push_str(describe(id).as_ref());
    }
    text.push('}');
    text
}

/// A client as it stands in the manager's identity.
pub(super) fn describe_client(identity: &Identity, address: &str) -> String {
    format!(
        r#"{{"name":{},"address":{},"language":{},"os":{}}}"#,
        json_string(&identity.name),
        json_string(address),
        json_string(&identity.language),
        json_string(&identity.os),
    )
}

/// A service as it stands in the manager's identity, and as who links with it gets it.
pub(super) fn describe_service(
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
