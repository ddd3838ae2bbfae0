//! Sessions: the peers that can return after a broken connection.
//!
//! Each is found by the hash of its secret. While it is away, its
//! [`Attachment`](crate::attachment::Attachment) waits here as [`Parked`]. This table has a lock of its own; no other lock is taken under it.

mod limits;
mod parked;
mod places;
mod secret;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use labwire_wire::Identity;
use tokio::sync::Notify;

use crate::outbox::SessionBudget;
use crate::principal::Principal;
use crate::refusal::SessionRefusal;
use crate::registry::PeerId;

pub use limits::SessionLimits;
pub(crate) use parked::{OwnSession, Parked};
pub(crate) use secret::{Secret, SecretHash};

use places::{AwayPlaces, Origin};

/// The sessions of all peers.
#[derive(Debug)]
pub(crate) struct Sessions {
    state: Mutex<State>,
    pub(crate) budget: Arc<SessionBudget>,
}

#[derive(Debug)]
struct State {
    by_secret: HashMap<SecretHash, Entry>,
    /// The sessions of peers that are away.
    away: HashMap<PeerId, SecretHash>,
    places: AwayPlaces,
    /// Set once the manager stops: then no peer can be away.
    is_closed: bool,
}

/// A session.
#[derive(Debug)]
struct Entry {
    /// The name that the peer gave itself.
    name: Box<str>,
    is_service: bool,
    /// The user that it has logged in as in its handshake.
    user: Option<Arc<str>>,
    place: Place,
}

/// Where the peer of a session is.
#[derive(Debug)]
enum Place {
    /// It is connected. Notifying ends the connection, for a peer that has returned before the end
    /// of its old connection was noticed.
    Connected(Arc<Notify>),
    /// It is away.
    Away { parked: Box<Parked>, origin: Origin },
    /// It is returning.
    Returning,
}

/// What a returning peer finds.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its place, which is its own again. The notification is that of its next end.
    Place(Box<Parked>, Arc<Notify>),
    /// Its old connection, which has been told to end. Look again soon.
    OldConnection,
}

impl Sessions {
    /// Creates an empty table for this many peers that are away.
    pub(crate) fn new(away: usize, budget: usize) -> Self {
        Self {
            state: Mutex::new(State {
                by_secret: HashMap::default(),
                away: HashMap::default(),
                places: AwayPlaces::new(away),
                is_closed: false,
            }),
            budget: Arc::new(SessionBudget::new(budget)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the session of a peer that has registered. Returns the notification that its connection
    /// is to end because the peer is back on another one.
    pub(crate) fn begin(
        &self,
        secret: SecretHash,
        identity: &Identity,
        principal: &Principal,
        is_service: bool,
    ) -> Arc<Notify> {
        let superseded = Arc::<Notify>::default();
        self.state().by_secret.insert(
            secret,
            Entry {
                name: identity.name.as_str().into(),
                is_service,
                user: principal.user().cloned(),
                place: Place::Connected(Arc::clone(&superseded)),
            },
        );
        superseded
    }

    /// Removes the session of a peer that leaves for good.
    pub(crate) fn end(&self, secret: SecretHash) {
        self.state().by_secret.remove(&secret);
    }

    /// Takes a place for a peer whose connection is broken. Returns `None` if there is none; then it
    /// must leave.
    pub(crate) fn take_place(&self, principal: &Principal) -> Option<AwayPlace> {
        let origin = Origin::of(principal);
        let mut state = self.state();
        (!state.is_closed && state.places.take(&origin)).then_some(AwayPlace(origin))
    }

    /// Gives a place back that is not used.
    pub(crate) fn give_back(&self, AwayPlace(origin): &AwayPlace) {
        self.state().places.give_back(origin);
    }

    /// Keeps a peer that is away.
    pub(crate) fn park(
        &self,
        peer: PeerId,
        secret: SecretHash,
        parked: Box<Parked>,
        AwayPlace(origin): AwayPlace,
    ) {
        let mut state = self.state();
        state.away.insert(peer, secret);
        if let Some(entry) = state.by_secret.get_mut(&secret) {
            entry.place = Place::Away { parked, origin };
        }
    }

    /// Finds the session of a peer that returns, and takes its place if it is away.
    ///
    /// # Errors
    /// There is no such session, or it is that of a peer with another name, type or user. Then it
    /// stays.
    pub(crate) fn find(
        &self,
        secret: SecretHash,
        identity: &Identity,
        principal: &Principal,
        is_service: bool,
    ) -> Result<Found, SessionRefusal> {
        let mut state = self.state();
        let State {
            by_secret,
            away,
            places,
            ..
        } = &mut *state;
        let entry = by_secret.get_mut(&secret).ok_or(SessionRefusal::Unknown)?;
        if *entry.name != *identity.name || entry.is_service != is_service {
            return Err(SessionRefusal::OtherPeer);
        }
        if entry.user.as_ref() != principal.user() {
            return Err(SessionRefusal::OtherUser);
        }
        match std::mem::replace(&mut entry.place, Place::Returning) {
            Place::Connected(superseded) => {
                superseded.notify_one();
                entry.place = Place::Connected(superseded);
                Ok(Found::OldConnection)
            }
            Place::Returning => Ok(Found::OldConnection),
            Place::Away { parked, origin } => {
                places.give_back(&origin);
                away.remove(&parked.id);
                let superseded = Arc::<Notify>::default();
                entry.place = Place::Connected(Arc::clone(&superseded));
                Ok(Found::Place(parked, superseded))
            }
        }
    }

    /// Removes the session of a peer that has been away too long. Returns its place.
    pub(crate) fn expire(&self, peer: PeerId) -> Option<Box<Parked>> {
        let mut state = self.state();
        let secret = state.away.remove(&peer)?;
        let entry = state.by_secret.remove(&secret)?;
        match entry.place {
            Place::Away { parked, origin } => {
                state.places.give_back(&origin);
                Some(parked)
            }
            Place::Connected(_) | Place::Returning => None,
        }
    }

    /// Removes the sessions of all peers that are away, since the manager stops. Returns their places in
    /// the order in which the peers joined.
    pub(crate) fn close(&self) -> Vec<Parked> {
        let mut peers: Vec<_> = {
            let mut state = self.state();
            state.is_closed = true;
            state.away.keys().copied().collect()
        };
        peers.sort_unstable();
        let parked = peers.into_iter().filter_map(|peer| self.expire(peer));
        parked.map(|parked| *parked).collect()
    }

    /// Returns the numbers of sessions, and of peers that are away.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        let state = self.state();
        [state.by_secret.len(), state.places.taken()]
    }
}

/// A place for a peer that is away.
#[derive(Debug)]
pub(crate) struct AwayPlace(Origin);
