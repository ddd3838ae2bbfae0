//! The budget of the bytes that are kept for peers with sessions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Pool;

/// The bytes that may be kept for each peer regardless of the others: a run of small frames.
const FREE: usize = 32 * 1024;

/// The budget of the bytes that are kept for all peers together: those that a connected peer has not
/// confirmed, and those that wait for one that is away.
///
/// It is a [`Pool`]: whoever has most loses its oldest bytes first.
#[derive(Debug)]
pub(crate) struct SessionBudget {
    pool: Mutex<Pool>,
    /// The bytes that were not kept: beyond the limit of a peer, or beyond this budget.
    dropped: AtomicU64,
}

impl SessionBudget {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            pool: Mutex::new(Pool::new(budget, FREE)),
            dropped: AtomicU64::new(0),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // No code that can panic runs under this lock.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a peer for which `has` bytes are kept may have `more`.
    pub(crate) fn admits(&self, has: usize, more: usize) -> bool {
        self.pool().admits(has, more)
    }

    /// Records that `before` bytes were kept for a peer, and `after` are now.
    pub(crate) fn change(&self, before: usize, after: usize) {
        let mut pool = self.pool();
        if after > before {
            pool.add(before, after - before);
        } else {
            pool.subtract(before, before - after);
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
        self.pool().used()
    }
}
