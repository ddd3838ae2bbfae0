//! Checks what peers may do, in a manager with rules. A manager without rules allows everything.
//!
//! Decisions depend on names only, and are made before anything is looked up: a refusal tells
//! nobody whether a service is connected.

use std::sync::Arc;

use foldhash::HashMap;
use labwire_access::{Access, Action, Coverage, Policy, Rights};
use labwire_wire::Text;

use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use crate::clock::Present;
use crate::principal::Principal;
use crate::refusal::{Refusal, excerpt};

/// The most services whose decisions are kept for one client. Beyond that, all are forgotten.
const MOST_KEPT: usize = 256;

/// The rules about who may do what.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    /// Grows with each change.
    pub(super) version: u64,
}

/// What a peer may do, as of one version of the rules.
#[derive(Debug, Default)]
pub(super) struct PeerRights {
    version: u64,
    pub(super) rights: Arc<Rights>,
    /// The decisions about requests to services, by service.
    calls: HashMap<PeerId, Coverage>,
    /// The last service of which every attribute is allowed.
    everything_at: PeerId,
    /// The decision about notifications, once a service has emitted one.
    notify: Option<Coverage>,
}

impl PeerRights {
    /// Returns the rights as of the present version.
    #[inline]
    pub(super) fn current<'a>(
        place: &'a mut Option<Box<Self>>,
        rules: &Rules,
        principal: &Principal,
    ) -> &'a mut Self {
        let rights = place.get_or_insert_default();
        if rights.version != rules.version {
            **rights = Self {
                version: rules.version,
                rights: rules.policy.rights(principal.user().map(|user| &**user)),
                ..Self::default()
            };
        }
        rights
    }

    /// Decides about a request to a service that is connected.
    fn may_call(&mut self, service: PeerId, access: &Access<'_>, present: Present<'_>) -> bool {
        if self.everything_at == service {
            return true;
        }
        if self.calls.len() >= MOST_KEPT && !self.calls.contains_key(&service) {
            self.calls.clear();
        }
        let rights = &self.rights;
        let coverage = self
            .calls
            .entry(service)
            .or_insert_with(|| rights.on(access.action, access.object));
        if matches!(coverage, Coverage::Everything) {
            self.everything_at = service;
            return true;
        }
        coverage.allows(access.attribute, || present.seconds())
    }
}

/// What a peer sees of the others.
#[derive(Debug)]
pub(crate) enum Sight {
    /// All peers.
    All,
    /// The services that the rights allow to see, and no client but itself.
    Some {
        rights: Arc<Rights>,
        /// The peer's own name.
        own: Box<str>,
        /// The present in seconds since 1970.
        now: i64,
    },
}

impl Sight {
    fn new(rights: &Arc<Rights>, own: &str, present: Present<'_>) -> Self {
        if rights.is_everywhere(Action::See) {
            return Self::All;
        }
        Self::Some {
            rights: Arc::clone(rights),
            own: own.into(),
            now: present.seconds(),
        }
    }

    /// Returns whether it includes a client, by its name `NAME[HOST:PORT]`.
    pub(super) fn has_client(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { own, .. } => **own == *name,
        }
    }

    /// Returns whether it includes a service, by its name.
    pub(super) fn has_service(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { rights, now, .. } => rights.allows(&Access::to(Action::See, name), *now),
        }
    }
}

/// Returns the refusal of an access that is not allowed.
#[cold]
fn refusal(access: &Access<'_>, principal: &Principal) -> Refusal {
    let access = Access {
        action: access.action,
        object: excerpt(access.object),
        attribute: excerpt(access.attribute),
    };
    Refusal::NotPermitted {
        permission: access.to_string(),
        user: principal.user().cloned(),
    }
}

impl Registry {
    /// Replaces the rules, unless newer ones are in use. Returns the rules that are not in use any
    /// more; dropping them takes a while if there are many.
    ///
    /// They apply from the next request of each peer on.
    pub(crate) fn set_policy(&mut self, policy: Policy, version: u64) -> Option<Policy> {
        let is_newer = self.rules.as_ref().is_none_or(|rules| rules.version < version);
        if !is_newer {
            return Some(policy);
        }
        self.rules
            .replace(Rules { policy, version })
            .map(|rules| rules.policy)
    }

    /// Returns whether there are rules.
    #[inline]
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// Checks whether a client may send a request to a service, connected or not.
    #[inline]
    pub(crate) fn permit_call(
        &mut self,
        id: PeerId,
        (service, attribute): (&Text<'_>, &Text<'_>),
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let (Some(rules), Some(client)) = (&self.rules, self.clients.get_mut(id)) else {
            return Ok(());
        };
        let Client {
            rights, principal, ..
        } = client;
        let own = PeerRights::current(rights, rules, principal);
        let access = Access::call(service.as_str(), attribute.as_str());
        let found = match self.services.get(client.asked_last) {
            // As in `ask`: hashing the name would take longer.
            Some(last) if *service == *last.name => Some(client.asked_last),
            _ => self.service_names.get(service.as_str()).copied(),
        };
        let is_allowed = match found {
            Some(found) => own.may_call(found, &access, present),
            None => own.rights.allows(&access, present.seconds()),
        };
        if is_allowed {
            Ok(())
        } else {
            Err(refusal(&access, &client.principal))
        }
    }

    /// Checks anything that a connected peer wants to do.
    pub(crate) fn permit(
        &mut self,
        peer: PeerId,
        access: &Access<'_>,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let Some((rights, principal)) = self.rights_of(peer) else {
            return Ok(());
        };
        if rights.allows(access, present.seconds()) {
            Ok(())
        } else {
            Err(refusal(access, principal))
        }
    }

    /// Checks whether a connected service may emit notifications.
    pub(crate) fn permit_notification(&mut self, id: PeerId, present: Present<'_>) -> Result<(), Refusal> {
        let (Some(rules), Some(service)) = (&self.rules, self.services.get_mut(id)) else {
            return Ok(());
        };
        let access = Access::to(Action::Notify, &service.name);
        let own = PeerRights::current(&mut service.rights, rules, &service.principal);
        let rights = &own.rights;
        let coverage = own
            .notify
            .get_or_insert_with(|| rights.on(access.action, access.object));
        if coverage.allows("", || present.seconds()) {
            Ok(())
        } else {
            Err(refusal(&access, &service.principal))
        }
    }

    /// Checks whether a peer with that principal may be the service of that name.
    pub(crate) fn permit_service(
        &self,
        name: &str,
        principal: &Principal,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let access = Access::to(Action::Register, name);
        let rights = rules.policy.rights(principal.user().map(|user| &**user));
        if rights.allows(&access, present.seconds()) {
            Ok(())
        } else {
            Err(refusal(&access, principal))
        }
    }

    /// Returns what a connected peer sees of the others.
    pub(crate) fn sight(&mut self, peer: PeerId, present: Present<'_>) -> Sight {
        let name = self.clients.get(peer).map(|client| Arc::clone(&client.name));
        match self.rights_of(peer) {
            None => Sight::All,
            Some((rights, _)) => Sight::new(rights, &name.unwrap_or_else(|| "".into()), present),
        }
    }

    /// Returns what a peer with that principal sees before it is registered.
    pub(crate) fn sight_of_stranger(&self, principal: &Principal, present: Present<'_>) -> Sight {
        match &self.rules {
            None => Sight::All,
            Some(rules) => {
                let rights = rules.policy.rights(principal.user().map(|user| &**user));
                Sight::new(&rights, "", present)
            }
        }
    }

    /// Returns whether a client has a link with a service, a lock on it, or waits for one.
    pub(crate) fn has_part_in(&self, client: PeerId, service: &str) -> bool {
        let Some(&id) = self.service_names.get(service) else {
            return false;
        };
        let has_link = self
            .services
            .get(id)
            .is_some_and(|service| service.links.contains_key(&client) || service.locks.contains(client));
        has_link
            || self
                .clients
                .get(client)
                .is_some_and(|client| client.lock_waits.iter().any(|(service, _)| *service == id))
    }

    /// Returns the rights of a connected peer and its principal; `None` without rules.
    fn rights_of(&mut self, peer: PeerId) -> Option<(&Arc<Rights>, &Principal)> {
        let rules = self.rules.as_ref()?;
        let (place, principal) = if let Some(Client {
            rights, principal, ..
        }) = self.clients.get_mut(peer)
        {
            (rights, principal)
        } else {
            let Service {
                rights, principal, ..
            } = self.services.get_mut(peer)?;
            (rights, principal)
        };
        let current = PeerRights::current(place, rules, principal);
        Some((&current.rights, principal))
    }
}
