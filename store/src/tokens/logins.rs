//! Logins with a token in place of a password.

use labwire_access::Permission;
use rusqlite::OptionalExtension;

use super::secrets::{SecretHash, hash_of_secret};
use crate::database::{Database, integer, text};
use crate::error::StoreError;
use crate::login_failure::LoginFailure;
use crate::passwords::Credentials;
use crate::standing::{LoginUser, number_of};

/// The token with which a peer has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginToken {
    /// Its number.
    pub id: i64,
    /// What it allows of what the user may do.
    pub may: Vec<Permission>,
    /// When it ends, in seconds since 1970; `None` if it does not end.
    pub until: Option<i64>,
}

/// A token whose secret and username were right, and the rights of its user.
pub(crate) struct FoundToken {
    pub(crate) token: LoginToken,
    pub(crate) is_admin: bool,
    /// The caller counts the readings.
    pub(crate) user: LoginUser,
}

impl Database {
    /// Returns the data for checking a login: the user's password and second factor, whether the user is
    /// disabled, and the token whose secret may have been given in its place at the time `now`.
    pub(crate) fn login(&mut self, username: &str, given: &str, now: i64) -> Result<Credentials, StoreError> {
        let is_disabled = self.is_disabled(username)?;
        let token = self.login_with_token(username, given, now)?;
        let factor = self.factor(username)?;
        Ok(Credentials {
            is_disabled,
            token,
            factor,
            ..self.credentials(username)?
        })
    }

    /// Returns the token with that secret if a user who is not disabled may log in with it at `now`, or why
    /// not. Returns `None` if it has not the form of a secret.
    pub(crate) fn login_with_token(
        &self,
        username: &str,
        given: &str,
        now: i64,
    ) -> Result<Option<Result<FoundToken, LoginFailure>>, StoreError> {
        let Some(hash) = hash_of_secret(given) else {
            return Ok(None);
        };
        let found = self.token_of(username, &hash, now)?;
        // Asked for in any case, so that the work does not tell who is disabled.
        let is_disabled = self.is_disabled(username)?;
        Ok(Some(if is_disabled {
            Err(LoginFailure::Disabled)
        } else {
            found
        }))
    }

    /// Returns the token with that hash if it is one of the user and has not ended at `now`, or why not.
    pub(crate) fn token_of(
        &self,
        username: &str,
        hash: &SecretHash,
        now: i64,
    ) -> Result<Result<FoundToken, LoginFailure>, StoreError> {
        if !self.has_table("labwire_tokens")? {
            return Ok(Err(LoginFailure::UnknownToken));
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT token.id, token.may, token.until, user.username, user.is_admin, user.pid
                FROM labwire_tokens AS token
                JOIN auth_users AS user ON user.username = token.username WHERE token.hash = ?1",
        )?;
        let found = statement
            .query_row([hash], |row| {
                let token = LoginToken {
                    id: integer(row, 0),
                    may: permissions(&text(row, 1)),
                    until: row.get(2)?,
                };
                let is_admin = integer(row, 4) != 0;
                let user = LoginUser {
                    id: integer(row, 5),
                    number: number_of(&self.connection, integer(row, 5))?,
                    read: 0,
                };
                let found = FoundToken {
                    token,
                    is_admin,
                    user,
                };
                Ok((text(row, 3), found))
            })
            .optional()?;
        Ok(match found {
            None => Err(LoginFailure::UnknownToken),
            Some((user, _)) if user != username => Err(LoginFailure::TokenOfAnother),
            Some((_, found)) if found.token.until.is_some_and(|until| now >= until) => {
                Err(LoginFailure::TokenEnded)
            }
            Some((_, found)) => Ok(found),
        })
    }

    /// Notes that a token was used.
    pub(crate) fn note_token_use(&self, id: i64, now: i64) -> Result<(), StoreError> {
        let sql = "UPDATE labwire_tokens SET last_used = ?2 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute([id, now])?;
        Ok(())
    }
}

/// Reads permissions, one per line, and leaves out those that cannot be read.
pub(super) fn permissions(text: &str) -> Vec<Permission> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
