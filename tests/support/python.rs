//! The real Python package: its virtual environment, and the scripts and services that use it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, requirements};

/// Timeout of one script: the longest one needs 21 seconds of work, and others move hundreds of
/// megabytes, at the same time on two slow cores.
const SCRIPT_DEADLINE: std::time::Duration = std::time::Duration::from_mins(5);

/// The log line of the package's manager when it accepts connections.
const RUNNING: &str = "Network Manager running on";

/// Number of attempts to choose a port for the package's manager: another program may take the
/// chosen port first.
const PORTS_TRIED: usize = 10;

/// Returns the path of a program in the virtual environment, which is created first if necessary.
pub(crate) fn program(name: &str) -> PathBuf {
    requirements::python_environment().join("bin").join(name)
}

/// Returns a command for the package's manager with these arguments on the files in a folder.
pub(crate) fn manager_command(home: &Path, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("msl-network"));
    command
        .args(["start", "--port", &port.to_string()])
        .args(arguments)
        .env("MSL_NETWORK_HOME", home)
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// Starts the package's manager with these arguments on the files in a folder. Returns its port
/// once it runs.
pub(crate) fn start_manager(home: &Path, arguments: &[&str]) -> (u16, Process) {
    for _ in 0..PORTS_TRIED {
        // The manager has no option for a free port, so the system chooses one a moment before.
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

    /// Returns the same connection with one keyword argument added or replaced.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

/// Runs a script of `tests/python`, with a home folder of its own, and returns its standard output.
///
/// A script that fails, or does not end, fails the test.
pub(crate) fn run_script(name: &str, connection: &Connection, further: &Value) -> String {
    let (_home, mut process) = start(name, name, connection, further);
    let status = process.wait_within(SCRIPT_DEADLINE + DEADLINE);
    assert!(status.success(), "{name} ended with {status}");
    process.output()
}

/// A Python service in a process of its own, which is killed on drop.
pub(crate) struct Service {
    // Declared first: the process ends before its folder is removed.
    process: Process,
    _home: TempDir,
}

impl Service {
    /// Starts a service from `serve.py`. It may not be connected yet when this returns: the scripts
    /// wait until it is.
    pub(crate) fn start(class: &str, connection: &Connection) -> Self {
        Self::start_with(class, connection, &json!({}))
    }

    /// Like [`Self::start`], with keyword arguments for the constructor of the service.
    pub(crate) fn start_with(class: &str, connection: &Connection, construction: &Value) -> Self {
        let further = json!({ "class": class, "construction": construction });
        let (home, process) = start(&format!("service {class}"), "serve.py", connection, &further);
        Self { process, _home: home }
    }

    /// Waits until the service prints a line that contains `text`.
    pub(crate) fn wait_for_line(&self, text: &str) {
        self.process
            .wait_for(text, |line| line.contains(text).then_some(()));
    }

    /// Waits for the end of the service, which something else has requested, and expects success.
    pub(crate) fn wait_for_end(&mut self) {
        let status = self.process.wait();
        assert!(status.success(), "the service ended with {status}");
    }
}

/// Starts a script of `tests/python`, with a home folder that is removed with the returned folder.
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
