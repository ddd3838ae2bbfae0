//! Checks what peers may do, in a manager with rules. A manager without rules allows everything, except
//! what the token does not allow with which a peer has logged in.
//!
//! Decisions depend on names only, and are made before anything is looked up: a refusal tells
//! nobody whether a service is connected.

use std::sync::{Arc, LazyLock};

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

/// What a peer without a token may do in a manager without rules.
static EVERYTHING: LazyLock<Arc<Rights>> = LazyLock::new(|| Arc::new(Rights::everything()));

/// The rules about who may do what.
#[derive(Debug)]
pub(super) struct Rules {
    /// `None` if everybody may do everything that their token allows.
    pub(super) policy: Option<Policy>,
    /// Grows with each change.
    pub(super) version: u64,
}

impl Rules {
    fn rights(&self, principal: &Principal) -> Arc<Rights> {
        let user = principal.user().map(|user| &**user);
        within_token(
            self.policy
                .as_ref()
                .map_or_else(|| Arc::clone(&EVERYTHING), |policy| policy.rights(user)),
            principal,
        )
    }
}

/// Returns what both the rights and the token of a peer allow, if it has a token.
fn within_token(rights: Arc<Rights>, principal: &Principal) -> Arc<Rights> {
    match principal.token() {
        None => rights,
        Some(token) => Arc::new(rights.within(Arc::clone(&token.rights))),
    }
}

/// What a peer may do, as of one version of the rules.
#[derive(Debug, Default)]
pub(super) struct PeerRights {
    /// `None` if they were not computed yet.
    version: Option<u64>,
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
        if rights.version != Some(rules.version) {
            **rights = Self {
                version: Some(rules.version),
                rights: rules.rights(principal),
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
fn refusal(access: &Access<'_>, principal: &Principal, present: Present<'_>) -> Refusal {
    let token = principal.token();
    let by_token = token.filter(|token| !token.rights.allows(access, present.seconds()));
    let access = Access {
        action: access.action,
        object: excerpt(access.object),
        attribute: excerpt(access.attribute),
    };
    Refusal::NotPermitted {
        permission: access.to_string(),
        user: principal.user().cloned(),
        token: by_token.map(|token| token.id),
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
        let policy = Some(policy);
        self.rules.replace(Rules { policy, version })?.policy
    }

    /// Checks from now on what tokens allow, also in a manager without rules.
    pub(super) fn restrict_tokens(&mut self) {
        // Policies are numbered from 1.
        let (policy, version) = (None, 0);
        self.rules.get_or_insert(Rules { policy, version });
    }

    /// Returns whether there is anything to check.
    #[inline]
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// Returns whether users may do only what is granted to them.
    pub(crate) fn has_policy(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.policy.is_some())
    }

    /// Returns the rights of a peer that may not be connected yet; `None` if it may do everything.
    fn rights_of_principal(&self, principal: &Principal) -> Option<Arc<Rights>> {
        match &self.rules {
            Some(rules) => Some(rules.rights(principal)),
            None => principal
                .token()
                .map(|_| within_token(Arc::clone(&EVERYTHING), principal)),
        }
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
            Err(refusal(&access, &client.principal, present))
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
            Err(refusal(access, principal, present))
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
            Err(refusal(&access, &service.principal, present))
        }
    }

    /// Checks whether a peer with that principal may be the service of that name.
    pub(crate) fn permit_service(
        &self,
        name: &str,
        principal: &Principal,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let Some(rights) = self.rights_of_principal(principal) else {
            return Ok(());
        };
        let access = Access::to(Action::Register, name);
        if rights.allows(&access, present.seconds()) {
            Ok(())
        } else {
            Err(refusal(&access, principal, present))
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
        match self.rights_of_principal(principal) {
            None => Sight::All,
            Some(rights) => Sight::new(&rights, "", present),
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
