//! How passwords become keys, and how a login is checked without telling what was wrong with it.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, pbkdf2, rand};

use crate::error::StoreError;

/// Rounds of PBKDF2-HMAC-SHA256 for a new password: what OWASP's password storage cheat sheet asks of
/// this function (as of 2023). About a tenth of a second of one core of a current computer.
pub const DEFAULT_ROUNDS: u32 = 600_000;

/// The rounds that MSL-Network's own manager uses, always. Rows with a record of their own cannot be
/// checked by it, rows without one have this many.
pub const COMPATIBLE_ROUNDS: u32 = 100_000;

/// The fewest rounds a password may have: nothing weaker than what an existing installation has.
pub const MINIMUM_ROUNDS: u32 = COMPATIBLE_ROUNDS;

/// The most rounds a password may have. Every login, also of an unknown user, does as much work as the
/// costliest row asks for: this is two seconds of a current computer and many of a small one, and a login
/// with more would come close to the deadline of its handshake.
pub const MAXIMUM_ROUNDS: u32 = 10_000_000;

/// Bytes of a salt, as the reference has it.
const SALT_LENGTH: usize = 16;

/// Bytes of a key, as the reference has it.
pub(crate) const KEY_LENGTH: usize = 32;

/// What the work for nobody in particular is salted with. It protects nothing, so it need not be secret.
const DECOY_SALT: [u8; SALT_LENGTH] = *b"labwire-no-users";

/// What is stored of a password: not the password, which cannot be found out from it.
pub struct HashedPassword {
    pub(crate) key: Vec<u8>,
    pub(crate) salt: Vec<u8>,
    pub(crate) rounds: u32,
}

impl HashedPassword {
    /// Hashes a new password of a user with a new salt, in so many rounds of PBKDF2-HMAC-SHA256
    /// ([`DEFAULT_ROUNDS`], unless there is a reason). Slow on purpose: not for a thread that others wait for.
    ///
    /// # Errors
    /// [`StoreError::PasswordMissing`] for an empty password, [`StoreError::RoundsOutOfRange`] for fewer than
    /// [`MINIMUM_ROUNDS`] or more than [`MAXIMUM_ROUNDS`], and [`StoreError::RandomUnavailable`].
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

/// A row of the users' table, as far as a login needs it.
pub(crate) struct StoredPassword {
    pub(crate) hashed: HashedPassword,
    pub(crate) is_admin: bool,
}

/// What a login is checked against.
pub(crate) struct Credentials {
    /// Nothing for a user who is not registered.
    pub(crate) stored: Option<StoredPassword>,
    /// The rounds that this login takes, whoever logs in: the most that any row asks for.
    pub(crate) rounds: u32,
}

/// What a check found, and how much work it was.
pub(crate) struct Check {
    pub(crate) is_match: bool,
    /// Rounds of PBKDF2 that were done; the same for every login that the same table answers.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests count work instead of measuring time")
    )]
    pub(crate) rounds_done: u64,
}

impl Credentials {
    /// Whether the password is that of the user.
    ///
    /// The work is the same for an unknown user, a wrong password and the right one, also between users
    /// whose rows have different rounds: what a row does not ask for is done as padding. Without it the
    /// time of an answer would tell who is registered, and whose password is the cheaper one to guess.
    pub(crate) fn check(&self, password: &str) -> Check {
        let mut work = Work::default();
        let (salt, key, rounds) = match &self.stored {
            Some(row) => (
                row.hashed.salt.as_slice(),
                row.hashed.key.as_slice(),
                row.hashed.rounds,
            ),
            None => (DECOY_SALT.as_slice(), [0; KEY_LENGTH].as_slice(), self.rounds),
        };
        let derived = work.derive(rounds, salt, password.as_bytes());
        // The padding hashes the key, not the password again: a long password must not cost more in a row
        // that is padded than in one that is not.
        work.derive(self.rounds.saturating_sub(rounds), &DECOY_SALT, &derived);
        let is_equal = constant_time::verify_slices_are_equal(&derived, key).is_ok();
        Check {
            is_match: is_equal && self.stored.is_some(),
            rounds_done: work.rounds,
        }
    }
}

/// The one place where PBKDF2 is called, which keeps count of it.
#[derive(Default)]
struct Work {
    rounds: u64,
}

impl Work {
    fn derive(&mut self, rounds: u32, salt: &[u8], secret: &[u8]) -> [u8; KEY_LENGTH] {
        let mut key = [0; KEY_LENGTH];
        if let Some(iterations) = NonZeroU32::new(rounds) {
            // A fuzzer would do nothing else.
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
            let check = Credentials { stored, rounds }.check(password);
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
            };
            for password in ["", "password", "nul\0nul"] {
                let check = credentials.check(password);
                assert_eq!((check.is_match, check.rounds_done), (false, 120_000));
            }
        }
    }

    #[test]
    fn the_decoy_of_an_unknown_user_never_matches() {
        // Zero rounds leave the derived key zero, which is what the decoy compares with.
        let check = Credentials {
            stored: None,
            rounds: 0,
        }
        .check("anything");
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
