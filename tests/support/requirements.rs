//! What the tests need besides Rust. It is checked once, before the first manager starts, and what is missing
//! ends the whole run: a test that was skipped in silence would look like one that passed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A file of this repository; the crates that have tests are folders at its root.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Makes sure that every program the tests start is there; ends the test process with code 1 if not.
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

/// The virtual environment with the real Python package, which is made first if need be.
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

/// What a program prints, or why it failed.
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

/// Says why no test can run, then ends the test process with code 1.
///
/// The message goes to standard error itself: what `eprintln!` prints in a test is held back until the test
/// ends, and this one never does.
pub(crate) fn give_up(reason: &str) -> ! {
    let mut stderr = std::io::stderr();
    // Nobody is left to tell if standard error is gone, too.
    let _ = writeln!(stderr, "\n{reason}");
    let _ = stderr.flush();
    std::process::exit(1);
}
