//! Shared code of the tests: starting and stopping programs, and connecting to the manager over a
//! bare socket. It contains no tests.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub(crate) mod clock;
pub(crate) mod manager;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod pseudo_terminal;
pub(crate) mod python;
pub(crate) mod requirements;
#[path = "../../client-sdk/tests/ssh/server.rs"]
#[allow(dead_code, reason = "the tests of SSH itself need more of it")]
pub(crate) mod ssh_server;
pub(crate) mod terminal;
pub(crate) mod waiting;
pub(crate) mod way;
pub(crate) mod wire;

/// Timeout for events that a healthy system completes at once. It is long because a dozen Python
/// interpreters may be starting on two slow cores; no passing test waits for all of it.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Interval of polling, for conditions without an event, such as the end of a process.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns a port for a program that needs an explicit one.
///
/// The system's own choice would not do: it is from the range of outgoing connections, of which the
/// tests make thousands, and one of them could take the port before the program does.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    // Tests in another process at the same time start elsewhere.
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("it is below the count");
    for _ in 0..COUNT {
        let port = FIRST + (start + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((manager::HOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free");
}

/// Returns a command for a program of `tests/programs` or `examples`. Removes Labwire's options
/// from its environment.
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
