//! The thread that owns the file: it writes what is queued, and prunes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use labwire_home::present;

use crate::calls::{Batch, Call, Calls, Lists};
use crate::entry::{Entry, Kind};
use crate::file::{RecordFile, truncated};
use crate::pruning::RecordLimits;
use crate::shares::Bounds;

/// The capacity of the queue, at some 300 bytes each: enough for a lock of ten seconds with 1,600
/// entries per second, in less than 5 MB.
const QUEUE: usize = 16_384;

/// The pause between two batches. It lets many entries share one transaction. A manager that is killed
/// loses what was queued in it, and what was counted and not written yet: equal entries in the window
/// of their kind, which is up to ten minutes long ([`Bounds`]).
const PAUSE: Duration = Duration::from_millis(200);

/// How long a write waits for another program's lock; the entries are kept and retried.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two attempts to write the same entries.
const RETRY: Duration = Duration::from_secs(1);

/// The number of attempts after which entries are dropped, so that a file which always refuses them
/// does not hold back later ones.
const ATTEMPTS: u32 = 60;

/// How long closing waits for another program's lock before it drops the last entries.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two entries about calls that were dropped.
const DROPPED_PAUSE: Duration = Duration::from_mins(1);

/// The entries of calls that are queued without letting others queue theirs: some 100 microseconds.
const ENTRIES_AT_ONCE: usize = 64;

/// The most steps after a batch in which entries are removed because the file is too large. Each
/// removes a tenth.
const EXCESS_STEPS: usize = 20;

/// The delay before the first search for old entries, since a starting manager should first serve
/// its peers.
const PRUNING_DELAY: Duration = Duration::from_millis(500);

/// The interval between two searches for old entries.
const PRUNING_INTERVAL: Duration = Duration::from_hours(1);

/// The pause between two steps of a search, which leaves the lock and the disk to others.
const PRUNING_PAUSE: Duration = Duration::from_millis(250);

/// The pause after a failed step.
const PRUNING_RETRY: Duration = Duration::from_mins(1);

/// The most days that the clock may be ahead of the date of reference without a warning: a holiday.
const DAYS_AHEAD: i64 = 60;

/// The microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What the handles and the thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Taken after the queue's lock, or alone.
    calls: Mutex<Calls>,
    /// Notified when the first entry is queued, and when somebody waits for the thread.
    filled: Condvar,
    /// Notified when a batch was handled, and when the file is closed.
    handled: Condvar,
    lost: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    bounds: Bounds,
    entries: Vec<Entry>,
    /// The number of entries that were ever queued, and of those that were written or lost since.
    queued: u64,
    handled: u64,
    /// The batches of calls that were taken, and those that have become entries.
    sums_begun: u64,
    sums_done: u64,
    /// The number of callers that wait for what is queued.
    flushes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The rest is to be written.
    Closing,
    Closed,
}

impl Default for Shared {
    fn default() -> Self {
        let queue = Queue {
            bounds: Bounds::new(Instant::now()),
            entries: Vec::new(),
            queued: 0,
            handled: 0,
            sums_begun: 0,
            sums_done: 0,
            flushes: 0,
            state: State::Open,
        };
        Self {
            queue: Mutex::new(queue),
            calls: Mutex::default(),
            filled: Condvar::new(),
            handled: Condvar::new(),
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }
}

impl Queue {
    /// Appends what was counted in the windows that are over.
    fn search(&mut self, now: Instant) {
        if self.bounds.search_at().is_some_and(|at| at <= now) {
            let before = self.entries.len();
            self.bounds.search(now, &mut self.entries);
            self.queued += (self.entries.len() - before) as u64;
        }
    }

    /// Appends all that was counted.
    fn end(&mut self) {
        let before = self.entries.len();
        self.bounds.end(Instant::now(), &mut self.entries);
        self.queued += (self.entries.len() - before) as u64;
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock panics.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, mut entry: Entry) {
        // What waits must not be larger than what is written.
        if let Some(text) = &mut entry.text
            && text.len() > truncated(text).len()
        {
            *text = truncated(text).into();
        }
        let mut queue = self.queue();
        if queue.state != State::Open {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_idle = queue.bounds.search_at().is_none();
        let taken = queue.bounds.take(entry, Instant::now());
        if was_idle {
            // The thread waits for the end of a window from now on.
            self.filled.notify_one();
        }
        let Some(entry) = taken else { return };
        if queue.entries.len() >= QUEUE {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.entries.push(entry);
        queue.queued += 1;
        if queue.entries.len() == 1 {
            self.filled.notify_one();
        }
    }

    pub(crate) fn push_call(&self, call: Call) {
        let wakes = self.calls().push(call);
        if wakes {
            // With the lock, since the thread may be about to wait.
            let _queue = self.queue();
            self.filled.notify_one();
        }
    }

    /// Queues the entries of calls, and one about those that were dropped.
    fn add_entries(&self, entries: Vec<Entry>, dropped: u64) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let (mut queue, now) = (self.queue(), Instant::now());
            // In parts, since those who queue entries must not wait long.
            for entry in entries.by_ref().take(ENTRIES_AT_ONCE) {
                let Some(entry) = queue.bounds.take(entry, now) else {
                    continue;
                };
                if queue.entries.len() >= QUEUE {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                queue.entries.push(entry);
                queue.queued += 1;
            }
        }
        if dropped > 0 {
            let mut queue = self.queue();
            queue.entries.push(Entry {
                text: Some(format!("{dropped} calls were not recorded: there were too many at once").into()),
                ..Entry::new(Kind::Gap)
            });
            queue.queued += 1;
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let mut queue = self.queue();
        let are_waiting = !self.calls().is_empty();
        // The thread makes entries of them, or of others that it has taken already.
        let sum = queue.sums_begun + u64::from(are_waiting);
        if queue.sums_done < sum {
            queue.flushes += 1;
            self.filled.notify_one();
            let is_pending = |queue: &mut Queue| queue.sums_done < sum && queue.state != State::Closed;
            let waited = self.handled.wait_timeout_while(queue, patience, is_pending);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.flushes -= 1;
        }
        let last = queue.queued;
        if queue.handled >= last {
            return true;
        }
        queue.flushes += 1;
        self.filled.notify_one();
        let is_pending = |queue: &mut Queue| queue.handled < last && queue.state != State::Closed;
        let waited = self.handled.wait_timeout_while(queue, patience, is_pending);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.flushes -= 1;
        queue.handled >= last
    }

    pub(crate) fn begin_closing(&self) {
        let mut queue = self.queue();
        if queue.state == State::Open {
            queue.state = State::Closing;
        }
        self.filled.notify_one();
    }

    pub(crate) fn close(&self) {
        self.begin_closing();
        let is_open = |queue: &mut Queue| queue.state != State::Closed;
        let closed = self.handled.wait_while(self.queue(), is_open);
        drop(closed.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.queue().bounds.left_out()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The state of the thread.
pub(crate) struct Worker {
    file: RecordFile,
    limits: RecordLimits,
    shared: Arc<Shared>,
    /// The time of the newest entry from before the start.
    newest: Option<i64>,
    batch: Vec<Entry>,
    /// The memory of calls that were summed.
    spare: Lists,
    /// When dropped calls are told next.
    tell_dropped_at: Instant,
    /// Failed attempts to write the batch.
    attempts: u32,
    /// The time of the next write.
    due_at: Instant,
    /// The number of lost entries that were written as an entry.
    told: u64,
    pruning: Pruning,
}

/// The search for old entries, and its schedule.
struct Pruning {
    /// The date from which ages are measured, in the current search.
    reference: Option<i64>,
    at: Instant,
    /// The time at which the last search began.
    last: Instant,
    removed: usize,
    /// Whether the warning about a clock far ahead of the entries was logged.
    is_told: bool,
}

/// Notes that the thread has ended, however it does.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue().state = State::Closed;
        self.0.handled.notify_all();
    }
}

/// What the thread does next.
enum Next {
    Sum(Batch),
    Write,
    Prune,
    Close,
}

impl Worker {
    pub(crate) fn new(file: RecordFile, limits: RecordLimits, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            // If it cannot be read, the clock is used.
            newest: file.newest_time().unwrap_or_default(),
            file,
            limits,
            shared,
            batch: Vec::new(),
            spare: Lists::default(),
            tell_dropped_at: now,
            attempts: 0,
            due_at: now,
            told: 0,
            pruning: Pruning {
                reference: None,
                at: now + PRUNING_DELAY,
                last: now,
                removed: 0,
                is_told: false,
            },
        }
    }

    /// Runs until the record is closed.
    pub(crate) fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        loop {
            match self.wait() {
                Next::Sum(batch) => self.sum_calls(batch),
                Next::Write => self.write(PATIENCE),
                Next::Prune => self.prune(),
                Next::Close => break,
            }
        }
        self.write_rest();
        // Before the callers that wait for the end go on.
        drop(self.file);
    }

    /// Waits until there is something to do. Entries to be written are in the batch then.
    fn wait(&mut self) -> Next {
        let mut queue = self.shared.queue();
        loop {
            if queue.state != State::Open {
                return Next::Close;
            }
            let now = Instant::now();
            queue.search(now);
            let has_entries = !(queue.entries.is_empty() && self.batch.is_empty());
            // Who waits for what is queued does not wait for the pause, but for a retry.
            let is_due = self.due_at <= now || (queue.flushes > 0 && self.attempts == 0);
            let mut calls = self.shared.calls();
            let has_calls = !calls.is_empty();
            if calls.is_half_full() || (has_calls && is_due) {
                queue.sums_begun += 1;
                return Next::Sum(calls.take(std::mem::take(&mut self.spare)));
            }
            drop(calls);
            if has_entries && is_due {
                if self.batch.is_empty() {
                    std::mem::swap(&mut self.batch, &mut queue.entries);
                }
                return Next::Write;
            }
            if self.pruning.at <= now {
                return Next::Prune;
            }
            let search_at = queue.bounds.search_at();
            let mut wake_at = search_at.map_or(self.pruning.at, |at| at.min(self.pruning.at));
            if has_entries || has_calls {
                wake_at = wake_at.min(self.due_at);
            }
            let waited = self.shared.filled.wait_timeout(queue, wake_at - now);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if self.due_at <= now && !has_entries && !has_calls {
                // The first entry after a while waits for others that belong to it.
                self.due_at = Instant::now() + PAUSE;
            }
        }
    }

    /// Makes entries of calls.
    fn sum_calls(&mut self, batch: Batch) {
        let now = Instant::now();
        let mut dropped = 0;
        if self.tell_dropped_at <= now {
            dropped = self.shared.calls().take_dropped();
            if dropped > 0 {
                self.tell_dropped_at = now + DROPPED_PAUSE;
            }
        }
        let (entries, spare) = batch.into_entries();
        self.spare = spare;
        self.shared.add_entries(entries, dropped);
        let mut queue = self.shared.queue();
        queue.sums_done += 1;
        if queue.entries.is_empty() && self.batch.is_empty() {
            // All were counted: nothing is written now.
            self.due_at = now + PAUSE;
        }
        drop(queue);
        self.shared.handled.notify_all();
    }

    /// Tries to write the batch. What cannot be written is kept for another attempt, until there were
    /// too many.
    fn write(&mut self, patience: Duration) {
        let lost = self.shared.lost() - self.told;
        let written = self
            .file
            .connection
            .busy_timeout(patience)
            .and_then(|()| self.file.write(&self.batch, lost));
        self.due_at = Instant::now() + PAUSE;
        match written {
            Ok(()) => {
                self.told += lost;
                self.attempts = 0;
                if lost > 0 {
                    tracing::error!(
                        lost,
                        "entries of the record were lost: the disk or a lock was too slow for them"
                    );
                }
                self.finish_batch();
                self.prune_excess();
            }
            Err(error) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                self.attempts += 1;
                self.due_at = Instant::now() + RETRY;
                if self.attempts == 1 {
                    let entries = self.batch.len();
                    tracing::warn!(%error, entries, "the record cannot be written, trying again");
                }
                if self.attempts >= ATTEMPTS {
                    self.drop_batch();
                }
            }
        }
    }

    /// Counts the entries of the batch as lost.
    fn drop_batch(&mut self) {
        let count = self.batch.len();
        self.shared.lost.fetch_add(count as u64, Ordering::Relaxed);
        tracing::error!(
            count,
            "entries of the record were lost: the file did not take them"
        );
        self.attempts = 0;
        self.finish_batch();
    }

    /// Notifies who waits for the entries of the batch.
    fn finish_batch(&mut self) {
        let count = self.batch.len() as u64;
        self.batch.clear();
        self.shared.queue().handled += count;
        self.shared.handled.notify_all();
    }

    /// Writes what is left. Entries that the file refuses now are dropped.
    fn write_rest(&mut self) {
        let last_calls = self.shared.calls().take(Lists::default());
        let dropped = self.shared.calls().take_dropped();
        self.shared.add_entries(last_calls.into_entries().0, dropped);
        self.shared.queue().end();
        loop {
            if self.batch.is_empty() {
                std::mem::swap(&mut self.batch, &mut self.shared.queue().entries);
            }
            if self.batch.is_empty() {
                return;
            }
            self.write(CLOSING_PATIENCE);
            if !self.batch.is_empty() {
                let mut rest = std::mem::take(&mut self.shared.queue().entries);
                self.batch.append(&mut rest);
                self.drop_batch();
                return;
            }
        }
    }

    /// Removes old entries while the file is too large.
    fn prune_excess(&mut self) {
        for _ in 0..EXCESS_STEPS {
            match self.file.prune_excess(self.limits) {
                Ok(0) => return,
                Ok(removed) => self.pruning.removed += removed,
                Err(error) => return self.pruning_failed(&error),
            }
        }
    }

    fn pruning_failed(&self, error: &rusqlite::Error) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, "the record cannot be pruned now");
    }

    /// Makes one step of a search for entries that are too old or too many.
    fn prune(&mut self) {
        let now = Instant::now();
        self.pruning.at = now + PRUNING_RETRY;
        match self.prune_step(present(), now) {
            Ok(true) => self.pruning.at = now + PRUNING_PAUSE,
            Ok(false) => {
                let removed = std::mem::take(&mut self.pruning.removed);
                if removed > 0 {
                    tracing::info!(
                        "removed {removed} entries of the record: older or more than are kept (--record-max-days, \
                         --record-max-size)"
                    );
                }
                self.pruning.reference = None;
                self.pruning.at = now + PRUNING_INTERVAL;
            }
            Err(error) => self.pruning_failed(&error),
        }
    }

    /// Returns whether there may be more to do.
    fn prune_step(&mut self, clock: Timestamp, now: Instant) -> rusqlite::Result<bool> {
        self.file.connection.busy_timeout(PATIENCE)?;
        let reference = if let Some(reference) = self.pruning.reference {
            reference
        } else {
            let running = now - self.pruning.last;
            let reference = self.file.reference(self.newest, clock, running)?;
            self.pruning.last = now;
            self.pruning.reference = Some(reference);
            self.tell_of_the_clock(reference, clock);
            reference
        };
        let old = self.file.prune_old(self.limits, reference, clock)?;
        let excess = self.file.prune_excess(self.limits)?;
        self.pruning.removed += old + excess;
        let shrinks = self.file.shrink(self.limits)?;
        Ok(old + excess > 0 || shrinks)
    }

    /// Logs once that the clock is far ahead of the newest entries, and the consequences.
    fn tell_of_the_clock(&mut self, reference: i64, clock: Timestamp) {
        let days = clock.as_microsecond().saturating_sub(reference) / DAY;
        if self.limits.days > 0 && days > DAYS_AHEAD && !self.pruning.is_told {
            self.pruning.is_told = true;
            tracing::warn!(
                "this computer's clock is {days} days ahead of the newest entries of the record; if it is wrong, set it. \
                 Old entries are removed little by little (--record-max-days {})",
                self.limits.days
            );
        }
    }
}

#[cfg(test)]
mod tests;
