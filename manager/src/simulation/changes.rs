//! Predicts changes of links and locks, and their refusals.

use serde_json::json;

use super::model::Model;
use super::speech::Asked;
use super::state::{Key, Predicted};
use crate::refusal::{HeldLock, LinkedClients, Refusal};

impl Model {
    pub(super) fn ask(&mut self, from: Key, asked: Asked, service: &str, uid: &str) -> Predicted {
        match self.change(from, asked, service) {
            Ok(result) => self.answer(from, uid, &result),
            Err(refusal) => self.refuse(from, uid, &refusal),
        }
        Predicted::Next
    }

    pub(super) fn change(&mut self, from: Key, asked: Asked, name: &str) -> Result<String, Refusal> {
        let (service, client) = (name.to_owned(), self.peers[&from].full_name());
        let Some(key) = self.service_named(name) else {
            return match asked {
                Asked::Link => Err(Refusal::CannotLink { service, client }),
                Asked::Unlink => Ok("true".to_owned()),
                Asked::Lock { .. } => Err(Refusal::CannotLock { service, client }),
                Asked::Release => Err(Refusal::CannotRelease { service, client }),
            };
        };
        let linked = Self::with(&self.links, key);
        let is_linked = linked.contains(&from);
        match asked {
            Asked::Link => {
                if let (false, Some(held)) = (is_linked, self.held(key)) {
                    return Err(Refusal::Locked { service, held });
                }
                let limit = self.peers[&key].max_clients();
                if !is_linked && limit.is_some_and(|limit| linked.len() as u64 >= limit) {
                    let linked = self.names_with(&self.links, key);
                    let linked = LinkedClients::new(&linked, linked.len());
                    return Err(Refusal::Limit { service, linked });
                }
                self.links.insert((key, from));
                Ok(self.peers[&key].description())
            }
            Asked::Unlink if is_linked => {
                self.links.remove(&(key, from));
                self.locks.remove(&(key, from));
                self.locked_at.remove(&(key, from));
                Ok("true".to_owned())
            }
            Asked::Unlink => Err(Refusal::NotLinked { service, client }),
            Asked::Lock { .. } if !is_linked => Err(Refusal::LockWithoutLink { service, client }),
            Asked::Lock { shared } => {
                let linked = self.names_with(&self.links, key);
                if !shared && linked.len() > 1 {
                    return Err(Refusal::NotAlone {
                        service,
                        client,
                        linked: LinkedClients::new(&linked, linked.len()),
                    });
                }
                self.locks.insert((key, from));
                let now = self.now();
                self.locked_at.entry((key, from)).or_insert(now);
                Ok(json!(linked).to_string())
            }
            Asked::Release => {
                self.locks.remove(&(key, from));
                self.locked_at.remove(&(key, from));
                Ok(json!(self.names_with(&self.locks, key)).to_string())
            }
        }
    }

    /// Returns the lock on a service, named after the client that has held it longest; of several,
    /// the one that joined first.
    pub(super) fn held(&self, service: Key) -> Option<HeldLock> {
        let holders = Self::with(&self.locks, service);
        let longest = holders
            .iter()
            .min_by_key(|client| (self.locked_at[&(service, **client)], **client))?;
        Some(HeldLock {
            holder: self.peers[longest].full_name(),
            since: self.locked_at[&(service, *longest)],
            others: holders.len() - 1,
        })
    }
}
