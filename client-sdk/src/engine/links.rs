//! The table of links.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_device::Backoff;

use super::link::{Again, Link};
use crate::identities::ServiceIdentity;
use crate::notification_queue::NotificationSender;
use crate::status::LinkState;

/// The number of renewals of a lock within its time to live: two may be lost or late.
const RENEWALS: u32 = 3;

/// Identifies a link. Several links can be with one service; all but the last have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkKey(u64);

/// The table of links that have a holder.
#[derive(Debug, Default)]
pub(super) struct Links {
    table: BTreeMap<LinkKey, Link>,
    /// For each service, the link that has not ended.
    current: HashMap<Arc<str>, LinkKey>,
    /// The link of each holder.
    holders: HashMap<u64, LinkKey>,
    retries: BTreeSet<(Instant, LinkKey)>,
    /// The locks to renew, by the link.
    renewals: BTreeSet<(Instant, LinkKey)>,
}

impl Links {
    /// Adds a holder to the link with a service. Creates the link if there is none.
    pub(super) fn join(&mut self, holder: u64, service: Arc<str>) -> LinkKey {
        let key = match self.current.get(&service) {
            Some(&key) => key,
            None => self.add(holder, service),
        };
        self.holders.insert(holder, key);
        if let Some(link) = self.table.get_mut(&key) {
            link.holders += 1;
        }
        key
    }

    fn add(&mut self, holder: u64, service: Arc<str>) -> LinkKey {
        let key = LinkKey(holder);
        let link = Link::new(Arc::clone(&service));
        self.table.insert(key, link);
        self.current.insert(service, key);
        key
    }

    /// Removes a holder. Returns the service if the link has ended with it and the manager has to
    /// be notified.
    pub(super) fn leave(&mut self, holder: u64) -> Option<Arc<str>> {
        let key = self.holders.remove(&holder)?;
        let link = self.table.get_mut(&key)?;
        link.holders -= 1;
        if link.holders > 0 {
            return None;
        }
        self.cancel_retry(key);
        self.cancel_renewal(key);
        let link = self.table.remove(&key)?;
        if self.current.get(&link.service) != Some(&key) {
            return None;
        }
        self.current.remove(&link.service);
        Some(link.service)
    }

    /// Returns the link of a holder.
    pub(super) fn of_holder(&mut self, holder: u64) -> Option<(LinkKey, &mut Link)> {
        let key = *self.holders.get(&holder)?;
        Some((key, self.table.get_mut(&key)?))
    }

    pub(super) fn get_mut(&mut self, key: LinkKey) -> Option<&mut Link> {
        self.table.get_mut(&key)
    }

    /// Returns the state of a link. One without holders has ended.
    pub(super) fn state(&self, key: LinkKey) -> LinkState {
        self.table.get(&key).map_or(LinkState::Ended, Link::state)
    }

    /// Returns the link with a service that has not ended.
    pub(super) fn with(&mut self, service: &str) -> Option<(LinkKey, &mut Link)> {
        let key = *self.current.get(service)?;
        Some((key, self.table.get_mut(&key)?))
    }

    /// Returns the links that have not ended, oldest first.
    pub(super) fn live(&self) -> Vec<LinkKey> {
        let mut live: Vec<LinkKey> = self.current.values().copied().collect();
        live.sort_unstable();
        live
    }

    /// Marks a link as made. `identity` is `None` if it cannot be read. Returns `false` if the link
    /// has ended.
    pub(super) fn linked(&mut self, key: LinkKey, identity: Option<ServiceIdentity>) -> bool {
        self.cancel_retry(key);
        let Some(link) = self.table.get_mut(&key) else {
            return false;
        };
        if link.state() == LinkState::Ended {
            return false;
        }
        link.status.send_modify(|status| {
            status.state = LinkState::Linked;
            if let Some(identity) = identity {
                status.identity = Arc::new(identity);
            }
        });
        true
    }

    /// Marks a link as away because its service has disconnected. Ends its notifications unless it
    /// `comes_back`.
    pub(super) fn lose(&mut self, key: LinkKey, comes_back: bool) {
        self.cancel_retry(key);
        if let Some(link) = self.table.get_mut(&key) {
            link.lose_locks_and_enter(LinkState::Away);
            if !comes_back {
                link.readers.clear();
            }
        }
    }

    /// Marks the links as paused: the connection is broken, and the manager keeps the session. The
    /// requests for lost links that are due later are made after the return.
    pub(super) fn pause(&mut self) {
        for key in self.live() {
            let Some(link) = self.table.get_mut(&key) else {
                continue;
            };
            if link.state() == LinkState::Linked {
                link.enter(LinkState::Paused);
            }
            if matches!(link.again, Again::At(..)) {
                self.cancel_retry(key);
            }
        }
    }

    /// Marks the paused links as linked.
    pub(super) fn resume(&mut self) {
        for key in self.live() {
            if let Some(link) = self.table.get_mut(&key)
                && link.state() == LinkState::Paused
            {
                link.enter(LinkState::Linked);
            }
        }
    }

    /// Notes that notifications may be lost, an unknown number.
    pub(super) fn mark_gap(&self) {
        for link in self
            .table
            .values()
            .filter(|link| link.state() == LinkState::Linked)
        {
            link.readers.iter().for_each(NotificationSender::mark_gap);
        }
    }

    pub(super) fn is_linked(&self, key: LinkKey) -> bool {
        self.state(key) == LinkState::Linked
    }

    /// Returns whether a lost link has to be requested again.
    pub(super) fn wants_again(&self, key: LinkKey) -> bool {
        let link = self.table.get(&key);
        link.is_some_and(|link| link.state() == LinkState::Away && matches!(link.again, Again::No))
    }

    /// Returns the links whose locks are renewed.
    pub(super) fn renewed(&self) -> Vec<LinkKey> {
        let renewed = self.renewals.iter().map(|(_, key)| *key);
        let is_locked = |key: &LinkKey| self.table.get(key).is_some_and(Link::is_locked);
        renewed.filter(is_locked).collect()
    }

    /// Marks all links as away because the connection is lost. Ends their locks unless it is still to
    /// be seen whether the manager `keeps_locks`.
    pub(super) fn cut(&mut self, keeps_locks: bool) {
        for key in self.live() {
            self.cancel_retry(key);
            if let Some(link) = self.table.get_mut(&key) {
                link.acquiring.clear();
                if keeps_locks {
                    link.enter(LinkState::Away);
                } else {
                    link.lose_locks_and_enter(LinkState::Away);
                }
            }
        }
    }

    /// Notes that the locks are not held, unless the manager turns out to have kept them.
    pub(super) fn suspend_locks(&mut self) {
        for link in self.table.values_mut() {
            link.suspend_locks();
        }
    }

    /// Notes for which services the manager keeps a lock since it was restarted. The others end.
    /// Returns the services whose lock nobody wants any more.
    pub(super) fn retake(&mut self, kept: &[Arc<str>]) -> Vec<Arc<str>> {
        let mut unwanted = kept.to_vec();
        for key in self.live() {
            let Some(link) = self.table.get_mut(&key) else {
                continue;
            };
            let place = unwanted.iter().position(|service| *service == link.service);
            match place {
                Some(place) if link.retake() => {
                    unwanted.swap_remove(place);
                }
                _ => link.lose_locks(),
            }
            self.cancel_renewal(key);
        }
        unwanted
    }

    /// Ends a link for good.
    pub(super) fn end(&mut self, key: LinkKey) {
        self.cancel_retry(key);
        if let Some(link) = self.table.get_mut(&key) {
            link.acquiring.clear();
            link.lose_locks_and_enter(LinkState::Ended);
            link.readers.clear();
            if self.current.get(&link.service) == Some(&key) {
                self.current.remove(&link.service);
            }
        }
    }

    /// Notes that a lost link was requested again. After a retry its waits continue; otherwise they
    /// start again.
    pub(super) fn asking_again(&mut self, key: LinkKey, backoff: Backoff) {
        if let Some(link) = self.table.get_mut(&key) {
            link.again = match std::mem::replace(&mut link.again, Again::No) {
                Again::At(at, waits) => {
                    self.retries.remove(&(at, key));
                    Again::Asked(waits)
                }
                Again::No | Again::Asked(_) => Again::Asked(backoff.waits()),
            };
        }
    }

    /// Schedules a retry after the manager refused to make a link again.
    pub(super) fn ask_later(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.table.get_mut(&key) else {
            return;
        };
        if link.state() != LinkState::Away {
            return;
        }
        match std::mem::replace(&mut link.again, Again::No) {
            Again::Asked(mut waits) => {
                // A time beyond the range of `Instant` means no retry.
                if let Some(at) = now.checked_add(waits.next_wait()) {
                    link.again = Again::At(at, waits);
                    self.retries.insert((at, key));
                }
            }
            // A retry is scheduled already, or none is wanted.
            again @ (Again::No | Again::At(..)) => link.again = again,
        }
    }

    /// Cancels all retries: the client is leaving.
    pub(super) fn cancel_retries(&mut self) {
        while let Some((_, key)) = self.retries.pop_first() {
            if let Some(link) = self.table.get_mut(&key) {
                link.again = Again::No;
            }
        }
    }

    /// Returns a link whose retry is due.
    pub(super) fn due(&self, now: Instant) -> Option<LinkKey> {
        let &(at, key) = self.retries.first()?;
        (at <= now).then_some(key)
    }

    /// Schedules the renewals of a lock that was granted at `now`; `None` if it needs none.
    pub(super) fn renew_later(&mut self, key: LinkKey, ttl: Option<Duration>, now: Instant) {
        self.cancel_renewal(key);
        let Some(link) = self.table.get_mut(&key) else {
            return;
        };
        // A time beyond the range of `Instant` means no renewal.
        if let Some(ttl) = ttl
            && let Some(at) = now.checked_add(ttl / RENEWALS)
        {
            link.renewal = Some((at, ttl));
            self.renewals.insert((at, key));
        }
    }

    /// Returns a link whose lock has to be renewed, and schedules the next renewal.
    pub(super) fn renewal_due(&mut self, now: Instant) -> Option<LinkKey> {
        loop {
            let &(at, key) = self.renewals.first().filter(|(at, _)| *at <= now)?;
            let link = self.table.get_mut(&key);
            let ttl = link.filter(|link| link.is_locked()).and_then(|link| link.renewal);
            match ttl {
                Some((_, ttl)) => {
                    self.renew_later(key, Some(ttl), now);
                    return Some(key);
                }
                // The lock has ended.
                None => {
                    self.renewals.remove(&(at, key));
                }
            }
        }
    }

    fn cancel_renewal(&mut self, key: LinkKey) {
        let renewal = self.table.get_mut(&key).and_then(|link| link.renewal.take());
        if let Some((at, _)) = renewal {
            self.renewals.remove(&(at, key));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let [retry, renewal] = [&self.retries, &self.renewals].map(|all| Some(all.first()?.0));
        [retry, renewal].into_iter().flatten().min()
    }

    fn cancel_retry(&mut self, key: LinkKey) {
        if let Some(link) = self.table.get_mut(&key)
            && let Again::At(at, _) = std::mem::replace(&mut link.again, Again::No)
        {
            self.retries.remove(&(at, key));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.current.is_empty()
            && self.holders.is_empty()
            && self.retries.is_empty()
            && self.renewals.is_empty()
    }
}
