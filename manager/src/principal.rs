//! The result of a handshake: a peer's principal and its identity.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_access::Rights;
use labwire_store::{LoginOutcome, LoginToken, LoginUser, SecondFactor};
use labwire_wire::Identity;

use crate::certificates::PeerCertificate;
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
        /// The row of the user, which no later user of the same name has.
        row: LoginUser,
        /// Whether the user was an administrator at that time, and has been since.
        is_admin: bool,
        /// The token that it presented in the place of the password.
        token: Option<Arc<Token>>,
        /// What it presented behind the password; `None` if the user has no second factor.
        second_factor: Option<SecondFactor>,
        /// The certificate that it presented in the place of a password.
        certificate: Option<Arc<PeerCertificate>>,
    },
}

impl Proof {
    /// Returns the proof of a login that was checked.
    pub(crate) fn of_login(user: &str, outcome: LoginOutcome) -> Self {
        let LoginOutcome {
            is_admin,
            user: row,
            token,
            second_factor,
        } = outcome;
        let of = |LoginToken { id, may, until }| {
            let rights = Arc::new(Rights::of(&may, until));
            Arc::new(Token { id, until, rights })
        };
        Self::Login {
            user: user.into(),
            row,
            is_admin,
            token: token.map(of),
            second_factor,
            certificate: None,
        }
    }

    /// Returns the proof of a login with a certificate.
    pub(crate) fn of_certificate(
        user: &Arc<str>,
        outcome: &LoginOutcome,
        certificate: &Arc<PeerCertificate>,
    ) -> Self {
        Self::Login {
            user: Arc::clone(user),
            row: outcome.user,
            is_admin: outcome.is_admin,
            token: None,
            second_factor: None,
            certificate: Some(Arc::clone(certificate)),
        }
    }
}

/// A token with which a peer has logged in. A peer may do no more than it allows.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: i64,
    /// When it ends, in seconds since 1970.
    pub(crate) until: Option<i64>,
    /// What it allows until then.
    pub(crate) rights: Arc<Rights>,
}

impl Token {
    /// Returns whether it has ended at `now`, in seconds since 1970.
    pub(crate) fn has_ended(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Token {}

impl Principal {
    /// Returns the user that the peer has logged in as, or `None` if it has not.
    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        match &self.proof {
            Proof::Login { user, .. } => Some(user),
            _ => None,
        }
    }

    /// Returns the row of the user that the peer has logged in as, or `None` if it has not.
    pub(crate) fn row(&self) -> Option<&LoginUser> {
        match &self.proof {
            Proof::Login { row, .. } => Some(row),
            _ => None,
        }
    }

    /// Returns the same principal, which is no administrator.
    pub(crate) fn without_administration(&self) -> Self {
        let mut principal = self.clone();
        if let Proof::Login { is_admin, .. } = &mut principal.proof {
            *is_admin = false;
        }
        principal
    }

    /// Returns the token that the peer has logged in with, or `None` if it has not.
    pub(crate) fn token(&self) -> Option<&Arc<Token>> {
        match &self.proof {
            Proof::Login { token, .. } => token.as_ref(),
            _ => None,
        }
    }

    /// Returns what the peer has presented behind its password, or `None` if it has nothing.
    pub(crate) fn second_factor(&self) -> Option<SecondFactor> {
        match &self.proof {
            Proof::Login { second_factor, .. } => *second_factor,
            _ => None,
        }
    }

    /// Returns what the peer has logged in with, besides or in place of a password, for people: a certificate, a
    /// token, or a second factor. Returns `None` for a password alone, and for no login.
    pub(crate) fn means(&self) -> Option<String> {
        if let Some(certificate) = self.certificate() {
            return Some(format!("the certificate {}", certificate.serial()));
        }
        if let Some(token) = self.token() {
            return Some(format!("the token {}", token.id));
        }
        let factor = match self.second_factor()? {
            SecondFactor::Totp => "totp",
            SecondFactor::RecoveryCode => "a recovery code",
        };
        Some(factor.to_owned())
    }

    /// Returns the certificate that the peer has logged in with, or `None` if it has not.
    pub(crate) fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        match &self.proof {
            Proof::Login { certificate, .. } => certificate.as_ref(),
            _ => None,
        }
    }

    /// Returns the number of the user that the peer has logged in as.
    pub(crate) fn user_id(&self) -> Option<i64> {
        match &self.proof {
            Proof::Login { row, .. } => Some(row.id),
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
