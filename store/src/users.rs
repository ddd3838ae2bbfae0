//! The users, and a table with the number of rounds of their passwords.
//!
//! The reference's table has no column for the rounds, and must not get one. Labwire's own table is
//! keyed by the salt: a Python tool that replaces a password creates a new salt, which makes the
//! old record ineffective.

use rusqlite::{Transaction, params};

use crate::database::{Database, bytes, integer, text};
use crate::error::StoreError;
use crate::passwords::{
    COMPATIBLE_ROUNDS, Credentials, DEFAULT_ROUNDS, HashedPassword, MAXIMUM_ROUNDS, MINIMUM_ROUNDS,
    StoredPassword,
};
use crate::standing::{LoginUser, number_of};
use crate::totp::Factor;

/// A table of Labwire beside those of the reference.
pub(crate) const ROUNDS_TABLE: &str = "labwire_password_rounds";

impl Database {
    pub(crate) fn create_rounds_table(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS labwire_password_rounds (
                salt BLOB PRIMARY KEY NOT NULL,
                rounds INTEGER NOT NULL
                    CHECK (typeof(rounds) = 'integer' AND rounds BETWEEN {MINIMUM_ROUNDS} AND {MAXIMUM_ROUNDS})
            )",
        ))?;
        Ok(())
    }

    /// Returns the names of all users, in the order of their rows.
    pub(crate) fn usernames(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT username FROM auth_users ORDER BY pid")?;
        let names = statement.query_map([], |row| Ok(text(row, 0)))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns the names of the users and whether they are administrators, sorted.
    pub fn users(&self) -> Result<Vec<(String, bool)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT username, is_admin FROM auth_users")?;
        let users = statement.query_map([], |row| Ok((text(row, 0), integer(row, 1) != 0)))?;
        let mut users = users.collect::<rusqlite::Result<Vec<_>>>()?;
        users.sort();
        Ok(users)
    }

    /// Returns whether this user is an administrator; `None` for a user who is not registered.
    pub fn rights(&self, username: &str) -> Result<Option<bool>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT is_admin FROM auth_users WHERE username = ?1")?;
        let mut rows = statement.query([username])?;
        Ok(rows.next()?.map(|row| integer(row, 0) != 0))
    }

    /// Returns whether MSL-Network can check the password of this user: it has [`COMPATIBLE_ROUNDS`]. `false` for a
    /// user who is not registered.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read.
    pub fn has_compatible_password(&self, username: &str) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT coalesce(record.rounds, ?2) = ?2 FROM auth_users AS user
                LEFT JOIN labwire_password_rounds AS record ON record.salt = user.salt WHERE user.username = ?1",
        )?;
        let mut rows = statement.query(params![username, COMPATIBLE_ROUNDS])?;
        Ok(rows.next()?.is_some_and(|row| integer(row, 0) != 0))
    }

    /// Adds a user.
    ///
    /// # Errors
    /// Those of [`check_username`], and [`StoreError::UserExists`] if the name is taken.
    pub fn insert_user(
        &mut self,
        username: &str,
        password: &HashedPassword,
        is_admin: bool,
    ) -> Result<(), StoreError> {
        check_username(username)?;
        let change = self.change()?;
        let inserted = change.execute(
            "INSERT INTO auth_users VALUES (NULL, ?1, ?2, ?3, ?4)",
            params![username, password.key, password.salt, is_admin],
        );
        match inserted {
            Err(rusqlite::Error::SqliteFailure(failure, _))
                if failure.code == rusqlite::ErrorCode::ConstraintViolation =>
            {
                return Err(StoreError::UserExists {
                    username: username.to_owned(),
                });
            }
            inserted => inserted?,
        };
        record_rounds(&change, password)?;
        Ok(change.commit()?)
    }

    /// Replaces a user's password, rights, or both.
    ///
    /// # Errors
    /// [`StoreError::UserMissing`] if the user is not registered, and
    /// [`StoreError::NothingToUpdate`] if neither is given.
    pub fn update_user(
        &mut self,
        username: &str,
        password: Option<&HashedPassword>,
        is_admin: Option<bool>,
    ) -> Result<(), StoreError> {
        let change = self.change()?;
        let key = password.map(|password| password.key.as_slice());
        let salt = password.map(|password| password.salt.as_slice());
        let updated = change.execute(
            "UPDATE auth_users SET key = coalesce(?2, key), salt = coalesce(?3, salt),
                is_admin = coalesce(?4, is_admin) WHERE username = ?1",
            params![username, key, salt, is_admin],
        )?;
        if updated == 0 {
            return Err(StoreError::UserMissing {
                action: "update",
                username: username.to_owned(),
            });
        }
        if password.is_none() && is_admin.is_none() {
            return Err(StoreError::NothingToUpdate);
        }
        if let Some(password) = password {
            record_rounds(&change, password)?;
        }
        Ok(change.commit()?)
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`StoreError::UserMissing`] if the user is not registered.
    pub fn delete_user(&mut self, username: &str) -> Result<(), StoreError> {
        let change = self.change()?;
        if change.execute("DELETE FROM auth_users WHERE username = ?1", [username])? == 0 {
            return Err(StoreError::UserMissing {
                action: "delete",
                username: username.to_owned(),
            });
        }
        forget_stale_rounds(&change)?;
        Ok(change.commit()?)
    }

    /// Returns the data for checking a login of this user, registered or not.
    pub(crate) fn credentials(&mut self, username: &str) -> Result<Credentials, StoreError> {
        // One transaction, so that the row and the maximum of the rounds are consistent.
        let view = self.connection.transaction()?;
        let most: Option<i64> = view
            .prepare_cached(
                "SELECT max(coalesce(record.rounds, ?1)) FROM auth_users AS user
                    LEFT JOIN labwire_password_rounds AS record ON record.salt = user.salt",
            )?
            .query_row([COMPATIBLE_ROUNDS], |row| row.get(0))?;
        let mut statement = view.prepare_cached(
            "SELECT user.key, user.salt, user.is_admin, coalesce(record.rounds, ?2), user.pid FROM auth_users AS user
                LEFT JOIN labwire_password_rounds AS record ON record.salt = user.salt
                WHERE user.username = ?1",
        )?;
        let mut rows = statement.query(params![username, COMPATIBLE_ROUNDS])?;
        let stored = match rows.next()? {
            Some(row) => Some(StoredPassword {
                hashed: HashedPassword {
                    key: bytes(row, 0),
                    salt: bytes(row, 1),
                    rounds: bounded(integer(row, 3)),
                },
                is_admin: integer(row, 2) != 0,
                user: LoginUser {
                    id: integer(row, 4),
                    number: number_of(&view, integer(row, 4))?,
                    read: 0,
                },
            }),
            None => None,
        };
        // Without any user there is nothing to conceal; the work is that for a new user.
        Ok(Credentials {
            stored,
            rounds: most.map_or(DEFAULT_ROUNDS, bounded),
            is_disabled: false,
            token: None,
            factor: Factor::default(),
        })
    }

    /// Replaces a password by the same one with new rounds, unless it was changed meanwhile.
    pub(crate) fn upgrade_password(
        &mut self,
        username: &str,
        old: &HashedPassword,
        new: &HashedPassword,
    ) -> Result<(), StoreError> {
        let change = self.change()?;
        let upgraded = change.execute(
            "UPDATE auth_users SET key = ?2, salt = ?3 WHERE username = ?1 AND key = ?4 AND salt = ?5",
            params![username, new.key, new.salt, old.key, old.salt],
        )?;
        if upgraded != 0 {
            record_rounds(&change, new)?;
        }
        Ok(change.commit()?)
    }
}

/// Checks a new username: MSL-Network refuses one that looks like `host:port`, and both managers
/// accept the same names.
///
/// [`Database::insert_user`] and [`Store::insert_user`](crate::Store::insert_user) check it as
/// well; this is for callers that ask for a password first.
///
/// # Errors
/// [`StoreError::UsernameLooksLikeAnAddress`], [`StoreError::UsernameEmpty`].
pub fn check_username(username: &str) -> Result<(), StoreError> {
    let looks_like_an_address = username.rsplit_once(':').is_some_and(|(_, port)| {
        let port = port.strip_suffix('\n').unwrap_or(port);
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    if looks_like_an_address {
        Err(StoreError::UsernameLooksLikeAnAddress)
    } else if username.trim().is_empty() {
        Err(StoreError::UsernameEmpty)
    } else {
        Ok(())
    }
}

/// Limits a number of rounds from the database, which another program may have written past the
/// table's check. Never zero: without a round the key would not depend on the password.
fn bounded(rounds: i64) -> u32 {
    u32::try_from(rounds.clamp(1, i64::from(MAXIMUM_ROUNDS))).unwrap_or(MAXIMUM_ROUNDS)
}

/// Records the rounds of a password. A row without a record has the reference's number of rounds,
/// so that number is not recorded.
fn record_rounds(change: &Transaction<'_>, password: &HashedPassword) -> rusqlite::Result<()> {
    forget_stale_rounds(change)?;
    if password.rounds != COMPATIBLE_ROUNDS {
        change.execute(
            "INSERT OR REPLACE INTO labwire_password_rounds VALUES (?1, ?2)",
            params![password.salt, password.rounds],
        )?;
    }
    Ok(())
}

/// Removes the records of passwords that were replaced or deleted, here or by the Python tools.
fn forget_stale_rounds(change: &Transaction<'_>) -> rusqlite::Result<()> {
    change.execute(
        "DELETE FROM labwire_password_rounds WHERE salt NOT IN (SELECT salt FROM auth_users)",
        [],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::database::tests::{empty_database, python_database};

    const OTHER_ROUNDS: u32 = 110_000;

    fn hashed(password: &str, rounds: u32) -> HashedPassword {
        HashedPassword::new("somebody", password, rounds).unwrap()
    }

    fn logs_in(database: &mut Database, username: &str, password: &str) -> bool {
        database
            .credentials(username)
            .unwrap()
            .check(password, 0)
            .is_match
    }

    fn records(database: &Database) -> i64 {
        let count = "SELECT count(*) FROM labwire_password_rounds";
        database
            .connection
            .query_row(count, [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn users_of_the_python_tools_log_in_with_their_passwords() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        assert!(logs_in(&mut database, "j.doe", "a good password"));
        assert!(logs_in(&mut database, "a.smith", "!PaSsWoRd*"));
        assert!(logs_in(&mut database, "Zoë Müller", "pässwörd ✓"));
        assert!(!logs_in(&mut database, "j.doe", "!PaSsWoRd*"));
        assert!(!logs_in(&mut database, "nobody", "a good password"));
        assert_eq!(database.rights("a.smith").unwrap(), Some(true));
        assert_eq!(database.rights("j.doe").unwrap(), Some(false));
        assert_eq!(database.rights("nobody").unwrap(), None);
    }

    #[test]
    fn users_are_listed_sorted_and_usernames_in_the_order_of_their_rows() {
        let (_folder, path) = python_database();
        let database = Database::open(&path).unwrap();
        assert_eq!(database.usernames().unwrap(), ["j.doe", "a.smith", "Zoë Müller"]);
        let users = [("Zoë Müller", false), ("a.smith", true), ("j.doe", false)];
        assert_eq!(
            database.users().unwrap(),
            users.map(|(name, is_admin)| (name.to_owned(), is_admin))
        );
    }

    #[test]
    fn every_login_takes_the_rounds_of_the_costliest_row() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        assert_eq!(database.credentials("nobody").unwrap().rounds, DEFAULT_ROUNDS);
        database
            .insert_user("old", &hashed("x", COMPATIBLE_ROUNDS), false)
            .unwrap();
        assert_eq!(database.credentials("nobody").unwrap().rounds, COMPATIBLE_ROUNDS);
        database
            .insert_user("new", &hashed("x", OTHER_ROUNDS), false)
            .unwrap();
        for name in ["nobody", "old", "new"] {
            assert_eq!(database.credentials(name).unwrap().rounds, OTHER_ROUNDS, "{name}");
        }
        assert!(logs_in(&mut database, "old", "x"));
        assert!(logs_in(&mut database, "new", "x"));
        database.delete_user("new").unwrap();
        assert_eq!(database.credentials("new").unwrap().rounds, COMPATIBLE_ROUNDS);
    }

    #[test]
    fn a_password_that_a_python_tool_replaced_counts_with_the_rounds_of_that_tool() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        database
            .insert_user("ada", &hashed("ours", OTHER_ROUNDS), true)
            .unwrap();
        assert_eq!(records(&database), 1);

        let theirs = hashed("theirs", COMPATIBLE_ROUNDS);
        let python = Connection::open(&path).unwrap();
        python
            .execute(
                "UPDATE auth_users SET key=?, salt=?, is_admin=? WHERE username=?;",
                params![theirs.key, theirs.salt, false, "ada"],
            )
            .unwrap();

        assert!(!logs_in(&mut database, "ada", "ours"));
        assert!(logs_in(&mut database, "ada", "theirs"));
        assert_eq!(database.credentials("ada").unwrap().rounds, COMPATIBLE_ROUNDS);
        database
            .insert_user("grace", &hashed("x", COMPATIBLE_ROUNDS), false)
            .unwrap();
        assert_eq!(
            records(&database),
            0,
            "the next change removes the record that counts no longer"
        );
    }

    #[test]
    fn a_row_that_a_python_tool_inserts_by_position_is_a_user() {
        let (_folder, path) = empty_database();
        let mut database = Database::open(&path).unwrap();
        let theirs = hashed("theirs", COMPATIBLE_ROUNDS);
        Connection::open(&path)
            .unwrap()
            .execute(
                "INSERT INTO auth_users VALUES(NULL, ?, ?, ?, ?);",
                params!["bob", theirs.key, theirs.salt, true],
            )
            .unwrap();
        assert!(logs_in(&mut database, "bob", "theirs"));
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        database.update_user("j.doe", None, Some(true)).unwrap();
        assert!(logs_in(&mut database, "j.doe", "a good password"));
        database
            .update_user("j.doe", Some(&hashed("new", OTHER_ROUNDS)), None)
            .unwrap();
        assert_eq!(database.rights("j.doe").unwrap(), Some(true));
        assert!(logs_in(&mut database, "j.doe", "new"));
        assert!(logs_in(&mut database, "a.smith", "!PaSsWoRd*"));
    }

    #[test]
    fn mistakes_are_answered_in_the_words_of_the_reference() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let password = hashed("x", COMPATIBLE_ROUNDS);
        let errors = [
            database.insert_user("host:1875", &password, false),
            database.insert_user("j.doe", &password, false),
            database.update_user("eve", Some(&password), None),
            database.update_user("j.doe", None, None),
            database.delete_user("eve"),
        ];
        let texts = errors.map(|error| error.unwrap_err().peer_text());
        let expected = [
            "ValueError: A username cannot end with \":<integer>\"",
            "ValueError: A user with the name 'j.doe' already exists",
            "ValueError: Cannot update 'eve'. This user is not in the table.",
            "ValueError: Must specify either the password and/or the admin rights when updating",
            "ValueError: Cannot delete 'eve'. This user is not in the table.",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn only_names_that_end_like_an_address_are_refused() {
        for name in ["a:1", ":1", "x:y:22", "a:1\n"] {
            assert!(check_username(name).is_err(), "{name}");
        }
        for name in ["a", "a:", "1", "a:b", "a:1b", "a: 1", "a:-1"] {
            assert!(check_username(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_upgrade_replaces_the_password_that_was_checked_and_no_newer_one() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let checked = database.credentials("j.doe").unwrap().stored.unwrap().hashed;
        let upgraded = hashed("a good password", OTHER_ROUNDS);
        database.upgrade_password("j.doe", &checked, &upgraded).unwrap();
        assert_eq!(
            database
                .credentials("j.doe")
                .unwrap()
                .stored
                .unwrap()
                .hashed
                .rounds,
            OTHER_ROUNDS
        );
        assert!(logs_in(&mut database, "j.doe", "a good password"));

        database
            .update_user("j.doe", Some(&hashed("newer", COMPATIBLE_ROUNDS)), None)
            .unwrap();
        database
            .upgrade_password("j.doe", &upgraded, &hashed("a good password", OTHER_ROUNDS))
            .unwrap();
        assert!(logs_in(&mut database, "j.doe", "newer"));
        assert_eq!(records(&database), 0);
    }

    #[test]
    fn rows_that_another_program_damaged_let_nobody_in_and_harm_nobody() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        database
            .connection
            .execute_batch(
                "PRAGMA ignore_check_constraints = ON;
                INSERT INTO auth_users VALUES (NULL, 'short', x'00', x'', 'yes');
                INSERT INTO auth_users VALUES (NULL, 'number', 7, 7.5, 1);
                INSERT INTO auth_users VALUES (NULL, CAST(x'6e756c0000ff' AS TEXT), x'0011', 'text', 2);
                INSERT INTO auth_users VALUES (NULL, 'endless', x'00', x'ee', 0);
                INSERT INTO auth_users VALUES (NULL, 'negative', x'00', x'aa', 0);
                INSERT INTO labwire_password_rounds VALUES (x'ee', 9223372036854775807);
                INSERT INTO labwire_password_rounds VALUES (x'aa', -5);",
            )
            .unwrap();
        assert_eq!(database.users().unwrap().len(), 8);
        assert_eq!(
            database.rights("short").unwrap(),
            Some(false),
            "only a number makes an administrator"
        );
        assert_eq!(database.credentials("j.doe").unwrap().rounds, MAXIMUM_ROUNDS);
        database.delete_user("endless").unwrap();
        for name in ["short", "number", "nul\0\0", "negative"] {
            assert!(!logs_in(&mut database, name, ""), "{name}");
        }
        assert!(logs_in(&mut database, "j.doe", "a good password"));
    }
}
