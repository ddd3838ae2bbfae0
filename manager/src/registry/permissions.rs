//! Checks what peers may do, in a manager with rules. A manager without rules allows everything.
//!
//! Decisions depend on names only, and are made before anything is looked up: a refusal tells
//! nobody whether a service is connected.

use std::sync::Arc;

use foldhash::HashMap;
use labwire_access::{Access, Action, Coverage, Policy};
use labwire_wire::Text;

use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use super::view::{Eyes, View};
use crate::clock::Present;
use crate::principal::Principal;
use crate::refusal::{Refusal, excerpt};

/// The most services whose decisions are kept for one client. Beyond that, all are forgotten.
const MOST_KEPT: usize = 256;

/// The most users whose rights are kept. Beyond that, all are forgotten, and made again when they are
/// needed.
const MOST_VIEWS: usize = 4_096;

/// The rules about who may do what.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    /// Grows with each change.
    pub(super) version: u64,
    /// What each user may do, by the user's number; `None` for peers without a user.
    views: HashMap<Option<i64>, Arc<View>>,
    /// Until when ends of grants were noticed, in seconds since 1970.
    pub(super) noticed: i64,
}

impl Rules {
    /// Returns what peers with that principal may do.
    fn view(&mut self, principal: &Principal) -> Arc<View> {
        let user = principal.user_id();
        if let Some(view) = self.views.get(&user) {
            return Arc::clone(view);
        }
        if self.views.len() >= MOST_VIEWS {
            self.views.clear();
        }
        let view = Arc::new(View::new(self.policy.rights(user)));
        self.views.insert(user, Arc::clone(&view));
        view
    }
}

/// What a peer may do, as of one version of the rules.
#[derive(Debug)]
pub(super) struct PeerRights {
    version: u64,
    view: Arc<View>,
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
    fn current<'a>(
        place: &'a mut Option<Box<Self>>,
        rules: &mut Rules,
        principal: &Principal,
    ) -> &'a mut Self {
        if place.as_ref().is_none_or(|own| own.version != rules.version) {
            *place = None;
        }
        place.get_or_insert_with(|| {
            Box::new(Self {
                version: rules.version,
                view: rules.view(principal),
                calls: HashMap::default(),
                everything_at: PeerId::default(),
                notify: None,
            })
        })
    }

    /// Decides about a request to a service that is connected.
    fn may_call(&mut self, service: PeerId, access: &Access<'_>, present: Present<'_>) -> bool {
        if self.everything_at == service {
            return true;
        }
        if self.calls.len() >= MOST_KEPT && !self.calls.contains_key(&service) {
            self.calls.clear();
        }
        let rights = self.view.rights();
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
    /// The services that may be seen, and no client but itself.
    Some {
        view: Arc<View>,
        /// The peer's own name.
        own: Arc<str>,
        /// The present in seconds since 1970.
        now: i64,
    },
}

impl Sight {
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
            Self::Some { view, now, .. } => view.sees(name, *now),
        }
    }
}

/// Returns the refusal of an access that is not allowed.
#[cold]
pub(super) fn refusal(access: &Access<'_>, principal: &Principal) -> Refusal {
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
    pub(crate) fn set_policy(
        &mut self,
        policy: Policy,
        version: u64,
        present: Present<'_>,
    ) -> Option<Policy> {
        let is_newer = self.rules.as_ref().is_none_or(|rules| rules.version < version);
        if !is_newer {
            return Some(policy);
        }
        let before = self.rules.replace(Rules {
            policy,
            version,
            views: HashMap::default(),
            noticed: present.seconds(),
        });
        self.begin_revoking();
        before.map(|rules| rules.policy)
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
        let (Some(rules), Some(client)) = (&mut self.rules, self.clients.get_mut(id)) else {
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
            None => own.view.rights().allows(&access, present.seconds()),
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
        let Some(view) = self.view_of(peer) else {
            return Ok(());
        };
        // What is kept is bounded by the number of services, not by what clients make up.
        let is_allowed = if self.service_names.contains_key(access.object) {
            let until = view.until(access.action, access.object);
            until.includes(|| present.seconds())
        } else {
            view.rights().allows(access, present.seconds())
        };
        match self.principal(peer).filter(|_| !is_allowed) {
            Some(principal) => Err(refusal(access, principal)),
            None => Ok(()),
        }
    }

    /// Checks whether a connected service may emit notifications.
    pub(crate) fn permit_notification(&mut self, id: PeerId, present: Present<'_>) -> Result<(), Refusal> {
        let (Some(rules), Some(service)) = (&mut self.rules, self.services.get_mut(id)) else {
            return Ok(());
        };
        let access = Access::to(Action::Notify, &service.name);
        let own = PeerRights::current(&mut service.rights, rules, &service.principal);
        let rights = own.view.rights();
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
        &mut self,
        name: &str,
        principal: &Principal,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let Some(rules) = &mut self.rules else {
            return Ok(());
        };
        let access = Access::to(Action::Register, name);
        let view = rules.view(principal);
        if view.rights().allows(&access, present.seconds()) {
            Ok(())
        } else {
            Err(refusal(&access, principal))
        }
    }

    /// Returns whether a peer may still be what it is, when it returns.
    pub(crate) fn may_return(&mut self, id: PeerId, present: Present<'_>) -> bool {
        let Some(service) = self.services.get(id) else {
            return true;
        };
        let (name, principal) = (Arc::clone(&service.name), Arc::clone(&service.principal));
        self.permit_service(&name, &principal, present).is_ok()
    }

    /// Returns what a connected peer sees of the others. `None` if it takes long to decide: call it
    /// again in another step.
    pub(crate) fn sight(&mut self, peer: PeerId, present: Present<'_>) -> Option<Sight> {
        let name = self.clients.get(peer).map(|client| Arc::clone(&client.name));
        let view = self.view_of(peer);
        self.sight_by(view, name, present)
    }

    /// As [`sight`](Self::sight), for a peer with that principal that is not registered yet.
    pub(crate) fn sight_of_stranger(&mut self, principal: &Principal, present: Present<'_>) -> Option<Sight> {
        let view = self.rules.as_mut().map(|rules| rules.view(principal));
        self.sight_by(view, None, present)
    }

    fn sight_by(
        &self,
        view: Option<Arc<View>>,
        own: Option<Arc<str>>,
        present: Present<'_>,
    ) -> Option<Sight> {
        let Some(view) = view.filter(|view| !view.sees_all()) else {
            return Some(Sight::All);
        };
        let is_decided = view.decide_some(self.service_roster.names());
        is_decided.then(|| Sight::Some {
            view,
            own: own.unwrap_or_else(|| "".into()),
            now: present.seconds(),
        })
    }

    /// Returns what a subscriber to the manager's own topics may learn; `None` if that is everything.
    pub(crate) fn eyes(&mut self, peer: PeerId) -> Option<Eyes> {
        let view = self.view_of(peer).filter(|view| !view.sees_all())?;
        let name = self.clients.get(peer).map(|client| Arc::clone(&client.name));
        let own = name.unwrap_or_else(|| self.full_name(peer).into());
        Some(Eyes { view, own })
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

    /// Returns what a connected peer may do; `None` without rules.
    pub(super) fn view_of(&mut self, peer: PeerId) -> Option<Arc<View>> {
        let rules = self.rules.as_mut()?;
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
        Some(Arc::clone(&current.view))
    }
}
