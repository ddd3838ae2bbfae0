//! What all connections share.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use labwire_home::present;
use labwire_wire::{LineTooLong, MANAGER_NAME, frames};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::budget::{LineBudget, QueueBudget};
use crate::config::{Authentication, Limits};
use crate::counters::Counters;
use crate::logging::{Level, LogControl};
use crate::login::Logins;
use crate::names::{PeerAddress, Resolver};
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::registry::{Abandoned, Concerned, Leaving, ManagerIdentity, PeerId, Registry};
use crate::router::{Permits, Router};
use crate::routing::{Measured, Steps, Task};
use crate::slow_readers::SlowReaders;
use crate::store::{ConnectionEvent, Store};
use crate::strangers::Strangers;

/// How many peers are taken out at once; others that have left wait for their turn.
///
/// When ten thousand leave together, as when a switch loses power, all of that would else stand before everybody
/// else's next request. With this many, others wait for about a millisecond between them.
const DEPARTURES: usize = 64;

/// How much is told at once when a service has left: so many errors or ends of links. It takes less than a millisecond.
const DEPARTURE_WORK: usize = 1_024;

/// How far the manager is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Running,
    /// It takes no new requests and waits for those under way.
    Draining,
    /// It waits no longer.
    Hurried,
    /// Connections end.
    Stopping,
}

/// What all connections share.
pub(crate) struct Hub {
    name: String,
    port: u16,
    registry: Mutex<Registry>,
    store: Store,
    pub(crate) authentication: Authentication,
    pub(crate) limits: Limits,
    pub(crate) pace: Pace,
    pub(crate) lines: Arc<LineBudget>,
    pub(crate) queues: Arc<QueueBudget>,
    pub(crate) counters: Counters,
    pub(crate) steps: Arc<Steps>,
    pub(crate) logins: Logins,
    pub(crate) slow_readers: SlowReaders,
    pub(crate) strangers: Strangers,
    pub(crate) resolver: Resolver,
    trusted: RwLock<Arc<HashSet<String>>>,
    log: LogControl,
    phase: watch::Sender<Phase>,
    /// Places for peers that are being taken out: see [`DEPARTURES`].
    pub(crate) departures: Semaphore,
    started: Instant,
}

impl Hub {
    pub(crate) fn new(
        manager: ManagerIdentity,
        authentication: Authentication,
        limits: Limits,
        store: Store,
        log: LogControl,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: manager.name(),
            port: manager.port,
            resolver: Resolver::new(&manager.hostname),
            registry: Mutex::new(Registry::new(manager, &limits)),
            strangers: Strangers::new(store.audit_max_rows()),
            store,
            authentication,
            limits,
            pace: Pace::default(),
            lines: LineBudget::new(limits.budgets.lines),
            queues: QueueBudget::new(limits.budgets.queues, limits.stall),
            counters: Counters::default(),
            steps: Arc::default(),
            logins: Logins::new(&limits),
            slow_readers: SlowReaders::default(),
            trusted: RwLock::default(),
            log,
            phase: watch::Sender::new(Phase::Running),
            departures: Semaphore::new(DEPARTURES),
            started: Instant::now(),
        })
    }

    /// The manager's name, `Manager[HOST:PORT]`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        let address = self.name.strip_prefix(MANAGER_NAME).unwrap_or(&self.name);
        address.trim_matches(['[', ']'])
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The registry, locked. The guard must not live across an await.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic under this lock is a bug that ends one connection; the others go on with what is there.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A router over the locked registry. `draining` is what [`is_draining`](Self::is_draining) said since it was
    /// locked.
    pub(crate) fn router<'a>(&'a self, registry: &'a mut Registry, draining: bool) -> Router<'a> {
        Router {
            registry,
            counters: &self.counters,
            draining,
            nesting: self.limits.nesting,
            permits: Permits::default(),
            pace: self.pace,
            clock: Timestamp::now,
            work: 0,
        }
    }

    /// Whether the manager is about to stop and takes no new requests.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() > Phase::Running
    }

    /// Writes a row about a peer into the table of connections.
    pub(crate) fn record(&self, peer: &PeerAddress, message: &str) {
        self.record_at(present(), peer, message);
    }

    /// Writes the row of a peer's request to connect, once it is known what came of it: of strangers only some are
    /// recorded.
    pub(crate) fn record_request(&self, came: Timestamp, peer: &PeerAddress) {
        self.record_at(came, peer, "new connection request");
    }

    fn record_at(&self, at: Timestamp, peer: &PeerAddress, message: &str) {
        let event = ConnectionEvent {
            ip: peer.ip.to_string(),
            domain: peer.domain.clone(),
            port: peer.port,
            message: message.to_owned(),
        };
        self.store.record_at(at, event);
    }

    /// Whether a line about an unidentified peer may be logged.
    pub(crate) fn may_log_stranger(&self, ip: IpAddr) -> bool {
        self.strangers.may_log(&self.counters, ip)
    }

    /// Whether an unidentified peer may be recorded in the table of connections.
    pub(crate) fn may_record_stranger(&self, ip: IpAddr) -> bool {
        self.strangers.may_record(&self.counters, ip)
    }

    /// The hostnames that may connect.
    pub(crate) fn trusted(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.trusted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the trusted hostnames again, if they decide who is admitted. When they cannot be read the old ones stay.
    pub(crate) async fn trust_changed(&self) {
        // Nobody is admitted by them otherwise.
        if !matches!(self.authentication, Authentication::Hostname) {
            return;
        }
        match self.store.hostnames().await {
            Ok(hostnames) => {
                let trusted = Arc::new(hostnames.into_iter().collect());
                *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
            }
            Err(error) => warn!("cannot read the trusted hostnames, the old ones stay: {error}"),
        }
    }

    /// Changes what is logged; tells whether that worked.
    pub(crate) fn set_logging_level(&self, level: Level) -> bool {
        let changed = self.log.set_level(level);
        if changed {
            info!("the logging level is now {level}");
        }
        changed
    }

    pub(crate) fn log(&self) -> &LogControl {
        &self.log
    }

    /// Asks the manager to stop; it has stopped when its serving future ends.
    pub(crate) fn request_shutdown(&self) {
        self.advance(Phase::Draining);
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Tells the callers of all requests under way that they will not be answered.
    pub(crate) fn abandon_requests(&self) {
        for (service, abandoned) in self.registry().abandon_all() {
            self.tell_abandoned(
                abandoned,
                &Refusal::ShuttingDown {
                    service: service.to_string(),
                },
            );
        }
    }

    /// Takes a peer out of the registry in one step, and tells everyone whom that concerns. Returns the number of requests
    /// that it held as a service. `too_long` is for one that is thrown out for a line without an end.
    ///
    /// Where thousands are to be told, others are served in between, and the service's name is free only afterwards.
    pub(crate) fn leave(self: &Arc<Self>, id: PeerId, too_long: Option<LineTooLong>) -> usize {
        let mut registry = self.registry();
        let Some(mut leaving) = registry.leave(id) else {
            return 0;
        };
        let service = leaving.name().to_owned();
        let refusal = match too_long {
            Some(LineTooLong { limit }) => Refusal::ReplyTooLong { service, limit },
            None => Refusal::ServiceLeft { service },
        };
        let requests = leaving.requests();
        if !self.tell_some(&mut registry, &mut leaving, &refusal) {
            return requests;
        }
        match Handle::try_current() {
            Ok(runtime) => {
                drop(registry);
                let hub = Arc::clone(self);
                runtime.spawn(Measured::new(Task::TellDeparture, async move {
                    loop {
                        // Others who are ready come first.
                        yield_now().await;
                        if !hub.tell_some(&mut hub.registry(), &mut leaving, &refusal) {
                            return;
                        }
                    }
                }));
            }
            // Nobody else is to be served.
            Err(_) => while self.tell_some(&mut registry, &mut leaving, &refusal) {},
        }
        requests
    }

    /// Tells some of the clients that do not know yet that a service has left: `refusal`, for each of their requests.
    /// Returns whether there are more.
    fn tell_some(&self, registry: &mut Registry, leaving: &mut Leaving, refusal: &Refusal) -> bool {
        let unlinked = frames::manager_request("unlinked", &[leaving.name()], &self.name);
        // When the manager stops, all connections end: there is no use in telling which one ended first.
        let is_stopping = *self.phase.borrow() >= Phase::Stopping;
        let mut work = 0;
        while work < DEPARTURE_WORK {
            work += match registry.next_concerned(leaving) {
                Some(Concerned::Caller(abandoned)) => 4 + self.tell_abandoned(abandoned, refusal),
                Some(Concerned::Linked(outbox)) if !is_stopping => {
                    outbox.push_always(|writer| writer.shared(&unlinked));
                    1
                }
                Some(_) => 1,
                None => return false,
            };
        }
        true
    }

    /// Returns how many errors were put together.
    fn tell_abandoned(&self, abandoned: Abandoned, refusal: &Refusal) -> usize {
        Counters::add(&self.counters.abandoned, abandoned.count());
        abandoned.tell(refusal)
    }

    /// Waits until the manager has come as far as `phase`. Cancel safe.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives as long as the hub, so the wait cannot end early.
        let _ = receiver.wait_for(|current| *current >= phase).await;
    }

    /// What `work` gives, unless the deadline or that phase comes first. Cancel safe if `work` is.
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

    /// The [`statistics`](Self::statistics) without those that are 0.
    pub(crate) fn statistics_above_zero(&self) -> Value {
        let mut statistics = self.statistics();
        if let Some(statistics) = statistics.as_object_mut() {
            statistics.retain(|_, count| count.as_u64() != Some(0));
        }
        statistics
    }

    /// What was counted since the start, and how things are now.
    pub(crate) fn statistics(&self) -> Value {
        let (clients, services, in_flight, identity_bytes) = {
            let registry = self.registry();
            let (clients, services) = registry.counts();
            (clients, services, registry.in_flight(), registry.identity_bytes())
        };
        let mut statistics = json!({
            "uptime_seconds": self.started.elapsed().as_secs(),
            "clients": clients,
            "services": services,
            "in_flight": in_flight,
            "long_steps": self.steps.long(),
            "longest_step_microseconds": self.steps.longest_microseconds(),
            "line_bytes": self.lines.held(),
            "queued_bytes": self.queues.used(),
            "queues_over_budget": self.queues.waits(),
            "identity_bytes": identity_bytes,
            "audit_dropped": self.store.audit_dropped(),
            "audit_failures": self.store.audit_failures(),
            "database_failures": self.store.failures(),
            "log_lines_lost": self.log.lines_lost(),
            "log_failures": self.log.failures(),
        });
        if let Some(statistics) = statistics.as_object_mut() {
            statistics.extend(
                self.counters
                    .all()
                    .map(|(name, count)| (name.to_owned(), count.into())),
            );
        }
        statistics
    }
}

#[cfg(test)]
mod tests;
