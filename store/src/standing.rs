//! Which user has logged in, and what the user is by now: a later user of the same name is another one.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::database::{Database, integer};
use crate::error::StoreError;

/// A table with a number for each row of `auth_users`, and its triggers. `pid` alone is not enough: another program may
/// insert a row with one that was used before. A user who is renamed is another one, as for tokens.
///
/// The first statement of each trigger removes the row that the second would conflict with: the statement that
/// fires a trigger decides how conflicts are resolved.
pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS labwire_users (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL UNIQUE
);
INSERT INTO labwire_users (pid) SELECT pid FROM auth_users
    WHERE pid NOT IN (SELECT pid FROM labwire_users) ORDER BY pid;
CREATE TRIGGER IF NOT EXISTS labwire_user_numbered AFTER INSERT ON auth_users BEGIN
    DELETE FROM labwire_users WHERE pid = NEW.pid;
    INSERT INTO labwire_users (pid) VALUES (NEW.pid);
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_renumbered AFTER UPDATE OF pid, username ON auth_users
WHEN NEW.pid != OLD.pid OR NEW.username != OLD.username BEGIN
    DELETE FROM labwire_users WHERE pid IN (OLD.pid, NEW.pid);
    INSERT INTO labwire_users (pid) VALUES (NEW.pid);
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_with_number_removed AFTER DELETE ON auth_users BEGIN
    DELETE FROM labwire_users WHERE pid = OLD.pid;
END;
";

/// The user as whom somebody has logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginUser {
    /// The primary key of the user's row.
    pub id: i64,
    /// The number that the row was given when it was inserted, which no other row ever has. It is 0 if
    /// the file has no table of these numbers; then users are known by `id`.
    pub number: i64,
    /// When the row was read, in the order of [`UserStandings`].
    pub read: u64,
}

/// The users that are there, and which of them are administrators, as of one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserStandings {
    /// By the primary key of the row: its number, and whether the user is an administrator.
    present: HashMap<i64, (i64, bool)>,
    /// Grows with each reading, also with those for logins.
    pub(crate) read: u64,
}

impl UserStandings {
    /// Returns whether the user was removed. One who has logged in later was not.
    pub fn is_removed(&self, user: &LoginUser) -> bool {
        self.were_read_after(user) && self.row_of(user).is_none()
    }

    /// Returns whether the user is no administrator, as a user who was removed. Of one who has logged in
    /// later nothing is known.
    pub fn is_no_administrator(&self, user: &LoginUser) -> bool {
        self.were_read_after(user) && self.row_of(user) != Some(true)
    }

    /// Returns whether they were read after the user has logged in.
    pub fn were_read_after(&self, user: &LoginUser) -> bool {
        self.read > user.read
    }

    fn row_of(&self, user: &LoginUser) -> Option<bool> {
        let (number, is_admin) = self.present.get(&user.id)?;
        (*number == user.number).then_some(*is_admin)
    }
}

/// Returns the number of a user's row; 0 if there is none.
pub(crate) fn number_of(connection: &Connection, pid: i64) -> rusqlite::Result<i64> {
    if !has_numbers(connection)? {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached("SELECT number FROM labwire_users WHERE pid = ?1")?;
    let number = statement.query_row([pid], |row| row.get(0)).optional()?;
    Ok(number.unwrap_or(0))
}

fn has_numbers(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'labwire_users'",
    )?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))? != 0)
}

impl Database {
    /// Returns what all users are now. The caller counts the readings.
    pub(crate) fn user_standings(&self, read: u64) -> Result<UserStandings, StoreError> {
        let view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let sql = if has_numbers(&view)? {
            "SELECT user.pid, user.is_admin, coalesce(own.number, 0) FROM auth_users AS user
                LEFT JOIN labwire_users AS own ON own.pid = user.pid"
        } else {
            "SELECT pid, is_admin, 0 FROM auth_users"
        };
        let mut statement = view.prepare_cached(sql)?;
        let present = statement.query_map([], |row| {
            Ok((integer(row, 0), (integer(row, 2), integer(row, 1) != 0)))
        })?;
        let present = present.collect::<rusqlite::Result<_>>()?;
        Ok(UserStandings { present, read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::python_database;

    fn logged_in(database: &mut Database, username: &str) -> LoginUser {
        let stored = database.credentials(username).unwrap().stored.unwrap();
        LoginUser {
            read: 1,
            ..stored.user
        }
    }

    #[test]
    fn a_user_is_another_one_after_each_way_of_another_program_to_replace_the_row() {
        for (change, is_removed) in [
            ("DELETE FROM auth_users WHERE username = 'j.doe'", true),
            (
                "CREATE TEMP TABLE kept AS SELECT * FROM auth_users WHERE username = 'j.doe';
                DELETE FROM auth_users WHERE username = 'j.doe';
                INSERT INTO auth_users SELECT * FROM kept",
                true,
            ),
            (
                "REPLACE INTO auth_users SELECT * FROM auth_users WHERE username = 'j.doe'",
                true,
            ),
            (
                "REPLACE INTO auth_users SELECT NULL, username, key, salt, is_admin FROM auth_users
                    WHERE username = 'j.doe'",
                true,
            ),
            (
                "INSERT OR IGNORE INTO auth_users SELECT * FROM auth_users WHERE username = 'j.doe'",
                false,
            ),
            ("UPDATE auth_users SET username = 'other' WHERE username = 'j.doe'", true),
            ("UPDATE auth_users SET pid = 77 WHERE username = 'j.doe'", true),
            (
                "UPDATE auth_users SET pid = pid, username = username, key = x'00', salt = x'01', is_admin = 1
                    WHERE username = 'j.doe'",
                false,
            ),
        ] {
            let (_folder, path) = python_database();
            let mut database = Database::open(&path).unwrap();
            let [user, other] = ["j.doe", "a.smith"].map(|name| logged_in(&mut database, name));
            let before = database.user_standings(2).unwrap();
            assert!(!before.is_removed(&user) && before.is_no_administrator(&user));
            let python = Connection::open(&path).unwrap();
            python.execute_batch(change).unwrap();
            let after = database.user_standings(3).unwrap();
            assert_eq!(after.is_removed(&user), is_removed, "{change}");
            assert!(!is_removed || after.is_no_administrator(&user), "{change}");
            assert!(!after.is_removed(&other) && !after.is_no_administrator(&other));
            let later = LoginUser { read: 4, ..user };
            assert!(!after.is_removed(&later) && !after.is_no_administrator(&later));
        }
    }

    #[test]
    fn without_the_table_users_are_known_by_their_rows() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let drop = "DROP TRIGGER labwire_user_numbered; DROP TRIGGER labwire_user_renumbered;
            DROP TRIGGER labwire_user_with_number_removed; DROP TABLE labwire_users";
        database.connection.execute_batch(drop).unwrap();
        let user = logged_in(&mut database, "j.doe");
        assert_eq!(user.number, 0);
        assert!(!database.user_standings(2).unwrap().is_removed(&user));
        database.delete_user("j.doe").unwrap();
        assert!(database.user_standings(3).unwrap().is_removed(&user));
    }
}
