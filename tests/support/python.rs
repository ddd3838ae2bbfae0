//! The real Python package: the virtual environment it lives in, and the scripts and services that use it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, requirements};

/// How long one script may take: the longest one asks for 21 seconds of work, and others move hundreds of
/// megabytes, next to each other on two slow cores.
const SCRIPT_DEADLINE: std::time::Duration = std::time::Duration::from_mins(5);

/// What the package's manager says once peers can connect.
const RUNNING: &str = "Network Manager running on";

/// How often a port is chosen for the package's manager: each time somebody else may be quicker.
const PORTS_TRIED: usize = 10;

/// The path of a program in the virtual environment, which is made first if need be.
pub(crate) fn program(name: &str) -> PathBuf {
    requirements::python_environment().join("bin").join(name)
}

/// The package's manager with these arguments on the files in a folder, not started yet.
pub(crate) fn manager_command(home: &Path, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("msl-network"));
    command
        .args(["start", "--port", &port.to_string()])
        .args(arguments)
        .env("MSL_NETWORK_HOME", home)
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// Starts the package's manager with these arguments on the files in a folder; gives its port once it runs.
pub(crate) fn start_manager(home: &Path, arguments: &[&str]) -> (u16, Process) {
    for _ in 0..PORTS_TRIED {
        // It cannot be told to let the system choose, so the system chooses a moment before.
        let chosen = TcpListener::bind(("localhost", 0)).and_then(|listener| listener.local_addr());
        let port = chosen.expect("the system has a free port").port();
        let process = Process::spawn("msl-network", &mut manager_command(home, port, arguments));
        let is_running = process.wait_for("that it is running", |line| {
            let is_taken = line.to_ascii_lowercase().contains("address already in use");
            (is_taken || line.contains(RUNNING)).then_some(!is_taken)
        });
        if is_running {
            return (port, process);
        }
    }
    panic!("each of {PORTS_TRIED} free ports was taken by somebody else a moment later");
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
