//! The budget of the queues of all peers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::is_fair;

/// The unit of the count, in bytes: queues count in multiples of it, rounded down. It is also the
/// size that each queue may have regardless of the budget: a run of small frames.
pub(crate) const STEP: usize = 32 * 1024;

/// The most waiting queues that are offered room in one step, during which no other task runs.
const SERVED: usize = 64;

/// A queue in which a producer waits for room.
pub(crate) trait Waiting: fmt::Debug + Send + Sync {
    /// Grants room to waiting producers, as far as there is room. Called while no queue is locked.
    fn take_waiting(&self);
}

#[derive(Debug)]
struct Waiter {
    queue: Weak<dyn Waiting>,
    is_new: bool,
}

/// The budget of bytes for the queues of all peers together.
///
/// While the budget is exceeded, or a producer waits for room in it, each reader whose queue has
/// more than its fair share is pressed: it must read, or it is disconnected like any reader for
/// whom others wait. As long as no waiting queue finds room, this share is halved after each stall
/// time. The last quarter is for queues that are empty or have less than their fair share: see
/// [`is_fair`].
#[derive(Debug)]
pub(crate) struct QueueBudget {
    budget: usize,
    /// Three quarters of the budget. Up to this total, every queue may grow.
    plenty: usize,
    stall: Duration,
    state: Mutex<State>,
    /// A copy of the used bytes in the state, for checks without the lock.
    used: AtomicUsize,
    /// A copy of whether `pressed` in the state is set.
    is_pressed: AtomicBool,
    /// Whether a queue has shrunk while others wait, so that they may find room.
    has_shrunk: AtomicBool,
    /// How often a producer began to wait.
    waits: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// The number of queues that are counted.
    users: usize,
    /// The waiting queues in order of their arrival.
    waiting: BTreeMap<u64, Waiter>,
    last_ticket: u64,
    /// The ticket of the last queue that was offered room, or 0.
    last_served: u64,
    /// The number of waiters that check for room themselves: see [`QueueBudget::press`].
    looking: usize,
    /// The number of waiters, of both kinds, whose queue has no counted bytes.
    newcomers: usize,
    /// Set while readers are pressed.
    pressed: Option<Pressed>,
}

/// A period in which readers are pressed. It begins anew when a queue stops waiting.
#[derive(Debug, Default)]
struct Pressed {
    /// The start of the period: set when the first reader checks.
    since: Option<Instant>,
}

impl QueueBudget {
    /// Creates a budget of `budget` bytes. `stall` is the time in which a reader may read nothing
    /// while others wait for it.
    pub(crate) fn new(budget: usize, stall: Duration) -> Arc<Self> {
        Arc::new(Self {
            budget,
            plenty: budget - budget / 4,
            stall,
            state: Mutex::default(),
            used: AtomicUsize::new(0),
            is_pressed: AtomicBool::new(false),
            has_shrunk: AtomicBool::new(false),
            waits: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a queue may have `more` bytes in addition to `taken`, of which `counted` are
    /// counted here.
    #[inline]
    pub(crate) fn admits(&self, counted: usize, taken: usize, more: usize) -> bool {
        let wanted = taken.saturating_add(more);
        // The queue's own bytes count twice here. At worst that leads to the exact check.
        self.used().saturating_add(wanted) <= self.plenty || self.has_room(counted, taken, wanted)
    }

    /// As [`admits`](Self::admits), for budgets that are nearly used up.
    #[cold]
    fn has_room(&self, counted: usize, taken: usize, wanted: usize) -> bool {
        if wanted <= STEP {
            return true;
        }
        let state = self.state();
        let others = state.used - counted;
        let used = others.saturating_add(wanted);
        if used <= self.plenty {
            return true;
        }
        if taken == 0 {
            return used <= self.budget || others == 0;
        }
        let users = state.users + usize::from(counted == 0);
        is_fair(self.budget, users, used, wanted)
    }

    /// Records that a queue had `before` counted bytes and has `after` now.
    pub(crate) fn change(&self, before: usize, after: usize) {
        let mut state = self.state();
        state.used = state.used - before + after;
        self.used.store(state.used, Ordering::Relaxed);
        state.users = state.users + usize::from(after > 0) - usize::from(before > 0);
        if after < before && !state.waiting.is_empty() {
            self.has_shrunk.store(true, Ordering::Relaxed);
        }
        self.note_pressed(&mut state);
    }

    fn note_pressed(&self, state: &mut State) {
        if state.waiting.is_empty() && state.looking == 0 && state.used <= self.budget {
            state.pressed = None;
        } else {
            state.pressed.get_or_insert_default();
        }
        self.is_pressed.store(state.pressed.is_some(), Ordering::Relaxed);
    }

    /// Returns whether the reader of a queue with `counted` bytes is pressed. `clock` is called
    /// only while any reader is.
    #[inline]
    pub(crate) fn presses(&self, counted: usize, clock: impl FnOnce() -> Instant) -> bool {
        self.is_pressed.load(Ordering::Relaxed) && counted > self.pressed_share(clock())
    }

    fn pressed_share(&self, now: Instant) -> usize {
        let mut state = self.state();
        let Some(pressed) = &mut state.pressed else {
            return usize::MAX;
        };
        let since = *pressed.since.get_or_insert(now);
        let share = self.budget / (state.users + state.newcomers).max(1);
        let stalls = now.saturating_duration_since(since).as_millis() / self.stall.as_millis().max(1);
        let less = u32::try_from(stalls)
            .ok()
            .and_then(|stalls| share.checked_shr(stalls));
        less.unwrap_or_default()
    }

    /// Adds a queue in which a producer waits for room, with `counted` bytes counted here. Returns
    /// the ticket for [`leave`](Self::leave).
    pub(crate) fn enter(&self, queue: Weak<dyn Waiting>, counted: usize) -> u64 {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let is_new = counted == 0;
        let mut state = self.state();
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        state.waiting.insert(ticket, Waiter { queue, is_new });
        state.newcomers += usize::from(is_new);
        self.note_pressed(&mut state);
        ticket
    }

    /// Removes a queue in which nobody waits any longer.
    pub(crate) fn leave(&self, ticket: u64) {
        let mut state = self.state();
        if let Some(Waiter { is_new, .. }) = state.waiting.remove(&ticket) {
            state.newcomers -= usize::from(is_new);
        }
        state.pressed = None;
        self.note_pressed(&mut state);
    }

    /// Presses readers as long as the returned guard lives, for a waiter that checks for room
    /// itself. `counted` is the number of counted bytes of the queue that it waits for.
    pub(crate) fn press(self: &Arc<Self>, counted: usize) -> Pressing {
        let is_new = counted == 0;
        let mut state = self.state();
        state.looking += 1;
        state.newcomers += usize::from(is_new);
        self.note_pressed(&mut state);
        drop(state);
        Pressing {
            budget: Arc::clone(self),
            is_new,
        }
    }

    /// Offers room to waiting producers, if a queue has shrunk. No queue may be locked.
    #[inline]
    pub(crate) fn serve_waiting(&self) {
        if self.has_shrunk.load(Ordering::Relaxed) && self.has_shrunk.swap(false, Ordering::Relaxed) {
            self.serve_some();
        }
    }

    fn serve_some(&self) {
        for queue in self.next_waiting() {
            if self.used() >= self.budget {
                return;
            }
            queue.take_waiting();
        }
    }

    /// Returns the next waiting queues, in turn.
    fn next_waiting(&self) -> Vec<Arc<dyn Waiting>> {
        let mut state = self.state();
        let first = state.last_served + 1;
        let next = state.waiting.range(first..).take(SERVED);
        let (tickets, queues): (Vec<_>, Vec<_>) = next
            .filter_map(|(ticket, waiter)| Some((*ticket, waiter.queue.upgrade()?)))
            .unzip();
        state.last_served = match tickets.last() {
            Some(last) if tickets.len() == SERVED => *last,
            // The next time begins with the first queue.
            _ => 0,
        };
        if state.last_served > 0 || first > 1 {
            self.has_shrunk.store(true, Ordering::Relaxed);
        }
        queues
    }

    /// Returns the counted bytes of all queues.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns how often a producer had to wait for room in the budget.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }
}

/// A waiter that checks for room itself. Readers are pressed until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pressing {
    budget: Arc<QueueBudget>,
    is_new: bool,
}

impl Drop for Pressing {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.looking -= 1;
        state.newcomers -= usize::from(self.is_new);
        self.budget.note_pressed(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: usize = 100 * STEP;
    const STALL: Duration = Duration::from_secs(2);

    /// Returns whether a queue that has `has` steps may have `more` steps.
    fn admits(budget: &QueueBudget, has: usize, more: usize) -> bool {
        budget.admits(has * STEP, has * STEP, more * STEP)
    }

    #[test]
    fn one_queue_may_have_all_of_it_and_the_others_little() {
        let budget = QueueBudget::new(BUDGET, STALL);
        assert!(admits(&budget, 0, 100));
        assert!(admits(&budget, 0, 500), "nobody has anything");
        budget.change(0, 79 * STEP);
        assert!(admits(&budget, 79, 1));
        assert!(!admits(&budget, 79, 2));
        assert!(admits(&budget, 0, 21));
        assert!(!admits(&budget, 0, 22));
        budget.change(79 * STEP, 99 * STEP);
        assert!(admits(&budget, 0, 1));
        assert!(!admits(&budget, 0, 2));
        assert!(budget.admits(0, STEP / 2, STEP / 2), "a little is free");
        assert!(!budget.presses(99 * STEP, Instant::now), "nobody waits");
    }

    #[test]
    fn the_last_quarter_is_for_the_empty_and_those_who_have_less_than_their_share() {
        let budget = QueueBudget::new(BUDGET, STALL);
        budget.change(0, 60 * STEP);
        budget.change(0, 14 * STEP);
        assert!(!admits(&budget, 60, 5));
        assert!(admits(&budget, 14, 8));
        assert!(!admits(&budget, 14, 20), "hardly anything would be left");
        assert!(admits(&budget, 0, 26));
        assert!(!admits(&budget, 0, 27));
    }

    #[derive(Debug)]
    struct Told(AtomicUsize);

    impl Waiting for Told {
        fn take_waiting(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_has_more_than_its_share_is_pressed_while_someone_waits() {
        let budget = QueueBudget::new(BUDGET, STALL);
        for _ in 0..4 {
            budget.change(0, 25 * STEP);
        }
        assert!(!budget.presses(25 * STEP, Instant::now));
        let waiting: Arc<dyn Waiting> = Arc::new(Told(AtomicUsize::new(0)));
        let ticket = budget.enter(Arc::downgrade(&waiting), 0);
        assert!(budget.presses(25 * STEP, Instant::now));
        assert!(!budget.presses(20 * STEP, Instant::now));
        budget.leave(ticket);
        assert!(!budget.presses(25 * STEP, Instant::now));
        let pressing = budget.press(0);
        assert!(budget.presses(25 * STEP, Instant::now));
        drop(pressing);
        budget.change(0, STEP);
        assert!(
            budget.presses(25 * STEP, Instant::now),
            "there is more than there may be"
        );
        assert_eq!(budget.waits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_nobody_is_helped_less_is_enough_to_be_pressed() {
        let budget = QueueBudget::new(BUDGET, STALL);
        for _ in 0..4 {
            budget.change(0, 10 * STEP);
        }
        let waiting: Arc<dyn Waiting> = Arc::new(Told(AtomicUsize::new(0)));
        let enter = || budget.enter(Arc::downgrade(&waiting), 0);
        let [first, _second] = [enter(), enter()];
        assert!(
            !budget.presses(10 * STEP, Instant::now),
            "that is no more than its share"
        );
        tokio::time::advance(STALL).await;
        assert!(budget.presses(10 * STEP, Instant::now));
        assert!(!budget.presses(5 * STEP, Instant::now));
        budget.leave(first);
        assert!(!budget.presses(10 * STEP, Instant::now), "someone was helped");
        tokio::time::advance(STALL * 100).await;
        assert!(budget.presses(STEP, Instant::now));
        assert!(!budget.presses(0, Instant::now));
    }

    #[test]
    fn those_that_wait_are_told_when_there_is_room() {
        let budget = QueueBudget::new(BUDGET, STALL);
        budget.change(0, BUDGET);
        let told = Arc::new(Told(AtomicUsize::new(0)));
        let waiting: Arc<dyn Waiting> = Arc::clone(&told) as _;
        let ticket = budget.enter(Arc::downgrade(&waiting), 0);
        let told = || {
            budget.serve_waiting();
            told.0.load(Ordering::Relaxed)
        };
        assert_eq!(told(), 0);
        budget.change(BUDGET, BUDGET - STEP);
        assert_eq!(told(), 1);
        assert_eq!(told(), 1, "nothing has changed");
        budget.leave(ticket);
        budget.change(BUDGET - STEP, 0);
        assert_eq!(told(), 1);
    }

    #[test]
    fn a_crowd_that_waits_is_told_in_turn() {
        const CROWD: usize = 3 * SERVED;
        let budget = QueueBudget::new(BUDGET, STALL);
        budget.change(0, BUDGET);
        let crowd: Vec<_> = (0..CROWD).map(|_| Arc::new(Told(AtomicUsize::new(0)))).collect();
        for one in &crowd {
            let waiting: Arc<dyn Waiting> = Arc::clone(one) as _;
            budget.enter(Arc::downgrade(&waiting), 0);
        }
        budget.change(BUDGET, BUDGET - STEP);
        let told = || {
            crowd
                .iter()
                .filter(|one| one.0.load(Ordering::Relaxed) > 0)
                .count()
        };
        for part in 1..=CROWD / SERVED {
            budget.serve_waiting();
            assert_eq!(told(), part * SERVED);
        }
    }
}
