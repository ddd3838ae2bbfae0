//! One link, with its locks and readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use labwire_device::Waits;
use tokio::sync::watch;

use crate::lock_options::LockOptions;
use crate::notification::Notification;
use crate::notification_queue::NotificationSender;
use crate::status::{LinkState, LinkStatus};

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) service: Arc<str>,
    pub(super) status: watch::Sender<LinkStatus>,
    pub(super) holders: usize,
    /// Whether the manager has granted a lock, and with it a link, before it has confirmed one.
    pub(super) is_granted: bool,
    /// The uids of the guards whose locks were requested.
    pub(super) acquiring: BTreeSet<u64>,
    /// The options of the lock that was granted last.
    options: Option<LockOptions>,
    /// Whether the lock is to be taken again, before the link: the manager was restarted, and keeps
    /// it for this client.
    pub(super) is_retaking: bool,
    /// When the lock is renewed, and its time to live.
    pub(super) renewal: Option<(Instant, Duration)>,
    pub(super) readers: Vec<NotificationSender>,
    pub(super) again: Again,
}

/// Whether a lost link is being made again.
#[derive(Debug)]
pub(super) enum Again {
    /// No.
    No,
    /// A request is in flight.
    Asked(Waits),
    /// The next request is due at this time.
    At(Instant, Waits),
}

impl Link {
    /// Creates the link that is to be requested.
    pub(super) fn new(service: Arc<str>) -> Self {
        let status = LinkStatus {
            state: LinkState::Asked,
            is_service_away: false,
            identity: Arc::default(),
            locks: BTreeSet::new(),
            suspended: BTreeSet::new(),
            lock_end: None,
            lock_ends: BTreeMap::new(),
        };
        Self {
            service,
            status: watch::Sender::new(status),
            holders: 0,
            is_granted: false,
            acquiring: BTreeSet::new(),
            options: None,
            is_retaking: false,
            renewal: None,
            readers: Vec::new(),
            again: Again::No,
        }
    }

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

    /// Notes that the lock has expired or was broken. Returns whether the link has to end: it is
    /// linked, and no other lock is requested, which the manager would grant with a link or refuse.
    /// Whoever hears that the lock is lost then finds the link ended already.
    pub(super) fn lock_ended(&mut self, reason: &Arc<str>) -> bool {
        let mut ends = false;
        self.status.send_modify(|status| {
            for guard in std::mem::take(&mut status.locks) {
                status.lock_ends.insert(guard, Arc::clone(reason));
            }
            status.lock_end = Some(Arc::clone(reason));
            ends = status.state == LinkState::Linked && self.acquiring.is_empty();
            if ends {
                status.enter(LinkState::Ended);
            }
        });
        ends
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
    pub(super) fn retake(&mut self) -> bool {
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
    pub(super) fn suspend_locks(&mut self) {
        self.status.send_if_modified(|status| {
            let locks = std::mem::take(&mut status.locks);
            let changes = !locks.is_empty();
            status.suspended.extend(locks);
            changes
        });
    }

    /// Ends the lock that is held. A requested one may still be granted: a grant that arrives after
    /// "unlinked" is for the service that came back.
    pub(super) fn lose_locks(&mut self) {
        self.is_retaking = false;
        self.status.send_if_modified(LinkStatus::lose_locks);
    }

    /// Ends the lock that is held, and enters a state in the same step.
    pub(super) fn lose_locks_and_enter(&mut self, state: LinkState) {
        self.is_retaking = false;
        self.status.send_if_modified(|status| {
            let loses = status.lose_locks();
            status.enter(state) || loses
        });
    }

    /// Ends the lock for all guards, and the requested ones: a client has at most one lock on a service.
    pub(super) fn end_locks(&mut self) {
        self.acquiring.clear();
        self.lose_locks();
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

    pub(super) fn enter(&mut self, state: LinkState) {
        self.status.send_if_modified(|status| status.enter(state));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Wake, Waker};

    use super::*;

    /// Looks at the state of a link at the moment that its handles hear of a change.
    struct Looks {
        status: watch::Receiver<LinkStatus>,
        seen: Mutex<Vec<(bool, LinkState)>>,
    }

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let (is_locked, state) = {
                let status = self.status.borrow();
                (!status.locks.is_empty(), status.state)
            };
            self.seen.lock().unwrap().push((is_locked, state));
        }
    }

    fn seen_after(change: impl FnOnce(&mut Link)) -> Vec<(bool, LinkState)> {
        let mut link = Link::new("Echo".into());
        link.acquiring(1);
        link.granted(1, &LockOptions::from(crate::Lock::Exclusive));
        link.enter(LinkState::Linked);
        let looks = Arc::new(Looks {
            status: link.subscribe(),
            seen: Mutex::default(),
        });
        let mut receiver = link.subscribe();
        let waker = Waker::from(Arc::clone(&looks));
        let changed = pin!(receiver.changed());
        assert!(changed.poll(&mut Context::from_waker(&waker)).is_pending());
        change(&mut link);
        std::mem::take(&mut *looks.seen.lock().unwrap())
    }

    #[test]
    fn who_hears_that_the_lock_is_lost_finds_the_link_lost_as_well() {
        let ended = seen_after(|link| assert!(link.lock_ended(&"the lock was broken".into())));
        assert_eq!(ended, [(false, LinkState::Ended)]);
        let away = seen_after(|link| link.lose_locks_and_enter(LinkState::Away));
        assert_eq!(away, [(false, LinkState::Away)]);
    }

    #[test]
    fn a_link_stays_while_another_lock_is_requested() {
        let seen = seen_after(|link| {
            link.acquiring(2);
            assert!(!link.lock_ended(&"the lock expired".into()));
        });
        assert_eq!(seen, [(false, LinkState::Linked)]);
    }
}
