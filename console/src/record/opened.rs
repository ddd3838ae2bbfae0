//! The state of a file of a recording when it is opened.

use std::fmt;
use std::io;

use jiff::Timestamp;

/// The state of a file when it was opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The time of the last row.
    pub(super) last: Option<Timestamp>,
    /// How many bytes of half a row were removed.
    pub(super) removed: u64,
}

/// Why a file cannot be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    Io(io::Error),
    Sqlite(rusqlite::Error),
    /// Another recording writes to it.
    InUse,
    /// It is not a recording that can be continued.
    Other(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Sqlite(error) => error.fmt(formatter),
            Self::InUse => formatter.write_str("another recording writes to it"),
            Self::Other(reason) => formatter.write_str(reason),
        }
    }
}
