//! The examples for bluesky and `QCoDeS` run with these frameworks themselves, over the unmodified Python
//! package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::manager::Manager;
use super::support::process::Process;
use super::support::python;
use super::support::requirements::{give_up, left_out};

/// Timeout for making the environment, from `PyPI`, while other tests run.
const ENVIRONMENT_DEADLINE: Duration = Duration::from_mins(20);

/// Timeout of one example: these frameworks take some seconds to load.
const EXAMPLE_DEADLINE: Duration = Duration::from_mins(3);

/// The exit code of `tests/python/frameworks` if Python is too old.
const TOO_OLD: i32 = 3;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Returns the virtual environment with the frameworks, which is created first if necessary.
fn environment() -> Option<PathBuf> {
    let mut command = Command::new("bash");
    command
        .arg(repository("tests/python/frameworks"))
        .arg(env!("CARGO_TARGET_TMPDIR"));
    let mut script = Process::spawn("tests/python/frameworks", &mut command);
    let status = script.wait_within(ENVIRONMENT_DEADLINE);
    if status.code() == Some(TOO_OLD) {
        left_out("bluesky and QCoDeS, which need Python 3.11 or newer");
        return None;
    }
    if !status.success() {
        give_up(&format!(
            "cannot prepare the frameworks: {}",
            script.everything_printed()
        ));
    }
    Some(script.output().trim_end().into())
}

/// Returns a command for a program of `examples` as a peer of the manager, with a home folder of its own.
fn example(interpreter: &Path, program: &str, manager: &Manager, home: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command
        .arg(repository("examples").join(program))
        .envs(manager.environment())
        .env("HOME", home)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs an example beside the service `Stage`, and returns what it prints.
fn run(program: &str) -> Option<String> {
    let environment = environment()?;
    let home = tempfile::tempdir().unwrap();
    let manager = Manager::start(&[]);
    let mut stage = example(
        &python::program("python"),
        "python/stage.py",
        &manager,
        home.path(),
    );
    let _stage = Process::spawn("stage.py", &mut stage);
    manager.wait_for_registered("Stage");
    let mut command = example(&environment.join("bin/python"), program, &manager, home.path());
    let mut process = Process::spawn(program, &mut command);
    let status = process.wait_within(EXAMPLE_DEADLINE);
    assert!(status.success(), "{program} ended with {status}");
    Some(process.output())
}

/// The intensity at each position, as both examples print it.
const SCAN: &str = "\
0.0 mm: 0.000
1.0 mm: 0.018
2.0 mm: 0.368
3.0 mm: 1.000
4.0 mm: 0.368
5.0 mm: 0.018
6.0 mm: 0.000
";

#[test]
fn a_plan_of_bluesky_scans_a_service() {
    if let Some(printed) = run("bluesky/scan.py") {
        let end = "moved to 3.0 mm\nValueError: 99 mm is not between 0 mm and 10 mm\n";
        assert_eq!(printed, format!("labwire://Stage/position\n{SCAN}{end}"));
    }
}

#[test]
fn qcodes_measures_with_a_service() {
    if let Some(printed) = run("qcodes/measure.py") {
        let begin = "Stage\nStarting experimental run with id: 1. \n";
        let end = "99 is invalid\nValueError: 99 mm is not between 0 mm and 10 mm\n";
        assert_eq!(printed, format!("{begin}{SCAN}{end}"));
    }
}
