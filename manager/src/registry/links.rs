//! Links.

use std::sync::Arc;

use super::event::{Event, LinkChange};
use super::peers::PeerId;
use super::state::Registry;
use crate::refusal::{LockRefusal, Refusal, WaitEnd, excerpt};
use bytes::Bytes;

impl Registry {
    /// Returns the event for a change of a client's link with a service, or of its lock on it. `id`
    /// is the service's; `None` if it has left. `is_change` is whether anything is other than before.
    pub(super) fn link_changed<'a>(
        &self,
        change: LinkChange,
        is_change: bool,
        client: PeerId,
        name: &'a str,
        id: Option<PeerId>,
    ) -> Event<'a> {
        let service = id.and_then(|id| self.services.get(id));
        let lock = service.and_then(|service| service.locks.get(client));
        let client = self.clients.get(client);
        let is_granted = matches!(change, LinkChange::Locked | LinkChange::LinkedAndLocked);
        Event::LinkChanged {
            change,
            is_change,
            service: name,
            client: client.map_or_else(|| "".into(), |client| Arc::clone(&client.name)),
            principal: client.map(|client| Arc::clone(&client.principal)),
            terms: lock.filter(|_| is_granted).map(|lock| lock.terms.clone()),
            links: service.map_or(0, |service| service.links.len()),
            locks: service.map_or(0, |service| service.locks.len()),
        }
    }

    /// Links a client with a service. Returns the service's identity.
    pub(crate) fn link<'a>(&mut self, client: PeerId, name: &'a str) -> Result<(Bytes, Event<'a>), Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Err(Refusal::CannotLink {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        };
        let service = &self.services[id];
        let was_linked = service.links.contains_key(&client);
        if !was_linked {
            // Others have a lock only if this client shares it, whose own is kept for it.
            let has_lock = service.locks.contains(client);
            if let Some(held) = service.held(client).filter(|_| !has_lock) {
                return Err(Refusal::Locked {
                    service: name.to_owned(),
                    held,
                });
            }
            let waiting = service.lock_queue.first_before(client, true);
            if let Some(waiting) = waiting.filter(|_| !has_lock) {
                return Err(LockRefusal::Awaited {
                    service: name.to_owned(),
                    waiting,
                    position: service.lock_queue.len() + 1,
                }
                .into());
            }
            if service.is_full() {
                return Err(Refusal::Limit {
                    service: name.to_owned(),
                    linked: service.linked_clients(),
                });
            }
        }
        let description = service.description.clone();
        if !self.add_link(client, id) {
            return Err(Refusal::CannotLink {
                service: excerpt(name).to_owned(),
                client: self.client_name(client),
            });
        }
        Ok((
            description,
            self.link_changed(LinkChange::Linked, !was_linked, client, name, Some(id)),
        ))
    }

    /// Links a client with a service, if it is not yet. Returns `false` if one of them has left.
    pub(super) fn add_link(&mut self, client: PeerId, id: PeerId) -> bool {
        self.forget_ended(client, id);
        let (Some(service), Some(client_state)) = (self.services.get_mut(id), self.clients.get_mut(client))
        else {
            return false;
        };
        if client_state.links.insert(id) {
            service.links.insert(client, Arc::clone(&client_state.outbox));
            let name = Arc::clone(&client_state.name);
            service.linked.insert(name, client_state.name_entry());
        }
        true
    }

    /// Ends a client's link, its lock, and its wait for one. A service that has left counts as
    /// unlinked.
    pub(crate) fn unlink<'a>(&mut self, client: PeerId, name: &'a str) -> Result<Event<'a>, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            self.release_reservation(client, name);
            return Ok(self.link_changed(LinkChange::Unlinked, false, client, name, None));
        };
        let waited = self.end_wait(client, id, &WaitEnd::Unlinked);
        // A link that ended with its lock counts as unlinked, too.
        let had_ended = self.forget_ended(client, id);
        let had_lock = self.remove_lock(client, id);
        let is_unlinked = self.remove_link(client, id);
        if is_unlinked || had_ended || waited || had_lock {
            let change = if had_lock {
                LinkChange::UnlinkedAndReleased
            } else {
                LinkChange::Unlinked
            };
            return Ok(self.link_changed(change, is_unlinked, client, name, Some(id)));
        }
        Err(Refusal::NotLinked {
            service: name.to_owned(),
            client: self.client_name(client),
        })
    }

    /// Removes the link of a client that holds no lock. Returns `false` if it has none.
    pub(super) fn remove_link(&mut self, client: PeerId, id: PeerId) -> bool {
        let (Some(service), Some(client_state)) = (self.services.get_mut(id), self.clients.get_mut(client))
        else {
            return false;
        };
        if !client_state.links.remove(&id) {
            return false;
        }
        service.unlink(client, &client_state.name);
        self.touch(id);
        true
    }
}
