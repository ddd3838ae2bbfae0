//! The budget of lines that are unfinished or wait to be routed.

use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::HashMap;

use crate::refusal::LineEnd;

/// The unit in which bytes are counted. Peers with less are left out, so that most lines cost
/// nothing here.
const STEP: usize = 8 * 1024;

/// The budget of bytes for the unfinished lines of all peers together. If it is exceeded, the peer
/// that holds most is called on to discard its line.
#[derive(Debug)]
pub(crate) struct LineBudget {
    budget: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    holders: HashMap<u64, Holder>,
    /// The bytes of all holders.
    held: usize,
    /// The bytes of the holders that are called on.
    called_on: usize,
}

/// A peer that holds something.
#[derive(Debug, Default)]
struct Holder {
    bytes: usize,
    is_called_on: bool,
    /// Wakes the task of a peer that waits for more of its line.
    waker: Option<Waker>,
}

impl State {
    /// Records how many bytes a peer holds now.
    fn set(&mut self, id: u64, bytes: usize) {
        let mut entry = match self.holders.entry(id) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(Holder::default()),
        };
        let holder = entry.get_mut();
        let before = std::mem::replace(&mut holder.bytes, bytes);
        self.held = self.held - before + bytes;
        if holder.is_called_on {
            self.called_on -= before;
            if bytes < before {
                holder.is_called_on = false;
            } else {
                self.called_on += bytes;
            }
        }
        if bytes == 0 {
            entry.remove();
        }
    }

    /// Calls on the largest holders until the others are within the budget.
    fn call_on_largest(&mut self, budget: usize) {
        while self.held - self.called_on > budget {
            let others = self.holders.iter_mut().filter(|(_, holder)| !holder.is_called_on);
            let Some((_, largest)) = others.max_by_key(|(id, holder)| (holder.bytes, **id)) else {
                return;
            };
            largest.is_called_on = true;
            self.called_on += largest.bytes;
            if let Some(waker) = largest.waker.take() {
                waker.wake();
            }
        }
    }
}

impl LineBudget {
    pub(crate) fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self {
            budget,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a peer's share, which holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> LineShare {
        let mut state = self.state();
        state.last_id += 1;
        LineShare {
            budget: Arc::clone(self),
            id: state.last_id,
            held: 0,
        }
    }

    /// Returns the number of bytes that all peers hold, without those that hold very little.
    pub(crate) fn held(&self) -> usize {
        self.state().held
    }
}

/// A peer's share of the budget. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct LineShare {
    budget: Arc<LineBudget>,
    id: u64,
    held: usize,
}

impl LineShare {
    /// Records how many bytes the peer holds now.
    #[inline]
    pub(crate) fn hold(&mut self, bytes: usize) {
        let bytes = bytes / STEP * STEP;
        if bytes != self.held {
            self.change(bytes);
        }
    }

    fn change(&mut self, bytes: usize) {
        let has_grown = bytes > self.held;
        self.held = bytes;
        let mut state = self.budget.state();
        state.set(self.id, bytes);
        if has_grown {
            state.call_on_largest(self.budget.budget);
        }
    }

    /// Returns whether the peer holds enough to be counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.held > 0
    }

    /// Waits until the peer is called on to discard its line. Returns the reason. Cancel safe.
    pub(crate) async fn over_budget(&self) -> LineEnd {
        poll_fn(|context| self.poll_called_on(context)).await;
        self.excess()
    }

    /// Returns why the line of a peer that is called on is discarded.
    pub(crate) fn excess(&self) -> LineEnd {
        LineEnd::OverBudget {
            budget: self.budget.budget,
        }
    }

    /// Returns whether the peer is called on to discard its line, because it holds most and the
    /// budget is exceeded. It is called on until it holds less.
    pub(crate) fn is_called_on(&self) -> bool {
        let is_called_on = |holder: &Holder| holder.is_called_on;
        self.is_counted()
            && self
                .budget
                .state()
                .holders
                .get(&self.id)
                .is_some_and(is_called_on)
    }

    /// Waits until the peer is called on. Only the task that polled last is woken.
    pub(crate) fn poll_called_on(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_counted() {
            return Poll::Pending;
        }
        let mut state = self.budget.state();
        match state.holders.get_mut(&self.id) {
            Some(holder) if holder.is_called_on => Poll::Ready(()),
            Some(holder) => {
                match &mut holder.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for LineShare {
    fn drop(&mut self) {
        if self.is_counted() {
            self.change(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn the_peer_that_holds_most_is_called_on_whoever_grows() {
        let budget = LineBudget::new(100 * STEP);
        let [mut most, mut some, mut little] = [(); 3].map(|()| budget.share());
        most.hold(50 * STEP);
        some.hold(40 * STEP);
        little.hold(10 * STEP);
        assert!(!most.is_called_on(), "the budget is not exceeded");
        little.hold(11 * STEP);
        let called_on = [&most, &some, &little].map(LineShare::is_called_on);
        assert_eq!(called_on, [true, false, false]);

        little.hold(60 * STEP);
        assert!(!some.is_called_on(), "what the largest holds is as good as gone");
        some.hold(41 * STEP);
        assert!(little.is_called_on(), "now it is the largest of the others");
        most.hold(0);
        little.hold(0);
        assert!(![&most, &some, &little].into_iter().any(LineShare::is_called_on));
        assert_eq!(budget.held(), 41 * STEP);
    }

    #[test]
    fn whoever_lets_go_is_called_on_no_longer_and_counts_again() {
        let budget = LineBudget::new(10 * STEP);
        let mut share = budget.share();
        share.hold(11 * STEP);
        assert!(share.is_called_on());
        share.hold(12 * STEP);
        assert!(share.is_called_on(), "it has not let go");
        share.hold(1);
        assert!(!share.is_called_on());
        share.hold(10 * STEP);
        assert!(!share.is_called_on());
        drop(share);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn crumbs_are_not_counted() {
        let budget = LineBudget::new(STEP);
        let mut shares = [(); 10].map(|()| budget.share());
        for share in &mut shares {
            share.hold(STEP - 1);
        }
        assert_eq!(budget.held(), 0);
        assert!(!shares.iter().any(LineShare::is_called_on));
    }

    #[tokio::test]
    async fn a_peer_that_waits_is_woken_when_it_is_called_on() {
        let budget = LineBudget::new(10 * STEP);
        let [mut large, mut small] = [(); 2].map(|()| budget.share());
        large.hold(8 * STEP);
        let waiting = poll_fn(|context| large.poll_called_on(context));
        let growing = async {
            tokio::task::yield_now().await;
            small.hold(3 * STEP);
            std::future::pending::<()>().await;
        };
        let waiting = async {
            tokio::select! {
                biased;
                () = waiting => {}
                () = growing => {}
            }
        };
        timeout(Duration::from_secs(10), waiting).await.unwrap();
    }
}
