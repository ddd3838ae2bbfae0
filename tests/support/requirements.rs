//! The requirements of the tests besides Rust, checked once before the first manager starts. Every
//! test that needs a missing one fails: a silently skipped test would look like a passed one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns a file of this repository; the crates with tests are folders at its root.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Checks that every program that the tests start is installed; otherwise the test fails.
pub(crate) fn check() {
    static CHECKED: OnceLock<Result<(), String>> = OnceLock::new();
    let checked = CHECKED.get_or_init(|| {
        let missing = run(Command::new("bash").arg(repository("tests/requirements")))?;
        match missing.trim() {
            "" => Ok(()),
            packages => Err(format!(
                "the tests need what this computer lacks; these Debian packages have it: {}\n\
                 install them, or run the tests with `bash tests/run`, which does",
                packages.replace('\n', " ")
            )),
        }
    });
    if let Err(reason) = checked {
        give_up(reason);
    }
}

/// Returns the virtual environment with the real Python package, which is created first if
/// necessary.
pub(crate) fn python_environment() -> &'static Path {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    check();
    let folder = FOLDER.get_or_init(|| {
        let mut script = Command::new("bash");
        script
            .arg(repository("tests/python/environment"))
            .arg(env!("CARGO_TARGET_TMPDIR"));
        match run(&mut script) {
            Ok(folder) => Ok(folder.trim_end().into()),
            Err(reason) => Err(format!(
                "cannot prepare the Python package for the tests: {reason}"
            )),
        }
    });
    match folder {
        Ok(folder) => folder,
        Err(reason) => give_up(reason),
    }
}

/// Returns the output of a program, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if output.status.success() {
        return Ok(stdout);
    }
    Err(format!("{command:?} ended with {}\n{stderr}", output.status))
}

/// Records that a test, or a part of one, cannot run on this computer. `tests/run` prints the reasons at the end.
pub(crate) fn left_out(reason: &str) {
    println!("left out: {reason}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("left-out");
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(format!("{reason}\n").as_bytes()));
    written.expect("the folder that cargo gives to tests can be written");
}

/// Fails the test, with the reason why it cannot run. What the test has started ends with it.
pub(crate) fn give_up(reason: &str) -> ! {
    panic!("{reason}");
}
