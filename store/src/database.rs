//! The SQLite file and its tables.
//!
//! [`Database`] is used on one thread: directly by commands, and through the
//! [`Store`](crate::Store) by the manager. Its methods for users, hostnames and connections are in
//! the modules of those names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};

use labwire_home::{create_private_file, create_private_folder};

use crate::error::StoreError;

/// How long a query or an administrator's change waits for another program's write. The Python
/// tools write a row in milliseconds. The caller is a person, or a peer in its handshake, whose
/// deadline is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The minimum wait for jobs that have already spent that time in the queue.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(100);

/// The tables that peers can query.
pub(crate) const REFERENCE_TABLES: [&str; 3] = ["auth_hostnames", "auth_users", "connections"];

/// The reference's tables, character by character: its tools insert rows by position.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS connections (\
        pid INTEGER PRIMARY KEY AUTOINCREMENT, \
        datetime DATETIME NOT NULL, \
        ip_address TEXT NOT NULL, \
        domain TEXT NOT NULL, \
        port INTEGER NOT NULL, \
        message TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS auth_hostnames (hostname TEXT NOT NULL, UNIQUE(hostname));
    CREATE TABLE IF NOT EXISTS auth_users (\
        pid INTEGER PRIMARY KEY AUTOINCREMENT, \
        username TEXT NOT NULL, \
        key BLOB NOT NULL, \
        salt BLOB NOT NULL, \
        is_admin BOOLEAN NOT NULL, \
        UNIQUE(username));";

/// A column of a table: its number, name, type, whether it is `NOT NULL` (0 or 1), its default, and
/// whether it is part of the primary key (0 or 1).
pub type ColumnInfo = (i64, String, String, i64, Option<String>, i64);

/// The database of a manager, for programs that may block: its methods wait up to 5 seconds while
/// another program has the file locked. A server uses a [`Store`](crate::Store).
///
/// Managers and other programs may have the same file open. When a method that changes something
/// has returned, the change is on disk. A running manager uses changed users from the next login
/// on, ends the logins of those who were removed within about a second, and uses changed hostnames once it is asked to
/// reload.
///
/// ```
/// use labwire_store::{DEFAULT_ROUNDS, Database, HashedPassword};
///
/// let folder = tempfile::tempdir()?;
/// let mut database = Database::open(&folder.path().join("manager.sqlite3"))?;
/// let password = HashedPassword::new("ada", "a good password", DEFAULT_ROUNDS)?;
/// database.insert_user("ada", &password, true)?;
/// assert_eq!(database.users()?, [("ada".to_owned(), true)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Database {
    pub(crate) connection: Connection,
    /// The file, without symbolic links, which has the same neighbours whoever opens it.
    pub(crate) path: PathBuf,
}

impl Database {
    /// Opens the database, and creates its missing parts: the folder (mode 0700), the file (mode
    /// 0600), the tables, and the names of this computer as trusted hostnames. An existing file
    /// keeps its mode.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if the file cannot be created, [`StoreError::NoFile`] if it is a
    /// pipe or a device, [`StoreError::Database`] if SQLite cannot use it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        expect_no_pipe(path)?;
        let path = &create_files(path).map_err(|reason| StoreError::Unreachable {
            path: path.to_owned(),
            reason,
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        // A change that was confirmed to an administrator must be on disk. The audit uses the same
        // setting: it shares the file with the users, and a cheaper one could damage both if the
        // power fails.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The journal mode of the file is not changed; it is a rollback journal for every file
        // created here or by the Python tools. A write-ahead log would be a permanent property of
        // the file. It does not work on network folders, where laboratories keep home folders; a
        // copy of the one file would lack the newest rows; and the Python tool that deletes the
        // database would leave the log behind for the next one.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut database = Self { connection, path };
        database.create_tables()?;
        database.migrate()?;
        database.trust_localhost_if_nobody_is()?;
        Ok(database)
    }

    /// Sets how long the next statements wait for another program's lock, with a minimum: a job
    /// that was queued behind a long one must not fail at the first row that another program
    /// writes.
    pub(crate) fn be_patient(&self, patience: Duration) -> Result<(), StoreError> {
        Ok(self.connection.busy_timeout(patience.max(SHORTEST_PATIENCE))?)
    }

    /// Starts a change with the write lock. A transaction that begins with reading could fail at
    /// its first write because another program was faster, and would have to be repeated.
    pub(crate) fn change(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Creates the missing tables.
    fn create_tables(&mut self) -> Result<(), StoreError> {
        // One query for all of them: each of the statements below would read the file again.
        const ARE_THERE: &str = "SELECT count(*) = 4 FROM sqlite_master WHERE type = 'table' AND name IN \
            ('auth_hostnames', 'auth_users', 'connections', 'labwire_password_rounds')";
        if self.connection.query_row(ARE_THERE, [], |row| row.get(0))? {
            return Ok(());
        }
        // Outside a transaction, `CREATE TABLE IF NOT EXISTS` takes no write lock for an existing
        // table.
        self.connection.execute_batch(SCHEMA)?;
        self.create_rounds_table()
    }

    /// Returns whether there is a table of this name: one of Labwire's own may be missing.
    pub(crate) fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1")?;
        Ok(statement.query_row([name], |row| row.get::<_, i64>(0))? != 0)
    }

    /// Returns the names of the reference's tables that exist, sorted.
    pub(crate) fn tables(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
        let names = statement
            .query_map([], |row| Ok(text(row, 0)))?
            .collect::<rusqlite::Result<BTreeSet<_>>>()?;
        Ok(names
            .into_iter()
            .filter(|name| REFERENCE_TABLES.contains(&name.as_str()))
            .collect())
    }

    /// Returns the columns of one of the reference's tables.
    pub(crate) fn table_info(&self, name: &str) -> Result<Vec<ColumnInfo>, StoreError> {
        if !REFERENCE_TABLES.contains(&name) {
            return Err(StoreError::TableUnknown {
                name: name.to_owned(),
            });
        }
        let mut statement = self.connection.prepare(
            "SELECT cid, name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid",
        )?;
        let columns = statement.query_map([name], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })?;
        Ok(columns.collect::<rusqlite::Result<_>>()?)
    }
}

/// Refuses pipes and devices, for which SQLite could wait forever.
pub(crate) fn expect_no_pipe(path: &Path) -> Result<(), StoreError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(StoreError::NoFile {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Creates the folder and the file if they are missing, and returns the file's absolute path.
/// SQLite treats any absolute path as a file, even one that ends in `:memory:`.
fn create_files(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    // SQLite gives its journal the mode of the database, so all files have this mode.
    match create_private_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
        created => created.map(|_| path),
    }
}

/// Returns a column as text, for values of any type: SQLite does not enforce column types.
pub(crate) fn text(row: &Row<'_>, column: usize) -> String {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(ValueRef::Real(number)) => number.to_string(),
        Ok(ValueRef::Null) | Err(_) => String::new(),
    }
}

/// Returns a column as bytes; empty for values that are neither text nor bytes.
pub(crate) fn bytes(row: &Row<'_>, column: usize) -> Vec<u8> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

/// Returns a column as an integer; 0 for other values, which also means no administrator.
pub(crate) fn integer(row: &Row<'_>, column: usize) -> i64 {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => number,
        _ => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// Copies a database that was created by the Python tools.
    pub(crate) fn python_database() -> (TempDir, PathBuf) {
        let fixture = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/msl-network-1.0.0.sqlite3"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        std::fs::copy(fixture, &path).unwrap();
        (folder, path)
    }

    pub(crate) fn empty_database() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.sqlite3");
        (folder, path)
    }

    fn schema(path: &Path) -> Vec<(String, String)> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection
            .prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'labwire%'")
            .unwrap();
        let mut rows: Vec<_> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        rows.sort();
        rows
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_tables_are_those_that_the_python_tools_create_to_the_letter() {
        let (_python, reference) = python_database();
        let (_ours, path) = empty_database();
        Database::open(&path).unwrap();
        assert_eq!(schema(&path), schema(&reference));
    }

    #[test]
    fn opening_an_existing_database_changes_nothing_of_its_tables() {
        let (_folder, path) = python_database();
        let before = schema(&path);
        Database::open(&path).unwrap();
        Database::open(&path).unwrap();
        assert_eq!(schema(&path), before);
    }

    #[test]
    fn folder_database_and_journal_are_for_this_user_only() {
        let (folder, _) = empty_database();
        let path = folder.path().join("new").join("home").join("manager.sqlite3");
        let mut database = Database::open(&path).unwrap();
        assert_eq!(mode(&folder.path().join("new")), 0o700);
        assert_eq!(mode(&folder.path().join("new").join("home")), 0o700);
        assert_eq!(mode(&path), 0o600);
        let change = database.change().unwrap();
        change
            .execute("INSERT INTO auth_hostnames VALUES ('x')", [])
            .unwrap();
        assert_eq!(mode(&path.with_extension("sqlite3-journal")), 0o600);
    }

    #[test]
    fn an_existing_file_keeps_its_mode() {
        let (_folder, path) = python_database();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        Database::open(&path).unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn only_the_three_known_tables_are_shown() {
        let (_folder, path) = python_database();
        let database = Database::open(&path).unwrap();
        assert_eq!(database.tables().unwrap(), REFERENCE_TABLES);
        let columns = database.table_info("auth_users").unwrap();
        assert_eq!(
            columns[0],
            (0, "pid".to_owned(), "INTEGER".to_owned(), 0, None, 1)
        );
        assert_eq!(
            columns[4],
            (4, "is_admin".to_owned(), "BOOLEAN".to_owned(), 1, None, 0)
        );
        for hidden in [
            "labwire_password_rounds",
            "sqlite_master",
            "x'); DROP TABLE auth_users; --",
        ] {
            let error = database.table_info(hidden).unwrap_err();
            assert!(error.is_callers_mistake(), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_and_a_folder_are_errors() {
        let (folder, path) = empty_database();
        std::fs::write(
            &path,
            "this is a text, and long enough to be looked at by SQLite as a header".repeat(40),
        )
        .unwrap();
        let error = Database::open(&path).err().unwrap();
        assert_eq!(error.peer_text(), "OperationalError: file is not a database");
        assert!(matches!(
            Database::open(folder.path()),
            Err(StoreError::Database(_))
        ));
        let below_a_file = path.join("manager.sqlite3");
        assert!(matches!(
            Database::open(&below_a_file),
            Err(StoreError::Unreachable { .. })
        ));
    }
}
