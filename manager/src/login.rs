//! Checking who may log in, and slowing down those who guess.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use labwire_wire::Executed;
use tokio::time::sleep;
use tracing::warn;

use crate::counters::Counters;
use crate::refusal::Refusal;
use crate::store::{LoginOutcome, Store};

/// Wrong passwords that cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;

/// The first penalty; each further failure doubles it.
const FIRST_PENALTY: Duration = Duration::from_secs(1);

/// No penalty is longer than this: a lab must get back in while its operator still stands there.
const LONGEST_PENALTY: Duration = Duration::from_mins(1);

/// How long failures are remembered after the last one.
const MEMORY: Duration = Duration::from_mins(10);

/// How many addresses and users are remembered at most. The oldest failures are forgotten first, so a
/// flood of invented names costs this much memory and no more.
const REMEMBERED: usize = 10_000;

/// The longest that a user waits for what others did in that name. Whoever knows a name can guess; that must
/// not lock its owner out.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Whom a failure is held against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Suspect {
    /// An address is refused while it is penalised.
    Address(IpAddr),
    /// A user is only delayed. This is a username's hash: names that a peer invents may be long, and are
    /// remembered for a while.
    User(u64),
}

/// The address that failures are held against: of IPv6 the network, since one computer has all of its
/// addresses.
pub(crate) fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
}

impl Record {
    /// When the next attempt is allowed.
    fn free_at(self) -> Instant {
        let Some(doublings) = self.failures.checked_sub(FREE_FAILURES) else {
            return self.last;
        };
        self.last
            + FIRST_PENALTY
                .saturating_mul(1 << doublings.min(16))
                .min(LONGEST_PENALTY)
    }
}

/// The failures of the last minutes, by address and by user. Takes the time as an argument.
#[derive(Debug, Default)]
struct Failures {
    records: HashMap<Suspect, Record>,
}

impl Failures {
    fn wait(&self, suspect: &Suspect, now: Instant) -> Option<Duration> {
        let free_at = self.records.get(suspect)?.free_at();
        Some(free_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn note(&mut self, suspects: &[Suspect], now: Instant) {
        if self.records.len() >= REMEMBERED {
            self.forget_old(now);
        }
        for suspect in suspects {
            let record = self.records.entry(suspect.clone()).or_insert(Record {
                failures: 0,
                last: now,
            });
            let forgotten = now.duration_since(record.last) > MEMORY;
            record.failures = if forgotten {
                1
            } else {
                record.failures.saturating_add(1)
            };
            record.last = now;
        }
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

/// Checks logins and passwords.
#[derive(Debug)]
pub(crate) struct Logins {
    failures: Mutex<Failures>,
    /// Keyed anew in each process, so that nobody can aim at another user's hash.
    hasher: RandomState,
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self {
            failures: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Checks a username and password. A name that does not exist takes the same time and gives the same
    /// error as a wrong password.
    pub(crate) async fn check_user(
        &self,
        store: &Store,
        counters: &Counters,
        ip: IpAddr,
        username: &str,
        password: &str,
    ) -> Result<LoginOutcome, Refusal> {
        let address = Suspect::Address(network_of(ip));
        let user = Suspect::User(self.hasher.hash_one(username));
        self.refuse_while_penalised(&address, counters)?;
        let delay = self.failures().wait(&user, Instant::now());
        if let Some(delay) = delay {
            sleep(delay.min(LONGEST_DELAY)).await;
        }
        let outcome = store.verify_login(username, password).await.map_err(|error| {
            warn!("cannot check a login: {error}");
            Refusal::Store {
                text: error.peer_text(),
                executed: Executed::No,
            }
        })?;
        // Those that guessed meanwhile, on connections beside this one, count too: else a hundred parallel
        // guesses would be checked for the price of one.
        self.refuse_while_penalised(&address, counters)?;
        match outcome {
            Some(outcome) => {
                self.failures().records.remove(&user);
                Ok(outcome)
            }
            None => Err(self.failed(&[address, user], counters, Refusal::WrongLogin)),
        }
    }

    /// Checks the manager's own password, in constant time.
    pub(crate) fn check_manager_password(
        &self,
        counters: &Counters,
        ip: IpAddr,
        expected: &str,
        given: &str,
    ) -> Result<(), Refusal> {
        let address = Suspect::Address(network_of(ip));
        self.refuse_while_penalised(&address, counters)?;
        // Digests have one length, so the comparison does not tell how long the password is.
        let digest = |text: &str| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let (expected, given) = (digest(expected), digest(given));
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), given.as_ref())
            .map_err(|_| self.failed(&[address], counters, Refusal::WrongManagerPassword))
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_while_penalised(&self, suspect: &Suspect, counters: &Counters) -> Result<(), Refusal> {
        let Some(wait) = self.failures().wait(suspect, Instant::now()) else {
            return Ok(());
        };
        Counters::count(&counters.failed_logins);
        Err(Refusal::TooManyLogins {
            seconds: wait.as_secs() + 1,
        })
    }

    fn failed(&self, suspects: &[Suspect], counters: &Counters, refusal: Refusal) -> Refusal {
        Counters::count(&counters.failed_logins);
        self.failures().note(suspects, Instant::now());
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Suspect = Suspect::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn a_few_mistakes_cost_nothing_and_more_cost_ever_longer_waits() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for _ in 1..FREE_FAILURES {
            failures.note(&[ADDRESS], now);
            assert_eq!(failures.wait(&ADDRESS, now), None);
        }
        let mut waits = Vec::new();
        for _ in 0..10 {
            failures.note(&[ADDRESS], now);
            waits.push(failures.wait(&ADDRESS, now).unwrap().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(failures.wait(&ADDRESS, now + LONGEST_PENALTY), None);
        assert_eq!(failures.wait(&Suspect::User(7), now), None);
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for _ in 0..20 {
            failures.note(&[ADDRESS], now);
        }
        let later = now + MEMORY + Duration::from_secs(1);
        failures.note(&[ADDRESS], later);
        assert_eq!(failures.wait(&ADDRESS, later), None);
    }

    #[test]
    fn a_flood_of_invented_names_does_not_grow_the_memory() {
        let mut failures = Failures::default();
        let mut now = Instant::now();
        for number in 0..3 * REMEMBERED as u64 {
            now += Duration::from_millis(1);
            failures.note(&[Suspect::User(number)], now);
            assert!(failures.records.len() <= REMEMBERED);
        }
    }

    #[test]
    fn one_computer_does_not_get_a_new_record_with_each_of_its_addresses() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
