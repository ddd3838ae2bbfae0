//! The rules that Labwire must meet.

use super::cell::{self, Figure};
use super::kind::Kind;

/// The figure that a figure of Labwire is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Against {
    /// The same figure of another broker, in the same cell.
    Peer(Kind),
    /// The same figure of Labwire in another cell.
    Cell(&'static str),
    /// None: the bound applies to the figure itself.
    Nothing,
}

/// The bound of the ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(super) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
        }
    }
}

/// A bound for a figure of Labwire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) cell: &'static str,
    pub(super) figure: Figure,
    pub(super) against: Against,
    pub(super) bound: Bound,
}

/// Returns all rules.
pub(super) fn all() -> Vec<Rule> {
    use Against::{Cell, Nothing, Peer};
    use Bound::{AtLeast, AtMost};
    use Kind::{Labwire, Mux, Nats, Python, PythonTls, Quiet, Relay};
    let rules = [
        (cell::ONE, Figure::Cpu, Peer(Mux), AtMost(1.25)),
        (cell::ONE, Figure::P50, Peer(Mux), AtMost(1.25)),
        (cell::SIXTEEN, Figure::Cpu, Peer(Mux), AtMost(1.3)),
        (cell::MANY, Figure::Cpu, Peer(Mux), AtMost(2.0)),
        (cell::MANY, Figure::Cpu, Peer(Nats), AtMost(1.0 / 2.5)),
        (cell::MANY, Figure::Cpu, Peer(Python), AtMost(1.0 / 70.0)),
        (cell::MANY, Figure::Cpu, Peer(Quiet), AtMost(1.0 / 28.0)),
        (cell::MANY, Figure::Rate, Peer(Nats), AtLeast(2.0)),
        (cell::MANY, Figure::Rate, Peer(Python), AtLeast(60.0)),
        (cell::TEXT, Figure::Cpu, Peer(Mux), AtMost(1.5)),
        (cell::NUMBERS, Figure::Cpu, Peer(Mux), AtMost(1.5)),
        (cell::MEBIBYTE, Figure::Cpu, Peer(Relay), AtMost(1.25)),
        (cell::FAN_OUT, Figure::Cpu, Peer(Mux), AtMost(1.5)),
        (cell::FAN_OUT, Figure::Cpu, Peer(Nats), AtMost(1.0)),
        (cell::LARGE, Figure::MebibytesPerSecond, Peer(Relay), AtLeast(0.6)),
        (
            cell::LARGE,
            Figure::MebibytesPerSecond,
            Peer(Python),
            AtLeast(6.0),
        ),
        (cell::LARGE, Figure::SmallP99, Peer(Relay), AtMost(2.0)),
        (cell::LARGE, Figure::SmallP99, Peer(Python), AtMost(1.0 / 60.0)),
        (
            cell::CUT_THROUGH,
            Figure::MebibytesPerSecond,
            Peer(Relay),
            AtLeast(0.6),
        ),
        (cell::CUT_THROUGH, Figure::SmallP99, Peer(Relay), AtMost(2.0)),
        (cell::IDLE, Figure::Rate, Peer(Nats), AtLeast(1.0)),
        (cell::IDLE, Figure::KibibytesEach, Peer(Nats), AtMost(0.5)),
        (cell::TLS_MANY, Figure::Cpu, Cell(cell::MANY), AtMost(2.0)),
        (cell::TLS_MANY, Figure::Cpu, Peer(PythonTls), AtMost(1.0 / 40.0)),
        (
            cell::TLS_IDLE,
            Figure::KibibytesEach,
            Peer(PythonTls),
            AtMost(1.0 / 6.0),
        ),
        (cell::MANY_IDLE, Figure::Cpu, Cell(cell::FEW_IDLE), AtMost(1.2)),
        (
            cell::MANY_SERVICES,
            Figure::Cpu,
            Cell(cell::FEW_SERVICES),
            AtMost(1.2),
        ),
        (
            cell::MANY_IN_FLIGHT,
            Figure::Cpu,
            Cell(cell::FEW_IN_FLIGHT),
            AtMost(1.2),
        ),
        (cell::ONE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::MANY, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::MEBIBYTE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::FAN_OUT, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::LARGE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::IDLE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::MANY_IDLE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::BESIDE, Figure::LongSteps, Nothing, AtMost(0.0)),
        (cell::START, Figure::StartUp, Peer(PythonTls), AtMost(1.0 / 20.0)),
        (cell::START, Figure::ProgramMebibytes, Nothing, AtMost(15.0)),
        (cell::START, Figure::RestMebibytes, Nothing, AtMost(10.0)),
    ];
    debug_assert!(rules.iter().all(|rule| rule.2 != Peer(Labwire)));
    let rule = |(cell, figure, against, bound)| Rule {
        cell,
        figure,
        against,
        bound,
    };
    rules.into_iter().map(rule).collect()
}
