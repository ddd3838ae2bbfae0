//! Windows: files have the access rights of their folder, which in a user's profile are for that user,
//! the administrators and the system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::Readers;

/// Returns the options unchanged: a new file has the access rights of its folder. On Unix, makes them
/// create a file that only this user can read and write (mode 0600).
pub fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Does nothing: a file has the access rights of its folder. On Unix, gives a new file to the owner of
/// another file, if this process may do that.
pub fn give_to_owner_of(_path: &Path, _other: &Path) {}

/// Returns `None`: access rights are not read here. On Unix, returns the mode of a file that other users
/// of this computer can read or change.
///
/// # Errors
/// If the file cannot be looked at.
pub fn others_can_read(path: &Path) -> io::Result<Option<u32>> {
    path.metadata().map(|_| None)
}

/// The permissions of a file, which are those of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode;

impl Mode {
    pub(crate) fn of(_readers: Readers) -> Self {
        Self
    }

    pub(crate) fn apply(self, options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn set(self, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn mode_of(path: &Path) -> io::Result<Mode> {
    path.metadata().map(|_| Mode)
}

pub(crate) fn folder_for_owner(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}

/// Opens what is locked while a file of a folder is changed: a file with the ending `.lock` beside it,
/// which is kept. Folders cannot be locked.
pub(crate) fn open_to_lock(_folder: &Path, target: &Path) -> io::Result<File> {
    let mut name = std::ffi::OsString::from(target);
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).open(name)
}

/// Does nothing: a folder cannot be flushed, and NTFS keeps a journal of its names.
pub(crate) fn keep_name(_folder: &Path) {}

/// Opens a file. The named pipes of Windows are no files of a folder.
pub(crate) fn open_to_read_within(path: &Path, _patience: Duration) -> io::Result<File> {
    File::open(path)
}

/// Opens a file. The named pipes of Windows are no files of a folder.
pub(crate) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// As [`operating_system`](crate::operating_system).
pub(crate) fn operating_system() -> String {
    let version = windows_version::OsVersion::current();
    let release = release(version.major, version.minor, version.build);
    let machine = match std::env::consts::ARCH {
        "x86_64" => "AMD64",
        "aarch64" => "ARM64",
        other => other,
    };
    format!("Windows {release} {machine}")
}

/// Returns the release of Windows as people know it: `10` or `11`, which differ in their build alone.
fn release(major: u32, minor: u32, build: u32) -> String {
    match (major, minor) {
        (10, 0) if build >= 22_000 => "11".to_owned(),
        (10, 0) => "10".to_owned(),
        (6, 3) => "8.1".to_owned(),
        (6, 2) => "8".to_owned(),
        (6, 1) => "7".to_owned(),
        _ => format!("{major}.{minor}"),
    }
}
