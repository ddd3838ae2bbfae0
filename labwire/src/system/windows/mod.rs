//! Windows: a manager has no signal to read its files again, and no limit on files or descriptors.

mod service;

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::cli::set_variable;

pub(crate) use service::{run as run_service, tell_running};

/// The remedy for a file that this user may not read.
pub(crate) const GIVE_READ: &str = "give yourself the right in its properties, under Security";

/// The remedy for a file that this user may not change.
pub(crate) const GIVE_WRITE: &str = GIVE_READ;

/// The remedy for a folder in which this user may not create a file.
pub(crate) const GIVE_CREATE: &str = GIVE_READ;

/// The remedy for a file that other users may read; its name follows.
pub(crate) const KEEP_FROM_OTHERS: &str = "take the right from them in the properties of";

/// There is no signal that asks a manager to read its files again. It does so when it is started again.
pub(crate) struct ReloadSignal;

impl ReloadSignal {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn recv(&mut self) -> Option<()> {
        std::future::pending().await
    }
}

/// Does nothing: there is no such limit.
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(crate) fn keep_file_size_limit() -> io::Result<()> {
    Ok(())
}

/// Returns `true`: the owner of a file says little, since an administrator's files belong to all administrators.
pub(crate) fn have_same_owner(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// Does nothing: the sockets of a process are not limited.
pub(crate) fn prepare_descriptors(_connections: usize) {}

/// Checks that this user may read a file, by opening it.
///
/// # Errors
/// The error of opening it.
pub(crate) fn can_read(path: &Path) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Checks that this user may change a file, by opening it.
///
/// # Errors
/// The error of opening it.
pub(crate) fn can_write(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path).map(drop)
}

/// Checks that this user may create a file in a folder, by a file that the system removes at once.
///
/// # Errors
/// The error of creating it.
pub(crate) fn can_create_in(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// Returns `false`: the named pipes of Windows are no files of a folder.
pub(crate) fn is_pipe(_path: &Path) -> bool {
    false
}

/// Returns the name of the user of this process, as Windows sets it in `USERNAME`.
pub(crate) fn user_name() -> String {
    set_variable("USERNAME").map_or_else(
        || "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
