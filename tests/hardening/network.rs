//! A network namespace for a manager, in which a test has the rights of an administrator.

use std::process::Command;

use crate::support::manager::Manager;
use crate::support::process::through;
use crate::support::requirements::left_out;

/// A network and mounts of its own, without rights outside of them.
const APART: [&str; 3] = ["-rnm", "sh", "-c"];

/// Returns the command in a network of its own, after the lines of a shell script that prepare it.
/// Returns `None` and reports it where that is not allowed.
pub(crate) fn apart(preparation: &str, command: &Command) -> Option<Command> {
    let preparation = format!("set -e; ip link set lo up; {preparation}");
    let attempt = Command::new("unshare").args(APART).arg(&preparation).output();
    if !attempt.is_ok_and(|attempt| attempt.status.success()) {
        left_out("what needs a network of its own: this computer does not let its users make one");
        return None;
    }
    let script = format!("{preparation} exec \"$0\" \"$@\"");
    Some(through("unshare", &[&APART[..], &[&script]].concat(), command))
}

/// Returns a command that runs in the network of such a manager.
pub(super) fn inside(manager: &Manager, words: &[&str]) -> Command {
    let id = manager.id().to_string();
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &id, "--user", "--net", "--preserve-credentials"])
        .args(words);
    command
}
