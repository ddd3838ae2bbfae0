//! Logins, and what they are checked against: passwords, tokens and accounts.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use labwire_home::present;

use super::Store;
use crate::accounts::AccountChange;
use crate::database::Database;
use crate::error::StoreError;
use crate::login_failure::LoginFailure;
use crate::passwords::{Credentials, DEFAULT_ROUNDS, HashedPassword, StoredPassword};
use crate::standing::{LoginUser, UserStandings};

use crate::tokens::{FoundToken, IssuedToken, LoginToken, NewToken, TokenNumbers};
use crate::totp::{Decision, SecondFactor, split};
use crate::worker::{Command, Job};

/// How long the note that a user has logged in waits for another program's lock. Logins wait meanwhile.
const NOTE_PATIENCE: Duration = Duration::from_millis(100);

/// The result of a successful login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOutcome {
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// The row of the user.
    pub user: LoginUser,
    /// The token that was given as the password; `None` for the password.
    pub token: Option<LoginToken>,
    /// What was given behind the password; `None` if the user has no second factor.
    pub second_factor: Option<SecondFactor>,
}

impl LoginOutcome {
    fn of_token(
        FoundToken {
            token,
            is_admin,
            user,
        }: FoundToken,
        read: u64,
    ) -> Self {
        Self {
            is_admin,
            user: LoginUser { read, ..user },
            token: Some(token),
            second_factor: None,
        }
    }
}

/// Who may stay logged in, as of one time.
#[derive(Debug)]
pub struct ValidLogins {
    /// The numbers of the tokens.
    pub tokens: TokenNumbers,
    /// The users that are disabled.
    pub disabled: HashSet<String>,
    /// The users that are there.
    pub users: UserStandings,
    /// A number that is another one after a change of the file by another program, and after one of users,
    /// tokens and accounts by this store, also if its caller did not wait for the end of the change.
    pub file: i64,
}

impl ValidLogins {
    /// Returns whether it was read after another one of the same store.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.users.read > other.users.read
    }
}

/// When the store was opened, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    at: Instant,
    /// In seconds since 1970.
    seconds: i64,
}

impl Opened {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            seconds: present().as_second(),
        }
    }

    /// Returns the present in seconds since 1970. If the clock was set back since then, it is the time
    /// that it would show otherwise, so that a token that has ended stays ended.
    pub(super) fn present(self) -> i64 {
        let since = i64::try_from(self.at.elapsed().as_secs()).unwrap_or(i64::MAX);
        present().as_second().max(self.seconds.saturating_add(since))
    }
}

impl Store {
    /// Returns who may stay logged in, unless nothing has changed since the number `unless` of
    /// [`ValidLogins::file`] was read.
    pub async fn valid_logins(&self, unless: Option<i64>) -> Result<Option<ValidLogins>, StoreError> {
        let counts = Arc::clone(&self.counts);
        // What ends now has ended for later logins, too.
        counts.time_for_tokens(self.opened.present());
        self.ask(move |database| {
            let own = counts.logins_changed.load(Ordering::Relaxed);
            let file = database.version_of_others()?.wrapping_add(own);
            if unless == Some(file) {
                return Ok(None);
            }
            let users = database.user_standings(counts.next_reading())?;
            let tokens = database.token_numbers()?;
            let disabled = database.disabled_users()?;
            Ok(Some(ValidLogins {
                tokens,
                disabled,
                users,
                file,
            }))
        })
        .await
    }

    /// Changes what is known of a user: see [`Database::change_account`](crate::Database::change_account).
    pub async fn change_account(&self, change: AccountChange) -> Result<(), StoreError> {
        let now = self.opened.present();
        self.change_logins(move |database| database.change_account(&change, now))
            .await
    }

    /// Adds a token: see [`Database::add_token`](crate::Database::add_token).
    pub async fn add_token(&self, new: NewToken) -> Result<IssuedToken, StoreError> {
        let now = self.opened.present();
        self.ask(move |database| database.add_token(&new, now)).await
    }

    /// Revokes a token: see [`Database::revoke_token`](crate::Database::revoke_token).
    pub async fn revoke_token(&self, id: i64) -> Result<(), StoreError> {
        self.change_logins(move |database| database.revoke_token(id))
            .await
    }

    /// Makes a change after which logins may not be valid any more.
    pub(super) async fn change_logins<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let counts = Arc::clone(&self.counts);
        self.ask(move |database| {
            let changed = change(database);
            // Also after a failure: a database can fail after it has written.
            counts.logins_changed.fetch_add(1, Ordering::Relaxed);
            changed
        })
        .await
    }

    /// Checks a password, or the secret of a token in its place. Fails for an unknown user, for
    /// a wrong password, for a token that is another user's or has ended, and for a user who is disabled,
    /// after the same work: that of a password. Nobody but administrators may learn which it was.
    ///
    /// Of a user with a [second factor](Self::enable_totp), the password is followed by a code, as in
    /// `secret123456`, which is used up before this returns. It also fails for a code that is wrong or
    /// used up, or for none.
    ///
    /// Takes as long as the costliest row of the table requires, about a tenth of a second for
    /// [`DEFAULT_ROUNDS`], and longer while other logins are checked: at most half of the
    /// processors do so. A cancelled login occupies its processor until its work is done.
    pub async fn verify_login(
        &self,
        username: &str,
        password: &str,
    ) -> Result<Result<LoginOutcome, LoginFailure>, StoreError> {
        let now = self.opened.present();
        let (outcome, hashed) = match self.check_login(username, password, now).await? {
            Ok(checked) => checked,
            Err(failure) => return Ok(Err(failure)),
        };
        let password = match outcome.second_factor {
            Some(_) => split(password).0,
            None => password,
        };
        self.note_login(username, outcome.token.as_ref().map(|token| token.id), now);
        if let Some(hashed) = hashed.filter(|hashed| self.upgrade_passwords && hashed.rounds < DEFAULT_ROUNDS)
            // The login succeeds even if its row cannot be upgraded now; the next login tries
            // again.
            && let Err(error) = self.upgrade(username, password, hashed).await
        {
            tracing::warn!(username, %error, "the password was not upgraded to more rounds");
        }
        Ok(Ok(outcome))
    }

    /// Checks the secret of a token as [`verify_login`](Self::verify_login) does, but no password: it does
    /// not hash, and takes well below a millisecond. Fails for anything that is no valid token.
    pub async fn verify_token(
        &self,
        username: &str,
        secret: &str,
    ) -> Result<Result<LoginOutcome, LoginFailure>, StoreError> {
        let now = self.opened.present();
        let (name, given) = (username.to_owned(), secret.to_owned());
        let counts = Arc::clone(&self.counts);
        let (found, read) = self
            .ask(move |database| {
                let found = database.login_with_token(&name, &given, counts.time_for_tokens(now))?;
                Ok((found, counts.next_reading()))
            })
            .await?;
        let found = match found {
            Some(Ok(found)) => found,
            Some(Err(failure)) => return Ok(Err(failure)),
            None => return Ok(Err(LoginFailure::WrongPassword)),
        };
        self.note_login(username, Some(found.token.id), now);
        Ok(Ok(LoginOutcome::of_token(found, read)))
    }

    /// Logs in a user who has proved it with a certificate. Takes well below a millisecond. Fails
    /// for an unknown user, and for one who is disabled.
    pub async fn login_with_certificate(
        &self,
        username: &str,
    ) -> Result<Result<LoginOutcome, LoginFailure>, StoreError> {
        let now = self.opened.present();
        let name = username.to_owned();
        let counts = Arc::clone(&self.counts);
        let (credentials, read) = self
            .ask(move |database| {
                let credentials = database.login(&name, "", now)?;
                Ok((credentials, counts.next_reading()))
            })
            .await?;
        let stored = match credentials.stored {
            None => return Ok(Err(LoginFailure::UnknownUser)),
            Some(_) if credentials.is_disabled => return Ok(Err(LoginFailure::Disabled)),
            Some(stored) => stored,
        };
        self.note_login(username, None, now);
        Ok(Ok(LoginOutcome {
            is_admin: stored.is_admin,
            user: LoginUser { read, ..stored.user },
            token: None,
            second_factor: None,
        }))
    }

    /// Returns whether this is the password of the user, and the user is not disabled. As
    /// [`verify_login`](Self::verify_login), but it is no login: the secret of a token is no password, no code
    /// is needed behind the password, and nothing is noted.
    pub async fn is_password_valid(&self, username: &str, password: &str) -> Result<bool, StoreError> {
        let (name, secret) = (username.to_owned(), password.to_owned());
        let credentials = self
            .ask(move |database| {
                let is_disabled = database.is_disabled(&name)?;
                Ok(Credentials {
                    is_disabled,
                    ..database.credentials(&name)?
                })
            })
            .await?;
        self.hashing(move || credentials.check(&secret, 0).is_match).await
    }

    /// Checks a login, and uses up the code of a second factor. Returns the hashed password as well if that
    /// was given.
    async fn check_login(
        &self,
        username: &str,
        password: &str,
        now: i64,
    ) -> Result<Result<(LoginOutcome, Option<HashedPassword>), LoginFailure>, StoreError> {
        let (name, given) = (username.to_owned(), password.to_owned());
        let counts = Arc::clone(&self.counts);
        let (credentials, read) = self
            .ask(move |database| {
                let credentials = database.login(&name, &given, counts.time_for_tokens(now))?;
                Ok((credentials, counts.next_reading()))
            })
            .await?;
        let secret = password.to_owned();
        // Codes follow the clock as it is now, as those of the app do.
        let clock = present().as_second();
        // Also for a token, so that the time does not tell which it was.
        let (check, credentials) = self
            .hashing(move || (credentials.check(&secret, clock), credentials))
            .await?;
        let failure = credentials.failure();
        let Credentials {
            stored,
            token,
            factor,
            ..
        } = credentials;
        if let Some(Ok(found)) = token {
            return Ok(Ok((LoginOutcome::of_token(found, read), None)));
        }
        let Some(StoredPassword {
            hashed,
            is_admin,
            user,
        }) = stored.filter(|_| check.is_match)
        else {
            return Ok(Err(failure));
        };
        let second_factor = match self.admit(username, &factor, check.second, now).await? {
            Decision::Admitted(second_factor) => second_factor,
            Decision::Refused(failure) => return Ok(Err(failure)),
        };
        let outcome = LoginOutcome {
            is_admin,
            user: LoginUser { read, ..user },
            token: None,
            second_factor,
        };
        Ok(Ok((outcome, Some(hashed))))
    }

    /// Notes that a user has logged in, unless the database is busy: a login does not wait for it.
    fn note_login(&self, username: &str, token: Option<i64>, now: i64) {
        let username = username.to_owned();
        let job: Job = Box::new(move |database| {
            let noted = database
                .be_patient(NOTE_PATIENCE)
                .and_then(|()| database.note_user_login(&username, now))
                .and_then(|()| token.map_or(Ok(()), |id| database.note_token_use(id, now)));
            if let Err(error) = noted {
                tracing::debug!(%error, "the time of a login was not noted");
            }
        });
        let _ = self.commands.try_send(Command::Run(job));
    }

    async fn upgrade(&self, username: &str, password: &str, old: HashedPassword) -> Result<(), StoreError> {
        let new = self.hash(username, password, DEFAULT_ROUNDS).await?;
        let username = username.to_owned();
        self.ask(move |database| database.upgrade_password(&username, &old, &new))
            .await
    }
}
