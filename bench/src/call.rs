//! Requests and replies: some services, and some clients with several requests in flight each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;

use crate::dialect::{Dialect, Role};
use crate::driver::{Driver, Workload};
use crate::payload::{MARK, Mark, Payload};
use crate::process::{Meter, Process};
use crate::report::Figures;
use crate::session::{Session, Target};

/// Time under load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// Timeout for the replies in flight at the end.
pub(crate) const DRAIN: Duration = Duration::from_mins(1);

/// Largest recorded time, in hundredths of a microsecond; longer times count as this one.
const LONGEST: u64 = 300 * 100_000_000;

/// The workload, and its duration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) services: usize,
    pub(crate) clients: usize,
    pub(crate) in_flight: usize,
    pub(crate) payload: Payload,
    /// The duration of the measurement.
    pub(crate) time: Duration,
    /// Number of additional idle connections.
    pub(crate) idle: usize,
    /// Timeout for the replies in flight at the end.
    pub(crate) drain: Duration,
}

/// One of a client's requests in flight.
#[derive(Clone, Debug)]
struct Slot {
    /// The digits of its mark, which its reply must contain.
    mark: [u8; MARK],
    /// When it was sent.
    started: Instant,
}

/// Sends requests and replies, and checks each reply.
pub(crate) struct Calls {
    dialect: Dialect,
    roles: Vec<Role>,
    payload: Payload,
    /// The slots of each client.
    slots: Vec<Vec<Slot>>,
    /// When the messages that are being read arrived. Answers to them count as sent at this time.
    now: Instant,
    going: bool,
    waiting: usize,
    /// The interval at which each slot sends. Without one, a slot sends again as soon as it has its
    /// reply.
    every: Option<Duration>,
    /// The slots that wait for their next time to send: time, connection and slot.
    due: VecDeque<(Instant, usize, usize)>,
    answered: u64,
    /// In hundredths of a microsecond.
    pub(crate) times: Histogram<u64>,
}

impl Calls {
    /// Resets the counts.
    pub(crate) fn forget(&mut self) {
        self.answered = 0;
        self.times.reset();
    }

    /// Stops sending: a reply is no longer followed by a new request.
    pub(crate) fn stop(&mut self) {
        self.going = false;
    }

    /// Sends a request, with `now` as its time of sending.
    fn send(&mut self, role: Role, slot: usize, now: Instant, output: &mut Vec<u8>) {
        let Role::Client { number, service } = role else {
            return;
        };
        let slot = &mut self.slots[number][slot];
        Mark::advance(&mut slot.mark);
        slot.started = now;
        let mark = slot.mark;
        let payload = &self.payload;
        self.dialect
            .request(output, number, service, &mark, payload.len(), |output| {
                payload.put(output, mark);
            });
        self.waiting += 1;
    }
}

impl Workload for Calls {
    fn arrived(&mut self, now: Instant) {
        self.now = now;
    }

    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()> {
        let role = self.roles[connection];
        let (dialect, length) = (self.dialect, self.payload.len());
        let Role::Client { number, .. } = role else {
            if let Some(asked) = dialect.asked(message, length, output)? {
                let Some(mark) = self.payload.digits(asked.payload) else {
                    bail!("a request came to its service with another payload than was sent");
                };
                dialect.reply(output, &asked, mark);
            }
            return Ok(());
        };
        let Some(payload) = dialect.replied(message, length, output)? else {
            return Ok(());
        };
        let Some(mark) = self.payload.digits(payload) else {
            bail!("a reply came to its client with another payload than was sent");
        };
        let place = Mark::slot_of(mark);
        let Some(slot) = self.slots[number].get_mut(place) else {
            bail!("a reply came that was not asked for");
        };
        if *mark != slot.mark {
            bail!("client {number} got a reply that is not its own, or got one twice");
        }
        self.waiting -= 1;
        // Requests from before the end count: leaving them out would leave out the slowest.
        let started = slot.started;
        self.times.saturating_record(hundredths(self.now - started));
        if self.going {
            self.answered += 1;
            let now = self.now;
            match self.every.map(|every| started + every) {
                None => self.send(role, place, now, output),
                // The request is late because the last one was slow: count its time from when it
                // was due.
                Some(next) if next <= now => self.send(role, place, next, output),
                Some(next) => self.due.push_back((next, connection, place)),
            }
        } else {
            // A second reply to it must be an error.
            Mark::advance(&mut slot.mark);
        }
        Ok(())
    }

    fn idle(&mut self, driver: &mut Driver) {
        let now = Instant::now();
        while self.going
            && let Some(&(next, connection, slot)) = self.due.front()
            && next <= now
        {
            self.due.pop_front();
            // Delays of this loop are not counted as the broker's.
            self.send(self.roles[connection], slot, now, driver.output(connection));
        }
    }
}

/// Converts a time to hundredths of a microsecond.
fn hundredths(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(100_000_000)
        .saturating_add(u64::from(time.subsec_nanos() / 10))
}

/// Calls with their connections.
pub(crate) struct Asking {
    driver: Driver,
    pub(crate) calls: Calls,
    in_flight: usize,
    /// How long a round waits for input. It bounds how late the end, or a time to send, is noticed.
    patience: Duration,
}

impl Asking {
    pub(crate) fn new(session: Session, payload: Payload, in_flight: usize) -> anyhow::Result<Self> {
        let Session {
            driver,
            roles,
            target,
        } = session;
        let clients = roles.iter().map(|role| match role {
            Role::Client { number, .. } => number + 1,
            Role::Service(_) => 0,
        });
        let clients = clients.max().unwrap_or_default();
        let now = Instant::now();
        let slot = |client, slot| Slot {
            mark: Mark {
                client,
                slot,
                sequence: 0,
            }
            .digits(),
            started: now,
        };
        let slots = |client| (0..in_flight).map(|number| slot(client, number)).collect();
        Ok(Self {
            driver,
            calls: Calls {
                dialect: target.dialect,
                roles,
                payload,
                slots: (0..clients).map(slots).collect(),
                now,
                going: true,
                waiting: 0,
                every: None,
                due: VecDeque::new(),
                answered: 0,
                times: Histogram::new_with_bounds(1, LONGEST, 3)?,
            },
            in_flight,
            patience: Duration::from_millis(10),
        })
    }

    /// Makes each client send at that interval, instead of directly after each reply.
    pub(crate) fn pace(&mut self, every: Duration) {
        self.calls.every = Some(every);
        self.patience = Duration::from_millis(1);
    }

    /// Allocates the memory for messages of so many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.driver.reserve(bytes);
    }

    /// Makes the clients with the selected numbers send, as soon as the next round begins.
    pub(crate) fn begin(&mut self, asks: impl Fn(usize) -> bool) {
        for connection in 0..self.calls.roles.len() {
            let role = self.calls.roles[connection];
            if matches!(role, Role::Client { number, .. } if asks(number)) {
                for slot in 0..self.in_flight {
                    self.calls
                        .send(role, slot, Instant::now(), self.driver.output(connection));
                }
            }
        }
    }

    pub(crate) fn go_on_while(&mut self, mut goes_on: impl FnMut() -> bool) -> anyhow::Result<()> {
        while goes_on() {
            self.driver.round(&mut self.calls, self.patience)?;
        }
        Ok(())
    }

    fn go_on_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        self.go_on_while(|| start.elapsed() < time)
    }

    /// Waits for the replies in flight.
    pub(crate) fn await_replies(&mut self, patience: Duration) -> anyhow::Result<()> {
        let waited_for = "the replies that were under way";
        self.driver
            .run_until(&mut self.calls, patience, waited_for, |calls| calls.waiting == 0)
    }

    /// Stops sending, waits for the replies in flight, and checks that no other messages arrive.
    pub(crate) fn finish(mut self, patience: Duration) -> anyhow::Result<Calls> {
        self.calls.stop();
        self.await_replies(patience)?;
        self.driver.hear_out(&mut self.calls)?;
        Ok(self.calls)
    }
}

/// Runs the workload.
///
/// # Errors
///
/// If a reply is lost, duplicated or wrong.
pub(crate) fn run(target: Target, plan: &Plan, broker: Option<Process>) -> anyhow::Result<Figures> {
    let is_relay = target.dialect == Dialect::Bare;
    let all = plan.clients + plan.idle;
    // A relay connects each client with a service of its own.
    let services = if is_relay { all } else { plan.services };
    let mut session = Session::new(target)?;
    session.populate(0..services, 0..all, |number| number % services)?;
    let mut asking = Asking::new(session, plan.payload.clone(), plan.in_flight)?;
    asking.begin(|number| number < plan.clients);
    asking.go_on_for(WARM_UP)?;
    asking.calls.forget();
    let meter = Meter::start(broker)?;
    let start = Instant::now();
    asking.go_on_for(plan.time)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = meter.seconds()?;
    let calls = asking.finish(plan.drain)?;
    let answered = calls.answered as f64;
    if calls.answered == 0 {
        bail!("nothing was answered in {seconds} s");
    }
    Ok(Figures {
        per_second: answered / seconds,
        cpu_microseconds: cpu.map(|seconds| seconds * 1e6 / answered),
        p50_microseconds: calls.times.value_at_quantile(0.5) as f64 / 100.0,
        p99_microseconds: calls.times.value_at_quantile(0.99) as f64 / 100.0,
        max_microseconds: calls.times.max() as f64 / 100.0,
        peak_mebibytes: broker.map(Process::peak_mebibytes).transpose()?,
    })
}
