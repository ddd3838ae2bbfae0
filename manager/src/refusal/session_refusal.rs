//! Refusals about sessions.

use jiff::Timestamp;
use labwire_wire::{Executed, quoted};

use super::locks::local;

/// Why the manager refuses a returning peer, or a request for a service that is away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionRefusal {
    /// No session has this secret.
    #[error(
        "KeyError: there is no session with this secret: it may have ended after its grace period, or the manager was \
         restarted; register without it"
    )]
    Unknown,
    /// The session is that of a peer with another name or type.
    #[error("ValueError: the session with this secret belongs to a peer with another name or type")]
    OtherPeer,
    /// The session is that of another user.
    #[error(
        "PermissionError: the session with this secret belongs to a peer that has logged in as another user, or not at all"
    )]
    OtherUser,
    /// The peer has received more than was sent to it.
    #[error("ValueError: {} cannot have been received, fewer bytes were sent", position(*received))]
    NeverSent { received: u64 },
    /// The old connection does not end.
    #[error("ConnectionError: the old connection of the session does not end, try again")]
    OldConnection,
    /// The name is kept for a service that is away.
    #[error(
        "NameError: the {} Service is away until {} at the latest: its connection broke at {}, and its name is kept for it",
        quoted(name),
        local(*until),
        local(*since)
    )]
    NameAway {
        name: String,
        since: Timestamp,
        until: Timestamp,
    },
    /// The service is away and did not ask that its callers wait.
    #[error(
        "ConnectionError: the {} Service is away since {}, the request was not executed",
        quoted(service),
        local(*since)
    )]
    ServiceAway { service: String, since: Timestamp },
    /// The service is away, and no more requests can be kept for it.
    #[error(
        "ConnectionError: the {} Service is away since {} and no more requests can be kept for it \
         (--session-kept, --budget-sessions), the request was not executed",
        quoted(service),
        local(*since)
    )]
    ServiceAwayFull { service: String, since: Timestamp },
    /// A service went away while a long request was arriving, which could not be kept.
    #[error(
        "ConnectionError: the {} Service went away and the request was longer than could be kept (--session-kept, \
         --budget-sessions), it was not executed",
        quoted(service)
    )]
    RequestNotKept { service: String },
    /// The reply arrived while the client was away, and could not be kept.
    #[error(
        "ConnectionError: the reply of the {} Service arrived while the client was away and was longer than could be kept \
         (--session-kept, --budget-sessions), the request may have been executed",
        quoted(service)
    )]
    ReplyNotKept { service: String },
    /// The connection broke while the manager executed the request.
    #[error(
        "ConnectionError: the connection broke while the manager executed the request, it may have been executed"
    )]
    Interrupted,
    /// The connection broke before the login was complete that the request needs.
    #[error(
        "ConnectionError: the connection broke before the login was complete, the request was not executed"
    )]
    LoginInterrupted,
}

/// Names a position that a peer wrote. A number that is too large is read as the largest.
fn position(position: u64) -> String {
    if position == u64::MAX {
        return "bytes up to such a large position".to_owned();
    }
    format!("bytes up to the position {position}")
}

impl SessionRefusal {
    /// Returns whether the request may have been executed.
    pub(super) fn executed(&self) -> Executed {
        match self {
            Self::ReplyNotKept { .. } | Self::Interrupted => Executed::Maybe,
            Self::Unknown
            | Self::OtherPeer
            | Self::OtherUser
            | Self::NeverSent { .. }
            | Self::OldConnection
            | Self::NameAway { .. }
            | Self::ServiceAway { .. }
            | Self::ServiceAwayFull { .. }
            | Self::RequestNotKept { .. }
            | Self::LoginInterrupted => Executed::No,
        }
    }
}
