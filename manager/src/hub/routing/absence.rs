//! Peers that are away, return or leave, and what is due at a time.

use std::future::pending;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use labwire_store::Lease;
use labwire_tcp::WatchedSocket;
use labwire_wire::LineTooLong;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::{DEPARTURE_WORK, DEPARTURES_AT_ONCE, Routing};
use crate::counters::Counters;
use crate::outbox::{NeverSent, Outbox, Resumption};
use crate::principal::Principal;
use crate::refusal::{Refusal, SessionRefusal};
use crate::registry::{Event, Leaving, PeerId, Registry, WentAway};
use crate::routing_thread::{Measured, Task};

/// The most requests in flight that a returning peer is told, if bytes for it were lost.
const MOST_LISTED: usize = 10_000;

impl Routing {
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

    /// Handles deadlines when they are due, and what [`Events::settle`](crate::events::Events::settle) has
    /// left. Runs until it is dropped.
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
        let principal = &registry.as_known(principal);
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
