//! Predicts the lists: the manager's identity, the links, the locks and the counts of peers.

use std::collections::BTreeMap;

use serde_json::json;

use super::model::Model;
use super::state::Key;

impl Model {
    /// Returns the services, or else the clients, by name.
    pub(super) fn named(&self, services: bool) -> BTreeMap<String, Key> {
        let peers = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_service() == services);
        peers
            .map(|(key, peer)| {
                let name = if services {
                    peer.identity.name.clone()
                } else {
                    peer.full_name()
                };
                (name, *key)
            })
            .collect()
    }

    pub(super) fn object(members: &BTreeMap<String, Key>, value: impl Fn(Key) -> String) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(name, key)| format!("{}:{}", json!(name), value(*key)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    pub(super) fn identity(&self) -> String {
        let describe = |key| self.peers[&key].description();
        format!(
            r#"{{"hostname":"h","port":1875,"attributes":{},"language":"Rust","os":"Linux","clients":{},"services":{}}}"#,
            r#"{"identity":"() -> dict","link":"(service: str) -> bool"}"#,
            Self::object(&self.named(false), describe),
            Self::object(&self.named(true), describe),
        )
    }

    /// Returns the lists of links and of locks of all services, as JSON texts.
    pub(super) fn links_and_locks(&self) -> (String, String) {
        let services = self.named(true);
        let links = |key| json!(self.names(&self.linked(key))).to_string();
        let locks = |key| json!(self.holders(key)).to_string();
        (Self::object(&services, links), Self::object(&services, locks))
    }

    /// Returns the numbers of clients and services.
    pub(super) fn counts(&self) -> (usize, usize) {
        let services = self.peers.values().filter(|peer| peer.is_service()).count();
        (self.peers.len() - services, services)
    }
}
