//! Questions at the terminal.

use std::io::{self, IsTerminal, Write};

use labwire_device::read_password;

use super::known_hosts::UnknownHost;
use super::questions::SshQuestion;

/// Asks a question of the login. Returns `None` without a terminal.
pub(super) fn ask(question: &SshQuestion) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    match question {
        SshQuestion::User { host } => line(&format!("Enter the SSH username for {host}: ")),
        SshQuestion::Password { user, host } => read_password(&format!("{user}@{host}'s password: ")).ok(),
        SshQuestion::Passphrase { file } => {
            read_password(&format!("Enter the passphrase for {}: ", file.display())).ok()
        }
        SshQuestion::Other {
            host,
            prompt,
            visible,
        } => {
            let prompt = format!("{host}: {} ", printable(prompt.trim_end()));
            if *visible {
                line(&prompt)
            } else {
                read_password(&prompt).ok()
            }
        }
    }
}

/// Shows the fingerprint of an unknown server, and asks whether to trust it. Returns `false`
/// without a terminal.
pub(super) fn ask_to_trust(unknown: &UnknownHost) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let UnknownHost {
        host,
        algorithm,
        fingerprint,
    } = unknown;
    let _ = writeln!(
        io::stderr(),
        "The SSH server {host} is not known on this computer.\n\
         Its {algorithm} key has the fingerprint\n  {fingerprint}\n\
         On that computer, `ssh-keygen -l -f /etc/ssh/ssh_host_*_key.pub` tells its own: they must be equal."
    );
    labwire_device::confirm_trust()
}

fn line(prompt: &str) -> Option<String> {
    let _ = write!(io::stderr(), "{prompt}");
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(length) if length > 0 => Some(line.trim().to_owned()),
        _ => None,
    }
}

/// Removes control characters from a server's text, which could manipulate the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}
