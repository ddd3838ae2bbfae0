//! Why a change of a second factor is refused.

use std::io;

use labwire_wire::quoted;

/// Why a change of a second factor is refused. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TotpError {
    /// The user has an active second factor already.
    #[error("{} has a second factor already; end it first, if the app or its secret is lost", quoted(.0))]
    Active(
        /// The user.
        String,
    ),
    /// The user has no second factor.
    #[error("{} has no second factor", quoted(.0))]
    Missing(
        /// The user.
        String,
    ),
    /// A text is not a code of six digits.
    #[error("a code has six digits, as the authenticator app shows them")]
    NoCode,
    /// The code is not the one of the present.
    #[error(
        "the code is wrong: give the one that the authenticator app shows now, and check the clocks of the phone and \
         of the manager's computer"
    )]
    WrongCode,
    /// The code was used before.
    #[error("the code was used before, wait until the authenticator app shows the next one")]
    UsedCode,
    /// The secret was encrypted with another key than the one beside the database.
    #[error(
        "the key of second factors beside the database is not the one with which the secret was encrypted"
    )]
    OtherKey,
    /// The key beside the database cannot be read or created.
    #[error("the key of second factors beside the database (its name ends with .totp-key): {0}")]
    Key(
        /// The error of the operating system. It contains no path.
        String,
    ),
}

impl TotpError {
    pub(super) fn key(reason: &io::Error) -> Self {
        Self::Key(reason.to_string())
    }

    /// Returns whether the caller made a mistake, as opposed to a failure of the manager's computer.
    pub(crate) fn is_callers_mistake(&self) -> bool {
        !matches!(self, Self::OtherKey | Self::Key(_))
    }
}
