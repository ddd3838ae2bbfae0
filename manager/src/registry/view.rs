//! What the peers of one user may do, with the decisions that were made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use labwire_access::{Access, Action, Coverage, Rights, Until};

use crate::topics::APPROVALS;

/// The most services about which decisions are kept. Beyond that, all are forgotten.
const MOST_DECIDED: usize = 16_384;

/// The most services about whose approvals decisions are kept. Beyond that, all are forgotten.
const MOST_APPROVED: usize = 256;

/// The most patterns that are compared in one step: less than a millisecond, if names are not very
/// long.
const COMPARED_AT_ONCE: usize = 10_000;

/// What one user may do, as of one version of the rules. The decisions about connected services are
/// kept, for all peers of that user.
#[derive(Debug)]
pub(crate) struct View {
    rights: Arc<Rights>,
    sees_all: bool,
    /// Whether everything may be approved, without an end.
    approves_all: bool,
    /// The decisions about approvals, by service.
    approvals: Mutex<HashMap<Arc<str>, Coverage>>,
    decided: Mutex<HashMap<Arc<str>, Decided>>,
}

/// Until when a service may be seen, linked with and locked, as far as that was needed.
#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    see: Option<Until>,
    link: Option<Until>,
    lock: Option<Until>,
}

impl Decided {
    fn of(&mut self, action: Action) -> Option<&mut Option<Until>> {
        match action {
            Action::See => Some(&mut self.see),
            Action::Link => Some(&mut self.link),
            Action::Lock => Some(&mut self.lock),
            _ => None,
        }
    }
}

impl View {
    pub(super) fn new(rights: Arc<Rights>) -> Self {
        Self {
            sees_all: rights.is_everywhere(Action::See),
            approves_all: rights.is_everywhere(Action::Approve),
            approvals: Mutex::default(),
            rights,
            decided: Mutex::default(),
        }
    }

    /// Returns the rights.
    pub(super) fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Returns whether everything may be seen, without an end.
    pub(super) fn sees_all(&self) -> bool {
        self.sees_all
    }

    fn decided(&self) -> MutexGuard<'_, HashMap<Arc<str>, Decided>> {
        // No code that can panic runs under this lock.
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns until when an action on a connected service is allowed. The decision is kept.
    pub(super) fn until(&self, action: Action, service: &str) -> Until {
        let decide = || self.rights.until(&Access::to(action, service));
        let mut decided = self.decided();
        if let Some(known) = decided.get_mut(service) {
            return match known.of(action) {
                Some(place) => *place.get_or_insert_with(decide),
                None => decide(),
            };
        }
        let until = decide();
        let mut own = Decided::default();
        if let Some(place) = own.of(action) {
            *place = Some(until);
            if decided.len() >= MOST_DECIDED {
                decided.clear();
            }
            decided.insert(service.into(), own);
        }
        until
    }

    /// Returns whether a service may be seen. `now` is in seconds since 1970.
    pub(crate) fn sees(&self, service: &str, now: i64) -> bool {
        self.sees_all || self.until(Action::See, service).includes(|| now)
    }

    /// Returns whether requests to an attribute of a service may be approved. `now` is in seconds since
    /// 1970.
    pub(super) fn approves(&self, service: &Arc<str>, attribute: &str, now: i64) -> bool {
        if self.approves_all {
            return true;
        }
        // As for `decided`.
        let mut approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        if approvals.len() >= MOST_APPROVED && !approvals.contains_key(service) {
            approvals.clear();
        }
        let coverage = approvals
            .entry(Arc::clone(service))
            .or_insert_with(|| self.rights.on(Action::Approve, service));
        coverage.allows(attribute, || now)
    }

    /// Returns whether there is nothing of the manager's own topics that may not be learned.
    pub(super) fn learns_all(&self) -> bool {
        self.sees_all && self.approves_all
    }

    /// Returns whether a subscription is allowed, by its pattern of topics.
    pub(crate) fn permits_subscription(&self, pattern: &str, now: i64) -> bool {
        pattern == APPROVALS || self.rights.allows(&Access::to(Action::Subscribe, pattern), now)
    }

    /// Decides which of these services may be seen, as far as that takes one step. Returns `false`
    /// if more are left.
    pub(super) fn decide_some<'a>(&self, services: impl Iterator<Item = &'a Arc<str>>) -> bool {
        let cost = self.rights.comparisons(Action::See).max(1);
        let mut left = COMPARED_AT_ONCE;
        for service in services {
            let is_known = self
                .decided()
                .get(service)
                .is_some_and(|decided| decided.see.is_some());
            if is_known {
                continue;
            }
            if left == 0 {
                return false;
            }
            self.until(Action::See, service);
            left = left.saturating_sub(cost);
        }
        true
    }
}

/// What a subscriber to the manager's own topics may learn.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    pub(super) view: Arc<View>,
    /// Its own name, `NAME[HOST:PORT]`.
    pub(super) own: Arc<str>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// A client, or something that a peer has done, by the name `NAME[HOST:PORT]`.
    Peer(&'a str),
    /// A service, by its own name.
    Service(&'a str),
    /// The link, or the lock, of a client on a service.
    Link { client: &'a str, service: &'a str },
    /// A request to a service that waits for approval, or has.
    Approval {
        service: &'a Arc<str>,
        attribute: &'a str,
    },
}

impl Eyes {
    /// Returns whether the subscriber may learn of an event. `now` is in seconds since 1970.
    pub(crate) fn see(&self, subject: Subject<'_>, now: i64) -> bool {
        match subject {
            Subject::Peer(name) => self.view.sees_all() || *self.own == *name,
            Subject::Service(service) => self.view.sees(service, now),
            Subject::Approval { service, attribute } => self.view.approves(service, attribute, now),
            Subject::Link { client, service } => *self.own == *client || self.view.sees(service, now),
        }
    }
}
