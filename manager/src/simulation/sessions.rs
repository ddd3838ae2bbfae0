//! Peers that go away and return to their session.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use labwire_wire::{Identity, SessionBegun};
use serde_json::Value;

use super::model::Model;
use super::state::{Key, Login, ModelPhase, Told};
use super::world::{Failure, World, queued};
use crate::attachment::{Attachment, Returned};
use crate::principal::{Introduced, Principal};
use crate::refusal::{Refusal, SessionRefusal};
use crate::registry::PeerId;

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
}

/// A peer that is away.
#[derive(Debug)]
pub(super) struct Absent {
    id: PeerId,
    known: Known,
    identity: Identity,
    /// What is kept for it.
    told: Told,
}

impl Absent {
    /// Adds what it is told later.
    pub(super) fn tell(&mut self, told: Told) {
        if told.in_any_order > 0 {
            self.told.in_any_order = self.told.frames.len() + told.in_any_order;
        }
        self.told.frames.extend(told.frames);
    }
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

    /// Notes that the connection of a peer is broken.
    fn go_away(&mut self, key: Key) {
        self.give_up_places(key);
        self.begun.remove(&key);
        // The clock of the manager shows whole seconds.
        let since = Duration::from_secs(self.time.as_secs());
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.queue.unread = 0;
        let session = peer.identity.session.clone().unwrap_or_default();
        let grace = Duration::from_secs(session.grace.unwrap_or(30));
        let login = std::mem::take(&mut peer.login);
        for (_, uid) in login.pending {
            self.refuse(key, &uid, &SessionRefusal::LoginInterrupted.into());
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.queue.is_away = true;
            peer.away = Some(Absence {
                since,
                until: since + grace,
            });
        }
        self.tell_presence(key, "down");
        if self.peers[&key].is_service() && !session.keep_callers {
            let service = self.peers[&key].identity.name.clone();
            self.abandon(key, &Refusal::ServiceLeft { service });
        }
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
    /// Reads the secret of a session, in the first frame for a peer.
    pub(super) fn read_secret(attachment: &Attachment, identity: &Identity) -> Option<Known> {
        identity.session.as_ref()?;
        let bytes = queued(attachment.outbox());
        let frame: Value = serde_json::from_slice(&bytes).expect("it is one frame");
        let begun = SessionBegun::from_kwargs(frame["kwargs"].to_string().as_bytes());
        attachment
            .outbox()
            .written(bytes.len(), 0, tokio::time::Instant::now);
        Some(Known {
            secret: begun.expect("it has a session").secret,
            received: 0,
        })
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

    /// Breaks the connection of a peer.
    pub(super) fn go_away(&mut self, key: Key) -> Result<(), Failure> {
        let Some(mut peer) = self.peers.remove(&key) else {
            return Ok(());
        };
        let Some(known) = peer.known.take() else {
            return Err("it has no session".to_owned());
        };
        let id = peer.attachment.id();
        peer.forget_line();
        if !peer.attachment.park(0) {
            return Err("there is no place for a peer that is away".to_owned());
        }
        self.model.go_away(key);
        let absent = Absent {
            id,
            known,
            identity: self.model.peers[&key].identity.clone(),
            told: Told::default(),
        };
        self.absent.insert(key, absent);
        Ok(())
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
        let Known { secret, received } = &absent.known;
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
            },
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
            self.absent.remove(&key);
            self.model.leave(key);
        }
    }

    /// Returns the numbers of peers that returned, and that did not return in time.
    pub(super) fn returns(&self) -> [u64; 2] {
        let counters = &self.routing.counters;
        [&counters.resumed, &counters.sessions_expired].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Expects that all peers leave that are away, since the manager stops.
    pub(super) fn release_away(&mut self) {
        self.routing.release_away();
        for key in std::mem::take(&mut self.absent).into_keys() {
            self.model.leave(key);
        }
    }
}
