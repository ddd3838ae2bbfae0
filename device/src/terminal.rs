//! Questions at the terminal.

use std::io::{self, IsTerminal, Write};

use crate::trust::UnknownCertificate;

/// Shows the fingerprint of an unknown manager, and asks whether to trust it. Returns `false`
/// without a terminal.
pub(crate) fn ask_to_trust(unknown: &UnknownCertificate) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let UnknownCertificate { host, fingerprint } = unknown;
    let _ = writeln!(
        io::stderr(),
        "The certificate of {host} is not known on this computer.\n\
         Its SHA-256 fingerprint is\n  {fingerprint}\n\
         The manager tells its own when it starts: they must be equal."
    );
    loop {
        let _ = write!(io::stderr(), "Trust it from now on? y/n: ");
        let mut answer = String::new();
        match io::stdin().read_line(&mut answer) {
            Ok(length) if length > 0 => {}
            _ => return false,
        }
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return true,
            "n" | "no" => return false,
            _ => {}
        }
    }
}
