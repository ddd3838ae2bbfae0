//! The resources that the broker's process has used.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A process, with the system's accounting of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    id: u32,
}

impl Process {
    /// Returns the process with that number.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn new(id: u32) -> anyhow::Result<Self> {
        let process = Self { id };
        process.cpu()?;
        Ok(process)
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.id))
            .with_context(|| format!("process {} is not there (any more)", self.id))
    }

    /// Returns the user and system time of all its threads since its start.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        let text = self.read("stat")?;
        // The second field is the program's name in brackets, which may contain blanks.
        let (_, fields) = text.rsplit_once(')').context("/proc/PID/stat has another form")?;
        let mut times = fields.split_whitespace().skip(11);
        let mut ticks = 0;
        for _ in 0..2 {
            ticks += times
                .next()
                .context("/proc/PID/stat is too short")?
                .parse::<u64>()?;
        }
        Ok(Duration::from_secs_f64(
            ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        ))
    }

    fn status(self, field: &str) -> anyhow::Result<u64> {
        let text = self.read("status")?;
        let Some(line) = text.lines().find_map(|line| line.strip_prefix(field)) else {
            bail!("/proc/PID/status has no {field}");
        };
        let number = line.trim_start_matches(':').split_whitespace().next();
        Ok(number.unwrap_or_default().parse::<u64>()? * 1_024)
    }

    /// Returns its current memory, in bytes.
    pub(crate) fn memory(self) -> anyhow::Result<u64> {
        self.status("VmRSS")
    }

    /// Returns its peak memory, in MiB.
    pub(crate) fn peak_mebibytes(self) -> anyhow::Result<f64> {
        Ok(self.status("VmHWM")? as f64 / 1_048_576.0)
    }
}

/// Measures the CPU time of a process from a point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    process: Option<Process>,
    before: Duration,
}

impl Meter {
    /// Starts to measure. Without a process there is nothing to measure.
    pub(crate) fn start(process: Option<Process>) -> anyhow::Result<Self> {
        let before = process.map(Process::cpu).transpose()?.unwrap_or_default();
        Ok(Self { process, before })
    }

    /// Returns the CPU seconds that were used since the start; `None` without a process.
    pub(crate) fn seconds(self) -> anyhow::Result<Option<f64>> {
        let now = self.process.map(Process::cpu).transpose()?;
        Ok(now.map(|now| now.saturating_sub(self.before).as_secs_f64()))
    }
}

/// Returns the cores that this process may use.
pub(crate) fn cores() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot find out which cores there are")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Restricts this thread, and what it starts from now on, to one core.
pub(crate) fn run_on_core(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// Starts a program that may run on one core only.
pub(crate) fn spawn_on_core(command: &mut Command, core: usize) -> io::Result<Child> {
    let own = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    set.set(core);
    // A new process inherits the cores of the thread that starts it.
    sched_setaffinity(None, &set)?;
    let child = command.spawn();
    sched_setaffinity(None, &own)?;
    child
}
