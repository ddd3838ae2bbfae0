//! Checks that no entry was changed or removed.

use jiff::Timestamp;

use crate::chain::{Hash, Row};
use crate::entry::Class;
use crate::error::RecordError;
use crate::file::{FIRST_WITH_CLASSES, begins, begins_of_one_class, hash};
use crate::reader::{Reader, columns};

/// The result of a check that has found no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of entries.
    pub entries: u64,
    /// The number and the time of the first entry.
    pub first: Option<(i64, Timestamp)>,
    /// The number and the time of the last entry.
    pub last: Option<(i64, Timestamp)>,
    /// The numbers of the last change, the last refusal and the last call, as far as there are any, and
    /// their hashes in hexadecimal. Each covers the entries of its class before it: who keeps a copy of
    /// them elsewhere notices later whether those were changed.
    pub hashes: Vec<(i64, String)>,
}

/// Why a record cannot be trusted, or was not checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An entry was changed, or an entry before it was changed or removed, after it was written.
    #[error("entry {id} is not what was written, or an entry before it was changed or removed")]
    Changed {
        /// The number of the entry.
        id: i64,
    },
    /// Entries are missing before this one.
    #[error("entries are missing: {expected} was expected and {id} found")]
    Missing {
        /// The number that should follow.
        expected: i64,
        /// The number that follows.
        id: i64,
    },
    /// The record cannot be read.
    #[error(transparent)]
    Unreadable(#[from] RecordError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl Reader {
    /// Checks the hashes of all entries, which takes about a second per million.
    ///
    /// # Errors
    /// [`Fault::Changed`] and [`Fault::Missing`] with the first entry that is wrong;
    /// [`Fault::Unreadable`]. A record whose newest entries, or the oldest of a class, were removed with all
    /// means of writing to the file, or whose hashes were computed anew, has no fault: compare the hash of
    /// an entry with one that was noted elsewhere.
    pub fn verify(&self) -> Result<Verified, Fault> {
        // One transaction: entries that are pruned meanwhile stay in sight.
        let reading = self.connection.unchecked_transaction()?;
        let begins = if self.version < FIRST_WITH_CLASSES {
            begins_of_one_class(&reading)?
        } else {
            begins(&reading)?
        };
        let (class, numbers, arguments) = columns(self.version);
        // Up to this number, entries of some class were removed, and the numbers have gaps.
        let removed = begins.iter().map(|begin| begin.id).max().unwrap_or_default();
        let mut before = begins.map(|begin| begin.hash);
        let mut id = 0;
        let mut last = [None; Class::ALL.len()];
        let mut verified = Verified {
            entries: 0,
            first: None,
            last: None,
            hashes: Vec::new(),
        };
        let mut statement = reading.prepare(&format!(
            "SELECT id, time, kind, outcome, user, peer, address, service, attribute, text, hash, {class},
                    {numbers}, {arguments}
                FROM entries ORDER BY id"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let found: i64 = row.get(0)?;
            let expected = id.max(removed).saturating_add(1);
            if found > expected {
                return Err(Fault::Missing { expected, id: found });
            }
            let changed = || Fault::Changed { id: found };
            let class = row
                .get(11)
                .ok()
                .and_then(Class::from_number)
                .ok_or_else(changed)?;
            let before = &mut before[class.index()];
            let hash = computed(row, found, before).map_err(|_| changed())?;
            if hash != self::hash(row, 10)? {
                return Err(changed());
            }
            let time = Timestamp::from_microsecond(row.get(1)?).unwrap_or_default();
            verified.first.get_or_insert((found, time));
            verified.last = Some((found, time));
            verified.entries += 1;
            *before = hash;
            last[class.index()] = Some((found, hash));
            id = found;
        }
        let last = last.into_iter().flatten();
        verified.hashes = last.map(|(id, hash)| (id, hexadecimal(&hash))).collect();
        Ok(verified)
    }
}

/// Returns the hash that a row should have. Fails if a column has another type.
fn computed(row: &rusqlite::Row<'_>, id: i64, before: &Hash) -> Result<Hash, rusqlite::Error> {
    let text = |column: usize| -> Result<Option<&str>, rusqlite::Error> {
        let value = row.get_ref(column)?;
        Ok(value.as_str_or_null()?)
    };
    let row = Row {
        id,
        time: row.get(1)?,
        kind: text(2)?.unwrap_or_default(),
        outcome: text(3)?.unwrap_or_default(),
        texts: [text(4)?, text(5)?, text(6)?, text(7)?, text(8)?, text(9)?],
        numbers: [
            row.get(12)?,
            row.get(13)?,
            row.get(14)?,
            row.get(15)?,
            row.get(16)?,
        ],
        arguments: text(17)?,
    };
    Ok(row.hash(before))
}

fn hexadecimal(hash: &Hash) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::entry::{Entry, Outcome};
    use crate::file::RecordFile;
    use crate::file::tests::{empty, locks};

    /// Returns the fault of a record of ten entries after a change by someone with all means.
    fn fault_after(change: &str) -> Option<String> {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        file.write(&locks(10), 0).unwrap();
        drop(file);
        let other = Connection::open(&path).unwrap();
        other
            .execute_batch("DROP TRIGGER no_update; DROP TRIGGER no_delete;")
            .unwrap();
        other.execute_batch(change).unwrap();
        drop(other);
        let verified = Reader::open(&path).unwrap().verify();
        verified.err().map(|fault| fault.to_string())
    }

    #[test]
    fn a_change_behind_the_managers_back_is_found() {
        for (change, fault) in [
            ("UPDATE entries SET user = 'bob' WHERE id = 4", "entry 4 is not"),
            (
                "UPDATE entries SET time = time + 1 WHERE id = 4",
                "entry 4 is not",
            ),
            ("UPDATE entries SET text = 7 WHERE id = 4", "entry 4 is not"),
            ("DELETE FROM entries WHERE id = 4", "4 was expected and 5 found"),
            ("DELETE FROM entries WHERE id = 1", "1 was expected and 2 found"),
            (
                "DELETE FROM entries WHERE id = 4; UPDATE entries SET id = id - 1 WHERE id > 4",
                "entry 4 is not",
            ),
            (
                "UPDATE entries SET hash = zeroblob(32) WHERE id = 10",
                "entry 10 is not",
            ),
        ] {
            let found = fault_after(change).unwrap_or_default();
            assert!(found.contains(fault), "{change}: {found}");
        }
        assert_eq!(fault_after(""), None);
    }

    #[test]
    fn the_hashes_of_the_last_entries_tell_records_apart() {
        let (_folder, path) = empty();
        let mut file = RecordFile::open(&path).unwrap();
        let hashes = || Reader::open(&path).unwrap().verify().unwrap().hashes;
        assert_eq!(hashes(), []);
        file.write(&locks(1), 0).unwrap();
        let one = hashes();
        assert_eq!((one.len(), one[0].0, one[0].1.len()), (1, 1, 64));
        let refused = Entry {
            outcome: Outcome::Refused,
            ..locks(1).remove(0)
        };
        file.write(&[refused], 0).unwrap();
        let both = hashes();
        assert_eq!((both.len(), &both[0], both[1].0), (2, &one[0], 2));
        assert_eq!(both, hashes());
    }
}
