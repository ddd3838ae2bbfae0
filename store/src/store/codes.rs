//! The second factor of users.

use std::sync::PoisonError;
use std::time::Instant;

use labwire_home::present;

use super::Store;
use crate::error::StoreError;
use crate::login_failure::LoginFailure;
use crate::totp::{AcceptedCode, Decision, Factor, IssuedTotp, Noted, Second};

impl Store {
    /// Gives a user a second factor: see [`Database::enable_totp`](crate::Database::enable_totp).
    pub async fn enable_totp(&self, user: &str) -> Result<IssuedTotp, StoreError> {
        let (user, now) = (user.to_owned(), self.opened.present());
        self.ask(move |database| database.enable_totp(&user, now)).await
    }

    /// Makes logins of a user need a code: see [`Database::confirm_totp`](crate::Database::confirm_totp).
    pub async fn confirm_totp(&self, user: &str, code: &str) -> Result<(), StoreError> {
        let (user, code) = (user.to_owned(), code.to_owned());
        // As for logins: codes follow the clock as it is now.
        let now = present().as_second();
        self.ask(move |database| database.confirm_totp(&user, &code, now))
            .await
    }

    /// Ends the second factor of a user: see [`Database::disable_totp`](crate::Database::disable_totp).
    pub async fn disable_totp(&self, user: &str) -> Result<(), StoreError> {
        let user = user.to_owned();
        self.ask(move |database| database.disable_totp(&user)).await
    }

    /// Gives a user new recovery codes: see
    /// [`Database::renew_recovery_codes`](crate::Database::renew_recovery_codes).
    pub async fn renew_recovery_codes(&self, user: &str) -> Result<Vec<String>, StoreError> {
        let user = user.to_owned();
        self.ask(move |database| database.renew_recovery_codes(&user))
            .await
    }

    /// Decides about a login whose password is right, and uses up its code.
    pub(super) async fn admit(
        &self,
        username: &str,
        factor: &Factor,
        second: Second,
        now: i64,
    ) -> Result<Decision, StoreError> {
        let sealed = factor.sealed().to_owned();
        let accepted = match second {
            Second::NotRequired => return Ok(Decision::Admitted(None)),
            Second::Missing => return Ok(Decision::Refused(LoginFailure::NoCode)),
            Second::Used => return Ok(Decision::Refused(LoginFailure::UsedCode)),
            Second::WrongRecoveryCode => return Ok(Decision::Refused(LoginFailure::WrongCode)),
            Second::WrongDigits(code) => {
                match self.guesses().note(&sealed, code, Instant::now()) {
                    Noted::Nothing => {}
                    Noted::Several => tracing::warn!(
                        username,
                        "several wrong codes were given behind the right password within a day: if it was not the user, \
                         somebody knows the password, and the user should change it"
                    ),
                    Noted::Pause => tracing::warn!(
                        username,
                        "ten wrong codes were given behind the right password: somebody may know it. No code of the \
                         authenticator app is accepted for an hour, recovery codes are; the user should change the \
                         password"
                    ),
                }
                return Ok(Decision::Refused(LoginFailure::WrongCode));
            }
            Second::Unreadable(reason) => {
                tracing::error!(
                    username,
                    reason,
                    "the second factor of a user cannot be checked, so the login is refused: restore the key beside the \
                     database (its name ends with .totp-key), or end the second factor with: labwire totp disable"
                );
                return Ok(Decision::Refused(LoginFailure::SecondFactorUnreadable));
            }
            Second::Accepted(accepted) => accepted,
        };
        let is_code = matches!(accepted, AcceptedCode::Totp { .. });
        if is_code && self.guesses().is_paused(&sealed, Instant::now()) {
            return Ok(Decision::Refused(LoginFailure::CodesPaused));
        }
        let (name, used, of) = (username.to_owned(), accepted.clone(), sealed.clone());
        // Before anybody is admitted: of two logins with the same code, also at two managers with this
        // database, one is refused.
        let is_used = self
            .ask(move |database| database.use_code(&name, &of, &used, now))
            .await?;
        if !is_used {
            return Ok(Decision::Refused(LoginFailure::UsedCode));
        }
        if !is_code {
            self.guesses().forgive(&sealed);
        }
        Ok(Decision::Admitted(Some(accepted.factor())))
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, crate::totp::Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
