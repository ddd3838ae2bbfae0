//! The thread that owns the database: it runs what is asked, writes the audit, and prunes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::civil::DateTime;
use labwire_home::present;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::audit::TimedEvent;
use crate::database::{Database, PATIENCE};
use crate::pruning::{AuditLimits, Search, Step};
use crate::store::StoreCounts;

/// Rows of the audit that wait for the database, at some 200 bytes each: a lock of ten seconds with 800 events
/// in each of them, for less than 2 MB.
pub(crate) const AUDIT_QUEUE: usize = 8_192;

/// Rows written in one transaction: one wait for the disk for all of them, and some ten milliseconds of lock.
const AUDIT_BATCH: usize = 4_000;

/// Between two batches. A program that waits for the lock only looks for it every 100 ms: without a pause that
/// is longer, a flood of connections would keep the Python tools out for as long as it lasts. It allows for
/// 20,000 events in a second, and is what the audit loses at most when the manager is killed.
const AUDIT_PAUSE: Duration = Duration::from_millis(200);

/// How long a write of the audit waits for another program's lock. Short, since a login may be waiting for
/// this thread; the rows are kept and tried again.
const AUDIT_PATIENCE: Duration = Duration::from_millis(100);

/// Between two attempts to write the same rows.
const AUDIT_RETRY: Duration = Duration::from_secs(1);

/// Attempts after which rows are given up, so that a database which refuses them for good (read-only, say) does
/// not hold back rows that it would take.
const AUDIT_ATTEMPTS: u32 = 60;

/// How long closing waits for another program's lock before it gives up the last rows.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

/// Before the first search for rows that have become too old: whoever starts a manager waits for its first peers.
const PRUNING_DELAY: Duration = Duration::from_millis(500);

/// Between two searches for rows that have become too old.
const PRUNING_INTERVAL: Duration = Duration::from_hours(1);

/// Between two steps of one search: it leaves the lock to other programs and this thread to logins.
const PRUNING_PAUSE: Duration = Duration::from_millis(250);

/// Before the next step when one could not be done: another program has the lock, or the database is read-only.
const PRUNING_RETRY: Duration = Duration::from_mins(1);

/// Something to do with the database. What it returns it sends to who asked by itself.
pub(crate) type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// What the thread is told.
pub(crate) enum Command {
    Run(Job),
    /// Run something that shall find in the database what was recorded before it was asked.
    RunAfterAudit(Job),
    /// Write what is queued of the audit, close the database, then answer.
    Close(oneshot::Sender<()>),
}

/// What the thread works with.
pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Receiver<TimedEvent>,
    pub(crate) limits: AuditLimits,
    pub(crate) counts: Arc<StoreCounts>,
    /// The local time of the newest row of the audit from before the start.
    pub(crate) newest: Option<DateTime>,
}

/// Rows that are being written, and how that goes.
struct Batch {
    events: Vec<TimedEvent>,
    failures: u32,
    /// When to write next; until then new rows stay in the queue.
    due_at: Instant,
    /// What was known to be lost when it was last said in the log.
    reported: u64,
}

/// Rows that are too old: the search for them, and when it goes on.
struct Pruning {
    /// The search that is under way.
    search: Option<Search>,
    at: Instant,
    /// When the last search began.
    last: Instant,
    /// Rows that were removed because there were too many, since that was last said in the log.
    too_many: usize,
    /// Whether it was said that the clock is far ahead of the rows.
    is_told: bool,
}

/// By how many days the clock may be ahead of the date from which ages are measured without a word about it: a holiday.
const DAYS_AHEAD: i64 = 60;

impl Worker {
    /// Runs until it is told to close, or nobody is left to tell it anything.
    pub(crate) async fn run(mut self) {
        let start = Instant::now();
        let mut batch = Batch {
            events: Vec::new(),
            failures: 0,
            // Those who come first come together: they need not wait until the disk has the first of them.
            due_at: start + AUDIT_PAUSE,
            reported: 0,
        };
        let mut pruning = Pruning {
            search: None,
            at: start + PRUNING_DELAY,
            last: start,
            too_many: 0,
            is_told: false,
        };
        let closing = loop {
            if batch.due_at <= Instant::now() {
                pruning.too_many += self.write(&mut batch, AUDIT_PATIENCE);
            }
            if pruning.at <= Instant::now() {
                self.prune(&mut pruning);
            }
            let is_due = batch.due_at <= Instant::now();
            let wake_at = if is_due {
                pruning.at
            } else {
                pruning.at.min(batch.due_at)
            };
            // In no fixed order: neither a busy administrator nor a busy audit may starve the other.
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Run(job)) => job(&mut self.database),
                    Some(Command::RunAfterAudit(job)) => {
                        pruning.too_many += self.write_queued(&mut batch);
                        job(&mut self.database);
                    }
                    Some(Command::Close(answer)) => break Some(answer),
                    None => break None,
                },
                // Written at the start of the next round.
                _ = self.events.recv_many(&mut batch.events, AUDIT_BATCH), if is_due && batch.events.is_empty() => {}
                () = sleep_until(wake_at) => {}
            }
        };
        self.close(batch);
        if let Some(answer) = closing {
            // Who asked may have gone; the database is closed all the same.
            let _ = answer.send(());
        }
    }

    /// Tries to write a batch. What cannot be written now is kept for another attempt, until there were too many. Gives
    /// how many old rows went for it.
    fn write(&mut self, batch: &mut Batch, patience: Duration) -> usize {
        if batch.events.is_empty() {
            return 0;
        }
        let limits = self.limits;
        let events = &batch.events;
        match self.with_patience(patience, |database| database.write_events(events, limits)) {
            Ok(removed) => {
                batch.done();
                self.report_losses(batch);
                removed
            }
            Err(error) => {
                batch.failures += 1;
                self.counts.audit_failures.fetch_add(1, Ordering::Relaxed);
                batch.due_at = Instant::now() + AUDIT_RETRY;
                if batch.failures == 1 {
                    let rows = batch.events.len();
                    tracing::warn!(%error, rows, "the audit of connections cannot be written, trying again");
                }
                if batch.failures >= AUDIT_ATTEMPTS {
                    self.give_up(batch);
                }
                0
            }
        }
    }

    /// Writes what was recorded until now, unless the database refuses rows at the moment. Gives how many old rows went
    /// for it.
    fn write_queued(&mut self, batch: &mut Batch) -> usize {
        let mut removed = 0;
        // Rows that come in the meantime are not waited for.
        let mut queued = self.events.len();
        while batch.failures == 0 && queued > 0 {
            let room = AUDIT_BATCH.min(queued);
            let taken = std::iter::from_fn(|| self.events.try_recv().ok()).take(room);
            batch.events.extend(taken);
            queued -= room;
            removed += self.write(batch, AUDIT_PATIENCE);
        }
        removed
    }

    fn give_up(&self, batch: &mut Batch) {
        self.counts
            .dropped
            .fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        batch.done();
        self.report_losses(batch);
    }

    /// Says in the log, once for each batch at most, that rows were lost.
    fn report_losses(&self, batch: &mut Batch) {
        let total = self.counts.dropped.load(Ordering::Relaxed);
        if total > batch.reported {
            let rows = total - batch.reported;
            tracing::error!(
                rows,
                total,
                "rows of the audit of connections were lost, the database did not take them"
            );
            batch.reported = total;
        }
    }

    fn begin_pruning(&mut self, running: Duration) -> Option<Search> {
        let newest = self.newest;
        let begun = self.with_patience(AUDIT_PATIENCE, |database| {
            database.begin_pruning(newest, present(), running)
        });
        begun.map_err(|error| self.pruning_failed(&error)).ok()
    }

    fn pruning_failed(&self, error: &rusqlite::Error) {
        self.counts.audit_failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, "the audit of connections cannot be pruned now");
    }

    fn prune(&mut self, pruning: &mut Pruning) {
        let now = Instant::now();
        if pruning.search.is_none() {
            pruning.search = self.begin_pruning(now - pruning.last);
            pruning.last = now;
        }
        pruning.at = now + PRUNING_RETRY;
        let Some(search) = pruning.search else { return };
        self.tell_of_the_clock(search, pruning);
        let limits = self.limits;
        match self.with_patience(AUDIT_PATIENCE, |database| database.prune_step(search, limits)) {
            Ok(Step::GoOn(next)) => {
                pruning.search = Some(next);
                pruning.at = now + PRUNING_PAUSE;
            }
            Ok(Step::Done(removed)) => {
                let removed = removed + std::mem::take(&mut pruning.too_many);
                tell_of_removed(removed, search.cutoff(limits));
                pruning.search = None;
                pruning.at = now + PRUNING_INTERVAL;
            }
            Err(error) => self.pruning_failed(&error),
        }
    }

    /// Says once that the clock is far ahead of the newest rows, and what that means for them.
    fn tell_of_the_clock(&self, search: Search, pruning: &mut Pruning) {
        let (reference, days) = search.days_behind(present());
        if self.limits.days > 0 && days > DAYS_AHEAD && !pruning.is_told {
            pruning.is_told = true;
            tracing::warn!(
                "this computer's clock is {days} days ahead of the newest records of connections; if it is wrong, set it. \
                 Records are removed as if it were {reference}, and a day later with each hour that the manager runs \
                 (--connections-max-days {})",
                self.limits.days
            );
        }
    }

    /// Writes all that is left of the audit; a database that does not take it now never will.
    fn close(mut self, mut batch: Batch) {
        self.commands.close();
        self.events.close();
        loop {
            while batch.events.len() < AUDIT_BATCH {
                let Ok(event) = self.events.try_recv() else { break };
                batch.events.push(event);
            }
            if batch.events.is_empty() {
                return;
            }
            self.write(&mut batch, CLOSING_PATIENCE);
            if !batch.events.is_empty() {
                while let Ok(event) = self.events.try_recv() {
                    batch.events.push(event);
                }
                self.give_up(&mut batch);
                return;
            }
        }
    }

    fn with_patience<T>(
        &mut self,
        patience: Duration,
        task: impl FnOnce(&mut Database) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.database.connection.busy_timeout(patience)?;
        let result = task(&mut self.database);
        self.database.connection.busy_timeout(PATIENCE)?;
        result
    }
}

/// Says how many rows one search has removed, if any.
fn tell_of_removed(rows: usize, cutoff: Option<String>) {
    if rows > 0 {
        let older = cutoff.map_or(String::new(), |cutoff| format!("older than {cutoff}, or "));
        tracing::info!(
            "removed {rows} records of connections: {older}more than are kept (--connections-max-days, \
             --connections-max-rows)"
        );
    }
}

impl Batch {
    fn done(&mut self) {
        self.events.clear();
        self.failures = 0;
        self.due_at = Instant::now() + AUDIT_PAUSE;
    }
}
