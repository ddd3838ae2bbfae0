//! Remembers the addresses of logins, to decide whose login is checked next. Takes the time as an
//! argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use super::failures::MEMORY;

/// The most addresses remembered. Those without a good login are forgotten first, the oldest of
/// them before the others.
const REMEMBERED: usize = 10_000;

/// Consecutive failures after which an address with a good login counts as a newcomer.
const TRUST: u32 = 5;

/// The record of an address.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Whether a login from there has succeeded.
    has_succeeded: bool,
    /// Failures since then.
    failures: u32,
    /// Attempts since then, including those that were not checked.
    attempts: u32,
    /// The number of its last turn.
    turn: u64,
    last: Instant,
}

/// The priority of an address: the smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// No login from the address has succeeded before, or too many have failed since.
    pub(super) is_newcomer: bool,
    /// Failed logins; 0 unless it is a newcomer.
    failures: u32,
    /// All attempts; 0 unless it is a newcomer. A peer that guesses returns before its attempt was
    /// checked.
    attempts: u32,
    /// The number of the address's last turn, so that addresses take turns; 0 for none.
    turn: u64,
}

/// The addresses that logins came from.
#[derive(Debug, Default)]
pub(super) struct Standings {
    addresses: HashMap<IpAddr, Standing>,
    turns: u64,
}

impl Standings {
    pub(super) fn rank(&self, address: IpAddr, now: Instant) -> Rank {
        let Some(standing) = self.addresses.get(&address) else {
            return Rank {
                is_newcomer: true,
                failures: 0,
                attempts: 0,
                turn: 0,
            };
        };
        let is_remembered = now.saturating_duration_since(standing.last) <= MEMORY;
        let [failures, attempts] =
            [standing.failures, standing.attempts].map(|count| if is_remembered { count } else { 0 });
        let is_newcomer = !standing.has_succeeded || failures >= TRUST;
        let of_newcomer = |count| if is_newcomer { count } else { 0 };
        Rank {
            is_newcomer,
            failures: of_newcomer(failures),
            attempts: of_newcomer(attempts),
            turn: standing.turn,
        }
    }

    /// Records that a login was attempted from this address.
    pub(super) fn note_attempt(&mut self, address: IpAddr, now: Instant) {
        let standing = self.standing(address, now);
        standing.attempts = standing.attempts.saturating_add(1);
    }

    /// Records the outcome of a login that was checked.
    pub(super) fn note(&mut self, address: IpAddr, is_good: bool, now: Instant) {
        self.turns += 1;
        let turn = self.turns;
        let standing = self.standing(address, now);
        standing.turn = turn;
        if is_good {
            standing.has_succeeded = true;
            standing.failures = 0;
            standing.attempts = 0;
        } else {
            standing.failures = standing.failures.saturating_add(1);
        }
    }

    fn standing(&mut self, address: IpAddr, now: Instant) -> &mut Standing {
        if self.addresses.len() >= REMEMBERED && !self.addresses.contains_key(&address) {
            self.forget_some();
        }
        let standing = self.addresses.entry(address).or_insert(Standing {
            has_succeeded: false,
            failures: 0,
            attempts: 0,
            turn: 0,
            last: now,
        });
        if now.saturating_duration_since(standing.last) > MEMORY {
            standing.failures = 0;
            standing.attempts = 0;
        }
        standing.last = now;
        standing
    }

    fn forget_some(&mut self) {
        let mut order: Vec<_> = self
            .addresses
            .values()
            .map(|standing| (standing.has_succeeded, standing.turn))
            .collect();
        let middle = order.len() / 2;
        let (_, &mut median, _) = order.select_nth_unstable(middle);
        self.addresses
            .retain(|_, standing| (standing.has_succeeded, standing.turn) > median);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn who_has_logged_in_comes_first_then_who_has_not_failed_then_who_has_failed_least() {
        let now = Instant::now();
        let mut standings = Standings::default();
        let [known, new, once, twice] = [1, 2, 3, 4].map(address);
        for (address, is_good) in [
            (known, false),
            (known, true),
            (known, false),
            (once, false),
            (twice, false),
        ] {
            standings.note(address, is_good, now);
        }
        standings.note(twice, false, now);
        let ranks = [known, new, once, twice].map(|address| standings.rank(address, now));
        assert!(ranks.is_sorted_by(|earlier, later| earlier < later), "{ranks:?}");
        // Failures are forgotten, good logins are not.
        let later = now + MEMORY + Duration::from_secs(1);
        assert!(!standings.rank(known, later).is_newcomer);
        assert!(standings.rank(once, later) < standings.rank(twice, later));
        assert_eq!(standings.rank(twice, later).failures, 0);
    }

    #[test]
    fn an_address_from_which_too_much_fails_is_a_newcomer_until_somebody_logs_in_there() {
        let now = Instant::now();
        let mut standings = Standings::default();
        standings.note(address(1), true, now);
        for _ in 0..TRUST {
            assert!(!standings.rank(address(1), now).is_newcomer);
            standings.note(address(1), false, now);
        }
        assert!(standings.rank(address(1), now).is_newcomer);
        standings.note(address(1), true, now);
        assert!(!standings.rank(address(1), now).is_newcomer);
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory_and_makes_nobody_forgotten_who_has_logged_in() {
        let now = Instant::now();
        let mut standings = Standings::default();
        let known = address(0);
        standings.note(known, true, now);
        for number in 1..=u32::try_from(3 * REMEMBERED).unwrap() {
            standings.note(address(number), false, now);
            assert!(standings.addresses.len() <= REMEMBERED);
        }
        assert!(!standings.rank(known, now).is_newcomer);
    }
}
