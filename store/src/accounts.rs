//! What is known of users beside the table of MSL-Network: whether they are disabled, their names and
//! e-mail addresses, and when they have last logged in.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use crate::access::AccessError;
use crate::database::{Database, integer, text};
use crate::error::StoreError;

/// The table and its triggers. A user without a row is not disabled. Times are in seconds since 1970.
pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS labwire_accounts (
    username TEXT PRIMARY KEY NOT NULL,
    disabled_since INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    full_name TEXT NOT NULL DEFAULT '',
    email TEXT NOT NULL DEFAULT '',
    last_login INTEGER
);
CREATE TRIGGER IF NOT EXISTS labwire_user_with_account_removed AFTER DELETE ON auth_users BEGIN
    DELETE FROM labwire_accounts WHERE username = OLD.username;
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_with_account_renamed AFTER UPDATE OF username ON auth_users
WHEN NEW.username != OLD.username BEGIN
    DELETE FROM labwire_accounts WHERE username = OLD.username;
END;
";

/// The longest reason, full name and e-mail address, in bytes.
pub const MOST_ACCOUNT_TEXT: usize = 256;

/// A user, and what is known of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name with which the user logs in.
    pub username: String,
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// Since when and why the user cannot log in; `None` if the user can.
    pub disabled: Option<Disabled>,
    /// The user's full name; empty if it is not known.
    pub full_name: String,
    /// The user's e-mail address; empty if it is not known.
    pub email: String,
    /// When the user has last logged in at a Labwire manager, in seconds since 1970.
    pub last_login: Option<i64>,
    /// Whether the user needs a code behind the password.
    pub has_second_factor: bool,
}

/// Since when and why a user is disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// In seconds since 1970.
    pub since: i64,
    /// For people who manage users; the user is not told.
    pub reason: String,
}

impl Account {
    /// Returns it as a JSON object: `username`, `administrator`, `disabled` (`null`, or an object with
    /// `since` and `reason`), `full_name`, `email`, `last_login` and `second_factor` (whether there is an active
    /// one); times are of ISO 8601 or `null`.
    pub fn describe(&self) -> Value {
        let time = |seconds: i64| {
            Timestamp::from_second(seconds)
                .unwrap_or(Timestamp::MAX)
                .to_string()
        };
        let disabled = self.disabled.as_ref();
        let disabled =
            disabled.map(|Disabled { since, reason }| json!({ "since": time(*since), "reason": reason }));
        json!({
            "username": self.username,
            "administrator": self.is_admin,
            "disabled": disabled,
            "full_name": self.full_name,
            "email": self.email,
            "last_login": self.last_login.map(time),
            "second_factor": self.has_second_factor,
        })
    }
}

/// A change of what is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// Lets the user log in no more, neither with the password nor with a token. A running manager ends
    /// the connections of peers that have logged in as the user.
    Disable {
        /// The user.
        user: String,
        /// Why.
        reason: String,
    },
    /// Lets the user log in again. It is no error if the user can.
    Enable {
        /// The user.
        user: String,
    },
    /// Sets the full name, the e-mail address, or both; an empty text removes it.
    Describe {
        /// The user.
        user: String,
        /// The full name; `None` if it stays.
        full_name: Option<String>,
        /// The e-mail address; `None` if it stays.
        email: Option<String>,
    },
}

impl AccountChange {
    fn user(&self) -> (&'static str, &str) {
        match self {
            Self::Disable { user, .. } => ("disable", user),
            Self::Enable { user } => ("enable", user),
            Self::Describe { user, .. } => ("set", user),
        }
    }
}

impl Database {
    /// Returns the users and what is known of them, sorted by name.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        if !self.has_table("labwire_accounts")? {
            let users = self.users()?.into_iter();
            let unknown = |(username, is_admin)| Account {
                username,
                is_admin,
                disabled: None,
                full_name: String::new(),
                email: String::new(),
                last_login: None,
                has_second_factor: false,
            };
            return Ok(users.map(unknown).collect());
        }
        let factors = self.totp_states()?.into_iter();
        let with_factor: HashSet<_> = factors
            .filter(|state| state.is_active)
            .map(|state| state.user)
            .collect();
        let mut statement = self.connection.prepare_cached(
            "SELECT user.username, user.is_admin, disabled_since, reason, full_name, email, last_login
                FROM auth_users AS user LEFT JOIN labwire_accounts AS account ON account.username = user.username",
        )?;
        let accounts = statement.query_map([], |row| {
            let since: Option<i64> = row.get(2)?;
            let reason = text(row, 3);
            let username = text(row, 0);
            Ok(Account {
                has_second_factor: with_factor.contains(&username),
                username,
                is_admin: integer(row, 1) != 0,
                disabled: since.map(|since| Disabled { since, reason }),
                full_name: text(row, 4),
                email: text(row, 5),
                last_login: row.get(6)?,
            })
        })?;
        let mut accounts = accounts.collect::<rusqlite::Result<Vec<_>>>()?;
        accounts.sort_by(|one, other| one.username.cmp(&other.username));
        Ok(accounts)
    }

    /// Changes what is known of a user, at the time `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`StoreError::UserMissing`], and [`StoreError::Access`] if there is nothing to set or a text is
    /// refused.
    pub fn change_account(&mut self, change: &AccountChange, now: i64) -> Result<(), StoreError> {
        check(change)?;
        let (action, username) = change.user();
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        if self.rights(username)?.is_none() {
            let username = username.to_owned();
            return Err(StoreError::UserMissing { action, username });
        }
        let own = "INSERT OR IGNORE INTO labwire_accounts (username) VALUES (?1)";
        transaction.execute(own, [username])?;
        match change {
            AccountChange::Disable { user, reason } => transaction.execute(
                "UPDATE labwire_accounts SET disabled_since = coalesce(disabled_since, ?2), reason = ?3
                    WHERE username = ?1",
                params![user, now, reason],
            )?,
            AccountChange::Enable { user } => transaction.execute(
                "UPDATE labwire_accounts SET disabled_since = NULL, reason = '' WHERE username = ?1",
                [user],
            )?,
            AccountChange::Describe {
                user,
                full_name,
                email,
            } => transaction.execute(
                "UPDATE labwire_accounts SET full_name = coalesce(?2, full_name), email = coalesce(?3, email)
                    WHERE username = ?1",
                params![user, full_name, email],
            )?,
        };
        Ok(transaction.commit()?)
    }

    /// Returns whether a user is disabled.
    pub(crate) fn is_disabled(&self, username: &str) -> Result<bool, StoreError> {
        if !self.has_table("labwire_accounts")? {
            return Ok(false);
        }
        let sql = "SELECT disabled_since IS NOT NULL FROM labwire_accounts WHERE username = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let is_disabled = statement.query_row([username], |row| row.get(0)).optional()?;
        Ok(is_disabled.unwrap_or(false))
    }

    /// Returns the names of the users that are disabled.
    pub(crate) fn disabled_users(&self) -> Result<HashSet<String>, StoreError> {
        if !self.has_table("labwire_accounts")? {
            return Ok(HashSet::new());
        }
        let sql = "SELECT username FROM labwire_accounts WHERE disabled_since IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let users = statement.query_map([], |row| Ok(text(row, 0)))?;
        Ok(users.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes that a user has logged in.
    pub(crate) fn note_user_login(&self, username: &str, now: i64) -> Result<(), StoreError> {
        // A user that was removed meanwhile gets no row, which a later user of that name would have.
        let sql = "INSERT INTO labwire_accounts (username, last_login)
            SELECT username, ?2 FROM auth_users WHERE username = ?1
            ON CONFLICT (username) DO UPDATE SET last_login = excluded.last_login";
        self.connection
            .prepare_cached(sql)?
            .execute(params![username, now])?;
        Ok(())
    }
}

fn check(change: &AccountChange) -> Result<(), StoreError> {
    let wrong = |text: &str| text.len() > MOST_ACCOUNT_TEXT || text.contains(char::is_control);
    let texts = match change {
        AccountChange::Disable { reason, .. } => [Some(reason), None],
        AccountChange::Enable { .. } => [None, None],
        AccountChange::Describe {
            full_name: None,
            email: None,
            ..
        } => return Err(AccessError::NothingToSet.into()),
        AccountChange::Describe { full_name, email, .. } => {
            let is_address = |email: &String| {
                let (name, domain) = email.split_once('@').unwrap_or_default();
                !name.is_empty() && !domain.is_empty() && !email.contains(char::is_whitespace)
            };
            if let Some(email) = email
                .as_ref()
                .filter(|email| !email.is_empty() && !is_address(email))
            {
                return Err(AccessError::Email(email.clone()).into());
            }
            [full_name.as_ref(), email.as_ref()]
        }
    };
    if texts.into_iter().flatten().any(|text| wrong(text)) {
        return Err(AccessError::AccountText.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::python_database;
    use crate::tokens::NewToken;

    fn disable(user: &str, reason: &str) -> AccountChange {
        AccountChange::Disable {
            user: user.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn account(database: &Database, user: &str) -> Account {
        let accounts = database.accounts().unwrap();
        accounts
            .into_iter()
            .find(|account| account.username == user)
            .unwrap()
    }

    #[test]
    fn a_user_who_is_disabled_cannot_log_in_with_password_or_token_and_the_work_is_the_same() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let token = NewToken {
            user: "j.doe".to_owned(),
            may: labwire_access::permissions_to_use("DMM").unwrap(),
            until: None,
            note: String::new(),
        };
        let secret = database.add_token(&token, 0).unwrap().secret;
        let logins = |database: &mut Database| {
            ["a good password", &secret].map(|given| {
                let login = database.login("j.doe", given, 1).unwrap();
                let check = login.check(given, 1);
                (
                    check.is_match || matches!(login.token, Some(Ok(_))),
                    check.rounds_done,
                )
            })
        };
        let [(true, rounds), (true, _)] = logins(&mut database) else {
            panic!("j.doe cannot log in")
        };
        database
            .change_account(&disable("j.doe", "has left"), 77)
            .unwrap();
        assert_eq!(logins(&mut database), [(false, rounds); 2]);
        let disabled = account(&database, "j.doe").disabled.unwrap();
        assert_eq!((disabled.since, &*disabled.reason), (77, "has left"));
        // The time stays that of the first time.
        database
            .change_account(&disable("j.doe", "on leave"), 99)
            .unwrap();
        let disabled = account(&database, "j.doe").disabled.unwrap();
        assert_eq!((disabled.since, &*disabled.reason), (77, "on leave"));
        assert_eq!(
            database.disabled_users().unwrap(),
            HashSet::from(["j.doe".to_owned()])
        );
        let user = "j.doe".to_owned();
        database
            .change_account(&AccountChange::Enable { user }, 100)
            .unwrap();
        assert!(logins(&mut database).iter().all(|(is_good, _)| *is_good));
        assert_eq!(account(&database, "j.doe").disabled, None);
    }

    #[test]
    fn names_addresses_and_logins_are_kept_until_a_python_tool_removes_the_user() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let describe = |full_name: Option<&str>, email: Option<&str>| AccountChange::Describe {
            user: "a.smith".to_owned(),
            full_name: full_name.map(str::to_owned),
            email: email.map(str::to_owned),
        };
        database
            .change_account(&describe(Some("Anna Smith"), Some("anna@lab.example")), 1)
            .unwrap();
        database.change_account(&describe(None, Some("")), 1).unwrap();
        database.note_user_login("a.smith", 1_000).unwrap();
        database.note_user_login("nobody", 1_000).unwrap();
        let expected = Account {
            username: "a.smith".to_owned(),
            is_admin: true,
            disabled: None,
            full_name: "Anna Smith".to_owned(),
            email: String::new(),
            last_login: Some(1_000),
            has_second_factor: false,
        };
        assert_eq!(account(&database, "a.smith"), expected);
        let python = rusqlite::Connection::open(&path).unwrap();
        python
            .execute("DELETE FROM auth_users WHERE username = 'a.smith'", [])
            .unwrap();
        let rows = "SELECT count(*) FROM labwire_accounts";
        let rows: i64 = database.connection.query_row(rows, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    }

    #[test]
    fn changes_of_nobody_of_nothing_and_with_wrong_texts_are_refused() {
        let (_folder, path) = python_database();
        let mut database = Database::open(&path).unwrap();
        let describe = |email: Option<&str>| AccountChange::Describe {
            user: "j.doe".to_owned(),
            full_name: None,
            email: email.map(str::to_owned),
        };
        for (change, expected) in [
            (
                disable("eve", ""),
                "Cannot disable 'eve'. This user is not in the table.",
            ),
            (disable("j.doe", &"a".repeat(257)), "256 bytes"),
            (disable("j.doe", "a\nb"), "control characters"),
            (describe(None), "a full name, an e-mail address, or both"),
            (
                describe(Some("anna at lab")),
                "'anna at lab' is not an e-mail address",
            ),
            (describe(Some("@lab")), "not an e-mail address"),
        ] {
            let error = database.change_account(&change, 0).unwrap_err().to_string();
            assert!(error.to_lowercase().contains(&expected.to_lowercase()), "{error}");
        }
        assert_eq!(account(&database, "j.doe").disabled, None);
    }

    #[test]
    fn without_the_table_nobody_is_disabled() {
        let (_folder, path) = python_database();
        let database = Database::open(&path).unwrap();
        database
            .connection
            .execute_batch("DROP TABLE labwire_accounts")
            .unwrap();
        assert!(!database.is_disabled("j.doe").unwrap());
        assert_eq!(database.accounts().unwrap().len(), 3);
        assert!(database.disabled_users().unwrap().is_empty());
    }
}
