//! Chooses the next peer and its action.

use std::time::Duration;

use super::choices::Choices;
use super::reservations::Restarts;
use super::restarts::{End, Presented};
use super::slots::Slot;
use super::speech::{Administered, Say, Spoken};
use super::state::{Key, ModelPhase, Sums};
use super::world::{Failure, World};

/// The number of steps between comparisons of the whole registry with the model.
const REGISTRY_CHECK: usize = 32;

/// The number of steps between writes of what is noted of locks.
const LEASE_WRITE: usize = 5;

/// The size of a schedule.
#[derive(Clone, Copy, Debug)]
struct Size {
    clients: usize,
    services: usize,
    steps: usize,
    /// The limit on one client's requests in flight.
    in_flight: usize,
    /// The limit of one peer's queue, in bytes.
    outbox: usize,
    /// The chance of a restart of the manager at a step that would let time pass, in percent, while there
    /// are locks to keep.
    restarts: usize,
}

impl Size {
    fn choose(choices: &mut Choices<'_>) -> Self {
        let in_flight = choices.one_of(&[1, 2, 4, 8, 1_000]);
        let restarts = choices.one_of(&[0, 0, 40, 80]);
        if matches!(choices, Choices::Seed(_)) && choices.below(400) == 0 {
            return Self {
                clients: 1_000,
                services: 8,
                steps: 2_000,
                in_flight,
                outbox: 64 << 20,
                restarts,
            };
        }
        // The small size makes cut-through likely, since no other client may be linked.
        let (clients, services) = choices.one_of(&[(10, 4), (10, 4), (2, 2)]);
        Self {
            clients: 1 + choices.below(clients),
            services: 1 + choices.below(services),
            steps: 200 + choices.below(801),
            in_flight,
            outbox: choices.one_of(&[1, 300, 1_000, 12_000, 1 << 20, 64 << 20]),
            restarts,
        }
    }
}

/// A running schedule.
pub(super) struct Schedule<'a, 'b> {
    pub(super) choices: &'a mut Choices<'b>,
    pub(super) world: World,
    pub(super) clients: Vec<Slot>,
    pub(super) services: Vec<Slot>,
    /// The last reply, to be sent a second time.
    pub(super) last_reply: Option<Say>,
    pub(super) last_uid: usize,
    /// See [`Size::restarts`].
    restarts: usize,
}

/// The result of a schedule.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "a test looks at what happened in all of them")
)]
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) steps: usize,
    /// The counts of each manager.
    pub(crate) sums: Vec<Sums>,
    /// The numbers of peers that returned to their session, and that did not return in time.
    pub(crate) returns: [u64; 2],
    pub(crate) restarts: Restarts,
}

/// Runs the schedule of these choices.
///
/// # Panics
///
/// If the manager differs from the model.
pub(crate) fn run(choices: &mut Choices<'_>) -> Ran {
    let size = Size::choose(choices);
    let slots = |count, make: fn(usize, &mut Choices<'_>) -> Slot, choices: &mut Choices<'_>| {
        (0..count).map(|number| make(number, choices)).collect::<Vec<_>>()
    };
    let clients = slots(size.clients, Slot::client, choices);
    let services = slots(size.services, Slot::service, choices);
    let mut schedule = Schedule {
        choices,
        world: World::new(size.in_flight, size.outbox),
        clients,
        services,
        last_reply: None,
        last_uid: 0,
        restarts: size.restarts,
    };
    let mut step = 0;
    if let Err(failure) = schedule.play(size, &mut step) {
        panic!("step {step} of a schedule with {size:?}: {failure}");
    }
    let returns = schedule.world.returns();
    let World {
        model, mut earlier, ..
    } = schedule.world;
    earlier.push(model.sums);
    Ran {
        steps: step,
        sums: earlier,
        returns,
        restarts: model.restarts,
    }
}

impl Schedule<'_, '_> {
    fn play(&mut self, size: Size, step: &mut usize) -> Result<(), Failure> {
        if size.clients > 100 {
            for slot in 0..size.clients + size.services {
                self.arrive(slot)?;
                self.world.check()?;
                *step += 1;
            }
        }
        let drained_at = self.choices.one_of(&[50, 100, 100]) * size.steps / 100;
        let stopped_at = self.choices.one_of(&[70, 99, 100]) * size.steps / 100;
        for number in 0..size.steps {
            if self.choices.is_over() {
                break;
            }
            *step += 1;
            if number == drained_at && self.world.model.phase < ModelPhase::Draining {
                self.world.drain();
                self.world.check()?;
            }
            if number == stopped_at {
                self.world.stop()?;
                self.world.check()?;
            }
            self.act()?;
            self.world.check()?;
            self.world.let_finished_leave()?;
            self.world.check()?;
            if number % LEASE_WRITE == 0 {
                self.world.write_leases()?;
            }
            if number % REGISTRY_CHECK == 0 {
                self.world.check_registry()?;
            }
        }
        for slot in 0..size.clients + size.services {
            if let Some(key) = self.slot(slot).present.take() {
                self.world.come_back(key)?;
                self.world.check()?;
                self.world.leave(key)?;
                self.world.check()?;
            }
        }
        self.world.check_registry()
    }

    /// Returns a slot by its number: clients first, then services.
    fn slot(&mut self, slot: usize) -> &mut Slot {
        match slot.checked_sub(self.clients.len()) {
            None => &mut self.clients[slot],
            Some(service) => &mut self.services[service],
        }
    }

    fn arrive(&mut self, number: usize) -> Result<(), Failure> {
        let presented = self.presented(number);
        let presented = presented.as_ref().map(|(secret, is_own)| Presented {
            secret,
            is_own: *is_own,
        });
        let elsewhere = format!("h:{}", 40 + number);
        let is_elsewhere = presented.is_some() && self.choices.percent(20);
        let slot = match number.checked_sub(self.clients.len()) {
            None => &mut self.clients[number],
            Some(service) => &mut self.services[service],
        };
        let address = if is_elsewhere { &elsewhere } else { &slot.address };
        slot.present = self.world.join(&slot.identity, address, presented)?;
        if let Some(secret) = slot.present.and_then(|key| self.world.secret_of(key)) {
            slot.secrets = [Some(secret), slot.secrets[0].take()];
        }
        Ok(())
    }

    /// Returns the secret that a peer presents when it joins, and whether it is its own last one.
    fn presented(&mut self, number: usize) -> Option<(String, bool)> {
        let slot = self.slot(number);
        slot.identity.session.as_ref()?;
        let [last, before] = slot.secrets.clone();
        let last = last?;
        match self.choices.below(20) {
            0 => None,
            1 => Some((before?, false)),
            2 => {
                let other = self.choices.below(self.clients.len());
                let [other, _] = self.clients[other].secrets.clone();
                Some((other?, false))
            }
            _ => Some((last, true)),
        }
    }

    /// Lets one peer act. Services are few, so each of them has as many turns as several clients.
    fn act(&mut self) -> Result<(), Failure> {
        let number = if self.choices.percent(35) {
            self.clients.len() + self.choices.below(self.services.len())
        } else {
            self.choices.below(self.clients.len())
        };
        let key = self.slot(number).present;
        if let Some(key) = key.filter(|key| self.world.is_away(*key)) {
            return match self.choices.below(100) {
                0..50 => self.world.come_back(key),
                50..53 => {
                    let time = self.choices.one_of(&[500, 1_500, 60_000]);
                    self.world.pass(Duration::from_millis(time));
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        // The peer may have been disconnected since it joined.
        let Some(key) = key.filter(|key| self.world.peers.contains_key(key)) else {
            return self.arrive(number);
        };
        let unread = self.world.model.peers[&key].readable();
        match self.choices.below(100) {
            0..2 => self.world.leave(key),
            99 if self.is_restarted() => {
                let end = self.choices.one_of(&[End::Killed, End::Stopped]);
                let after = self.choices.one_of(&[0, 0, 500, 2_500, 100_000]);
                self.world.restart(end, Duration::from_millis(after))
            }
            // Usually seconds, sometimes days.
            99 => {
                let time = self.choices.one_of(&[500, 1_500, 4_000, 60_000, 200_000_000]);
                self.world.pass(Duration::from_millis(time));
                Ok(())
            }
            97 if self.choices.percent(20) || !self.world.model.reserved.is_empty() => {
                let service = self.any_service();
                self.world.break_locks(&service)
            }
            95..97 if self.world.may_go_away(key) => {
                let kept = self.choices.one_of(&[usize::MAX, usize::MAX, 5_000, 500]);
                self.world.go_away(key, kept)
            }
            98 if number < self.clients.len() && self.world.has_said_all(key) => self.world.finish(key),
            2..27 if unread > 0 => {
                let count = match self.choices.below(4) {
                    0 => 1 + self.choices.below(unread),
                    _ => unread,
                };
                self.world.read(key, count);
                Ok(())
            }
            _ => self.speak(key, number),
        }
    }

    /// Returns whether the manager is restarted now: more often while locks would be kept.
    fn is_restarted(&mut self) -> bool {
        let rarer = if self.world.model.leases().is_empty() {
            4
        } else {
            1
        };
        self.restarts > 0 && self.choices.percent(self.restarts / rarer)
    }

    fn speak(&mut self, key: Key, number: usize) -> Result<(), Failure> {
        if self.world.has_finished(key) {
            return Ok(());
        }
        if self.world.is_held(key) {
            return self.world.say_again(key);
        }
        if self.world.is_arriving(key) {
            return self.go_on(key);
        }
        if let Some(spoken) = self.world.next_sent(key) {
            return self.world.say(key, spoken);
        }
        let say = if number < self.clients.len() {
            if self.choices.percent(3) {
                let count = 1 + self.choices.below(3);
                for _ in 0..count {
                    let say = self.word_of_client(key);
                    self.world.send(key, Spoken::new(say, true));
                }
            } else if self.choices.below(500) == 0 {
                // More than the limit on requests that wait for a login.
                for _ in 0..20 {
                    let what = self.choices.one_of(&Administered::ALL);
                    let uid = self.uid();
                    self.world
                        .send(key, Spoken::new(Say::Administer { what, uid }, true));
                }
            }
            self.word_of_client(key)
        } else {
            self.word_of_service(key, number - self.clients.len())
        };
        let bare_end = self.choices.percent(50);
        let spoken = Spoken::new(say, bare_end);
        if let Some(payload) = spoken.long_payload()
            && self.choices.percent(80)
        {
            let length = spoken.content().len();
            let (least, most) =
                self.choices
                    .one_of(&[(0, length), (payload, length), (payload, payload + 20)]);
            let come = least + 1 + self.choices.below(most - least);
            return self.world.begin(key, spoken, come);
        }
        self.world.say(key, spoken)
    }

    /// Continues, ends or breaks off a line that is being cut through.
    fn go_on(&mut self, key: Key) -> Result<(), Failure> {
        match self.choices.below(100) {
            0..5 => {
                self.world.stall(key);
                Ok(())
            }
            5..10 => self.world.go_wrong(key),
            10..60 => {
                let count = 1 + self.choices.below(4_000);
                self.world.go_on(key, count)
            }
            _ => self.world.end(key),
        }
    }
}
