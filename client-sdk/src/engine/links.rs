//! The table of links, with their locks and readers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_device::{Backoff, Waits};
use tokio::sync::watch;

use crate::identities::ServiceIdentity;
use crate::lock_options::LockOptions;
use crate::notification::Notification;
use crate::notification_queue::NotificationSender;
use crate::status::{LinkState, LinkStatus};

/// The number of renewals of a lock within its time to live: two may be lost or late.
const RENEWALS: u32 = 3;

/// Identifies a link. Several links can be with one service; all but the last have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkKey(u64);

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) service: Arc<str>,
    status: watch::Sender<LinkStatus>,
    holders: usize,
    /// Whether the manager has granted a lock, and with it a link, before it has confirmed one.
    is_granted: bool,
    /// The uids of the guards whose locks were requested.
    acquiring: BTreeSet<u64>,
    /// The options of the lock that was granted last.
    options: Option<LockOptions>,
    /// Whether the lock is to be taken again, before the link: the manager was restarted, and keeps
    /// it for this client.
    is_retaking: bool,
    /// When the lock is renewed, and its time to live.
    renewal: Option<(Instant, Duration)>,
    readers: Vec<NotificationSender>,
    again: Again,
}

/// Whether a lost link is being made again.
#[derive(Debug)]
enum Again {
    /// No.
    No,
    /// A request is in flight.
    Asked(Waits),
    /// The next request is due at this time.
    At(Instant, Waits),
}

impl Link {
    pub(super) fn state(&self) -> LinkState {
        self.status.borrow().state
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<LinkStatus> {
        self.status.subscribe()
    }

    /// Notes that a lock was requested.
    pub(super) fn acquiring(&mut self, guard: u64) {
        self.acquiring.insert(guard);
    }

    /// Marks a lock as held, unless it has ended meanwhile.
    pub(super) fn granted(&mut self, guard: u64, options: &LockOptions) {
        self.is_granted = true;
        self.options = Some(options.clone());
        if self.acquiring.remove(&guard) {
            self.status.send_modify(|status| {
                status.locks.insert(guard);
                status.lock_end = None;
            });
        }
    }

    /// Returns whether the manager has granted a lock, also one that was dropped meanwhile.
    pub(super) fn is_granted(&self) -> bool {
        self.is_granted
    }

    /// Forgets a lock that was refused or withdrawn. Returns whether the link has to end, because
    /// the lock before has ended.
    pub(super) fn refused(&mut self, guard: u64) -> bool {
        self.acquiring.remove(&guard);
        self.acquiring.is_empty() && self.lock_end().is_some()
    }

    /// Returns how the lock has ended that was not released, if it has.
    pub(super) fn lock_end(&self) -> Option<Arc<str>> {
        self.status.borrow().lock_end.clone()
    }

    /// Returns how the lock of a guard has ended that was not released, if it has: also if another guard
    /// has got the lock since.
    pub(super) fn lock_end_of(&self, guard: u64) -> Option<Arc<str>> {
        let status = self.status.borrow();
        let of_link = || status.lock_end.as_ref().filter(|_| status.locks.is_empty());
        status.lock_ends.get(&guard).or_else(of_link).cloned()
    }

    /// Notes that the lock has expired or was broken. Returns whether the link has to end: it stays
    /// while another lock is requested, which the manager grants with a link or refuses.
    pub(super) fn lock_ended(&mut self, reason: &Arc<str>) -> bool {
        self.status.send_modify(|status| {
            for guard in std::mem::take(&mut status.locks) {
                status.lock_ends.insert(guard, Arc::clone(reason));
            }
            status.lock_end = Some(Arc::clone(reason));
        });
        self.acquiring.is_empty()
    }

    /// Forgets how the lock of a guard has ended.
    pub(super) fn forget_end(&mut self, guard: u64) {
        self.status
            .send_if_modified(|status| status.lock_ends.remove(&guard).is_some());
    }

    /// Returns whether the lock of a guard was requested and not granted yet.
    pub(super) fn is_waiting(&self, guard: u64) -> bool {
        self.acquiring.contains(&guard)
    }

    /// Returns whether no lock is held or requested.
    pub(super) fn is_free(&self) -> bool {
        self.acquiring.is_empty() && !self.is_locked()
    }

    /// Returns whether a lock is held.
    pub(super) fn is_locked(&self) -> bool {
        !self.status.borrow().locks.is_empty()
    }

    /// Returns whether a guard has a lock to release, also one that was only requested.
    pub(super) fn has_lock(&self, guard: u64) -> bool {
        let status = self.status.borrow();
        self.acquiring.contains(&guard) || status.locks.contains(&guard) || status.suspended.contains(&guard)
    }

    /// Returns the options with which the lock is to be taken again, if it is.
    pub(super) fn retaking(&self) -> Option<LockOptions> {
        let options = self.options.as_ref().filter(|_| self.is_retaking)?;
        Some(options.again())
    }

    /// Notes that the lock is to be taken again: the manager keeps it. Returns whether a guard wants
    /// it.
    fn retake(&mut self) -> bool {
        let wants = {
            let status = self.status.borrow();
            !(status.locks.is_empty() && status.suspended.is_empty())
        };
        self.is_retaking = wants && self.options.is_some();
        self.is_retaking
    }

    /// Marks the lock as held by all guards that had it. Returns whether a guard wants it.
    pub(super) fn retaken(&mut self) -> bool {
        self.is_retaking = false;
        self.is_granted = true;
        self.status.send_if_modified(|status| {
            let suspended = std::mem::take(&mut status.suspended);
            let changes = !suspended.is_empty();
            status.locks.extend(suspended);
            changes
        });
        self.is_locked()
    }

    /// Returns the time to live of the lock that was granted last.
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.options.as_ref()?.ttl
    }

    /// Notes that the lock could not be taken again.
    pub(super) fn retake_refused(&mut self, reason: &Arc<str>) {
        self.is_retaking = false;
        self.status.send_modify(|status| {
            let suspended = std::mem::take(&mut status.suspended);
            for guard in std::mem::take(&mut status.locks).into_iter().chain(suspended) {
                status.lock_ends.insert(guard, Arc::clone(reason));
            }
        });
    }

    /// Notes that the lock is not held, unless the manager turns out to have kept it.
    fn suspend_locks(&mut self) {
        self.status.send_if_modified(|status| {
            let locks = std::mem::take(&mut status.locks);
            let changes = !locks.is_empty();
            status.suspended.extend(locks);
            changes
        });
    }

    /// Ends the lock for all guards: a client has at most one lock on a service. Requested locks
    /// end as well.
    pub(super) fn end_locks(&mut self) {
        self.acquiring.clear();
        self.lose_locks();
    }

    /// Ends the lock that is held. A requested one may still be granted: a grant that arrives after
    /// "unlinked" is for the service that came back.
    pub(super) fn lose_locks(&mut self) {
        self.is_retaking = false;
        self.status.send_if_modified(|status| {
            let changes = !(status.locks.is_empty() && status.suspended.is_empty());
            status.locks.clear();
            status.suspended.clear();
            changes
        });
    }

    pub(super) fn add_reader(&mut self, reader: NotificationSender) {
        self.readers.push(reader);
    }

    /// Passes a notification to the readers.
    pub(super) fn notify(&mut self, notification: &Notification) {
        self.readers.retain(|reader| !reader.is_closed());
        for reader in &self.readers {
            reader.push(notification.clone());
        }
    }

    /// Notes whether the connection of the service is broken.
    pub(super) fn set_service_away(&mut self, is_away: bool) {
        self.status.send_if_modified(|status| {
            let changes = status.is_service_away != is_away;
            status.is_service_away = is_away;
            changes
        });
    }

    fn enter(&mut self, state: LinkState) {
        self.status.send_if_modified(|status| {
            let changes = status.state != LinkState::Ended && status.state != state;
            if changes {
                status.state = state;
                // Only a linked client hears that the service is back.
                status.is_service_away &= matches!(state, LinkState::Linked | LinkState::Paused);
            }
            changes
        });
    }
}

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
        let status = LinkStatus {
            state: LinkState::Asked,
            is_service_away: false,
            identity: Arc::default(),
            locks: BTreeSet::new(),
            suspended: BTreeSet::new(),
            lock_end: None,
            lock_ends: BTreeMap::new(),
        };
        let link = Link {
            service: Arc::clone(&service),
            status: watch::Sender::new(status),
            holders: 0,
            is_granted: false,
            acquiring: BTreeSet::new(),
            options: None,
            is_retaking: false,
            renewal: None,
            readers: Vec::new(),
            again: Again::No,
        };
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
            link.lose_locks();
            link.enter(LinkState::Away);
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
                if keeps_locks {
                    link.acquiring.clear();
                } else {
                    link.end_locks();
                }
                link.enter(LinkState::Away);
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
            link.end_locks();
            link.enter(LinkState::Ended);
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
