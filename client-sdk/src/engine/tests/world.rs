//! An engine with callers and a manager, in virtual time.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use labwire_device::Backoff;
use labwire_device::payload::Received;
use labwire_wire::confirmed;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot, watch};

use super::super::machine::{Config, Engine, Wish};
use super::super::questions::Answer;
use super::manager::{Manager, SERVICES};
use super::session::Place;
use crate::command::{Command, Outcome};
use crate::error::CallError;
use crate::notification_queue::NotificationReceiver;
use crate::status::{About, LinkStatus};
use crate::uids::Uids;

/// The most requests that wait to be written.
pub(super) const ROOM: usize = 8;

/// A call that was sent.
#[derive(Debug)]
pub(super) struct CallSeen {
    pub(super) through: Option<u64>,
    pub(super) deadline: Option<Instant>,
    /// `None` once it has ended, or its caller no longer waits.
    pub(super) receiver: Option<oneshot::Receiver<Outcome>>,
    /// Whether writing it from now on is an error.
    pub(super) is_over: bool,
}

pub(super) type LockReceiver = oneshot::Receiver<Result<(watch::Receiver<LinkStatus>, Received), CallError>>;

pub(super) type LinkReceiver = oneshot::Receiver<Result<watch::Receiver<LinkStatus>, CallError>>;

/// A holder of a link, or a request to become one.
#[derive(Debug)]
pub(super) struct HolderSeen {
    pub(super) service: &'static str,
    pub(super) asking: Option<LinkReceiver>,
    pub(super) status: Option<watch::Receiver<LinkStatus>>,
    /// Whether the handle is dropped; calls, guards and readers may still hold the link.
    pub(super) is_dropped: bool,
}

#[derive(Debug)]
pub(super) struct GuardSeen {
    pub(super) holder: u64,
    pub(super) asking: Option<oneshot::Receiver<Outcome>>,
}

#[derive(Debug)]
pub(super) struct ReaderSeen {
    pub(super) holder: u64,
    pub(super) receiver: NotificationReceiver,
    pub(super) last: u64,
}

pub(super) struct World<M> {
    pub(super) engine: Engine,
    pub(super) model: M,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) uids: Uids,
    pub(super) room: Arc<Semaphore>,
    pub(super) calls: BTreeMap<u64, CallSeen>,
    pub(super) holders: BTreeMap<u64, HolderSeen>,
    pub(super) guards: BTreeMap<u64, GuardSeen>,
    /// The requests for a lock with a link, with the service of each.
    pub(super) locking: BTreeMap<u64, (&'static str, LockReceiver)>,
    pub(super) readers: Vec<ReaderSeen>,
    /// The subscriptions to topics, each with the receiver of its answer while that is awaited.
    pub(super) topics: BTreeMap<u64, Option<oneshot::Receiver<Outcome>>>,
    /// Whether the client's last frame was handed out.
    pub(super) said_goodbye: bool,
    /// The dropped calls for which no `Forget` was sent yet.
    pub(super) forgotten: VecDeque<u64>,
    /// The outcomes of unlinking and releasing.
    pub(super) endings: Vec<oneshot::Receiver<Outcome>>,
    /// The uids of the frames that were handed out.
    pub(super) written: HashSet<u64>,
    /// The frames on their way to the manager.
    pub(super) frames: VecDeque<Bytes>,
    pub(super) notified: u64,
    /// The manager's side of the session, if it keeps one.
    pub(super) place: Option<Place>,
    /// Whether everything is completed.
    pub(super) is_settling: bool,
    /// The number of returns to a session.
    pub(super) returns: usize,
    /// The number of calls per kind of end, so that a test can check its coverage.
    pub(super) ends: HashMap<&'static str, usize>,
}

impl<M: Manager> World<M> {
    pub(super) fn new(seed: u64) -> Self {
        // The waits between attempts to link again are random, too.
        fastrand::seed(seed);
        let mut rng = Rng::with_seed(seed);
        let backoff = Backoff::new()
            .initial(Duration::from_millis(5))
            .maximum(Duration::from_millis(40));
        let config = Config {
            name: "Ada".to_owned(),
            buffer: *rng.choice(&[0, 1, 3, 20]).unwrap(),
            backoff: (rng.u8(0..4) > 0).then_some(backoff),
        };
        let mut others = Rng::with_seed(seed ^ 0x5e55_1011);
        let grace = others.bool().then(|| Duration::from_millis(others.u64(20..200)));
        let uids = Uids::new();
        let (engine, _) = Engine::new(config, uids.clone(), about(), grace);
        let mut model = M::default();
        for service in SERVICES {
            model.come(service);
        }
        Self {
            engine,
            model,
            now: Instant::now(),
            rng,
            uids,
            room: Arc::new(Semaphore::new(ROOM)),
            calls: BTreeMap::new(),
            holders: BTreeMap::new(),
            guards: BTreeMap::new(),
            locking: BTreeMap::new(),
            readers: Vec::new(),
            topics: BTreeMap::new(),
            said_goodbye: false,
            forgotten: VecDeque::new(),
            endings: Vec::new(),
            written: HashSet::new(),
            frames: VecDeque::new(),
            notified: 0,
            place: grace.map(Place::new),
            is_settling: false,
            returns: 0,
            ends: HashMap::new(),
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.engine.handle_command(command, self.now);
    }

    pub(super) fn some_holder(&mut self) -> Option<u64> {
        let held: Vec<u64> = self
            .holders
            .iter()
            .filter(|(_, holder)| !holder.is_dropped && holder.status.is_some())
            .map(|(&number, _)| number)
            .collect();
        self.rng.choice(held)
    }

    /// Takes one random step.
    pub(super) fn step(&mut self) {
        match self.rng.u8(0..100) {
            0..18 => self.call(),
            18..26 => self.link(),
            26..28 => self.drop_link(),
            28 => self.unlink(),
            29..32 => self.lock(),
            32 => self.lock_service(),
            33..36 => self.release(),
            36 => self.subscribe(),
            37 => self.subscribe_topic(),
            38..41 => self.drop_call(),
            41..55 => self.write(),
            55..70 => self.manage(),
            70..86 => self.read(),
            86..88 => self.come_and_go(),
            88..90 => self.notify(),
            90 => self.model.babble(&mut self.rng),
            91 => self.ask(),
            92..96 => {
                let span = Duration::from_millis(self.rng.u64(0..20));
                self.pass(span);
            }
            96 if self.rng.u8(0..3) == 0 => self.cut(),
            96 => {
                let service = *self.rng.choice(&SERVICES).unwrap();
                self.model.end_lock(service);
            }
            _ => self.reconnect(),
        }
        self.look();
    }

    /// Writes some frames, as the driver does.
    pub(super) fn write(&mut self) {
        for _ in 0..self.rng.u8(1..5) {
            let Some(frame) = self.engine.poll_frame() else {
                break;
            };
            if confirmed(frame.trim_ascii_end()).is_some() {
                assert!(!self.said_goodbye);
                self.frames.push_back(frame);
                continue;
            }
            let parsed: Value = serde_json::from_slice(&frame).unwrap();
            let uid: u64 = parsed["uid"].as_str().unwrap().parse().unwrap();
            assert!(!self.said_goodbye, "{parsed} comes after the last frame");
            self.said_goodbye = parsed["attribute"] == "__disconnect__";
            assert!(uid == 0 || self.written.insert(uid), "{uid} is sent twice");
            let is_over = self.calls.get(&uid).is_some_and(|call| call.is_over);
            assert!(!is_over, "{uid} was over and is written");
            self.frames.push_back(frame);
        }
        self.engine.frames_written(self.now);
    }

    /// Lets the manager take a frame, or a service answer.
    pub(super) fn manage(&mut self) {
        if self.engine.wish() != Wish::Serve {
            return;
        }
        if !self.take_frame() {
            self.model.answer_held(&mut self.rng);
        }
    }

    /// Delivers a line, or the end of the connection.
    pub(super) fn read(&mut self) {
        if self.engine.wish() != Wish::Serve {
            return;
        }
        if !self.deliver() && self.model.is_closing() {
            self.cut();
        }
    }

    pub(super) fn come_and_go(&mut self) {
        let service = *self.rng.choice(&SERVICES).unwrap();
        if self.rng.bool() {
            self.model.leave(service);
        } else {
            self.model.come(service);
        }
    }

    pub(super) fn notify(&mut self) {
        let service = *self.rng.choice(&SERVICES).unwrap();
        if self.model.is_linked(service) {
            self.notified += 1;
            self.model.notify(service, self.notified);
        }
    }

    /// Lets the manager ask a question, or answers one.
    pub(super) fn ask(&mut self) {
        if self.engine.wish() == Wish::Serve {
            self.model.ask();
        }
        if self.engine.poll_question().is_some() {
            let answer = if self.rng.bool() {
                Answer::Frame(Bytes::from_static(
                    b"{\"attribute\":\"an answer\",\"uid\":\"0\"}\r\n",
                ))
            } else {
                Answer::Nothing
            };
            self.engine.handle_answer(answer);
        }
    }

    /// Advances the time.
    pub(super) fn pass(&mut self, span: Duration) {
        self.now += span;
        if self
            .engine
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.engine.handle_timeout(self.now);
        }
        assert!(
            self.engine
                .next_deadline()
                .is_none_or(|deadline| deadline > self.now)
        );
    }

    /// Loses the connection, with all frames and lines in transit.
    pub(super) fn cut(&mut self) {
        if self.engine.wish() != Wish::Serve {
            return;
        }
        if self.place.is_some() {
            self.break_off();
            return self.look();
        }
        self.frames.clear();
        self.model.connect();
        self.engine
            .disconnected("the connection was cut", false, self.now);
        self.look();
        let on_wire = self
            .calls
            .iter()
            .find(|(uid, call)| call.receiver.is_some() && self.written.contains(uid));
        assert!(on_wire.is_none(), "{on_wire:?} was written and waits on");
    }

    pub(super) fn reconnect(&mut self) {
        if self.engine.wish() == Wish::Reconnect {
            if self.rng.u8(0..20) == 0 {
                self.engine.close("the manager refuses");
            } else {
                let is_kept = self.rng.u8(0..5) > 0;
                self.arrive(is_kept);
            }
        }
    }

    /// Completes everything that is in flight, with a manager that answers.
    pub(super) fn settle(&mut self) {
        self.model.calm_down();
        self.is_settling = true;
        self.forget_calls();
        for service in SERVICES {
            self.model.come(service);
        }
        for _ in 0..200 {
            if self.engine.wish() == Wish::Reconnect {
                self.arrive(true);
            }
            if self.engine.wish() == Wish::End {
                self.frames.clear();
                while self.model.next_line().is_some() {}
                self.place = None;
            }
            self.write();
            while !self.frames.is_empty() {
                self.manage();
            }
            self.model.answer_all(&mut self.rng);
            if self.engine.poll_question().is_some() {
                self.engine.handle_answer(Answer::Nothing);
            }
            for _ in 0..10 {
                self.read();
            }
            // Refused links are requested again.
            self.pass(Duration::from_millis(1));
            self.look();
        }
        assert!(self.model.next_line().is_none() && self.frames.is_empty());
        assert!(self.place.as_ref().is_none_or(Place::is_idle));
    }

    /// Drops every handle.
    pub(super) fn drop_handles(&mut self) {
        let guards: Vec<u64> = self.guards.keys().copied().collect();
        for guard in guards {
            self.release_guard(guard);
        }
        self.readers.clear();
        for number in std::mem::take(&mut self.topics).into_keys() {
            self.command(Command::LeaveTopic { number });
        }
        let locking: Vec<u64> = self.locking.keys().copied().collect();
        for uid in locking {
            self.drop_locking(uid);
        }
        self.forget_calls();
        for holder in self.holders.values_mut() {
            holder.asking = None;
            holder.is_dropped = true;
        }
        self.look();
    }

    /// Starts to leave.
    pub(super) fn disconnect(&mut self) {
        self.command(Command::Disconnect);
    }
}

pub(super) fn about() -> About {
    About {
        network_name: "Ada[h:2]".to_owned(),
        manager: "Manager[h:1]".to_owned(),
        local_port: 2,
        binary: false,
    }
}
