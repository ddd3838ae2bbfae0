//! The result of a handshake: who a peer is, and what it says of itself.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_wire::Identity;

use crate::names::PeerAddress;

/// Who a peer is, how it has proved that, and from where. It stays with the peer for as long as it is connected, and is
/// replaced when a client logs in for an administrator's request.
///
/// Rules are to be checked against it where limits and locks are: when a request is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) proof: Proof,
    /// Where the peer's connection comes from.
    pub(crate) from: Arc<PeerAddress>,
}

/// How a peer has authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing was asked: the peer is on the manager's own computer, or the manager is open to everyone.
    None,
    /// The peer's computer is a trusted host.
    Hostname,
    /// The peer knows the manager's password.
    Password,
    /// The peer has logged in as a user of the database.
    Login {
        user: Arc<str>,
        /// Whether the user was an administrator at that time.
        is_admin: bool,
    },
}

impl Principal {
    /// The user that the peer has logged in as; `None` when it has not.
    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        match &self.proof {
            Proof::Login { user, .. } => Some(user),
            _ => None,
        }
    }

    /// Whether the peer may do what administrators may.
    pub(crate) fn is_admin(&self) -> bool {
        matches!(self.proof, Proof::Login { is_admin: true, .. })
    }

    /// A peer of this computer of which nothing was asked.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing"))]
    pub(crate) fn sample() -> Arc<Self> {
        Arc::new(Self {
            proof: Proof::None,
            from: Arc::new(PeerAddress::sample()),
        })
    }
}

/// A peer that has said who it is, and may be who it says.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) identity: Identity,
    pub(crate) principal: Arc<Principal>,
    /// When it came.
    pub(crate) came: Timestamp,
}
