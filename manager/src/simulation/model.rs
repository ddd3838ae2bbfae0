//! What the manager must do, in the plainest words: sets of links and locks, a list of requests in flight, and
//! what each peer must be told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use labwire_wire::{Identity, Role};
use serde_json::json;

use super::administration::Login;
use super::garble::{number, other_type, refusal_frame};
use super::passage::Passage;
use super::queue::Queue;
use super::speech::{Asked, Form, Payload, Say, Spoken, escaped};
use crate::refusal::{Held, LinkedClients, Refusal};

/// What the manager is called in every simulation.
pub(super) const MANAGER: &str = "Manager[h:1875]";

/// When every lock was acquired.
pub(super) const LOCKED_AT: Timestamp = Timestamp::UNIX_EPOCH;
/// Among how many requests of a client one is looked for whose uid is the same number in another spelling.
const SEARCHED_REQUESTS: usize = 256;

/// How much is added to a frame's length when room is looked for: what the router adds to a payload at most.
const ENVELOPE_BYTES: usize = 128;

/// A peer's place in a schedule; never used twice.
pub(super) type Key = usize;

/// A peer that is connected.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    address: String,
    pub(super) queue: Queue,
    /// While it is told a line that still arrives.
    pub(super) behind: Option<Behind>,
    pub(super) login: Login,
}

/// What waits for the end of a line that still arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Who sends the line.
    pub(super) sender: Key,
    pub(super) frames: Vec<Vec<u8>>,
    /// Whether the order of the frames is not predicted.
    pub(super) in_any_order: bool,
}

impl Peer {
    pub(super) fn is_service(&self) -> bool {
        matches!(self.identity.role, Role::Service { .. })
    }

    /// `NAME[HOST:PORT]`.
    pub(super) fn full_name(&self) -> String {
        format!("{}[{}]", self.identity.name, self.address)
    }

    pub(super) fn is_python(&self) -> bool {
        self.identity.language.starts_with("Python")
    }

    /// How many bytes it can read: what waits for the end of a line cannot be read yet.
    pub(super) fn readable(&self) -> usize {
        let behind = self.behind.as_ref();
        let waiting = behind.map_or(0, |behind| behind.frames.iter().map(Vec::len).sum());
        self.queue.unread.saturating_sub(waiting)
    }

    pub(super) fn max_clients(&self) -> Option<u64> {
        match self.identity.role {
            Role::Client => None,
            Role::Service { max_clients, .. } => max_clients,
        }
    }

    /// The peer as it stands in the manager's identity.
    fn description(&self) -> String {
        let Identity {
            name,
            language,
            os,
            role,
            ..
        } = &self.identity;
        let (name, address, language, os) = (json!(name), json!(self.address), json!(language), json!(os));
        match role {
            Role::Client => {
                format!(r#"{{"name":{name},"address":{address},"language":{language},"os":{os}}}"#)
            }
            Role::Service {
                attributes,
                max_clients,
            } => {
                let limit = max_clients.map_or("-1".to_owned(), |limit| limit.to_string());
                format!(
                    r#"{{"attributes":{attributes},"address":{address},"language":{language},"os":{os},"max_clients":{limit}}}"#
                )
            }
        }
    }
}

/// A request that waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) client: Key,
    pub(super) service: Key,
    /// JSON text, as the client wrote it.
    pub(super) uid: String,
}

/// How far the manager is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    Draining,
    Stopping,
}

/// What the reader of a line must do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Predicted {
    Next,
    /// It waits for room in the queues of these.
    Wait(Vec<Key>),
    Ask,
    Leave,
}

/// What one peer must be told in one step: the first frames in any order, the others in theirs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// How the line ended that was arriving. It comes before all others.
    pub(super) ended: Option<Ended>,
    pub(super) in_any_order: usize,
    pub(super) frames: Vec<Vec<u8>>,
}

/// How a line ended that went on while it arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it was told.
    Whole(Vec<u8>),
    /// A part of it was told.
    BrokenOff(Vec<u8>),
}

/// The sums that the manager keeps, by their names in its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) refused: u64,
    pub(crate) abandoned: u64,
    pub(crate) notifications: u64,
    pub(crate) deliveries: u64,
    pub(crate) unsolicited: u64,
    pub(crate) malformed: u64,
    pub(crate) cut_through: u64,
    pub(crate) broken_off: u64,
    pub(crate) malformed_replies: u64,
    pub(crate) unattributed_replies: u64,
}

/// Everything that the manager must know, and what it must say of it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) peers: BTreeMap<Key, Peer>,
    /// Services and the clients that are linked with them.
    pub(super) links: BTreeSet<(Key, Key)>,
    /// Services and the clients that hold a lock on them.
    pub(super) locks: BTreeSet<(Key, Key)>,
    pub(super) in_flight: Vec<InFlight>,
    in_flight_limit: usize,
    pub(super) stage: Stage,
    pub(super) sums: Sums,
    /// The lines that go on while they arrive, by who sends them.
    pub(super) passages: BTreeMap<Key, Passage>,
    pub(super) told: BTreeMap<Key, Told>,
    /// The services that were told of a malformed line since they sent a proper reply.
    pub(super) was_told: BTreeSet<Key>,
}

impl Model {
    pub(super) fn new(in_flight_limit: usize) -> Self {
        Self {
            peers: BTreeMap::new(),
            links: BTreeSet::new(),
            locks: BTreeSet::new(),
            in_flight: Vec::new(),
            in_flight_limit,
            stage: Stage::Serving,
            sums: Sums::default(),
            passages: BTreeMap::new(),
            told: BTreeMap::new(),
            was_told: BTreeSet::new(),
        }
    }

    /// What each peer must have been told since the last call.
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

    /// `uid` is JSON text, as everywhere.
    pub(super) fn refuse(&mut self, key: Key, uid: &str, refusal: &Refusal) {
        let peer = &self.peers[&key];
        let origin = peer.identity.features.origin && !peer.is_service();
        let frame = refusal_frame(refusal, &peer.full_name(), uid, origin);
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

    pub(super) fn own_word(&mut self, key: Key, attribute: &str, argument: &str) {
        let argument = json!(argument);
        self.tell(
            key,
            format!(
                "{{\"args\":[{argument}],\"attribute\":\"{attribute}\",\"error\":false,\"kwargs\":{{}},\"requester\":\"{MANAGER}\",\"uid\":\"\"}}\r\n"
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

    fn names_with(&self, pairs: &BTreeSet<(Key, Key)>, service: Key) -> Vec<String> {
        let clients = Self::with(pairs, service);
        let mut names: Vec<String> = clients
            .iter()
            .map(|client| self.peers[client].full_name())
            .collect();
        names.sort();
        names
    }

    /// A peer wants to come in.
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
        };
        let full_name = peer.full_name();
        if peer.is_service() && self.service_named(&identity.name).is_some() {
            return Err(Refusal::NameTaken(identity.name.clone()));
        }
        if !peer.is_service() && self.client_named(&full_name).is_some() {
            return Err(Refusal::ClientNameTaken(full_name));
        }
        self.peers.insert(key, peer);
        if identity.features.registered {
            self.own_word(key, "registered", &full_name);
        }
        Ok(())
    }

    /// A peer is gone; gives the number of requests that will not be answered.
    pub(super) fn leave(&mut self, key: Key) -> usize {
        let Some(peer) = self.peers.remove(&key) else {
            return 0;
        };
        self.told.remove(&key);
        self.was_told.remove(&key);
        let abandoned = self.leave_as(key, peer);
        self.give_up_places(key);
        abandoned
    }

    fn leave_as(&mut self, key: Key, peer: Peer) -> usize {
        let linked = Self::with(&self.links, key);
        self.links.retain(|pair| pair.0 != key && pair.1 != key);
        self.locks.retain(|pair| pair.0 != key && pair.1 != key);
        self.in_flight.retain(|request| request.client != key);
        if !peer.is_service() {
            return 0;
        }
        let service = peer.identity.name;
        let abandoned = self.abandon(
            key,
            &Refusal::ServiceLeft {
                service: service.clone(),
            },
        );
        for client in linked {
            if self.stage < Stage::Stopping && self.peers[&client].identity.features.unlinked {
                self.own_word(client, "unlinked", &service);
            }
        }
        abandoned
    }

    fn abandon(&mut self, service: Key, refusal: &Refusal) -> usize {
        let (lost, kept) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition::<Vec<_>, _>(|request| request.service == service);
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

    /// The manager waits no longer for replies.
    pub(super) fn abandon_all(&mut self) {
        let services: BTreeSet<Key> = self.in_flight.iter().map(|request| request.service).collect();
        for service in services {
            let name = self.peers[&service].identity.name.clone();
            self.abandon(service, &Refusal::ShuttingDown { service: name });
        }
    }

    /// A peer has read so many bytes.
    pub(super) fn read(&mut self, key: Key, count: usize) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.queue.unread -= count;
            peer.queue.grant();
        }
    }

    /// A peer says something; or, with `is_held`, says again what had to wait.
    pub(super) fn route(&mut self, from: Key, spoken: &Spoken, is_held: bool) -> Predicted {
        let predicted = self.route_with_permits(from, spoken, is_held);
        self.give_up_places(from);
        predicted
    }

    /// A peer gives up what it waited for before.
    fn give_up_places(&mut self, from: Key) {
        for peer in self.peers.values_mut() {
            peer.queue.give_up_old(from);
        }
    }

    /// Whether a frame of `from` is queued for `to` now; else it waits for that.
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

    /// Whether a peer that waits may try again: it was granted room, or the peer that it waits for has left.
    pub(super) fn may_try_again(&self, from: Key, waits_for: &[Key]) -> bool {
        waits_for.iter().any(|to| {
            let place = self.peers.get(to).map(|peer| peer.queue.place_of(from));
            place.is_none_or(|place| place == Some(true))
        })
    }

    /// What a peer waits for if there is no room in its own queue for what the manager answers.
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

    fn route_with_permits(&mut self, from: Key, spoken: &Spoken, is_held: bool) -> Predicted {
        let peer = &self.peers[&from];
        let is_service = peer.is_service();
        if (!is_service || spoken.say.is_answered(&peer.identity.name))
            && let Some(wait) = self.own_room(from)
        {
            return wait;
        }
        match &spoken.say {
            Say::Blank if is_service => Predicted::Next,
            Say::Reply {
                requester, uid, form, ..
            } if is_service => self.reply(from, requester, uid, *form, spoken),
            Say::Garbled(garbled) if is_service => self.malformed_reply(from, garbled),
            Say::Notify { service, payload } if is_service => {
                if self.peers[&from].identity.name != *service {
                    self.sums.unsolicited += 1;
                } else if *payload == Payload::Deep {
                    self.refuse_malformed(from, "\"\"", &Refusal::UnreadableNotification);
                } else if is_held {
                    return self.notify_rest(from, spoken);
                } else {
                    return self.notify(from, spoken);
                }
                Predicted::Next
            }
            Say::Disconnect => Predicted::Leave,
            Say::Blank => Predicted::Next,
            Say::Nonsense(nonsense) => {
                let (refusal, uid) = nonsense.refusal(is_service);
                self.refuse_malformed(from, uid, &refusal);
                Predicted::Next
            }
            Say::Identity { uid } => {
                self.answer(from, uid, &self.identity());
                Predicted::Next
            }
            // To a client it is a line that is no frame, or none of its own: see the speech of clients.
            Say::Garbled(_) => unreachable!("only services say so"),
            say if is_service => {
                self.refuse_request_of_service(from, say);
                Predicted::Next
            }
            Say::Reply { .. } | Say::Notify { .. } => {
                self.client_speaks_for_a_service(from, &spoken.say);
                Predicted::Next
            }
            Say::Administer { .. } => Predicted::Ask,
            Say::Credential { text, is_typed } => {
                self.answer_to_nobody(from, text, *is_typed);
                Predicted::Next
            }
            Say::TypedLink { service } => self.ask(from, Asked::Link, service, "\"\""),
            Say::Ask { asked, service, uid } => self.ask(from, *asked, service, uid),
            Say::Call {
                service,
                uid,
                payload,
            }
            | Say::LongCall {
                service,
                uid,
                payload,
            } => self.call(from, service, uid, *payload, spoken),
        }
    }

    fn refuse_request_of_service(&mut self, from: Key, say: &Say) {
        let (uid, refusal) = match say {
            Say::Administer { uid, .. }
            | Say::Ask { uid, .. }
            | Say::Call { uid, .. }
            | Say::LongCall { uid, .. } => (uid.as_str(), Refusal::ServiceRequests),
            _ => unreachable!("everything else is no request"),
        };
        self.refuse_malformed(from, uid, &refusal);
    }

    /// An answer is dropped, an error without a result is no request.
    fn client_speaks_for_a_service(&mut self, from: Key, say: &Say) {
        match say {
            Say::Reply {
                form: Form::PartialError,
                uid,
                ..
            } => {
                let refusal = labwire_wire::EnvelopeError::RequestWithError.into();
                self.refuse_malformed(from, uid, &refusal);
            }
            Say::Reply {
                form: Form::WithoutResult,
                uid,
                ..
            } => {
                let refusal = labwire_wire::EnvelopeError::Missing(labwire_wire::Member::Service).into();
                self.refuse_malformed(from, uid, &refusal);
            }
            _ => self.sums.unsolicited += 1,
        }
    }

    /// A username or a password comes once no question is open any more.
    fn answer_to_nobody(&mut self, from: Key, text: &str, is_typed: bool) {
        let refusal = if is_typed {
            no_request(text)
        } else {
            Some(Refusal::ClientReplies)
        };
        if let Some(refusal) = refusal {
            self.refuse_malformed(from, "\"\"", &refusal);
        }
    }

    fn ask(&mut self, from: Key, asked: Asked, service: &str, uid: &str) -> Predicted {
        match self.change(from, asked, service) {
            Ok(result) => self.answer(from, uid, &result),
            Err(refusal) => self.refuse(from, uid, &refusal),
        }
        Predicted::Next
    }

    fn change(&mut self, from: Key, asked: Asked, name: &str) -> Result<String, Refusal> {
        let (service, client) = (name.to_owned(), self.peers[&from].full_name());
        let Some(key) = self.service_named(name) else {
            return match asked {
                Asked::Link => Err(Refusal::CannotLink { service, client }),
                Asked::Unlink => Ok("true".to_owned()),
                Asked::Lock { .. } => Err(Refusal::CannotLock { service, client }),
                Asked::Release => Err(Refusal::CannotRelease { service, client }),
            };
        };
        let linked = Self::with(&self.links, key);
        let is_linked = linked.contains(&from);
        match asked {
            Asked::Link => {
                if let (false, Some(held)) = (is_linked, self.held(key)) {
                    return Err(Refusal::Locked { service, held });
                }
                let limit = self.peers[&key].max_clients();
                if !is_linked && limit.is_some_and(|limit| linked.len() as u64 >= limit) {
                    let linked = self.names_with(&self.links, key);
                    let linked = LinkedClients::new(&linked, linked.len());
                    return Err(Refusal::Limit { service, linked });
                }
                self.links.insert((key, from));
                Ok(self.peers[&key].description())
            }
            Asked::Unlink if is_linked => {
                self.links.remove(&(key, from));
                self.locks.remove(&(key, from));
                Ok("true".to_owned())
            }
            Asked::Unlink => Err(Refusal::NotLinked { service, client }),
            Asked::Lock { .. } if !is_linked => Err(Refusal::LockWithoutLink { service, client }),
            Asked::Lock { shared } => {
                let linked = self.names_with(&self.links, key);
                if !shared && linked.len() > 1 {
                    return Err(Refusal::NotAlone {
                        service,
                        client,
                        linked: LinkedClients::new(&linked, linked.len()),
                    });
                }
                self.locks.insert((key, from));
                Ok(json!(linked).to_string())
            }
            Asked::Release => {
                self.locks.remove(&(key, from));
                Ok(json!(self.names_with(&self.locks, key)).to_string())
            }
        }
    }

    /// Who holds a lock on a service. All were acquired at the same time, so the client that came first is named.
    fn held(&self, service: Key) -> Option<Held> {
        let holders = Self::with(&self.locks, service);
        let first = holders.iter().min()?;
        Some(Held {
            holder: self.peers[first].full_name(),
            since: LOCKED_AT,
            others: holders.len() - 1,
        })
    }

    fn call(&mut self, from: Key, name: &str, uid: &str, payload: Payload, spoken: &Spoken) -> Predicted {
        if self.stage > Stage::Serving {
            self.refuse(from, uid, &Refusal::NotTaken);
            return Predicted::Next;
        }
        let service = match self.may_call(from, name, payload == Payload::Deep) {
            Ok(service) => service,
            Err(refusal) => {
                self.sums.refused += 1;
                self.refuse(from, uid, &refusal);
                return Predicted::Next;
            }
        };
        let requester = json!(self.peers[&from].full_name()).to_string();
        let length = spoken.content().len() + requester.len() + ENVELOPE_BYTES;
        if !self.takes(from, service, length, false) {
            return Predicted::Wait(vec![service]);
        }
        let frame = format!(
            "{{\"args\":{},\"attribute\":\"\\u0061\",\"error\":false,\"kwargs\":{{}},\"service\":{},\"uid\":{},\"requester\":{requester}}}\r\n",
            payload.text(),
            json!(name),
            escaped(uid),
        );
        self.tell(service, frame);
        self.in_flight.push(InFlight {
            client: from,
            service,
            uid: uid.to_owned(),
        });
        self.sums.requests += 1;
        Predicted::Next
    }

    pub(super) fn may_call(&self, from: Key, name: &str, is_deep: bool) -> Result<Key, Refusal> {
        let service = name.to_owned();
        let Some(key) = self.service_named(name) else {
            return Err(Refusal::NoSuchService {
                service,
                manager: MANAGER.to_owned(),
            });
        };
        let found = &self.peers[&key];
        if found.is_python() && is_deep {
            return Err(Refusal::UnreadableRequest { service });
        }
        let client = self.peers[&from].full_name();
        if !self.links.contains(&(key, from)) {
            if let Some(held) = self.held(key) {
                return Err(Refusal::CallLocked {
                    service,
                    client,
                    held,
                });
            }
            if let Some(limit) = found.max_clients() {
                let is_full = Self::with(&self.links, key).len() as u64 >= limit;
                return Err(Refusal::LinkBecauseLimited {
                    service,
                    client,
                    is_full,
                });
            }
        }
        let under_way = self.in_flight.iter().filter(|request| request.client == from);
        if under_way.count() >= self.in_flight_limit {
            let limit = self.in_flight_limit;
            return Err(Refusal::TooManyInFlight { client, limit });
        }
        Ok(key)
    }

    fn reply(&mut self, from: Key, requester: &str, uid: &str, form: Form, spoken: &Spoken) -> Predicted {
        let Some(client) = self.client_named(requester) else {
            self.sums.unsolicited += 1;
            return Predicted::Next;
        };
        let of_client = |held: &InFlight| (held.client, held.service) == (client, from);
        let place = |uid: &str| {
            let mut held = self.in_flight.iter();
            held.position(|held| of_client(held) && held.uid == uid)
        };
        let is_proper = !matches!(form, Form::Malformed | Form::WithoutResult);
        let proper = place(uid).or_else(|| self.other_spelling(client, from, uid));
        let Some(held) = proper.filter(|_| is_proper) else {
            let exact = place(uid).filter(|_| !is_proper);
            let other = exact.or_else(|| other_type(uid).and_then(|other| place(&other)));
            let Some(held) = other.or(proper.filter(|_| !is_proper)) else {
                self.sums.unsolicited += 1;
                return Predicted::Next;
            };
            return self.end_malformed(from, held, |model, held| {
                let service = model.peers[&held.service].identity.name.clone();
                let client = &model.peers[&held.client];
                let origin = client.identity.features.origin;
                refusal_frame(
                    &Refusal::MalformedReply { service },
                    &client.full_name(),
                    &held.uid,
                    origin,
                )
            });
        };
        let uid = self.in_flight[held].uid.clone();
        let key = self.in_flight[held].client;
        let length = spoken.content().len() + ENVELOPE_BYTES;
        if !self.takes(from, key, length, true) {
            return Predicted::Wait(vec![key]);
        }
        let client = &self.peers[&key];
        let origin = client.identity.features.origin;
        let service = self.peers[&from].identity.name.clone();
        let frame = if client.is_python() && spoken.say.is_deep() {
            let refusal = Refusal::UnreadableReply { service };
            refusal_frame(&refusal, requester, &uid, origin)
        } else {
            passed_on(requester, &uid, form, origin, spoken)
        };
        self.tell(key, frame);
        self.in_flight.remove(held);
        self.was_told.remove(&from);
        self.sums.replies += 1;
        Predicted::Next
    }

    /// The place of the only request of a client at a service whose uid is the same number, written in another way.
    pub(super) fn other_spelling(&self, client: Key, service: Key, uid: &str) -> Option<usize> {
        let value = number(uid)?;
        let of_both = |held: &&InFlight| (held.client, held.service) == (client, service);
        if self.in_flight.iter().filter(of_both).count() > SEARCHED_REQUESTS {
            return None;
        }
        let mut uids: BTreeSet<&str> = BTreeSet::new();
        let mut found = None;
        for (place, held) in self.in_flight.iter().enumerate() {
            let is_same = number(&held.uid).is_some_and(|held| held.total_cmp(&value).is_eq());
            if (held.client, held.service) == (client, service) && is_same && uids.insert(&held.uid) {
                found.get_or_insert(place);
            }
        }
        found.filter(|_| uids.len() == 1)
    }

    fn notify(&mut self, from: Key, spoken: &Spoken) -> Predicted {
        let whole = spoken.whole();
        self.sums.notifications += 1;
        let mut waiting = Vec::new();
        for client in Self::with(&self.links, from) {
            if self.takes(from, client, whole.len(), false) {
                self.sums.deliveries += 1;
                self.tell(client, whole.clone());
            } else {
                waiting.push(client);
            }
        }
        wait_unless_empty(waiting)
    }

    /// Clients that had no room for a notification get it, as far as they have room now and are still linked.
    fn notify_rest(&mut self, from: Key, spoken: &Spoken) -> Predicted {
        let mut waiting = Vec::new();
        for client in Self::with(&self.links, from) {
            let Some(peer) = self.peers.get_mut(&client) else {
                continue;
            };
            match peer.queue.place_of(from) {
                None => {}
                Some(true) => {
                    peer.queue.use_grant(from);
                    self.sums.deliveries += 1;
                    self.tell(client, spoken.whole());
                }
                Some(false) => {
                    peer.queue.keep(from);
                    waiting.push(client);
                }
            }
        }
        wait_unless_empty(waiting)
    }

    /// The peers of one kind by their names, in the order of the names.
    fn named(&self, services: bool) -> BTreeMap<String, Key> {
        let peers = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_service() == services);
        peers
            .map(|(key, peer)| {
                let name = if services {
                    peer.identity.name.clone()
                } else {
                    peer.full_name()
                };
                (name, *key)
            })
            .collect()
    }

    fn object(members: &BTreeMap<String, Key>, value: impl Fn(Key) -> String) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(name, key)| format!("{}:{}", json!(name), value(*key)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn identity(&self) -> String {
        let describe = |key| self.peers[&key].description();
        format!(
            r#"{{"hostname":"h","port":1875,"attributes":{},"language":"Rust","os":"Linux","clients":{},"services":{}}}"#,
            r#"{"identity":"() -> dict","link":"(service: str) -> bool"}"#,
            Self::object(&self.named(false), describe),
            Self::object(&self.named(true), describe),
        )
    }

    /// Every service with the clients that are linked with it, and with those that hold a lock: JSON text.
    pub(super) fn links_and_locks(&self) -> (String, String) {
        let services = self.named(true);
        let names = |pairs| Self::object(&services, |key| json!(self.names_with(pairs, key)).to_string());
        (names(&self.links), names(&self.locks))
    }

    /// How many clients and services are here.
    pub(super) fn counts(&self) -> (usize, usize) {
        let services = self.peers.values().filter(|peer| peer.is_service()).count();
        (self.peers.len() - services, services)
    }
}

/// Why a text that somebody typed is refused, unless it is empty.
fn no_request(text: &str) -> Option<Refusal> {
    if text.is_empty() {
        return None;
    }
    let error = labwire_wire::terminal::parse(text).expect_err("no username or password is a request");
    Some(error.into())
}

fn wait_unless_empty(waiting: Vec<Key>) -> Predicted {
    if waiting.is_empty() {
        Predicted::Next
    } else {
        Predicted::Wait(waiting)
    }
}

/// A reply as its client gets it.
fn passed_on(requester: &str, uid: &str, form: Form, origin: bool, spoken: &Spoken) -> Vec<u8> {
    let (name, mark) = (json!(requester), uid);
    let payload = match &spoken.say {
        Say::Reply { payload, .. } => payload.text(),
        _ => "",
    };
    match form {
        Form::Error if origin => format!(
            "{{\"error\":true,\"message\":\"E: x\",\"requester\":{name},\"result\":null,\"traceback\":[\"x\"],\"uid\":{mark}}}\r\n"
        )
        .into(),
        Form::Result | Form::ResultLast | Form::Error => spoken.with_uid(uid),
        Form::ResultOnly => {
            format!("{{\"error\":false,\"requester\":{name},\"result\":{payload},\"uid\":{mark}}}\r\n").into()
        }
        Form::PartialError => format!(
            "{{\"error\":true,\"message\":\"RuntimeError: the service gave no message\",\"requester\":{name},\"result\":null,\"traceback\":[],\"uid\":{mark}}}\r\n"
        )
        .into(),
        Form::Malformed | Form::WithoutResult => unreachable!("it does not go on"),
    }
}
