//! The uids of requests, and how many requests carry each.

use std::collections::hash_map::{Entry, OccupiedEntry};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};

use super::uid::Uid;

/// How many uids one table holds. To double it takes a quarter of a millisecond then, in which nobody else is served; a table of
/// fifty thousand takes six.
const PER_TABLE: usize = 4 * 1_024;

/// How many tables there are beyond that.
const TABLES: usize = 32;

/// Uids with a number for each.
#[derive(Debug)]
pub(super) enum Uids {
    Few(HashMap<Uid, usize>),
    /// Each uid is in the table that its hash tells.
    Many(RandomState, Box<[HashMap<Uid, usize>]>),
}

impl Default for Uids {
    fn default() -> Self {
        Self::Few(HashMap::default())
    }
}

impl Uids {
    /// Counts one more request with that uid.
    #[inline]
    pub(super) fn add(&mut self, uid: Uid) {
        if let Self::Few(table) = self
            && table.len() >= PER_TABLE
        {
            self.divide();
        }
        *self.table_mut(&uid).entry(uid).or_default() += 1;
    }

    /// The requests with that uid.
    #[inline]
    pub(super) fn find(&mut self, uid: Uid) -> Option<OccupiedEntry<'_, Uid, usize>> {
        match self.table_mut(&uid).entry(uid) {
            Entry::Occupied(found) => Some(found),
            Entry::Vacant(_) => None,
        }
    }

    pub(super) fn contains(&self, uid: &Uid) -> bool {
        match self {
            Self::Few(table) => table.contains_key(uid),
            Self::Many(hasher, tables) => tables[place(hasher, uid)].contains_key(uid),
        }
    }

    /// All uids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Uid> {
        self.tables().iter().flat_map(HashMap::keys)
    }

    /// The number of each uid.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn counts(&self) -> impl Iterator<Item = usize> {
        self.tables().iter().flat_map(HashMap::values).copied()
    }

    /// How many uids there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.tables().iter().map(HashMap::capacity).sum()
    }

    /// All uids with their numbers.
    pub(super) fn into_iter(self) -> IntoIter {
        let tables = match self {
            Self::Few(table) => vec![table],
            Self::Many(_, tables) => tables.into_vec(),
        };
        tables.into_iter().flatten()
    }

    fn tables(&self) -> &[HashMap<Uid, usize>] {
        match self {
            Self::Few(table) => std::slice::from_ref(table),
            Self::Many(_, tables) => tables,
        }
    }

    #[inline]
    fn table_mut(&mut self, uid: &Uid) -> &mut HashMap<Uid, usize> {
        match self {
            Self::Few(table) => table,
            Self::Many(hasher, tables) => &mut tables[place(hasher, uid)],
        }
    }

    /// Divides one table among many.
    #[cold]
    fn divide(&mut self) {
        let hasher = RandomState::default();
        let mut tables: Box<[_]> = (0..TABLES)
            .map(|_| HashMap::with_capacity(2 * PER_TABLE / TABLES))
            .collect();
        if let Self::Few(table) = std::mem::take(self) {
            for (uid, count) in table {
                tables[place(&hasher, &uid)].insert(uid, count);
            }
        }
        *self = Self::Many(hasher, tables);
    }
}

/// What takes uids out one after the other.
pub(super) type IntoIter = std::iter::Flatten<std::vec::IntoIter<HashMap<Uid, usize>>>;

/// The table of a uid.
#[inline]
fn place(hasher: &RandomState, uid: &Uid) -> usize {
    let hash = hasher.hash_one(uid);
    usize::try_from(hash % TABLES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: usize) -> Uid {
        format!("\"{number}\"").as_bytes().into()
    }

    #[test]
    fn many_uids_are_found_as_few_are() {
        let mut uids = Uids::default();
        for count in 0..2 {
            for number in 0..3 * PER_TABLE {
                assert_eq!(uids.contains(&uid(number)), count > 0, "{number}");
                uids.add(uid(number));
            }
        }
        assert!(uids.capacity() >= 3 * PER_TABLE && uids.capacity() < 16 * PER_TABLE);
        assert_eq!(uids.iter().count(), 3 * PER_TABLE);
        for number in (0..3 * PER_TABLE).step_by(2) {
            let found = uids.find(uid(number)).unwrap();
            assert_eq!((found.get(), found.key() == &uid(number)), (&2, true));
            found.remove();
        }
        assert!(uids.find(uid(0)).is_none() && uids.find(uid(1)).is_some());
        let mut left = 0;
        for (_, count) in uids.into_iter() {
            assert_eq!(count, 2);
            left += 1;
        }
        assert_eq!(left, 3 * PER_TABLE / 2);
    }
}
