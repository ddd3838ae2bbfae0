//! Where the manager of a database records, for commands that change the database.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};

use crate::database::{Database, text};
use crate::error::StoreError;

/// The table. `database` is the file for which the row is meant: a copy of the database is that of another manager.
/// `record` is `NULL` if nothing is recorded.
pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS labwire_record (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    database TEXT NOT NULL,
    record TEXT
);
";

/// Where the manager that was started last with a database records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotedRecord {
    /// That is not known.
    Unknown,
    /// It records nothing.
    Nothing,
    /// In this file, by its absolute path.
    File(PathBuf),
}

impl Database {
    /// Notes where the manager of this database records; with `None`, nowhere. A path that is not UTF-8 is not noted.
    /// Writes nothing if the same is noted already.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read or changed.
    pub fn note_record(&mut self, record: Option<&Path>) -> Result<(), StoreError> {
        let noted = match record.map(Path::to_str) {
            None => NotedRecord::Nothing,
            Some(Some(path)) => NotedRecord::File(path.into()),
            Some(None) => NotedRecord::Unknown,
        };
        let (Some(database), true) = (self.path.to_str(), self.has_table("labwire_record")?) else {
            return Ok(());
        };
        if self.noted_record()? == noted {
            return Ok(());
        }
        if noted == NotedRecord::Unknown {
            self.connection.execute("DELETE FROM labwire_record", [])?;
        } else {
            self.connection.execute(
                "INSERT OR REPLACE INTO labwire_record (id, database, record) VALUES (1, ?1, ?2)",
                params![database, record.and_then(Path::to_str)],
            )?;
        }
        Ok(())
    }

    /// Returns where the manager that was started last with this database records.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read.
    pub fn noted_record(&self) -> Result<NotedRecord, StoreError> {
        if !self.has_table("labwire_record")? {
            return Ok(NotedRecord::Unknown);
        }
        let sql = "SELECT record IS NULL, record FROM labwire_record WHERE database = ?1";
        let noted = self.connection.query_row(sql, [self.path.to_str()], |row| {
            let is_nothing: bool = row.get(0)?;
            Ok(if is_nothing {
                NotedRecord::Nothing
            } else {
                NotedRecord::File(text(row, 1).into())
            })
        });
        Ok(noted.optional()?.unwrap_or(NotedRecord::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::empty_database;

    #[test]
    fn the_record_of_the_last_start_is_noted_for_this_file_alone() {
        let (folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.noted_record().unwrap(), NotedRecord::Unknown);
        let record = Path::new("/lab/record.sqlite3");
        database.note_record(Some(record)).unwrap();
        // By another way to the same file.
        let link = folder.path().join("link.sqlite3");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let noted = Database::open(&link).unwrap().noted_record().unwrap();
        assert_eq!(noted, NotedRecord::File(record.to_owned()));
        let copy = folder.path().join("copy.sqlite3");
        std::fs::copy(&path, &copy).unwrap();
        let mut copy = Database::open(&copy).unwrap();
        assert_eq!(copy.noted_record().unwrap(), NotedRecord::Unknown);
        copy.note_record(None).unwrap();
        assert_eq!(copy.noted_record().unwrap(), NotedRecord::Nothing);
        database.note_record(None).unwrap();
        assert_eq!(database.noted_record().unwrap(), NotedRecord::Nothing);
    }

    #[test]
    fn what_is_noted_already_is_not_written_again() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        database.note_record(Some(Path::new("/lab/record"))).unwrap();
        let before = std::fs::read(&path).unwrap();
        database.note_record(Some(Path::new("/lab/record"))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
