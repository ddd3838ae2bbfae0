//! What the tests share: starting and stopping programs, and speaking to the manager over a bare socket.
//! No test belongs here.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub(crate) mod clock;
pub(crate) mod manager;
pub(crate) mod network;
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

/// A port for a program that must be told one.
///
/// Not one that the system would give: those are for outgoing connections too, of which the tests make thousands, and
/// one of them could have it before the program does.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    // Tests that run at the same time in another process start elsewhere.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("it is below the count");
    for _ in 0..COUNT {
        let port = FIRST + (start + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((manager::HOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// A program of `tests/programs` or `examples`, not started yet. Of the environment of whoever runs the tests it sees
/// no options.
pub(crate) fn program(name: &str) -> Command {
    let beside = Path::new(env!("CARGO_BIN_EXE_labwire")).with_file_name("examples");
    let path = beside.join(name);
    if !path.exists() {
        requirements::give_up(&format!(
            "the program {name} is not built, run `bash tests/run` or `cargo build --workspace --examples` first"
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
