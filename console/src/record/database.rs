//! A recording as a table of an SQLite database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::only_writer::OnlyWriter;
use super::opened::{OpenError, Opened};
use super::row::Row;
use crate::key::{cell, text};
use crate::narrator::utc;

/// The application id of a recording: the letters LWIR.
const APPLICATION: i64 = 0x4c57_4952;

/// The version of the table.
const VERSION: i64 = 1;

/// How long to wait for another program that writes to the database.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE recording (
        id INTEGER PRIMARY KEY,
        message INTEGER NOT NULL,
        time TEXT NOT NULL,
        event TEXT NOT NULL,
        service TEXT NOT NULL,
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        value,
        seconds REAL,
        note TEXT NOT NULL
    );
";

/// Made anew for each recording: one of an earlier version lacks the values of topics.
const VIEW: &str = "
    DROP VIEW IF EXISTS readings;
    CREATE VIEW readings AS
        SELECT time, service, source, key, value FROM recording
        WHERE event IN ('notification', 'result', 'published');
";

const INSERT: &str = "
    INSERT INTO recording (id, message, time, event, service, source, key, value, seconds, note)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A database to which rows are appended.
pub(super) struct Database {
    path: PathBuf,
    connection: Connection,
    /// The number of the next row; `None` outside of a transaction.
    next: Option<i64>,
    /// Ends after the connection.
    _only_writer: OnlyWriter,
}

impl Database {
    /// Opens a database, and continues the recording in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Opened), OpenError> {
        if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            return Err(OpenError::Other("it is not a regular file".to_owned()));
        }
        let only_writer = OnlyWriter::of(path)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        prepare(&connection)?;
        // Other programs can read while rows are added.
        let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        let last = "SELECT time FROM recording ORDER BY id DESC LIMIT 1";
        let last: Option<String> = connection.query_row(last, [], |row| row.get(0)).optional()?;
        let opened = Opened {
            last: last.and_then(|time| time.parse::<Timestamp>().ok()),
            removed: 0,
        };
        let path = path.to_owned();
        Ok((
            Self {
                path,
                connection,
                next: None,
                _only_writer: only_writer,
            },
            opened,
        ))
    }

    /// Adds rows that belong together.
    pub(super) fn add(&mut self, rows: &[Row]) -> io::Result<()> {
        self.insert(rows).map_err(io::Error::other)
    }

    fn insert(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let first = if let Some(next) = self.next {
            next
        } else {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let last = "SELECT coalesce(max(id), 0) FROM recording";
            self.connection.query_row(last, [], |row| row.get::<_, i64>(0))? + 1
        };
        let mut next = first;
        self.next = Some(next);
        let mut insert = self.connection.prepare_cached(INSERT)?;
        for row in rows {
            insert.execute(params![
                next,
                first,
                utc(row.time),
                row.event,
                row.service,
                row.source,
                row.key,
                row.value.as_deref().map(stored),
                row.seconds,
                row.note
            ])?;
            next += 1;
        }
        self.next = Some(next);
        Ok(())
    }

    /// Commits all rows to the disk, so that they survive a crash and a power failure.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.next.take().is_some() {
            self.connection
                .execute_batch("COMMIT")
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Returns its size in bytes, without rows that are not written yet.
    pub(super) fn size(&self) -> u64 {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count").unwrap_or(0) * number("PRAGMA page_size").unwrap_or(0);
        u64::try_from(pages).unwrap_or(0)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates the tables in an empty database, or checks that they are those of a recording. It is one
/// transaction: after an error, it ends with the connection, and nothing is changed.
fn prepare(connection: &Connection) -> Result<(), OpenError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    let tables = begun.and_then(|()| number("SELECT count(*) FROM sqlite_schema"));
    let tables = tables.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            OpenError::Other("it is something else than an SQLite database".to_owned())
        }
        _ => error.into(),
    })?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "{TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
        ))?;
    } else if number("PRAGMA application_id")? != APPLICATION {
        return Err(OpenError::Other("it is a database of another program".to_owned()));
    } else if number("PRAGMA user_version")? != VERSION {
        return Err(OpenError::Other(
            "it is a recording of another version of labwire".to_owned(),
        ));
    }
    connection.execute_batch(VIEW)?;
    Ok(connection.execute_batch("COMMIT")?)
}

/// Returns a value as SQLite stores it: numbers as numbers, texts as texts, null as NULL, and
/// everything else as the text of its JSON.
fn stored(value: &str) -> Value {
    if value == "null" {
        return Value::Null;
    }
    if text(value).is_none() {
        if let Ok(number) = value.parse::<i64>() {
            return Value::Integer(number);
        }
        let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if let Some(number) = value
            .parse::<f64>()
            .ok()
            .filter(|number| is_number && number.is_finite())
        {
            return Value::Real(number);
        }
    }
    Value::Text(cell(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_recording_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.sqlite3");
        let (recording, _) = Database::open(&path).unwrap();
        let second = Database::open(&path).map(|_| ()).unwrap_err();
        assert_eq!(second.to_string(), "another recording writes to it");
        assert!(Database::open(&folder.path().join("other.sqlite3")).is_ok());
        drop(recording);
        assert!(Database::open(&path).is_ok());
        let count = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(count, 2, "nothing but the databases is left");
    }

    #[test]
    fn values_are_stored_with_their_types() {
        for (value, expected) in [
            ("3", Value::Integer(3)),
            ("-1.50", Value::Real(-1.5)),
            ("null", Value::Null),
            ("true", Value::Text("true".to_owned())),
            ("NaN", Value::Text("NaN".to_owned())),
            ("-Infinity", Value::Text("-Infinity".to_owned())),
            ("\"5\"", Value::Text("5".to_owned())),
            ("[1, 2]", Value::Text("[1, 2]".to_owned())),
            ("9223372036854775808", Value::Real(9_223_372_036_854_775_808.0)),
        ] {
            assert_eq!(stored(value), expected);
        }
    }
}
