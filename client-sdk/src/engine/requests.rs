//! The table of requests that have no reply yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use labwire_wire::{MANAGER_NAME, quoted};

use super::links::LinkKey;
use super::request::{Purpose, Request, Stage};

/// The result of [`Requests::begin`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The frame is to be written.
    Written,
    /// The request has ended, or its caller no longer waits.
    Dropped,
}

/// The table of requests that have no reply yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By uid: oldest first.
    table: BTreeMap<u64, Request>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// The number of requests that are kept.
    kept: usize,
}

impl Requests {
    pub(super) fn queue(&mut self, uid: u64, request: Request) {
        if let Some(limit) = request.limit {
            self.deadlines.insert((limit.deadline, uid));
        }
        self.table.insert(uid, request);
    }

    /// Adds a request that is kept until it can be queued.
    pub(super) fn keep(&mut self, uid: u64, mut request: Request, frame: Bytes) {
        request.stage = Stage::Kept(frame);
        self.kept += 1;
        self.queue(uid, request);
    }

    /// Returns the number of requests that are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Keeps a queued call whose caller still waits and whose link `comes_back`.
    pub(super) fn keep_queued(&mut self, uid: u64, frame: Bytes, comes_back: impl FnOnce(LinkKey) -> bool) {
        if let Some(request) = self.table.get_mut(&uid)
            && let Purpose::Call { through, .. } = request.purpose
            && through.is_none_or(comes_back)
            && !request.is_forgotten()
        {
            request.stage = Stage::Kept(frame);
            self.kept += 1;
        }
    }

    /// Marks the kept calls through this link as queued, or with `None` those to the manager.
    /// Returns their frames, oldest first.
    pub(super) fn queue_kept(&mut self, link: Option<LinkKey>) -> Vec<(u64, Bytes)> {
        if self.kept == 0 {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for (&uid, request) in &mut self.table {
            let Purpose::Call { through, .. } = request.purpose else {
                continue;
            };
            if through == link
                && let Stage::Kept(frame) = &mut request.stage
            {
                frames.push((uid, std::mem::take(frame)));
                request.stage = Stage::Queued;
            }
        }
        self.kept -= frames.len();
        frames
    }

    /// Removes the kept calls through this link.
    pub(super) fn take_kept(&mut self, link: LinkKey) -> Vec<Request> {
        let kept = self.queue_kept(Some(link));
        kept.into_iter().filter_map(|(uid, _)| self.take(uid)).collect()
    }

    /// Marks a queued request as written, unless its caller no longer waits.
    pub(super) fn begin(&mut self, uid: u64) -> Begun {
        match self.table.get_mut(&uid) {
            Some(request) if !request.is_forgotten() => {
                request.stage = Stage::Written(0);
                Begun::Written
            }
            // The guard or the holder of a cancelled request sends a command of its own.
            Some(_) => {
                self.take(uid);
                Begun::Dropped
            }
            None => Begun::Dropped,
        }
    }

    /// Marks a request as written even if its caller no longer waits.
    pub(super) fn begin_ending(&mut self, uid: u64) {
        if let Some(request) = self.table.get_mut(&uid) {
            request.stage = Stage::Written(0);
        }
    }

    /// Notes the position in the session at which a request that was written ends.
    pub(super) fn ends_at(&mut self, uid: u64, position: u64) {
        if let Some(request) = self.table.get_mut(&uid) {
            request.stage = Stage::Written(position);
        }
    }

    /// Returns the position at which a request that was written ends.
    pub(super) fn end_of(&self, uid: u64) -> Option<u64> {
        match self.table.get(&uid)?.stage {
            Stage::Written(position) => Some(position),
            Stage::Queued | Stage::Kept(_) => None,
        }
    }

    /// Marks a request as queued again that the manager has not read.
    pub(super) fn unbegin(&mut self, uid: u64) {
        if let Some(request) = self.table.get_mut(&uid) {
            request.stage = Stage::Queued;
        }
    }

    pub(super) fn purpose(&self, uid: u64) -> Option<&Purpose> {
        Some(&self.table.get(&uid)?.purpose)
    }

    /// Returns the requests that were written, oldest first.
    pub(super) fn written(&self) -> Vec<u64> {
        self.written_beyond_or_at(0)
    }

    /// Returns the requests that end beyond this position.
    pub(super) fn written_beyond(&self, position: u64) -> Vec<u64> {
        self.written_beyond_or_at(position.saturating_add(1))
    }

    fn written_beyond_or_at(&self, position: u64) -> Vec<u64> {
        let ends_there = |request: &Request| matches!(request.stage, Stage::Written(end) if end >= position);
        let requests = self.table.iter();
        requests
            .filter(|(_, request)| ends_there(request))
            .map(|(&uid, _)| uid)
            .collect()
    }

    /// Removes a request.
    pub(super) fn take(&mut self, uid: u64) -> Option<Request> {
        let request = self.table.remove(&uid)?;
        if let Some(limit) = request.limit {
            self.deadlines.remove(&(limit.deadline, uid));
        }
        if matches!(request.stage, Stage::Kept(_)) {
            self.kept -= 1;
        }
        Some(request)
    }

    /// Removes the requests that may have stopped the manager.
    pub(super) fn take_shutdowns(&mut self) -> Vec<Request> {
        let table = self.table.iter();
        let uids: Vec<u64> = table
            .filter_map(|(uid, request)| request.shuts_manager_down().then_some(*uid))
            .collect();
        uids.into_iter().filter_map(|uid| self.take(uid)).collect()
    }

    /// Returns whether a call was handed out for writing; `None` if it has ended.
    pub(super) fn is_call_written(&self, uid: u64) -> Option<bool> {
        let request = self.table.get(&uid)?;
        matches!(request.purpose, Purpose::Call { .. }).then(|| request.is_written())
    }

    /// Returns a call that has no reply yet.
    pub(super) fn call(&mut self, uid: u64) -> Option<&mut Request> {
        let request = self.table.get_mut(&uid)?;
        matches!(request.purpose, Purpose::Call { .. }).then_some(request)
    }

    /// Notes for all calls that items may have been lost.
    pub(super) fn mark_item_gap(&self) {
        for request in self.table.values() {
            if let Purpose::Call {
                follower: Some(follower),
                ..
            } = &request.purpose
                && request.is_written()
            {
                follower.mark_gap();
            }
        }
    }

    /// Removes a request that was replied to. A reply to one that was not written is ignored.
    pub(super) fn take_answered(&mut self, uid: u64) -> Option<Request> {
        if self.table.get(&uid)?.is_written() {
            self.take(uid)
        } else {
            None
        }
    }

    /// Removes a request whose caller no longer waits. A request for a link or a lock stays until
    /// its reply, which determines the state of the link or the lock.
    pub(super) fn forget(&mut self, uid: u64) {
        if let Some(request) = self.table.get(&uid)
            && matches!(request.purpose, Purpose::Call { .. } | Purpose::Ending { .. })
        {
            self.take(uid);
        }
    }

    /// Removes the request for a lock if it was not written. Returns `false` if it was.
    pub(super) fn withdraw(&mut self, uid: u64) -> bool {
        let is_unwritten = self.table.get(&uid).is_some_and(|request| !request.is_written());
        is_unwritten && self.take(uid).is_some()
    }

    /// Removes the requests that are not kept.
    pub(super) fn take_lost(&mut self) -> Vec<Request> {
        let lost: Vec<u64> = self
            .table
            .iter()
            .filter(|(_, request)| !matches!(request.stage, Stage::Kept(_)))
            .map(|(&uid, _)| uid)
            .collect();
        lost.into_iter().filter_map(|uid| self.take(uid)).collect()
    }

    /// Removes all requests.
    pub(super) fn take_all(&mut self) -> Vec<Request> {
        self.deadlines.clear();
        self.kept = 0;
        std::mem::take(&mut self.table).into_values().collect()
    }

    /// Removes a request whose time limit has passed. Returns also its uid.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(u64, Request)> {
        let &(deadline, uid) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        Some((uid, self.take(uid)?))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        Some(self.deadlines.first()?.0)
    }

    /// Whether a caller's request for this link is in the table.
    pub(super) fn asks_for(&self, key: LinkKey) -> bool {
        let mut purposes = self.table.values().map(|request| &request.purpose);
        purposes.any(|purpose| match purpose {
            Purpose::Link { link, .. } | Purpose::Lock { link, .. } | Purpose::LockedLink { link, .. } => {
                *link == key
            }
            _ => false,
        })
    }

    /// Guesses which request an error without a uid is about. Older managers send such errors.
    pub(super) fn guess(&self, message: &str) -> Option<u64> {
        let names = |request: &Request| {
            let service = quoted(&request.target.service);
            message.contains(&format!("the {service} Service is not connected"))
        };
        let mut written = self.table.iter().filter(|(_, request)| request.is_written());
        let oldest = written.find(|(_, request)| names(request));
        oldest.map(|(&uid, _)| uid).or_else(|| self.newest_for_manager())
    }

    /// Whether the manager may ask for a login before it answers this request.
    pub(super) fn needs_login(&self, uid: u64) -> bool {
        self.table.get(&uid).is_some_and(Request::needs_login)
    }

    /// Returns the requests to the manager that may wait for a login. If there are none, the manager
    /// asks because of the newest request to it.
    pub(super) fn waiting_for_login(&self) -> Vec<u64> {
        let waiting = |request: &Request| request.is_written() && request.needs_login();
        let waiting = self.table.iter().filter(|(_, request)| waiting(request));
        let waiting: Vec<_> = waiting.map(|(&uid, _)| uid).collect();
        if waiting.is_empty() {
            return self.newest_for_manager().into_iter().collect();
        }
        waiting
    }

    /// Returns the newest request to the manager.
    pub(super) fn newest_for_manager(&self) -> Option<u64> {
        let mut newest = self.table.iter().rev();
        newest
            .find(|(_, request)| request.is_written() && &*request.target.service == MANAGER_NAME)
            .map(|(&uid, _)| uid)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.deadlines.is_empty() && self.kept == 0
    }
}
