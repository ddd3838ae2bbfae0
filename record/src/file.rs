//! The SQLite file of the record, and how entries are written to it.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use labwire_home::{create_private_file, create_private_folder};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::chain::{BEGIN, Hash, Row};
use crate::entry::{Class, Entry, Kind};
use crate::error::RecordError;

/// How long opening waits for another program's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Marks the file as a record: `LwRc` in ASCII.
pub(crate) const APPLICATION_ID: i64 = 0x4c77_5263;

/// The most bytes of a text that are kept.
const LONGEST_TEXT: usize = 1_000;

/// The most bytes of the write-ahead log that stay on disk after it was copied into the file.
const LOG_SIZE: i64 = 16 << 20;

/// The changes that lead from each version of the tables to the next. A change that was published is
/// never edited.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        kind TEXT NOT NULL,
        outcome TEXT NOT NULL,
        user TEXT, peer TEXT, address TEXT, service TEXT, attribute TEXT, text TEXT,
        hash BLOB NOT NULL
    );
    -- The last entry that was removed because of its age or of the size of the file, its hash, and the
    -- date from which ages are measured.
    CREATE TABLE removed (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        id INTEGER NOT NULL,
        hash BLOB NOT NULL,
        reference INTEGER
    );
    INSERT INTO removed VALUES (1, 0, zeroblob(32), NULL);
    CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN
        SELECT RAISE(ABORT, 'entries of the record cannot be changed');
    END;
    CREATE TRIGGER no_delete BEFORE DELETE ON entries WHEN OLD.id > (SELECT id FROM removed) BEGIN
        SELECT RAISE(ABORT, 'entries of the record cannot be removed');
    END;
",
    "
    ALTER TABLE entries ADD COLUMN class INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN count INTEGER;
    ALTER TABLE entries ADD COLUMN since INTEGER;
    ALTER TABLE entries ADD COLUMN micros INTEGER;
    ALTER TABLE entries ADD COLUMN longest INTEGER;
    ALTER TABLE entries ADD COLUMN bytes INTEGER;
    CREATE INDEX by_class ON entries (class);
    -- Of each class, the last entry that was removed, and its hash.
    CREATE TABLE begins (
        class INTEGER PRIMARY KEY,
        id INTEGER NOT NULL,
        hash BLOB NOT NULL
    );
    INSERT INTO begins SELECT 0, id, hash FROM removed;
    INSERT INTO begins VALUES (1, 0, zeroblob(32)), (2, 0, zeroblob(32));
    DROP TRIGGER no_delete;
    CREATE TRIGGER no_delete BEFORE DELETE ON entries
        WHEN OLD.id > coalesce((SELECT id FROM begins WHERE class = OLD.class), 0) BEGIN
        SELECT RAISE(ABORT, 'entries of the record cannot be removed');
    END;
    ALTER TABLE removed DROP COLUMN id;
    ALTER TABLE removed DROP COLUMN hash;
    ALTER TABLE removed RENAME TO ages;
",
    "ALTER TABLE entries ADD COLUMN arguments TEXT;",
    "
    -- INSERT OR REPLACE fires no trigger for what it removes.
    CREATE TRIGGER no_replacement BEFORE INSERT ON entries
        WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.id) BEGIN
        SELECT RAISE(ABORT, 'entries of the record cannot be changed');
    END;
",
];

/// The version of the tables from which on there are classes of entries.
pub(crate) const FIRST_WITH_CLASSES: i64 = 2;

/// The version of the tables from which on there are arguments of calls.
pub(crate) const FIRST_WITH_ARGUMENTS: i64 = 3;

/// The open file, for the one thread that writes it.
#[derive(Debug)]
pub(crate) struct RecordFile {
    pub(crate) connection: Connection,
}

impl RecordFile {
    /// Opens the record, and creates its missing parts: the folder (mode 0700), the file (mode
    /// 0600) and the tables.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        expect_no_pipe(path)?;
        let path = &create_files(path).map_err(|reason| RecordError::Unreachable {
            path: path.to_owned(),
            reason,
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        expect_record(&connection, path)?;
        // Takes effect in a new file only.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        prepare_log(&connection)?;
        let mut file = Self { connection };
        file.migrate()?;
        Ok(file)
    }

    /// Starts a change with the write lock.
    pub(crate) fn change(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    fn migrate(&mut self) -> Result<(), RecordError> {
        if version(&self.connection)? >= newest_version() {
            return Ok(());
        }
        let change = self.change()?;
        // Read again, under the write lock: another program may have been faster.
        let found = usize::try_from(version(&change)?).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(found) {
            change.execute_batch(migration)?;
        }
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", newest_version())?;
        Ok(change.commit()?)
    }

    /// Writes entries in one transaction, and behind them, if some were lost, an entry that says so.
    pub(crate) fn write(&mut self, entries: &[Entry], lost: u64) -> rusqlite::Result<()> {
        let change = self.change()?;
        {
            let mut appending = Appending::new(&change)?;
            for entry in entries {
                appending.add(entry)?;
            }
            if lost > 0 {
                appending.add(&Entry {
                    text: Some(lost_text(lost).into()),
                    ..Entry::new(Kind::Gap)
                })?;
            }
        }
        change.commit()
    }
}

fn lost_text(lost: u64) -> String {
    match lost {
        1 => "1 entry was lost".to_owned(),
        _ => format!("{lost} entries were lost"),
    }
}

/// Adds entries behind the last one.
struct Appending<'a> {
    insert: rusqlite::CachedStatement<'a>,
    last_id: i64,
    /// The hashes of the last entries of the classes.
    hashes: [Hash; Class::ALL.len()],
}

impl<'a> Appending<'a> {
    /// Must be called under the write lock: another program may add entries too.
    fn new(change: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        let insert = change.prepare_cached(
            "INSERT INTO entries
                (id, time, kind, outcome, user, peer, address, service, attribute, text, hash, class,
                    count, since, micros, longest, bytes, arguments)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?;
        let mut hashes = [BEGIN; Class::ALL.len()];
        let mut last_id = last_id(change)?;
        for (begin, last) in begins(change)?.into_iter().zip(&mut hashes) {
            last_id = last_id.max(begin.id);
            *last = last_hash(change, begin.class)?.unwrap_or(begin.hash);
        }
        Ok(Self {
            insert,
            last_id,
            hashes,
        })
    }

    fn add(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        let address = entry.address.map(|address| address.to_string());
        let class = entry.class();
        let texts = [
            entry.user.as_deref(),
            entry.peer.as_deref(),
            address.as_deref(),
            entry.service.as_deref(),
            entry.attribute.as_deref(),
            entry.text.as_deref(),
        ]
        .map(|text| text.map(stored));
        let arguments = entry.arguments.as_deref().map(stored);
        let row = Row {
            id: self.last_id.saturating_add(1),
            time: entry.at.as_microsecond(),
            kind: entry.kind.name(),
            outcome: entry.outcome.name(),
            texts: texts.each_ref().map(Option::as_deref),
            numbers: [
                entry.repeats.map(|repeats| whole(repeats.count)),
                entry.repeats.map(|repeats| repeats.since.as_microsecond()),
                entry.cost.map(|cost| whole(cost.micros)),
                entry.cost.map(|cost| whole(cost.longest)),
                entry.cost.map(|cost| whole(cost.bytes)),
            ],
            arguments: arguments.as_deref(),
        };
        let hash = row.hash(&self.hashes[class.index()]);
        let [user, peer, address, service, attribute, text] = row.texts;
        let [count, since, micros, longest, bytes] = row.numbers;
        self.insert.execute(params![
            row.id,
            row.time,
            row.kind,
            row.outcome,
            user,
            peer,
            address,
            service,
            attribute,
            text,
            hash,
            class.number(),
            count,
            since,
            micros,
            longest,
            bytes,
            row.arguments
        ])?;
        self.last_id = row.id;
        self.hashes[class.index()] = hash;
        Ok(())
    }
}

/// Returns a number as SQLite stores it.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a text as it is stored: [`truncated`], and with `␀` (U+2400) in place of a NUL, at which SQLite ends a
/// text that it compares or prints. A name could hide from searches with it otherwise.
fn stored(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        let visible = text.replace('\0', NUL);
        Cow::Owned(truncated(&visible).to_owned())
    } else {
        Cow::Borrowed(truncated(text))
    }
}

/// What is stored in place of a NUL.
pub(crate) const NUL: &str = "\u{2400}";

/// Returns the first bytes of a text, at most [`LONGEST_TEXT`].
pub(crate) fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Returns the number of the last entry; 0 if there is none.
fn last_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM entries", [], |row| row.get(0))
}

/// Returns the hash of the last entry of a class.
fn last_hash(connection: &Connection, class: Class) -> rusqlite::Result<Option<Hash>> {
    connection
        .prepare_cached("SELECT hash FROM entries WHERE class = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([class.number()], |row| hash(row, 0))
        .optional()
}

/// Where the entries of a class begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) class: Class,
    /// The number and the hash of the last entry that was removed; 0 and [`BEGIN`] if none was.
    pub(crate) id: i64,
    pub(crate) hash: Hash,
}

impl Begin {
    fn first(class: Class) -> Self {
        Self {
            class,
            id: 0,
            hash: BEGIN,
        }
    }
}

/// Returns where the entries of each class begin.
pub(crate) fn begins(connection: &Connection) -> rusqlite::Result<[Begin; Class::ALL.len()]> {
    let mut found = Class::ALL.map(Begin::first);
    let mut statement = connection.prepare_cached("SELECT id, hash FROM begins WHERE class = ?1")?;
    for begin in &mut found {
        let read = statement
            .query_row([begin.class.number()], |row| Ok((row.get(0)?, hash(row, 1)?)))
            .optional()?;
        if let Some((id, hash)) = read {
            (begin.id, begin.hash) = (id, hash);
        }
    }
    Ok(found)
}

/// As [`begins`], for a record from before there were classes.
pub(crate) fn begins_of_one_class(connection: &Connection) -> rusqlite::Result<[Begin; Class::ALL.len()]> {
    let mut found = Class::ALL.map(Begin::first);
    (found[0].id, found[0].hash) = connection.query_row("SELECT id, hash FROM removed", [], |row| {
        Ok((row.get(0)?, hash(row, 1)?))
    })?;
    Ok(found)
}

/// Returns a column as a hash. One of another length, which no entry has, is that of no entry.
pub(crate) fn hash(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    let bytes = row.get_ref(column)?.as_blob().unwrap_or_default();
    Ok(bytes.try_into().unwrap_or(BEGIN))
}

/// Chooses the write-ahead log, with which readers do not hold up the writer. On a file system
/// without shared memory, such as some network folders, the file keeps its rollback journal.
fn prepare_log(connection: &Connection) -> rusqlite::Result<()> {
    let mode: rusqlite::Result<String> =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    // Without a log, a cheaper setting could damage the file if the power fails.
    let synchronous = match mode {
        Ok(mode) if mode == "wal" => "NORMAL",
        _ => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_SIZE}"), [], |_| Ok(()))
}

fn newest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Returns the version of the tables; 0 if there are none.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Refuses a file that is something else than a record, or that only a later Labwire can use.
pub(crate) fn expect_record(connection: &Connection, path: &Path) -> Result<(), RecordError> {
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables > 0 && id != APPLICATION_ID {
        return Err(RecordError::Other {
            path: path.to_owned(),
        });
    }
    let version = version(connection)?;
    if tables > 0 && version > newest_version() {
        return Err(RecordError::TooNew {
            path: path.to_owned(),
            version,
        });
    }
    Ok(())
}

/// Refuses pipes and devices, for which SQLite could wait forever.
pub(crate) fn expect_no_pipe(path: &Path) -> Result<(), RecordError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(RecordError::NoFile {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Creates the folder and the file if they are missing, and returns the file's absolute path.
fn create_files(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if let Some(folder) = path.parent() {
        create_private_folder(folder)?;
    }
    // SQLite gives the files beside it the same mode.
    match create_private_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
        created => created.map(|_| path),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::entry::Outcome;
    use crate::reader::{Filter, Order, Reader};

    pub(crate) fn empty() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.record.sqlite3");
        (folder, path)
    }

    pub(crate) fn locks(count: usize) -> Vec<Entry> {
        let entry = Entry {
            user: Some("ada".into()),
            peer: Some("Ada[lab-pc:50001]".into()),
            address: Some([127, 0, 0, 1].into()),
            service: Some("DMM".into()),
            ..Entry::new(Kind::Lock)
        };
        vec![entry; count]
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn beside(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    #[test]
    fn the_files_are_for_this_user_only() {
        let (folder, _) = empty();
        let path = folder.path().join("new").join("manager.record.sqlite3");
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(1), 0).unwrap();
        assert_eq!(mode(&folder.path().join("new")), 0o700);
        for suffix in ["", "-wal", "-shm"] {
            assert_eq!(mode(&beside(&path, suffix)), 0o600, "{suffix}");
        }
    }

    #[test]
    fn entries_can_be_neither_changed_nor_removed() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(3), 0).unwrap();
        for change in [
            "UPDATE entries SET user = 'mallory' WHERE id = 2",
            "DELETE FROM entries WHERE id = 3",
            "DELETE FROM entries",
        ] {
            let error = file.connection.execute(change, []).unwrap_err().to_string();
            assert!(error.starts_with("entries of the record cannot be "), "{error}");
        }
        assert_eq!(Reader::open(&path).unwrap().verify().unwrap().entries, 3);
    }

    #[test]
    fn the_numbers_go_on_after_a_restart_and_a_lost_entry_is_told() {
        let (_folder, path) = empty();
        RecordFile::open(&path).unwrap().write(&locks(2), 0).unwrap();
        RecordFile::open(&path).unwrap().write(&locks(1), 7).unwrap();
        let reader = Reader::open(&path).unwrap();
        let page = reader
            .page(&Filter::default(), Order::OldestFirst { after: None }, 10)
            .unwrap();
        let ids: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [1, 2, 3, 4]);
        let last = page.entries.last().unwrap();
        assert_eq!(last.kind, "gap");
        assert_eq!(last.text.as_deref(), Some("7 entries were lost"));
        reader.verify().unwrap();
    }

    #[test]
    fn two_programs_write_one_chain() {
        let (_folder, path) = empty();
        let (mut one, mut other) = (RecordFile::open(&path).unwrap(), RecordFile::open(&path).unwrap());
        let refused = Entry {
            outcome: Outcome::Refused,
            ..locks(1).remove(0)
        };
        for _ in 0..5 {
            one.write(&locks(2), 0).unwrap();
            other.write(&[locks(1).remove(0), refused.clone()], 0).unwrap();
        }
        assert_eq!(Reader::open(&path).unwrap().verify().unwrap().entries, 20);
    }

    #[test]
    fn a_record_of_the_first_version_is_continued() {
        let (_folder, path) = empty();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        // Entry 3, behind two that were removed.
        let hashes = [[7; 32], [0; 32]];
        let row = Row {
            id: 3,
            time: 5,
            kind: "lock",
            outcome: "refused",
            texts: [None, Some("Ada[pc:1]"), None, None, None, None],
            numbers: [None; 5],
            arguments: None,
        };
        old.execute("UPDATE removed SET id = 2, hash = ?1", [hashes[0]])
            .unwrap();
        let values = params![row.hash(&hashes[0])];
        old.execute(
            "INSERT INTO entries VALUES
                (3, 5, 'lock', 'refused', NULL, 'Ada[pc:1]', NULL, NULL, NULL, NULL, ?1)",
            values,
        )
        .unwrap();
        drop(old);
        let reader = Reader::open(&path).unwrap();
        let order = Order::OldestFirst { after: None };
        assert_eq!(
            reader.page(&Filter::default(), order, 10).unwrap().entries[0].id,
            3
        );
        assert_eq!(reader.verify().unwrap().entries, 1);
        drop(reader);
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(2), 0).unwrap();
        drop(file);
        let verified = Reader::open(&path).unwrap().verify().unwrap();
        assert_eq!((verified.entries, verified.last.unwrap().0), (3, 5));
    }

    /// The second version has no column for arguments.
    #[test]
    fn a_record_of_the_second_version_is_read_and_continued_with_arguments() {
        let (_folder, path) = empty();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&MIGRATIONS[..2].concat()).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 2).unwrap();
        let row = Row {
            id: 1,
            time: 5,
            kind: "call",
            outcome: "ok",
            texts: [None; 6],
            numbers: [Some(2), Some(3), None, None, None],
            arguments: None,
        };
        let sql = "INSERT INTO entries (id, time, kind, outcome, hash, class, count, since)
            VALUES (1, 5, 'call', 'ok', ?1, 2, 2, 3)";
        old.execute(sql, params![row.hash(&BEGIN)]).unwrap();
        drop(old);
        let order = Order::OldestFirst { after: None };
        let reader = Reader::open(&path).unwrap();
        assert_eq!(
            reader.page(&Filter::default(), order, 10).unwrap().entries[0].count,
            Some(2)
        );
        assert_eq!(reader.verify().unwrap().entries, 1);
        drop(reader);
        let call = |arguments: Option<&str>| Entry {
            arguments: arguments.map(Into::into),
            ..Entry::new(Kind::Call)
        };
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&[call(Some("[1]")), call(None)], 0).unwrap();
        let reader = Reader::open(&path).unwrap();
        let entries = reader.page(&Filter::default(), order, 10).unwrap().entries;
        let arguments: Vec<_> = entries.iter().map(|entry| entry.arguments.as_deref()).collect();
        assert_eq!(arguments, [None, Some("[1]"), None]);
        assert_eq!(reader.verify().unwrap().entries, 3);
        drop(reader);
        file.connection
            .execute_batch("DROP TRIGGER no_update; UPDATE entries SET arguments = '[2]' WHERE id = 2;")
            .unwrap();
        let fault = Reader::open(&path).unwrap().verify().unwrap_err().to_string();
        assert!(fault.contains("entry 2 is not"), "{fault}");
    }

    #[test]
    fn no_entry_is_replaced() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&[Entry::new(Kind::Lock)], 0).unwrap();
        let replace = "INSERT OR REPLACE INTO entries SELECT id, time, kind, outcome, 'mallory', peer, address, service,
            attribute, text, hash, class, count, since, micros, longest, bytes, arguments FROM entries";
        let error = file.connection.execute_batch(replace).unwrap_err().to_string();
        assert!(error.contains("cannot be changed"), "{error}");
        Reader::open(&path).unwrap().verify().unwrap();
    }

    #[test]
    fn long_texts_are_truncated_between_characters() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        let entry = Entry {
            text: Some("é".repeat(501).into()),
            ..Entry::new(Kind::Call)
        };
        file.write(&[entry], 0).unwrap();
        let reader = Reader::open(&path).unwrap();
        let page = reader
            .page(&Filter::default(), Order::NewestFirst { before: None }, 10)
            .unwrap();
        assert_eq!(page.entries[0].text, Some("é".repeat(500)));
        reader.verify().unwrap();
    }

    #[test]
    fn a_database_of_something_else_is_left_as_it_is() {
        let (_folder, path) = empty();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE auth_users (key BLOB)").unwrap();
        assert!(matches!(RecordFile::open(&path), Err(RecordError::Other { .. })));
        assert!(matches!(Reader::open(&path), Err(RecordError::Other { .. })));
        std::fs::write(&path, "this is a text and no database ".repeat(100)).unwrap();
        assert!(matches!(RecordFile::open(&path), Err(RecordError::Database(_))));
    }

    #[test]
    fn a_record_of_a_later_version_is_left_as_it_is() {
        let (_folder, path) = empty();
        let file = RecordFile::open(&path).unwrap();
        file.connection
            .pragma_update(None, "user_version", newest_version() + 1)
            .unwrap();
        assert!(matches!(RecordFile::open(&path), Err(RecordError::TooNew { .. })));
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_written() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(10), 0).unwrap();
        let pages: i64 = file
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let limit = |file: &RecordFile, pages: i64| {
            file.connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .unwrap();
        };
        limit(&file, pages);
        let error = file.write(&locks(1_000), 0).unwrap_err();
        let code = error.sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::DiskFull), "{error}");
        limit(&file, 1_000_000);
        file.write(&locks(1_000), 0).unwrap();
        assert_eq!(Reader::open(&path).unwrap().verify().unwrap().entries, 1_010);
    }
}
