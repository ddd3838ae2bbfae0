//! What can go wrong in the store, and how a peer is told of it.

use std::io;
use std::path::PathBuf;

use labwire_wire::quoted;
use thiserror::Error;

use crate::passwords::{MAXIMUM_ROUNDS, MINIMUM_ROUNDS};

/// Why the store did not do what it was asked.
///
/// The texts about users and hostnames are those of MSL-Network, since scripts look for them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name such as `ada:1875` could not be told from an address.
    #[error("A username cannot end with \":<integer>\"")]
    UsernameLooksLikeAnAddress,
    /// An empty password.
    #[error("You must specify a password for {}", quoted(username))]
    PasswordMissing {
        /// Whose password it would be.
        username: String,
    },
    /// The name is taken.
    #[error("A user with the name {} already exists", quoted(username))]
    UserExists {
        /// The name that was to be inserted.
        username: String,
    },
    /// Nobody has this name.
    #[error("Cannot {action} {}. This user is not in the table.", quoted(username))]
    UserMissing {
        /// What was to be done: `update` or `delete`.
        action: &'static str,
        /// The name that was given.
        username: String,
    },
    /// The hostname is not trusted in the first place.
    #[error("Cannot delete {}. This hostname is not in the table.", quoted(hostname))]
    HostnameMissing {
        /// The hostname that was given.
        hostname: String,
    },
    /// An update that would change nothing.
    #[error("Must specify either the password and/or the admin rights when updating")]
    NothingToUpdate,
    /// Too few rounds to protect a password, or more than a login could wait for.
    #[error("a password needs {MINIMUM_ROUNDS} to {MAXIMUM_ROUNDS} rounds of PBKDF2, not {rounds}")]
    RoundsOutOfRange {
        /// The number that was given.
        rounds: u32,
    },
    /// A table that is not one of the three which peers may look at.
    #[error(
        "there is no table {}, use one of: auth_hostnames, auth_users, connections",
        quoted(name)
    )]
    TableUnknown {
        /// The name that was given.
        name: String,
    },
    /// A time that is neither of the two forms.
    #[error("{} is not a time, write yyyy-mm-dd or yyyy-mm-ddTHH:MM:SS", quoted(value))]
    TimeMalformed {
        /// The text that was given.
        value: String,
    },
    /// The database file, or a folder above it, cannot be created or opened.
    #[error("cannot create or open the database {}: {reason}", path.display())]
    Unreachable {
        /// The database file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        reason: io::Error,
    },
    /// What is there is a pipe, a socket or a device.
    #[error("{} is not a file; name the database with --database (or LABWIRE_DATABASE)", path.display())]
    NoFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The thread that owns the database cannot be started.
    #[error("cannot start the thread of the database: {0}")]
    Thread(#[source] io::Error),
    /// SQLite refused: locked for too long by another program, disk full, not a database, …
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system's random numbers, which new salts are made of, are not to be had.
    #[error("the system has no random numbers to make a salt of")]
    RandomUnavailable,
    /// The file is damaged inside, though it is a database.
    #[error(
        "it is damaged: {finding}; restore a copy of it, or save what can be read with: sqlite3 FILE .recover"
    )]
    Damaged {
        /// What SQLite found first.
        finding: String,
    },
    /// A table has other columns than those of MSL-Network.
    #[error(
        "its table {table} has other columns than a manager's, so it belongs to another program; choose another file \
         with --database (or LABWIRE_DATABASE)"
    )]
    TableForeign {
        /// The name of the table.
        table: &'static str,
    },
    /// The store was closed, or its thread has ended.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// Whether who asked made the mistake (a `ValueError` on the wire), rather than the database being in
    /// trouble (an `OperationalError`).
    pub fn is_callers_mistake(&self) -> bool {
        match self {
            Self::UsernameLooksLikeAnAddress
            | Self::PasswordMissing { .. }
            | Self::UserExists { .. }
            | Self::UserMissing { .. }
            | Self::HostnameMissing { .. }
            | Self::NothingToUpdate
            | Self::RoundsOutOfRange { .. }
            | Self::TableUnknown { .. }
            | Self::TimeMalformed { .. } => true,
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

    /// The error as a peer may read it: `ValueError: …` or `OperationalError: …`, as Python names them, and
    /// never a path of the manager's computer.
    pub fn peer_text(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::NoFile { .. } => {
                "OperationalError: unable to open the database file".to_owned()
            }
            // SQLite's own texts can hold a path, those of its result codes cannot.
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
