//! Reads the record.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::entry::{Kind, Outcome, RecordedEntry};
use crate::error::RecordError;
use crate::file::NUL;
use crate::file::{FIRST_WITH_ARGUMENTS, FIRST_WITH_CLASSES, expect_no_pipe, expect_record, version};

/// The most entries of a page.
pub const MOST_ENTRIES: usize = 1_000;

/// The most entries that one page looks at, so that it takes no longer than a tenth of a second.
const LOOKED_AT: i64 = 100_000;

/// The most bytes of a name in a [`Filter`], as the manager's request for the record accepts it. Names of peers
/// are shorter; SQLite itself refuses patterns of more than 50,000 bytes.
pub const LONGEST_PATTERN: usize = 1_024;

/// How long a read waits for another program's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which entries to read. The default is all.
///
/// In the four names, `*` stands for any text. A NUL is found where the record has `␀` (U+2400) in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The name of the service.
    pub service: Option<String>,
    /// The attribute of a call or of an administrator's request.
    pub attribute: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The peer: its name on the network, `NAME[HOST:PORT]`, or only the part before the bracket.
    pub peer: Option<String>,
    /// The kinds; empty for all.
    pub kinds: Vec<Kind>,
    /// The outcomes; empty for all.
    pub outcomes: Vec<Outcome>,
    /// The first time.
    pub from: Option<Timestamp>,
    /// The time from which on entries are left out.
    pub until: Option<Timestamp>,
}

/// The order of the entries, and where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest entry first.
    NewestFirst {
        /// The number below which to begin; `None` for the newest entry.
        before: Option<i64>,
    },
    /// The oldest entry first.
    OldestFirst {
        /// The number above which to begin; `None` for the oldest entry.
        after: Option<i64>,
    },
}

/// Some entries. The manager's answer to the request `history` is one, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The entries. There may be none although there are more on the next page.
    pub entries: Vec<RecordedEntry>,
    /// The number with which the next page begins: the next `before` or `after`. `None` if there are
    /// no more entries.
    pub next: Option<i64>,
    /// The number of the newest entry of the record, whether it is in the page or not: who asks for
    /// what comes after it misses nothing. `None` if the record is empty.
    pub newest: Option<i64>,
}

/// An open record, for reading. A manager may write it at the same time.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    /// The version of its tables. An old one is read as it is: only a manager changes it.
    pub(crate) version: i64,
}

impl Reader {
    /// Opens a record. Changes nothing in it.
    ///
    /// # Errors
    /// [`RecordError::Unreachable`] if there is no such file, [`RecordError::NoFile`] if it is a pipe
    /// or a device, [`RecordError::Other`] if it is a database of something else,
    /// [`RecordError::TooNew`], and [`RecordError::Database`] if SQLite cannot read it.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        expect_no_pipe(path)?;
        let connection = if is_at_rest(path) {
            // Nobody writes it. SQLite would leave files beside it otherwise.
            open_unchanging(path)?
        } else {
            Connection::open_with_flags(path, READING).map_err(|error| why_not(path, error))?
        };
        connection.busy_timeout(PATIENCE)?;
        expect_record(&connection, path)?;
        let version = version(&connection)?;
        if version == 0 {
            return Err(RecordError::Other {
                path: path.to_owned(),
            });
        }
        Ok(Self { connection, version })
    }

    /// Returns some entries: at most `limit`, and at most [`MOST_ENTRIES`].
    ///
    /// # Errors
    /// [`RecordError::Database`].
    pub fn page(&self, filter: &Filter, order: Order, limit: usize) -> Result<Page, RecordError> {
        // One transaction, since entries may be added or removed meanwhile.
        let reading = self.connection.unchecked_transaction()?;
        let (first, last): (Option<i64>, Option<i64>) =
            reading.query_row("SELECT min(id), max(id) FROM entries", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Page {
                entries: Vec::new(),
                next: None,
                newest: None,
            });
        };
        // The numbers that this page looks at, and the direction.
        let looked_at = LOOKED_AT / filter.cost();
        let (from, to, direction) = match order {
            Order::NewestFirst { before } => {
                let to = before.map_or(last, |before| before.saturating_sub(1).min(last));
                (to.saturating_sub(looked_at - 1).max(first), to, "DESC")
            }
            Order::OldestFirst { after } => {
                let from = after.map_or(first, |after| after.saturating_add(1).max(first));
                (from, from.saturating_add(looked_at - 1).min(last), "ASC")
            }
        };
        let limit = limit.clamp(1, MOST_ENTRIES);
        let (conditions, mut values) = filter.conditions();
        let (_, numbers, arguments) = columns(self.version);
        let question = format!(
            "SELECT id, time, kind, outcome, user, peer, address, service, attribute, text, {numbers},
                    {arguments}
                FROM entries WHERE id BETWEEN ? AND ?{conditions} ORDER BY id {direction} LIMIT ?"
        );
        values.splice(0..0, [Value::from(from), Value::from(to)]);
        values.push(Value::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut statement = reading.prepare_cached(&question)?;
        let entries = statement
            .query_map(params_from_iter(values), recorded)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let reached = match entries.last() {
            Some(last) if entries.len() == limit => last.id,
            _ if direction == "DESC" => from,
            _ => to,
        };
        let has_more = match order {
            Order::NewestFirst { .. } => reached > first,
            Order::OldestFirst { .. } => reached < last,
        };
        Ok(Page {
            entries,
            next: has_more.then_some(reached),
            newest: Some(last),
        })
    }
}

impl Filter {
    /// Returns how many times longer than otherwise it takes to look at an entry, at least 1. SQLite compares a text
    /// again from each character on with what stands behind a `*`.
    fn cost(&self) -> i64 {
        let names = [&self.service, &self.attribute, &self.user, &self.peer];
        let patterns = names.into_iter().flatten().filter(|name| name.contains('*'));
        let bytes: usize = patterns.map(String::len).sum();
        i64::try_from(bytes / 8).map_or(LOOKED_AT, |cost| cost.clamp(1, LOOKED_AT))
    }

    /// Returns the conditions, each with `AND` before it, and their values.
    fn conditions(&self) -> (String, Vec<Value>) {
        // Writing to a string cannot fail.
        let mut text = String::new();
        let mut values = Vec::new();
        for (column, name) in [
            ("service", &self.service),
            ("attribute", &self.attribute),
            ("user", &self.user),
        ] {
            if let Some(name) = name {
                let _ = write!(text, " AND {column} GLOB ?");
                values.push(Value::from(glob(name)));
            }
        }
        if let Some(peer) = &self.peer {
            text.push_str(" AND (peer GLOB ? OR peer GLOB ?)");
            values.push(Value::from(glob(peer)));
            values.push(Value::from(format!("{}[[]*", glob(peer))));
        }
        let kinds = self.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>();
        let outcomes = self.outcomes.iter().map(|one| one.name()).collect::<Vec<_>>();
        for (column, names) in [("kind", kinds), ("outcome", outcomes)] {
            if !names.is_empty() {
                let places = vec!["?"; names.len()].join(", ");
                let _ = write!(text, " AND {column} IN ({places})");
                values.extend(names.into_iter().map(|name| Value::from(name.to_owned())));
            }
        }
        for (comparison, time) in [(">=", self.from), ("<", self.until)] {
            if let Some(time) = time {
                let _ = write!(text, " AND time {comparison} ?");
                values.push(Value::from(time.as_microsecond()));
            }
        }
        (text, values)
    }
}

/// Returns how the class, the numbers and the arguments are read from tables of a version.
pub(crate) fn columns(version: i64) -> (&'static str, &'static str, &'static str) {
    let (class, numbers) = if version < FIRST_WITH_CLASSES {
        ("0", "NULL, NULL, NULL, NULL, NULL")
    } else {
        ("class", "count, since, micros, longest, bytes")
    };
    let arguments = if version < FIRST_WITH_ARGUMENTS {
        "NULL"
    } else {
        "arguments"
    };
    (class, numbers, arguments)
}

/// Returns the pattern of SQLite for a name in which only `*` has a meaning.
fn glob(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '[' | '?' => {
                pattern.push('[');
                pattern.push(character);
                pattern.push(']');
            }
            '\0' => pattern.push_str(NUL),
            character => pattern.push(character),
        }
    }
    pattern
}

/// Copies a record, as of one moment, to a file that is empty or does not exist. A manager may write the record
/// meanwhile, or begin to. The path of the copy is absolute.
///
/// # Errors
/// As [`Reader::open`], and [`RecordError::Database`] if the copy cannot be written, also since there is something in
/// the file. A copy that has failed may be left in part.
pub fn copy_record(record: &Path, copy: &str) -> Result<(), RecordError> {
    expect_no_pipe(record)?;
    // With the right to write: SQLite removes its files beside a record that nobody else uses when it closes it, and
    // its locks count while a manager starts. SQLite reads the file all the same if this user may not write it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = Connection::open_with_flags(record, flags).map_err(|error| why_not(record, error))?;
    connection.busy_timeout(PATIENCE)?;
    expect_record(&connection, record)?;
    connection.execute("VACUUM INTO ?1", [copy])?;
    Ok(())
}

/// The flags for reading.
const READING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Checks that a file is a record that this Labwire can use, or is empty. Creates and changes no file,
/// also if a manager writes it meanwhile.
///
/// # Errors
/// Those of [`Reader::open`].
pub fn inspect_record(path: &Path) -> Result<(), RecordError> {
    expect_no_pipe(path)?;
    expect_record(&open_unchanging(path)?, path)
}

/// Returns whether a file has a write-ahead log that was copied into it when it was closed.
///
/// A file that this process writes is not opened: closing any descriptor of a file gives up all locks
/// that the process has on it (`fcntl(2)`), so that another program would take the log for one that
/// nobody uses, and remove it.
fn is_at_rest(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return false;
    }
    let mut header = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    // The versions of the format for writing and for reading: 2 with a write-ahead log.
    read.is_ok() && header[18..] == [2, 2]
}

/// Returns why SQLite cannot open a file, which it does not say.
fn why_not(path: &Path, error: rusqlite::Error) -> RecordError {
    match std::fs::File::open(path) {
        Ok(_) => error.into(),
        Err(reason) => RecordError::Unreachable {
            path: path.to_owned(),
            reason,
        },
    }
}

/// Opens a file as one that nobody changes.
fn open_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    Connection::open_with_flags(uri, READING | OpenFlags::SQLITE_OPEN_URI)
}

fn recorded(row: &rusqlite::Row<'_>) -> rusqlite::Result<RecordedEntry> {
    let text = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let number = |column: usize| -> rusqlite::Result<Option<u64>> {
        let number: Option<i64> = row.get(column)?;
        Ok(number.and_then(|number| u64::try_from(number).ok()))
    };
    let time: i64 = row.get(1)?;
    Ok(RecordedEntry {
        id: row.get(0)?,
        time: Timestamp::from_microsecond(time).unwrap_or_default(),
        kind: text(2).unwrap_or_default(),
        outcome: text(3).unwrap_or_default(),
        user: text(4),
        peer: text(5),
        address: text(6),
        service: text(7),
        attribute: text(8),
        text: text(9),
        count: number(10)?,
        since: row
            .get::<_, Option<i64>>(11)?
            .and_then(|since| Timestamp::from_microsecond(since).ok()),
        microseconds: number(12)?,
        longest: number(13)?,
        bytes: number(14)?,
        arguments: text(15),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::file::RecordFile;
    use crate::file::tests::empty;

    const NEWEST: Order = Order::NewestFirst { before: None };
    const OLDEST: Order = Order::OldestFirst { after: None };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Returns a record with an entry per second.
    fn sample() -> (tempfile::TempDir, Reader) {
        let (folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        let entry = |second, kind, outcome, user: Option<&str>, peer: &str, service: Option<&str>| Entry {
            outcome,
            user: user.map(Into::into),
            peer: Some(peer.into()),
            service: service.map(Into::into),
            ..Entry::at(at(second), kind)
        };
        let entries = [
            entry(1, Kind::Join, Outcome::Ok, Some("ada"), "Ada[pc:1]", None),
            entry(2, Kind::Lock, Outcome::Ok, Some("ada"), "Ada[pc:1]", Some("DMM")),
            entry(3, Kind::Lock, Outcome::Refused, None, "Adam[pc:2]", Some("DMM 2")),
            entry(
                4,
                Kind::Unlock,
                Outcome::Broken,
                Some("ada"),
                "Ada[pc:1]",
                Some("DMM"),
            ),
            entry(5, Kind::Leave, Outcome::Ok, Some("bob"), "B?b[pc:3]", Some("dmm")),
        ];
        let mut entries = entries;
        entries[2].attribute = Some("set_power".into());
        file.write(&entries, 0).unwrap();
        (folder, Reader::open(&path).unwrap())
    }

    fn ids(reader: &Reader, filter: &Filter) -> Vec<i64> {
        let page = reader.page(filter, OLDEST, 100).unwrap();
        assert_eq!(page.next, None);
        page.entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn a_copy_has_all_entries_whether_the_record_is_written_or_at_rest() {
        let (folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&[Entry::at(at(1), Kind::Join), Entry::at(at(2), Kind::Leave)], 0)
            .unwrap();
        // Part of it is in its log.
        let [open, closed] = ["open copy", "closed copy"].map(|name| folder.path().join(name));
        copy_record(&path, open.to_str().unwrap()).unwrap();
        drop(file);
        assert!(is_at_rest(&path));
        copy_record(&path, closed.to_str().unwrap()).unwrap();
        assert!(is_at_rest(&path), "the copying has left files beside the record");
        let error = copy_record(&path, closed.to_str().unwrap()).unwrap_err();
        assert!(matches!(error, RecordError::Database(_)), "{error}");
        for copy in [open, closed] {
            let reader = Reader::open(&copy).unwrap();
            assert_eq!(ids(&reader, &Filter::default()), [1, 2], "{}", copy.display());
            assert_eq!(reader.verify().unwrap().entries, 2);
            assert!(RecordFile::open(&copy).is_ok(), "a manager can go on with it");
        }
    }

    #[test]
    fn a_name_with_a_nul_hides_from_no_search() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        let mut entry = Entry::at(at(1), Kind::Call);
        entry.attribute = Some("\0set_power".into());
        file.write(&[entry], 0).unwrap();
        let reader = Reader::open(&path).unwrap();
        for attribute in ["*set_power", "\0set_power", "\u{2400}set*"] {
            let filter = Filter {
                attribute: Some(attribute.to_owned()),
                ..Filter::default()
            };
            assert_eq!(ids(&reader, &filter), [1], "{attribute:?}");
        }
    }

    #[test]
    fn each_filter_leaves_out_what_it_should() {
        let (_folder, reader) = sample();
        let name = |name: &str| Some(name.to_owned());
        let all = Filter::default();
        assert_eq!(ids(&reader, &all), [1, 2, 3, 4, 5]);
        for (service, found) in [("DMM", vec![2, 4]), ("DMM*", vec![2, 3, 4]), ("D?M", vec![])] {
            let service = name(service);
            assert_eq!(
                ids(
                    &reader,
                    &Filter {
                        service,
                        ..all.clone()
                    }
                ),
                found
            );
        }
        for (attribute, found) in [("set_power", vec![3]), ("set_*", vec![3]), ("power", vec![])] {
            let attribute = name(attribute);
            assert_eq!(
                ids(
                    &reader,
                    &Filter {
                        attribute,
                        ..all.clone()
                    }
                ),
                found
            );
        }
        for (user, found) in [("ada", vec![1, 2, 4]), ("*", vec![1, 2, 4, 5])] {
            let user = name(user);
            assert_eq!(ids(&reader, &Filter { user, ..all.clone() }), found);
        }
        for (peer, found) in [
            ("Ada", vec![1, 2, 4]),
            ("Ada[pc:1]", vec![1, 2, 4]),
            ("Ada*", vec![1, 2, 3, 4]),
            ("B?b", vec![5]),
            ("A?a", vec![]),
            ("*[pc:2]", vec![3]),
        ] {
            let peer = name(peer);
            assert_eq!(ids(&reader, &Filter { peer, ..all.clone() }), found);
        }
        let kinds = vec![Kind::Lock, Kind::Unlock];
        assert_eq!(ids(&reader, &Filter { kinds, ..all.clone() }), [2, 3, 4]);
        let outcomes = vec![Outcome::Refused];
        assert_eq!(
            ids(
                &reader,
                &Filter {
                    outcomes,
                    ..all.clone()
                }
            ),
            [3]
        );
        let (from, until) = (Some(at(2)), Some(at(4)));
        assert_eq!(ids(&reader, &Filter { from, until, ..all }), [2, 3]);
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let (_folder, reader) = sample();
        let filter = Filter::default();
        let mut seen = Vec::new();
        let mut order = NEWEST;
        loop {
            let page = reader.page(&filter, order, 2).unwrap();
            seen.extend(page.entries.iter().map(|entry| entry.id));
            let Some(next) = page.next else { break };
            order = Order::NewestFirst { before: Some(next) };
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        let page = reader
            .page(&filter, Order::OldestFirst { after: Some(3) }, 1)
            .unwrap();
        assert_eq!((page.entries[0].id, page.next), (4, Some(4)));
        let page = reader
            .page(&filter, Order::OldestFirst { after: Some(5) }, 1)
            .unwrap();
        assert_eq!((page.entries.len(), page.next, page.newest), (0, None, Some(5)));
    }

    #[test]
    fn a_page_ends_although_nothing_was_found_in_a_long_record() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        let count = usize::try_from(LOOKED_AT).unwrap() + 10;
        let mut entries = vec![Entry::new(Kind::Link); count];
        entries[3].service = Some("DMM".into());
        file.write(&entries, 0).unwrap();
        let reader = Reader::open(&path).unwrap();
        let filter = Filter {
            service: Some("DMM".to_owned()),
            ..Filter::default()
        };
        let page = reader.page(&filter, NEWEST, 10).unwrap();
        assert_eq!((page.entries.len(), page.next), (0, Some(11)));
        let order = Order::NewestFirst { before: page.next };
        let page = reader.page(&filter, order, 10).unwrap();
        assert_eq!((page.entries[0].id, page.next), (4, None));
        // A pattern that takes long to compare is compared with fewer entries at once.
        let filter = Filter {
            service: Some(format!("*{}b", "a".repeat(798))),
            ..Filter::default()
        };
        let page = reader.page(&filter, NEWEST, 10).unwrap();
        let looked_at = LOOKED_AT / 100;
        assert_eq!(page.next, Some(i64::try_from(count).unwrap() - looked_at + 1));
    }

    #[test]
    fn a_copy_without_the_files_beside_it_is_read() {
        let (folder, path) = empty();
        RecordFile::open(&path)
            .unwrap()
            .write(&[Entry::new(Kind::Start)], 0)
            .unwrap();
        let copies = folder.path().join("a folder with ?");
        std::fs::create_dir(&copies).unwrap();
        let copy = copies.join("copy.sqlite3");
        std::fs::copy(&path, &copy).unwrap();
        let reader = Reader::open(&copy).unwrap();
        assert_eq!(reader.verify().unwrap().entries, 1);
        inspect_record(&copy).unwrap();
        drop(reader);
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(&copies).unwrap().count(), 1);
        assert!(matches!(
            Reader::open(&copies.join("missing")),
            Err(RecordError::Unreachable { .. })
        ));
    }
}
