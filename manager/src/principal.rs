//! The result of a handshake: a peer's principal and its identity.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_wire::Identity;

use crate::names::PeerAddress;

/// The result of authentication: how a peer has authenticated, and from where. It stays with the
/// peer while it is connected, and is replaced when a client logs in for an administrator's
/// request.
///
/// Permissions are to be checked against it where limits and locks are: when a request is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) proof: Proof,
    /// The origin of the peer's connection.
    pub(crate) from: Arc<PeerAddress>,
}

/// How a peer has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// No authentication: the peer is on the manager's own computer, or the manager is open to
    /// everyone.
    None,
    /// The peer's computer is a trusted host.
    Hostname,
    /// The peer knows the manager's password.
    Password,
    /// The peer has logged in as a user of the database.
    Login {
        user: Arc<str>,
        /// The number of the user, which no later user of the same name has.
        id: i64,
        /// Whether the user was an administrator at that time.
        is_admin: bool,
    },
}

impl Principal {
    /// Returns the user that the peer has logged in as, or `None` if it has not.
    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        match &self.proof {
            Proof::Login { user, .. } => Some(user),
            _ => None,
        }
    }

    /// Returns the number of the user that the peer has logged in as.
    pub(crate) fn user_id(&self) -> Option<i64> {
        match &self.proof {
            Proof::Login { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Returns whether the peer may send administrators' requests.
    pub(crate) fn is_admin(&self) -> bool {
        matches!(self.proof, Proof::Login { is_admin: true, .. })
    }

    /// Returns a peer of this computer without authentication.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing", feature = "lab"))]
    pub(crate) fn sample() -> Arc<Self> {
        Arc::new(Self {
            proof: Proof::None,
            from: Arc::new(PeerAddress::sample()),
        })
    }
}

/// A peer that has authenticated and identified itself.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) identity: Identity,
    pub(crate) principal: Arc<Principal>,
    /// When it connected.
    pub(crate) came: Timestamp,
}
