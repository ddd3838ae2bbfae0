//! The thread that owns the database: it runs jobs, writes the audit and the leases, and prunes the
//! audit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::civil::DateTime;
use labwire_home::present;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::audit::TimedEvent;
use crate::database::{Database, PATIENCE};
use crate::error::StoreError;
use crate::leases::{Lease, LeaseQueue};
use crate::pruning::{AuditLimits, Search, Step};
use crate::store::StoreCounts;

/// The capacity of the queue of audit rows, at about 200 bytes each: enough for a lock of ten
/// seconds with 800 events per second, in less than 2 MB.
pub(crate) const AUDIT_QUEUE: usize = 8_192;

/// The most rows per transaction: one wait for the disk for all of them, and about ten milliseconds
/// of lock.
const AUDIT_BATCH: usize = 4_000;

/// The pause between two batches. A program that waits for the lock checks it only every 100 ms:
/// without a longer pause, a flood of connections would keep the Python tools out for as long as it
/// lasts. It allows 20,000 events per second, and is the most that the audit loses when the manager
/// is killed.
const AUDIT_PAUSE: Duration = Duration::from_millis(200);

/// How long a write of the audit waits for another program's lock. Short, since a login may be
/// waiting for this thread; the rows are kept and retried.
const AUDIT_PATIENCE: Duration = Duration::from_millis(100);

/// The pause between two attempts to write the same rows.
const AUDIT_RETRY: Duration = Duration::from_secs(1);

/// The pause between two writes of leases. The first change after a pause is written at once.
const LEASE_PAUSE: Duration = Duration::from_millis(200);

/// The interval at which a running manager contradicts those that take it for gone, and removes the
/// leases of those that are.
const LEASE_CHECK: Duration = Duration::from_mins(10);

/// The number of attempts after which rows are dropped, so that a database which always refuses
/// them (a read-only one, say) does not hold back later rows.
const AUDIT_ATTEMPTS: u32 = 60;

/// How long closing waits for another program's lock before it drops the last rows.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

/// The delay before the first search for old rows, since a starting manager should first serve its
/// peers.
const PRUNING_DELAY: Duration = Duration::from_millis(500);

/// The interval between two searches for old rows.
const PRUNING_INTERVAL: Duration = Duration::from_hours(1);

/// The pause between two steps of one search. It leaves the lock to other programs and this thread
/// to logins.
const PRUNING_PAUSE: Duration = Duration::from_millis(250);

/// The pause after a failed step: another program has the lock, or the database is read-only.
const PRUNING_RETRY: Duration = Duration::from_mins(1);

/// A job for the database. It sends its result to the caller itself.
pub(crate) type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// A command to the thread.
pub(crate) enum Command {
    Run(Job),
    /// Runs a job that must see all events recorded before it.
    RunAfterAudit(Job),
    /// Returns the leases of the manager on that port, and writes changes for it from here on.
    Leases(u16, oneshot::Sender<Result<Vec<Lease>, StoreError>>),
    /// Writes the queued rows of the audit and the changes of leases, closes the database, then answers.
    Close(oneshot::Sender<()>),
}

/// The state of the thread.
pub(crate) struct Worker {
    pub(crate) database: Database,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Receiver<TimedEvent>,
    pub(crate) limits: AuditLimits,
    pub(crate) counts: Arc<StoreCounts>,
    pub(crate) leases: Arc<LeaseQueue>,
    /// The port of the manager, for the leases.
    pub(crate) port: u16,
    /// The local time of the newest row of the audit from before the start.
    pub(crate) newest: Option<DateTime>,
}

/// Rows that are being written, and the progress.
struct Batch {
    events: Vec<TimedEvent>,
    failures: u32,
    /// The time of the next write; until then new rows stay in the queue.
    due_at: Instant,
    /// The number of lost rows at the last log message.
    reported: u64,
}

/// The progress of writing leases.
struct LeaseWrites {
    /// The time of the next write; until then changes stay in the queue.
    due_at: Instant,
    /// The time of the next check of the leases of other managers, once the port is known.
    check_at: Option<Instant>,
    /// The number of failures since the last success.
    failures: u32,
    /// The number of lost changes at the last log message.
    reported: u64,
}

/// The search for old rows, and its schedule.
struct Pruning {
    /// The current search.
    search: Option<Search>,
    at: Instant,
    /// The time at which the last search began.
    last: Instant,
    /// The number of rows removed as too many since the last log message.
    too_many: usize,
    /// Whether the warning about a clock far ahead of the rows was logged.
    is_told: bool,
}

/// The most days that the clock may be ahead of the date of reference without a warning: a holiday.
const DAYS_AHEAD: i64 = 60;

impl Worker {
    /// Runs until the command to close, or until all handles are dropped.
    pub(crate) async fn run(mut self) {
        let start = Instant::now();
        let mut batch = Batch {
            events: Vec::new(),
            failures: 0,
            // The first rows are collected before they are written, so that they share one wait for
            // the disk.
            due_at: start + AUDIT_PAUSE,
            reported: 0,
        };
        let mut leases = LeaseWrites {
            due_at: start,
            check_at: None,
            failures: 0,
            reported: 0,
        };
        let queue = Arc::clone(&self.leases);
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
            let has_leases = !queue.is_empty();
            if has_leases && leases.due_at <= Instant::now() {
                self.write_leases(&mut leases, AUDIT_PATIENCE);
            }
            if leases.check_at.is_some_and(|at| at <= Instant::now()) {
                self.check_leases(&mut leases, false);
            }
            let is_due = batch.due_at <= Instant::now();
            let wake_at = if is_due {
                pruning.at
            } else {
                pruning.at.min(batch.due_at)
            };
            let wake_at = if queue.is_empty() {
                wake_at
            } else {
                wake_at.min(leases.due_at)
            };
            let wake_at = leases.check_at.map_or(wake_at, |at| wake_at.min(at));
            // In random order: neither jobs nor the audit may starve the other.
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Run(job)) => job(&mut self.database),
                    Some(Command::RunAfterAudit(job)) => {
                        pruning.too_many += self.write_queued(&mut batch);
                        job(&mut self.database);
                    }
                    Some(Command::Leases(port, answer)) => {
                        self.port = port;
                        // The caller may have been cancelled.
                        let _ = answer.send(self.database.leases(port));
                        self.check_leases(&mut leases, true);
                    }
                    Some(Command::Close(answer)) => break Some(answer),
                    None => break None,
                },
                // They are written in the next iteration.
                _ = self.events.recv_many(&mut batch.events, AUDIT_BATCH), if is_due && batch.events.is_empty() => {}
                () = queue.filled.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        };
        self.close_leases(&mut leases);
        self.close(batch);
        if let Some(answer) = closing {
            // The caller may have been cancelled; the database is closed in any case.
            let _ = answer.send(());
        }
    }

    /// Tries to write a batch. Rows that cannot be written are kept for another attempt, until
    /// there were too many. Returns how many old rows were removed.
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

    /// Tries to write the changes of leases. Those that cannot be written stay in the queue.
    fn write_leases(&mut self, writes: &mut LeaseWrites, patience: Duration) {
        let changes = self.leases.take();
        let port = self.port;
        match self.with_patience(patience, |database| database.write_leases(port, &changes)) {
            Ok(()) => {
                writes.failures = 0;
                writes.due_at = Instant::now() + LEASE_PAUSE;
            }
            Err(error) => {
                writes.failures += 1;
                self.leases.failures.fetch_add(1, Ordering::Relaxed);
                if writes.failures == 1 {
                    let count = changes.len();
                    tracing::warn!(
                        %error,
                        count,
                        "changes of locks cannot be written, trying again: if the manager is restarted now, their holders \
                         have no priority"
                    );
                }
                self.leases.give_back(changes);
                writes.due_at = Instant::now() + AUDIT_RETRY;
            }
        }
        let total = self.leases.lost.load(Ordering::Relaxed);
        if total > writes.reported {
            let count = total - writes.reported;
            tracing::error!(
                count,
                total,
                "changes of locks were lost, the database did not take them: after a restart of the manager their holders \
                 have no priority"
            );
            writes.reported = total;
        }
    }

    /// Notes that this manager runs, and removes the leases of managers on other ports that are gone.
    fn check_leases(&mut self, writes: &mut LeaseWrites, is_start: bool) {
        writes.check_at = Some(Instant::now() + LEASE_CHECK);
        let (port, now) = (self.port, present());
        let checked = self.with_patience(AUDIT_PATIENCE, |database| {
            if is_start {
                database.doubt_leases(port, now)?;
            }
            database.prune_leases(port, now)
        });
        match checked {
            Ok(0) => {}
            Ok(count) => tracing::info!("removed {count} lock(s) that managers on other ports had left"),
            Err(error) => {
                tracing::debug!(%error, "the locks of managers on other ports cannot be checked now");
            }
        }
    }

    /// Writes the last changes of leases.
    fn close_leases(&mut self, writes: &mut LeaseWrites) {
        self.leases.stop();
        if !self.leases.is_empty() {
            self.write_leases(writes, CLOSING_PATIENCE);
        }
        let lost = self.leases.take().len();
        if lost > 0 {
            tracing::error!(lost, "changes of locks were lost: the database did not take them");
        }
    }

    /// Writes what was recorded until now, unless the database currently refuses rows. Returns how
    /// many old rows were removed.
    fn write_queued(&mut self, batch: &mut Batch) -> usize {
        let mut removed = 0;
        // Rows that arrive meanwhile are not included.
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

    /// Logs lost rows, at most once per batch.
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

    /// Logs once that the clock is far ahead of the newest rows, and the consequences.
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

    /// Writes the rest of the audit. Rows that the database refuses now are dropped.
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

/// Logs how many rows one search has removed, if any.
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
