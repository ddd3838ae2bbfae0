//! The number of a client's requests in flight.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::budget::Pool;

/// The number of a client's requests in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: usize,
    /// Notified once there are none.
    waiting: Option<Arc<Notify>>,
}

impl InFlight {
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns a notification of the time when there are none; `None` if there are none now.
    pub(super) fn await_last(&mut self) -> Option<Arc<Notify>> {
        (self.count > 0).then(|| Arc::clone(self.waiting.get_or_insert_default()))
    }

    /// Notifies the waiter that no more replies come. Returns whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        let waiting = self.waiting.take();
        if let Some(waiting) = &waiting {
            waiting.notify_one();
        }
        waiting.is_some()
    }

    #[inline]
    pub(super) fn add_one(&mut self, all: &mut Pool) {
        all.add(self.count, 1);
        self.count += 1;
    }

    #[inline]
    pub(super) fn remove(&mut self, count: usize, all: &mut Pool) {
        all.subtract(self.count, count);
        self.count -= count;
        if self.count == 0
            && let Some(waiting) = self.waiting.take()
        {
            waiting.notify_one();
        }
    }
}
