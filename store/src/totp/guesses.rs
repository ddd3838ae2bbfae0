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

/// The time after which a wrong code does not count any more. A good login ends nothing: whoever guesses
/// would go on after each login of the user.
const FORGOTTEN: Duration = Duration::from_mins(6);

/// How many wrong codes of a day are told, though they were too slow for a pause.
const TOLD: u32 = 5;

const DAY: Duration = Duration::from_hours(24);

/// What a wrong code begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// Nothing.
    Nothing,
    /// It is the fifth one in a day.
    Several,
    /// No code is accepted from now on, for the time of [`PAUSE`].
    Pause,
}

struct Guessed {
    /// The last wrong code: a program that tries the same one again and again does not guess.
    code: u32,
    /// How many count, and since when the oldest of them does.
    count: u32,
    since: Instant,
    paused_until: Option<Instant>,
    /// The wrong codes since the beginning of the day, which is the time of the first of them.
    day: (Instant, u32),
}

impl Guessed {
    /// Forgets what does not count any more.
    fn forget(&mut self, now: Instant) {
        while self.count > 0 && now >= self.since + FORGOTTEN {
            self.count -= 1;
            self.since += FORGOTTEN;
        }
        if self.count == 0 {
            self.since = now;
        }
        if now >= self.day.0 + DAY {
            self.day = (now, 0);
        }
    }
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
        let guessed = self.secrets.get(sealed);
        guessed
            .and_then(|guessed| guessed.paused_until)
            .is_some_and(|end| now < end)
    }

    /// Notes a wrong code behind the right password.
    pub(crate) fn note(&mut self, sealed: &[u8], code: u32, now: Instant) -> Noted {
        self.secrets.retain(|_, guessed| now < guessed.day.0 + DAY);
        let is_paused = self.is_paused(sealed, now);
        let is_known = self.secrets.contains_key(sealed);
        let guessed = self.secrets.entry(sealed.to_owned()).or_insert(Guessed {
            code,
            count: 0,
            since: now,
            paused_until: None,
            day: (now, 0),
        });
        if is_paused || (is_known && guessed.code == code) {
            return Noted::Nothing;
        }
        guessed.forget(now);
        guessed.code = code;
        guessed.count += 1;
        guessed.day.1 += 1;
        if guessed.count >= MOST_GUESSES {
            (guessed.count, guessed.paused_until) = (0, Some(now + PAUSE));
            return Noted::Pause;
        }
        if guessed.day.1 == TOLD {
            return Noted::Several;
        }
        Noted::Nothing
    }

    /// Forgets the wrong codes, after a login with a recovery code: each is accepted once, and whoever
    /// guesses has none.
    pub(crate) fn forgive(&mut self, sealed: &[u8]) {
        self.secrets.remove(sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_different_wrong_codes_begin_a_pause_that_ends_and_a_recovery_code_forgives() {
        let (mut guesses, mut now) = (Guesses::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(guesses.note(b"ada", 7, now), Noted::Nothing);
        }
        for code in 0..3 {
            assert_eq!(guesses.note(b"ada", code, now), Noted::Nothing);
        }
        guesses.forgive(b"ada");
        for round in 0..3 {
            for code in 0..10 {
                assert!(!guesses.is_paused(b"ada", now), "{round}");
                let expected = match (round, code) {
                    (_, 9) => Noted::Pause,
                    (0, 4) => Noted::Several,
                    _ => Noted::Nothing,
                };
                assert_eq!(guesses.note(b"ada", code, now), expected);
            }
            assert!(guesses.is_paused(b"ada", now) && !guesses.is_paused(b"bob", now));
            assert_eq!(guesses.note(b"ada", 11, now + PAUSE / 2), Noted::Nothing);
            assert!(guesses.is_paused(b"ada", now + PAUSE / 2));
            now += PAUSE;
        }
        assert!(!guesses.is_paused(b"ada", now));
        guesses.note(b"bob", 1, now + DAY);
        assert_eq!(guesses.secrets.len(), 1);
    }

    #[test]
    fn wrong_codes_now_and_then_are_no_guesses_and_slow_guesses_are_told() {
        let (mut guesses, begin) = (Guesses::default(), Instant::now());
        let mut told = 0;
        // Nine an hour, for two days.
        for number in 0..2 * 24 * 9 {
            let now = begin + number * PAUSE / 9;
            assert!(!guesses.is_paused(b"ada", now));
            let noted = guesses.note(b"ada", number % 2, now);
            assert_ne!(noted, Noted::Pause);
            told += u32::from(noted == Noted::Several);
        }
        assert_eq!(told, 2);
        // Twelve an hour are too many before long.
        let begin = begin + 3 * DAY;
        let pause = (0..100)
            .find(|number| guesses.note(b"ada", *number, begin + *number * PAUSE / 12) == Noted::Pause);
        assert!(pause.is_some_and(|number| number < 70), "{pause:?}");
    }
}
