//! Refusals of requests about locks that wait, expire or are broken.

use std::time::Duration;

use labwire_wire::quoted;
use serde_json::Value;

use super::locks::{LockEnd, LockObstacle, WaitEnd, WaitingRequest};
use crate::bounds::{MOST_LOCK_WAITS, MOST_REASON, TTL_SECONDS, WAIT_SECONDS};

/// Why the manager refuses a request because of a lock that waits, has expired or was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LockRefusal {
    /// Link with a service while a request waits for an exclusive lock on it.
    #[error(
        "PermissionError: no new client can link with the {} Service now, {waiting}",
        quoted(service)
    )]
    Awaited {
        service: String,
        waiting: WaitingRequest,
        /// The position that a request for a lock would have in the queue, counted from 1.
        position: usize,
    },
    /// A lock could not be granted at once, or in the time that the client wanted to wait.
    #[error("{}, {obstacle}", not_granted(service, client, *wait, *position))]
    NotGranted {
        service: String,
        client: String,
        obstacle: LockObstacle,
        /// `None` if the client did not want to wait, or cannot because its link is in the way.
        wait: Option<Duration>,
        /// The position in the queue, counted from 1.
        position: usize,
    },
    /// A second request of the same client for a lock on the same service.
    #[error(
        "PermissionError: {client} already waits for a lock on the {} Service, release_lock ends that wait",
        quoted(service)
    )]
    AlreadyWaits { service: String, client: String },
    /// A client waits for as many locks as it may.
    #[error("RuntimeError: {client} waits for {limit} locks, which is as many as a client may wait for")]
    TooManyWaits { client: String, limit: usize },
    /// The requests of all clients that wait are nearly as many as may, and this client has its
    /// share.
    #[error(
        "RuntimeError: {client} waits for {count} locks, which is its share of the {MOST_LOCK_WAITS} that all clients may wait for together"
    )]
    WaitsOverBudget { client: String, count: usize },
    /// As many requests wait for a lock on a service as may.
    #[error(
        "RuntimeError: {limit} requests wait for a lock on the {} Service, which is as many as may wait, try again later",
        quoted(service)
    )]
    QueueFull { service: String, limit: usize },
    /// A request waits no longer, because its client has ended the wait.
    #[error(
        "RuntimeError: {client} does not wait for a lock on the {} Service any more, {end}",
        quoted(service)
    )]
    WaitEnded {
        service: String,
        client: String,
        end: WaitEnd,
    },
    /// A request of a client whose lock has expired or was broken.
    #[error(
        "PermissionError: the lock of {client} on the {} Service {end}, link with it again before sending requests",
        quoted(service)
    )]
    Ended {
        service: String,
        client: String,
        end: LockEnd,
    },
    /// A request of a client for which a lock is kept since before a restart of the manager.
    #[error(
        "PermissionError: the lock of {client} on the {} Service is kept for it since the manager was restarted, acquire \
         it again or link before sending requests",
        quoted(service)
    )]
    NotAcquired { service: String, client: String },
    /// Renew or break the lock of a client that has none.
    #[error("KeyError: {client} holds no lock on the {} Service", quoted(service))]
    HoldsNone { service: String, client: String },
    /// Break a lock on a service that is not connected.
    #[error(
        "KeyError: the {} service does not exist, no lock on it can be broken",
        quoted(service)
    )]
    NoService { service: String },
    /// A time to live that no lock can have.
    #[error(
        "ValueError: ttl must be a number of seconds from {} to {}",
        TTL_SECONDS.start(),
        TTL_SECONDS.end()
    )]
    Ttl,
    /// A time that no request can wait.
    #[error(
        "ValueError: wait must be a number of seconds from {} to {}",
        WAIT_SECONDS.start(),
        WAIT_SECONDS.end()
    )]
    Wait,
    /// A reason that is no text, or too long.
    #[error("ValueError: reason must be a text of at most {MOST_REASON} bytes")]
    Reason,
}

/// Returns the beginning of the text of [`LockRefusal::NotGranted`].
fn not_granted(service: &str, client: &str, wait: Option<Duration>, position: usize) -> String {
    let service = quoted(service);
    match wait {
        None => format!("PermissionError: {client} cannot acquire a lock on the {service} Service now"),
        Some(wait) => format!(
            "TimeoutError: {client} did not get a lock on the {service} Service within {} s as number {position} in the queue",
            wait.as_secs_f64()
        ),
    }
}

impl LockRefusal {
    /// Returns whether too many requests wait for locks.
    pub(crate) fn is_of_waits(&self) -> bool {
        matches!(
            self,
            Self::TooManyWaits { .. } | Self::WaitsOverBudget { .. } | Self::QueueFull { .. }
        )
    }

    /// Returns the member `lock` of the error for a client with the feature `leases`, if it has
    /// one.
    pub(super) fn members(&self) -> Option<Value> {
        match self {
            Self::Awaited {
                service,
                waiting,
                position,
            } => Some(LockObstacle::Waiting(waiting.clone()).members(service, *position)),
            Self::NotGranted {
                service,
                obstacle,
                position,
                ..
            } => Some(obstacle.members(service, *position)),
            Self::Ended { service, end, .. } => Some(end.members(service)),
            Self::AlreadyWaits { .. }
            | Self::TooManyWaits { .. }
            | Self::WaitsOverBudget { .. }
            | Self::QueueFull { .. }
            | Self::WaitEnded { .. }
            | Self::HoldsNone { .. }
            | Self::NotAcquired { .. }
            | Self::NoService { .. }
            | Self::Ttl
            | Self::Wait
            | Self::Reason => None,
        }
    }
}
