//! Keeps other recordings away from a database. A lock on the database itself would disturb SQLite's
//! own locks, so it is on a file beside it, as SQLite's `-wal` file is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::opened::OpenError;

/// The only recording that writes to a database, until it is dropped. The system ends it with the
/// process, however that ends.
pub(super) struct OnlyWriter {
    path: PathBuf,
    file: Option<File>,
}

impl OnlyWriter {
    /// Returns the only writer to a database.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another recording writes to it, and the error of a file beside the
    /// database that cannot be written.
    pub(super) fn of(database: &Path) -> Result<Self, OpenError> {
        let mut name = database.file_name().unwrap_or_default().to_owned();
        name.push("-recording");
        let path = database.with_file_name(name);
        loop {
            let file = open(&path)?;
            // The file may have been removed since it was opened.
            if is_at(&file, &path) {
                return Ok(Self {
                    path,
                    file: Some(file),
                });
            }
        }
    }
}

impl Drop for OnlyWriter {
    fn drop(&mut self) {
        // Windows removes no open file, and none that another recording has opened meanwhile.
        if cfg!(windows) {
            self.file = None;
        }
        // A file that is left behind is taken by the next recording.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(windows)]
fn open(path: &Path) -> Result<File, OpenError> {
    /// The error of a file that another program has opened.
    const SHARING_VIOLATION: i32 = 32;

    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
    options
        .open(path)
        .map_err(|error: io::Error| match error.raw_os_error() {
            Some(SHARING_VIOLATION) => OpenError::InUse,
            _ => error.into(),
        })
}

#[cfg(windows)]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(not(windows))]
fn open(path: &Path) -> Result<File, OpenError> {
    let mut options = File::options();
    let opened: io::Result<File> = options.write(true).create(true).truncate(false).open(path);
    let file = opened?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse),
        // Some network file systems have no locks.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(file),
    }
}

/// Returns whether a path leads to an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(at)) => (file.dev(), file.ino()) == (at.dev(), at.ino()),
        _ => false,
    }
}

#[cfg(not(any(unix, windows)))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}
