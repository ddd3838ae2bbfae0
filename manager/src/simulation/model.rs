//! The model of the manager: sets of links and locks, a list of requests in flight, and the frames
//! that each peer must receive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use labwire_store::Lease;
use labwire_wire::{Features, Identity};
use serde_json::json;

use super::garble::refusal_frame;
use super::locks::{Held, LockWait};
use super::queue::Queue;
use super::reservations::{Reserved, Restarts, is_about_reserved};
use super::speech::Spoken;
use super::state::{
    CutThrough, InFlight, Key, Login, MANAGER, ModelPhase, Owed, Peer, Predicted, Sums, Told,
};
use crate::refusal::{LockEnd, Refusal, SessionRefusal};

/// The expected state of the manager, and the frames that it must send.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) peers: BTreeMap<Key, Peer>,
    /// Services and the clients that are linked with them.
    pub(super) links: BTreeSet<(Key, Key)>,
    /// Services and the clients that hold a lock on them.
    pub(super) locks: BTreeMap<(Key, Key), Held>,
    /// Services and the clients whose lock on them has expired or was broken.
    pub(super) ended_locks: BTreeMap<(Key, Key), LockEnd>,
    /// The requests that wait for locks, in the order of their arrival.
    pub(super) lock_waits: Vec<LockWait>,
    /// The number of the newest lock.
    pub(super) last_lock: usize,
    /// The locks that are kept for their holders from before a restart, by the order of their noting.
    pub(super) reserved: Vec<Reserved>,
    /// The number of the newest of them.
    pub(super) last_reserved: usize,
    /// The locks that are written for the time after the next restart.
    pub(super) written: Vec<Lease>,
    /// The time since the schedule began.
    pub(super) time: Duration,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) in_flight_limit: usize,
    pub(super) phase: ModelPhase,
    pub(super) sums: Sums,
    pub(super) restarts: Restarts,
    /// The lines that are being cut through, by their senders.
    pub(super) cut_through_lines: BTreeMap<Key, CutThrough>,
    pub(super) told: BTreeMap<Key, Told>,
    /// The services that received an error for a malformed line since their last proper reply.
    pub(super) was_told: BTreeSet<Key>,
    /// The subscriptions of all peers, with their patterns.
    pub(super) subscriptions: BTreeSet<(Key, &'static str)>,
    /// The frames that are retained, by topic.
    pub(super) retained: BTreeMap<&'static str, Vec<u8>>,
    /// The peers whose publication waits, and has reached some subscribers.
    pub(super) begun: BTreeSet<Key>,
    /// The requests that ended when their service went away, and to which it may still reply.
    pub(super) owed: Vec<Owed>,
    /// The names of the clients that have left in this step.
    pub(super) left: Vec<String>,
}

impl Model {
    pub(super) fn new(in_flight_limit: usize) -> Self {
        Self {
            peers: BTreeMap::new(),
            links: BTreeSet::new(),
            locks: BTreeMap::new(),
            ended_locks: BTreeMap::new(),
            lock_waits: Vec::new(),
            last_lock: 0,
            reserved: Vec::new(),
            last_reserved: 0,
            written: Vec::new(),
            time: Duration::ZERO,
            in_flight: Vec::new(),
            in_flight_limit,
            phase: ModelPhase::Serving,
            sums: Sums::default(),
            restarts: Restarts::default(),
            cut_through_lines: BTreeMap::new(),
            told: BTreeMap::new(),
            was_told: BTreeSet::new(),
            subscriptions: BTreeSet::new(),
            retained: BTreeMap::new(),
            begun: BTreeSet::new(),
            owed: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Takes the frames that each peer must have received since the last call.
    pub(super) fn take_told(&mut self) -> BTreeMap<Key, Told> {
        std::mem::take(&mut self.told)
    }

    pub(super) fn tell(&mut self, key: Key, frame: impl Into<Vec<u8>>) {
        let frame = frame.into();
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.queue.unread += frame.len();
            if let Some(behind) = &mut peer.behind {
                return behind.frames.push(frame);
            }
            self.told.entry(key).or_default().frames.push(frame);
        }
    }

    /// Expects a refusal. `uid` is JSON text, as everywhere.
    pub(super) fn refuse(&mut self, key: Key, uid: &str, refusal: &Refusal) {
        self.restarts.rivals_refused += u64::from(is_about_reserved(refusal));
        let peer = &self.peers[&key];
        let features = if peer.is_service() {
            Features::default()
        } else {
            peer.identity.features
        };
        let frame = refusal_frame(refusal, &peer.full_name(), uid, features);
        self.tell(key, frame);
    }

    pub(super) fn answer(&mut self, key: Key, uid: &str, result: &str) {
        let name = json!(self.peers[&key].full_name());
        self.tell(
            key,
            format!("{{\"error\":false,\"requester\":{name},\"result\":{result},\"uid\":{uid}}}\r\n"),
        );
    }

    pub(super) fn refuse_malformed(&mut self, key: Key, uid: &str, refusal: &Refusal) {
        self.sums.malformed += 1;
        self.refuse(key, uid, refusal);
    }

    pub(super) fn own_word(&mut self, key: Key, attribute: &str, arguments: &[&str]) {
        let arguments = json!(arguments);
        self.tell(
            key,
            format!(
                "{{\"args\":{arguments},\"attribute\":\"{attribute}\",\"error\":false,\"kwargs\":{{}},\"requester\":\"{MANAGER}\",\"uid\":\"\"}}\r\n"
            ),
        );
    }

    pub(super) fn service_named(&self, name: &str) -> Option<Key> {
        let mut services = self.peers.iter().filter(|(_, peer)| peer.is_service());
        services
            .find(|(_, peer)| peer.identity.name == name)
            .map(|(key, _)| *key)
    }

    pub(super) fn client_named(&self, full_name: &str) -> Option<Key> {
        let mut clients = self.peers.iter().filter(|(_, peer)| !peer.is_service());
        clients
            .find(|(_, peer)| peer.full_name() == full_name)
            .map(|(key, _)| *key)
    }

    pub(super) fn with(pairs: &BTreeSet<(Key, Key)>, service: Key) -> Vec<Key> {
        pairs
            .range((service, Key::MIN)..=(service, Key::MAX))
            .map(|(_, client)| *client)
            .collect()
    }

    /// Returns the names of these clients, in their order.
    pub(super) fn names(&self, clients: &[Key]) -> Vec<String> {
        let names = clients.iter().map(|client| self.peers[client].full_name());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Adds a peer, or returns the refusal.
    pub(super) fn join(
        &mut self,
        key: Key,
        identity: &Identity,
        address: &str,
        limit: usize,
    ) -> Result<(), Refusal> {
        let peer = Peer {
            identity: identity.clone(),
            address: address.to_owned(),
            queue: Queue::new(limit),
            behind: None,
            login: Login::default(),
            until: None,
            away: None,
            secret: None,
        };
        let full_name = peer.full_name();
        let named = self.service_named(&identity.name).filter(|_| peer.is_service());
        if let Some(away) = named.and_then(|service| self.peers[&service].away) {
            return Err(SessionRefusal::NameAway {
                name: identity.name.clone(),
                since: away.since(),
                until: away.until(),
            }
            .into());
        }
        if named.is_some() {
            return Err(Refusal::NameTaken(identity.name.clone()));
        }
        if !peer.is_service() && self.client_named(&full_name).is_some() {
            return Err(Refusal::ClientNameTaken(full_name));
        }
        let is_service = peer.is_service();
        self.peers.insert(key, peer);
        if is_service {
            self.place_reserved(&identity.name);
        }
        // It is told with the secret of its session, which is not predicted.
        if identity.features.registered && !identity.features.sessions {
            self.own_word(key, "registered", &[&full_name]);
        }
        Ok(())
    }

    /// Removes a peer. Returns the number of requests that will not be answered.
    pub(super) fn leave(&mut self, key: Key) -> usize {
        let Some(peer) = self.peers.remove(&key) else {
            return 0;
        };
        self.told.remove(&key);
        self.was_told.remove(&key);
        self.forget_topics(key);
        let abandoned = self.leave_as(key, peer);
        self.give_up_places(key);
        abandoned
    }

    pub(super) fn leave_as(&mut self, key: Key, peer: Peer) -> usize {
        let linked = Self::with(&self.links, key);
        let waiting = self.forget_locks(key);
        self.in_flight.retain(|request| request.client != key);
        self.owed
            .retain(|request| request.client != key && request.service != key);
        if !peer.is_service() {
            self.left.push(peer.full_name());
            self.release_reserved(key, None);
            self.settle();
            return 0;
        }
        let service = peer.identity.name;
        self.displace_reserved(&service);
        let abandoned = self.abandon(
            key,
            &Refusal::ServiceLeft {
                service: service.clone(),
            },
        );
        for wait in waiting {
            let (service, client) = (service.clone(), self.peers[&wait.client].full_name());
            self.refuse(wait.client, &wait.uid, &Refusal::CannotLock { service, client });
        }
        for client in linked {
            if self.phase < ModelPhase::Stopping && self.peers[&client].identity.features.unlinked {
                self.own_word(client, "unlinked", &[&service]);
            }
        }
        abandoned
    }

    pub(super) fn abandon(&mut self, service: Key, refusal: &Refusal) -> usize {
        self.abandon_some(refusal, |request| request.service == service)
    }

    /// Ends some requests with an error. Returns their number.
    pub(super) fn abandon_some(
        &mut self,
        refusal: &Refusal,
        mut ends: impl FnMut(&InFlight) -> bool,
    ) -> usize {
        let (lost, kept) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition::<Vec<_>, _>(|request| ends(request));
        self.in_flight = kept;
        self.sums.abandoned += lost.len() as u64;
        for request in &lost {
            self.refuse(request.client, &request.uid, refusal);
            let told = self.told.entry(request.client).or_default();
            told.in_any_order = told.frames.len();
            if let Some(behind) = self
                .peers
                .get_mut(&request.client)
                .and_then(|peer| peer.behind.as_mut())
            {
                behind.in_any_order = true;
            }
        }
        lost.len()
    }

    /// Ends all requests in flight with an error.
    pub(super) fn abandon_all(&mut self) {
        let services: BTreeSet<Key> = self.in_flight.iter().map(|request| request.service).collect();
        for service in services {
            let name = self.peers[&service].identity.name.clone();
            self.abandon(service, &Refusal::ShuttingDown { service: name });
        }
        for wait in std::mem::take(&mut self.lock_waits) {
            self.refuse(wait.client, &wait.uid, &Refusal::Stopping);
        }
    }

    /// Notes that a peer has read `count` bytes.
    pub(super) fn read(&mut self, key: Key, count: usize) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.queue.unread -= count;
            peer.queue.grant();
        }
    }

    /// Predicts the routing of a line. `is_held` is whether it waited before.
    pub(super) fn route(&mut self, from: Key, spoken: &Spoken, is_held: bool) -> Predicted {
        let predicted = self.route_with_permits(from, spoken, is_held);
        self.give_up_places(from);
        predicted
    }

    /// Removes the places in line that a peer had before its current line.
    pub(super) fn give_up_places(&mut self, from: Key) {
        for peer in self.peers.values_mut() {
            peer.queue.give_up_old(from);
        }
    }

    /// Returns whether a frame of `from` is queued for `to` now. If not, it takes a place in line.
    pub(super) fn takes(&mut self, from: Key, to: Key, length: usize, is_owed: bool) -> bool {
        let Some(peer) = self.peers.get_mut(&to) else {
            return true;
        };
        let takes = peer.queue.takes(from, length, is_owed);
        if !takes {
            peer.queue.enter(from, length, is_owed);
        }
        takes
    }

    /// Ends a link. Returns whether there was one.
    pub(super) fn end_link(&mut self, service: Key, client: Key) -> bool {
        let had_link = self.links.remove(&(service, client));
        if let Some(peer) = self.peers.get_mut(&client).filter(|_| had_link) {
            peer.queue.recall();
        }
        had_link
    }

    /// Returns whether a waiting line may be routed again: it was granted room, or a peer that it
    /// waits for has left or receives less than before.
    pub(super) fn may_try_again(&self, from: Key, waits_for: &[Key]) -> bool {
        waits_for.iter().any(|to| {
            let may_try = self.peers.get(to).map(|peer| peer.queue.may_try(from));
            may_try.is_none_or(|may_try| may_try == Some(true))
        })
    }

    /// Returns the wait for room in the peer's own queue, if that has no room for an answer of the
    /// manager.
    pub(super) fn own_room(&mut self, from: Key) -> Option<Predicted> {
        let queue = &mut self.peers.get_mut(&from).expect("who speaks is here").queue;
        if !queue.is_full() {
            return None;
        }
        if queue.use_grant(from) {
            queue.grant();
            return None;
        }
        queue.enter(from, 1, false);
        Some(Predicted::Wait(vec![from]))
    }
}
