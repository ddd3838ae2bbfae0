//! Predicts locks: who holds them, who waits for them, and how they end.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::model::Model;
use super::reservations::Reserved;
use super::speech::REASON;
use super::state::{Key, ModelPhase};
use crate::refusal::{
    HeldLock, LinkedClients, LockCause, LockEnd, LockObstacle, LockRefusal, Refusal, WaitEnd, WaitingRequest,
};

/// The most locks that are granted with the same list as the answer.
const GRANTED_AT_ONCE: usize = 64;

/// The terms of a lock: whether it is shared, its time to live in seconds, and whether it has a
/// reason.
pub(super) type Terms = (bool, Option<u32>, bool);

/// A lock that a client holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) since: Duration,
    /// Orders locks by the time at which they were acquired.
    number: usize,
    pub(super) terms: Terms,
    pub(super) until: Option<Duration>,
}

/// A request that waits for a lock.
#[derive(Clone, Debug)]
pub(super) struct LockWait {
    pub(super) service: Key,
    pub(super) client: Key,
    pub(super) uid: String,
    terms: Terms,
    since: Duration,
    wait: u32,
}

impl LockWait {
    fn deadline(&self) -> Duration {
        self.since + Duration::from_secs(self.wait.into())
    }
}

/// What ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// The lock of a client on a service.
    Lease(Key, Key),
    /// A request that waits for a service, by its position among all.
    Wait(Key, usize),
    /// A lock that is kept from before a restart, by its number.
    Reserved(usize),
}

/// Returns a time of day.
pub(super) fn of_day(time: Duration) -> Timestamp {
    Timestamp::from_second(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

impl Model {
    /// Returns the whole seconds of the time: the clock has no others.
    pub(super) fn seconds(&self) -> Duration {
        Duration::from_secs(self.time.as_secs())
    }

    /// Returns the clients that are linked with a service.
    pub(super) fn linked(&self, service: Key) -> Vec<Key> {
        Self::with(&self.links, service)
    }

    /// Returns the clients that hold a lock on a service.
    pub(super) fn locking(&self, service: Key) -> Vec<Key> {
        let holders = self.locks.keys().filter(|pair| pair.0 == service);
        holders.map(|pair| pair.1).collect()
    }

    /// Returns the requests that wait for a service, in the order of their arrival.
    fn waiting(&self, service: Key) -> Vec<&LockWait> {
        let waits = self.lock_waits.iter();
        waits.filter(|wait| wait.service == service).collect()
    }

    /// Returns the services whose locks a client waits for, in the order of its requests.
    pub(super) fn services_that_wait_for(&self, client: Key) -> Vec<Key> {
        let waits = self.lock_waits.iter().filter(|wait| wait.client == client);
        waits.map(|wait| wait.service).collect()
    }

    /// Returns the lock of another client than `client` on a service, named after the one that has
    /// held it longest.
    pub(super) fn held(&self, service: Key, client: Key) -> Option<Box<HeldLock>> {
        let mut holders = self.locking(service);
        holders.retain(|holder| *holder != client);
        let reserved: Vec<&Reserved> = self.reserved_for_others(service, client).collect();
        let others = (holders.len() + reserved.len()).checked_sub(1)?;
        let waiting = self.waiting(service).len();
        let longest = holders
            .iter()
            .map(|client| (&self.locks[&(service, *client)], client))
            .min_by_key(|(held, _)| held.number);
        let reserved = reserved.into_iter().min_by_key(|reserved| reserved.place);
        let held = match (longest, reserved) {
            (Some((held, _)), Some(reserved)) if reserved.place < held.number => {
                reserved.held(others, waiting)
            }
            (None, Some(reserved)) => reserved.held(others, waiting),
            (longest, _) => {
                let (held, holder) = longest?;
                HeldLock {
                    holder: self.peers[holder].full_name(),
                    since: of_day(held.since),
                    until: held.until.map(of_day),
                    is_reserved: false,
                    reason: held.terms.2.then(|| REASON.into()),
                    shared: held.terms.0,
                    others,
                    waiting,
                }
            }
        };
        Some(Box::new(held))
    }

    /// Returns the names of those who hold a lock on a service or have one kept for them, in their order.
    pub(super) fn holders(&self, service: Key) -> Vec<String> {
        let mut names = self.names(&self.locking(service));
        names.extend(
            self.reserved_on(service)
                .map(|reserved| reserved.lease.holder.to_string()),
        );
        names.sort();
        names
    }

    /// Returns whether nobody has a lock on a service.
    fn is_free(&self, service: Key) -> bool {
        self.locking(service).is_empty() && self.reserved_on(service).next().is_none()
    }

    /// Returns the refusal of a link, as long as an exclusive lock is waited for.
    pub(super) fn lock_awaited(&self, service: Key, client: Key) -> Option<Refusal> {
        let refusal = LockRefusal::Awaited {
            service: self.peers[&service].identity.name.clone(),
            waiting: self.first_exclusive(service, client)?,
            position: self.waiting(service).len() + 1,
        };
        Some(refusal.into())
    }

    /// Returns the first request of another client that waits for an exclusive lock.
    fn first_exclusive(&self, service: Key, client: Key) -> Option<WaitingRequest> {
        let waiting = self.waiting(service);
        let mut exclusive = waiting.iter().filter(|wait| !wait.terms.0);
        let first = exclusive.find(|wait| wait.client != client)?;
        Some(self.described(first))
    }

    fn described(&self, wait: &LockWait) -> WaitingRequest {
        WaitingRequest {
            client: self.peers[&wait.client].full_name(),
            since: of_day(wait.since),
            exclusive: !wait.terms.0,
        }
    }

    /// Returns what keeps a client from a lock because of links and locks. `together` is whether
    /// the locks of others were granted in the same step.
    fn obstacle(&self, service: Key, client: Key, shared: bool, together: bool) -> Option<LockObstacle> {
        let linked = self.linked(service);
        let is_linked = linked.contains(&client);
        let others_lock = self.locking(service).iter().any(|holder| *holder != client)
            || self.reserved_for_others(service, client).next().is_some();
        let is_admitted = is_linked || together || self.has_reserved(service, client);
        let others_link = linked.iter().any(|other| *other != client);
        let list = || {
            let names = self.names(&linked);
            LinkedClients::new(&names, names.len())
        };
        if others_lock && !(shared && is_admitted) {
            return self.held(service, client).map(LockObstacle::Held);
        }
        if others_link && !shared {
            return Some(LockObstacle::Linked(list()));
        }
        let limit = self.peers[&service].max_clients();
        let is_full = limit.is_some_and(|limit| linked.len() as u64 >= limit);
        (is_full && !is_linked).then(|| LockObstacle::Full(list()))
    }

    /// Returns the request that comes before a new one of that client, if there is one.
    fn before(&self, service: Key, client: Key, shared: bool) -> Option<LockObstacle> {
        if self.locks.contains_key(&(service, client)) || self.has_reserved(service, client) {
            return None;
        }
        let is_linked = self.links.contains(&(service, client));
        let is_free = self.is_free(service);
        let waiting = self.waiting(service);
        let first = waiting
            .iter()
            .find(|wait| !(shared && is_linked && is_free && wait.terms.0))?;
        Some(LockObstacle::Waiting(self.described(first)))
    }

    /// Predicts the answer to a request for a lock; `None` if it waits.
    pub(super) fn acquire(
        &mut self,
        from: Key,
        key: Key,
        terms: Terms,
        wait: Option<u32>,
        uid: &str,
    ) -> Result<Option<String>, Refusal> {
        let service = self.peers[&key].identity.name.clone();
        let client = self.peers[&from].full_name();
        let is_linked = self.links.contains(&(key, from));
        if self.services_that_wait_for(from).contains(&key) {
            return Err(LockRefusal::AlreadyWaits { service, client }.into());
        }
        if !is_linked && wait.is_none() {
            return Err(match self.ended_locks.get(&(key, from)).cloned() {
                Some(end) => LockRefusal::Ended { service, client, end }.into(),
                None => Refusal::LockWithoutLink { service, client },
            });
        }
        let obstacle = self
            .obstacle(key, from, terms.0, false)
            .or_else(|| self.before(key, from, terms.0));
        let linked = self.linked(key);
        let exclusive = self.first_exclusive(key, from).filter(|_| is_linked);
        let wait = match wait {
            Some(_) if self.phase > ModelPhase::Serving => Some(0),
            wait => wait,
        };
        match (obstacle, exclusive, wait) {
            (None, _, _) => {
                self.grant(from, key, terms);
                Ok(Some(json!(self.names(&self.linked(key))).to_string()))
            }
            (Some(_), _, None) if !terms.0 && linked.len() > 1 => {
                let linked = self.names(&linked);
                Err(Refusal::NotAlone {
                    service,
                    client,
                    linked: LinkedClients::new(&linked, linked.len()),
                    position: self.waiting(key).len() + 1,
                })
            }
            // It would wait for a request that waits for the end of its own link.
            (Some(_), Some(first), _) => Err(LockRefusal::NotGranted {
                service,
                client,
                obstacle: LockObstacle::Waiting(first),
                wait: None,
                position: self.waiting(key).len() + 1,
            }
            .into()),
            (Some(obstacle), None, None | Some(0)) => Err(LockRefusal::NotGranted {
                service,
                client,
                obstacle,
                wait: wait.map(|_| Duration::ZERO),
                position: self.waiting(key).len() + 1,
            }
            .into()),
            (Some(_), None, Some(wait)) => {
                self.lock_waits.push(LockWait {
                    service: key,
                    client: from,
                    uid: uid.to_owned(),
                    terms,
                    since: self.seconds(),
                    wait,
                });
                Ok(None)
            }
        }
    }

    fn grant(&mut self, client: Key, service: Key, terms: Terms) {
        self.links.insert((service, client));
        self.ended_locks.remove(&(service, client));
        let now = self.seconds();
        let until = terms.1.map(|ttl| now + Duration::from_secs(ttl.into()));
        let pair = (service, client);
        self.last_lock += 1;
        let since_before = self.redeem(client, service);
        let before = self.locks.get(&pair);
        let since = before.map(|held| held.since).or(since_before).unwrap_or(now);
        let number = before.map_or(self.last_lock, |held| held.number);
        self.locks.insert(
            pair,
            Held {
                since,
                number,
                terms,
                until,
            },
        );
    }

    /// Predicts the answer to a renewal.
    pub(super) fn renew(&mut self, from: Key, key: Key, ttl: Option<u32>) -> Result<String, Refusal> {
        let service = self.peers[&key].identity.name.clone();
        let client = self.peers[&from].full_name();
        let now = self.seconds();
        let Some(held) = self.locks.get_mut(&(key, from)) else {
            return Err(match self.ended_locks.get(&(key, from)).cloned() {
                Some(end) => LockRefusal::Ended { service, client, end },
                None => LockRefusal::HoldsNone { service, client },
            }
            .into());
        };
        held.terms.1 = ttl.or(held.terms.1);
        held.until = held.terms.1.map(|ttl| now + Duration::from_secs(ttl.into()));
        let until = held.until.map(|until| of_day(until).to_string());
        let ttl = held.terms.1.map(f64::from);
        Ok(json!({ "ttl": ttl, "until": until }).to_string())
    }

    /// Ends a client's wait for a lock on a service. Returns whether it waited.
    pub(super) fn end_wait(&mut self, service: Key, client: Key, end: WaitEnd) -> bool {
        let is_it = |wait: &LockWait| (wait.service, wait.client) == (service, client);
        let Some(place) = self.lock_waits.iter().position(is_it) else {
            return false;
        };
        let wait = self.lock_waits.remove(place);
        let refusal = LockRefusal::WaitEnded {
            service: self.peers[&service].identity.name.clone(),
            client: self.peers[&client].full_name(),
            end,
        };
        self.refuse(client, &wait.uid, &refusal.into());
        true
    }

    /// Removes the links, locks and waits of a peer that has left. Returns the requests of others
    /// that waited for it.
    pub(super) fn forget_locks(&mut self, key: Key) -> Vec<LockWait> {
        self.links.retain(|pair| pair.0 != key && pair.1 != key);
        self.locks.retain(|pair, _| pair.0 != key && pair.1 != key);
        self.ended_locks.retain(|pair, _| pair.0 != key && pair.1 != key);
        let (waiting, others) = std::mem::take(&mut self.lock_waits)
            .into_iter()
            .partition(|wait| wait.service == key);
        self.lock_waits = others;
        self.lock_waits.retain(|wait| wait.client != key);
        waiting
    }

    /// Grants locks to the requests that wait for them, as far as nothing is in their way.
    pub(super) fn settle(&mut self) {
        let mut services: Vec<Key> = self.lock_waits.iter().map(|wait| wait.service).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            let mut together = self.is_free(service);
            loop {
                let mut granted = Vec::new();
                while granted.len() < GRANTED_AT_ONCE
                    && let Some(first) = self.waiting(service).first().map(|first| (*first).clone())
                    && self
                        .obstacle(service, first.client, first.terms.0, together)
                        .is_none()
                {
                    self.lock_waits
                        .retain(|wait| (wait.service, wait.client) != (service, first.client));
                    self.grant(first.client, service, first.terms);
                    together &= first.terms.0;
                    granted.push(first);
                }
                let linked = json!(self.names(&self.linked(service))).to_string();
                self.sums.locks_granted_later += granted.len() as u64;
                for LockWait { client, uid, .. } in &granted {
                    self.answer(*client, uid, &linked);
                }
                if granted.len() < GRANTED_AT_ONCE {
                    break;
                }
            }
        }
    }

    /// Ends the locks and waits whose time is over.
    pub(super) fn expire_locks(&mut self) {
        let now = self.time;
        loop {
            let leases = self.locks.iter().filter_map(|(pair, held)| {
                let ending = Ending::Lease(pair.0, pair.1);
                Some((held.until?, ending))
            });
            let waits = self.lock_waits.iter().enumerate();
            let waits = waits.map(|(place, wait)| (wait.deadline(), Ending::Wait(wait.service, place)));
            let reserved = self.reserved.iter().filter_map(|reserved| {
                let ending = Ending::Reserved(reserved.number);
                Some((reserved.until?, ending))
            });
            let all = leases.chain(waits).chain(reserved);
            let due = all.filter(|(deadline, _)| *deadline <= now).min();
            let Some((deadline, ending)) = due else {
                return;
            };
            match ending {
                Ending::Lease(service, client) => {
                    let ttl = self.locks[&(service, client)].terms.1.unwrap_or_default();
                    let ttl = Duration::from_secs(ttl.into());
                    self.sums.locks_expired += 1;
                    let cause = LockCause::Expired { ttl };
                    self.end_lock(service, client, of_day(deadline), &cause);
                }
                Ending::Wait(service, place) => self.give_up(service, place),
                Ending::Reserved(number) => self.expire_reserved(number, of_day(deadline)),
            }
            self.settle();
        }
    }

    /// Ends a wait whose time is over.
    fn give_up(&mut self, service: Key, place: usize) {
        let before = self.lock_waits[..place].iter();
        let position = 1 + before.filter(|wait| wait.service == service).count();
        let wait = self.lock_waits.remove(place);
        let obstacle = self
            .obstacle(service, wait.client, wait.terms.0, false)
            .or_else(|| {
                let waiting = self.waiting(service);
                Some(LockObstacle::Waiting(self.described(waiting.first()?)))
            });
        let refusal = LockRefusal::NotGranted {
            service: self.peers[&service].identity.name.clone(),
            client: self.peers[&wait.client].full_name(),
            obstacle: obstacle.expect("something was in its way"),
            wait: Some(Duration::from_secs(wait.wait.into())),
            position,
        };
        self.sums.lock_waits_timed_out += 1;
        self.refuse(wait.client, &wait.uid, &refusal.into());
    }

    /// Ends a client's lock, and its link.
    fn end_lock(&mut self, service: Key, client: Key, at: Timestamp, cause: &LockCause) {
        let end = LockEnd {
            at,
            cause: cause.clone(),
        };
        let name = self.peers[&service].identity.name.clone();
        self.tell_lock_end(client, &name, &end);
        self.end_access(service, client, end);
    }

    /// Notes that a client's lock has ended, and its link with it.
    pub(super) fn end_access(&mut self, service: Key, client: Key, end: LockEnd) {
        let pair = (service, client);
        self.locks.remove(&pair);
        self.end_link(service, client);
        self.ended_locks.insert(pair, end);
    }

    /// Expects that a client is told that its lock has ended, if it wants to know.
    pub(super) fn tell_lock_end(&mut self, client: Key, service: &str, end: &LockEnd) {
        if self.peers[&client].identity.features.leases {
            let text = format!("the lock on the {} Service {end}", labwire_wire::quoted(service));
            self.own_word(client, "lock_ended", &[service, end.cause.name(), &text]);
        }
    }
}

impl Model {
    /// Breaks all locks on a service, and ends all waits for one. Returns the names of the clients.
    pub(super) fn break_locks(&mut self, name: &str, cause: &LockCause) -> Vec<String> {
        let end = LockEnd {
            at: self.now(),
            cause: cause.clone(),
        };
        let Some(service) = self.service_named(name) else {
            return self
                .break_reserved(name, &end)
                .into_iter()
                .map(|(_, holder)| holder)
                .collect();
        };
        let waiting: Vec<Key> = self.waiting(service).iter().map(|wait| wait.client).collect();
        let mut holders = Vec::new();
        for client in self.locking(service) {
            self.sums.locks_broken += 1;
            holders.push((
                self.locks[&(service, client)].number,
                self.peers[&client].full_name(),
            ));
            self.end_lock(service, client, end.at, cause);
        }
        holders.extend(self.break_reserved(name, &end));
        holders.sort();
        for client in &waiting {
            self.end_wait(service, *client, WaitEnd::Broken(end.clone()));
        }
        self.settle();
        let waiting = waiting.iter().map(|client| self.peers[client].full_name());
        waiting
            .chain(holders.into_iter().map(|(_, holder)| holder))
            .collect()
    }
}
