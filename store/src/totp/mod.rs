//! The second factor of users: codes of an authenticator app (TOTP, RFC 6238) and recovery codes, which
//! are given behind the password.
//!
//! The manager needs the secrets to compute codes. They are encrypted with a key that is a file of its own
//! beside the database, so that a copy of the database alone reveals none. Of recovery codes there are
//! only hashes with the same key. What belongs to a user is removed with the user by triggers, as for
//! tokens; here it follows a user who is renamed, since nobody may lose the second factor unnoticed.

mod code;
mod error;
mod guesses;
mod key;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use labwire_home::hostname;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use crate::database::{Database, bytes, integer, text};
use crate::error::StoreError;
use crate::login_failure::LoginFailure;

pub(crate) use code::split;
use code::{GivenCode, SECRET_BYTES, base32, matching_step, new_recovery_code, new_secret, otpauth_uri};
pub use error::TotpError;
pub(crate) use guesses::{Guesses, Noted};
use key::TotpKey;
pub use key::totp_key_file;

/// The tables and their triggers. `secret` is encrypted; times are in seconds since 1970; a second factor
/// without `active_since` is not asked for yet. A step is 30 seconds; those up to `last_step` are used up.
pub(crate) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS labwire_totp (
    username TEXT PRIMARY KEY NOT NULL,
    secret BLOB NOT NULL,
    added INTEGER NOT NULL,
    active_since INTEGER,
    last_step INTEGER NOT NULL DEFAULT -1,
    last_used INTEGER
);
CREATE TABLE IF NOT EXISTS labwire_totp_codes (
    username TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (username, hash)
);
CREATE TRIGGER IF NOT EXISTS labwire_user_with_totp_removed AFTER DELETE ON auth_users BEGIN
    DELETE FROM labwire_totp WHERE username = OLD.username;
    DELETE FROM labwire_totp_codes WHERE username = OLD.username;
END;
CREATE TRIGGER IF NOT EXISTS labwire_user_with_totp_renamed AFTER UPDATE OF username ON auth_users
WHEN NEW.username != OLD.username BEGIN
    DELETE FROM labwire_totp WHERE username = NEW.username;
    DELETE FROM labwire_totp_codes WHERE username = NEW.username;
    UPDATE labwire_totp SET username = NEW.username WHERE username = OLD.username;
    UPDATE labwire_totp_codes SET username = NEW.username WHERE username = OLD.username;
END;
";

/// How many recovery codes a user gets.
pub const RECOVERY_CODES: usize = 10;

/// A new second factor, which is told once.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedTotp {
    /// The user.
    pub user: String,
    /// The secret in Base32, as people type it into an authenticator app.
    pub secret: String,
    /// Codes that are accepted once each, for who has lost the app.
    pub recovery_codes: Vec<String>,
}

impl IssuedTotp {
    /// Returns what an authenticator app reads from a QR code. It names the user and this computer.
    pub fn uri(&self) -> String {
        otpauth_uri(&format!("{}@{}", self.user, hostname()), &self.secret)
    }

    /// Returns it as a JSON object: `user`, `uri`, `secret` and `recovery_codes`.
    pub fn describe(&self) -> Value {
        json!({
            "user": self.user,
            "uri": self.uri(),
            "secret": self.secret,
            "recovery_codes": self.recovery_codes,
        })
    }
}

impl fmt::Debug for IssuedTotp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IssuedTotp")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The second factor of a user, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotpState {
    /// The user.
    pub user: String,
    /// Whether logins need a code: the first one was confirmed.
    pub is_active: bool,
    /// Since when it is so, in seconds since 1970.
    pub since: i64,
    /// When a code was last accepted, in seconds since 1970; `None` if none was.
    pub last_used: Option<i64>,
    /// How many recovery codes are left.
    pub recovery_codes_left: usize,
}

impl TotpState {
    /// Returns it as a JSON object: `user`, `state` (`active`, or `unconfirmed` until the first code was
    /// confirmed), `since`, `last_used` and `recovery_codes_left`; times are of ISO 8601 or `null`.
    pub fn describe(&self) -> Value {
        let time = |seconds: i64| {
            Timestamp::from_second(seconds)
                .unwrap_or(Timestamp::MAX)
                .to_string()
        };
        json!({
            "user": self.user,
            "state": if self.is_active { "active" } else { "unconfirmed" },
            "since": time(self.since),
            "last_used": self.last_used.map(time),
            "recovery_codes_left": self.recovery_codes_left,
        })
    }
}

/// What a peer has proved in a login besides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecondFactor {
    /// A code of the user's authenticator app.
    Totp,
    /// A recovery code.
    RecoveryCode,
}

/// A code that is right, and has to be used up before anybody is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AcceptedCode {
    Totp { step: i64 },
    Recovery { hash: Vec<u8> },
}

impl AcceptedCode {
    pub(crate) fn factor(&self) -> SecondFactor {
        match self {
            Self::Totp { .. } => SecondFactor::Totp,
            Self::Recovery { .. } => SecondFactor::RecoveryCode,
        }
    }
}

/// What a login has to say about the second factor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// The user has none.
    NotRequired,
    Accepted(AcceptedCode),
    /// No code was given.
    Missing,
    /// The code was used before.
    Used,
    /// It is none of the recovery codes, or one that was used before.
    WrongRecoveryCode,
    /// Six digits were given that are not the code: somebody may guess.
    WrongDigits(u32),
    /// The secret cannot be decrypted, for this reason.
    Unreadable(String),
}

/// What becomes of a login whose password is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Refused(LoginFailure),
    /// With what was given besides the password, if the user has a second factor.
    Admitted(Option<SecondFactor>),
}

/// The stored form of an active second factor.
struct Stored {
    secret: Vec<u8>,
    last_step: i64,
    recovery_hashes: Vec<Vec<u8>>,
}

/// The data against which the second factor of a login is checked.
#[derive(Default)]
pub(crate) struct Factor {
    stored: Option<Stored>,
    key: Option<TotpKey>,
    /// Why the key cannot be read.
    trouble: Option<String>,
}

impl Factor {
    /// Splits what was given into the password and the code, if the user has a second factor.
    pub(crate) fn split<'a>(&self, given: &'a str) -> (&'a str, Option<GivenCode>) {
        match &self.stored {
            Some(_) => split(given),
            None => (given, None),
        }
    }

    /// Returns the encrypted secret, by which [`Database::use_code`] recognises the factor.
    pub(crate) fn sealed(&self) -> &[u8] {
        self.stored.as_ref().map_or(&[], |stored| &stored.secret)
    }

    /// Checks a code at `now`, in seconds since 1970. The work is the same for users with and without a
    /// second factor, and for codes of each kind.
    pub(crate) fn check(&self, given: Option<&GivenCode>, now: i64) -> Second {
        /// Of the length of a secret that is encrypted.
        const DECOY: [u8; 12 + SECRET_BYTES + 16] = [0; 12 + SECRET_BYTES + 16];
        let decoy = self.key.is_none().then(TotpKey::decoy).flatten();
        let key = self.key.as_ref().or(decoy.as_ref());
        let sealed = self
            .stored
            .as_ref()
            .map_or(DECOY.as_slice(), |stored| &stored.secret);
        let secret = key.and_then(|key| key.open(sealed));
        let (digits, letters) = match given {
            Some(GivenCode::Digits(digits)) => (Some(*digits), ""),
            Some(GivenCode::Recovery(letters)) => (None, letters.as_str()),
            None => (None, ""),
        };
        let hash = key.map(|key| key.hash(letters)).unwrap_or_default();
        let step = matching_step(
            secret.as_deref().unwrap_or(&[0; SECRET_BYTES]),
            digits.unwrap_or_default(),
            now,
        );
        let Some(stored) = &self.stored else {
            return Second::NotRequired;
        };
        if secret.is_none() {
            let trouble = self.trouble.clone();
            return Second::Unreadable(trouble.unwrap_or_else(|| "the secret is of another key".to_owned()));
        }
        match given {
            Some(GivenCode::Digits(digits)) => match step {
                Some(step) if step > stored.last_step => Second::Accepted(AcceptedCode::Totp { step }),
                Some(_) => Second::Used,
                None => Second::WrongDigits(*digits),
            },
            Some(GivenCode::Recovery(_)) => {
                let is_same = |kept: &&Vec<u8>| verify_slices_are_equal(kept, &hash).is_ok();
                let found = stored.recovery_hashes.iter().find(is_same);
                found.map_or(Second::WrongRecoveryCode, |hash| {
                    Second::Accepted(AcceptedCode::Recovery { hash: hash.clone() })
                })
            }
            None => Second::Missing,
        }
    }
}

impl Database {
    /// Gives a user a second factor at the time `now`, in seconds since 1970. Logins do not need it before
    /// a first code was [confirmed](Self::confirm_totp). One that was not confirmed is replaced. Creates
    /// the key in a [file](totp_key_file) beside the database if there is none.
    ///
    /// # Errors
    /// [`StoreError::UserMissing`]; [`StoreError::Totp`] if the user has one already, or the key cannot be
    /// read or created; [`StoreError::RandomUnavailable`].
    pub fn enable_totp(&mut self, user: &str, now: i64) -> Result<IssuedTotp, StoreError> {
        let secret = new_secret()?;
        let codes = new_codes()?;
        let change = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        self.expect_login_user("enable the second factor of", user)?;
        if self.totp_row(user)?.is_some_and(|(_, is_active)| is_active) {
            return Err(TotpError::Active(user.to_owned()).into());
        }
        // Within the transaction, so that no two processes create a key.
        let key = self.totp_key_or_new()?;
        change.execute(
            "INSERT OR REPLACE INTO labwire_totp (username, secret, added) VALUES (?1, ?2, ?3)",
            params![user, key.seal(&secret)?, now],
        )?;
        put_codes(&change, &key, user, &codes)?;
        change.commit()?;
        Ok(IssuedTotp {
            user: user.to_owned(),
            secret: base32(&secret),
            recovery_codes: codes,
        })
    }

    /// Makes logins of a user need a code from now on, if this is one at the time `now`, in seconds since
    /// 1970. The code is used up. Without effect if they need one already and the code is right.
    ///
    /// # Errors
    /// [`StoreError::Totp`] if the user has no second factor or the code is wrong.
    pub fn confirm_totp(&mut self, user: &str, code: &str, now: i64) -> Result<(), StoreError> {
        let change = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let (sealed, _) = self
            .totp_row(user)?
            .ok_or_else(|| TotpError::Missing(user.to_owned()))?;
        let key = TotpKey::read(&self.path).map_err(|reason| TotpError::key(&reason))?;
        let secret = key.open(&sealed).ok_or(TotpError::OtherKey)?;
        let Some(GivenCode::Digits(digits)) = code::read(code) else {
            return Err(TotpError::NoCode.into());
        };
        let step = matching_step(&secret, digits, now).ok_or(TotpError::WrongCode)?;
        let confirmed = change.execute(
            "UPDATE labwire_totp SET active_since = coalesce(active_since, ?2), last_used = ?2, last_step = ?3
                WHERE username = ?1 AND last_step < ?3",
            params![user, now, step],
        )?;
        if confirmed == 0 {
            return Err(TotpError::UsedCode.into());
        }
        Ok(change.commit()?)
    }

    /// Ends the second factor of a user: the password is enough from the next login on.
    ///
    /// # Errors
    /// [`StoreError::Totp`] if the user has none.
    pub fn disable_totp(&mut self, user: &str) -> Result<(), StoreError> {
        let change = self.change()?;
        let removed = change.execute("DELETE FROM labwire_totp WHERE username = ?1", [user])?;
        if removed == 0 {
            return Err(TotpError::Missing(user.to_owned()).into());
        }
        change.execute("DELETE FROM labwire_totp_codes WHERE username = ?1", [user])?;
        Ok(change.commit()?)
    }

    /// Gives a user new recovery codes; the old ones end.
    ///
    /// # Errors
    /// [`StoreError::Totp`] if the user has no second factor or the key cannot be read, and
    /// [`StoreError::RandomUnavailable`].
    pub fn renew_recovery_codes(&mut self, user: &str) -> Result<Vec<String>, StoreError> {
        let codes = new_codes()?;
        let change = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let (sealed, _) = self
            .totp_row(user)?
            .ok_or_else(|| TotpError::Missing(user.to_owned()))?;
        let key = TotpKey::read(&self.path).map_err(|reason| TotpError::key(&reason))?;
        // Codes of another key than the secret's would be accepted by nobody.
        key.open(&sealed).ok_or(TotpError::OtherKey)?;
        put_codes(&change, &key, user, &codes)?;
        change.commit()?;
        Ok(codes)
    }

    /// Returns the second factors of all users, sorted by user.
    pub fn totp_states(&self) -> Result<Vec<TotpState>, StoreError> {
        if !self.has_table("labwire_totp")? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT totp.username, active_since, added, last_used,
                    (SELECT count(*) FROM labwire_totp_codes AS code WHERE code.username = totp.username)
                FROM labwire_totp AS totp JOIN auth_users AS user ON user.username = totp.username",
        )?;
        let states = statement.query_map([], |row| {
            let active_since: Option<i64> = row.get(1)?;
            Ok(TotpState {
                user: text(row, 0),
                is_active: active_since.is_some(),
                since: active_since.unwrap_or_else(|| integer(row, 2)),
                last_used: row.get(3)?,
                recovery_codes_left: usize::try_from(integer(row, 4)).unwrap_or_default(),
            })
        })?;
        let mut states = states.collect::<rusqlite::Result<Vec<_>>>()?;
        states.sort_by(|one, other| one.user.cmp(&other.user));
        Ok(states)
    }

    /// Returns the data for checking the second factor of a user, registered or not. Reads the same for
    /// all of them.
    pub(crate) fn factor(&self, username: &str) -> Result<Factor, StoreError> {
        if !self.has_table("labwire_totp")? {
            return Ok(Factor::default());
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT secret, last_step FROM labwire_totp WHERE username = ?1 AND active_since IS NOT NULL",
        )?;
        let found = statement
            .query_row([username], |row| Ok((bytes(row, 0), integer(row, 1))))
            .optional()?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT hash FROM labwire_totp_codes WHERE username = ?1")?;
        let hashes = statement.query_map([username], |row| Ok(bytes(row, 0)))?;
        let recovery_hashes = hashes.collect::<rusqlite::Result<_>>()?;
        let (key, trouble) = match TotpKey::read(&self.path) {
            Ok(key) => (Some(key), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let stored = found.map(|(secret, last_step)| Stored {
            secret,
            last_step,
            recovery_hashes,
        });
        Ok(Factor { stored, key, trouble })
    }

    /// Uses a code up at the time `now`. Returns `false` if another login was faster, or the factor is not
    /// the one any more that was checked.
    pub(crate) fn use_code(
        &mut self,
        username: &str,
        sealed: &[u8],
        code: &AcceptedCode,
        now: i64,
    ) -> Result<bool, StoreError> {
        let change = self.change()?;
        let step = match code {
            AcceptedCode::Totp { step } => Some(*step),
            AcceptedCode::Recovery { hash } => {
                let sql = "DELETE FROM labwire_totp_codes WHERE username = ?1 AND hash = ?2";
                if change.execute(sql, params![username, hash])? == 0 {
                    return Ok(false);
                }
                None
            }
        };
        let used = change.execute(
            "UPDATE labwire_totp SET last_used = ?3, last_step = coalesce(?4, last_step)
                WHERE username = ?1 AND secret = ?2 AND active_since IS NOT NULL AND (?4 IS NULL OR last_step < ?4)",
            params![username, sealed, now, step],
        )?;
        if used == 0 {
            return Ok(false);
        }
        change.commit()?;
        Ok(true)
    }

    /// Returns the encrypted secret of a user, and whether the second factor is active.
    fn totp_row(&self, user: &str) -> Result<Option<(Vec<u8>, bool)>, StoreError> {
        let sql = "SELECT secret, active_since IS NOT NULL FROM labwire_totp WHERE username = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let row = statement.query_row([user], |row| Ok((bytes(row, 0), row.get(1)?)));
        Ok(row.optional()?)
    }

    /// Returns the key. It is created if there is none, unless there are secrets of one that is missing.
    fn totp_key_or_new(&self) -> Result<TotpKey, StoreError> {
        match TotpKey::read(&self.path) {
            Ok(key) => Ok(key),
            Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => {
                let sql = "SELECT count(*) FROM labwire_totp WHERE active_since IS NOT NULL";
                let active: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
                if active > 0 {
                    return Err(TotpError::key(&reason).into());
                }
                TotpKey::create(&self.path)
            }
            Err(reason) => Err(TotpError::key(&reason).into()),
        }
    }

    fn expect_login_user(&self, action: &'static str, user: &str) -> Result<(), StoreError> {
        if self.rights(user)?.is_none() {
            let username = user.to_owned();
            return Err(StoreError::UserMissing { action, username });
        }
        Ok(())
    }
}

fn new_codes() -> Result<Vec<String>, StoreError> {
    (0..RECOVERY_CODES).map(|_| new_recovery_code()).collect()
}

/// Replaces the recovery codes of a user.
fn put_codes(
    change: &Transaction<'_>,
    key: &TotpKey,
    user: &str,
    codes: &[String],
) -> Result<(), StoreError> {
    change.execute("DELETE FROM labwire_totp_codes WHERE username = ?1", [user])?;
    for code in codes {
        let Some(GivenCode::Recovery(letters)) = code::read(code) else {
            continue;
        };
        change.execute(
            "INSERT OR IGNORE INTO labwire_totp_codes (username, hash) VALUES (?1, ?2)",
            params![user, key.hash(&letters)],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
