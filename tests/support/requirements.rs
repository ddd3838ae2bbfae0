//! The requirements of the tests besides Rust, checked once before the first manager starts. A
//! missing one ends the whole run: a silently skipped test would look like a passed one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns a file of this repository; the crates with tests are folders at its root.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Checks that every program that the tests start is installed; otherwise ends the test process
/// with code 1.
pub(crate) fn check() {
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let missing = run(Command::new("bash").arg(repository("tests/requirements")));
        match missing.as_deref().map(str::trim) {
            Ok("") => {}
            Ok(packages) => give_up(&format!(
                "the tests need what this computer lacks; these Debian packages have it: {}\n\
                 install them, or run the tests with `bash tests/run`, which does",
                packages.replace('\n', " ")
            )),
            Err(reason) => give_up(reason),
        }
    });
}

/// Returns the virtual environment with the real Python package, which is created first if
/// necessary.
pub(crate) fn python_environment() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        check();
        let mut script = Command::new("bash");
        script
            .arg(repository("tests/python/environment"))
            .arg(env!("CARGO_TARGET_TMPDIR"));
        match run(&mut script) {
            Ok(folder) => folder.trim_end().into(),
            Err(reason) => give_up(&format!(
                "cannot prepare the Python package for the tests: {reason}"
            )),
        }
    })
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

/// Prints why no test can run, then ends the test process with code 1.
///
/// The message goes to standard error directly: the output of `eprintln!` in a test is held back
/// until the test ends, and this one never does.
pub(crate) fn give_up(reason: &str) -> ! {
    let mut stderr = std::io::stderr();
    // If standard error is closed, too, the message is lost.
    let _ = writeln!(stderr, "\n{reason}");
    let _ = stderr.flush();
    std::process::exit(1);
}
