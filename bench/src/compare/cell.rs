//! The measurements: each cell is a workload with its brokers.

use std::thread;
use std::time::{Duration, Instant};

use super::broker::{Broker, Home, Prepared, Programs};
use super::kind::Kind;
use crate::beside::Beside;
use crate::call;
use crate::idle;
use crate::large;
use crate::notify;
use crate::payload::{Content, Payload};
use crate::report::Figures;
use crate::session::Session;

/// A figure of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    /// CPU microseconds of the broker per request or delivery.
    Cpu,
    /// Requests, deliveries or connections per second.
    Rate,
    /// Microseconds.
    P50,
    /// Microseconds.
    P99,
    MebibytesPerSecond,
    /// CPU milliseconds of the broker per MiB.
    CpuPerMebibyte,
    PeakMebibytes,
    /// Of the small calls, in milliseconds.
    SmallP50,
    /// Of the small calls, in milliseconds.
    SmallP99,
    /// Of the small calls, in milliseconds.
    SmallLongest,
    KibibytesEach,
    /// Milliseconds.
    StartUp,
    RestMebibytes,
    ProgramMebibytes,
    /// Of Labwire's routing thread, in milliseconds.
    LongestStep,
    /// The number of those that took longer than 5 ms.
    LongSteps,
}

impl Figure {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Cpu => "CPU µs each",
            Self::Rate => "per second",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::MebibytesPerSecond => "MiB/s",
            Self::CpuPerMebibyte => "CPU ms/MiB",
            Self::PeakMebibytes => "peak MiB",
            Self::SmallP50 => "small calls, p50 ms",
            Self::SmallP99 => "small calls, p99 ms",
            Self::SmallLongest => "small calls, longest ms",
            Self::KibibytesEach => "KiB each",
            Self::StartUp => "ms",
            Self::RestMebibytes => "MiB at rest",
            Self::ProgramMebibytes => "MiB of program",
            Self::LongestStep => "longest step, ms",
            Self::LongSteps => "steps above 5 ms",
        }
    }
}

/// The core of the broker, and that of the load generator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    pub(super) broker: usize,
    pub(super) generator: usize,
}

/// The workload of a broker.
enum Work {
    Call(call::Plan),
    /// The same with [`Beside`].
    CallBeside(call::Plan),
    Notify(notify::Plan),
    Large(large::Plan),
    Idle(usize),
    /// The start, with existing keys, until the first client is served.
    Start,
}

/// A workload, and the brokers that run it.
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) kinds: &'static [Kind],
    /// Whether broker and generator share a core, so that the time of a single call does not
    /// include waking another core.
    is_on_one_core: bool,
    work: Work,
    /// Further options of Labwire, where its default limits are too low.
    more: &'static [&'static str],
}

pub(super) const ONE: &str = "K1 C1 64 B same";
pub(super) const SIXTEEN: &str = "K1 C16 64 B";
pub(super) const MANY: &str = "K64 C16 64 B";
pub(super) const TEXT: &str = "K64 C16 4 KiB text";
pub(super) const NUMBERS: &str = "K64 C16 4 KiB numbers";
pub(super) const MEBIBYTE: &str = "K4 C4 1 MiB";
pub(super) const FAN_OUT: &str = "fan-out to 64 clients, 256 B";
pub(super) const LARGE: &str = "one 256 MiB call";
pub(super) const CUT_THROUGH: &str = "the same, cut through";
pub(super) const IDLE: &str = "2,000 idle clients";
pub(super) const TLS_MANY: &str = "TLS: K64 C16 64 B";
pub(super) const TLS_IDLE: &str = "TLS: 2,000 idle clients";
pub(super) const FEW_IDLE: &str = "growth: 10 idle clients beside";
pub(super) const MANY_IDLE: &str = "growth: 10,000 idle clients beside";
pub(super) const FEW_SERVICES: &str = "growth: 4 services";
pub(super) const MANY_SERVICES: &str = "growth: 1,000 services";
pub(super) const FEW_IN_FLIGHT: &str = "growth: 64 in flight, C1";
pub(super) const MANY_IN_FLIGHT: &str = "growth: 10,000 in flight, C1";
pub(super) const BESIDE: &str = "K64 C16 64 B beside large work";
pub(super) const START: &str = "start-up to the first served client";

/// Returns all measurements, with this duration each.
pub(super) fn all(time: Duration) -> Vec<Cell> {
    use Kind::{Labwire, LabwireTls, Mosquitto, Mux, Nats, Python, PythonTls, Quiet, Relay};
    let payload = |content, size| Payload::new(content, size).expect("it has room for its mark");
    let small = || payload(Content::Text, 64);
    let call = |services, clients, in_flight, payload| {
        let idle = 0;
        Work::Call(call::Plan {
            services,
            clients,
            in_flight,
            payload,
            time,
            idle,
            drain: call::DRAIN,
        })
    };
    let idle = |services, idle| {
        let (clients, in_flight, payload) = (16, 64, small());
        Work::Call(call::Plan {
            services,
            clients,
            in_flight,
            payload,
            time,
            idle,
            drain: call::DRAIN,
        })
    };
    let row = |name, kinds, work| Cell {
        name,
        kinds,
        is_on_one_core: false,
        work,
        more: &[],
    };
    let Work::Call(beside) = call(4, 16, 64, small()) else {
        unreachable!("these are calls");
    };
    let fan_out = notify::Plan {
        clients: 64,
        payload: payload(Content::Text, 256),
        time,
        drain: notify::DRAIN,
    };
    let large = |cut_through| {
        Work::Large(large::Plan {
            size: 256 * 1_048_576,
            content: Content::Text,
            small_clients: 4,
            cut_through,
        })
    };
    vec![
        Cell {
            is_on_one_core: true,
            ..row(ONE, &[Labwire, Relay, Mux, Nats], call(1, 1, 1, small()))
        },
        row(
            SIXTEEN,
            &[Labwire, Relay, Mux, Nats, Mosquitto],
            call(1, 16, 1, small()),
        ),
        row(
            MANY,
            &[Labwire, Relay, Mux, Nats, Mosquitto, Python, Quiet],
            call(4, 16, 64, small()),
        ),
        row(TLS_MANY, &[LabwireTls, PythonTls], call(4, 16, 64, small())),
        row(
            TEXT,
            &[Labwire, Relay, Mux, Nats],
            call(4, 16, 64, payload(Content::Text, 4_096)),
        ),
        row(
            NUMBERS,
            &[Labwire, Relay, Mux],
            call(4, 16, 64, payload(Content::Numbers, 4_096)),
        ),
        row(
            MEBIBYTE,
            &[Labwire, Relay, Mux],
            call(1, 4, 4, payload(Content::Text, 1_048_576)),
        ),
        row(FAN_OUT, &[Labwire, Mux, Nats], Work::Notify(fan_out)),
        row(LARGE, &[Labwire, Relay, Mux, Python], large(false)),
        row(CUT_THROUGH, &[Labwire, Relay], large(true)),
        row(IDLE, &[Labwire, Mux, Nats], Work::Idle(2_000)),
        row(TLS_IDLE, &[LabwireTls, PythonTls], Work::Idle(2_000)),
        row(FEW_IDLE, &[Labwire], idle(4, 10)),
        // The default limit is 10,000 connections.
        row(MANY_IDLE, &[Labwire], idle(4, 10_000)).started_with(&["--connections", "12000"]),
        row(FEW_SERVICES, &[Labwire], idle(4, 0)),
        row(MANY_SERVICES, &[Labwire], idle(1_000, 0)),
        row(FEW_IN_FLIGHT, &[Labwire], call(4, 1, 64, small())),
        row(MANY_IN_FLIGHT, &[Labwire], call(4, 1, 10_000, small())),
        // Of the default budget, less than an even share is left for the last services.
        row(BESIDE, &[Labwire], Work::CallBeside(beside)).started_with(&["--budget-identities", "256MiB"]),
        row(START, &[LabwireTls, PythonTls], Work::Start),
    ]
}

impl Cell {
    /// Adds options for Labwire.
    fn started_with(self, more: &'static [&'static str]) -> Self {
        Self { more, ..self }
    }

    /// Starts a broker, runs the workload, and stops the broker.
    pub(super) fn measure(
        &self,
        kind: Kind,
        programs: &Programs,
        cores: Cores,
    ) -> anyhow::Result<Vec<(Figure, f64)>> {
        let core = if self.is_on_one_core {
            cores.generator
        } else {
            cores.broker
        };
        let home = Home::new()?;
        if matches!(self.work, Work::Start) {
            return measure_start(kind, programs, core, &home);
        }
        let more = if kind.is_labwire() { self.more } else { &[] };
        let broker = Broker::start(kind, programs, core, &home, more)?;
        let (target, process) = (broker.target.clone(), Some(broker.process()?));
        let figures = match &self.work {
            Work::Call(plan) => call::run(target, plan, process).map(of_calls),
            Work::CallBeside(plan) => Beside::start(target.address).and_then(|beside| {
                let figures = call::run(target, plan, process);
                beside.stop()?;
                // The broker's CPU time includes the work beside.
                Ok(of_calls(figures?).split_off(1))
            }),
            Work::Notify(plan) => notify::run(target, plan, process).map(|deliveries| {
                vec![
                    (Figure::Cpu, deliveries.cpu_microseconds.unwrap_or(f64::NAN)),
                    (Figure::Rate, deliveries.per_second),
                ]
            }),
            Work::Large(plan) => large::run(target, plan, process).map(|transfer| {
                vec![
                    (Figure::MebibytesPerSecond, transfer.mebibytes_per_second),
                    (
                        Figure::CpuPerMebibyte,
                        transfer.cpu_milliseconds.unwrap_or(f64::NAN),
                    ),
                    (Figure::PeakMebibytes, transfer.peak_mebibytes.unwrap_or(f64::NAN)),
                    (Figure::SmallP50, transfer.small_p50_milliseconds),
                    (Figure::SmallP99, transfer.small_p99_milliseconds),
                    (Figure::SmallLongest, transfer.small_max_milliseconds),
                ]
            }),
            Work::Idle(clients) => idle::run(target, *clients, process).map(|admissions| {
                vec![
                    (Figure::Rate, admissions.per_second),
                    (
                        Figure::KibibytesEach,
                        admissions.kibibytes_each.unwrap_or(f64::NAN),
                    ),
                ]
            }),
            Work::Start => Ok(Vec::new()),
        };
        let mut figures = figures.map_err(|error| error.context(format!("it says: {}", broker.words())))?;
        if kind.is_labwire() {
            let steps = broker.end_and_count()?;
            figures.push((Figure::LongestStep, steps.longest_milliseconds));
            figures.push((Figure::LongSteps, steps.long));
        }
        Ok(figures)
    }
}

fn of_calls(figures: Figures) -> Vec<(Figure, f64)> {
    vec![
        (Figure::Cpu, figures.cpu_microseconds.unwrap_or(f64::NAN)),
        (Figure::Rate, figures.per_second),
        (Figure::P50, figures.p50_microseconds),
        (Figure::P99, figures.p99_microseconds),
    ]
}

/// Starts a broker twice: the first start creates its keys, the second is measured. All
/// preparations of the generator come before the second start.
fn measure_start(
    kind: Kind,
    programs: &Programs,
    core: usize,
    home: &Home,
) -> anyhow::Result<Vec<(Figure, f64)>> {
    let first = Broker::start(kind, programs, core, home, &[])?;
    let tls = first.target.tls.clone();
    populate_with_two(Session::new(first.target.clone())?)?;
    first.end()?;
    let mut prepared = Prepared::alone(kind, programs, core, home)?;
    prepared.target.tls = tls;
    let mut session = Session::new(prepared.target.clone())?;
    let start = Instant::now();
    let mut broker = prepared.start()?;
    session.use_first(broker.first_connection()?);
    let session = populate_with_two(session)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    drop(session);
    thread::sleep(Duration::from_millis(500));
    let mut figures = vec![
        (Figure::StartUp, milliseconds),
        (
            Figure::RestMebibytes,
            broker.process()?.memory()? as f64 / 1_048_576.0,
        ),
    ];
    // The size of a script is not comparable.
    if kind.is_labwire() {
        figures.push((
            Figure::ProgramMebibytes,
            programs.size(kind)? as f64 / 1_048_576.0,
        ));
    }
    Ok(figures)
}

/// Connects a service, and then a client that links with it.
fn populate_with_two(mut session: Session) -> anyhow::Result<Session> {
    session.populate(0..1, 0..1, |_| 0)?;
    Ok(session)
}
