//! Routing's shared state: the registry, the budgets, the counters and the phase.

mod absence;
mod permissions;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use labwire_store::Store;
use tokio::sync::{Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::budget::{LineBudget, QueueBudget};
use crate::clock::{Clock, Present};
use crate::config::Limits;
use crate::conversions::Conversions;
use crate::counters::Counters;
use crate::events::Events;
use crate::pace::Pace;
use crate::record::Recording;
use crate::refusal::{LockCause, Refusal};
use crate::registry::{Broken, Event, ManagerIdentity, Moment, Registry, Ticket};
use crate::router::{Permits, Router};
use crate::sessions::Sessions;
use crate::slow_readers::SlowReaders;

/// How many departing peers are removed concurrently; the rest wait for a permit.
///
/// If ten thousand leave together, as when a switch loses power, their removal would otherwise
/// precede everybody else's next request. With this limit, others wait about a millisecond.
const DEPARTURES: usize = 64;

/// How many errors or ends of links are sent in one step after a service has left. They take less
/// than a millisecond.
pub(super) const DEPARTURE_WORK: usize = 1_024;

/// How many peers leave in one step whose grace periods are over: as after a power failure.
const DEPARTURES_AT_ONCE: usize = 16;

/// How far the manager has come in stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serves peers.
    Running,
    /// Takes no new requests and waits for those in flight.
    Draining,
    /// Waits no longer.
    Hurried,
    /// Ends all connections.
    Stopping,
}

/// State shared by all attachments, with or without a socket. It works without a store, a log and a
/// network.
pub(crate) struct Routing {
    name: String,
    registry: Mutex<Registry>,
    pub(crate) limits: Limits,
    pub(crate) pace: Pace,
    pub(crate) lines: Arc<LineBudget>,
    pub(crate) queues: Arc<QueueBudget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    pub(crate) slow_readers: SlowReaders,
    pub(crate) sessions: Sessions,
    phase: watch::Sender<Phase>,
    /// Permits for peers that are being removed: see [`DEPARTURES`].
    pub(crate) departures: Semaphore,
    /// Turns of long conversions of buffers.
    pub(crate) conversions: Conversions,
    /// The clock for the times at which locks are acquired.
    pub(crate) clock: Clock,
    /// When the manager started.
    pub(crate) started: Instant,
    /// The same by the time of day, in seconds since 1970.
    started_at: i64,
    /// The latest present with which ends of grants were compared, in seconds since 1970.
    latest: Arc<AtomicI64>,
}

impl Routing {
    /// `records` is the store that records connections, if any, and `recording` what is written to the
    /// record.
    #[expect(
        clippy::large_types_passed_by_value,
        reason = "they are copied once, at the start"
    )]
    pub(crate) fn new(
        manager: ManagerIdentity,
        limits: Limits,
        pace: Pace,
        records: Option<Store>,
        recording: Recording,
    ) -> Self {
        let (manager_name, counters) = (manager.name(), Arc::<Counters>::default());
        let (clock, latest) = (Clock::default(), Arc::<AtomicI64>::default());
        let mut registry = Registry::new(manager, &limits);
        if let Recording::Calls(recorder) = &recording {
            registry.record_calls(recorder.clone());
        }
        Self {
            started_at: clock.now().as_second(),
            name: manager_name.clone(),
            registry: Mutex::new(registry),
            limits,
            pace,
            lines: LineBudget::new(limits.budgets.lines),
            queues: QueueBudget::new(limits.budgets.queues, limits.stall),
            events: Events::new(manager_name, Arc::clone(&counters), records, recording)
                .with_present(Arc::clone(&latest)),
            latest,
            counters,
            slow_readers: SlowReaders::default(),
            sessions: Sessions::new(limits.sessions.away, limits.budgets.sessions),
            phase: watch::Sender::new(Phase::Running),
            departures: Semaphore::new(DEPARTURES),
            conversions: Conversions::new(),
            clock,
            started: Instant::now(),
        }
    }

    /// Returns the manager's name, `Manager[HOST:PORT]`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Locks the registry. The guard must not live across an `.await`.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic under this lock is a bug and ends one connection; the others go on with the state
        // it left.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a router, which holds the registry's lock until it is dropped.
    pub(crate) fn router(&self) -> Router<'_> {
        let registry = self.registry();
        // Read under the registry's lock, so that no request is accepted after the last count of
        // those in flight.
        let draining = self.is_draining();
        Router {
            registry,
            counters: &self.counters,
            events: &self.events,
            draining,
            nesting: self.limits.nesting,
            convert: self.limits.convert,
            permits: Permits::default(),
            pace: self.pace,
            clock: &self.clock,
            now: self.clock.micros_since(self.started),
            started: self.started,
            started_at: self.started_at,
            latest: &self.latest,
            work: 0,
        }
    }

    /// Returns the present, by both clocks.
    pub(crate) fn moment(&self) -> Moment {
        self.clock.moment(self.started)
    }

    /// Returns the present, for comparing it with the ends of grants.
    pub(crate) fn present(&self) -> Present<'_> {
        Present {
            clock: &self.clock,
            start: self.started_at,
            micros: self.clock.micros_since(self.started),
            latest: &self.latest,
        }
    }

    /// Returns whether the manager is stopping and takes no new requests.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() > Phase::Running
    }

    /// Asks the manager to stop. It has stopped when [`Manager::run`](crate::Manager::run) returns.
    pub(crate) fn request_shutdown(&self) {
        self.advance(Phase::Draining);
    }

    pub(crate) fn advance(&self, phase: Phase) {
        if phase >= Phase::Draining {
            self.events.note_draining();
        }
        if phase == Phase::Stopping {
            // Before the sessions end, on another thread: no client is told that its link has.
            self.events.note_stopping();
        }
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Waits until the manager has reached `phase` or a later one. Cancel safe.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // `self` owns the sender, so the wait cannot fail.
        let _ = receiver.wait_for(|current| *current >= phase).await;
    }

    /// Awaits `work`. Returns `None` if the deadline or `phase` comes first. Cancel safe if `work`
    /// is.
    pub(crate) async fn before<T>(
        &self,
        phase: Phase,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            done = timeout_at(deadline, work) => done.ok(),
            () = self.reached(phase) => None,
        }
    }

    /// Sends the callers of all requests in flight an error, and those that wait for locks or for
    /// approval.
    pub(crate) fn abandon_requests(&self) {
        let mut registry = self.registry();
        for (service, requests) in registry.abandon_all() {
            let service = service.to_string();
            let reason = &Refusal::ShuttingDown { service };
            self.events.publish(Event::Abandoned { requests, reason }, None);
        }
        for event in registry.refuse_approvals() {
            self.events.publish(event, None);
        }
        for event in registry.refuse_waits() {
            self.events.publish(event, None);
        }
    }

    /// Breaks some locks on a service: see [`Registry::break_lock`]. Returns the names of the clients
    /// that held or awaited them, and whether there are more.
    ///
    /// # Errors
    /// Those of [`Registry::break_lock`].
    pub(crate) fn break_some(
        &self,
        service: &str,
        client: Option<&str>,
        newest: Ticket,
        cause: &LockCause,
    ) -> Result<(Vec<Arc<str>>, bool), Refusal> {
        let now = self.moment();
        let mut registry = self.registry();
        let Broken {
            clients,
            events,
            has_more,
        } = registry.break_lock(service, client, newest, cause, now.time)?;
        for event in events {
            self.events.publish(event, None);
        }
        self.events.settle(&mut registry, now);
        Ok((clients, has_more))
    }

    /// Breaks the locks on a service that are held or awaited now, in several steps, between which
    /// other tasks run. Returns the names of the clients that held or awaited them.
    ///
    /// # Errors
    /// Those of [`Registry::break_lock`].
    pub(crate) async fn break_lock(
        &self,
        service: &str,
        client: Option<&str>,
        cause: &LockCause,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let newest = self.registry().newest_lock();
        let mut all = Vec::new();
        loop {
            let (broken, has_more) = match self.break_some(service, client, newest, cause) {
                Ok(broken) => broken,
                // The service left between two steps.
                Err(_) if !all.is_empty() => return Ok(all),
                Err(refusal) => return Err(refusal),
            };
            all.extend(broken);
            if !has_more {
                return Ok(all);
            }
            yield_now().await;
        }
    }

    /// Grants all locks that can be granted: for schedules without tasks.
    #[cfg(any(test, feature = "fuzzing", feature = "lab"))]
    pub(crate) fn settle_all(&self) {
        let mut registry = self.registry();
        while registry.is_unsettled() {
            self.events.settle(&mut registry, self.moment());
        }
    }
}
