//! Errors of the record.

use std::io;
use std::path::PathBuf;

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file cannot be created or opened.
    #[error("cannot open {}: {reason}", path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// The path is a pipe or a device.
    #[error("{} is no file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error("{} is a database of something else than a record", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// The record was written by a later Labwire, and this one cannot read it.
    #[error("{} is a record of a later version of Labwire ({version}), use that", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },
    /// SQLite cannot use the file.
    #[error("the record: {0}")]
    Database(#[from] rusqlite::Error),
    /// The thread cannot be started.
    #[error("cannot start the thread of the record: {0}")]
    Thread(io::Error),
}
