//! One large call, and small calls of other clients beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::call::{Asking, Calls};
use crate::dialect::Dialect;
use crate::payload::{Content, Payload};
use crate::process::{Meter, Process};
use crate::report::Transfer;
use crate::session::{Session, Target};

/// Time of the small calls before the large one begins.
const WARM_UP: Duration = Duration::from_millis(300);

/// Timeout of a large call.
const PATIENCE: Duration = Duration::from_mins(5);

/// Interval of a small client's calls. A client that called again after each reply would call most
/// often when it waits least, and its percentiles would hide the waiting times.
const EVERY: Duration = Duration::from_millis(2);

/// Upper bound of a message without its payload, in bytes.
const ENVELOPE: usize = 4_096;

/// Payload of the small calls, in bytes.
const SMALL: usize = 64;

/// The size of the large call, and the number of other clients beside it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// In bytes.
    pub(crate) size: usize,
    pub(crate) content: Content,
    pub(crate) small_clients: usize,
    /// Whether the manager forwards it while it arrives, if it can.
    pub(crate) cut_through: bool,
}

/// Makes one large call.
///
/// # Errors
///
/// If a reply, large or small, is lost, duplicated or wrong.
pub(crate) fn run(target: Target, plan: &Plan, broker: Option<Process>) -> anyhow::Result<Transfer> {
    if plan.small_clients == 0 {
        bail!("there must be one small client at least");
    }
    // The small clients are numbers 1 and up, of service 1; a relay has a service for each of them.
    let small = 1..=plan.small_clients;
    let is_relay = target.dialect == Dialect::Bare;
    let services = if is_relay { small.clone() } else { 1..=1 };
    let mut beside = Session::new(target.clone())?;
    beside.populate(services, small, |number| if is_relay { number } else { 1 })?;
    let mut session = Session::new(Target {
        dialect: match target.dialect {
            Dialect::Lines if plan.cut_through => Dialect::CutThrough,
            dialect => dialect,
        },
        ..target
    })?;
    session.populate(0..1, 0..1, |_| 0)?;
    let mut beside = Asking::new(beside, Payload::new(Content::Text, SMALL)?, 1)?;
    beside.pace(EVERY);
    let mut large = Asking::new(session, Payload::new(plan.content, plan.size)?, 1)?;
    large.reserve(plan.size + ENVELOPE);

    // The small calls have a thread of their own, so that they do not wait for the generator's work
    // on the large message.
    let (measured, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let others = scope.spawn(|| -> anyhow::Result<Calls> {
            beside.begin(|_| true);
            beside.go_on_while(|| !measured.load(Ordering::Acquire))?;
            beside.calls.forget();
            beside.go_on_while(|| !over.load(Ordering::Acquire))?;
            beside.finish(PATIENCE)
        });
        thread::sleep(WARM_UP);
        large.begin(|_| true);
        let meter = Meter::start(broker)?;
        measured.store(true, Ordering::Release);
        let start = Instant::now();
        large.calls.stop();
        let answered = large.await_replies(PATIENCE);
        let seconds = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Release);
        let cpu = meter.seconds()?;
        let others = others.join().ok().context("the small calls' thread broke off")?;
        answered?;
        let mut times = others?.times;
        if times.is_empty() {
            times.record(0)?;
        }
        let mebibytes = plan.size as f64 / 1_048_576.0;
        Ok(Transfer {
            mebibytes_per_second: mebibytes / seconds,
            cpu_milliseconds: cpu.map(|seconds| seconds * 1e3 / mebibytes),
            peak_mebibytes: broker.map(Process::peak_mebibytes).transpose()?,
            small_p50_milliseconds: times.value_at_quantile(0.5) as f64 / 1e5,
            small_p99_milliseconds: times.value_at_quantile(0.99) as f64 / 1e5,
            small_max_milliseconds: times.max() as f64 / 1e5,
        })
    })
}
