//! Errors of the store, and their messages for peers.

use std::io;
use std::path::PathBuf;

use labwire_wire::quoted;
use rusqlite::ErrorCode;
use thiserror::Error;

use crate::access::AccessError;
use crate::passwords::{MAXIMUM_ROUNDS, MINIMUM_ROUNDS};
use crate::totp::TotpError;

/// The reason why an operation of the store failed.
///
/// The messages about users and hostnames are those of MSL-Network, since scripts search for them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A username such as `ada:1875`, which looks like an address.
    #[error("A username cannot end with \":<integer>\"")]
    UsernameLooksLikeAnAddress,
    /// A username without a character that can be seen.
    #[error("A username cannot be empty")]
    UsernameEmpty,
    /// An empty password.
    #[error("You must specify a password for {}", quoted(username))]
    PasswordMissing {
        /// The user whose password is missing.
        username: String,
    },
    /// The username is taken.
    #[error("A user with the name {} already exists", quoted(username))]
    UserExists {
        /// The given name.
        username: String,
    },
    /// There is no user of this name.
    #[error("Cannot {action} {}. This user is not in the table.", quoted(username))]
    UserMissing {
        /// The failed action: `update` or `delete`.
        action: &'static str,
        /// The given name.
        username: String,
    },
    /// The hostname is not trusted.
    #[error("Cannot delete {}. This hostname is not in the table.", quoted(hostname))]
    HostnameMissing {
        /// The given hostname.
        hostname: String,
    },
    /// An update without any change.
    #[error("Must specify either the password and/or the admin rights when updating")]
    NothingToUpdate,
    /// Too few rounds to protect a password, or too many for a login.
    #[error("a password needs {MINIMUM_ROUNDS} to {MAXIMUM_ROUNDS} rounds of PBKDF2, not {rounds}")]
    RoundsOutOfRange {
        /// The given number.
        rounds: u32,
    },
    /// A table that is not one of the three which peers can query.
    #[error(
        "there is no table {}, use one of: auth_hostnames, auth_users, connections",
        quoted(name)
    )]
    TableUnknown {
        /// The given name.
        name: String,
    },
    /// A time in neither of the two formats.
    #[error("{} is not a time, write yyyy-mm-dd or yyyy-mm-ddTHH:MM:SS", quoted(value))]
    TimeMalformed {
        /// The given text.
        value: String,
    },
    /// The database file, or a folder above it, cannot be created or opened.
    #[error("cannot create or open the database {}: {reason}", path.display())]
    Unreachable {
        /// The database file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        reason: io::Error,
    },
    /// The path is a pipe, a socket or a device.
    #[error("{} is not a file; name the database with --database (or LABWIRE_DATABASE)", path.display())]
    NoFile {
        /// The given path.
        path: PathBuf,
    },
    /// The database thread cannot be started.
    #[error("cannot start the thread of the database: {0}")]
    Thread(#[source] io::Error),
    /// SQLite failed: locked for too long by another program, disk full, not a database, …
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system provides no random numbers for a salt.
    #[error("the system has no random numbers to make a salt of")]
    RandomUnavailable,
    /// The file is a database, but damaged.
    #[error(
        "it is damaged: {finding}; restore a copy of it, or save what can be read with: sqlite3 FILE .recover"
    )]
    Damaged {
        /// The first damage that SQLite reported.
        finding: String,
    },
    /// A table has other columns than in MSL-Network.
    #[error(
        "its table {table} has other columns than a manager's, so it belongs to another program; choose another file \
         with --database (or LABWIRE_DATABASE)"
    )]
    TableForeign {
        /// The name of the table.
        table: &'static str,
    },
    /// A change of roles, groups, sets or grants that is refused.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A change of a second factor that is refused.
    #[error(transparent)]
    Totp(#[from] TotpError),
    /// The store was closed, or its thread has ended.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// Returns whether the caller made a mistake (a `ValueError` on the wire), as opposed to a
    /// failure of the database (an `OperationalError`).
    pub fn is_callers_mistake(&self) -> bool {
        match self {
            Self::UsernameLooksLikeAnAddress
            | Self::UsernameEmpty
            | Self::PasswordMissing { .. }
            | Self::UserExists { .. }
            | Self::UserMissing { .. }
            | Self::HostnameMissing { .. }
            | Self::NothingToUpdate
            | Self::RoundsOutOfRange { .. }
            | Self::TableUnknown { .. }
            | Self::TimeMalformed { .. }
            | Self::Access(_) => true,
            Self::Totp(error) => error.is_callers_mistake(),
            Self::Unreachable { .. }
            | Self::NoFile { .. }
            | Self::Thread(_)
            | Self::Database(_)
            | Self::RandomUnavailable
            | Self::Damaged { .. }
            | Self::TableForeign { .. }
            | Self::Closed => false,
        }
    }

    /// Returns whether the file is damaged, or no database.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }

    /// Returns whether this user may not read or write the file, or its folder.
    pub fn is_missing_right(&self) -> bool {
        match self {
            Self::Unreachable { reason, .. } => reason.kind() == io::ErrorKind::PermissionDenied,
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
            ),
            _ => false,
        }
    }

    /// Formats the error for peers: `ValueError: …` or `OperationalError: …`, the names of Python's
    /// exceptions. Never contains a path of the manager's computer.
    pub fn peer_text(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::NoFile { .. } => {
                "OperationalError: unable to open the database file".to_owned()
            }
            // SQLite's own messages can contain a path; those of its result codes cannot.
            Self::Database(rusqlite::Error::SqliteFailure(failure, _)) => {
                let text = rusqlite::ffi::code_to_str(failure.extended_code);
                format!("OperationalError: {text}")
            }
            Self::Database(_) => "OperationalError: a row of the database cannot be read".to_owned(),
            Self::Thread(_) => "OperationalError: the database is not running".to_owned(),
            error if error.is_callers_mistake() => format!("ValueError: {error}"),
            error => format!("OperationalError: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_whose_fault_it_was_and_no_path() {
        let mistake = StoreError::UserMissing {
            action: "update",
            username: "ada".to_owned(),
        };
        assert_eq!(
            mistake.peer_text(),
            "ValueError: Cannot update 'ada'. This user is not in the table."
        );

        let folder = tempfile::tempdir().unwrap();
        let cause = rusqlite::Connection::open(folder.path()).unwrap_err();
        assert!(
            cause.to_string().contains(folder.path().to_str().unwrap()),
            "{cause}"
        );
        let trouble = StoreError::Database(cause).peer_text();
        assert_eq!(trouble, "OperationalError: unable to open database file");

        let reason = io::Error::from(io::ErrorKind::PermissionDenied);
        let unreachable = StoreError::Unreachable {
            path: "/secret/place".into(),
            reason,
        };
        assert!(!unreachable.peer_text().contains("secret"));
        assert_eq!(
            StoreError::Closed.peer_text(),
            "OperationalError: the database is closed"
        );
    }
}
