//! Managers: the built `labwire`, and the Python manager, whose files and peers it has to work
//! with.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::process::{Process, Signal};
use super::python::{self, Connection};
use super::requirements;

const RUNNING: &str = "Network Manager running on ";
const CERTIFICATE: &str = "loaded certificate ";

/// The command that prints all entries of the record of a manager with default files.
pub(crate) const RECORDED: [&str; 6] = [
    "history",
    "--file",
    "manager.record.sqlite3",
    "--json",
    "--limit",
    "0",
];

/// The host name under which every test reaches its manager.
pub(crate) const HOST: &str = "localhost";

/// A folder for all files of one manager, which is removed on drop.
pub(crate) struct Home(TempDir);

impl Home {
    /// Creates an empty folder.
    pub(crate) fn new() -> Self {
        requirements::check();
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    /// Returns the path of a file in this folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Like [`Self::path`], as text for a command line.
    pub(crate) fn argument(&self, name: &str) -> String {
        self.path(name)
            .into_os_string()
            .into_string()
            .expect("temporary folders have printable names")
    }

    /// Runs `labwire` with this folder as its home, and returns the result.
    pub(crate) fn labwire(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the binary was built before its tests")
    }

    /// Returns a folder with the administrator `root` and these users. All have the password `x`.
    pub(crate) fn with_users(users: &[&str]) -> Self {
        let home = Self::new();
        let password = ["--compatible", "--password", "x"];
        home.prepare(&[&["user", "add", "root", "--admin"][..], &password].concat());
        for user in users {
            home.prepare(&[&["user", "add", user][..], &password].concat());
        }
        home
    }

    /// Returns a member of the recorded entries that `labwire history` shows with these options; `-` for an
    /// entry without it.
    pub(crate) fn recorded(&self, options: &[&str], member: &str) -> Vec<String> {
        let shown = self.labwire(&[&RECORDED, options].concat());
        assert!(shown.status.success(), "{shown:?}");
        let text = String::from_utf8(shown.stdout).unwrap();
        let entries = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        entries
            .map(|entry| entry[member].as_str().unwrap_or("-").to_owned())
            .collect()
    }

    /// Runs `labwire` with this folder as its home and expects success.
    pub(crate) fn prepare(&self, arguments: &[&str]) {
        succeeded("labwire", arguments, &self.labwire(arguments));
    }

    /// Runs the Python package's `msl-network` with this folder as its home and expects success.
    pub(crate) fn msl_network(&self, arguments: &[&str]) {
        let output = self
            .msl_network_command(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the virtual environment holds msl-network");
        succeeded("msl-network", arguments, &output);
    }

    /// Returns a `labwire` command with this folder as its home and its working folder. Removes
    /// Labwire's options from its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labwire"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LABWIRE_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("LABWIRE_HOME", self.0.path())
            .env_remove("MSL_NETWORK_HOME")
            // The variable sets the width of help pages.
            .env_remove("COLUMNS")
            .current_dir(self.0.path());
        command
    }

    fn msl_network_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(python::program("msl-network"));
        command
            .args(arguments)
            .env("MSL_NETWORK_HOME", self.0.path())
            .env("PYTHONUNBUFFERED", "1");
        command
    }
}

fn succeeded(program: &str, arguments: &[&str], output: &Output) {
    assert!(
        output.status.success(),
        "`{program} {}` ended with {}:\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// A running manager. Dropping it asks it to end; for `labwire` that has to succeed.
pub(crate) struct Manager {
    // Declared first: the process ends before its folder is removed.
    process: Process,
    home: Home,
    kind: Kind,
    port: u16,
    tls: bool,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Labwire,
    Reference,
}

impl Manager {
    /// Starts `labwire start --port 0` with these further arguments and a home of its own.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(Home::new(), arguments)
    }

    /// Starts `labwire start --port 0` with these further arguments on the files in `home`.
    pub(crate) fn start_in(home: Home, arguments: &[&str]) -> Self {
        let mut command = home.command(&["start", "--port", "0"]);
        command.args(arguments);
        Self::start_command(home, &mut command)
    }

    /// Starts a command that was made from `home`. The command has to choose a free port.
    pub(crate) fn start_command(home: Home, command: &mut Command) -> Self {
        let process = Process::spawn("labwire", command);
        Self::wait_until_running(process, home, Kind::Labwire)
    }

    /// Starts the Python package's manager with these arguments on the files in `home`.
    pub(crate) fn start_reference(home: Home, arguments: &[&str]) -> Self {
        let (_, process) = python::start_manager(home.0.path(), arguments);
        Self::wait_until_running(process, home, Kind::Reference)
    }

    /// Starts a command that runs the Python package's manager on the files in `home`.
    pub(crate) fn start_reference_command(home: Home, command: &mut Command) -> Self {
        let process = Process::spawn("msl-network", command);
        Self::wait_until_running(process, home, Kind::Reference)
    }

    /// Runs `labwire start --port 0` in a case where it must refuse to start.
    pub(crate) fn start_expecting_failure(home: &Home, arguments: &[&str]) -> Failure {
        let mut process = Process::spawn("labwire", home.command(&["start", "--port", "0"]).args(arguments));
        let status = process.wait();
        assert!(
            !status.success(),
            "labwire started with {arguments:?}, which it should have refused"
        );
        Failure {
            status,
            printed: process.everything_printed(),
        }
    }

    /// Like [`Self::start_command`], with a line on the command's standard input.
    pub(crate) fn start_command_typing(home: Home, command: &mut Command, line: &str) -> Self {
        let mut process = Process::spawn("labwire", command);
        process.type_line(line);
        Self::wait_until_running(process, home, Kind::Labwire)
    }

    fn wait_until_running(process: Process, home: Home, kind: Kind) -> Self {
        let (port, tls) = process.wait_for("that it is running", |line| {
            let (address, tls) = line.split_once(RUNNING)?.1.split_once(" (TLS ")?;
            Some((address.rsplit_once(':')?.1.parse().ok()?, tls == "ENABLED)"))
        });
        Self {
            process,
            home,
            kind,
            port,
            tls,
            ended: false,
        }
    }

    /// Ends it, which has to succeed, and returns its files.
    pub(crate) fn end(mut self) -> Home {
        self.stop();
        self.take_home()
    }

    /// Returns the files of a manager that has ended.
    pub(crate) fn take_home(mut self) -> Home {
        std::mem::replace(&mut self.home, Home::new())
    }

    fn stop(&mut self) {
        self.process.terminate();
        let status = self.wait_for_end();
        if self.kind == Kind::Labwire {
            assert!(status.success(), "labwire ended with {status} after SIGTERM");
        }
    }

    /// Returns its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path of its certificate, from its log.
    pub(crate) fn certificate(&self) -> String {
        self.process.wait_for("which certificate it loaded", |line| {
            line.split_once(CERTIFICATE)
                .map(|(_, path)| path.trim().to_owned())
        })
    }

    /// Returns the environment in which the examples, and other programs with the SDKs, find it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let tls = if self.tls {
            ("LABWIRE_CERT_FILE", self.certificate())
        } else {
            ("LABWIRE_DISABLE_TLS", "true".to_owned())
        };
        vec![("LABWIRE_MANAGER", format!("{HOST}:{}", self.port)), tls]
    }

    /// Returns the settings with which a Python peer connects: with TLS, it saves the certificate
    /// on first use.
    pub(crate) fn connection(&self) -> Connection {
        Connection::new(json!({
            "host": HOST,
            "port": self.port,
            "disable_tls": !self.tls,
            "auto_save": true,
            "assert_hostname": true,
            "timeout": super::DEADLINE.as_secs(),
        }))
    }

    /// Like [`Self::connection`], with the certificate given as a file.
    pub(crate) fn connection_with_certificate(&self) -> Connection {
        self.connection()
            .with("cert_file", self.certificate())
            .with("auto_save", false)
    }

    /// Returns its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the folder with its files.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until a log line contains `text`, and returns the line.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.process
            .wait_for(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// Waits until a service of that name is connected.
    pub(crate) fn wait_for_registered(&self, name: &str) {
        let start = format!(" {name}[");
        self.process
            .wait_for(&format!("that {name} is connected"), |line| {
                (line.contains(&start) && line.ends_with("] is a new Service connection")).then_some(())
            });
    }

    /// Waits for the end of the manager, which something else has requested.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let status = self.process.wait();
        self.ended = true;
        status
    }

    /// Returns everything that it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.process.everything_printed()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // A test that already fails must not panic again while it unwinds: that would abort the
        // run.
        if self.ended || std::thread::panicking() {
            return;
        }
        self.stop();
    }
}

/// The result of a `labwire start` that refused to start.
pub(crate) struct Failure {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// Its output on both streams.
    pub(crate) printed: String,
}
