//! A quota in a window of time, for each address and for all together. Takes the time as an
//! argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The most addresses that are counted separately in a window. Further ones are refused, and
/// counted together.
const REMEMBERED: usize = 1_024;

/// The quota of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ration {
    pub(super) per_address: u32,
    /// For all addresses together. Half of it is reserved for addresses that were granted nothing
    /// yet in this window.
    pub(super) total: u32,
    pub(super) window: Duration,
}

/// The numbers of units that an address was granted and refused in this window.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    granted: u32,
    left_out: u64,
}

/// Grants units of a quota.
#[derive(Debug)]
pub(super) struct Rationing {
    ration: Ration,
    begun: Instant,
    granted: u32,
    shares: HashMap<IpAddr, Share>,
    left_out: u64,
}

/// The answer to a request for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted,
    /// The first refusal in this window.
    FirstLeftOut,
    LeftOut,
}

/// The refusals of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) count: u64,
    /// The address with the most refusals, and their number.
    pub(super) most: Option<(IpAddr, u64)>,
}

impl Rationing {
    pub(super) fn new(ration: Ration, now: Instant) -> Self {
        Self {
            ration,
            begun: now,
            granted: 0,
            shares: HashMap::new(),
            left_out: 0,
        }
    }

    /// Returns when the window ends.
    pub(super) fn end(&self) -> Instant {
        self.begun + self.ration.window
    }

    /// Requests one unit. The refusals of a window that has ended are forgotten unless they were
    /// [taken](Self::take_left_out) before.
    pub(super) fn ask(&mut self, address: IpAddr, now: Instant) -> Answer {
        if now >= self.end() {
            self.begin(now);
        }
        let is_remembered = self.shares.len() < REMEMBERED || self.shares.contains_key(&address);
        let share = is_remembered.then(|| self.shares.entry(address).or_default());
        if let Some(share) = share {
            let total = match share.granted {
                0 => self.ration.total,
                _ => self.ration.total / 2,
            };
            if share.granted < self.ration.per_address && self.granted < total {
                share.granted += 1;
                self.granted += 1;
                return Answer::Granted;
            }
            share.left_out += 1;
        }
        self.left_out += 1;
        match self.left_out {
            1 => Answer::FirstLeftOut,
            _ => Answer::LeftOut,
        }
    }

    /// Takes the refusals of this window, and begins the next one. Returns `None` if there were
    /// none.
    pub(super) fn take_left_out(&mut self, now: Instant) -> Option<LeftOut> {
        if self.left_out == 0 {
            return None;
        }
        let shares = self.shares.iter();
        let most = shares.map(|(address, share)| (*address, share.left_out));
        let left_out = LeftOut {
            count: self.left_out,
            most: most.max_by_key(|(_, count)| *count),
        };
        self.begin(now);
        Some(left_out)
    }

    fn begin(&mut self, now: Instant) {
        // This frees the memory of a flood.
        *self = Self::new(self.ration, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATION: Ration = Ration {
        per_address: 3,
        total: 20,
        window: Duration::from_mins(1),
    };

    fn address(number: usize) -> IpAddr {
        std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into()
    }

    fn granted(rationing: &mut Rationing, addresses: impl Iterator<Item = usize>, now: Instant) -> usize {
        addresses
            .filter(|number| rationing.ask(address(*number), now) == Answer::Granted)
            .count()
    }

    #[test]
    fn an_address_has_its_share_and_not_more_and_leaves_the_others_theirs() {
        let now = Instant::now();
        let mut rationing = Rationing::new(RATION, now);
        assert_eq!(granted(&mut rationing, std::iter::repeat_n(1, 1_000), now), 3);
        assert_eq!(granted(&mut rationing, std::iter::repeat_n(2, 2), now), 2);
        let left_out = rationing.take_left_out(now).unwrap();
        assert_eq!(
            left_out,
            LeftOut {
                count: 997,
                most: Some((address(1), 997))
            }
        );
        assert_eq!(rationing.take_left_out(now), None);
    }

    #[test]
    fn all_together_have_a_share_half_of_which_is_for_those_who_have_had_nothing() {
        let now = Instant::now();
        let mut rationing = Rationing::new(RATION, now);
        let greedy = (1..=100).flat_map(|number| [number; 3]);
        assert_eq!(granted(&mut rationing, greedy.take(12), now), 10);
        assert_eq!(granted(&mut rationing, 1_000..1_005, now), 5);
        assert_eq!(granted(&mut rationing, 2_000..3_000, now), 5);
        assert_eq!(rationing.ask(address(5_000), now), Answer::LeftOut);
    }

    #[test]
    fn the_next_window_has_a_ration_of_its_own() {
        let mut now = Instant::now();
        let mut rationing = Rationing::new(RATION, now);
        for _ in 0..3 {
            assert_eq!(granted(&mut rationing, std::iter::repeat_n(1, 3), now), 3);
            assert_eq!(rationing.ask(address(1), now), Answer::FirstLeftOut);
            assert_eq!(rationing.ask(address(1), now), Answer::LeftOut);
            now += RATION.window;
        }
    }

    #[test]
    fn a_flood_from_ever_new_addresses_does_not_grow_the_memory() {
        let now = Instant::now();
        let mut rationing = Rationing::new(RATION, now);
        assert_eq!(granted(&mut rationing, 0..10_000, now), 20);
        assert_eq!(rationing.shares.len(), REMEMBERED);
        assert_eq!(rationing.take_left_out(now).unwrap().count, 9_980);
    }
}
