//! Questions at the terminal.

use std::io::{self, IsTerminal, Write};

use crate::trust::UnknownCertificate;

/// Shows the fingerprint of an unknown manager, and asks a person at the terminal whether to trust it,
/// as [`FirstUse::Ask`](crate::FirstUse::Ask) does. Returns `false` without a terminal.
///
/// Blocks until there is an answer.
///
/// ```no_run
/// use std::sync::Arc;
/// use labwire_device::{ConnectOptions, FirstUse, ask_to_trust};
///
/// // A program that stops its own output during the question.
/// let ask = Arc::new(|unknown: &_| ask_to_trust(unknown));
/// let options = ConnectOptions::new().first_use(FirstUse::Decide(ask));
/// ```
pub fn ask_to_trust(unknown: &UnknownCertificate) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let UnknownCertificate { host, fingerprint } = unknown;
    let _ = writeln!(
        io::stderr(),
        "The certificate of {host} is not known on this computer.\n\
         Its SHA-256 fingerprint is\n  {fingerprint}\n\
         The manager prints its own when it starts: they must be equal."
    );
    confirm_trust()
}

/// Asks a person at the terminal whether to trust the peer whose fingerprint was shown. Returns
/// `false` without an answer, as at the end of the input.
///
/// Blocks until there is an answer.
///
/// ```no_run
/// # let (fingerprint, saved) = ("3a:5f", std::cell::Cell::new(false));
/// println!("The certificate has the SHA-256 fingerprint {fingerprint}");
/// if labwire_device::confirm_trust() {
///     // Save it.
/// #   saved.set(true);
/// }
/// ```
pub fn confirm_trust() -> bool {
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
