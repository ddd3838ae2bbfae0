//! A laboratory with an authority, and peers with certificates.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::PASSWORD;
use crate::support::manager::{HOST, Home, Manager};
use crate::support::process::Process;

/// Returns a home folder with the users `root` and `ada`, an authority (`ca.crt`, `ca.key`) and an empty
/// list of revoked certificates (`ca.crl`).
pub(super) fn home() -> Home {
    let home = Home::new();
    for (user, more) in [("root", &["--admin"][..]), ("ada", &[])] {
        let add = ["user", "add", user, "--compatible", "--password", PASSWORD];
        home.prepare(&[&add[..], more].concat());
    }
    home.prepare(&["certgen", "--ca", "ca.crt"]);
    home.prepare(&["certgen", "--crl", "ca.crl", "--issuer", "ca.crt"]);
    home
}

/// Issues a certificate to a user (`ada.crt`, `ada.key`), and returns its serial number.
pub(super) fn issue(home: &Home, user: &str) -> String {
    let issued = home.labwire(&["certgen", "--client", user, "--issuer", "ca.crt"]);
    assert!(issued.status.success(), "{issued:?}");
    let text = String::from_utf8(issued.stdout).unwrap();
    let serial = text.lines().find_map(|line| line.strip_prefix("Serial number: "));
    serial
        .unwrap_or_else(|| panic!("no serial number in {text}"))
        .to_owned()
}

/// The options with which a manager asks for certificates.
pub(super) const ASKING: [&str; 4] = ["--client-ca", "ca.crt", "--client-crl", "ca.crl"];

/// Starts a manager that asks for certificates.
pub(super) fn start(home: Home, mode: &[&str]) -> Manager {
    Manager::start_in(home, &[&ASKING[..], mode].concat())
}

/// Runs a command of a client without a certificate.
pub(super) fn labwire(manager: &Manager, arguments: &[&str]) -> Output {
    command(manager, arguments).output().unwrap()
}

/// Runs a command of a client with the certificate of a user, in this file and `NAME.key`.
pub(super) fn labwire_as(manager: &Manager, name: &str, arguments: &[&str]) -> Output {
    let files = [format!("{name}.crt"), format!("{name}.key")];
    let options = ["--client-cert", &files[0], "--client-key", &files[1]];
    let mut command = command(manager, arguments);
    command.args(options).output().unwrap()
}

fn command(manager: &Manager, arguments: &[&str]) -> Command {
    let mut command = manager.home().command(arguments);
    command
        .envs(manager.environment())
        .stdin(std::process::Stdio::null());
    command
}

/// The real `openssl s_client`, which is killed on drop.
pub(super) struct Peer {
    process: Process,
    lines_read: usize,
}

impl Peer {
    /// Connects with the certificate of a user.
    pub(super) fn with_certificate(manager: &Manager, user: &str) -> Self {
        let path = |ending: &str| manager.home().argument(&format!("{user}.{ending}"));
        Self::with_options(manager, &["-cert", &path("crt"), "-key", &path("key")])
    }

    pub(super) fn without_certificate(manager: &Manager) -> Self {
        Self::with_options(manager, &[])
    }

    /// Connects with these further options of `openssl s_client`.
    pub(super) fn with_options(manager: &Manager, options: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        let address = format!("{HOST}:{}", manager.port());
        command
            .args(["s_client", "-quiet", "-connect", &address])
            .args(options)
            .current_dir(manager.home().path(""));
        Self {
            process: Process::spawn("openssl s_client", &mut command),
            lines_read: 0,
        }
    }

    /// Answers the request for the identity.
    pub(super) fn identify(&mut self, identity: &Value) {
        let asked = self.frame();
        assert_eq!(asked["attribute"], "identity", "{asked}");
        self.send(&json!({ "result": identity }));
    }

    /// Introduces itself as a client, and waits until the manager knows it.
    pub(super) fn client(mut self) -> Self {
        self.identify(&json!({ "type": "client", "name": "script" }));
        let identity = self.ask(&to_manager("identity"));
        assert_eq!(identity["error"], false, "{identity}");
        self
    }

    pub(super) fn send(&mut self, frame: &Value) {
        self.process.type_line(&frame.to_string());
    }

    /// Returns the next frame.
    pub(super) fn frame(&mut self) -> Value {
        let (lines_read, frame) = self
            .process
            .wait_for_line_after(self.lines_read, "a frame", |line| {
                serde_json::from_str(line).ok().filter(Value::is_object)
            });
        self.lines_read = lines_read;
        frame
    }

    pub(super) fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.frame()
    }

    /// Waits until the manager has closed the connection: its own side stays open.
    pub(super) fn wait_for_end(mut self) {
        self.process.wait();
    }
}

/// Returns a request for the manager without arguments.
pub(super) fn to_manager(attribute: &str) -> Value {
    crate::support::wire::request("Manager", attribute)
}
