//! Places for connections that have not identified themselves: how many there are, and which one is
//! displaced by another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::config::Limits;
use crate::refusal::Refusal;

/// The connections that have not identified themselves. Addresses share the places: if all are
/// taken, a connection from an address that has fewer than another takes the oldest place of one
/// that has most.
#[derive(Debug)]
pub(crate) struct UnidentifiedPlaces {
    limit: usize,
    limit_per_address: usize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    last_number: u64,
    /// The connections of each address, the oldest first.
    by_address: HashMap<IpAddr, Vec<Holder>>,
}

/// A connection that holds a place.
#[derive(Debug)]
struct Holder {
    number: u64,
    /// Dropped when the connection is displaced.
    _place: oneshot::Sender<()>,
}

/// One place among the connections that have not identified themselves.
#[derive(Debug)]
pub(crate) struct UnidentifiedPlace {
    all: Arc<UnidentifiedPlaces>,
    address: IpAddr,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl UnidentifiedPlaces {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            limit: limits.unidentified,
            limit_per_address: limits.unidentified_per_address,
            places: Mutex::default(),
        })
    }

    /// Takes a place for a connection from this address. This may displace another connection,
    /// which [is notified](UnidentifiedPlace::lost).
    ///
    /// # Errors
    /// [`Refusal::TooManyUnidentifiedPerAddress`] and [`Refusal::TooManyUnidentified`].
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<UnidentifiedPlace, Refusal> {
        let mut places = self.lock();
        let of_address = places.by_address.get(&address).map_or(0, Vec::len);
        if of_address >= self.limit_per_address {
            return Err(Refusal::TooManyUnidentifiedPerAddress);
        }
        if places.taken >= self.limit && !places.displace(of_address) {
            return Err(Refusal::TooManyUnidentified);
        }
        places.taken += 1;
        places.last_number += 1;
        let number = places.last_number;
        let (place, lost) = oneshot::channel();
        let holder = Holder {
            number,
            _place: place,
        };
        places.by_address.entry(address).or_default().push(holder);
        Ok(UnidentifiedPlace {
            all: Arc::clone(self),
            address,
            number,
            lost,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Removes the oldest place of an address that has most, if that is more than `fewer`. Returns
    /// whether it did.
    fn displace(&mut self, fewer: usize) -> bool {
        let oldest = |holders: &Vec<Holder>| holders.first().map(|holder| holder.number);
        let most = self
            .by_address
            .iter()
            .max_by_key(|(_, holders)| (holders.len(), std::cmp::Reverse(oldest(holders))));
        let Some((&address, holders)) = most.filter(|(_, holders)| holders.len() > fewer) else {
            return false;
        };
        oldest(holders).is_some_and(|number| self.remove(address, number))
    }

    fn remove(&mut self, address: IpAddr, number: u64) -> bool {
        let Entry::Occupied(mut holders) = self.by_address.entry(address) else {
            return false;
        };
        let position = holders.get().iter().position(|holder| holder.number == number);
        let Some(position) = position else { return false };
        holders.get_mut().remove(position);
        if holders.get().is_empty() {
            holders.remove();
        }
        self.taken -= 1;
        true
    }
}

impl UnidentifiedPlace {
    /// Waits until another connection has taken this place. Cancel safe.
    pub(crate) async fn lost(&mut self) {
        // The sender sends nothing, and is dropped with the place.
        let _ = (&mut self.lost).await;
    }
}

impl Drop for UnidentifiedPlace {
    fn drop(&mut self) {
        self.all.lock().remove(self.address, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_for(limit: usize, limit_per_address: usize) -> Arc<UnidentifiedPlaces> {
        UnidentifiedPlaces::new(&Limits {
            unidentified: limit,
            unidentified_per_address: limit_per_address,
            ..Limits::default()
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_lost(place: &mut UnidentifiedPlace) -> bool {
        place.lost.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn an_address_has_no_more_places_than_it_may_and_gets_them_again() {
        let all = places_for(10, 2);
        let places = [1, 1].map(|last| all.enter(address(last)).unwrap());
        let refused = all.enter(address(1)).unwrap_err();
        assert_eq!(refused, Refusal::TooManyUnidentifiedPerAddress);
        assert!(all.enter(address(2)).is_ok());
        drop(places);
        assert!(all.enter(address(1)).is_ok());
        assert_eq!(all.lock().taken, 0);
        assert!(all.lock().by_address.is_empty());
    }

    #[test]
    fn whoever_has_fewest_places_gets_the_oldest_one_of_whoever_has_most() {
        let all = places_for(5, 10);
        let mut greedy: Vec<_> = (0..4).map(|_| all.enter(address(1)).unwrap()).collect();
        let mut modest = all.enter(address(2)).unwrap();
        let _newcomers = [3, 4].map(|last| all.enter(address(last)).unwrap());
        let lost: Vec<_> = greedy.iter_mut().map(is_lost).collect();
        assert_eq!(lost, [true, true, false, false]);
        assert!(!is_lost(&mut modest));
        // An address with as many as any other has no claim to more.
        assert_eq!(all.enter(address(1)).unwrap_err(), Refusal::TooManyUnidentified);
        // A place that was lost is not given back a second time.
        drop(greedy);
        assert_eq!(all.lock().taken, 3);
    }

    #[test]
    fn among_equals_the_oldest_gives_way_to_one_that_has_nothing() {
        let all = places_for(3, 10);
        let mut old: Vec<_> = (1..=3).map(|last| all.enter(address(last)).unwrap()).collect();
        let _newcomer = all.enter(address(4)).unwrap();
        let lost: Vec<_> = old.iter_mut().map(is_lost).collect();
        assert_eq!(lost, [true, false, false]);
        assert_eq!(all.enter(address(4)).unwrap_err(), Refusal::TooManyUnidentified);
    }
}
