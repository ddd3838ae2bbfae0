//! What routing shares: the registry, the budgets, the counters, and how far the manager is on its way out.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use labwire_store::Store;
use labwire_wire::LineTooLong;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::budget::{LineBudget, QueueBudget};
use crate::clock::Clock;
use crate::config::Limits;
use crate::counters::Counters;
use crate::events::Events;
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::registry::{Event, Leaving, ManagerIdentity, PeerId, Registry};
use crate::router::{Permits, Router};
use crate::routing_thread::{Measured, Task};
use crate::slow_readers::SlowReaders;

/// How many peers are taken out at once; others that have left wait for their turn.
///
/// When ten thousand leave together, as when a switch loses power, all of that would else stand before everybody
/// else's next request. With this many, others wait for about a millisecond between them.
const DEPARTURES: usize = 64;

/// How much is told at once when a service has left: so many errors or ends of links. It takes less than a millisecond.
pub(super) const DEPARTURE_WORK: usize = 1_024;

/// How many deadlines are looked after before others have their turn.
const EXPIRED_AT_ONCE: usize = 1_024;

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

/// What every connected peer shares, whether it has a socket or not. It needs no store, no log and no network.
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
    phase: watch::Sender<Phase>,
    /// Told when there is an earlier deadline than before.
    earlier: Notify,
    /// Permits for peers that are being taken out: see [`DEPARTURES`].
    pub(crate) departures: Semaphore,
    /// Tells when a lock is acquired.
    pub(crate) clock: Clock,
}

impl Routing {
    /// `records` is where connections are recorded, if they are.
    pub(crate) fn new(manager: ManagerIdentity, limits: Limits, pace: Pace, records: Option<Store>) -> Self {
        let (manager_name, counters) = (manager.name(), Arc::<Counters>::default());
        Self {
            name: manager.name(),
            registry: Mutex::new(Registry::new(manager, &limits)),
            limits,
            pace,
            lines: LineBudget::new(limits.budgets.lines),
            queues: QueueBudget::new(limits.budgets.queues, limits.stall),
            events: Events::new(manager_name, Arc::clone(&counters), records),
            counters,
            slow_readers: SlowReaders::default(),
            phase: watch::Sender::new(Phase::Running),
            earlier: Notify::new(),
            departures: Semaphore::new(DEPARTURES),
            clock: Clock::default(),
        }
    }

    /// The manager's name, `Manager[HOST:PORT]`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The registry, locked. The guard must not live across an await.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic under this lock is a bug that ends one connection; the others go on with what is there.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a router, which keeps the registry locked until it is dropped.
    pub(crate) fn router(&self) -> Router<'_> {
        let registry = self.registry();
        // Under the registry's lock, so that no request is taken after those in flight were counted for the last time.
        let draining = self.is_draining();
        Router {
            registry,
            counters: &self.counters,
            events: &self.events,
            draining,
            nesting: self.limits.nesting,
            permits: Permits::default(),
            pace: self.pace,
            clock: &self.clock,
            work: 0,
        }
    }

    /// Whether the manager is about to stop and takes no new requests.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() > Phase::Running
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
        if phase == Phase::Stopping {
            self.events.note_stopping();
        }
    }

    /// Waits until the manager has come as far as `phase`. Cancel safe.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives as long as this, so the wait cannot end early.
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

    /// Tells the callers of all requests under way that they will not be answered.
    pub(crate) fn abandon_requests(&self) {
        for (service, requests) in self.registry().abandon_all() {
            let service = service.to_string();
            let reason = &Refusal::ShuttingDown { service };
            self.events.publish(Event::Abandoned { requests, reason }, None);
        }
    }

    /// Ends the links and locks of a client that sends no more: see [`Registry::finish`].
    pub(crate) fn finish(&self, client: PeerId, until: Instant) -> Option<Arc<Notify>> {
        let until = until.into_std();
        let (told, is_first) = self.registry().finish(client, until)?;
        if is_first {
            self.earlier.notify_one();
        }
        Some(told)
    }

    /// Ends what ends by itself at its time. Runs until it is dropped.
    pub(crate) async fn expire_in_time(&self) {
        loop {
            let next = self.registry().next_deadline();
            let due = async {
                match next {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = due => self.expire(Instant::now().into_std()),
                () = self.earlier.notified() => {}
            }
            // Others who are ready come first.
            yield_now().await;
        }
    }

    /// Ends some of what ends at that time or earlier.
    pub(crate) fn expire(&self, now: std::time::Instant) {
        let mut registry = self.registry();
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(event) = registry.expire(now) else {
                return;
            };
            self.events.publish(event, None);
        }
    }

    /// Takes a peer out of the registry in one step, and tells everyone whom that concerns. Returns the number of requests
    /// that it held as a service. `too_long` is for one that is thrown out for a line without an end.
    ///
    /// Where thousands are to be told, others are served in between, and the service's name is free only afterwards.
    pub(crate) fn leave(self: &Arc<Self>, id: PeerId, too_long: Option<LineTooLong>) -> usize {
        let mut registry = self.registry();
        let Some((event, leaving)) = registry.leave(id) else {
            return 0;
        };
        self.events.publish(event, None);
        let Some(mut leaving) = leaving else {
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
                let routing = Arc::clone(self);
                runtime.spawn(Measured::new(Task::TellDeparture, async move {
                    loop {
                        // Others who are ready come first.
                        yield_now().await;
                        if !routing.tell_some(&mut routing.registry(), &mut leaving, &refusal) {
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
        let mut work = 0;
        while work < DEPARTURE_WORK {
            let Some(event) = registry.next_concerned(leaving, refusal) else {
                return false;
            };
            work += self.events.publish(event, None);
        }
        true
    }
}
