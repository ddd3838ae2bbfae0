//! Remembers where clients came from that were disconnected because they did not read.
//!
//! Such a client may come back at once and do the same again. Each time it fills a queue, and
//! others wait for it. So for a while they wait less for a client from the same network: see
//! [`shortened`]. Nothing else is different for it, since it may be another client: on one
//! computer, or behind one router, all have the same address. If it has the same name too, it
//! [must pause](SlowReaders::pause) before it is read from.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::names::network_of;

/// The most networks, and the most names, that are remembered. The one that was quiet for longest
/// is forgotten first.
const NETWORKS: usize = 1_024;

/// The time in which half of the disconnects of a network are forgotten.
const HALF_LIFE: Duration = Duration::from_mins(1);

/// The most disconnects that are counted.
const MOST: u32 = 16;

/// The shortest time for which others wait for such a client.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long a client of that name from that network is not read from, for each of its disconnects.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Disconnects of slow readers by network, and by network and name.
#[derive(Debug, Default)]
pub(crate) struct SlowReaders {
    by_network: Mutex<Remembered<IpAddr>>,
    by_name: Mutex<Remembered<(IpAddr, Box<str>)>>,
}

/// The latest disconnects.
#[derive(Debug)]
struct Remembered<K>(HashMap<K, Disconnects>);

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Remembered<K> {
    fn note(&mut self, key: K) {
        let all = &mut self.0;
        if all.len() >= NETWORKS
            && !all.contains_key(&key)
            && let Some(quiet) = all
                .iter()
                .min_by_key(|(_, disconnects)| disconnects.last)
                .map(|(key, _)| key.clone())
        {
            all.remove(&quiet);
        }
        let now = Instant::now();
        let disconnects = all.entry(key).or_insert(Disconnects { count: 0, last: now });
        *disconnects = Disconnects {
            count: (disconnects.recent() + 1).min(MOST),
            last: now,
        };
    }

    fn recent(&self, key: &K) -> u32 {
        self.0.get(key).map_or(0, |disconnects| disconnects.recent())
    }
}

#[derive(Clone, Copy, Debug)]
struct Disconnects {
    count: u32,
    last: Instant,
}

impl Disconnects {
    /// Returns the disconnects that are not forgotten.
    fn recent(self) -> u32 {
        let halvings = self.last.elapsed().as_secs() / HALF_LIFE.as_secs();
        self.count >> halvings.min(u64::from(u32::BITS - 1))
    }
}

impl SlowReaders {
    /// Notes that a client of that address and name was disconnected because it did not read.
    pub(crate) fn note(&self, ip: IpAddr, name: &str) {
        let network = network_of(ip);
        locked(&self.by_network).note(network);
        locked(&self.by_name).note((network, name.into()));
    }

    /// Returns how many clients of that network were recently disconnected because they did not
    /// read. Half of them are forgotten each minute.
    pub(crate) fn recent(&self, ip: IpAddr) -> u32 {
        locked(&self.by_network).recent(&network_of(ip))
    }

    /// Returns how long a client that has connected is not read from: a second for each recent
    /// disconnect of its name. Each time that it returns, its requests keep a service busy although
    /// it does not read the replies.
    pub(crate) fn pause(&self, ip: IpAddr, name: &str) -> Duration {
        let disconnects = locked(&self.by_name).recent(&(network_of(ip), name.into()));
        (PAUSE * disconnects).min(LONGEST_PAUSE)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns how long others wait for a client from a network with `recent` disconnects: half as long
/// for each.
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
            readers.note(here, "a");
        }
        assert_eq!(readers.recent(beside), 4);
        assert_eq!(readers.pause(beside, "a"), 4 * PAUSE);
        assert_eq!(readers.pause(beside, "b"), Duration::ZERO);
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
            readers.note(address(number), "a");
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
