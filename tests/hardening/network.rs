//! A network of its own for a manager, in which a test may do what is an administrator's business elsewhere.

use std::process::Command;

use crate::support::manager::Manager;
use crate::support::process::through;
use crate::support::requirements::left_out;

/// A network and files of its own, without rights outside of them.
const APART: [&str; 3] = ["-rnm", "sh", "-c"];

/// A command that runs in a network of its own, after the lines of a shell script that prepare it; `None`, and a
/// word about it, where that is not allowed.
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

/// A command in the network of a manager that is apart.
pub(super) fn inside(manager: &Manager, words: &[&str]) -> Command {
    let id = manager.id().to_string();
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &id, "--user", "--net", "--preserve-credentials"])
        .args(words);
    command
}
