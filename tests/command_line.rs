//! The command line: every example of the documentation's chapter, the short forms, the sources of
//! options and secrets, and the errors.
//!
//! The behaviour of a running manager is tested in `operation`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use super::support::manager::{Home, Manager};
use super::support::wire::RawPeer;

mod actions;
mod backups;
mod certificates;
mod check;
mod databases;
mod environment;
mod examples;
mod files;
mod options;
mod pipes;
mod secrets;
mod starting;

/// The result of a command.
#[derive(Debug)]
struct Ran {
    code: i32,
    output: String,
    error: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("labwire writes UTF-8");
        Self {
            code: output.status.code().expect("no signal ends a command"),
            output: text(output.stdout),
            error: text(output.stderr),
        }
    }
}

impl Ran {
    /// Expects success, and returns the output.
    fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.output
    }

    /// Expects that the command failed with this code, with these texts on standard error and
    /// nothing on standard output.
    fn failed(self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.output, "", "{self:?}");
        for text in texts {
            assert!(self.error.contains(text), "{text:?} is not said: {self:?}");
        }
    }
}

/// Returns the words of an example line, without `labwire`. Replaces the example paths with paths
/// in the home folder.
fn words(home: &Home, line: &str) -> Vec<String> {
    let line = line.replace("/path/to/my/", "/path/to/");
    let own = line.replace("/path/to", home.path("").to_str().unwrap().trim_end_matches('/'));
    let mut words = own.split_whitespace().map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("labwire"));
    words.collect()
}

fn command(home: &Home, line: &str) -> Command {
    let words = words(home, line);
    home.command(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs a line whose words are separated by spaces, with empty standard input.
fn run(home: &Home, line: &str) -> Ran {
    answering(home, line, "")
}

/// Runs a line with text on standard input.
fn answering(home: &Home, line: &str, input: &str) -> Ran {
    let mut child = command(home, line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The write fails if a command ends without reading its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// Runs a line at a pseudo-terminal and answers each prompt; the output is the screen.
fn at_terminal(home: &Home, line: &str, dialogue: &[(&str, &str)]) -> Ran {
    let typed = command(home, line);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/pseudo_terminal.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(json!(dialogue).to_string());
    python.arg(typed.get_program()).args(typed.get_args());
    python
        .current_dir(home.path(""))
        .env("LABWIRE_HOME", home.path(""));
    python.output().unwrap().into()
}

/// Starts a manager with a line that names no port.
fn start(home: Home, line: &str) -> Manager {
    let mut command = command(&home, line);
    Manager::start_command(home, command.env("LABWIRE_PORT", "0"))
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Whether OpenSSL can read a private key with this password.
fn opens(key: &Path, password: &str) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-noout", "-in"]).arg(key);
    openssl.args(["-passin", &format!("pass:{password}")]);
    openssl.output().unwrap().status.success()
}

/// Answers the manager's request for a credential.
fn answer(peer: &mut RawPeer, attribute: &str, credential: &str) {
    let request = peer.read_json();
    assert_eq!(request["attribute"], attribute, "{request}");
    peer.send_line(&json!({ "result": credential }).to_string());
}

/// Whether the manager asks for a password and accepts this one.
fn takes_password(manager: &Manager, password: &str) -> bool {
    let mut peer = RawPeer::connect(manager);
    answer(&mut peer, "password", password);
    peer.read_json()["attribute"] == "identity"
}

/// Whether the manager asks for a login and accepts this one.
fn takes_login(manager: &Manager, username: &str, password: &str) -> bool {
    let mut peer = RawPeer::connect(manager);
    answer(&mut peer, "username", username);
    answer(&mut peer, "password", password);
    peer.read_json()["attribute"] == "identity"
}
