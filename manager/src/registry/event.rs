//! Changes of the registry.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use labwire_store::Lease;
use labwire_wire::{Features, Uid};

use super::abandoned::Abandoned;
use super::approvals::Approval;
use super::moment::Moment;
use super::peers::PeerId;
use super::stopping::{EndedEarly, LeftBehind, Stop};
use super::terms::Terms;
use crate::log_limit::LogLimit;
use crate::login_end::LoginEnd;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{LockEnd, Refusal};

/// A change of the registry. [`Events::publish`](crate::events::Events::publish) notifies everyone
/// whom it concerns.
#[derive(Debug)]
#[must_use = "nobody is told of an event that is not published"]
pub(crate) enum Event<'a> {
    /// A peer has joined.
    Joined {
        /// `NAME[HOST:PORT]`.
        name: String,
        is_service: bool,
        principal: Arc<Principal>,
        /// When it connected.
        came: Timestamp,
        /// The peer's queue, if it has the feature `registered`.
        told: Option<Arc<Outbox>>,
    },
    /// A client has logged in for an administrator's request.
    LoggedIn {
        name: Arc<str>,
        principal: Arc<Principal>,
    },
    /// A client's link with a service, or its lock on it, has changed.
    LinkChanged {
        change: LinkChange,
        /// Whether the links or locks are others than before: a client may unlink from what it is
        /// not linked with.
        is_change: bool,
        service: &'a str,
        client: Arc<str>,
        /// The client's; `None` if it has left.
        principal: Option<Arc<Principal>>,
        /// The terms of the lock that was granted.
        terms: Option<Terms>,
        /// The number of clients linked with the service now.
        links: usize,
        /// The number of them that hold a lock on it.
        locks: usize,
    },
    /// A peer has left, with its links, locks and name.
    Left {
        /// `NAME[HOST:PORT]`.
        name: Box<str>,
        is_service: bool,
        principal: Arc<Principal>,
        /// The end of its login, if it had to leave because of that.
        login_end: Option<LoginEnd>,
        /// The number of requests that it held as a service.
        requests: usize,
        /// The services with which it was linked as a client. The clients of a service that has
        /// left follow as [`LinkEnded`](Self::LinkEnded).
        unlinked: Vec<EndedLink>,
        /// The requests that it had in flight as a client, which are to be stopped.
        left_behind: Vec<LeftBehind>,
    },
    /// A client has cancelled a request, and its service is asked to stop.
    Cancelled(Stop),
    /// A request has ended before its reply.
    EndedEarly(Box<EndedEarly>),
    /// A request waits for approval, or does no longer.
    Approval(Box<Approval>),
    /// The links and locks of a client that sends no more have ended.
    LinksEnded {
        client: Arc<str>,
        principal: Arc<Principal>,
        services: Vec<EndedLink>,
    },
    /// A client that sends no more has waited too long for its last replies.
    WaitedInVain { name: Arc<str>, requests: usize },
    /// The connection of a peer with a session is broken.
    WentAway(Presence),
    /// A peer is back whose connection was broken.
    CameBack(Presence),
    /// The grace period of a peer that is away is over. It leaves.
    GraceOver { peer: PeerId },
    /// Requests of a client will not be answered.
    Abandoned {
        requests: Abandoned,
        reason: &'a Refusal,
    },
    /// A client's lock has expired or was broken, and its link has ended with it.
    LockEnded(LockEnded),
    /// A lock is not kept any more for its holder from before a restart of the manager.
    ReservationEnded(Box<ReservationEnded>),
    /// A client's link has ended because it may not be linked any more.
    LinkRevoked(LinkRevoked),
    /// A service may not be one any more. It is disconnected.
    ServiceRevoked {
        /// `NAME[HOST:PORT]`.
        name: Box<str>,
        outbox: Arc<Outbox>,
        refusal: Refusal,
    },
    /// A request for a lock waits no longer.
    WaitRefused(WaitRefused),
    /// It was forgotten that the locks of some clients on a service that has left had ended, or that
    /// it owed them replies. Nobody is told.
    Forgotten,
    /// A client's link has ended because its service has left.
    LinkEnded {
        service: &'a str,
        /// The frame of the notification: composed for the first client with the feature
        /// `unlinked`, and shared with the others.
        frame: &'a OnceCell<Bytes>,
        /// The client's queue, if it has that feature.
        told: Option<Arc<Outbox>>,
    },
}

/// A link that has ended with the connection of its client, or when the client said that it sends no
/// more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedLink {
    pub(crate) service: Arc<str>,
    /// Whether the client held a lock on the service.
    pub(crate) had_lock: bool,
}

/// Whether a peer with a session is there.
#[derive(Debug)]
pub(crate) struct Presence {
    /// `NAME[HOST:PORT]`.
    pub(crate) name: Box<str>,
    /// The name of a service; `None` for a client.
    pub(crate) service: Option<Arc<str>>,
    pub(crate) principal: Arc<Principal>,
    /// Since when it is away.
    pub(crate) away: Option<Away>,
    /// The queues of the clients with the feature `sessions` that are linked with a service.
    pub(crate) told: Vec<Arc<Outbox>>,
}

/// Since when a peer is away, and until when its place is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) since: Timestamp,
    pub(crate) until: Moment,
}

impl Away {
    /// Returns the members of an object, after a comma.
    pub(super) fn members(away: Option<&Self>) -> String {
        away.map_or_else(String::new, |Self { since, until }| {
            format!(r#","away":{{"since":"{since}","until":"{}"}}"#, until.time)
        })
    }
}

/// A client's lock that has expired or was broken.
#[derive(Debug)]
pub(crate) struct LockEnded {
    pub(crate) service: Arc<str>,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) client: Arc<str>,
    pub(crate) log_limit: Arc<LogLimit>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) features: Features,
    pub(crate) end: LockEnd,
    pub(crate) outbox: Arc<Outbox>,
}

/// A link that has ended because the client may not be linked any more.
#[derive(Debug)]
pub(crate) struct LinkRevoked {
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) client: Arc<str>,
    pub(crate) service: Arc<str>,
    pub(crate) principal: Arc<Principal>,
    /// The number of clients linked with the service now.
    pub(crate) links: usize,
    /// The number of them that hold a lock on it.
    pub(crate) locks: usize,
    /// The client's queue, if it has the feature `unlinked`.
    pub(crate) told: Option<Arc<Outbox>>,
}

/// A lock that is not kept any more for its holder from before a restart of the manager.
#[derive(Debug)]
pub(crate) struct ReservationEnded {
    pub(crate) lease: Lease,
    /// How an administrator has ended it. `None`: its time is over.
    pub(crate) end: Option<LockEnd>,
}

/// A request for a lock that waited and is refused.
#[derive(Debug)]
pub(crate) struct WaitRefused {
    pub(crate) outbox: Arc<Outbox>,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) requester: Arc<str>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) features: Features,
    pub(crate) uid: Uid<'static>,
    pub(crate) refusal: Refusal,
}

/// How a client's link with a service, or its lock on it, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkChange {
    Linked,
    Unlinked,
    /// A lock that ended with the link.
    UnlinkedAndReleased,
    Locked,
    /// A lock that came with a link.
    LinkedAndLocked,
    Released,
}
