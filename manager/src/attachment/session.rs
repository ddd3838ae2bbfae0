//! The session of an attachment: its place is kept after a broken connection.

use std::sync::Arc;

use labwire_tcp::WatchedSocket;
use labwire_wire::{SessionBegun, SessionResumed};
use tracing::info;

use super::{Attachment, Login};
use crate::counters::Counters;
use crate::hub::Routing;
use crate::outbox::Outbox;
use crate::principal::Introduced;
use crate::refusal::{Refusal, SessionRefusal};
use crate::registry::{Moment, PeerId, Registry};
use crate::sessions::{Found, OwnSession, Parked, Secret, SecretHash};

impl OwnSession {
    /// Begins the session of a peer that has registered, and queues its first frame, `registered`.
    /// Returns `None` if the peer asks for none, or if the operating system provides no random bytes.
    pub(super) fn begin(
        (routing, registry): (&Routing, &mut Registry),
        (id, now): (PeerId, Moment),
        introduced: &Introduced,
        name: &str,
        outbox: &Outbox,
        is_service: bool,
    ) -> Option<Self> {
        let Introduced {
            identity, principal, ..
        } = introduced;
        let request = identity.session.as_ref()?;
        let secret = Secret::random()?;
        let limits = &routing.limits.sessions;
        let grace = limits.grace_for(request.grace);
        let claimed = registry.begin_session(id, identity, secret.hash(), grace, now);
        Counters::add(&routing.counters.reservations_claimed, claimed.len());
        let begun = SessionBegun {
            secret: secret.as_str().to_owned(),
            locks: claimed.iter().map(ToString::to_string).collect(),
            grace: grace.as_secs(),
            kept: limits.kept as u64,
        };
        let frame = begun.frame(name, outbox.told_features(), routing.name());
        outbox.begin_session(&frame, limits.kept, &routing.sessions.budget);
        if is_service {
            outbox.hold_requests();
        }
        let secret = secret.hash();
        Some(Self {
            secret,
            grace,
            superseded: routing.sessions.begin(secret, identity, principal, is_service),
            handled: 0,
            confirmed: 0,
        })
    }
}

impl Parked {
    /// Removes the peer from the registry and closes its queue.
    pub(crate) fn leave(self, routing: &Arc<Routing>) {
        routing.counters.count_undelivered(self.outbox.queued());
        drop(self.attach(routing, false));
    }

    fn attach(self, routing: &Arc<Routing>, is_admin: bool) -> Attachment {
        let Self {
            id,
            name,
            is_service,
            features,
            outbox,
            log_limit,
            session,
        } = self;
        Attachment {
            routing: Arc::clone(routing),
            id,
            name,
            is_service,
            features,
            outbox,
            log_limit,
            login: Login::new(is_admin),
            sent_too_much: None,
            session: Some(Box::new(session)),
            dismissal: Arc::default(),
            is_parked: false,
        }
    }
}

/// The outcome of the return of a peer.
pub(crate) enum Returned {
    /// It goes on.
    Resumed {
        attachment: Box<Attachment>,
        /// The frame that it must receive before everything that is queued for it.
        resumed: bytes::Bytes,
    },
    /// Its old connection was told to end. Try again soon.
    OldConnection,
}

impl Attachment {
    /// Keeps the place of the peer, whose connection is broken, until it returns or its grace period
    /// is over. `handled` is the position up to which its lines were handled. Without a session, or
    /// without a place for it, the peer leaves. Returns whether it is kept.
    pub(crate) fn park(mut self, handled: u64) -> bool {
        let routing = Arc::clone(&self.routing);
        let Some(mut session) = self.session.take() else {
            return false;
        };
        if routing.is_draining() {
            // It cannot return to this manager.
            routing.keep_locks(self.id);
            self.session = Some(session);
            return false;
        }
        let place = {
            let principal = routing.registry().principal_of(self.id);
            principal.and_then(|principal| routing.sessions.take_place(&principal))
        };
        let Some(place) = place else {
            Counters::count(&routing.counters.away_refused);
            self.session = Some(session);
            return false;
        };
        for call in self.login.give_up() {
            self.sender()
                .refuse(&call.uid, &SessionRefusal::LoginInterrupted.into());
        }
        if !routing.go_away(self.id, self.is_service, &self.outbox, session.grace) {
            routing.sessions.give_back(&place);
            self.session = Some(session);
            if !routing.is_draining() {
                Counters::count(&routing.counters.sessions_not_kept);
                if self.log_limit.allows(&self.name) {
                    info!(
                        "{} is not kept while it is away: a request for it could be lost, since more is queued for it than \
                         can be kept (--session-kept), or since it would owe too many late replies",
                        self.name
                    );
                }
            }
            return false;
        }
        session.handled = handled;
        let secret = session.secret;
        let parked = Box::new(Parked {
            id: self.id,
            name: std::mem::take(&mut self.name),
            is_service: self.is_service,
            features: self.features,
            outbox: Arc::clone(&self.outbox),
            log_limit: Arc::clone(&self.log_limit),
            session: *session,
        });
        self.is_parked = true;
        routing.sessions.park(parked.id, secret, parked, place);
        true
    }

    /// Returns whether a client that presents a secret has no session of this manager, but held locks
    /// before the restart that are kept for it. Then it is registered anew, and claims them.
    pub(crate) fn held_before(routing: &Routing, introduced: &Introduced, secret: &str) -> bool {
        let Introduced {
            identity, principal, ..
        } = introduced;
        let registry = routing.registry();
        registry.held_before(SecretHash::of(secret), identity, principal)
    }

    /// Lets a peer go on with its session.
    ///
    /// # Errors
    /// There is no such session, or it is another peer's.
    pub(crate) fn resume(
        routing: &Arc<Routing>,
        introduced: &Introduced,
        secret: &str,
        received: u64,
        socket: Option<WatchedSocket>,
    ) -> Result<Returned, Refusal> {
        let Introduced {
            identity, principal, ..
        } = introduced;
        let is_service = matches!(identity.role, labwire_wire::Role::Service { .. });
        let secret = SecretHash::of(secret);
        let found = routing.sessions.find(secret, identity, principal, is_service)?;
        let (mut parked, superseded) = match found {
            Found::Place(parked, superseded) => (parked, superseded),
            Found::OldConnection => return Ok(Returned::OldConnection),
        };
        let came_back = routing.come_back(parked.id, &parked.outbox, received, principal, socket);
        let (from, in_flight) = match came_back {
            Ok(came_back) => came_back,
            Err(refusal) => {
                // It has given its place up just now.
                if let Some(place) = routing.sessions.take_place(principal) {
                    routing.sessions.park(parked.id, secret, parked, place);
                } else {
                    parked.leave(routing);
                }
                return Err(refusal);
            }
        };
        parked.session.superseded = superseded;
        parked.session.confirmed = parked.session.handled;
        let resumed = SessionResumed {
            received: parked.session.handled,
            from,
            grace: parked.session.grace.as_secs(),
            kept: routing.limits.sessions.kept as u64,
            in_flight,
        };
        Counters::count(&routing.counters.resumed);
        let features = parked.outbox.told_features();
        let resumed = resumed.frame(&parked.name, features, routing.name());
        let is_admin = routing.registry().is_administrator(parked.id);
        let attachment = Box::new(parked.attach(routing, is_admin));
        let mut registry = routing.registry();
        registry.note_login(attachment.id, &attachment.dismissal);
        // It may have logged in as somebody who may do less, or with a token.
        registry.check_again(attachment.id);
        drop(registry);
        Ok(Returned::Resumed { attachment, resumed })
    }
}
