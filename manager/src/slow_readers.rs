//! Where the readers came from that were disconnected because they did not read.
//!
//! A client that is disconnected may come back at once and do the same again. Each time it fills a queue, and others wait
//! for it. So they wait less for a client from the same network for a while: see [`shortened`]. Nothing else is different
//! for it, since it may be another one: on one computer, or behind one router, all have the same address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::login::network_of;

/// How many networks are remembered; the one that was quiet for longest is forgotten first.
const NETWORKS: usize = 1_024;

/// How long it takes until half of the disconnects of a network are forgotten.
const HALF_LIFE: Duration = Duration::from_mins(1);

/// How many disconnects are counted.
const MOST: u32 = 16;

/// The shortest time for which others wait for such a client.
const SHORTEST: Duration = Duration::from_millis(100);

/// Disconnects of slow readers by network.
#[derive(Debug, Default)]
pub(crate) struct SlowReaders {
    by_network: Mutex<HashMap<IpAddr, Disconnects>>,
}

#[derive(Clone, Copy, Debug)]
struct Disconnects {
    count: u32,
    last: Instant,
}

impl Disconnects {
    /// What is left of them.
    fn recent(self) -> u32 {
        let halvings = self.last.elapsed().as_secs() / HALF_LIFE.as_secs();
        self.count >> halvings.min(u64::from(u32::BITS - 1))
    }
}

impl SlowReaders {
    /// Notes that a peer of that address was disconnected because it did not read.
    pub(crate) fn note(&self, ip: IpAddr) {
        let mut all = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(ip);
        if all.len() >= NETWORKS
            && !all.contains_key(&network)
            && let Some(quiet) = all
                .iter()
                .min_by_key(|(_, disconnects)| disconnects.last)
                .map(|(network, _)| *network)
        {
            all.remove(&quiet);
        }
        let now = Instant::now();
        let disconnects = all.entry(network).or_insert(Disconnects { count: 0, last: now });
        *disconnects = Disconnects {
            count: (disconnects.recent() + 1).min(MOST),
            last: now,
        };
    }

    /// How many peers of that network were disconnected lately because they did not read; half of them are forgotten
    /// each minute.
    pub(crate) fn recent(&self, ip: IpAddr) -> u32 {
        let all = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&network_of(ip))
            .map_or(0, |disconnects| disconnects.recent())
    }
}

/// How long others wait for a client from a network with so many disconnects lately: half as long for each.
pub(crate) fn shortened(wait: Duration, recent: u32) -> Duration {
    (wait / 2u32.saturating_pow(recent)).max(SHORTEST.min(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn disconnects_are_counted_by_network_and_forgotten() {
        let readers = SlowReaders::default();
        let [here, beside, elsewhere] = ["2001:db8::1", "2001:db8::2", "2001:db8:1::1"]
            .map(|address| address.parse().expect("it is an address"));
        for _ in 0..4 {
            readers.note(here);
        }
        assert_eq!(readers.recent(beside), 4);
        assert_eq!(readers.recent(elsewhere), 0);
        tokio::time::advance(HALF_LIFE).await;
        assert_eq!(readers.recent(here), 2);
        tokio::time::advance(100 * HALF_LIFE).await;
        assert_eq!(readers.recent(here), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_network_that_was_quiet_for_longest_is_forgotten_first() {
        let readers = SlowReaders::default();
        let address = |number: u32| IpAddr::V4(number.into());
        for number in 0..=1_024 {
            readers.note(address(number));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(readers.recent(address(0)), 0);
        assert_eq!(readers.recent(address(1)), 1);
        assert_eq!(readers.recent(address(1_024)), 1);
    }

    #[test]
    fn each_disconnect_halves_the_stall_time() {
        let stall = Duration::from_secs(2);
        assert_eq!(shortened(stall, 0), stall);
        assert_eq!(shortened(stall, 2), Duration::from_millis(500));
        assert_eq!(shortened(stall, MOST), SHORTEST);
        assert_eq!(shortened(Duration::from_millis(5), 3), Duration::from_millis(5));
    }
}
