//! The places of peers that are away.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashMap;

use crate::budget::Pool;
use crate::names::network_of;
use crate::principal::Principal;

/// Whose places are counted together: the peers of a user, or else of an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    User(Arc<str>),
    Address(IpAddr),
}

impl Origin {
    pub(super) fn of(principal: &Principal) -> Self {
        match principal.user() {
            Some(user) => Self::User(Arc::clone(user)),
            None => Self::Address(network_of(principal.from.ip)),
        }
    }
}

/// The places of peers that are away.
#[derive(Debug)]
pub(super) struct AwayPlaces {
    all: Pool,
    by_origin: HashMap<Origin, usize>,
}

impl AwayPlaces {
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Pool::new(most, 0),
            by_origin: HashMap::default(),
        }
    }

    /// Takes a place. Returns `false` if there is none.
    pub(super) fn take(&mut self, origin: &Origin) -> bool {
        let has = self.by_origin.get(origin).copied().unwrap_or_default();
        let is_admitted = self.all.admits(has, 1);
        if is_admitted {
            self.all.add(has, 1);
            self.by_origin.insert(origin.clone(), has + 1);
        }
        is_admitted
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, origin: &Origin) {
        let Some(has) = self.by_origin.get_mut(origin) else {
            return;
        };
        self.all.subtract(*has, 1);
        *has -= 1;
        if *has == 0 {
            self.by_origin.remove(origin);
        }
    }

    /// Returns the number of places that are taken.
    pub(super) fn taken(&self) -> usize {
        self.all.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_one_address_leave_places_to_those_of_others() {
        let mut places = AwayPlaces::new(100);
        let origin = |number: u8| Origin::Address([10, 0, 0, number].into());
        let taken = (0..100).filter(|_| places.take(&origin(1))).count();
        assert!((75..100).contains(&taken), "{taken}");
        assert!((0..5).all(|_| places.take(&origin(2))));
        for _ in 0..taken {
            places.give_back(&origin(1));
        }
        assert_eq!(places.taken(), 5);
        assert!((0..50).all(|_| places.take(&origin(3))));
        let mut none = AwayPlaces::new(0);
        assert!(!none.take(&origin(1)));
    }
}
