//! Tokens: secrets with which programs log in instead of with the password of their user.
//!
//! The secret has 256 random bits, so that its SHA-256 hash, which is what is kept, cannot be
//! inverted. What belongs to a user is removed with the user by triggers, as for groups and grants.

mod logins;
mod secrets;

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use labwire_access::{Permission, permissions_to_serve};
use labwire_wire::check_name;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use crate::access::{AccessError, MOST_ROWS};
use crate::database::{Database, integer, text};
use crate::error::StoreError;
use logins::permissions;
use secrets::{hash_of_secret, new_secret};

pub(crate) use logins::FoundToken;
pub use logins::LoginToken;
pub use secrets::{TOKEN_PREFIX, is_token_secret};

/// The table and its triggers. `may` has one permission per line; `until`, `added` and `last_used` are
/// in seconds since 1970.
pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS labwire_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    may TEXT NOT NULL,
    until INTEGER,
    note TEXT NOT NULL DEFAULT '',
    added INTEGER NOT NULL,
    last_used INTEGER
);
CREATE TRIGGER IF NOT EXISTS labwire_user_with_tokens_removed AFTER DELETE ON auth_users BEGIN
    DELETE FROM labwire_tokens WHERE username = OLD.username;
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_with_tokens_renamed AFTER UPDATE OF username ON auth_users
WHEN NEW.username != OLD.username BEGIN
    DELETE FROM labwire_tokens WHERE username = OLD.username;
END;
";

/// The most permissions of a token: they are read at each login with it.
pub const MOST_TOKEN_PERMISSIONS: usize = 100;

/// The longest note of a token, in bytes.
pub const MOST_TOKEN_NOTE: usize = 256;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// The user as whom it logs in.
    pub user: String,
    /// What it allows of what the user may do. A permission that cannot be read is left out.
    pub may: Vec<Permission>,
    /// When it ends, in seconds since 1970; `None` if it does not end.
    pub until: Option<i64>,
    /// What it is for, for people.
    pub note: String,
    /// When it was added, in seconds since 1970.
    pub added: i64,
    /// When it was last used to log in, in seconds since 1970; `None` if it never was.
    pub last_used: Option<i64>,
}

impl Token {
    /// Returns it as a JSON object: `id`, `user`, `may` (an array of texts), `until`, `note`, `added` and
    /// `last_used`; times are of ISO 8601 or `null`.
    pub fn describe(&self) -> Value {
        let time = |seconds: i64| {
            Timestamp::from_second(seconds)
                .unwrap_or(Timestamp::MAX)
                .to_string()
        };
        json!({
            "id": self.id,
            "user": self.user,
            "may": self.may.iter().map(Permission::to_string).collect::<Vec<_>>(),
            "until": self.until.map(time),
            "note": self.note,
            "added": time(self.added),
            "last_used": self.last_used.map(time),
        })
    }
}

/// A token that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The user as whom it logs in.
    pub user: String,
    /// What it allows of what the user may do: at least one permission, and none for a set.
    pub may: Vec<Permission>,
    /// When it ends, in seconds since 1970; `None` if it does not end.
    pub until: Option<i64>,
    /// What it is for, for people.
    pub note: String,
}

/// A token that was added.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// Its number.
    pub id: i64,
    /// Its secret, which is not kept.
    pub secret: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IssuedToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Returns what a token allows with which one service of that name, and nothing else, can register.
///
/// # Errors
/// [`AccessError::NotOneService`], [`AccessError::ServiceName`] if no service can have the name, and
/// [`AccessError::Pattern`].
pub fn token_to_serve(name: &str) -> Result<Vec<Permission>, AccessError> {
    // A permission would read the name as that of a set.
    if name.contains(['*', '?']) || name.starts_with('@') {
        return Err(AccessError::NotOneService(name.to_owned()));
    }
    check_name(name).map_err(AccessError::ServiceName)?;
    permissions_to_serve(name).map_err(|error| AccessError::Pattern {
        text: name.to_owned(),
        error,
    })
}

/// The tokens that are there, as of one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenNumbers {
    present: HashSet<i64>,
    /// The greatest number that was ever given.
    newest: i64,
}

impl TokenNumbers {
    /// Returns whether the token of that number was removed. One that was added later was not.
    pub fn is_removed(&self, id: i64) -> bool {
        id <= self.newest && !self.present.contains(&id)
    }
}

impl Database {
    /// Adds a token at the time `now`, in seconds since 1970. Returns its number and its secret, which is
    /// told this once.
    ///
    /// # Errors
    /// [`StoreError::Access`] if there is no such user, or if what it allows, its note or its end is
    /// refused; [`StoreError::RandomUnavailable`].
    pub fn add_token(&mut self, new: &NewToken, now: i64) -> Result<IssuedToken, StoreError> {
        check(new, now)?;
        let secret = new_secret()?;
        let Some(hash) = hash_of_secret(&secret) else {
            return Err(StoreError::RandomUnavailable);
        };
        let may: Vec<_> = new.may.iter().map(Permission::to_string).collect();
        // The check is part of the transaction: the user is still there.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        self.expect_user(&new.user)?;
        let count = "SELECT count(*) FROM labwire_tokens";
        let count: i64 = transaction.query_row(count, [], |row| row.get(0))?;
        if usize::try_from(count).is_ok_and(|count| count >= MOST_ROWS) {
            let (what, limit) = ("tokens", MOST_ROWS);
            return Err(AccessError::TooMany { what, limit }.into());
        }
        transaction.execute(
            "INSERT INTO labwire_tokens (username, hash, may, until, note, added) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![new.user, hash, may.join("\n"), new.until, new.note, now],
        )?;
        let id = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(IssuedToken { id, secret })
    }

    /// Returns all tokens, in the order in which they were added.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        if !self.has_table("labwire_tokens")? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT id, username, may, until, note, added, last_used FROM labwire_tokens ORDER BY id",
        )?;
        let tokens = statement.query_map([], |row| {
            Ok(Token {
                id: integer(row, 0),
                user: text(row, 1),
                may: permissions(&text(row, 2)),
                until: row.get(3)?,
                note: text(row, 4),
                added: integer(row, 5),
                last_used: row.get(6)?,
            })
        })?;
        // A row of other types, which another program wrote, logs nobody in.
        Ok(tokens.filter_map(Result::ok).collect())
    }

    /// Revokes a token: nobody can log in with it any more. A running manager ends the connections of
    /// peers that have.
    ///
    /// # Errors
    /// [`StoreError::Access`] if there is no such token.
    pub fn revoke_token(&mut self, id: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM labwire_tokens WHERE id = ?1";
        if self.connection.execute(sql, [id])? == 0 {
            return Err(AccessError::NoSuchToken(id).into());
        }
        Ok(())
    }

    /// Returns the numbers of the tokens.
    pub(crate) fn token_numbers(&self) -> Result<TokenNumbers, StoreError> {
        if !self.has_table("labwire_tokens")? {
            return Ok(TokenNumbers::default());
        }
        let _view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let mut statement = self.connection.prepare_cached("SELECT id FROM labwire_tokens")?;
        let present = statement.query_map([], |row| row.get(0))?;
        let present = present.collect::<rusqlite::Result<_>>()?;
        let newest = "SELECT seq FROM sqlite_sequence WHERE name = 'labwire_tokens'";
        let newest: Option<i64> = self
            .connection
            .query_row(newest, [], |row| row.get(0))
            .optional()?;
        Ok(TokenNumbers {
            present,
            newest: newest.unwrap_or_default(),
        })
    }
}

fn check(new: &NewToken, now: i64) -> Result<(), AccessError> {
    let NewToken { may, until, note, .. } = new;
    if may.is_empty() {
        return Err(AccessError::TokenAllowsNothing);
    }
    if may.len() > MOST_TOKEN_PERMISSIONS {
        let (what, limit) = ("permissions of the token", MOST_TOKEN_PERMISSIONS);
        return Err(AccessError::TooMany { what, limit });
    }
    let of_set = |permission: &&Permission| !permission.object.sets().is_empty();
    if let Some(permission) = may.iter().find(of_set) {
        return Err(AccessError::SetInToken(permission.to_string()));
    }
    if note.len() > MOST_TOKEN_NOTE || note.contains(char::is_control) {
        return Err(AccessError::TokenNote);
    }
    if until.is_some_and(|until| until <= now) {
        return Err(AccessError::TokenHasEnded);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use labwire_access::permissions_to_use;

    use super::*;
    use crate::database::tests::python_database;

    type Change = fn(&mut NewToken);

    fn token_for(user: &str, until: Option<i64>) -> NewToken {
        NewToken {
            user: user.to_owned(),
            may: permissions_to_use("DMM.read*").unwrap(),
            until,
            note: "the night's series".to_owned(),
        }
    }

    fn found(database: &Database, user: &str, secret: &str, now: i64) -> Option<FoundToken> {
        let hash = hash_of_secret(secret)?;
        database.token_of(user, &hash, now).unwrap().ok()
    }

    #[test]
    fn a_token_is_found_by_its_secret_for_its_user_until_its_end_and_the_file_has_only_a_hash() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let IssuedToken { id, secret } = database.add_token(&token_for("j.doe", Some(1_000)), 10).unwrap();
        let other = database.add_token(&token_for("j.doe", None), 10).unwrap();
        assert!(secret.starts_with(TOKEN_PREFIX) && secret.len() == TOKEN_PREFIX.len() + 64);
        assert_ne!(secret, other.secret);
        let token = found(&database, "j.doe", &secret, 999).unwrap();
        assert_eq!((token.token.id, token.is_admin), (id, false));
        assert_eq!(token.token.may, permissions_to_use("DMM.read*").unwrap());
        assert!(found(&database, "j.doe", &secret, 1_000).is_none());
        assert!(found(&database, "a.smith", &secret, 999).is_none());
        assert!(found(&database, "J.DOE", &secret, 999).is_none());
        let guess = format!("{TOKEN_PREFIX}{}", "0".repeat(64));
        assert!(found(&database, "j.doe", &guess, 999).is_none());
        let bytes = std::fs::read(&path).unwrap();
        let secret = secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }

    #[test]
    fn a_secret_is_64_hexadecimal_digits_behind_the_prefix() {
        assert!(is_token_secret(&new_secret().unwrap()));
        let digits = "0123456789abcdef".repeat(4);
        for (text, is_secret) in [
            (format!("lwt_{digits}"), true),
            (format!("lwt_{digits}0"), false),
            (format!("lwt_{}", &digits[1..]), false),
            (format!("lwt_{}", digits.to_uppercase()), false),
            (format!("lwt-{digits}"), false),
            (format!("lwt_{}ä", &digits[2..]), false),
            (digits, false),
            ("lwt_".to_owned(), false),
        ] {
            assert_eq!(is_token_secret(&text), is_secret, "{text}");
        }
    }

    #[test]
    fn a_token_ends_with_its_user_whoever_removes_or_renames_the_user() {
        for change in [
            "DELETE FROM auth_users WHERE username = 'j.doe'",
            "UPDATE auth_users SET username = 'other' WHERE username = 'j.doe'",
        ] {
            let (_folder, path) = python_database();
            let mut database = Database::open(&path).unwrap();
            let issued = database.add_token(&token_for("j.doe", None), 0).unwrap();
            let kept = database.add_token(&token_for("a.smith", None), 0).unwrap();
            let python = rusqlite::Connection::open(&path).unwrap();
            assert_eq!(python.execute(change, []).unwrap(), 1);
            for user in ["j.doe", "other"] {
                assert!(found(&database, user, &issued.secret, 1).is_none());
            }
            let numbers = database.token_numbers().unwrap();
            assert!(numbers.is_removed(issued.id));
            assert!(!numbers.is_removed(kept.id) && !numbers.is_removed(kept.id + 1));
            assert_eq!(database.tokens().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_login_with_a_token_takes_the_work_of_a_password() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let issued = database.add_token(&token_for("j.doe", Some(1_000)), 10).unwrap();
        let mut work = Vec::new();
        for (user, given, now, is_token) in [
            ("j.doe", issued.secret.as_str(), 999, true),
            ("j.doe", &issued.secret, 1_000, false),
            ("a.smith", &issued.secret, 999, false),
            ("nobody", &issued.secret, 999, false),
            ("j.doe", "a good password", 999, false),
            ("j.doe", "lwt_", 999, false),
        ] {
            let login = database.login(user, given, now).unwrap();
            assert_eq!(matches!(login.token, Some(Ok(_))), is_token, "{user} {now}");
            let check = login.check(given, now);
            assert_eq!(check.is_match, given == "a good password");
            work.push(check.rounds_done);
        }
        assert!(
            work[0] > 0 && work.iter().all(|rounds| *rounds == work[0]),
            "{work:?}"
        );
    }

    #[test]
    fn a_number_is_not_given_twice_and_uses_are_noted() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let first = database.add_token(&token_for("j.doe", None), 0).unwrap();
        database.note_token_use(first.id, 77).unwrap();
        assert_eq!(database.tokens().unwrap()[0].last_used, Some(77));
        database.revoke_token(first.id).unwrap();
        assert!(found(&database, "j.doe", &first.secret, 1).is_none());
        assert!(matches!(
            database.revoke_token(first.id),
            Err(StoreError::Access(AccessError::NoSuchToken(_)))
        ));
        let second = database.add_token(&token_for("j.doe", None), 0).unwrap();
        assert!(second.id > first.id);
    }

    #[test]
    fn a_token_for_nobody_for_nothing_for_a_set_or_for_the_past_is_refused() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let refused = |database: &mut Database, change: Change| {
            let mut new = token_for("j.doe", Some(100));
            change(&mut new);
            let Err(StoreError::Access(error)) = database.add_token(&new, 50) else {
                panic!("a token was added")
            };
            error.to_string()
        };
        let changes: [(Change, &str); 5] = [
            (
                |new| new.user = "j.do".to_owned(),
                "there is no user 'j.do', did you mean 'j.doe'?",
            ),
            (|new| new.may.clear(), "a token that allows nothing"),
            (
                |new| new.may = vec!["call @bench".parse().unwrap()],
                "'call @bench'",
            ),
            (|new| new.until = Some(50), "past"),
            (|new| new.note = "a\nb".to_owned(), "note"),
        ];
        for (change, expected) in changes {
            let text = refused(&mut database, change);
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(database.tokens().unwrap(), []);
    }

    #[test]
    fn a_permission_that_cannot_be_read_allows_nothing_and_the_others_stay() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let mut new = token_for("j.doe", None);
        new.may = permissions_to_serve("DMM").unwrap();
        let issued = database.add_token(&new, 0).unwrap();
        let sql = "UPDATE labwire_tokens SET may = may || char(10) || 'fly DMM'";
        database.connection.execute(sql, []).unwrap();
        let token = found(&database, "j.doe", &issued.secret, 1).unwrap();
        assert_eq!(token.token.may, new.may);
        database
            .connection
            .execute("UPDATE labwire_tokens SET may = 'fly'", [])
            .unwrap();
        assert_eq!(
            found(&database, "j.doe", &issued.secret, 1).unwrap().token.may,
            []
        );
    }

    #[test]
    fn without_the_table_nobody_has_a_token() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let issued = database.add_token(&token_for("j.doe", None), 0).unwrap();
        assert!(found(&database, "j.doe", &issued.secret, 0).is_some());
        database
            .connection
            .execute_batch("DROP TABLE labwire_tokens")
            .unwrap();
        assert!(found(&database, "j.doe", &issued.secret, 0).is_none());
        assert_eq!(database.tokens().unwrap(), []);
        assert_eq!(database.token_numbers().unwrap(), TokenNumbers::default());
    }
}
