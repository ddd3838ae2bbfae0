//! Why logins fail.

use std::fmt;

/// Why a login has failed. This is for administrators: who tries to log in gets one answer for all of
/// them, after the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginFailure {
    /// There is no user of this name.
    UnknownUser,
    /// The password is not that of the user.
    WrongPassword,
    /// The user is disabled, whatever was given as the password.
    Disabled,
    /// No token has this secret: it was revoked, or never was one.
    UnknownToken,
    /// The time of the token is over.
    TokenEnded,
    /// The token is that of another user.
    TokenOfAnother,
    /// The password is right, and no code was given behind it.
    NoCode,
    /// The password is right, and the code is not.
    WrongCode,
    /// The password is right, and the code was used before.
    UsedCode,
    /// The password is right, and so is the code, but too many wrong ones were given before.
    CodesPaused,
    /// The password is right, and the manager cannot check the code. Its log says why.
    SecondFactorUnreadable,
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownUser => "unknown user",
            Self::WrongPassword => "wrong password",
            Self::Disabled => "the user is disabled",
            Self::UnknownToken => "the token was revoked, or never existed",
            Self::TokenEnded => "the time of the token is over",
            Self::TokenOfAnother => "the token is that of another user",
            Self::NoCode => "no code of the second factor behind the right password",
            Self::WrongCode => "wrong code of the second factor behind the right password",
            Self::UsedCode => "the code of the second factor was used before",
            Self::CodesPaused => "too many wrong codes of the second factor before this one",
            Self::SecondFactorUnreadable => "the second factor cannot be checked, see the log of the manager",
        })
    }
}
