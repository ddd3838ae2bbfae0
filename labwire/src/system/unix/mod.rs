//! Unix: signals, descriptors, `access(2)` and `/etc/passwd`.

mod descriptors;

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, access};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::set_variable;

pub(crate) use descriptors::prepare as prepare_descriptors;

/// The remedy for a file that this user may not read.
pub(crate) const GIVE_READ: &str = "give yourself the right with: chmod u+rw";

/// The remedy for a file that this user may not change.
pub(crate) const GIVE_WRITE: &str = "give yourself the right with: chmod u+w";

/// The remedy for a folder in which this user may not create a file.
pub(crate) const GIVE_CREATE: &str = "give yourself the right with: chmod u+wx";

/// The remedy for a file that other users may read; its name follows.
pub(crate) const KEEP_FROM_OTHERS: &str = "chmod 600";

/// The signal that asks a manager to read its files again: `SIGHUP`.
pub(crate) struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Starts to listen, and disables the default action. Must be called within a tokio runtime with I/O.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next signal; `None` if none can come. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

/// Makes a limit on the size of files lead to an error of the write instead of the end of the process, for
/// as long as it runs. Must be called within a tokio runtime with I/O.
///
/// # Errors
/// The error of the operating system.
pub(crate) fn keep_file_size_limit() -> io::Result<()> {
    let limited = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // A signal that was listened to once never has its default action again.
    signal(limited).map(drop)
}

/// Returns whether two files belong to the same user.
pub(crate) fn have_same_owner(one: &Metadata, other: &Metadata) -> bool {
    one.uid() == other.uid()
}

/// Does nothing: there is no service manager that has to know that the manager runs.
pub(crate) fn tell_running() {}

/// Checks that this user may read a file.
///
/// # Errors
/// The error that opening it would have.
pub(crate) fn can_read(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::READ_OK)?)
}

/// Checks that this user may change a file.
///
/// # Errors
/// The error that opening it would have.
pub(crate) fn can_write(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::WRITE_OK)?)
}

/// Checks that this user may create a file in a folder.
///
/// # Errors
/// The error that creating it would have.
pub(crate) fn can_create_in(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Returns whether a path is that of a named pipe.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Returns the name of the user of this process, also of the one who became root with `sudo`.
pub(crate) fn user_name() -> String {
    let user = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(user, &users).unwrap_or_else(|| format!("uid {user}"));
    match set_variable("SUDO_USER") {
        // Others could set the variable to any name.
        Some(before) if user == 0 => format!("{name} (sudo of {})", before.to_string_lossy()),
        _ => name,
    }
}

/// Returns the name of a user in the lines of `/etc/passwd`.
fn name_of(user: u32, lines: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_in_the_systems_list() {
        let lines = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_of(1_000, lines).as_deref(), Some("ada"));
        assert_eq!(name_of(0, lines).as_deref(), Some("root"));
        assert_eq!(name_of(100, lines), None);
    }
}
