//! Checks what peers may do, in a manager with rules. A manager without rules allows everything, except
//! what the token does not allow with which a peer has logged in.
//!
//! Decisions depend on names only, and are made before anything is looked up: a refusal tells
//! nobody whether a service is connected.

use std::sync::{Arc, LazyLock};

use foldhash::HashMap;
use labwire_access::{Access, Action, Coverage, Effect, Policy, Rights};
use labwire_wire::Text;

use super::allowed::AllowedCalls;
use super::peers::PeerId;
use super::state::{Client, Registry, Service};
use super::view::{Eyes, View};
use crate::clock::Present;
use crate::login_end::LoginEnd;
use crate::principal::Principal;
use crate::refusal::{Refusal, excerpt};

/// The most services whose decisions are kept for one client. Beyond that, all are forgotten.
const MOST_KEPT: usize = 256;

/// What a peer without a token may do in a manager without rules.
static EVERYTHING: LazyLock<Arc<Rights>> = LazyLock::new(|| Arc::new(Rights::everything()));

/// The most users whose rights are kept. Beyond that, all are forgotten, and made again when they are
/// needed.
const MOST_VIEWS: usize = 4_096;

/// The rules about who may do what.
#[derive(Debug)]
pub(super) struct Rules {
    /// `None` if everybody may do everything that their token allows.
    pub(super) policy: Option<Policy>,
    /// Grows with each change.
    pub(super) version: u64,
    /// What each user may do, by the user's number and that of a token; without a user's number for
    /// peers without a user.
    views: HashMap<(Option<i64>, Option<i64>), Arc<View>>,
    /// Until when ends of grants were noticed, in seconds since 1970.
    pub(super) noticed: i64,
}

impl Rules {
    fn new(policy: Option<Policy>, version: u64, noticed: i64) -> Self {
        Self {
            policy,
            version,
            views: HashMap::default(),
            noticed,
        }
    }

    /// Returns what peers with that principal may do.
    fn view(&mut self, principal: &Principal) -> Arc<View> {
        let key = (principal.user_id(), principal.token().map(|token| token.id));
        if let Some(view) = self.views.get(&key) {
            return Arc::clone(view);
        }
        if self.views.len() >= MOST_VIEWS {
            self.views.clear();
        }
        let rights = self.policy.as_ref();
        let rights = rights.map_or_else(|| Arc::clone(&EVERYTHING), |policy| policy.rights(key.0));
        let view = Arc::new(View::new(within_token(rights, principal)));
        self.views.insert(key, Arc::clone(&view));
        view
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
#[derive(Debug)]
pub(super) struct PeerRights {
    version: u64,
    pub(super) view: Arc<View>,
    /// The decisions about requests to services, by service.
    calls: HashMap<PeerId, Coverage>,
    /// Requests to the service that was asked last which need no decision.
    allowed: AllowedCalls,
    /// The decision about notifications, once a service has emitted one.
    notify: Option<Coverage>,
}

impl PeerRights {
    /// Returns the rights as of the present version.
    #[inline]
    pub(super) fn current<'a>(
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
                allowed: AllowedCalls::default(),
                notify: None,
            })
        })
    }

    /// Decides about a request to a service that is connected. Returns the number of patterns with which it was
    /// compared, at most, and the decision; `None`: it is refused.
    fn may_call(
        &mut self,
        service: PeerId,
        access: &Access<'_>,
        present: Present<'_>,
    ) -> (usize, Option<Effect>) {
        if self.calls.len() >= MOST_KEPT && !self.calls.contains_key(&service) {
            self.calls.clear();
        }
        let rights = self.view.rights();
        let mut comparisons = 0;
        let coverage = self.calls.entry(service).or_insert_with(|| {
            comparisons = rights.comparisons(access.action);
            rights.on(access.action, access.object)
        });
        if matches!(coverage, Coverage::Everything) {
            self.allowed.keep_everything(service);
            return (comparisons, Some(Effect::Allow));
        }
        comparisons += coverage.comparisons();
        // What is allowed at the end of time is allowed without an end.
        if coverage.allows(access.attribute, || i64::MAX) {
            self.allowed.keep(service, access.attribute.as_bytes());
            return (comparisons, Some(Effect::Allow));
        }
        (
            comparisons,
            coverage.effect(access.attribute, || present.seconds()),
        )
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
pub(super) fn refusal(access: &Access<'_>, principal: &Principal, present: Present<'_>) -> Refusal {
    let (token, now) = (principal.token(), present.seconds());
    // The peer is disconnected within about a second.
    if let Some(token) = token.filter(|token| token.has_ended(now)) {
        return LoginEnd::TokenEnded(token.id).into();
    }
    let by_token = token.filter(|token| token.rights.effect(access, now).is_none());
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
        let rules = Rules::new(Some(policy), version, present.seconds());
        let before = self.rules.replace(rules);
        self.begin_revoking();
        before?.policy
    }

    /// Checks from now on what tokens allow, also in a manager without rules.
    pub(super) fn restrict_tokens(&mut self) {
        // Policies are numbered from 1.
        self.rules.get_or_insert_with(|| Rules::new(None, 0, 0));
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

    /// Returns what a peer may do that may not be connected yet; `None` if it may do everything.
    fn view_of_principal(&mut self, principal: &Principal) -> Option<Arc<View>> {
        match &mut self.rules {
            Some(rules) => Some(rules.view(principal)),
            None => principal.token().map(|_| {
                let rights = within_token(Arc::clone(&EVERYTHING), principal);
                Arc::new(View::new(rights))
            }),
        }
    }

    /// Checks whether a client may send a request to a service, connected or not. Returns the number of patterns
    /// with which it was compared, at most, and whether somebody must approve it.
    #[inline]
    pub(crate) fn permit_call(
        &mut self,
        id: PeerId,
        (service, attribute): (&Text<'_>, &Text<'_>),
        present: Present<'_>,
    ) -> (usize, Result<Effect, Refusal>) {
        let (Some(rules), Some(client)) = (&self.rules, self.clients.get(id)) else {
            return (0, Ok(Effect::Allow));
        };
        // Most requests are to the service that was asked last.
        let last = client.asked_last;
        let asked_last = self.services.get(last).filter(|found| *service == *found.name);
        let own = client.rights.as_ref();
        let own = own.filter(|own| own.version == rules.version);
        let own = own.filter(|own| own.allowed.includes(last, attribute.as_bytes()));
        if asked_last.is_some() && own.is_some() {
            return (0, Ok(Effect::Allow));
        }
        let asked_last = asked_last.is_some().then_some(last);
        let access = Access::call(service.as_str(), attribute.as_str());
        self.decide_call(id, &access, asked_last, present)
    }

    /// Decides about a request to a service; `asked_last` is that service's number if it is known.
    #[inline(never)]
    fn decide_call(
        &mut self,
        id: PeerId,
        access: &Access<'_>,
        asked_last: Option<PeerId>,
        present: Present<'_>,
    ) -> (usize, Result<Effect, Refusal>) {
        let (Some(rules), Some(client)) = (&mut self.rules, self.clients.get_mut(id)) else {
            return (0, Ok(Effect::Allow));
        };
        let own = PeerRights::current(&mut client.rights, rules, &client.principal);
        // Hashing the name would take longer than to compare it with the last one's.
        let found = asked_last.or_else(|| self.service_names.get(access.object).copied());
        let (comparisons, effect) = if let Some(found) = found {
            own.may_call(found, access, present)
        } else {
            let rights = own.view.rights();
            let comparisons = rights.comparisons(access.action);
            (comparisons, rights.effect(access, present.seconds()))
        };
        let decided = effect.ok_or_else(|| refusal(access, &client.principal, present));
        (comparisons, decided)
    }

    /// Checks anything that a connected peer wants to do.
    pub(crate) fn permit(
        &mut self,
        peer: PeerId,
        access: &Access<'_>,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        self.permit_counted(peer, access, present).1
    }

    /// As [`permit`](Self::permit). Also returns the number of patterns with which the access is compared
    /// before it is refused.
    pub(crate) fn permit_counted(
        &mut self,
        peer: PeerId,
        access: &Access<'_>,
        present: Present<'_>,
    ) -> (usize, Result<(), Refusal>) {
        let Some(view) = self.view_of(peer) else {
            return (0, Ok(()));
        };
        let comparisons = view.rights().comparisons(access.action);
        // What is kept is bounded by the number of services, not by what clients make up.
        let is_allowed = if self.service_names.contains_key(access.object) {
            let until = view.until(access.action, access.object);
            until.includes(|| present.seconds())
        } else {
            view.rights().allows(access, present.seconds())
        };
        let decided = match self.principal(peer).filter(|_| !is_allowed) {
            Some(principal) => Err(refusal(access, principal, present)),
            None => Ok(()),
        };
        (comparisons, decided)
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
            Err(refusal(&access, &service.principal, present))
        }
    }

    /// Checks whether a peer with that principal may be the service of that name.
    pub(crate) fn permit_service(
        &mut self,
        name: &str,
        principal: &Principal,
        present: Present<'_>,
    ) -> Result<(), Refusal> {
        let Some(view) = self.view_of_principal(principal) else {
            return Ok(());
        };
        let access = Access::to(Action::Register, name);
        if view.rights().allows(&access, present.seconds()) {
            Ok(())
        } else {
            Err(refusal(&access, principal, present))
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
        let view = self.view_of_principal(principal);
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
        let view = self.view_of(peer).filter(|view| !view.learns_all())?;
        let name = self.clients.get(peer).map(|client| Arc::clone(&client.name));
        let own = name.unwrap_or_else(|| self.full_name(peer).into());
        Some(Eyes { view, own })
    }

    /// Returns whether a client has a link with a service, a lock on it, or waits for one.
    pub(crate) fn has_part_in(&self, client: PeerId, service: &str) -> bool {
        let Some(&id) = self.service_names.get(service) else {
            // A lock may be reserved for it until the service returns.
            return self.reservations.claimed(client, service).is_some();
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
