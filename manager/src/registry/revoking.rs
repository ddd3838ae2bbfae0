//! Ends what peers have and may have no longer, after the rules have changed or a grant has ended.
//!
//! The peers are checked one after another, in many steps. Requests are checked by the new rules from
//! the beginning.

use std::sync::Arc;

use labwire_access::{Access, Action, Until};

use super::event::{Event, LinkRevoked};
use super::moment::Moment;
use super::peers::PeerId;
use super::permissions::refusal;
use super::state::Registry;
use super::view::View;
use crate::clock::Present;
use crate::refusal::{LockCause, LockEnd, WaitEnd};
use crate::work::PERMISSIONS_PER_WORK;

/// What is still to be checked.
#[derive(Debug, Default)]
pub(super) struct Revoking {
    peers: Vec<PeerId>,
    /// What the client has that is being checked.
    parts: Option<(PeerId, Vec<Part>)>,
}

/// Something that a client has.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The link with a service, or the wait for its lock.
    Link(PeerId),
    /// The request with that number, which waits for approval.
    Approval(u64),
}

/// What was checked.
#[derive(Debug)]
pub(crate) enum Checked {
    /// A peer of which the links and subscriptions are to be checked.
    Peer {
        id: PeerId,
        /// What it may do.
        view: Arc<View>,
        /// What has ended: a service that may no longer be one, and locks that were reserved for it over a
        /// restart.
        events: Vec<Event<'static>>,
    },
    /// A link, and the lock that comes with it, or a request that waits for approval.
    Part {
        /// What has ended.
        events: Vec<Event<'static>>,
        /// The [work](crate::work) of deciding.
        work: usize,
    },
}

impl Registry {
    /// Lets all peers be checked.
    pub(super) fn begin_revoking(&mut self) {
        let clients = self.clients.iter().map(|(id, _)| id);
        let services = self.services.iter().map(|(id, _)| id);
        self.revoking = Revoking {
            peers: clients.chain(services).collect(),
            parts: None,
        };
    }

    /// Lets a peer be checked, if there are rules.
    pub(crate) fn check_again(&mut self, peer: PeerId) {
        if self.has_rules() {
            self.revoking.peers.push(peer);
        }
    }

    /// Lets all peers be checked if a grant has ended since they were checked before.
    pub(crate) fn notice_ends(&mut self, present: Present<'_>) {
        let Some(rules) = &mut self.rules else { return };
        let now = present.seconds();
        let next = rules
            .policy
            .as_ref()
            .and_then(|policy| policy.next_end(rules.noticed));
        let has_ended = next.is_some_and(|end| end <= now);
        rules.noticed = rules.noticed.max(now);
        if has_ended {
            self.begin_revoking();
        }
    }

    /// Checks the next peer, or the next of what a client has. Returns `None` if all are checked.
    pub(crate) fn check_next(&mut self, now: Moment, present: Present<'_>) -> Option<Checked> {
        if let Some((client, parts)) = &mut self.revoking.parts {
            let client = *client;
            match parts.pop() {
                Some(Part::Link(service)) => return Some(self.check_link(client, service, now, present)),
                Some(Part::Approval(number)) => {
                    let (ended, work) = self.check_approval(number, present);
                    let events = ended.into_iter().collect();
                    return Some(Checked::Part { events, work });
                }
                None => self.revoking.parts = None,
            }
        }
        loop {
            let id = self.revoking.peers.pop()?;
            // It may have left meanwhile.
            let Some(view) = self.view_of(id) else { continue };
            let mut events = self.check_reservations(id, &view, now, present);
            if let Some(client) = self.clients.get(id) {
                let mut services: Vec<_> = client.links.iter().copied().collect();
                services.extend(client.lock_waits.iter().map(|(service, _)| *service));
                services.sort_unstable();
                services.dedup();
                let links = services.into_iter().map(Part::Link);
                let approvals = self.approvals.numbers_of(id).map(Part::Approval);
                self.revoking.parts = Some((id, links.chain(approvals).collect()));
            }
            events.extend(self.check_service(id, &view, present));
            return Some(Checked::Peer { id, view, events });
        }
    }

    fn check_service(&self, id: PeerId, view: &View, present: Present<'_>) -> Option<Event<'static>> {
        let service = self.services.get(id)?;
        let access = Access::to(Action::Register, &service.name);
        if view.rights().allows(&access, present.seconds()) {
            return None;
        }
        Some(Event::ServiceRevoked {
            name: service.full_name.clone(),
            outbox: Arc::clone(&service.outbox),
            refusal: refusal(&access, &service.principal, present),
        })
    }

    /// Ends what was reserved for a client over a restart, and claimed, and is not permitted any more. There
    /// may be no link, and the service may not be connected.
    fn check_reservations(
        &mut self,
        client: PeerId,
        view: &View,
        now: Moment,
        present: Present<'_>,
    ) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        for (id, service) in self.reservations.claimed_by(client) {
            let is_missing = |action: &Action| !view.until(*action, &service).includes(|| present.seconds());
            let Some(missing) = [Action::Link, Action::Lock].into_iter().find(is_missing) else {
                continue;
            };
            let permission = Access::to(missing, &service).to_string().into();
            let end = LockEnd {
                at: now.time,
                cause: LockCause::NotPermitted { permission },
            };
            events.extend(self.end_claimed(id, end).map(|(_, event)| event));
        }
        events
    }

    fn check_link(&mut self, client: PeerId, id: PeerId, now: Moment, present: Present<'_>) -> Checked {
        let mut checked = (Vec::new(), 1);
        let (Some(view), Some(service)) = (self.view_of(client), self.services.get(id)) else {
            let (events, work) = checked;
            return Checked::Part { events, work };
        };
        let name = Arc::clone(&service.name);
        let has_lock = service.locks.contains(client);
        let missing = [Action::Link, Action::Lock].into_iter().find(|action| {
            let is_needed = *action == Action::Link || has_lock || self.awaits_lock(client, id);
            checked.1 += view.rights().comparisons(*action) / PERMISSIONS_PER_WORK;
            let until = if is_needed {
                view.until(*action, &name)
            } else {
                Until::Always
            };
            !until.includes(|| present.seconds())
        });
        if let Some(missing) = missing {
            let permission = Access::to(missing, &name).to_string().into();
            let end = LockEnd {
                at: now.time,
                cause: LockCause::NotPermitted { permission },
            };
            self.end_wait(client, id, &WaitEnd::Broken(end.clone()));
            if has_lock {
                checked.0.extend(self.end_lock(client, id, end));
            } else if missing == Action::Link {
                checked.0.extend(self.end_link(client, id));
            }
        }
        let (events, work) = checked;
        Checked::Part { events, work }
    }

    pub(super) fn awaits_lock(&self, client: PeerId, service: PeerId) -> bool {
        let client = self.clients.get(client);
        client.is_some_and(|client| client.lock_waits.iter().any(|(id, _)| *id == service))
    }

    /// Ends the link of a client that holds no lock.
    fn end_link(&mut self, client: PeerId, id: PeerId) -> Option<Event<'static>> {
        if !self.remove_link(client, id) {
            return None;
        }
        let (service, client) = (self.services.get(id)?, self.clients.get(client)?);
        Some(Event::LinkRevoked(LinkRevoked {
            client: Arc::clone(&client.name),
            service: Arc::clone(&service.name),
            principal: Arc::clone(&client.principal),
            links: service.links.len(),
            locks: service.locks.len(),
            told: client.features.unlinked.then(|| Arc::clone(&client.outbox)),
        }))
    }
}
