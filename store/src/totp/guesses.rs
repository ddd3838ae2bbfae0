//! Slows down whoever knows a password and guesses codes, from however many addresses. Takes the time as
//! an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many different wrong codes of a user are checked behind the right password before no code is
/// accepted for a while.
const MOST_GUESSES: u32 = 10;

/// For how long no code of a user is accepted then. Three of a million codes are right at any time: with ten
/// guesses an hour, whoever knows the password and guesses for a year finds one with a probability of a
/// quarter.
pub(crate) const PAUSE: Duration = Duration::from_hours(1);

struct Guessed {
    /// The last wrong code: a program that tries the same one again and again does not guess.
    code: u32,
    count: u32,
    last: Instant,
}

/// Wrong codes behind right passwords, by the encrypted secret, so that a new second factor begins anew.
/// Bounded by the number of users, since the password was right.
#[derive(Default)]
pub(crate) struct Guesses {
    secrets: HashMap<Vec<u8>, Guessed>,
}

impl Guesses {
    /// Returns whether no code of this secret is accepted at the moment.
    pub(crate) fn is_paused(&self, sealed: &[u8], now: Instant) -> bool {
        self.secrets
            .get(sealed)
            .is_some_and(|guessed| guessed.count >= MOST_GUESSES && now < guessed.last + PAUSE)
    }

    /// Notes a wrong code behind the right password. Returns whether a pause begins with it.
    pub(crate) fn note(&mut self, sealed: &[u8], code: u32, now: Instant) -> bool {
        self.secrets.retain(|_, guessed| now < guessed.last + PAUSE);
        let guessed = self.secrets.entry(sealed.to_owned()).or_insert(Guessed {
            code,
            count: 0,
            last: now,
        });
        if guessed.count >= MOST_GUESSES || (guessed.count > 0 && guessed.code == code) {
            return false;
        }
        (guessed.code, guessed.last) = (code, now);
        guessed.count += 1;
        guessed.count == MOST_GUESSES
    }

    /// Forgets the wrong codes, after a good login with a code.
    pub(crate) fn forgive(&mut self, sealed: &[u8]) {
        self.secrets.remove(sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_different_wrong_codes_begin_a_pause_that_ends_and_a_good_login_forgives() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        for _ in 0..100 {
            assert!(!guesses.note(b"ada", 7, now));
        }
        for code in 0..8 {
            assert!(!guesses.note(b"ada", code, now));
        }
        guesses.forgive(b"ada");
        for round in 0..3 {
            for code in 0..10 {
                assert!(!guesses.is_paused(b"ada", now), "{round}");
                assert_eq!(guesses.note(b"ada", code, now), code == 9);
            }
            assert!(guesses.is_paused(b"ada", now) && !guesses.is_paused(b"bob", now));
            assert!(!guesses.note(b"ada", 11, now + PAUSE / 2));
            assert!(guesses.is_paused(b"ada", now + PAUSE / 2));
            now += PAUSE;
        }
        assert!(!guesses.is_paused(b"ada", now));
        guesses.note(b"bob", 1, now);
        assert_eq!(guesses.secrets.len(), 1);
    }
}
