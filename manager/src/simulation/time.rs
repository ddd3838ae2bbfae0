//! Virtual time, and the timeout of clients that have closed their sending side.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::model::Model;
use super::state::Key;
use super::waiting::Finished;
use super::world::{Failure, World};
use crate::refusal::WaitEnd;

/// How long a client that sends no more is kept for its last replies.
const LAST_REPLIES: Duration = Duration::from_secs(4);

impl Model {
    /// Returns the time of day.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(i64::try_from(self.time.as_secs()).unwrap_or(i64::MAX))
            .unwrap_or(Timestamp::MAX)
    }

    /// Ends the links and locks of a client that sends no more. Returns whether it is kept for its
    /// last replies.
    fn finish(&mut self, key: Key) -> bool {
        let linked: Vec<_> = self.links.iter().copied().filter(|pair| pair.1 == key).collect();
        for (service, client) in linked {
            self.end_link(service, client);
        }
        self.locks.retain(|pair, _| pair.1 != key);
        self.release_reserved(key, None);
        for service in self.services_that_wait_for(key) {
            self.end_wait(service, key, WaitEnd::SendsNoMore);
        }
        self.settle();
        let until = self.time + LAST_REPLIES;
        let waits = self.in_flight.iter().any(|request| request.client == key);
        if let Some(peer) = self.peers.get_mut(&key).filter(|_| waits) {
            peer.until = Some(until);
        }
        waits
    }

    /// Returns the clients whose wait for their last replies has ended.
    fn finished(&self) -> Vec<Key> {
        let peers = self.peers.iter();
        let waiting = peers.filter_map(|(key, peer)| Some((*key, peer.until?)));
        waiting
            .filter(|(key, until)| {
                self.time >= *until || self.in_flight.iter().all(|request| request.client != *key)
            })
            .map(|(key, _)| key)
            .collect()
    }
}

impl World {
    /// Returns the time for the manager's timers.
    pub(super) fn now(&self) -> Instant {
        self.began + self.model.time
    }

    /// Returns whether the client has closed its sending side.
    pub(super) fn has_finished(&self, key: Key) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.finished.is_some())
    }

    /// Returns whether all that the peer sent is routed, so that it may close its sending side.
    pub(super) fn has_said_all(&self, key: Key) -> bool {
        let peer = self.peers.get(&key);
        peer.is_some_and(|peer| peer.sent.is_empty() && peer.finished.is_none())
            && !self.is_held(key)
            && !self.is_arriving(key)
    }

    /// Closes the sending side of a client.
    pub(super) fn finish(&mut self, key: Key) -> Result<(), Failure> {
        let until = self.now() + LAST_REPLIES;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let told = self.routing.finish(peer.attachment.id(), until.into());
        let (waits, predicted) = (told.is_some(), self.model.finish(key));
        if waits != predicted {
            return Err(format!("a client that sends no more is kept: {waits}"));
        }
        if let Some(told) = told {
            peer.finished = Some(Finished { told });
            return Ok(());
        }
        // Its requests that waited for locks were refused before it leaves.
        self.check()?;
        self.leave(key)
    }

    /// Lets time pass, and handles the deadlines that are due.
    pub(super) fn pass(&mut self, time: Duration) {
        self.model.time += time;
        let seconds = i64::try_from(self.model.time.as_secs()).unwrap_or(i64::MAX);
        self.seconds.store(seconds, Ordering::Relaxed);
        self.model.expire_locks();
        let now = self.now();
        while self
            .routing
            .registry()
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.routing.expire(now);
        }
        self.let_absent_leave();
    }

    /// Removes the clients whose wait for their last replies has ended.
    pub(super) fn let_finished_leave(&mut self) -> Result<(), Failure> {
        let peers = self.peers.iter();
        let finished = peers.filter(|(_, peer)| peer.finished.as_ref().is_some_and(Finished::is_told));
        let finished: Vec<Key> = finished.map(|(key, _)| *key).collect();
        let predicted = self.model.finished();
        if finished != predicted {
            return Err(format!("{finished:?} wait no longer instead of {predicted:?}"));
        }
        for key in finished {
            self.leave(key)?;
        }
        Ok(())
    }
}
