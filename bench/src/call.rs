//! Requests and replies: some services, some clients, each with so many requests in flight.

use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;

use crate::dialect::{Dialect, Role};
use crate::driver::Workload;
use crate::payload::{Mark, Payload};
use crate::process::Process;
use crate::report::Figures;
use crate::session::{Session, Target};

/// How long the broker is under load before anything is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long replies may take that are under way at the end.
const DRAIN: Duration = Duration::from_secs(60);

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) services: usize,
    pub(crate) clients: usize,
    pub(crate) in_flight: usize,
    pub(crate) payload: Payload,
    /// How long it is measured.
    pub(crate) time: Duration,
    /// How many connections beside do nothing.
    pub(crate) idle: usize,
}

/// Asks and answers, and checks each answer.
struct Calls {
    dialect: Dialect,
    roles: Vec<Role>,
    payload: Payload,
    /// For each client's slot: the number of its request, and when that was sent.
    slots: Vec<Vec<(u64, Instant)>>,
    going: bool,
    waiting: usize,
    answered: u64,
    /// Microseconds, in hundredths.
    times: Histogram<u64>,
}

impl Calls {
    fn send(&mut self, role: Role, slot: usize, output: &mut Vec<u8>) {
        let Role::Client { number, service } = role else {
            return;
        };
        let (sequence, started) = &mut self.slots[number][slot];
        *sequence += 1;
        *started = Instant::now();
        let mark = Mark {
            client: number,
            slot,
            sequence: *sequence,
        }
        .digits();
        let payload = &self.payload;
        self.dialect
            .request(output, number, service, &mark, payload.len(), |output| {
                payload.put(output, mark)
            });
        self.waiting += 1;
    }
}

impl Workload for Calls {
    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()> {
        let role = self.roles[connection];
        let (dialect, length) = (self.dialect, self.payload.len());
        let Role::Client { number, .. } = role else {
            if let Some(asked) = dialect.asked(message, length, output)? {
                let Some(mark) = self.payload.check(asked.payload) else {
                    bail!("a request came to its service with another payload than was sent");
                };
                dialect.reply(output, &asked, &mark.digits());
            }
            return Ok(());
        };
        let Some(payload) = dialect.replied(message, length, output)? else {
            return Ok(());
        };
        let Some(mark) = self.payload.check(payload) else {
            bail!("a reply came to its client with another payload than was sent");
        };
        let Some(&(sequence, started)) = self.slots[number].get(mark.slot) else {
            bail!("a reply came that was not asked for");
        };
        if mark.client != number || !mark.has_sequence(sequence) {
            bail!("client {number} got a reply that is not its own, or got one twice");
        }
        self.waiting -= 1;
        if self.going {
            self.answered += 1;
            let hundredths = started.elapsed().as_nanos() / 10;
            self.times
                .saturating_record(u64::try_from(hundredths).unwrap_or(u64::MAX));
            self.send(role, mark.slot, output);
        } else {
            // Nothing may come for it any more.
            self.slots[number][mark.slot].0 += 1;
        }
        Ok(())
    }
}

/// Asks and answers for a while.
///
/// # Errors
///
/// When a reply is lost, doubled, or not what was sent.
pub(crate) fn run(target: Target, plan: &Plan, broker: Option<Process>) -> anyhow::Result<Figures> {
    let dialect = target.dialect;
    let mut session = Session::new(target)?;
    if dialect == Dialect::Bare {
        // A relay joins each client with a service of its own, in the order in which they come.
        for number in 0..plan.clients {
            session.join([
                Role::Service(number),
                Role::Client {
                    number,
                    service: number,
                },
            ])?;
        }
    } else {
        session.join((0..plan.services).map(Role::Service))?;
        let client = |number| Role::Client {
            number,
            service: number % plan.services,
        };
        session.join((0..plan.clients + plan.idle).map(client))?;
    }
    let Session {
        mut driver, roles, ..
    } = session;
    let mut calls = Calls {
        dialect,
        roles,
        payload: plan.payload.clone(),
        slots: vec![vec![(0, Instant::now()); plan.in_flight]; plan.clients + plan.idle],
        going: true,
        waiting: 0,
        answered: 0,
        times: Histogram::new_with_bounds(1, 60_000_000_00, 3)?,
    };
    for connection in 0..calls.roles.len() {
        let role = calls.roles[connection];
        if matches!(role, Role::Client { number, .. } if number < plan.clients) {
            for slot in 0..plan.in_flight {
                calls.send(role, slot, driver.output(connection));
            }
        }
    }
    let patience = Duration::from_millis(100);
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        driver.round(&mut calls, patience)?;
    }
    calls.answered = 0;
    calls.times.reset();
    let used = broker.map(Process::cpu).transpose()?;
    let start = Instant::now();
    while start.elapsed() < plan.time {
        driver.round(&mut calls, patience)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = match (broker, used) {
        (Some(broker), Some(used)) => Some(broker.cpu()? - used),
        _ => None,
    };
    calls.going = false;
    driver.run_until(&mut calls, DRAIN, "the replies that were under way", |calls| {
        calls.waiting == 0
    })?;
    let answered = calls.answered;
    if answered == 0 {
        bail!("nothing was answered in {} s", plan.time.as_secs());
    }
    Ok(Figures {
        per_second: answered as f64 / seconds,
        cpu_microseconds: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / answered as f64),
        p50_microseconds: calls.times.value_at_quantile(0.5) as f64 / 100.0,
        p99_microseconds: calls.times.value_at_quantile(0.99) as f64 / 100.0,
        max_microseconds: calls.times.max() as f64 / 100.0,
        peak_mebibytes: broker
            .map(Process::peak_memory)
            .transpose()?
            .map(|bytes| bytes as f64 / 1_048_576.0),
    })
}
