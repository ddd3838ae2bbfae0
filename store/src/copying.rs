//! A copy of the database while others use it.

use crate::database::Database;
use crate::error::StoreError;

impl Database {
    /// Copies the database, as of one moment, to a file that is empty or does not exist. Other programs can use the
    /// database meanwhile. The path of the copy is absolute.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read, or the copy cannot be written, also since there is
    /// something in the file. A copy that has failed may be left in part.
    pub fn copy_to(&self, copy: &str) -> Result<(), StoreError> {
        self.connection.execute("VACUUM INTO ?1", [copy])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passwords::{COMPATIBLE_ROUNDS, HashedPassword};

    #[test]
    fn a_copy_is_made_while_another_program_writes_and_an_existing_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut database = Database::open(&folder.path().join("manager.sqlite3")).unwrap();
        let mut other = Database::open(&folder.path().join("manager.sqlite3")).unwrap();
        let password = HashedPassword::new("ada", "x", COMPATIBLE_ROUNDS).unwrap();
        other.insert_user("ada", &password, true).unwrap();
        let unfinished = other.change().unwrap();
        let copy = folder.path().join("it's a copy.sqlite3");
        let copy = copy.to_str().unwrap();
        database.copy_to(copy).unwrap();
        drop(unfinished);
        database.insert_user("bob", &password, false).unwrap();

        let copied = Database::open(copy.as_ref()).unwrap();
        assert_eq!(copied.users().unwrap(), [("ada".to_owned(), true)]);
        let error = database.copy_to(copy).unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
        assert_eq!(copied.users().unwrap().len(), 1);
    }
}
