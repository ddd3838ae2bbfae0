//! Peers that go away and return to their session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use labwire_wire::{Identity, SessionBegun, frames};
use serde_json::{Value, json};

use super::model::Model;
use super::speech::escaped;
use super::state::{Key, Login, MANAGER, ModelPhase, Told};
use super::world::{Failure, World, queued};
use crate::attachment::{Attachment, Returned};
use crate::bounds::MOST_OWED;
use crate::principal::{Introduced, Principal};
use crate::refusal::{Refusal, SessionRefusal};
use crate::registry::PeerId;
use crate::sessions::SecretHash;

/// Since when a peer of the model is away, and until when its place is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    since: Duration,
    pub(super) until: Duration,
}

impl Absence {
    pub(super) fn since(self) -> Timestamp {
        time_of_day(self.since)
    }

    pub(super) fn until(self) -> Timestamp {
        time_of_day(self.until)
    }
}

fn time_of_day(time: Duration) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// What a peer knows of its session.
#[derive(Clone, Debug)]
pub(super) struct Known {
    secret: String,
    /// The position up to which it has received.
    pub(super) received: u64,
    /// Those bytes, of a service.
    pub(super) log: Vec<u8>,
}

impl Known {
    pub(super) fn secret_hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }
}

/// A peer that is away.
#[derive(Debug)]
pub(super) struct Absent {
    id: PeerId,
    known: Known,
    identity: Identity,
    /// What is kept for it.
    told: Told,
    /// The number of frames among them of which something was written. The others can be taken back.
    begun: usize,
}

impl Absent {
    /// Adds what it is told later.
    pub(super) fn tell(&mut self, told: Told) {
        if told.in_any_order > 0 {
            self.told.in_any_order = self.told.frames.len() + told.in_any_order;
        }
        self.told.frames.extend(told.frames);
    }

    /// Removes the requests of a client that has left, of which nothing was written. Returns the
    /// number of their bytes.
    fn take_back(&mut self, client: &str) -> usize {
        let mut bytes = 0;
        let (mut place, begun) = (0, self.begun);
        self.told.frames.retain(|frame| {
            place += 1;
            let is_kept = place <= begun || !is_request_of(frame, client);
            bytes += if is_kept { 0 } else { frame.len() };
            is_kept
        });
        bytes
    }
}

/// Returns whether a frame for a service is a request of that client.
fn is_request_of(frame: &[u8], client: &str) -> bool {
    let is_whole = !frame.ends_with(frames::BROKEN_OFF);
    is_whole && contains(frame, &format!("\"requester\":{}", json!(client)))
}

/// Returns whether a frame for a service is this request.
fn is_request(frame: &[u8], client: &str, uid: &str) -> bool {
    let uid = format!(",\"uid\":{},", escaped(uid));
    is_request_of(frame, client) && contains(frame, &uid)
}

/// Returns whether a frame for a service is a request of any client.
fn is_any_request(frame: &[u8]) -> bool {
    let is_whole = !frame.ends_with(frames::BROKEN_OFF);
    contains(frame, "\"attribute\":") && !is_request_of(frame, MANAGER) && is_whole
}

fn contains(frame: &[u8], text: &str) -> bool {
    frame.windows(text.len()).any(|part| part == text.as_bytes())
}

impl Model {
    /// Expects that linked clients are told of a service that went away or came back.
    fn tell_presence(&mut self, key: Key, attribute: &str) {
        let peer = &self.peers[&key];
        if !peer.is_service() {
            return;
        }
        let name = peer.identity.name.clone();
        for client in Self::with(&self.links, key) {
            if self.peers[&client].identity.features.sessions {
                self.own_word(client, attribute, &[&name]);
            }
        }
    }

    /// Notes that the connection of a peer is broken. `unsent` are the frames for a service of which
    /// nothing was written. Returns whether its place is kept.
    fn go_away(&mut self, key: Key, unsent: &mut Vec<Vec<u8>>) -> bool {
        self.give_up_places(key);
        self.begun.remove(&key);
        // The clock of the manager shows whole seconds.
        let since = Duration::from_secs(self.time.as_secs());
        let Some(peer) = self.peers.get_mut(&key) else {
            return false;
        };
        peer.queue.unread = 0;
        // If anyone waits for room, all was written before the break.
        peer.queue.grant();
        let session = peer.identity.session.clone().unwrap_or_default();
        let grace = peer.grace();
        let login = std::mem::take(&mut peer.login);
        for (_, uid) in login.pending {
            self.refuse(key, &uid, &SessionRefusal::LoginInterrupted.into());
        }
        // Nobody waits for requests that had ended before.
        let held = self.in_flight.iter().filter(|request| request.service == key);
        let held: Vec<_> = held
            .map(|request| (self.peers[&request.client].full_name(), request.uid.clone()))
            .collect();
        let is_held = |frame: &Vec<u8>| held.iter().any(|(name, uid)| is_request(frame, name, uid));
        let (kept, dropped) = std::mem::take(unsent)
            .into_iter()
            .partition::<Vec<_>, _>(|frame| !is_any_request(frame) || is_held(frame));
        *unsent = kept;
        for frame in dropped {
            // No reply will come.
            let place = self.owed.iter().position(|owed| {
                let client = self.peers.get(&owed.client);
                let is_it = |name: String| is_request(&frame, &name, &owed.uid);
                owed.service == key && client.is_some_and(|client| is_it(client.full_name()))
            });
            place.map(|place| self.owed.remove(place));
        }
        let ends = self.peers[&key].is_service() && !session.keep_callers;
        let is_kept = !ends || self.can_owe(key, unsent);
        if let Some(peer) = self.peers.get_mut(&key).filter(|_| is_kept) {
            peer.queue.is_away = true;
            peer.away = Some(Absence {
                since,
                until: since + grace,
            });
        }
        if is_kept {
            self.tell_presence(key, "down");
        }
        if ends {
            self.end_requests(key, since, unsent, is_kept);
        }
        is_kept
    }

    /// Returns whether the replies can be noted that a service would owe that goes away.
    fn can_owe(&self, key: Key, unsent: &[Vec<u8>]) -> bool {
        let mut unsent: Vec<_> = unsent.iter().collect();
        let mut counts = BTreeMap::<Key, usize>::new();
        for request in self.in_flight.iter().filter(|request| request.service == key) {
            let name = self.peers[&request.client].full_name();
            match unsent
                .iter()
                .position(|frame| is_request(frame, &name, &request.uid))
            {
                Some(place) => drop(unsent.remove(place)),
                None => *counts.entry(request.client).or_default() += 1,
            }
        }
        counts.into_iter().all(|(client, count)| {
            let owed = self.owed.iter().filter(|owed| owed.client == client);
            owed.count() + count <= MOST_OWED
        })
    }

    /// Ends the requests at a service whose callers do not wait: those that it cannot have received,
    /// which are taken back, and the others, to which it may still reply.
    fn end_requests(&mut self, key: Key, since: Duration, unsent: &mut Vec<Vec<u8>>, is_kept: bool) {
        let service = self.peers[&key].identity.name.clone();
        self.end_unsent(key, since, unsent);
        // One with the same uid as another may have ended.
        unsent.retain(|frame| !is_any_request(frame));
        if is_kept {
            let owed = self.in_flight.iter().filter(|request| request.service == key);
            self.owed.extend(owed.cloned());
        }
        self.abandon(key, &Refusal::ServiceLeft { service });
    }

    /// Ends the requests that a service cannot have received.
    fn end_unsent(&mut self, key: Key, since: Duration, unsent: &mut Vec<Vec<u8>>) {
        let peers = self.peers.iter();
        let names: BTreeMap<Key, String> = peers.map(|(key, peer)| (*key, peer.full_name())).collect();
        let refusal = SessionRefusal::ServiceAway {
            service: self.peers[&key].identity.name.clone(),
            since: time_of_day(since),
        };
        self.abandon_some(&refusal.into(), |request| {
            let is_it = |frame: &Vec<u8>| is_request(frame, &names[&request.client], &request.uid);
            let place = unsent.iter().position(is_it).filter(|_| request.service == key);
            if let Some(place) = place {
                unsent.remove(place);
            }
            place.is_some()
        });
    }

    /// Lets a peer leave that is away. `unsent` are the frames of which nothing was written.
    fn leave_away(&mut self, key: Key, unsent: &mut Vec<Vec<u8>>) {
        if let Some(away) = self.peers[&key].away.filter(|_| self.peers[&key].is_service()) {
            self.end_unsent(key, away.since, unsent);
        }
        self.leave(key);
    }

    /// Notes that a peer is back.
    fn come_back(&mut self, key: Key) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.away = None;
            peer.login = Login::default();
            peer.queue.is_away = false;
            peer.queue.grant();
        }
        self.tell_presence(key, "up");
    }

    /// Returns the refusal of a request for a service that is away.
    pub(super) fn away_refusal(&self, service: Key) -> Option<Refusal> {
        let peer = &self.peers[&service];
        let away = peer.away?;
        let keeps = peer
            .identity
            .session
            .as_ref()
            .is_some_and(|session| session.keep_callers);
        (!keeps).then(|| {
            SessionRefusal::ServiceAway {
                service: peer.identity.name.clone(),
                since: away.since(),
            }
            .into()
        })
    }
}

impl World {
    /// Reads the secret of a session, in the first frame for a peer. Returns also the services of the
    /// locks that are kept for it.
    pub(super) fn read_begun(attachment: &Attachment, identity: &Identity) -> Option<(Known, Vec<String>)> {
        identity.session.as_ref()?;
        let bytes = queued(attachment.outbox());
        let frame: Value = serde_json::from_slice(&bytes).expect("it is one frame");
        let begun = SessionBegun::from_kwargs(frame["kwargs"].to_string().as_bytes());
        let begun = begun.expect("it has a session");
        attachment
            .outbox()
            .written(bytes.len(), 0, tokio::time::Instant::now);
        let known = Known {
            secret: begun.secret,
            received: 0,
            log: Vec::new(),
        };
        Some((known, begun.locks))
    }

    /// Returns the secret of the session of a peer, if it has one.
    pub(super) fn secret_of(&self, key: Key) -> Option<String> {
        let known = self.peers.get(&key)?.known.as_ref()?;
        Some(known.secret.clone())
    }

    /// Returns whether a peer is away.
    pub(super) fn is_away(&self, key: Key) -> bool {
        self.absent.contains_key(&key)
    }

    /// Returns whether a peer has a session, so that it may go away. Lines that are cut through are
    /// tested elsewhere.
    pub(super) fn may_go_away(&self, key: Key) -> bool {
        let peer = self.peers.get(&key);
        peer.is_some_and(|peer| peer.known.is_some() && peer.partial.is_empty())
            && !self.is_arriving(key)
            && !self.has_finished(key)
            && self.model.peers[&key].behind.is_none()
            && self.model.phase < ModelPhase::Stopping
    }

    /// Breaks the connection of a peer. `kept` is the number of bytes that can be kept for a service.
    /// What a service has not read was not written to its connection, unless others wait for room in its
    /// queue. For a client, all was written.
    pub(super) fn go_away(&mut self, key: Key, kept: usize) -> Result<(), Failure> {
        let Some(mut peer) = self.peers.remove(&key) else {
            return Ok(());
        };
        let Some(mut known) = peer.known.take() else {
            return Err("it has no session".to_owned());
        };
        let id = peer.attachment.id();
        let outbox = Arc::clone(peer.attachment.outbox());
        peer.forget_line();
        let is_service = self.model.peers[&key].is_service();
        let unread = self.model.peers[&key].queue.unread;
        let (mut begun, mut unsent) = (None, Vec::new());
        if is_service && !self.model.peers[&key].queue.has_line() {
            let written = known.log.len() - unread;
            let is_amid = written > 0 && known.log[written - 1] != b'\n';
            let rest = known.log.split_off(written);
            known.received = written as u64;
            unsent = rest
                .split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            begun = is_amid.then(|| unsent.remove(0));
            outbox.keep_at_most(kept);
        } else {
            let now = self.now();
            outbox.written(unread, 0, || now.into());
        }
        let loses = self.model.phase > ModelPhase::Serving || (is_service && !outbox.loses_nothing());
        let is_kept = peer.attachment.park(0);
        outbox.keep_at_most(usize::MAX);
        if loses {
            if self.model.phase > ModelPhase::Serving {
                self.model.keep_locks_of(key);
            }
            // Its line was forgotten before its requests ended.
            self.model.give_up_places(key);
            self.model.leave(key);
            return if is_kept {
                Err("it is kept although it loses something, or cannot return".to_owned())
            } else {
                Ok(())
            };
        }
        let predicted = self.model.go_away(key, &mut unsent);
        if is_kept != predicted {
            return Err(format!("the place of a peer is kept: {is_kept}"));
        }
        if !is_kept {
            self.model.leave(key);
            return Ok(());
        }
        let frames: Vec<_> = begun.iter().cloned().chain(unsent).collect();
        if let Some(peer) = self.model.peers.get_mut(&key) {
            peer.queue.unread += frames.iter().map(Vec::len).sum::<usize>();
        }
        let absent = Absent {
            id,
            known,
            identity: self.model.peers[&key].identity.clone(),
            told: Told {
                frames,
                ..Told::default()
            },
            begun: usize::from(begun.is_some()),
        };
        self.absent.insert(key, absent);
        Ok(())
    }

    /// Expects that the requests are taken back of clients that have left, at services that are away.
    pub(super) fn take_back_of_left(&mut self) {
        for client in std::mem::take(&mut self.model.left) {
            for (key, absent) in &mut self.absent {
                let bytes = absent.take_back(&client);
                if let Some(peer) = self.model.peers.get_mut(key) {
                    peer.queue.unread -= bytes;
                }
            }
        }
    }

    /// Lets a peer return that is away.
    pub(super) fn come_back(&mut self, key: Key) -> Result<(), Failure> {
        let Some(absent) = self.absent.remove(&key) else {
            return Ok(());
        };
        let introduced = Introduced {
            identity: absent.identity,
            principal: Principal::sample(),
            came: Timestamp::UNIX_EPOCH,
        };
        let Known { secret, received, .. } = &absent.known;
        let returned = Attachment::resume(&self.routing, &introduced, secret, *received, None);
        let Ok(Returned::Resumed { attachment, resumed }) = returned else {
            return Err("a peer cannot return".to_owned());
        };
        let expected = format!("\"from\":{received},");
        let resumed = String::from_utf8_lossy(&resumed);
        if !resumed.contains(&expected) {
            return Err(format!("{resumed} instead of {expected}"));
        }
        self.add_peer(key, *attachment, Some(absent.known));
        let told = absent.told;
        self.model.come_back(key);
        let later = self.model.told.remove(&key).unwrap_or_default();
        let mut all = Absent {
            told,
            id: absent.id,
            known: Known {
                secret: String::new(),
                received: 0,
                log: Vec::new(),
            },
            begun: 0,
            identity: introduced.identity,
        };
        all.tell(later);
        self.model.told.insert(key, all.told);
        Ok(())
    }

    /// Keeps what peers are told that are away.
    pub(super) fn keep_told(&mut self, told: impl Iterator<Item = (Key, Told)>) {
        for (key, told) in told {
            if let Some(absent) = self.absent.get_mut(&key) {
                absent.tell(told);
            }
        }
    }

    /// Expects that the peers leave whose grace periods are over.
    pub(super) fn let_absent_leave(&mut self) {
        let mut due: Vec<_> = self
            .absent
            .iter()
            .filter_map(|(key, absent)| Some((self.model.peers[key].away?.until, absent.id, *key)))
            .filter(|(until, ..)| *until <= self.model.time)
            .collect();
        due.sort_unstable();
        for (_, _, key) in due {
            self.leave_absent(key);
        }
    }

    fn leave_absent(&mut self, key: Key) {
        if let Some(Absent { mut told, begun, .. }) = self.absent.remove(&key) {
            let mut unsent = told.frames.split_off(begun.min(told.frames.len()));
            self.model.leave_away(key, &mut unsent);
        }
    }

    /// Returns the numbers of peers that returned, and that did not return in time: to this manager.
    pub(super) fn returns_now(&self) -> [u64; 2] {
        let counters = &self.routing.counters;
        [&counters.resumed, &counters.sessions_expired].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Returns the same of all managers of the schedule.
    pub(super) fn returns(&self) -> [u64; 2] {
        let (now, before) = (self.returns_now(), self.earlier_returns);
        [now[0] + before[0], now[1] + before[1]]
    }

    /// Expects that all peers leave that are away, since the manager stops.
    pub(super) fn release_away(&mut self) {
        self.routing.release_away();
        let mut all: Vec<_> = self
            .absent
            .iter()
            .map(|(key, absent)| (absent.id, *key))
            .collect();
        all.sort_unstable();
        for (_, key) in all {
            self.model.keep_locks_of(key);
            self.leave_absent(key);
        }
    }
}
