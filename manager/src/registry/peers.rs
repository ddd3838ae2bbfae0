//! Peers by their ids.

use std::ops::Index;

/// Identifies one connection for as long as the manager runs; never reused.
///
/// Its lowest bits are the peer's index; the others count up with each peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(u64);

/// The bits of the index: a manager has a million connections at most. The other bits are enough
/// for a thousand connections a second, for thirty years.
const PLACE_BITS: u32 = 24;

impl PeerId {
    /// Returns an id that no peer has, and only one reservation of a lock. `number` must be new.
    pub(super) fn of_nobody(number: u64) -> Self {
        Self::new(number, (1 << PLACE_BITS) - 1)
    }

    /// Returns an id for a test of something else.
    #[cfg(test)]
    pub(crate) fn sample(number: u64) -> Self {
        Self(number)
    }

    fn new(number: u64, place: usize) -> Self {
        Self(number << PLACE_BITS | place as u64)
    }

    fn place(self) -> usize {
        // Fits on 32-bit computers too: it has few bits.
        (self.0 & ((1 << PLACE_BITS) - 1)) as usize
    }
}

/// Peers of one kind. Each request and each reply looks some of them up, so they are found by
/// index, without a hash.
#[derive(Debug)]
pub(super) struct Peers<T> {
    places: Vec<Option<(PeerId, T)>>,
    /// The free indices.
    free: Vec<usize>,
}

impl<T> Default for Peers<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Peers<T> {
    /// Adds a peer. `number` must be new.
    pub(super) fn insert(&mut self, number: u64, peer: T) -> PeerId {
        let place = self.free.pop().unwrap_or(self.places.len());
        let id = PeerId::new(number, place);
        match self.places.get_mut(place) {
            Some(free) => *free = Some((id, peer)),
            None => self.places.push(Some((id, peer))),
        }
        id
    }

    #[inline]
    pub(super) fn get(&self, id: PeerId) -> Option<&T> {
        match self.places.get(id.place()) {
            Some(Some((own, peer))) if *own == id => Some(peer),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut T> {
        match self.places.get_mut(id.place()) {
            Some(Some((own, peer))) if *own == id => Some(peer),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, id: PeerId) -> Option<T> {
        let place = self.places.get_mut(id.place())?;
        let (_, peer) = place.take_if(|(own, _)| *own == id)?;
        self.free.push(id.place());
        Some(peer)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Returns all peers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        self.places.iter().flatten().map(|(id, peer)| (*id, peer))
    }
}

impl<T> Index<PeerId> for Peers<T> {
    type Output = T;

    fn index(&self, id: PeerId) -> &T {
        self.get(id).expect("who has a name or a link is here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_anybody_elses() {
        let mut peers = Peers::default();
        let [a, b] = [1, 2].map(|number| peers.insert(number, number));
        assert_eq!(peers.remove(a), Some(1));
        assert_eq!(peers.get(a), None);
        assert_eq!((peers.remove(a), peers.len()), (None, 1));
        let c = peers.insert(3, 3);
        assert_eq!(c.place(), a.place(), "its place is used again");
        assert_eq!(peers.get(a), None);
        assert_eq!(peers.get_mut(a), None);
        assert_eq!((peers[b], peers[c], peers.len()), (2, 3, 2));
        assert_eq!(Peers::<u64>::default().get(PeerId::default()), None);
        assert_eq!(peers.get(PeerId::default()), None, "numbers begin with one");
    }
}
