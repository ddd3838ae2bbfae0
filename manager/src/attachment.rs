//! A peer that is served, with or without a socket.
//!
//! A session is an attachment and a connection. The simulation, the router's tests and the
//! benchmarks use attachments without a connection.

mod login;
mod session;

use std::sync::Arc;

use labwire_access::Access;
use labwire_tcp::WatchedSocket;
use labwire_wire::terminal::TerminalLine;
use labwire_wire::{Executed, Features, FrameView, LineTooLong, MANAGER_NAME, Role, Uid, frames};

use crate::admin::needed;
use crate::hub::Routing;
use crate::log_limit::LogLimit;
use crate::login_end::{Dismissal, LoginEnd};
use crate::outbox::Outbox;
use crate::principal::Introduced;
use crate::principal::Principal;
use crate::refusal::{Refusal, excerpt};
use crate::registry::{Event, PeerId};
use crate::router::{Call, Incoming, Kind, Permits, Router, Sender, Step};
use crate::sessions::OwnSession;

pub(crate) use login::{Decision, Login, Next};
pub(crate) use session::Returned;

/// The most requests of which each gets an error of its own when the login of their peer ends.
const MOST_TOLD: usize = 1_000;

/// A peer in the registry, with its queue and its login. Dropping it removes the peer from the
/// registry, so that every end of a connection does.
pub(crate) struct Attachment {
    routing: Arc<Routing>,
    id: PeerId,
    /// `NAME[HOST:PORT]`.
    name: String,
    is_service: bool,
    /// The features of a client; none for a service.
    features: Features,
    outbox: Arc<Outbox>,
    log_limit: Arc<LogLimit>,
    /// The login for administrators' requests.
    pub(crate) login: Login,
    /// Set if it is disconnected for a line over the limit. Then the callers of its requests
    /// receive that as the reason instead of its departure.
    sent_too_much: Option<LineTooLong>,
    /// Its session, with the feature `sessions`.
    pub(crate) session: Option<Box<OwnSession>>,
    /// Ends its connection if its login ends.
    pub(crate) dismissal: Arc<Dismissal>,
    /// Set if its place is kept elsewhere.
    is_parked: bool,
}

/// What becomes of an administrator's request.
#[derive(Debug)]
pub(crate) enum Administration {
    /// It is executed.
    Allowed,
    Refused(Refusal),
    /// It is executed once the peer has logged in as an administrator, which it may have.
    NeedsLogin,
}

impl Attachment {
    /// Registers a peer. `address` is its `HOST:PORT`; `socket` is that of its connection, if it
    /// has one.
    ///
    /// # Errors
    /// Those of [`Registry::join`](crate::registry::Registry::join).
    pub(crate) fn join(
        routing: &Arc<Routing>,
        introduced: &Introduced,
        address: &str,
        socket: Option<WatchedSocket>,
    ) -> Result<Self, Refusal> {
        let Introduced {
            identity,
            principal,
            came,
        } = introduced;
        let outbox = Outbox::of_peer(routing.limits.queue, &routing.queues, identity.features.binary);
        let is_service = matches!(identity.role, Role::Service { .. });
        let name = format!("{}[{address}]", identity.name);
        let dismissal = Arc::<Dismissal>::default();
        let (id, is_admin, log_limit, session) = {
            let mut registry = routing.registry();
            if let Some(end) = registry.end_of_login(principal, routing.present().seconds()) {
                return Err(end.into());
            }
            let principal = &registry.as_known(principal);
            if is_service {
                registry.permit_service(&identity.name, principal, routing.present())?;
            }
            let (id, mut event) = registry.join(identity, principal, address, &outbox, *came)?;
            registry.note_login(id, &dismissal);
            let now = routing.moment();
            let own = (id, now);
            let session = OwnSession::begin(
                (routing, &mut registry),
                own,
                introduced,
                &name,
                &outbox,
                is_service,
            );
            registry.place_reservations(id, now);
            routing.events.note_leases(&mut registry);
            if session.is_some()
                && let Event::Joined { told, .. } = &mut event
            {
                // It was told with the secret of its session.
                *told = None;
            }
            if let Some(socket) = socket {
                registry.set_socket(id, socket);
            }
            // Under the registry's lock, so that the peer receives this frame first.
            routing.events.publish(event, None);
            let client = registry.client(id);
            let log_limit = client.map(|client| Arc::clone(&client.log_limit));
            (
                id,
                principal.is_admin(),
                log_limit.unwrap_or_else(|| Arc::new(LogLimit::new())),
                session,
            )
        };
        Ok(Self {
            routing: Arc::clone(routing),
            id,
            name,
            is_service,
            features: if is_service {
                Features::default()
            } else {
                identity.features
            },
            outbox,
            log_limit,
            login: Login::new(is_admin),
            sent_too_much: None,
            session: session.map(Box::new),
            dismissal,
            is_parked: false,
        })
    }

    pub(crate) fn id(&self) -> PeerId {
        self.id
    }

    /// Returns the peer's name, `NAME[HOST:PORT]`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the peer is a service. Otherwise it is a client.
    pub(crate) fn is_service(&self) -> bool {
        self.is_service
    }

    /// Returns the queue of the frames for the peer.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns this peer as the sender of its lines.
    pub(crate) fn sender(&self) -> Sender<'_> {
        Sender {
            id: self.id,
            name: &self.name,
            outbox: &self.outbox,
            features: self.features,
            has_session: self.session.is_some(),
            log_limit: &self.log_limit,
        }
    }

    /// Returns a function that routes this peer's lines. It takes a message and its kind, and
    /// returns the next step and the work done. It holds the registry's lock until it is dropped.
    /// `permits` are those of the first line.
    pub(crate) fn router(&self, permits: Permits) -> impl FnMut(FrameView<'_>, &Kind) -> (Step, usize) {
        let from = self.sender();
        let mut router = self.routing.router();
        router.permits = permits;
        let is_service = self.is_service;
        move |frame, kind| {
            router.work = 1;
            let step = if is_service {
                router.route_from_service(&from, frame, kind)
            } else {
                router.route_from_client(&from, frame, kind)
            };
            router.permits.give_back();
            (step, router.work)
        }
    }

    /// Calls `act` with a router and this peer as the sender, for parts of a line that is cut
    /// through or discarded.
    pub(crate) fn with_router<T>(&self, act: impl FnOnce(&mut Router<'_>, &Sender<'_>) -> T) -> T {
        act(&mut self.routing.router(), &self.sender())
    }

    /// Asks the peer for a part of its login, with a request for `attribute`.
    pub(crate) fn ask(&self, attribute: &str, argument: &str) {
        let frame = frames::manager_request(attribute, &[argument], self.routing.name());
        self.outbox.push_always(|writer| writer.shared(&frame));
    }

    /// Returns whether the line answers the open question of a login.
    pub(crate) fn is_answer(&self, incoming: &Incoming) -> bool {
        let names_something = |meaning: &TerminalLine| match meaning {
            TerminalLine::Client { .. } => false,
            TerminalLine::Request { service, .. } => {
                service == MANAGER_NAME || self.routing.registry().has_service(service)
            }
            _ => true,
        };
        self.login.is_answer(incoming, names_something)
    }

    /// Decides about an administrator's request by the rules, if there are any. A peer that has
    /// logged in as a user may do what is granted to the user; any other may log in for it, as
    /// without rules.
    pub(crate) fn permit_administration(&self, call: &Call) -> Administration {
        let present = self.routing.present();
        let mut registry = self.routing.registry();
        let has_policy = registry.has_policy();
        let principal = registry.principal(self.id);
        let has_user = principal.is_some_and(|principal| principal.user().is_some());
        let has_token = principal.is_some_and(|principal| principal.token().is_some());
        if !has_policy && !has_token {
            return Administration::NeedsLogin;
        }
        let mut refusal = None;
        for (action, object) in needed(call).unwrap_or_default() {
            match registry.permit(self.id, &Access::to(action, object), present) {
                Ok(()) if has_policy => return Administration::Allowed,
                // By the token; without rules, the user must be an administrator.
                Ok(()) => return Administration::NeedsLogin,
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        if !has_user {
            return Administration::NeedsLogin;
        }
        let unknown = || Refusal::NoSuchAttribute(excerpt(&call.attribute).to_owned());
        Administration::Refused(refusal.unwrap_or_else(unknown))
    }

    /// Checks whether a peer that has logged in as an administrator may send a request: whether it is still
    /// logged in as one, and whether its token allows the request.
    pub(crate) fn permit_after_login(&self, call: &Call) -> Result<(), Refusal> {
        self.expect_no_end()?;
        let principal = self.routing.registry().principal_of(self.id);
        let is_admin = principal.as_ref().is_some_and(|principal| principal.is_admin());
        if !is_admin {
            return Err(Refusal::NotAdministrator);
        }
        if principal.is_none_or(|principal| principal.token().is_none()) {
            return Ok(());
        }
        match self.permit_administration(call) {
            Administration::Refused(refusal) => Err(refusal),
            Administration::Allowed | Administration::NeedsLogin => Ok(()),
        }
    }

    /// Refuses a request of a peer whose login has ended, and whose connection ends in a moment.
    pub(crate) fn expect_no_end(&self) -> Result<(), Refusal> {
        let executed = Executed::No;
        self.dismissal
            .end()
            .map_or(Ok(()), |end| Err(Refusal::LoginEnded { end, executed }))
    }

    /// Notes if the user of a peer that had logged in as an administrator is none any more.
    pub(crate) fn follow_demotion(&mut self) {
        let is_admin = self
            .routing
            .registry()
            .principal(self.id)
            .is_some_and(Principal::is_admin);
        if !is_admin {
            self.login.end_administration();
        }
    }

    /// Replaces the principal of a client that has logged in.
    pub(crate) fn set_principal(&self, principal: Principal) {
        let routing = &self.routing;
        let mut registry = routing.registry();
        let before = registry.principal_of(self.id);
        let principal = registry.as_known(&Arc::new(principal));
        let changed = registry.set_principal(self.id, principal);
        registry.note_further_login(self.id, &self.dismissal, before);
        registry.check_again(self.id);
        let principal = registry.principal(self.id);
        let now = routing.present().seconds();
        if let Some(end) = principal.and_then(|principal| registry.end_of_login(principal, now)) {
            self.dismissal.give(end);
        }
        if let Some(event) = changed {
            routing.events.publish(event, None);
        }
        if registry.has_rules() {
            routing.events.topics.set_eyes(self.id, registry.eyes(self.id));
        }
    }

    /// Returns whether the place of a peer whose connection breaks is to be kept: not that of a service
    /// that may not be one any more.
    pub(crate) fn may_return(&self) -> bool {
        let present = self.routing.present();
        self.routing.registry().may_return(self.id, present)
    }

    /// Tells the peer that its login has ended: as the outcome of its first requests that have none yet, and
    /// for the others in one frame with an empty uid. Without any, it is told in a frame of its own if it
    /// expects such. A client of MSL-Network takes an error that it did not ask for as the answer to a request,
    /// and fails without one.
    pub(crate) fn tell_dismissed(&self, end: LoginEnd) {
        let from = self.sender();
        let open = self.routing.registry().open_requests(self.id, MOST_TOLD);
        let of = |executed| Refusal::LoginEnded { end, executed };
        for (uid, executed) in &open.first {
            from.refuse(uid, &of(*executed));
        }
        if open.are_more {
            from.refuse(&Uid::EMPTY, &of(Executed::Maybe));
        } else if self.is_service || open.first.is_empty() && self.features != Features::default() {
            from.refuse(&Uid::EMPTY, &end.into());
        }
    }

    /// Notes that the peer is disconnected for a line over the limit, as the reason for the callers
    /// of its requests.
    pub(crate) fn note_too_long(&mut self, error: LineTooLong) {
        self.sent_too_much = Some(error);
    }

    /// Removes the peer from the registry, unless that was done before, and closes its queue.
    /// Returns the number of requests that it held as a service.
    pub(crate) fn leave(&mut self) -> usize {
        if let Some(session) = self.session.take() {
            self.routing.sessions.end(session.secret);
        }
        let abandoned = self.routing.leave(self.id, self.sent_too_much);
        self.outbox.close();
        abandoned
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.is_parked {
            return;
        }
        self.leave();
    }
}
