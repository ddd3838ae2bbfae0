//! What the tests share: starting and stopping programs, and speaking to the manager over a bare socket.
//! No test belongs here.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) mod manager;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod requirements;
#[path = "../../client-sdk/tests/ssh/server.rs"]
#[allow(dead_code, reason = "the tests of SSH itself need more of it")]
pub(crate) mod ssh_server;
pub(crate) mod terminal;
pub(crate) mod wire;

/// How long a test waits for something that a healthy system does at once. It is this long because a dozen
/// Python interpreters may be starting on two slow cores in the meantime; no test ever waits it out.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// How often a condition is looked at that nothing announces, such as the end of a process.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A program of `tests/programs` or `examples`, not started yet. Of the environment of whoever runs the tests it sees
/// no options.
pub(crate) fn program(name: &str) -> Command {
    let beside = Path::new(env!("CARGO_BIN_EXE_labwire")).with_file_name("examples");
    let path = beside.join(name);
    if !path.exists() {
        requirements::give_up(&format!(
            "the program {name} is not built, run `cargo test --workspace` or `cargo build --workspace --examples` first"
        ));
    }
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LABWIRE_") {
            command.env_remove(name);
        }
    }
    command
}
