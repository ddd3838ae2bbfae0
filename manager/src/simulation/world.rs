//! The real registry and router, and the comparison with the model after each step.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use jiff::Timestamp;
use labwire_wire::{Identity, frames};

use super::model::Model;
use super::restarts::{LeaseTable, Presented};
use super::sessions::{Absent, Known};
use super::speech::Spoken;
use super::state::{Key, MANAGER, ModelPhase, Predicted, Sums, Told};
use super::waiting::{Arriving, Finished};
use crate::attachment::Attachment;
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::config::Limits;
use crate::hub::{Operation, Phase, Routing};
use crate::logging::LogControl;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::principal::Introduced;
use crate::principal::Principal;
use crate::record::Recording;
use crate::registry::{Listing, ManagerIdentity, PeerId};
use crate::router::{Permits, Step};
use crate::sessions::{SecretHash, SessionLimits};

/// A description of how the manager differs from the model.
pub(super) type Failure = String;

/// A peer of the real manager.
pub(super) struct Peer {
    pub(super) attachment: Attachment,
    /// Its line that waits for room.
    held: Option<HeldBack>,
    /// The lines that it sent together with the last one, not routed yet.
    pub(super) sent: VecDeque<Spoken>,
    /// Its line that is being cut through.
    pub(super) arriving: Option<Arriving>,
    /// The bytes that it has received of such a line of another peer.
    pub(super) partial: Vec<u8>,
    /// Set when it is a client that sends no more.
    pub(super) finished: Option<Finished>,
    /// What it knows of its session.
    pub(super) known: Option<Known>,
}

impl Peer {
    /// Gives up the line that waits for room, since its sender goes away.
    pub(super) fn forget_line(&mut self) {
        self.held = None;
    }
}

/// A line that waits.
#[derive(Debug)]
struct HeldBack {
    spoken: Spoken,
    permits: Permits,
    /// The peers in whose queues it waits for room.
    waits_for: Vec<Key>,
}

/// The manager and the model, which receive the same input.
pub(super) struct World {
    pub(super) routing: Arc<Routing>,
    pub(super) operation: Operation,
    pub(super) model: Model,
    pub(super) peers: BTreeMap<Key, Peer>,
    /// The peers that are away.
    pub(super) absent: BTreeMap<Key, Absent>,
    pub(super) limits: Limits,
    last_key: Key,
    /// When the manager started, for timers.
    pub(super) began: Instant,
    /// The seconds since the schedule began, for the time of day.
    pub(super) seconds: Arc<AtomicI64>,
    /// What is noted of locks for the next manager.
    pub(super) leases: LeaseTable,
    /// The counts of the managers before this one.
    pub(super) earlier: Vec<Sums>,
    pub(super) earlier_returns: [u64; 2],
}

impl World {
    pub(super) fn new(in_flight_limit: usize, outbox_limit: usize) -> Self {
        let budgets = Budgets {
            queues: usize::MAX,
            sessions: usize::MAX,
            ..Budgets::default()
        };
        let limits = Limits {
            in_flight_per_client: in_flight_limit,
            queue: outbox_limit,
            budgets,
            sessions: SessionLimits {
                kept: usize::MAX,
                away: usize::MAX,
                ..SessionLimits::default()
            },
            ..Limits::default()
        };
        let seconds = Arc::new(AtomicI64::new(0));
        let mut routing = Self::start(limits, &seconds);
        let mut leases = LeaseTable::default();
        leases.start(&mut routing);
        let began = routing.started.into_std();
        Self {
            routing: Arc::new(routing),
            operation: Operation::new(ManagerIdentity::sample().port, LogControl::none()),
            model: Model::new(in_flight_limit),
            peers: BTreeMap::new(),
            absent: BTreeMap::new(),
            limits,
            last_key: 0,
            began,
            seconds,
            leases,
            earlier: Vec::new(),
            earlier_returns: [0; 2],
        }
    }

    /// Starts a manager.
    #[expect(
        clippy::large_types_passed_by_value,
        reason = "they are copied once, at the start"
    )]
    pub(super) fn start(limits: Limits, seconds: &Arc<AtomicI64>) -> Routing {
        let mut routing = Routing::new(
            ManagerIdentity::sample(),
            limits,
            Pace::in_bytes(),
            None,
            Recording::Nothing,
        );
        routing.clock = Clock::Set(Arc::clone(seconds));
        assert_eq!(routing.name(), MANAGER);
        routing
    }

    /// Lets a peer join, which presents the secret of a session if it has one. Returns its key, or
    /// `None` if it is refused.
    pub(super) fn join(
        &mut self,
        identity: &Identity,
        address: &str,
        presented: Option<Presented<'_>>,
    ) -> Result<Option<Key>, Failure> {
        self.last_key += 1;
        let key = self.last_key;
        let claims = match presented {
            Some(presented) => self.present(identity, presented)?,
            None => None,
        };
        let secret = presented.filter(|_| claims.is_some());
        let secret = secret.map(|presented| SecretHash::of(presented.secret));
        let introduced = Introduced {
            identity: claims.unwrap_or_else(|| identity.clone()),
            principal: Principal::sample(),
            came: Timestamp::UNIX_EPOCH,
        };
        let joined = Attachment::join(&self.routing, &introduced, address, None);
        let predicted = self.model.join(key, identity, address, self.limits.queue);
        let attachment = match (joined, predicted) {
            (Ok(attachment), Ok(())) => attachment,
            (Err(refusal), Err(predicted)) if refusal == predicted => return Ok(None),
            (joined, predicted) => {
                let joined = joined.map(|attachment| attachment.id());
                return Err(format!("{joined:?} instead of {predicted:?}"));
            }
        };
        let known = match Self::read_begun(&attachment, identity) {
            Some((known, claimed)) => {
                let predicted = self.model.begin_session(key, known.secret_hash(), secret);
                if claimed != predicted {
                    return Err(format!(
                        "the locks on {claimed:?} are kept instead of {predicted:?}"
                    ));
                }
                Some(known)
            }
            None => None,
        };
        self.add_peer(key, attachment, known);
        Ok(Some(key))
    }

    /// Adds a peer that is attached.
    pub(super) fn add_peer(&mut self, key: Key, attachment: Attachment, known: Option<Known>) {
        let peer = Peer {
            attachment,
            held: None,
            sent: VecDeque::new(),
            arriving: None,
            partial: Vec::new(),
            finished: None,
            known,
        };
        self.peers.insert(key, peer);
    }

    /// Removes a peer.
    pub(super) fn leave(&mut self, key: Key) -> Result<(), Failure> {
        self.leave_arriving(key);
        let Some(mut peer) = self.peers.remove(&key) else {
            return Ok(());
        };
        let waiting = self.model.peers[&key].behind.clone();
        let abandoned = peer.attachment.leave();
        let predicted = self.model.leave(key);
        if abandoned != predicted {
            return Err(format!(
                "{abandoned} requests were abandoned instead of {predicted}"
            ));
        }
        let left = queued(peer.attachment.outbox());
        let is_right = match waiting {
            None => left.is_empty(),
            Some(waiting) if waiting.in_any_order => left.starts_with(frames::BROKEN_OFF),
            Some(waiting) => left == [frames::BROKEN_OFF, &waiting.frames.concat()].concat(),
        };
        if is_right {
            return Ok(());
        }
        Err(format!("who left was told {:?}", String::from_utf8_lossy(&left)))
    }

    /// Returns whether a line of the peer waits for room.
    pub(super) fn is_held(&self, key: Key) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.held.is_some())
    }

    /// Routes a peer's waiting line again, if it was granted room.
    pub(super) fn say_again(&mut self, key: Key) -> Result<(), Failure> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let Some(held) = &peer.held else {
            return Ok(());
        };
        let may_try = {
            let granted = pin!(held.permits.granted());
            granted.poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        let predicted = self.model.may_try_again(key, &held.waits_for);
        if may_try != predicted {
            return Err(format!(
                "{} is granted room: {may_try} instead of {predicted}",
                peer.attachment.name()
            ));
        }
        match peer.held.take() {
            Some(held) if may_try => self.route(key, held.spoken, Some(held.permits)),
            held => {
                peer.held = held;
                Ok(())
            }
        }
    }

    /// Takes a peer's line: as the answer to a login question, or else to be routed.
    pub(super) fn say(&mut self, key: Key, spoken: Spoken) -> Result<(), Failure> {
        match self.take_credential(key, spoken)? {
            Some(spoken) => self.route(key, spoken, None),
            None => Ok(()),
        }
    }

    fn route(&mut self, key: Key, spoken: Spoken, permits: Option<Permits>) -> Result<(), Failure> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        let is_held = permits.is_some();
        let incoming = &spoken.incoming;
        let (step, _) =
            peer.attachment.router(permits.unwrap_or_default())(incoming.frame.view(), &incoming.kind);
        let predicted = self.model.route(key, &spoken, is_held);
        match (step, predicted) {
            (Step::Next, Predicted::Next) => {
                self.note_taken(key, &spoken);
                Ok(())
            }
            (Step::Ask(call), Predicted::Ask) => {
                self.note_taken(key, &spoken);
                self.administer(key, call, &spoken)
            }
            (Step::Leave, Predicted::Leave) => self.leave(key),
            (Step::Wait(permits), Predicted::Wait(waits_for)) if self.are_for(&permits, &waits_for) => {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.held = Some(HeldBack {
                        spoken,
                        permits,
                        waits_for,
                    });
                }
                Ok(())
            }
            (step, predicted) => Err(format!("the next step is {step:?} instead of {predicted:?}")),
        }
    }

    /// Returns whether the permits are for the queues of these peers.
    fn are_for(&self, permits: &Permits, peers: &[Key]) -> bool {
        let mut found: Vec<PeerId> = permits.peers().collect();
        let mut expected: Vec<PeerId> = peers.iter().map(|key| self.peers[key].attachment.id()).collect();
        found.sort_unstable();
        expected.sort_unstable();
        found == expected
    }

    /// Lets a peer read `count` bytes.
    pub(super) fn read(&mut self, key: Key, count: usize) {
        let now = self.now();
        if let Some(peer) = self.peers.get(&key) {
            peer.attachment.outbox().written(count, 0, || now.into());
            self.model.read(key, count);
            if let Some(known) = peer.known.as_ref().filter(|known| known.received % 2 == 0) {
                let unread = self.model.peers[&key].queue.unread as u64;
                // What it has read was written, so that this succeeds.
                let read = known.received.saturating_sub(unread);
                let _ = peer.attachment.outbox().confirm(read);
            }
        }
    }

    /// Begins the drain: the manager takes no new requests.
    pub(super) fn drain(&mut self) {
        self.routing.advance(Phase::Draining);
        self.model.phase = ModelPhase::Draining;
        self.release_away();
    }

    /// Stops the manager.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        self.routing.abandon_requests();
        self.model.abandon_all();
        self.keep_leases()?;
        self.routing.advance(Phase::Stopping);
        self.model.phase = ModelPhase::Stopping;
        self.release_away();
        Ok(())
    }

    /// Compares the frames for every peer, and every counter, with the model.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        self.routing.settle_all();
        self.take_back_of_left();
        let mut told = self.model.take_told();
        for (key, peer) in &mut self.peers {
            let mut expected = told.remove(key).unwrap_or_default();
            let bytes = queued(peer.attachment.outbox());
            if let Some(known) = &mut peer.known {
                known.received += bytes.len() as u64;
                if self.model.peers[key].is_service() {
                    known.log.extend(&bytes);
                }
            }
            let is_arriving = self.model.peers[key].behind.is_some();
            if bytes.is_empty() && expected.frames.is_empty() && expected.ended.is_none() && !is_arriving {
                continue;
            }
            let frames = peer.take_arriving(&mut self.model, *key, bytes, expected.ended.take())?;
            compare(peer.attachment.name(), frames, expected)?;
        }
        self.keep_told(told.into_iter());
        let counters = &self.routing.counters;
        let sum = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let sums = Sums {
            requests: sum(&counters.requests),
            replies: sum(&counters.replies),
            refused: sum(&counters.refused),
            abandoned: sum(&counters.abandoned),
            notifications: sum(&counters.notifications),
            deliveries: sum(&counters.deliveries),
            unsolicited: sum(&counters.unsolicited),
            malformed: sum(&counters.malformed),
            cut_through: sum(&counters.cut_through),
            broken_off: sum(&counters.broken_off),
            malformed_replies: sum(&counters.malformed_replies),
            unattributed_replies: sum(&counters.unattributed_replies),
            locks_granted_later: sum(&counters.locks_granted_later),
            locks_expired: sum(&counters.locks_expired),
            locks_broken: sum(&counters.locks_broken),
            lock_waits_timed_out: sum(&counters.lock_waits_timed_out),
            reservations_claimed: sum(&counters.reservations_claimed),
            reservations_expired: sum(&counters.reservations_expired),
            values: self.model.sums.values,
            values_late: self.model.sums.values_late,
        };
        if sums != self.model.sums {
            return Err(format!("{sums:?} instead of {:?}", self.model.sums));
        }
        let in_flight = (self.routing.registry().in_flight(), self.model.in_flight.len());
        if in_flight.0 != in_flight.1 {
            return Err(format!("{} in flight instead of {}", in_flight.0, in_flight.1));
        }
        Ok(())
    }

    /// Compares the whole registry with the model.
    pub(super) fn check_registry(&self) -> Result<(), Failure> {
        let registry = self.routing.registry();
        let lists = [Listing::Links, Listing::Locks].map(|listing| registry.text(listing));
        let found = (registry.counts(), lists.into());
        let expected = (self.model.counts(), self.model.links_and_locks());
        if found != expected {
            return Err(format!("the registry has {found:?} instead of {expected:?}"));
        }
        registry.contradiction().map_or(Ok(()), Err)
    }
}

/// Takes the bytes that were queued for a peer since the last call. They count as unread until they
/// are read.
pub(super) fn queued(outbox: &Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Errors for many requests come in several batches.
    while let Poll::Ready(Some(batch)) =
        pin!(outbox.next_batch()).poll(&mut Context::from_waker(Waker::noop()))
    {
        bytes.extend(batch.segments().flat_map(|segment| segment.iter().copied()));
    }
    bytes
}

fn compare(name: &str, mut frames: Vec<Vec<u8>>, mut expected: Told) -> Result<(), Failure> {
    for list in [&mut frames, &mut expected.frames] {
        let free = expected.in_any_order.min(list.len());
        list[..free].sort();
    }
    if frames == expected.frames {
        return Ok(());
    }
    let show = |frames: &[Vec<u8>]| -> Vec<String> {
        let frames = frames.iter().map(|frame| String::from_utf8_lossy(frame));
        frames.map(|frame| frame.chars().take(300).collect()).collect()
    };
    Err(format!(
        "{name} was told {:#?} instead of {:#?}",
        show(&frames),
        show(&expected.frames)
    ))
}
