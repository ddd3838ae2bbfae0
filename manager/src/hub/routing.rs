//! Routing's shared state: the registry, the budgets, the counters and the phase.

use std::future::pending;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use labwire_access::Policy;
use labwire_store::{Lease, Store, ValidLogins};
use labwire_tcp::WatchedSocket;
use labwire_wire::LineTooLong;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::info;

use crate::budget::{LineBudget, QueueBudget};
use crate::clock::{Clock, Present};
use crate::config::Limits;
use crate::conversions::Conversions;
use crate::counters::Counters;
use crate::events::Events;
use crate::outbox::{NeverSent, Outbox, Resumption};
use crate::pace::Pace;
use crate::principal::Principal;
use crate::record::Recording;
use crate::refusal::{LockCause, Refusal, SessionRefusal};
use crate::registry::{
    Broken, Checked, Event, Leaving, ManagerIdentity, Moment, PeerId, Registry, Ticket, WentAway,
};
use crate::router::{Permits, Router};
use crate::routing_thread::{Measured, Task};
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

/// The work of one step of ending what is not permitted any more: about a millisecond.
const REVOCATION_WORK: usize = 1_024;

/// How many peers leave in one step whose grace periods are over: as after a power failure.
const DEPARTURES_AT_ONCE: usize = 16;

/// The most requests in flight that a returning peer is told, if bytes for it were lost.
const MOST_LISTED: usize = 10_000;

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

    /// Uses these rules from the next request of each peer on, unless newer ones are in use. What
    /// they no longer allow ends with [`revoke`](Self::revoke).
    pub(crate) fn set_policy(&self, policy: Policy, version: u64) {
        let present = self.present();
        let unused = self.registry().set_policy(policy, version, present);
        // On another thread, since there may be many rules.
        if Handle::try_current().is_ok() {
            drop(spawn_blocking(move || drop(unused)));
        }
    }

    /// Ends the connections of peers whose logins are not valid any more, and the sessions of those that
    /// are away. A peer whose user is no administrator any more stays, and is none.
    pub(crate) async fn end_logins(self: &Arc<Self>, valid: &Arc<ValidLogins>) {
        let (demoted, ended) = {
            let mut registry = self.registry();
            registry.set_valid_logins(valid);
            let demoted = registry.demote(valid);
            (demoted, registry.ended_logins(valid, self.present().seconds()))
        };
        for name in demoted {
            info!("{name} has logged in as a user who is no administrator any more");
        }
        for (_, dismissal, end) in &ended {
            dismissal.give(*end);
        }
        let mut left = 0;
        for (id, _, end) in ended {
            let Some(parked) = self.sessions.expire(id) else {
                continue;
            };
            Counters::count(&self.counters.logins_ended);
            info!("{} does not return to its session: {end}", parked.name);
            parked.leave(self);
            left += 1;
            if left % DEPARTURES_AT_ONCE == 0 {
                yield_now().await;
            }
        }
    }

    /// Ends what peers have and the rules do not allow any more, in several steps, between which
    /// other tasks run. If it is cancelled, another call goes on.
    pub(crate) async fn revoke(self: &Arc<Self>) {
        while self.revoke_some() {
            yield_now().await;
        }
    }

    /// Notices that grants have ended, for [`revoke`](Self::revoke).
    pub(crate) fn notice_ends(&self) {
        self.registry().notice_ends(self.present());
    }

    /// One step of [`revoke`](Self::revoke). Returns whether there may be more to do.
    fn revoke_some(self: &Arc<Self>) -> bool {
        let (now, present) = (self.moment(), self.present());
        let mut registry = self.registry();
        let (mut done, mut is_more) = (0, true);
        // Services that may be none any more. The connection of one that is there ends by itself.
        let mut services = Vec::new();
        while is_more && done < REVOCATION_WORK {
            let events = match registry.check_next(now, present) {
                None => {
                    is_more = false;
                    continue;
                }
                Some(Checked::Peer { id, view, events }) => {
                    let permits = |pattern: &str| view.permits_subscription(pattern, present.seconds());
                    done += 1 + self.events.revoke_subscriptions(&mut registry, id, permits);
                    let ends = |event: &Event<'_>| matches!(event, Event::ServiceRevoked { .. });
                    services.extend(events.iter().any(ends).then_some(id));
                    events
                }
                Some(Checked::Part { events, work }) => {
                    done += work;
                    events
                }
            };
            for event in events {
                done += self.events.publish(event, None);
            }
            done += self.events.settle(&mut registry, now);
        }
        drop(registry);
        for parked in services.into_iter().filter_map(|id| self.sessions.expire(id)) {
            info!(
                "{} does not return to its session: it may be no service any more",
                parked.name
            );
            parked.leave(self);
        }
        is_more
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

    /// Ends the links and locks of a client that sends nothing more: see [`Registry::finish`].
    pub(crate) fn finish(&self, client: PeerId, until: Instant) -> Option<Arc<Notify>> {
        let until = until.into_std();
        let mut registry = self.registry();
        let (event, last_reply) = registry.finish(client, until);
        if let Some(event) = event {
            self.events.publish(event, None);
        }
        self.events.settle(&mut registry, self.moment());
        last_reply
    }

    /// Handles deadlines when they are due, and what [`Events::settle`] has left. Runs until it is
    /// dropped.
    pub(crate) async fn expire_in_time(self: Arc<Self>) {
        let earlier = self.registry().earlier_deadline();
        loop {
            let (next, is_unsettled) = {
                let registry = self.registry();
                (registry.next_deadline(), registry.is_unsettled())
            };
            let due = async {
                match next {
                    _ if is_unsettled => {}
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = due => self.expire(Instant::now().into_std()),
                () = earlier.notified() => {}
            }
            // Lets other tasks run first.
            yield_now().await;
        }
    }

    /// Handles deadlines that are due at `now`, for about [`DEPARTURE_WORK`].
    pub(crate) fn expire(self: &Arc<Self>, now: std::time::Instant) {
        for peer in self.expire_some(now) {
            if let Some(parked) = self.sessions.expire(peer) {
                Counters::count(&self.counters.sessions_expired);
                parked.leave(self);
            }
        }
    }

    /// As [`expire`](Self::expire). Returns peers whose grace period is over, and who must leave.
    fn expire_some(&self, now: std::time::Instant) -> Vec<PeerId> {
        let mut over = Vec::new();
        let mut registry = self.registry();
        let mut work = self.events.settle(&mut registry, self.moment());
        while work < DEPARTURE_WORK && over.len() < DEPARTURES_AT_ONCE {
            let Some(event) = registry.expire(now) else {
                break;
            };
            if let Event::GraceOver { peer } = event {
                over.push(peer);
            }
            work += self.events.publish(event, None);
            work += self.events.settle(&mut registry, self.moment());
        }
        over
    }

    /// Keeps the place of a peer whose connection is broken, and notifies everyone concerned.
    /// Returns `false` if it has left, or must: a service to which a request could be lost, or which
    /// would owe more replies to requests that end now than can be noted.
    pub(crate) fn go_away(
        self: &Arc<Self>,
        id: PeerId,
        is_service: bool,
        outbox: &Outbox,
        grace: Duration,
    ) -> bool {
        let now = self.moment();
        let mut registry = self.registry();
        if self.is_draining() || (is_service && !outbox.loses_nothing()) {
            return false;
        }
        // Under the registry's lock: whoever routes to it sees both.
        outbox.go_away();
        let Some(WentAway { presence, callers }) = registry.go_away(id, grace, now) else {
            return false;
        };
        let is_kept = presence.is_some();
        if let Some(presence) = presence {
            self.events.publish(Event::WentAway(presence), None);
        }
        if let Some(callers) = callers {
            let service = callers.name().to_owned();
            self.tell_all(registry, callers, Refusal::ServiceLeft { service });
        }
        is_kept
    }

    /// Lets a peer go on that is back. Returns the frame `resumed`'s position and the requests in
    /// flight, if bytes for it were lost.
    ///
    /// # Errors
    /// The peer has received more than was sent to it. It stays away.
    pub(crate) fn come_back(
        &self,
        id: PeerId,
        outbox: &Outbox,
        received: u64,
        principal: &Arc<Principal>,
        socket: Option<WatchedSocket>,
    ) -> Result<(u64, Option<Vec<String>>), Refusal> {
        let present = self.present();
        let mut registry = self.registry();
        if let Some(end) = registry.end_of_login(principal, present.seconds()) {
            return Err(end.into());
        }
        if let Some(name) = registry.service(id).map(|service| Arc::clone(&service.name)) {
            registry.permit_service(&name, principal, present)?;
        }
        let Resumption { from } = outbox
            .come_back(received)
            .map_err(|NeverSent| SessionRefusal::NeverSent { received })?;
        let in_flight = if from > received {
            registry.uids_in_flight(id, MOST_LISTED)
        } else {
            None
        };
        if let Some(event) = registry.come_back(id, principal, socket) {
            self.events.publish(event, None);
        }
        Ok((from, in_flight))
    }

    /// Keeps the locks from before the start for their holders.
    pub(crate) fn reserve(&self, leases: Vec<Lease>) {
        let mut registry = self.registry();
        registry.reserve(leases, self.limits.sessions.grace, self.moment());
        let reserved = registry.reservations();
        if reserved > 0 {
            info!("{reserved} lock(s) from before the start are kept for their holders");
        }
        self.events.note_leases(&mut registry);
    }

    /// Releases all peers that are away, since the manager stops. Their locks are kept for the next start.
    pub(crate) fn release_away(self: &Arc<Self>) {
        for parked in self.sessions.close() {
            self.keep_locks(parked.id);
            parked.leave(self);
        }
    }

    /// Keeps the locks of a client for the next start: it leaves since the manager stops.
    pub(crate) fn keep_locks(&self, client: PeerId) {
        let mut registry = self.registry();
        registry.keep_locks(client, self.limits.sessions.grace, self.moment());
        self.events.note_leases(&mut registry);
    }

    /// Removes a peer from the registry in one step and notifies everyone concerned. Returns the
    /// number of requests that it held as a service. `too_long` is set if the peer is disconnected
    /// for an endless line.
    ///
    /// If thousands are to be notified, a task does so in several steps, and the service's name
    /// stays taken until it is done.
    pub(crate) fn leave(self: &Arc<Self>, id: PeerId, too_long: Option<LineTooLong>) -> usize {
        let mut registry = self.registry();
        let Some((event, leaving)) = registry.leave(id) else {
            return 0;
        };
        self.events.topics.forget(id);
        self.events.publish(event, None);
        self.events.settle(&mut registry, self.moment());
        let Some(leaving) = leaving else {
            return 0;
        };
        let service = leaving.name().to_owned();
        let refusal = match too_long {
            Some(LineTooLong { limit }) => Refusal::ReplyTooLong { service, limit },
            None => Refusal::ServiceLeft { service },
        };
        let requests = leaving.requests();
        self.tell_all(registry, leaving, refusal);
        requests
    }

    /// Notifies the clients that the departure of a service concerns, with `refusal` for each of
    /// their requests. If there are thousands, a task does so in several steps.
    fn tell_all(
        self: &Arc<Self>,
        mut registry: MutexGuard<'_, Registry>,
        mut leaving: Leaving,
        refusal: Refusal,
    ) {
        if !self.tell_some(&mut registry, &mut leaving, &refusal) {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => {
                drop(registry);
                let routing = Arc::clone(self);
                runtime.spawn(Measured::new(Task::TellDeparture, async move {
                    loop {
                        // Lets other tasks run first.
                        yield_now().await;
                        if !routing.tell_some(&mut routing.registry(), &mut leaving, &refusal) {
                            return;
                        }
                    }
                }));
            }
            // Without a runtime there are no other tasks to let run.
            Err(_) => while self.tell_some(&mut registry, &mut leaving, &refusal) {},
        }
    }

    /// Notifies some of the remaining clients that a service has left, with `refusal` for each of
    /// their requests. Returns whether more remain.
    fn tell_some(&self, registry: &mut Registry, leaving: &mut Leaving, refusal: &Refusal) -> bool {
        let mut work = 0;
        while work < DEPARTURE_WORK {
            let Some(event) = registry.next_concerned(leaving, refusal) else {
                self.events.note_leases(registry);
                return false;
            };
            work += self.events.publish(event, None);
        }
        self.events.note_leases(registry);
        true
    }
}
