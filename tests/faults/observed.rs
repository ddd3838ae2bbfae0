//! A manager under a fault, with the checks of every case: the bystander, the registry afterwards,
//! no panic, and bounded memory.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bystander::{Bystander, judge};
use crate::generator::block_on;
use crate::hostile::{ADMINISTRATOR, PASSWORD, home_with_administrator};
use crate::outcomes::milliseconds;
use crate::peer::{Peer, Target};
use crate::runner::expect_in_time;
use crate::support::POLL_INTERVAL;
use crate::support::manager::{Home, Manager};

/// Time after which the registry, links, locks and descriptors must match the connected peers
/// again.
const SETTLED: Duration = Duration::from_secs(5);

/// Kernel ticks per second of processor time, on every computer that these tests run on.
const TICKS: u64 = 100;

/// Memory of an almost idle manager, in bytes, with a margin.
pub(crate) const IDLE_MEMORY: u64 = 64 * MIB;

/// A mebibyte.
pub(crate) const MIB: u64 = 1024 * 1024;

/// Size of the manager's reads of a long line, in bytes.
const READ: usize = 256 * 1024;

/// If the system takes longer than this to provide memory for one read, a step may be too long
/// because of the system alone.
const SLOW_MEMORY: Duration = Duration::from_millis(2);

/// A manager under a fault.
pub(crate) struct Subject {
    // Dropped in the order of declaration: peers first.
    bystander: Bystander,
    administrator: Peer,
    before: Census,
    pub(crate) target: Target,
    pub(crate) manager: Manager,
    control: Manager,
}

/// The connected peers and the descriptors, according to an administrator and the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    clients: u64,
    services: u64,
    in_flight: u64,
    links: Value,
    locks: Value,
    sockets: usize,
    other_descriptors: usize,
}

impl Subject {
    /// Starts a manager with these options, its administrator and its bystanders.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_in(home_with_administrator(), options)
    }

    /// Like [`Self::start`], with existing files.
    pub(crate) fn start_in(home: Home, options: &[&str]) -> Self {
        let mut command = home.command(&["start", "--port", "0"]);
        command.args(options);
        Self::start_command(home, &mut command, options)
    }

    /// Like [`Self::start`], with a command that was made from `home`.
    pub(crate) fn start_command(home: Home, command: &mut Command, options: &[&str]) -> Self {
        let control = Manager::start(&["--disable-tls"]);
        let manager = Manager::start_command(home, command);
        let target = Target::new(&manager, options.contains(&"--auth-login"));
        let bystander = Bystander::connect(&target, &control);
        let mut administrator = block_on(administrator(&target));
        let before = census(&manager, &mut administrator);
        Self {
            bystander: bystander.begin(),
            administrator,
            before,
            target,
            manager,
            control,
        }
    }

    /// Waits until the bystander has sent enough requests to judge, for a manager that is about to
    /// end.
    pub(crate) fn let_bystander_work(&self) {
        self.bystander.wait_until_enough();
    }

    /// Returns the result of an administrator's request without arguments.
    pub(crate) fn ask(&mut self, attribute: &str) -> Value {
        ask(&mut self.administrator, attribute)
    }

    /// Returns one of the manager's statistics.
    pub(crate) fn statistic(&mut self, name: &str) -> u64 {
        self.ask("stats")[name].as_u64().expect("statistics are numbers")
    }

    /// Waits until one of the manager's statistics is as wanted, and returns how long that took.
    pub(crate) fn wait_for_statistic(&mut self, name: &str, wanted: impl Fn(u64) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let value = self.statistic(name);
            if wanted(value) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < crate::support::DEADLINE, "{name} stays {value}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the process, as the operating system sees it.
    pub(crate) fn process(&self) -> Observed {
        Observed::new(&self.manager)
    }

    /// Waits until only the initial peers are connected, and returns how long that took.
    pub(crate) fn settle(&mut self, limit: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let now = census(&self.manager, &mut self.administrator);
            let now = Census {
                // The bystander has a request in flight at almost any time.
                in_flight: self.before.in_flight,
                // At the first count the manager may have had a file open.
                other_descriptors: now.other_descriptors.max(self.before.other_descriptors),
                ..now
            };
            if now == self.before {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < limit,
                "after {limit:?} there are still\n{now:?}, and there should be\n{:?}",
                self.before
            );
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Checks everything that must hold after a fault, and returns the line of figures.
    /// `most_memory` is the allowed peak memory of the manager, in bytes.
    pub(crate) fn finish(mut self, figures: &str, most_memory: u64) -> String {
        let [seen, control] = self.bystander.stop();
        let bystander = judge(&seen, &control, true);
        let settled = self.settle(SETTLED).as_secs_f64();
        let in_flight = self.statistic("in_flight");
        assert_eq!(in_flight, 0, "requests are still under way");
        let steps = self.expect_short_steps();
        let memory = memory(&self.process(), most_memory);
        expect_no_panic(&self.manager);
        format!("{figures}; settled after {settled:.1} s; {steps}; {memory}; {bystander}")
    }

    /// Expects that no step of the routing thread took longer than 5 ms. Formats the longest.
    fn expect_short_steps(&mut self) -> String {
        let statistics = self.ask("stats");
        let number = |name: &str| statistics[name].as_u64().expect("statistics are numbers");
        let (too_long, longest) = (number("long_steps"), number("longest_step_microseconds"));
        let text = format!("longest step {}", milliseconds(Duration::from_micros(longest)));
        if too_long == 0 {
            return text;
        }
        let told = |manager: &Manager| -> Vec<String> {
            let log = manager.log();
            let lines = log
                .lines()
                .filter(|line| line.contains("kept all other peers waiting"));
            lines.map(str::to_owned).collect()
        };
        let paged = slowest_memory();
        expect_in_time(paged > SLOW_MEMORY || !told(&self.control).is_empty(), || {
            format!(
                "{too_long} steps of the routing thread took too long, {text}; the system took {paged:?} for {READ} bytes \
                 of memory: {:?}",
                told(&self.manager)
            )
        });
        format!(
            "{text}, {too_long} too long MACHINE TOO SLOW: so were the idle manager's, or the system took {} for {READ} bytes \
             of memory",
            milliseconds(paged)
        )
    }

    /// Like [`Self::finish`], for a manager that has ended; `memory` is the earlier result of
    /// [`memory`].
    pub(crate) fn finish_ended(mut self, figures: &str, memory: &str) -> String {
        let [seen, control] = self.bystander.stop();
        let bystander = judge(&seen, &control, false);
        expect_no_panic(&self.manager);
        format!("{figures}; {memory}; {bystander}")
    }
}

/// Returns the longest time in which the system provided memory for one read. Repeats it so often
/// that the processor's caches do not help.
fn slowest_memory() -> Duration {
    const READS: usize = 256;
    // The system allocates each page at the first write.
    let mut memory = vec![0_u8; READS * READ];
    let pieces = memory.chunks_mut(READ).map(|piece| {
        let begun = Instant::now();
        for page in piece.chunks_mut(4_096) {
            page[0] = 1;
        }
        std::hint::black_box(piece);
        begun.elapsed()
    });
    pieces.max().unwrap_or_default()
}

/// Formats the manager's peak memory, and checks its bound.
pub(crate) fn memory(process: &Observed, most: u64) -> String {
    let peak = process.memory("VmHWM");
    assert!(peak <= most, "the manager took {peak} bytes, and may take {most}");
    format!("memory {} of {} MiB", peak / MIB, most / MIB)
}

/// Expects that the manager has not panicked.
pub(crate) fn expect_no_panic(manager: &Manager) {
    let log = manager.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Connects as the administrator, whether or not the manager requires a login.
pub(crate) async fn administrator(target: &Target) -> Peer {
    let mut peer = Peer::client(target, "administrator")
        .await
        .expect("the manager serves");
    if !target.has_login() {
        let port = crate::peer::request("Manager", "port", &json!([]), "port");
        peer.send(&port).await.expect("the manager serves");
        peer.log_in(ADMINISTRATOR, PASSWORD)
            .await
            .expect("the manager asks");
        let told = peer.frame().await.expect("the manager answers");
        assert_eq!(told["result"], target.address.port(), "{told}");
    }
    peer
}

fn ask(administrator: &mut Peer, attribute: &str) -> Value {
    let asked = administrator.ask_manager(attribute, json!([]));
    let mut frame = block_on(asked).expect("the manager answers its administrator");
    assert_eq!(frame["error"], false, "{frame}");
    frame["result"].take()
}

fn census(manager: &Manager, administrator: &mut Peer) -> Census {
    let statistics = ask(administrator, "stats");
    let number = |name: &str| statistics[name].as_u64().expect("statistics are numbers");
    let process = Observed::new(manager);
    let (sockets, other_descriptors) = process.descriptors();
    Census {
        clients: number("clients"),
        services: number("services"),
        in_flight: 0,
        links: ask(administrator, "service_links"),
        locks: ask(administrator, "service_locks"),
        sockets,
        other_descriptors,
    }
}

/// A process, as the operating system sees it.
pub(crate) struct Observed {
    folder: String,
}

impl Observed {
    pub(crate) fn new(manager: &Manager) -> Self {
        Self {
            folder: format!("/proc/{}", manager.id()),
        }
    }

    /// Returns the number of open sockets, and of other descriptors. The journals of the database
    /// are left out, since they are opened on demand.
    pub(crate) fn descriptors(&self) -> (usize, usize) {
        let entries = fs::read_dir(format!("{}/fd", self.folder)).expect("the manager runs");
        let files = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let names = files.map(|file| file.display().to_string());
        let (sockets, others): (Vec<_>, Vec<_>) = names
            .filter(|name| !name.contains(".sqlite3"))
            .partition(|name| name.starts_with("socket:"));
        (sockets.len(), others.len())
    }

    /// Returns one of the figures about memory, in bytes.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("{}/status", self.folder)).expect("the manager runs");
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes = value.expect("Linux says so").trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().expect("a number") * 1024
    }

    /// Returns the processor time that it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("{}/stat", self.folder)).expect("the manager runs");
        // The program's name, in parentheses, may contain any characters.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || -> u64 { fields.next().expect("Linux says so").parse().expect("a number") };
        let ticks = next() + next();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }
}
