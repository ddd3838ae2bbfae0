//! Clients that are connected, identified, linked and idle.

use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::report::Admissions;
use crate::session::{Session, Target};

/// Time for the broker to come to rest before its memory is measured.
const REST: Duration = Duration::from_millis(300);

/// Connects so many clients.
///
/// # Errors
///
/// If one is not admitted.
pub(crate) fn run(target: Target, clients: usize, broker: Option<Process>) -> anyhow::Result<Admissions> {
    let mut session = Session::new(target)?;
    // The first connections include the broker's one-time costs.
    session.populate(0..1, 0..1, |_| 0)?;
    thread::sleep(REST);
    let before = broker.map(Process::memory).transpose()?;
    let start = Instant::now();
    session.populate(0..0, 1..=clients, |_| 0)?;
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(REST);
    let after = broker.map(Process::memory).transpose()?;
    session.hear_out()?;
    Ok(Admissions {
        per_second: clients as f64 / seconds,
        kibibytes_each: after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before) as f64 / 1_024.0 / clients as f64),
    })
}
