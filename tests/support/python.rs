//! The real Python package: the virtual environment it lives in, and the scripts and services that use it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, requirements};

/// The release that the laboratories run, and that the wire stays compatible with.
const PACKAGE: &str = "msl-network==1.0.0";

/// How long one script may take: the longest one asks for 21 seconds of work, and others move hundreds of
/// megabytes, next to each other on two slow cores.
const SCRIPT_DEADLINE: std::time::Duration = std::time::Duration::from_mins(5);

/// The path of a program in the virtual environment, which is made first if need be.
pub(crate) fn program(name: &str) -> PathBuf {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    ENVIRONMENT
        .get_or_init(|| {
            requirements::check();
            prepare_environment().unwrap_or_else(|reason| {
                requirements::give_up(&format!("cannot prepare {PACKAGE} for the tests: {reason}"))
            })
        })
        .join("bin")
        .join(name)
}

/// Makes the virtual environment, or finds the one that an earlier run has made.
///
/// Its stamp is written last, so a half-made one is made anew; the lock keeps test processes that run at the
/// same time from making it twice.
fn prepare_environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let explain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let lock = File::create(folder.with_extension("lock")).map_err(explain)?;
    lock.lock().map_err(explain)?;

    let stamp_file = folder.join("stamp");
    let python = requirements::python_version().ok_or("python3 is gone")?;
    let stamp = format!("{PACKAGE} on Python {python}");
    if fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(explain)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PACKAGE,
    ]))?;
    fs::write(stamp_file, stamp).map_err(explain)?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!(
        "{command:?} ended with {}\n{stdout}{stderr}",
        output.status
    ))
}

/// The keyword arguments with which a Python peer connects to a manager.
#[derive(Clone)]
pub(crate) struct Connection(Map<String, Value>);

impl Connection {
    pub(crate) fn new(arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else {
            panic!("keyword arguments have names")
        };
        Self(arguments)
    }

    /// The same connection with one keyword argument added or replaced.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

/// Runs a script of `tests/python`, with a home of its own, and returns what it printed on standard output.
///
/// A script that fails, or does not end, fails the test.
pub(crate) fn run_script(name: &str, connection: &Connection, further: &Value) -> String {
    let (_home, mut process) = start(name, name, connection, further);
    let status = process.wait_within(SCRIPT_DEADLINE + DEADLINE);
    assert!(status.success(), "{name} ended with {status}");
    process.output()
}

/// A Python service in a process of its own, which ends with this value.
pub(crate) struct Service {
    // Declared first: the process is gone before its folder is.
    process: Process,
    _home: TempDir,
}

impl Service {
    /// Starts a service that `serve.py` knows. It is not connected yet when this returns: scripts wait until
    /// it is.
    pub(crate) fn start(class: &str, connection: &Connection) -> Self {
        Self::start_with(class, connection, &json!({}))
    }

    /// As [`Self::start`], with keyword arguments for the constructor of the service.
    pub(crate) fn start_with(class: &str, connection: &Connection, construction: &Value) -> Self {
        let further = json!({ "class": class, "construction": construction });
        let (home, process) = start(&format!("service {class}"), "serve.py", connection, &further);
        Self { process, _home: home }
    }

    /// Waits until the service prints a line that holds `text`.
    pub(crate) fn wait_for_line(&self, text: &str) {
        self.process
            .wait_for(text, |line| line.contains(text).then_some(()));
    }

    /// Waits for the service's own end, which somebody has asked for, and expects that all was well.
    pub(crate) fn wait_for_end(&mut self) {
        let status = self.process.wait();
        assert!(status.success(), "the service ended with {status}");
    }
}

/// Starts a script of `tests/python`, in a home of its own that goes with the folder.
pub(crate) fn start(
    name: &str,
    script: &str,
    connection: &Connection,
    further: &Value,
) -> (TempDir, Process) {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let mut parameters = Map::new();
    parameters.insert("connection".to_owned(), Value::Object(connection.0.clone()));
    parameters.insert("deadline".to_owned(), SCRIPT_DEADLINE.as_secs().into());
    if let Value::Object(further) = further {
        parameters.extend(further.clone());
    }
    let mut command = Command::new(program("python"));
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../tests/python")
                .join(script),
        )
        .arg(Value::Object(parameters).to_string())
        .env("MSL_NETWORK_HOME", home.path())
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let process = Process::spawn(name, &mut command);
    (home, process)
}
