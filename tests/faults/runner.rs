//! Runs the cases one after another and prints a line of figures for each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::requirements::give_up;

/// One case: its name, and a function that runs it and returns the figures.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> String,
}

/// Number of descriptors that the long form needs in this process, and in the manager's.
const DESCRIPTORS: u64 = 12_000;

/// Whether the case failed because of a time limit.
static MISSED_TIME: AtomicBool = AtomicBool::new(false);

static IS_LONG: OnceLock<bool> = OnceLock::new();

/// Whether the long form was requested.
pub(crate) fn is_long() -> bool {
    IS_LONG.get().copied().unwrap_or_default()
}

/// Fails the case if a time limit was exceeded. Other programs on the computer may be the cause, so
/// the case is repeated once: an error of the manager would occur again.
pub(crate) fn expect_in_time(is_in_time: bool, text: impl FnOnce() -> String) {
    if !is_in_time {
        MISSED_TIME.store(true, Ordering::Relaxed);
        panic!("{}", text());
    }
}

/// Returns the figure of the short form, or that of the long one.
pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// The options of the command line. Ignores options of the usual test runner that do not apply
/// here, so that `cargo test` can pass them to all tests.
#[derive(Default)]
struct Wanted {
    is_long: bool,
    lists: bool,
    is_exact: bool,
    filters: Vec<String>,
    skipped: Vec<String>,
}

impl Wanted {
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut wanted = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--long" => wanted.is_long = true,
                "--list" => wanted.lists = true,
                "--exact" => wanted.is_exact = true,
                "--skip" => wanted.skipped.extend(arguments.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                option if option.starts_with('-') => {}
                _ => wanted.filters.push(argument),
            }
        }
        wanted
    }

    fn includes(&self, name: &str) -> bool {
        let matches = |pattern: &String| {
            if self.is_exact {
                name == pattern
            } else {
                name.contains(pattern.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skipped.iter().any(matches)
    }
}

/// Runs the selected cases. The exit code tells whether all of them passed.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let wanted = Wanted::read(std::env::args().skip(1));
    let chosen: Vec<_> = cases.iter().filter(|case| wanted.includes(case.name)).collect();
    if wanted.lists {
        for case in chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    IS_LONG.get_or_init(|| wanted.is_long);
    allow_many_descriptors();
    let form = if wanted.is_long {
        "long form"
    } else {
        "short form; the long one: cargo test --release --test faults -- --long"
    };
    println!("\nrunning {} faults ({form})", chosen.len());
    let begun = Instant::now();
    let mut failed = Vec::new();
    for case in &chosen {
        let mut started = Instant::now();
        let mut result = catch_unwind(AssertUnwindSafe(case.run));
        if result.is_err() && MISSED_TIME.swap(false, Ordering::Relaxed) {
            println!("fault {} ... was not in time, and is repeated once", case.name);
            started = Instant::now();
            result = catch_unwind(AssertUnwindSafe(case.run));
            MISSED_TIME.store(false, Ordering::Relaxed);
        }
        let took = started.elapsed().as_secs_f64();
        if let Ok(figures) = result {
            println!("fault {} ... ok: {figures}; {took:.1} s", case.name);
        } else {
            println!("fault {} ... FAILED after {took:.1} s", case.name);
            failed.push(case.name);
        }
    }
    let state = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {state}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        chosen.len() - failed.len(),
        failed.len(),
        cases.len() - chosen.len(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        // The exit code of the usual test runner.
        ExitCode::from(101)
    }
}

/// Raises the limit of descriptors as far as the system allows; it must suffice for the long form.
fn allow_many_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, all);
    if is_long() && (raised.is_err() || maximum.is_some_and(|maximum| maximum < DESCRIPTORS)) {
        give_up(&format!(
            "the long form of the faults needs {DESCRIPTORS} descriptors; raise the hard limit first, \
             for example with: sudo prlimit --pid $$ --nofile={DESCRIPTORS}:{DESCRIPTORS}"
        ));
    }
}
