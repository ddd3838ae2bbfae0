//! Derives keys from passwords, and checks logins without revealing what was wrong.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, pbkdf2, rand};

use crate::error::StoreError;
use crate::login_failure::LoginFailure;
use crate::standing::LoginUser;
use crate::tokens::FoundToken;
use crate::totp::{Factor, Second};

/// The PBKDF2-HMAC-SHA256 rounds for a new password: the value of OWASP's password storage cheat
/// sheet (as of 2023). About a tenth of a second of one core of a current computer.
pub const DEFAULT_ROUNDS: u32 = 600_000;

/// The rounds of MSL-Network's own manager, which are fixed. It cannot check rows with another
/// number of rounds on record; rows without a record have this many.
pub const COMPATIBLE_ROUNDS: u32 = 100_000;

/// The fewest rounds for a password: no weaker than existing installations.
pub const MINIMUM_ROUNDS: u32 = COMPATIBLE_ROUNDS;

/// The most rounds for a password. Every login, also of an unknown user, does as much work as the
/// costliest row: this is two seconds of a current computer and many of a small one, and with more
/// a login would come close to the deadline of its handshake.
pub const MAXIMUM_ROUNDS: u32 = 10_000_000;

/// The length of a salt in bytes, as in the reference.
const SALT_LENGTH: usize = 16;

/// The length of a key in bytes, as in the reference.
pub(crate) const KEY_LENGTH: usize = 32;

/// The salt of work that is done for unknown users and as padding. It protects nothing, so it need
/// not be secret.
const DECOY_SALT: [u8; SALT_LENGTH] = *b"labwire-no-users";

/// The stored form of a password, from which the password cannot be recovered.
pub struct HashedPassword {
    pub(crate) key: Vec<u8>,
    pub(crate) salt: Vec<u8>,
    pub(crate) rounds: u32,
}

impl HashedPassword {
    /// Hashes a user's new password with a new salt and this many rounds of PBKDF2-HMAC-SHA256,
    /// normally [`DEFAULT_ROUNDS`]. Slow by design: must not run on a thread that serves others.
    ///
    /// # Errors
    /// [`StoreError::PasswordMissing`] for an empty password, [`StoreError::RoundsOutOfRange`] for
    /// fewer than [`MINIMUM_ROUNDS`] or more than [`MAXIMUM_ROUNDS`], and
    /// [`StoreError::RandomUnavailable`].
    pub fn new(username: &str, password: &str, rounds: u32) -> Result<Self, StoreError> {
        if password.is_empty() {
            return Err(StoreError::PasswordMissing {
                username: username.to_owned(),
            });
        }
        if !(MINIMUM_ROUNDS..=MAXIMUM_ROUNDS).contains(&rounds) {
            return Err(StoreError::RoundsOutOfRange { rounds });
        }
        let mut salt = vec![0; SALT_LENGTH];
        rand::fill(&mut salt).map_err(|_| StoreError::RandomUnavailable)?;
        let key = Work::default().derive(rounds, &salt, password.as_bytes());
        Ok(Self {
            key: key.to_vec(),
            salt,
            rounds,
        })
    }
}

/// The parts of a user's row that a login needs.
pub(crate) struct StoredPassword {
    pub(crate) hashed: HashedPassword,
    pub(crate) is_admin: bool,
    /// The caller counts the readings.
    pub(crate) user: LoginUser,
}

/// The data against which a login is checked.
pub(crate) struct Credentials {
    /// `None` for a user who is not registered.
    pub(crate) stored: Option<StoredPassword>,
    /// The rounds of every login: the maximum of all rows.
    pub(crate) rounds: u32,
    /// Whether the user may not log in at all.
    pub(crate) is_disabled: bool,
    /// The token that was given in the place of the password, or why nobody logs in with it. `None` if what
    /// was given has not the form of a token's secret.
    pub(crate) token: Option<Result<FoundToken, LoginFailure>>,
    /// What the user has to give behind the password.
    pub(crate) factor: Factor,
}

/// The result of a check, and its amount of work.
pub(crate) struct Check {
    /// Whether the password is right, and the user is not disabled.
    pub(crate) is_match: bool,
    /// The second factor, whether the password is right or not.
    pub(crate) second: Second,
    /// The number of PBKDF2 rounds, the same for every login with the same table.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests count work instead of measuring time")
    )]
    pub(crate) rounds_done: u64,
}

impl Credentials {
    /// Returns why the login fails that has neither a valid token nor the right password.
    pub(crate) fn failure(&self) -> LoginFailure {
        match &self.token {
            _ if self.stored.is_none() => LoginFailure::UnknownUser,
            _ if self.is_disabled => LoginFailure::Disabled,
            Some(Err(failure)) => *failure,
            _ => LoginFailure::WrongPassword,
        }
    }

    /// Checks the password of the user, also if a token was given, and the code behind it at `now`, in
    /// seconds since 1970.
    ///
    /// The work is the same for an unknown user, a wrong password, the right one and a token, and for users
    /// with different rounds: the missing rounds are done as padding. Otherwise the response time
    /// would reveal who is registered, and whose password is cheaper to guess. So is the work for a code,
    /// which is checked whether the password is right or not.
    pub(crate) fn check(&self, given: &str, now: i64) -> Check {
        let mut work = Work::default();
        let (password, code) = self.factor.split(given);
        let second = self.factor.check(code.as_ref(), now);
        let (salt, key, rounds) = match &self.stored {
            Some(row) => (
                row.hashed.salt.as_slice(),
                row.hashed.key.as_slice(),
                row.hashed.rounds,
            ),
            None => (DECOY_SALT.as_slice(), [0; KEY_LENGTH].as_slice(), self.rounds),
        };
        let derived = work.derive(rounds, salt, password.as_bytes());
        // The padding hashes the key, not the password again: otherwise a long password would cost
        // more in a padded row.
        work.derive(self.rounds.saturating_sub(rounds), &DECOY_SALT, &derived);
        let is_equal = constant_time::verify_slices_are_equal(&derived, key).is_ok();
        Check {
            is_match: is_equal && self.stored.is_some() && !self.is_disabled,
            second,
            rounds_done: work.rounds,
        }
    }
}

/// Calls PBKDF2 and counts the rounds; the only place that does.
#[derive(Default)]
struct Work {
    rounds: u64,
}

impl Work {
    fn derive(&mut self, rounds: u32, salt: &[u8], secret: &[u8]) -> [u8; KEY_LENGTH] {
        let mut key = [0; KEY_LENGTH];
        if let Some(iterations) = NonZeroU32::new(rounds) {
            // Otherwise a fuzzer would spend all of its time here.
            let iterations = if cfg!(fuzzing) {
                NonZeroU32::MIN
            } else {
                iterations
            };
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret, &mut key);
            self.rounds += u64::from(rounds);
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(hashed: HashedPassword) -> StoredPassword {
        StoredPassword {
            hashed,
            is_admin: false,
            user: LoginUser::default(),
        }
    }

    fn row(password: &str, rounds: u32) -> Option<StoredPassword> {
        HashedPassword::new("ada", password, rounds).ok().map(stored)
    }

    #[test]
    fn the_work_is_the_same_for_an_unknown_user_a_wrong_password_and_a_right_one() {
        let rounds = 150_000;
        let logins = [
            (None, "right", false),
            (row("right", 100_000), "wrong", false),
            (row("right", 100_000), "right", true),
            (row("right", 150_000), "wrong", false),
            (row("right", 150_000), "right", true),
        ];
        for (stored, password, is_match) in logins {
            let check = Credentials {
                stored,
                rounds,
                is_disabled: false,
                token: None,
                factor: Factor::default(),
            }
            .check(password, 0);
            assert_eq!((check.is_match, check.rounds_done), (is_match, u64::from(rounds)));
        }
    }

    #[test]
    fn a_row_with_a_key_or_salt_of_the_wrong_length_lets_nobody_in_and_costs_the_same() {
        for (key, salt) in [(0, 16), (31, 16), (33, 16), (32, 0), (32, 100_000), (0, 0)] {
            let hashed = HashedPassword {
                key: vec![0; key],
                salt: vec![0; salt],
                rounds: 100_000,
            };
            let credentials = Credentials {
                stored: Some(stored(hashed)),
                rounds: 120_000,
                is_disabled: false,
                token: None,
                factor: Factor::default(),
            };
            for password in ["", "password", "nul\0nul"] {
                let check = credentials.check(password, 0);
                assert_eq!((check.is_match, check.rounds_done), (false, 120_000));
            }
        }
    }

    #[test]
    fn the_decoy_of_an_unknown_user_never_matches() {
        // Zero rounds leave the derived key zero, and the decoy's key is zero, too.
        let check = Credentials {
            stored: None,
            rounds: 0,
            is_disabled: false,
            token: None,
            factor: Factor::default(),
        }
        .check("anything", 0);
        assert!(!check.is_match);
    }

    #[test]
    fn weak_empty_and_endless_passwords_are_refused() {
        let refused = |password, rounds| HashedPassword::new("ada", password, rounds).err().unwrap();
        assert!(matches!(
            refused("", DEFAULT_ROUNDS),
            StoreError::PasswordMissing { .. }
        ));
        assert!(matches!(
            refused("x", 99_999),
            StoreError::RoundsOutOfRange { rounds: 99_999 }
        ));
        assert!(matches!(
            refused("x", 10_000_001),
            StoreError::RoundsOutOfRange { .. }
        ));
    }
}
