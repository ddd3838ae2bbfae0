//! Locks, for refusals: who holds one, who waits for one, and how one has ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use labwire_home::local_time_zone;
use labwire_wire::quoted;
use serde_json::{Value, json};

use super::linked::LinkedClients;

/// The holder of a service's lock, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldLock {
    /// The client that has held its lock longest.
    pub(crate) holder: String,
    pub(crate) since: Timestamp,
    /// When it expires unless it is renewed.
    pub(crate) until: Option<Timestamp>,
    /// Whether it is only kept for the holder, who had it before a restart of the manager, until
    /// `until`.
    pub(crate) is_reserved: bool,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) shared: bool,
    /// The number of other clients that hold one.
    pub(crate) others: usize,
    /// The number of requests that wait for one.
    pub(crate) waiting: usize,
}

impl fmt::Display for HeldLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "by {} since {}", self.holder, local(self.since))?;
        match self.until {
            Some(until) if self.is_reserved => write!(
                formatter,
                ", for whom it is kept until {} since the manager was restarted",
                local(until)
            )?,
            Some(until) => write!(formatter, " until {}", local(until))?,
            None => {}
        }
        match self.others {
            0 => {}
            1 => formatter.write_str(" and by another client")?,
            others => write!(formatter, " and by {others} other clients")?,
        }
        if let Some(reason) = &self.reason {
            write!(formatter, " (reason: {})", quoted(reason))?;
        }
        match self.waiting {
            0 => Ok(()),
            1 => formatter.write_str(", 1 request waits for it"),
            waiting => write!(formatter, ", {waiting} requests wait for it"),
        }
    }
}

impl HeldLock {
    /// Returns the members for a client with the feature `leases`. `position` is that of a request
    /// that waits, counted from 1.
    pub(super) fn members(&self, service: &str, position: usize) -> Value {
        let mut members = json!({
            "holder": self.holder,
            "others": self.others,
            "position": position,
            "reason": self.reason.as_deref(),
            "service": service,
            "shared": self.shared,
            "since": self.since.to_string(),
            "until": self.until.map(|until| until.to_string()),
        });
        if self.is_reserved {
            members["reserved"] = true.into();
        }
        members
    }
}

/// A request that waits for a lock, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingRequest {
    pub(crate) client: String,
    pub(crate) since: Timestamp,
    /// Whether it asks for an exclusive lock.
    pub(crate) exclusive: bool,
}

impl fmt::Display for WaitingRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.exclusive {
            "an exclusive"
        } else {
            "a shared"
        };
        write!(
            formatter,
            "{} has waited for {kind} lock since {}",
            self.client,
            local(self.since)
        )
    }
}

/// What keeps a client from a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LockObstacle {
    /// The locks of others.
    Held(Box<HeldLock>),
    /// The links of others: an exclusive lock needs the only link.
    Linked(LinkedClients),
    /// The client is not linked, and the service accepts no more links.
    Full(LinkedClients),
    /// A request of another client that waits.
    Waiting(WaitingRequest),
}

impl fmt::Display for LockObstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(held) => write!(formatter, "it is locked {held}"),
            Self::Linked(linked) => write!(formatter, "there are {} links with it\n{linked}", linked.count()),
            Self::Full(linked) => {
                write!(
                    formatter,
                    "the maximum number of Clients are already linked with it\n{linked}"
                )
            }
            Self::Waiting(waiting) => waiting.fmt(formatter),
        }
    }
}

impl LockObstacle {
    /// Returns the members for a client with the feature `leases`; see [`HeldLock::members`].
    pub(super) fn members(&self, service: &str, position: usize) -> Value {
        match self {
            Self::Held(held) => held.members(service, position),
            Self::Linked(_) | Self::Full(_) | Self::Waiting(_) => json!({
                "holder": null,
                "others": 0,
                "position": position,
                "reason": null,
                "service": service,
                "shared": null,
                "since": null,
                "until": null,
            }),
        }
    }
}

/// The end of a lock that its client did not release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockEnd {
    pub(crate) at: Timestamp,
    pub(crate) cause: LockCause,
}

/// Why a lock has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LockCause {
    /// It was not renewed within its time to live.
    Expired { ttl: Duration },
    /// It was kept over a restart of the manager, and its holder has returned and not acquired it
    /// again in time.
    NotAcquired,
    /// An administrator has broken it.
    Broken {
        /// The name of the user.
        by: Arc<str>,
        reason: Option<Arc<str>>,
    },
    /// Its holder may not have it any more.
    NotPermitted {
        /// The permission that is missing.
        permission: Arc<str>,
    },
}

impl LockCause {
    /// Returns the name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } | Self::NotAcquired => "expired",
            Self::Broken { .. } | Self::NotPermitted { .. } => "broken",
        }
    }

    /// Returns whether an administrator is the cause.
    pub(crate) fn is_deliberate(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::NotPermitted { .. })
    }
}

impl fmt::Display for LockEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = local(self.at);
        match &self.cause {
            LockCause::Expired { ttl } => write!(
                formatter,
                "expired at {at}, since it was not renewed within {} s",
                ttl.as_secs_f64()
            ),
            LockCause::NotAcquired => write!(
                formatter,
                "expired at {at}, since it was not acquired again in time after a restart of the manager"
            ),
            LockCause::NotPermitted { permission } => write!(
                formatter,
                "ended at {at}, since the permission {} is not granted any more",
                quoted(permission)
            ),
            LockCause::Broken { by, reason } => {
                write!(formatter, "was broken by {} at {at}", quoted(by))?;
                match reason {
                    Some(reason) => write!(formatter, " (reason: {})", quoted(reason)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl LockEnd {
    /// Returns the members for a client with the feature `leases`.
    pub(super) fn members(&self, service: &str) -> Value {
        let (by, reason) = match &self.cause {
            LockCause::Expired { .. } | LockCause::NotAcquired | LockCause::NotPermitted { .. } => {
                (None, None)
            }
            LockCause::Broken { by, reason } => (Some(&**by), reason.as_deref()),
        };
        json!({
            "at": self.at.to_string(),
            "by": by,
            "ended": self.cause.name(),
            "reason": reason,
            "service": service,
        })
    }
}

/// Why a request for a lock waits no longer, although its time is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// The client has sent `release_lock`.
    Released,
    /// The client has sent `unlink`.
    Unlinked,
    /// The client has closed its sending side.
    SendsNoMore,
    /// An administrator has ended it.
    Broken(LockEnd),
}

impl fmt::Display for WaitEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => formatter.write_str("it has sent release_lock"),
            Self::Unlinked => formatter.write_str("it has sent unlink"),
            Self::SendsNoMore => formatter.write_str("it sends no more"),
            Self::Broken(end) => write!(formatter, "its wait {end}"),
        }
    }
}

/// Returns a time of day of the manager's time zone, to the second.
pub(super) fn local(time: Timestamp) -> impl fmt::Display {
    time.to_zoned(local_time_zone())
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}
