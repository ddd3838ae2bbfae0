//! Inspects a database without changing it or the files beside it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::database::{PATIENCE, REFERENCE_TABLES, SCHEMA, expect_no_pipe};
use crate::error::StoreError;
use crate::schema::OPTIONAL_TABLES;
use crate::users::ROUNDS_TABLE;

/// The first bytes of an SQLite database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The position in the header, and the number, that indicate a write-ahead log.
const FORMAT_OFFSET: usize = 18;
const WRITE_AHEAD: u8 = 2;

/// The contents of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseContents {
    /// The number of users.
    pub users: u32,
    /// The number of administrators among them.
    pub administrators: u32,
    /// The number of users whose second factor was confirmed.
    pub second_factors: u32,
    /// The number of trusted hostnames.
    pub hostnames: u32,
    /// The missing tables of MSL-Network and of Labwire, which a manager creates when it starts.
    pub missing_tables: Vec<&'static str>,
}

impl DatabaseContents {
    /// Returns whether one of the missing tables is one without which no manager starts, as it does if
    /// it cannot create the others.
    pub fn must_be_changed(&self) -> bool {
        let is_needed = |table: &&str| !OPTIONAL_TABLES.contains(table);
        self.missing_tables.iter().any(is_needed)
    }
}

/// Checks whether a manager can use a database file, and counts its contents. Creates and changes
/// nothing.
///
/// Reads the whole file, and blocks for up to 5 seconds while another program has it locked.
///
/// # Errors
/// [`StoreError::Database`] if SQLite cannot read it, [`StoreError::NoFile`] if it is a pipe or a
/// device, [`StoreError::Damaged`], and [`StoreError::TableForeign`].
pub fn inspect(path: &Path) -> Result<DatabaseContents, StoreError> {
    let path = std::path::absolute(path).map_err(|reason| StoreError::Unreachable {
        path: path.to_owned(),
        reason,
    })?;
    expect_no_pipe(&path)?;
    let connection = open(&path)?;
    connection.busy_timeout(PATIENCE)?;
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding != "ok" {
        return Err(StoreError::Damaged { finding });
    }
    let expected = Connection::open_in_memory()?;
    expected.execute_batch(SCHEMA)?;
    let mut missing_tables = Vec::new();
    for table in REFERENCE_TABLES {
        match columns(&connection, table)? {
            found if found.is_empty() => missing_tables.push(table),
            found if found == columns(&expected, table)? => {}
            _ => return Err(StoreError::TableForeign { table }),
        }
    }
    for table in [ROUNDS_TABLE].into_iter().chain(OPTIONAL_TABLES) {
        if columns(&connection, table)?.is_empty() {
            missing_tables.push(table);
        }
    }
    let count = |table: &str, condition: &str| {
        if missing_tables.contains(&table) {
            return Ok(0);
        }
        let sql = format!("SELECT count(*) FROM {table} {condition}");
        connection.query_row(&sql, [], |row| row.get(0))
    };
    Ok(DatabaseContents {
        users: count("auth_users", "")?,
        administrators: count("auth_users", "WHERE is_admin <> 0")?,
        second_factors: count("labwire_totp", "WHERE active_since IS NOT NULL")?,
        hostnames: count("auth_hostnames", "")?,
        missing_tables,
    })
}

/// A computer from which programs have connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentComputer {
    /// Its name, or its address if it has none.
    pub name: String,
    /// Its address.
    pub address: String,
    /// When a program has last connected or disconnected, as `yyyy-mm-ddTHH:MM:SS` in local time.
    pub last: String,
}

/// Returns the computers from which programs have connected in the last days, the latest first, `most`
/// at most. Connections that were refused do not count. Creates and changes nothing.
///
/// Blocks for up to 5 seconds while another program has the database locked.
///
/// # Errors
/// [`StoreError::Database`] if SQLite cannot read it, and [`StoreError::NoFile`] if it is a pipe or a
/// device.
pub fn recent_computers(path: &Path, days: u32, most: u32) -> Result<Vec<RecentComputer>, StoreError> {
    expect_no_pipe(path)?;
    let connection = open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let mut statement = connection.prepare(
        "SELECT domain, ip_address, max(datetime) FROM connections
            WHERE datetime >= strftime('%Y-%m-%dT%H:%M:%S', 'now', 'localtime', ?1)
                AND message NOT LIKE 'rejected%' AND message NOT LIKE 'connection closed%'
            GROUP BY ip_address ORDER BY max(datetime) DESC LIMIT ?2",
    )?;
    let since = format!("-{days} days");
    let computers = statement.query_map(params![since, most], |row| {
        Ok(RecentComputer {
            name: row.get(0)?,
            address: row.get(1)?,
            last: row.get(2)?,
        })
    })?;
    Ok(computers.collect::<rusqlite::Result<_>>()?)
}

/// Returns whether a file may be a database of Labwire or MSL-Network. Returns `false` if it is no
/// SQLite database, or one of another program. An empty file and a damaged database may be one.
/// Creates and changes nothing, and blocks for up to 5 seconds while another program has the
/// database locked.
pub fn may_be_database(path: &Path) -> bool {
    // Opening a pipe could wait forever.
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    let Ok(path) = &std::path::absolute(path) else {
        return false;
    };
    if !is_file {
        return false;
    }
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut header));
    if read.is_err() || (!header.is_empty() && header != MAGIC) {
        return false;
    }
    // If the tables cannot be read, the owner of the database is unknown.
    has_known_table(path).unwrap_or(true)
}

/// Returns whether a database has one of the known tables, or no table at all.
fn has_known_table(path: &Path) -> Result<bool, StoreError> {
    let connection = open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let names = statement.query_map([], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    let is_known = |name: &String| REFERENCE_TABLES.contains(&name.as_str());
    Ok(names.is_empty() || names.iter().any(is_known))
}

/// Opens the file for reading. A reader of a write-ahead log would create the log's index beside
/// it. If there is no index, no other program uses the database, and the file can be opened as
/// immutable.
fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let index = PathBuf::from(format!("{}-shm", path.display()));
    if !uses_write_ahead_log(path) || index.exists() {
        return Ok(Connection::open_with_flags(path, flags)?);
    }
    let uri = format!("file:{}?immutable=1", escaped(path));
    Ok(Connection::open_with_flags(
        uri,
        flags | OpenFlags::SQLITE_OPEN_URI,
    )?)
}

fn uses_write_ahead_log(path: &Path) -> bool {
    let mut header = [0; FORMAT_OFFSET + 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[FORMAT_OFFSET..].contains(&WRITE_AHEAD)
}

/// Escapes a path for a URI.
fn escaped(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Returns the names and types of a table's columns; empty if there is no such table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    columns.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::database::Database;
    use crate::database::tests::{empty_database, python_database};

    /// Returns the files beside the database, with their contents.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_database_is_looked_at_without_changing_a_byte() {
        let (folder, path) = python_database();
        let (_other, ahead) = python_database();
        let connection = Connection::open(&ahead).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        drop(connection);
        fs::rename(&ahead, folder.path().join("ahead?#%.sqlite3")).unwrap();
        let before = files(folder.path());
        for (file, _) in &before {
            let contents = inspect(file).unwrap();
            assert_eq!(
                (contents.users, contents.administrators),
                (3, 1),
                "{}",
                path.display()
            );
            let own = [ROUNDS_TABLE].into_iter().chain(OPTIONAL_TABLES);
            assert_eq!(contents.missing_tables, own.collect::<Vec<_>>());
            assert!(contents.must_be_changed());
        }
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn an_empty_file_lacks_its_tables_and_stays_empty() {
        let (_folder, path) = empty_database();
        fs::write(&path, b"").unwrap();
        let contents = inspect(&path).unwrap();
        assert_eq!((contents.users, contents.missing_tables.len()), (0, 20));
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn tables_that_a_manager_makes_later_are_missing_until_then() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let contents = inspect(&path).unwrap();
        assert_eq!(contents.missing_tables, ["labwire_pruning"]);
        assert!(!contents.must_be_changed());
        database
            .begin_pruning(None, labwire_home::present(), std::time::Duration::ZERO)
            .unwrap();
        assert!(inspect(&path).unwrap().missing_tables.is_empty());
    }

    #[test]
    fn what_is_damaged_foreign_or_no_database_is_an_error_that_says_so() {
        let (folder, path) = empty_database();
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE auth_users (name TEXT)")
            .unwrap();
        assert!(matches!(
            inspect(&path),
            Err(StoreError::TableForeign { table: "auth_users" })
        ));

        let noise = folder.path().join("noise");
        fs::write(&noise, [7; 8192]).unwrap();
        assert!(
            inspect(&noise)
                .unwrap_err()
                .to_string()
                .contains("file is not a database")
        );

        let damaged = folder.path().join("damaged");
        drop(Database::open(&damaged).unwrap());
        let mut bytes = fs::read(&damaged).unwrap();
        let page = 4096;
        bytes[page..2 * page].fill(0xa5);
        fs::write(&damaged, bytes).unwrap();
        let error = inspect(&damaged).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::Database(_)),
            "{error}"
        );
    }
}
