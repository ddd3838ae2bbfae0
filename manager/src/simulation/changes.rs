//! Predicts changes of links and locks, and their refusals.

use serde_json::json;

use super::model::Model;
use super::speech::Asked;
use super::state::{Key, Predicted};
use crate::refusal::{LinkedClients, Refusal, WaitEnd};

impl Model {
    pub(super) fn ask(&mut self, from: Key, asked: Asked, service: &str, uid: &str) -> Predicted {
        let changed = self.change(from, asked, service, uid);
        // What the change means for others, and for the client's own waiting request, comes first.
        self.settle();
        match changed {
            Ok(Some(result)) => self.answer(from, uid, &result),
            Ok(None) => {}
            Err(refusal) => self.refuse(from, uid, &refusal),
        }
        Predicted::Next
    }

    /// Returns the answer, unless it follows later.
    fn change(&mut self, from: Key, asked: Asked, name: &str, uid: &str) -> Result<Option<String>, Refusal> {
        let (service, client) = (name.to_owned(), self.peers[&from].full_name());
        let Some(key) = self.service_named(name) else {
            if matches!(asked, Asked::Unlink | Asked::Release) {
                self.release_reserved(from, Some(name));
            }
            return match asked {
                Asked::Link => Err(Refusal::CannotLink { service, client }),
                Asked::Unlink => Ok(Some("true".to_owned())),
                Asked::Lock { .. } | Asked::Renew { .. } => Err(Refusal::CannotLock { service, client }),
                Asked::Release => Err(Refusal::CannotRelease { service, client }),
            };
        };
        let pair = (key, from);
        match asked {
            Asked::Link => self.link(from, key).map(Some),
            Asked::Unlink => {
                let waited = self.end_wait(key, from, WaitEnd::Unlinked);
                let had_ended = self.ended_locks.remove(&pair).is_some();
                self.locks.remove(&pair);
                let had_reserved = self.release_reserved(from, Some(name));
                if self.end_link(key, from) || had_ended || waited || had_reserved {
                    return Ok(Some("true".to_owned()));
                }
                Err(Refusal::NotLinked { service, client })
            }
            Asked::Lock {
                shared,
                ttl,
                reason,
                wait,
            } => self.acquire(from, key, (shared, ttl, reason), wait, uid),
            Asked::Renew { ttl } => self.renew(from, key, ttl).map(Some),
            Asked::Release => {
                self.locks.remove(&pair);
                self.release_reserved(from, Some(name));
                self.ended_locks.remove(&pair);
                self.end_wait(key, from, WaitEnd::Released);
                // The list is read after the locks that are granted because of this.
                self.settle();
                Ok(Some(json!(self.holders(key)).to_string()))
            }
        }
    }

    fn link(&mut self, from: Key, key: Key) -> Result<String, Refusal> {
        let linked = self.linked(key);
        if !linked.contains(&from) {
            let service = self.peers[&key].identity.name.clone();
            let has_reserved = self.has_reserved(key, from);
            if let Some(held) = self.held(key, from).filter(|_| !has_reserved) {
                return Err(Refusal::Locked { service, held });
            }
            if let Some(refusal) = self.lock_awaited(key, from).filter(|_| !has_reserved) {
                return Err(refusal);
            }
            let limit = self.peers[&key].max_clients();
            if limit.is_some_and(|limit| linked.len() as u64 >= limit) {
                let names = self.names(&linked);
                let linked = LinkedClients::new(&names, names.len());
                return Err(Refusal::Limit { service, linked });
            }
        }
        self.links.insert((key, from));
        self.ended_locks.remove(&(key, from));
        Ok(self.peers[&key].description())
    }
}
