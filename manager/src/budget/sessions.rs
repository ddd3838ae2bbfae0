//! The budget of the bytes that are kept for peers with sessions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::Pool;

/// The bytes that may be kept for each peer regardless of the others: a run of small frames.
const FREE: usize = 32 * 1024;

/// The part of the budget, as a divisor, for services that are away.
const PINNED: usize = 2;

/// The budget of the bytes that are kept for all peers together: those that a connected peer has not
/// confirmed, and those that wait for one that is away.
///
/// A peer may have its equal share of it whatever others have: those that have more lose their oldest
/// bytes. So peers that never confirm push out nothing that is kept for others. What waits for a
/// service that is away cannot be taken from it, since requests are among it; that may fill half of
/// the budget, and is a [`Pool`].
///
/// `Q` is the queue of a peer.
#[derive(Debug)]
pub(crate) struct SessionBudget<Q> {
    state: Mutex<State<Q>>,
    last_number: AtomicU64,
    /// The bytes that were not kept: beyond the limit of a peer, or beyond this budget.
    dropped: AtomicU64,
}

#[derive(Debug)]
struct State<Q> {
    budget: usize,
    /// The users whose bytes can be dropped.
    pool: Pool,
    /// The services that are away.
    pinned: Pool,
    /// Those of the pool that have more than is free, by their bytes and their number.
    largest: BTreeMap<(usize, u64), Weak<Q>>,
}

impl<Q> State<Q> {
    /// Returns the bytes that the pool may have.
    fn left(&self) -> usize {
        self.budget.saturating_sub(self.pinned.used())
    }

    /// Returns the equal share of each user of the pool, if there are `more` of them.
    fn share(&self, more: usize) -> usize {
        (self.left() / (self.pool.users() + more).max(1)).max(FREE)
    }
}

impl<Q> SessionBudget<Q> {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            state: Mutex::new(State {
                budget,
                pool: Pool::new(budget, FREE),
                pinned: Pool::new(budget / PINNED, FREE),
                largest: BTreeMap::new(),
            }),
            last_number: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<Q>> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of a new user.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns whether a peer for which `has` bytes are kept may have `more`. `is_pinned` is whether
    /// it is a service that is away.
    pub(crate) fn admits(&self, has: usize, more: usize, is_pinned: bool) -> bool {
        let state = self.state();
        if is_pinned {
            return state.pinned.admits(has, more);
        }
        let wanted = has.saturating_add(more);
        wanted <= state.share(usize::from(has == 0))
            || (state.pool.admits(has, more) && state.pool.used().saturating_add(more) <= state.left())
    }

    /// Returns whether a service that goes away may have `bytes`.
    pub(crate) fn admits_pinned(&self, bytes: usize) -> bool {
        self.state().pinned.admits(0, bytes)
    }

    /// Records that `before` bytes were kept for a peer, and `after` are now.
    pub(crate) fn change(
        &self,
        (number, queue): (u64, &Weak<Q>),
        before: usize,
        after: usize,
        is_pinned: bool,
    ) {
        let mut state = self.state();
        let State {
            pool,
            pinned,
            largest,
            ..
        } = &mut *state;
        let pool = if is_pinned { pinned } else { pool };
        if after > before {
            pool.add(before, after - before);
        } else {
            pool.subtract(before, before - after);
        }
        if !is_pinned {
            if before > FREE {
                largest.remove(&(before, number));
            }
            if after > FREE {
                largest.insert((after, number), Weak::clone(queue));
            }
        }
    }

    /// Calls `drop_kept` with peers that have more than their share, and with that share, the largest
    /// first, until the budget is not exceeded.
    pub(crate) fn relieve(&self, drop_kept: impl Fn(&Q, usize)) {
        let mut last = None;
        loop {
            let (queue, share) = {
                let state = self.state();
                if state.pool.used() <= state.left() {
                    return;
                }
                let share = state.share(0);
                match state.largest.last_key_value() {
                    Some((key, queue)) if key.0 > share && last != Some(*key) => {
                        last = Some(*key);
                        (queue.upgrade(), share)
                    }
                    // What has no more than its share is free, or cannot be dropped yet.
                    _ => return,
                }
            };
            if let Some(queue) = queue {
                drop_kept(&queue, share);
            }
        }
    }

    /// Counts bytes that were not kept.
    pub(crate) fn count_dropped(&self, bytes: usize) {
        self.dropped.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the number of bytes that were not kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the bytes that are kept for all peers.
    pub(crate) fn used(&self) -> usize {
        let state = self.state();
        state.pool.used() + state.pinned.used()
    }
}
