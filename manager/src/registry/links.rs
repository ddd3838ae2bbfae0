//! Links and locks.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::event::{Event, LinkChange};
use super::manager::Listing;
use super::peers::PeerId;
use super::state::Registry;
use crate::refusal::{Refusal, excerpt};

impl Registry {
    /// Returns the event for a change of a client's link with a service, or of its lock on it. `id`
    /// is the service's; `None` if it has left.
    fn link_changed<'a>(
        &self,
        change: LinkChange,
        client: PeerId,
        name: &'a str,
        id: Option<PeerId>,
    ) -> Event<'a> {
        let service = id.and_then(|id| self.services.get(id));
        let client = self.clients.get(client);
        Event::LinkChanged {
            change,
            service: name,
            client: client.map_or_else(|| "".into(), |client| Arc::clone(&client.name)),
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
            return Ok((
                description,
                self.link_changed(LinkChange::Linked, client, name, Some(id)),
            ));
        }
        Err(Refusal::CannotLink {
            service: excerpt(name).to_owned(),
            client: self.client_name(client),
        })
    }

    /// Gives a client a lock on a service, acquired at `now`. Returns the list of the linked
    /// clients.
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
            service
                .locks
                .insert(client, &holder.name, holder.name_entry(), now);
        }
        let event = self.link_changed(LinkChange::Locked, client, name, Some(id));
        Ok((Listing::LinkedWith(id), event))
    }

    /// Releases a client's lock, if it has one. Returns the list of the clients that still hold
    /// one.
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
        let event = self.link_changed(LinkChange::Released, client, name, Some(id));
        Ok((Listing::Locking(id), event))
    }

    /// Ends a client's link and its lock. A service that has left counts as unlinked.
    pub(crate) fn unlink<'a>(&mut self, client: PeerId, name: &'a str) -> Result<Event<'a>, Refusal> {
        let Some(&id) = self.service_names.get(name) else {
            return Ok(self.link_changed(LinkChange::Unlinked, client, name, None));
        };
        if let Some(service) = self.services.get_mut(id)
            && let Some(client_state) = self.clients.get_mut(client)
            && client_state.links.remove(&id)
        {
            service.unlink(client, &client_state.name);
            return Ok(self.link_changed(LinkChange::Unlinked, client, name, Some(id)));
        }
        Err(Refusal::NotLinked {
            service: name.to_owned(),
            client: self.client_name(client),
        })
    }
}
