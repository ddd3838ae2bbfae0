//! Refusals of requests that are cancelled, take too long or report how far they have come.

use std::time::Duration;

use labwire_wire::quoted;

use crate::bounds::{DEADLINE_SECONDS, MOST_PROGRESS_BYTES, MOST_REASON};

/// Why the manager ends a request before its reply, or refuses what concerns one in flight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallRefusal {
    /// The client has cancelled the request, and its service cannot be asked to stop.
    #[error(
        "CancelledError: the request to the {} Service was cancelled, but this service cannot be asked to stop, the \
         request may still be running",
        quoted(service)
    )]
    Cancelled { service: String },
    /// The client has cancelled the request, which its service has not received, since it is away.
    #[error(
        "CancelledError: the request to the {} Service was cancelled before it was sent, since the service is away; it \
         was not executed",
        quoted(service)
    )]
    CancelledUnsent { service: String },
    /// The deadline of the request has passed, and its service has not received it, since it is away.
    #[error(
        "TimeoutError: the {} Service is away and the request was not sent to it within {} s, the deadline of the request; \
         it was not executed",
        quoted(service),
        limit.as_secs_f64()
    )]
    DeadlineUnsent { service: String, limit: Duration },
    /// The deadline of the request has passed.
    #[error(
        "TimeoutError: the {} Service did not reply within {} s, the deadline of the request, {}the request may still be \
         running",
        quoted(service),
        limit.as_secs_f64(),
        if *is_asked { "and was asked to stop, " } else { "" }
    )]
    Deadline {
        service: String,
        limit: Duration,
        /// Whether the service was asked to stop.
        is_asked: bool,
    },
    /// A deadline that is no number of seconds, or out of range.
    #[error(
        "ValueError: a deadline is a number of seconds from {} to {}, and not {value}; the request was not executed",
        DEADLINE_SECONDS.start(),
        DEADLINE_SECONDS.end()
    )]
    WrongDeadline { value: String },
    /// A request with a deadline whose uid is empty, or that of another request in flight.
    #[error(
        "ValueError: a request with a deadline needs a uid that none of your requests in flight has, the request was \
         not executed"
    )]
    DeadlineNeedsUid,
    /// The uid is that of a request that has ended before its reply, which may still come.
    #[error("ValueError: {}", owed(service, uid))]
    Owed { service: String, uid: String },
    /// Cancel a request that is not in flight.
    #[error("KeyError: {}", not_in_flight(uid, service.as_deref()))]
    NotInFlight { uid: String, service: Option<String> },
    /// The reason is too long.
    #[error("ValueError: the reason of a cancellation is a text of at most {MOST_REASON} bytes")]
    Reason,
    /// A service sent a progress value that is too large.
    #[error(
        "MemoryError: a progress value may have {MOST_PROGRESS_BYTES} bytes, and this one has {bytes}; send large values \
         as items"
    )]
    ProgressTooLarge { bytes: usize },
    /// A service sent progress or an item that its client cannot read.
    #[error(
        "ValueError: the client cannot read this value, since it is nested too deep or has a number with too many digits"
    )]
    Unreadable,
}

fn owed(service: &str, uid: &str) -> String {
    let service = quoted(service);
    if uid.is_empty() {
        return format!(
            "a request that was typed or has no uid ended before its reply, and the {service} Service may still reply to \
             it; wait until then or send a uid, the request was not executed"
        );
    }
    format!(
        "a request with the uid {} ended before its reply, and the {service} Service may still reply to it; choose another \
         uid, the request was not executed",
        quoted(uid)
    )
}

fn not_in_flight(uid: &str, service: Option<&str>) -> String {
    let service = service.map_or(String::new(), |service| {
        format!(" to the {} Service", quoted(service))
    });
    if uid.is_empty() {
        return format!("you have no request{service} in flight that was typed or has no uid");
    }
    format!(
        "you have no request{service} with the uid {} in flight, it has ended or was never sent",
        quoted(uid)
    )
}
