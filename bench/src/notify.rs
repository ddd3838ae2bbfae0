//! Notifications of one service to many linked clients.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::dialect::Dialect;
use crate::driver::{Driver, Workload};
use crate::payload::{Mark, Payload};
use crate::process::{Meter, Process};
use crate::report::Deliveries;
use crate::session::{Session, Target};

/// How far the service may be ahead of the slowest client, in notifications. A broker bounds the
/// queue of a client: an unlimited sender would measure how soon the broker disconnects one.
const AHEAD: u64 = 1_024;

/// Time under load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// Timeout for the notifications in flight at the end.
pub(crate) const DRAIN: Duration = Duration::from_mins(1);

/// The workload: the notifications, and the number of clients.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    pub(crate) payload: Payload,
    /// The duration of the measurement.
    pub(crate) time: Duration,
    /// Timeout for the notifications in flight at the end.
    pub(crate) drain: Duration,
}

/// Sends notifications, and checks those that arrive.
struct Fan {
    dialect: Dialect,
    payload: Payload,
    /// The number of notifications that each connection has received; the first connection is the
    /// service's.
    had: Vec<u64>,
    sent: u64,
    going: bool,
}

impl Fan {
    fn had_by_all(&self) -> u64 {
        self.had[1..].iter().copied().min().unwrap_or_default()
    }

    fn had_in_all(&self) -> u64 {
        self.had[1..].iter().sum()
    }
}

impl Workload for Fan {
    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()> {
        let Some(payload) = self.dialect.notified(message, self.payload.len(), output)? else {
            return Ok(());
        };
        let Some(mark) = self.payload.check(payload) else {
            bail!("a notification came with another payload than was sent");
        };
        let had = &mut self.had[connection];
        *had += 1;
        if connection == 0 || *had > self.sent || !mark.has_sequence(*had) {
            bail!("connection {connection} missed a notification, got one twice, or got one out of turn");
        }
        Ok(())
    }

    fn idle(&mut self, driver: &mut Driver) {
        let until = self.had_by_all() + AHEAD;
        if !self.going || self.sent >= until {
            return;
        }
        let output = driver.output(0);
        while self.sent < until {
            self.sent += 1;
            let mark = Mark {
                client: 0,
                slot: 0,
                sequence: self.sent,
            };
            let payload = &self.payload;
            self.dialect.notify(output, 0, payload.len(), |output| {
                payload.put(output, mark.digits());
            });
        }
    }
}

/// Runs the workload.
///
/// # Errors
///
/// If a notification is lost, duplicated, out of order, or wrong.
pub(crate) fn run(target: Target, plan: &Plan, broker: Option<Process>) -> anyhow::Result<Deliveries> {
    let dialect = target.dialect;
    if dialect == Dialect::Bare && plan.clients > 1 {
        bail!("a relay joins each client with one service: give it one client");
    }
    let mut session = Session::new(target)?;
    session.populate(0..1, 0..plan.clients, |_| 0)?;
    let mut driver = session.driver;
    let mut fan = Fan {
        dialect,
        payload: plan.payload.clone(),
        had: vec![0; plan.clients + 1],
        sent: 0,
        going: true,
    };
    let patience = Duration::from_millis(100);
    fan.idle(&mut driver);
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        driver.round(&mut fan, patience)?;
    }
    let meter = Meter::start(broker)?;
    let (before, start) = (fan.had_in_all(), Instant::now());
    while start.elapsed() < plan.time {
        driver.round(&mut fan, patience)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let deliveries = (fan.had_in_all() - before) as f64;
    let cpu = meter.seconds()?;
    fan.going = false;
    driver.run_until(
        &mut fan,
        plan.drain,
        "the notifications that were under way",
        |fan| fan.had_by_all() == fan.sent,
    )?;
    driver.hear_out(&mut fan)?;
    Ok(Deliveries {
        per_second: deliveries / seconds,
        cpu_microseconds: cpu.map(|seconds| seconds * 1e6 / deliveries.max(1.0)),
    })
}
