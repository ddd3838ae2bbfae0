//! Ends the connections of peers whose login is not valid any more.

use std::fmt;
use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::certificates::CertificateEnd;

/// Why a login is not valid any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginEnd {
    /// The user was disabled.
    UserDisabled,
    /// The user was removed, also if there is a new one of the same name.
    UserRemoved,
    /// The token of that number was revoked.
    TokenRevoked(i64),
    /// The token of that number has ended.
    TokenEnded(i64),
    /// The certificate is not accepted any more.
    Certificate(CertificateEnd),
}

impl LoginEnd {
    /// Returns what the peer is told.
    pub(crate) fn told(self) -> String {
        let preposition = match self {
            Self::UserDisabled | Self::UserRemoved => "as",
            Self::TokenRevoked(_) | Self::TokenEnded(_) | Self::Certificate(_) => "with",
        };
        format!("{self}, {preposition} which this peer had logged in")
    }
}

impl fmt::Display for LoginEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserDisabled => formatter.write_str("the user was disabled"),
            Self::UserRemoved => formatter.write_str("the user was removed"),
            Self::TokenRevoked(id) => write!(formatter, "the token {id} was revoked"),
            Self::TokenEnded(id) => write!(formatter, "the token {id} has ended"),
            Self::Certificate(end) => end.fmt(formatter),
        }
    }
}

/// Tells the task that serves a peer that the peer's login has ended.
#[derive(Debug, Default)]
pub(crate) struct Dismissal {
    end: OnceLock<LoginEnd>,
    given: Notify,
}

impl Dismissal {
    /// Ends the connection. Only the first reason counts.
    pub(crate) fn give(&self, end: LoginEnd) {
        // It may have been given before.
        let _ = self.end.set(end);
        self.given.notify_one();
    }

    /// Returns why the connection ends, if it does because of the login.
    pub(crate) fn end(&self) -> Option<LoginEnd> {
        self.end.get().copied()
    }

    /// Waits until the connection is to end. Returns the reason. Cancel safe.
    pub(crate) async fn given(&self) -> LoginEnd {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            self.given.notified().await;
        }
    }
}
