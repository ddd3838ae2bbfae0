//! Decides how long failed logins delay further ones. Takes the time as an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long failures are remembered after the last one.
pub(super) const MEMORY: Duration = Duration::from_mins(10);

/// The most addresses and users remembered. The oldest failures are forgotten first, so that a
/// flood of invented names costs no more than this much memory.
const REMEMBERED: usize = 10_000;

/// The cost of failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalties {
    /// The failure from which on each costs a wait.
    pub(super) from: u32,
    /// The first wait; each further failure doubles it.
    pub(super) first: Duration,
    /// The longest wait of an address.
    pub(super) longest: Duration,
    /// The longest time for which a wrong answer for a user is held back.
    pub(super) longest_of_user: Duration,
}

/// The hash of a username. Names that a peer invents may be long, and are remembered for a while.
pub(super) type UserHash = u64;

/// What was tried in a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// A password, for this user.
    Password(UserHash),
    /// A text with the form of a token's secret, for whomever. Nobody can guess one: it comes from a
    /// program whose token was revoked or has ended.
    Token,
}

/// The key by which failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Suspect {
    /// All names tried from this address. It is refused after too many different names, or too many
    /// wrong passwords of the manager.
    Address(IpAddr),
    /// This name tried from this address. It is refused after too many failures; other names are
    /// not.
    Pair(IpAddr, UserHash),
    /// This name tried from anywhere. It is never refused, but answers to failures are held back. A good
    /// login takes back only the failures from its own address: an attacker elsewhere must not learn from
    /// its own answers that the user exists and has just logged in.
    User(UserHash),
    /// Tokens tried from this address, with any names. No password is refused for them, and no token
    /// that is valid.
    Tokens(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    /// Of those of a [`Suspect::Pair`], the ones that no good login from there has forgiven.
    unforgiven: u32,
    last: Instant,
}

/// The failures of the last minutes.
#[derive(Debug)]
pub(super) struct Failures {
    penalties: Penalties,
    records: HashMap<Suspect, Record>,
}

impl Failures {
    pub(super) fn new(penalties: Penalties) -> Self {
        Self {
            penalties,
            records: HashMap::new(),
        }
    }

    /// Returns how long an address is refused from now on, or `None` if it may try.
    pub(super) fn refused_for(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        self.wait(Suspect::Address(address), now)
    }

    /// As [`Self::refused_for`], for an attempt with a username.
    pub(super) fn refused_in_name_for(
        &self,
        address: IpAddr,
        tried: Tried,
        now: Instant,
    ) -> Option<Duration> {
        match tried {
            Tried::Password(user) => {
                let pair = self.wait(Suspect::Pair(address, user), now);
                pair.max(self.refused_for(address, now))
            }
            Tried::Token => self.wait(Suspect::Tokens(address), now),
        }
    }

    /// Returns how long to hold back the answer to a wrong password for this user, given the
    /// failures so far. A right password is answered at once, and so is a token.
    pub(super) fn held_back(&self, tried: Tried, now: Instant) -> Duration {
        let Tried::Password(user) = tried else {
            return Duration::ZERO;
        };
        match self.remembered(Suspect::User(user), now) {
            Some(record) => self.penalty(record).min(self.penalties.longest_of_user),
            None => Duration::ZERO,
        }
    }

    /// Counts a wrong password of the manager.
    pub(super) fn note(&mut self, address: IpAddr, now: Instant) {
        self.add(Suspect::Address(address), now);
    }

    /// Counts a failed login. Only the first failure for a user counts for the address, so that a
    /// program that tries an old password again and again keeps nobody else out.
    pub(super) fn note_in_name(&mut self, address: IpAddr, tried: Tried, now: Instant) {
        let Tried::Password(user) = tried else {
            return self.add(Suspect::Tokens(address), now);
        };
        let pair = Suspect::Pair(address, user);
        if self.remembered(pair, now).is_none() {
            self.add(Suspect::Address(address), now);
        }
        self.add(pair, now);
        self.add(Suspect::User(user), now);
    }

    /// Takes the failures from an address back from those for a user from anywhere, after a good login from
    /// there. The address itself is refused as before: somebody else there may be guessing.
    pub(super) fn forgive(&mut self, address: IpAddr, tried: Tried) {
        let Tried::Password(user) = tried else { return };
        let pair = self.records.get_mut(&Suspect::Pair(address, user));
        let forgiven = pair.map_or(0, |pair| std::mem::take(&mut pair.unforgiven));
        if let Some(record) = self.records.get_mut(&Suspect::User(user)) {
            record.failures = record.failures.saturating_sub(forgiven);
        }
    }

    fn wait(&self, suspect: Suspect, now: Instant) -> Option<Duration> {
        let record = self.remembered(suspect, now)?;
        let free_at = record.last + self.penalty(record).min(self.penalties.longest);
        Some(free_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn penalty(&self, record: Record) -> Duration {
        match record.failures.checked_sub(self.penalties.from) {
            Some(doublings) => self.penalties.first.saturating_mul(1 << doublings.min(16)),
            None => Duration::ZERO,
        }
    }

    fn remembered(&self, suspect: Suspect, now: Instant) -> Option<Record> {
        let record = self.records.get(&suspect)?;
        // A penalty that is longer than the memory counts to its end.
        let memory = MEMORY.max(self.penalty(*record).min(self.penalties.longest));
        (now.saturating_duration_since(record.last) <= memory).then_some(*record)
    }

    fn add(&mut self, suspect: Suspect, now: Instant) {
        if self.records.len() >= REMEMBERED {
            self.forget_old(now);
        }
        let before = self.remembered(suspect, now);
        let (failures, unforgiven) = before.map_or((0, 0), |record| (record.failures, record.unforgiven));
        let record = Record {
            failures: failures.saturating_add(1),
            unforgiven: unforgiven.saturating_add(1),
            last: now,
        };
        self.records.insert(suspect, record);
    }

    fn forget_old(&mut self, now: Instant) {
        self.records
            .retain(|_, record| now.duration_since(record.last) < MEMORY);
        while self.records.len() >= REMEMBERED {
            let mut ages: Vec<Instant> = self.records.values().map(|record| record.last).collect();
            let (_, &mut median, _) = {
                let middle = ages.len() / 2;
                ages.select_nth_unstable(middle)
            };
            self.records.retain(|_, record| record.last > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::Tried::{Password, Token};
    use super::*;

    const PENALTIES: Penalties = Penalties {
        from: 5,
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
        longest_of_user: Duration::from_secs(2),
    };

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_few_mistakes_cost_nothing_and_more_cost_ever_longer_waits() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        for _ in 1..PENALTIES.from {
            failures.note(ADDRESS, now);
            assert_eq!(failures.refused_for(ADDRESS, now), None);
        }
        let mut waits = Vec::new();
        for _ in 0..10 {
            failures.note(ADDRESS, now);
            waits.push(failures.refused_for(ADDRESS, now).unwrap().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(failures.refused_for(ADDRESS, now + PENALTIES.longest), None);
        assert_eq!(failures.refused_for(ELSEWHERE, now), None);
    }

    #[test]
    fn failures_in_one_name_do_not_keep_other_names_of_the_address_out() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        for _ in 0..20 {
            failures.note_in_name(ADDRESS, Password(1), now);
        }
        assert!(failures.refused_in_name_for(ADDRESS, Password(1), now).is_some());
        assert_eq!(failures.refused_in_name_for(ADDRESS, Password(2), now), None);
        assert_eq!(failures.refused_in_name_for(ELSEWHERE, Password(1), now), None);
    }

    #[test]
    fn failures_in_several_names_keep_the_whole_address_out() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        for user in 1..=u64::from(PENALTIES.from) {
            assert_eq!(failures.refused_in_name_for(ADDRESS, Password(100), now), None);
            failures.note_in_name(ADDRESS, Password(user), now);
        }
        assert!(
            failures
                .refused_in_name_for(ADDRESS, Password(100), now)
                .is_some()
        );
        assert_eq!(failures.refused_in_name_for(ELSEWHERE, Password(100), now), None);
    }

    #[test]
    fn failures_in_a_users_name_hold_back_wrong_answers_wherever_they_come_from() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        let addresses = (0..8_u8).map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let held: Vec<_> = addresses
            .map(|address| {
                let held = failures.held_back(Password(1), now).as_secs();
                failures.note_in_name(address, Password(1), now);
                held
            })
            .collect();
        assert_eq!(held, [0, 0, 0, 0, 0, 1, 2, 2]);
        assert_eq!(failures.held_back(Password(2), now), Duration::ZERO);
    }

    #[test]
    fn a_good_login_forgives_the_failures_from_its_own_address_only() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        for _ in 0..PENALTIES.from {
            failures.note_in_name(ELSEWHERE, Password(1), now);
        }
        let held = failures.held_back(Password(1), now);
        let refused = failures.refused_in_name_for(ELSEWHERE, Password(1), now);
        assert!(!held.is_zero() && refused.is_some());
        for _ in 1..PENALTIES.from {
            failures.note_in_name(ADDRESS, Password(1), now);
        }
        failures.forgive(ADDRESS, Password(1));
        // Whoever guesses elsewhere sees no difference.
        assert_eq!(failures.held_back(Password(1), now), held);
        assert_eq!(failures.refused_in_name_for(ELSEWHERE, Password(1), now), refused);
        // Once: another good login forgives no more.
        failures.forgive(ADDRESS, Password(1));
        assert_eq!(failures.held_back(Password(1), now), held);
        failures.forgive(ELSEWHERE, Password(1));
        assert_eq!(failures.held_back(Password(1), now), Duration::ZERO);
        // Another one at the user's computer, who guesses, gains nothing.
        for _ in 0..2 {
            failures.note_in_name(ADDRESS, Password(1), now);
            failures.forgive(ADDRESS, Password(1));
        }
        assert!(failures.refused_in_name_for(ADDRESS, Password(1), now).is_some());
        assert_eq!(failures.refused_for(ADDRESS, now), None);
    }

    #[test]
    fn tokens_that_fail_keep_out_no_password_and_passwords_that_fail_no_token() {
        let now = Instant::now();
        let mut failures = Failures::new(PENALTIES);
        for _ in 0..20 {
            failures.note_in_name(ADDRESS, Token, now);
        }
        assert!(failures.refused_in_name_for(ADDRESS, Token, now).is_some());
        assert_eq!(failures.refused_in_name_for(ADDRESS, Password(1), now), None);
        assert_eq!(failures.refused_for(ADDRESS, now), None);
        assert_eq!(failures.refused_in_name_for(ELSEWHERE, Token, now), None);
        assert_eq!(failures.held_back(Token, now), Duration::ZERO);
        let mut failures = Failures::new(PENALTIES);
        for user in 0..20 {
            failures.note_in_name(ADDRESS, Password(user), now);
        }
        assert_eq!(failures.refused_in_name_for(ADDRESS, Token, now), None);
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let mut failures = Failures::new(PENALTIES);
        let now = Instant::now();
        for _ in 0..20 {
            failures.note_in_name(ADDRESS, Password(1), now);
        }
        let later = now + MEMORY + Duration::from_secs(1);
        assert_eq!(failures.held_back(Password(1), later), Duration::ZERO);
        failures.note_in_name(ADDRESS, Password(1), later);
        assert_eq!(failures.refused_in_name_for(ADDRESS, Password(1), later), None);
    }

    #[test]
    fn a_penalty_that_is_longer_than_the_memory_counts_to_its_end() {
        let mut failures = Failures::new(Penalties {
            from: 1,
            first: 2 * MEMORY,
            longest: 2 * MEMORY,
            ..PENALTIES
        });
        let now = Instant::now();
        failures.note(ADDRESS, now);
        assert!(failures.refused_for(ADDRESS, now + MEMORY * 3 / 2).is_some());
        assert_eq!(failures.refused_for(ADDRESS, now + MEMORY * 2), None);
    }

    #[test]
    fn a_flood_of_invented_names_does_not_grow_the_memory() {
        let mut failures = Failures::new(PENALTIES);
        let mut now = Instant::now();
        for number in 0..3 * REMEMBERED as u64 {
            now += Duration::from_millis(1);
            failures.note_in_name(ADDRESS, Password(number), now);
            assert!(failures.records.len() <= REMEMBERED);
        }
    }
}
