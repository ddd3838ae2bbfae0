//! Decides whose password is hashed next. Hashing is slow on purpose, so a peer that guesses could
//! make all others wait.
//!
//! Addresses take turns, with one hash at a time for each. Addresses from which somebody has logged
//! in before come first, those without a failed login before those with one, and those with fewer
//! attempts before others. Among equal newcomers the latest comes first: in a flood from ever new
//! addresses nobody would be served in time otherwise. One turn in [`SPARED`] is a newcomer's, so
//! that a program that logs in without end from a known address shuts nobody out. Takes the time as
//! an argument.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use super::failures::{Tried, UserHash};
use super::standings::{Rank, Standings};

/// The most attempts of one address that wait. At ten hashes a second, further ones would wait for
/// longer than a handshake may take.
const PER_ADDRESS: usize = 64;

/// The most attempts that wait, for all addresses together.
const TOTAL: usize = 256;

/// One turn in this many is reserved for newcomers.
const SPARED: u64 = 4;

/// The username and password of an attempt.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) user: UserHash,
    pub(super) tried: Tried,
    /// A digest of both, to recognise equal attempts without comparing passwords.
    pub(super) digest: [u8; 32],
}

/// An attempt from one address, by one connection or several.
pub(super) struct Attempt<W> {
    pub(super) credentials: Credentials,
    /// The callers that wait for the outcome.
    pub(super) waiters: Vec<W>,
    arrival: u64,
}

/// The order of attempts: the smallest comes first.
type Order = (bool, Rank, Reverse<u64>);

/// Attempts that wait, and those that are being hashed.
pub(super) struct Queue<W> {
    waiting: Vec<(IpAddr, Attempt<W>)>,
    /// The number of waiting attempts of each address.
    counts: HashMap<IpAddr, usize>,
    hashing: HashMap<IpAddr, Attempt<W>>,
    standings: Standings,
    arrivals: u64,
    turns: u64,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            counts: HashMap::new(),
            hashing: HashMap::new(),
            standings: Standings::default(),
            arrivals: 0,
            turns: 0,
        }
    }

    /// Adds an attempt. Returns the waiters that lose their place, perhaps the new one. Equal
    /// attempts of one address are checked once for all their waiters.
    pub(super) fn push(
        &mut self,
        address: IpAddr,
        credentials: Credentials,
        waiter: W,
        now: Instant,
    ) -> Vec<W> {
        let is_same = |attempt: &Attempt<W>| {
            let digests = [&attempt.credentials, &credentials].map(|credentials| &credentials.digest);
            aws_lc_rs::constant_time::verify_slices_are_equal(digests[0], digests[1]).is_ok()
        };
        let of_address = self.waiting.iter_mut().filter(|(from, _)| *from == address);
        let mut pending = of_address
            .map(|(_, attempt)| attempt)
            .chain(self.hashing.get_mut(&address));
        if let Some(attempt) = pending.find(|attempt| is_same(attempt)) {
            attempt.waiters.push(waiter);
            return Vec::new();
        }
        self.standings.note_attempt(address, now);
        let mut displaced = Vec::new();
        if self
            .counts
            .get(&address)
            .is_some_and(|count| *count >= PER_ADDRESS)
        {
            match self.displaceable(address, credentials.user) {
                Some(place) => displaced = self.take(place).1.waiters,
                None => return vec![waiter],
            }
        }
        *self.counts.entry(address).or_default() += 1;
        self.arrivals += 1;
        let attempt = Attempt {
            credentials,
            waiters: vec![waiter],
            arrival: self.arrivals,
        };
        self.waiting.push((address, attempt));
        if self.waiting.len() <= TOTAL {
            return displaced;
        }
        self.displace(now).waiters
    }

    /// Takes the attempt to hash next, unless all that wait are of addresses that have a turn
    /// already. [`finish`](Self::finish) ends the turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<(IpAddr, Credentials)> {
        let is_spared = (self.turns + 1).is_multiple_of(SPARED);
        let ready = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, (address, _))| !self.hashing.contains_key(address));
        let (place, _) =
            ready.min_by_key(|(_, (address, attempt))| self.order(*address, attempt, is_spared, now))?;
        let (address, attempt) = self.take(place);
        self.turns += 1;
        let credentials = attempt.credentials.clone();
        self.hashing.insert(address, attempt);
        Some((address, credentials))
    }

    /// Ends an address's turn. Returns the waiters for the outcome. `is_good` is whether the
    /// password was right, or `None` if it was not checked.
    pub(super) fn finish(&mut self, address: IpAddr, is_good: Option<bool>, now: Instant) -> Vec<W> {
        let Some(attempt) = self.hashing.remove(&address) else {
            return Vec::new();
        };
        match is_good {
            Some(is_good) => self.standings.note(address, is_good, now),
            None => self.turns -= 1,
        }
        attempt.waiters
    }

    /// Returns the waiters for the attempt that is being hashed for this address.
    pub(super) fn waiters(&self, address: IpAddr) -> &[W] {
        self.hashing.get(&address).map_or(&[], |attempt| &attempt.waiters)
    }

    /// Returns the numbers of attempts that wait and that were made.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.waiting.len(), self.turns)
    }

    /// Returns the index of the attempt that makes room for a new one of its address: the oldest
    /// for the user with the most waiting attempts, unless the new one's user has as many.
    fn displaceable(&self, address: IpAddr, user: UserHash) -> Option<usize> {
        let mut names = HashMap::new();
        for (_, attempt) in self.waiting.iter().filter(|(from, _)| *from == address) {
            *names.entry(attempt.credentials.user).or_insert(0) += 1;
        }
        let own = names.get(&user).copied().unwrap_or_default();
        let (name, most) = names.into_iter().max_by_key(|(_, count)| *count)?;
        if own >= most {
            return None;
        }
        let of_name = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, (from, attempt))| *from == address && attempt.credentials.user == name);
        let oldest = of_name.min_by_key(|(_, (_, attempt))| attempt.arrival);
        oldest.map(|(place, _)| place)
    }

    /// Removes the attempt with the lowest priority: the last one of the address with the most.
    fn displace(&mut self, now: Instant) -> Attempt<W> {
        let most = self.counts.values().copied().max().unwrap_or_default();
        let places = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, (address, _))| self.counts.get(address) == Some(&most));
        let last = places.max_by_key(|(_, (address, attempt))| self.order(*address, attempt, false, now));
        let place = last.map_or(0, |(place, _)| place);
        self.take(place).1
    }

    fn order(&self, address: IpAddr, attempt: &Attempt<W>, is_spared: bool, now: Instant) -> Order {
        let rank = self.standings.rank(address, now);
        (rank.is_newcomer != is_spared, rank, Reverse(attempt.arrival))
    }

    fn take(&mut self, place: usize) -> (IpAddr, Attempt<W>) {
        let (address, attempt) = self.waiting.swap_remove(place);
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
        (address, attempt)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap()))
    }

    fn credentials(number: usize) -> Credentials {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Credentials {
            username: String::new(),
            password: number.to_string(),
            user: 0,
            tried: Tried::Password(0),
            digest,
        }
    }

    /// A queue whose attempts and waiters are numbers.
    struct Numbers {
        queue: Queue<usize>,
        now: Instant,
    }

    impl Numbers {
        fn new() -> Self {
            Self {
                queue: Queue::new(),
                now: Instant::now(),
            }
        }

        /// Adds an attempt. Returns the waiters that lose their place.
        fn push(&mut self, from: usize, number: usize) -> Vec<usize> {
            self.queue
                .push(address(from), credentials(number), number, self.now)
        }

        /// Begins the next attempt.
        fn begin(&mut self) -> Option<(IpAddr, String)> {
            let next = self.queue.next(self.now);
            next.map(|(address, credentials)| (address, credentials.password))
        }

        /// Makes the next attempt. Returns its number.
        fn serve(&mut self, is_good: bool) -> usize {
            let (address, number) = self.begin().unwrap();
            self.queue.finish(address, Some(is_good), self.now);
            number.parse().unwrap()
        }

        fn know(&mut self, from: usize) {
            self.push(from, usize::MAX);
            self.serve(true);
        }
    }

    #[test]
    fn addresses_take_turns_however_many_attempts_one_of_them_has() {
        let mut numbers = Numbers::new();
        for known in 1..=3 {
            numbers.know(known);
        }
        for number in 0..30 {
            numbers.push(1, number);
        }
        numbers.push(2, 100);
        numbers.push(3, 101);
        let first: Vec<_> = (0..3).map(|_| numbers.serve(true)).collect();
        assert!(first.contains(&100) && first.contains(&101), "{first:?}");
    }

    #[test]
    fn an_address_has_one_hash_at_a_time() {
        let mut numbers = Numbers::new();
        for number in 0..3 {
            numbers.push(1, number);
        }
        let (address, _) = numbers.begin().unwrap();
        assert_eq!(numbers.begin(), None);
        numbers.push(2, 100);
        assert!(numbers.begin().is_some_and(|(_, number)| number == "100"));
        assert_eq!(numbers.begin(), None);
        numbers.queue.finish(address, Some(false), numbers.now);
        assert!(numbers.begin().is_some_and(|(begun, _)| begun == address));
    }

    #[test]
    fn a_known_address_does_not_wait_for_newcomers() {
        let mut numbers = Numbers::new();
        numbers.know(1);
        for newcomer in 0..200 {
            numbers.push(1_000 + newcomer, newcomer);
        }
        numbers.push(1, 1_000);
        assert_eq!(numbers.serve(true), 1_000);
    }

    #[test]
    fn a_newcomer_does_not_wait_for_those_who_have_failed_nor_for_those_who_came_before() {
        let mut numbers = Numbers::new();
        for newcomer in 0..100 {
            numbers.push(1_000 + newcomer, newcomer);
            numbers.serve(false);
            numbers.push(1_000 + newcomer, 1_000 + newcomer);
        }
        for newcomer in 0..100 {
            numbers.push(2_000 + newcomer, 2_000 + newcomer);
        }
        numbers.push(1, 5_000);
        assert_eq!(numbers.serve(true), 5_000);
    }

    #[test]
    fn a_newcomer_who_tries_once_does_not_wait_for_those_who_try_again_and_again() {
        let mut numbers = Numbers::new();
        let mut number = 0;
        let mut all_try = |numbers: &mut Numbers| {
            for newcomer in 0..250 {
                number += 1;
                numbers.push(1_000 + newcomer, number);
            }
        };
        all_try(&mut numbers);
        numbers.serve(false);
        numbers.push(1, 5_000);
        all_try(&mut numbers);
        assert_eq!(numbers.serve(true), 5_000);
    }

    #[test]
    fn those_who_log_in_without_end_leave_some_turns_to_newcomers() {
        let mut numbers = Numbers::new();
        numbers.know(1);
        numbers.know(2);
        numbers.push(3, 1_000);
        let mut turns = 0;
        loop {
            numbers.push(1, turns);
            numbers.push(2, 100 + turns);
            turns += 1;
            if numbers.serve(true) == 1_000 {
                break;
            }
        }
        assert!(turns <= usize::try_from(SPARED).unwrap(), "{turns}");
    }

    #[test]
    fn the_same_attempt_of_an_address_is_made_once_for_all() {
        let mut numbers = Numbers::new();
        for waiter in 0..60 {
            let displaced = numbers
                .queue
                .push(address(1), credentials(1), waiter, numbers.now);
            assert!(displaced.is_empty());
        }
        let (from, _) = numbers.begin().unwrap();
        // Also while it is being hashed.
        numbers.queue.push(address(1), credentials(1), 60, numbers.now);
        numbers.queue.push(address(2), credentials(1), 61, numbers.now);
        assert_eq!(numbers.queue.waiters(from).len(), 61);
        assert_eq!(numbers.queue.finish(from, Some(true), numbers.now).len(), 61);
        assert!(numbers.begin().is_some_and(|(from, _)| from == address(2)));
        assert_eq!(numbers.begin(), None);
    }

    #[test]
    fn an_address_whose_places_are_taken_by_one_name_has_places_for_others() {
        let mut numbers = Numbers::new();
        for number in 0..PER_ADDRESS {
            numbers.push(1, number);
        }
        let mut other = credentials(1_000);
        other.user = 7;
        let displaced = numbers.queue.push(address(1), other, 1_000, numbers.now);
        assert_eq!(displaced, [0]);
        assert_eq!(numbers.push(1, 2_000), [2_000]);
        assert_eq!(numbers.serve(true), 1_000);
    }

    #[test]
    fn what_waits_is_bounded_for_each_address_and_in_total_and_whoever_has_most_loses_a_place() {
        let mut numbers = Numbers::new();
        for number in 0..PER_ADDRESS {
            assert!(numbers.push(1, number).is_empty());
        }
        assert_eq!(numbers.push(1, 1_000), [1_000]);
        for newcomer in 0..TOTAL - PER_ADDRESS {
            assert!(numbers.push(10_000 + newcomer, 10_000 + newcomer).is_empty());
        }
        for newcomer in 0..TOTAL {
            let displaced = numbers.push(20_000 + newcomer, 20_000 + newcomer);
            let [displaced] = displaced[..] else {
                panic!("{displaced:?}")
            };
            let is_of_the_first = displaced < PER_ADDRESS;
            assert_eq!(
                is_of_the_first,
                newcomer < PER_ADDRESS,
                "{displaced} for {newcomer}"
            );
            assert_eq!(numbers.queue.waiting.len(), TOTAL);
        }
        // The last one to arrive is served first.
        assert_eq!(numbers.serve(true), 20_000 + TOTAL - 1);
        let counted: usize = numbers.queue.counts.values().sum();
        assert_eq!(counted, numbers.queue.waiting.len());
    }
}
