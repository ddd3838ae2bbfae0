//! Refusals of requests that need approval.

use std::time::Duration;

use labwire_wire::{quoted, visible};

use crate::bounds::{MOST_APPROVAL_BYTES, MOST_REASON};

/// Why a request that needs approval is not executed, or a decision about one is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApprovalRefusal {
    /// Somebody has refused it.
    #[error(
        "PermissionError: {} has refused the request to the {} Service{}",
        quoted(by),
        quoted(service),
        because(reason.as_deref())
    )]
    Refused {
        service: String,
        by: String,
        reason: Option<String>,
    },
    /// Nobody has decided in time.
    #[error(
        "TimeoutError: nobody has approved the request to the {} Service within {} s, it was not executed",
        quoted(service),
        limit.as_secs_f64()
    )]
    Expired { service: String, limit: Duration },
    /// It needed no approval when it began.
    #[error(
        "PermissionError: the request to the {} Service needs approval since it began, send it again, it was not executed",
        quoted(service)
    )]
    NeededMeanwhile { service: String },
    /// Its client has cancelled it.
    #[error(
        "CancelledError: the request to the {} Service was cancelled while it waited for approval, it was not executed",
        quoted(service)
    )]
    Cancelled { service: String },
    /// Its client sends no more.
    #[error(
        "ConnectionError: you have closed your sending side while the request to the {} Service waited for approval, it \
         was not executed",
        quoted(service)
    )]
    SendsNoMore { service: String },
    /// Its service has left.
    #[error(
        "ConnectionError: the {} Service left while the request waited for approval, it was not executed",
        quoted(service)
    )]
    ServiceLeft { service: String },
    /// The client has too many.
    #[error(
        "RuntimeError: {limit} of your requests wait for approval, which is as many as a client may have, the request was \
         not executed"
    )]
    TooMany { limit: usize },
    /// The user has too many, or the share of the user is used up.
    #[error(
        "RuntimeError: too many requests wait for approval, {count} of them are of your user (or of your address), the \
         request was not executed"
    )]
    OverShare { count: usize },
    /// It is too long.
    #[error(
        "MemoryError: a request that waits for approval may have {MOST_APPROVAL_BYTES} bytes, and this one has {bytes}, it \
         was not executed"
    )]
    TooLarge { bytes: usize },
    /// An argument has two values.
    #[error(
        "ValueError: the argument {} of a request that needs approval is given twice, so nobody could tell what was \
         approved; it was not executed",
        quoted(.0)
    )]
    GivenTwice(String),
    /// No such request waits, or not for this peer.
    #[error(
        "KeyError: no request {} waits for your approval: it was decided, has ended, or never was",
        quoted(.0)
    )]
    Unknown(String),
    /// Decide about a request of one's own.
    #[error("PermissionError: nobody decides about a request of their own")]
    Own,
    /// Decide without a user.
    #[error("PermissionError: log in as a user to decide about a request, since the record says who did")]
    NeedsUser,
    /// The reason is too long.
    #[error("ValueError: the reason of a refusal is a text of at most {MOST_REASON} bytes")]
    Reason,
    /// The request was approved, and refused when it was about to be sent.
    #[error(
        "RuntimeError: you approved the request, but it was refused for another reason meanwhile: {summary}"
    )]
    NotSent { summary: String },
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(
        || ", it was not executed".to_owned(),
        // Whoever refuses cannot forge a line of the caller's terminal.
        |reason| format!(": {} (it was not executed)", visible(reason)),
    )
}

impl ApprovalRefusal {
    /// Returns whether it is about a limit.
    pub(crate) fn is_of_limits(&self) -> bool {
        matches!(
            self,
            Self::TooMany { .. } | Self::OverShare { .. } | Self::TooLarge { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_for_a_refusal_forges_no_line() {
        let refusal = ApprovalRefusal::Refused {
            service: "Laser".to_owned(),
            by: "olga".to_owned(),
            reason: Some("no\u{202e}\r\n\u{1b}[2J".to_owned()),
        };
        let text = "PermissionError: 'olga' has refused the request to the 'Laser' Service: \
            no\u{fffd}\u{fffd}\u{fffd}\u{fffd}[2J (it was not executed)";
        assert_eq!(refusal.to_string(), text);
    }
}
