//! Brokers, started and stopped for a measurement.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::kind::Kind;
use super::options::CompareOptions;
use crate::dialect::Dialect;
use crate::process::{Process, spawn_on_core};
use crate::session::Target;
use crate::tls;

/// Timeout from the start of a broker to its first connection.
const START: Duration = Duration::from_mins(1);

/// Interval of the attempts to connect meanwhile.
const LOOK: Duration = Duration::from_micros(200);

/// Timeout for a broker to end after a request to end.
const END: Duration = Duration::from_secs(10);

/// What is measured.
/// MSL-Network with its default settings.
/// MSL-Network without its log of each request.
/// The paths of the programs.
#[derive(Debug)]
pub(super) struct Programs {
    labwire: PathBuf,
    /// The load generator itself.
    bench: PathBuf,
    msl_network: Option<PathBuf>,
    nats: Option<PathBuf>,
    mosquitto: Option<PathBuf>,
}

/// A program that was left out, with the reason.
type LeftOut = (String, String);

impl Programs {
    pub(super) fn find(labwire: PathBuf, options: &CompareOptions) -> anyhow::Result<(Self, Vec<LeftOut>)> {
        if !labwire.is_file() {
            bail!(
                "there is no {}; build it with `cargo build --release -p labwire`, or name another with --labwire",
                labwire.display()
            );
        }
        let mut left_out = Vec::new();
        let mut find = |program: &Path| {
            let found = on_path(program);
            if found.is_none() {
                let why = "it is not installed; name it with an option if it is elsewhere".to_owned();
                left_out.push((program.display().to_string(), why));
            }
            found
        };
        let programs = Self {
            labwire,
            bench: env::current_exe()?,
            msl_network: find(&options.msl_network),
            nats: find(&options.nats_server),
            mosquitto: find(&options.mosquitto),
        };
        Ok((programs, left_out))
    }

    fn of(&self, kind: Kind) -> Option<&Path> {
        match kind {
            Kind::Labwire | Kind::LabwireTls => Some(&self.labwire),
            Kind::Relay | Kind::Mux => Some(&self.bench),
            Kind::Nats => self.nats.as_deref(),
            Kind::Mosquitto => self.mosquitto.as_deref(),
            Kind::Python | Kind::Quiet | Kind::PythonTls => self.msl_network.as_deref(),
        }
    }

    pub(super) fn have(&self, kind: Kind) -> bool {
        self.of(kind).is_some()
    }

    /// Returns the size of the program in bytes.
    pub(super) fn size(&self, kind: Kind) -> anyhow::Result<u64> {
        Ok(fs::metadata(self.of(kind).context("it is not installed")?)?.len())
    }
}

/// Finds a program by its path, or by its name in the search path.
fn on_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let folders = env::var_os("PATH")?;
    let also = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut files = env::split_paths(&folders)
        .chain(also)
        .map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}

/// A broker's own folder: its home and its output.
#[derive(Debug)]
pub(super) struct Home {
    folder: TempDir,
}

impl Home {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("labwire-bench").context("cannot make a temporary folder")?;
        Ok(Self { folder })
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Returns the certificate that the broker created when it started.
    fn certificate(&self, kind: Kind) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(match kind {
            Kind::LabwireTls => ".labwire/certs",
            _ => ".msl/network/certs",
        });
        let wanted = || format!("{kind} has made no certificate in {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(wanted)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "crt") {
                return Ok(file);
            }
        }
        bail!(wanted())
    }
}

/// A running broker, which is killed on drop.
#[derive(Debug)]
pub(super) struct Broker<'a> {
    child: Child,
    pub(super) target: Target,
    kind: Kind,
    home: &'a Home,
}

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        // Fails if the broker has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that is ready to be started.
pub(super) struct Prepared<'a> {
    command: Command,
    /// The core to run on, unless the launcher selects it.
    core: Option<usize>,
    pub(super) target: Target,
    kind: Kind,
    home: &'a Home,
}

impl<'a> Prepared<'a> {
    /// Prepares a broker whose start is measured: without the launcher, which ends a broker
    /// together with this program.
    pub(super) fn alone(
        kind: Kind,
        programs: &Programs,
        core: usize,
        home: &'a Home,
    ) -> anyhow::Result<Self> {
        let command = Command::new(programs.of(kind).context("it is not installed")?);
        Self::new(command, Some(core), kind, home, &[])
    }

    fn launched(
        kind: Kind,
        programs: &Programs,
        core: usize,
        home: &'a Home,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let program = programs.of(kind).context("it is not installed")?;
        let mut command = Command::new(&programs.bench);
        command
            .args(["launch", "--core", &core.to_string(), "--"])
            .arg(program);
        Self::new(command, None, kind, home, more)
    }

    fn new(
        mut command: Command,
        core: Option<usize>,
        kind: Kind,
        home: &'a Home,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let [port, services_port] = [free_port()?, free_port()?];
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (address, services) = (local(port), local(services_port));
        let output = File::create(home.output())?;
        command.args(arguments(kind, address, services)).args(more);
        for (name, _) in env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("LABWIRE_") || name.starts_with("MSL_"))
            {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", home.folder.path())
            .current_dir(home.folder.path());
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let dialect = match kind {
            Kind::Relay => Dialect::Bare,
            Kind::Nats => Dialect::Nats,
            Kind::Mosquitto => Dialect::Mqtt,
            _ => Dialect::Lines,
        };
        let services = if kind == Kind::Relay { services } else { address };
        let target = Target {
            address,
            services,
            dialect,
            tls: None,
        };
        Ok(Self {
            command,
            core,
            target,
            kind,
            home,
        })
    }

    /// Starts it without waiting.
    pub(super) fn start(mut self) -> anyhow::Result<Broker<'a>> {
        let child = match self.core {
            Some(core) => spawn_on_core(&mut self.command, core),
            None => self.command.spawn(),
        };
        Ok(Broker {
            child: child.context("cannot start it")?,
            target: self.target,
            kind: self.kind,
            home: self.home,
        })
    }
}

impl<'a> Broker<'a> {
    /// Starts a broker on a core, and waits until it accepts connections.
    pub(super) fn start(
        kind: Kind,
        programs: &Programs,
        core: usize,
        home: &'a Home,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let mut broker = Prepared::launched(kind, programs, core, home, more)?.start()?;
        broker.await_start()?;
        if kind.has_tls() {
            broker.target.tls = Some(tls::trusting(&home.certificate(kind)?)?);
        }
        Ok(broker)
    }

    /// Returns the first connection that it accepts, as soon as it accepts one.
    pub(super) fn first_connection(&mut self) -> anyhow::Result<TcpStream> {
        let deadline = Instant::now() + START;
        loop {
            match TcpStream::connect(self.target.address) {
                Ok(stream) => return Ok(stream),
                Err(_) => self.expect_to_start(deadline)?,
            }
            // A sleep would be as long as a part of the measured time.
            thread::yield_now();
        }
    }

    /// Ends it gracefully, so that its next start has nothing to recover.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.ask_to_end()
    }

    /// Ends Labwire gracefully, and reads the counted steps of its routing thread.
    pub(super) fn end_and_count(mut self) -> anyhow::Result<Steps> {
        self.ask_to_end()?;
        let text = fs::read_to_string(self.home.output())?;
        Steps::read(&text).with_context(|| format!("it does not tell what it counted: {}", self.words()))
    }

    fn ask_to_end(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + END;
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn await_start(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        // A relay would take a connection of this check for a client.
        let is_there = |broker: &Self| match broker.kind {
            Kind::Relay => broker.words().contains("listening"),
            _ => TcpStream::connect(broker.target.address).is_ok(),
        };
        while !is_there(self) {
            self.expect_to_start(deadline)?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Fails if it has ended, or the deadline has passed.
    fn expect_to_start(&mut self, deadline: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended by itself ({status}): {}", self.words());
        }
        if Instant::now() > deadline {
            bail!(
                "it could not be connected to in {} s: {}",
                START.as_secs(),
                self.words()
            );
        }
        Ok(())
    }

    pub(super) fn process(&self) -> anyhow::Result<Process> {
        Process::new(self.child.id())
    }

    /// Returns the end of its output.
    pub(super) fn words(&self) -> String {
        let text = fs::read(self.home.output()).unwrap_or_default();
        let end = &text[text.len().saturating_sub(500)..];
        let mut words = String::from_utf8_lossy(end).trim().to_owned();
        if words.is_empty() {
            let _ = write!(words, "it said nothing");
        }
        words
    }
}

/// The steps of Labwire's routing thread, as it counted them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Steps {
    /// The number of steps that took longer than 5 ms.
    pub(super) long: f64,
    pub(super) longest_milliseconds: f64,
}

impl Steps {
    /// Reads them from the log, which ends with all counters that are not 0.
    fn read(log: &str) -> Option<Self> {
        let (_, counted) = log.rsplit_once("counted since the start: ")?;
        let number = |name: &str| -> Option<f64> {
            match counted.split_once(&format!("\"{name}\":")) {
                Some((_, rest)) => rest.split([',', '}']).next()?.parse().ok(),
                None => Some(0.0),
            }
        };
        Some(Self {
            long: number("long_steps")?,
            longest_milliseconds: number("longest_step_microseconds")? / 1e3,
        })
    }
}

/// The range of tried ports. The system uses other ports for outgoing connections, any of which
/// could be in use.
const PORTS: std::ops::Range<u16> = 12_000..28_000;

/// Returns a port that no program listens on, a different one each time.
fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Two concurrent comparisons begin at different ports.
        let number = std::process::id()
            .wrapping_mul(97)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(number % count)?;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
}

/// Returns the arguments that set where each broker listens; other options keep their defaults.
fn arguments(kind: Kind, address: SocketAddr, services: SocketAddr) -> Vec<String> {
    let port = address.port();
    let line = match kind {
        Kind::Labwire | Kind::Python => format!("start --disable-tls --port {port}"),
        Kind::LabwireTls | Kind::PythonTls => format!("start --port {port}"),
        Kind::Relay => format!("relay --listen {address} --listen-services {services}"),
        Kind::Mux => format!("mux --listen {address}"),
        Kind::Nats => format!("-a {} -p {port}", address.ip()),
        Kind::Mosquitto => format!("-p {port}"),
        Kind::Quiet => format!("start --disable-tls --port {port} --log-level WARNING"),
    };
    line.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_labwire_counted_of_its_steps_is_read_from_the_end_of_its_log() {
        let log = concat!(
            "2026-11-20 13:05:09.123 [INFO ] labwire - counted since the start: ",
            r#"{"long_steps":2,"longest_step_microseconds":7250,"uptime_seconds":3}"#,
            "\n2026-11-20 13:05:09.124 [INFO ] labwire - the Network Manager has stopped\n"
        );
        let steps = Steps {
            long: 2.0,
            longest_milliseconds: 7.25,
        };
        assert_eq!(Steps::read(log), Some(steps));
        let none = r#"counted since the start: {"longest_step_microseconds":250}"#;
        assert_eq!(Steps::read(none).map(|steps| steps.long), Some(0.0));
        assert_eq!(Steps::read("it was killed"), None);
    }
}
