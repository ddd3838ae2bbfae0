//! The uids of requests, and how many requests carry each.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};

use super::noted_calls::Noted;
use super::tracked::TrackedId;
use super::uid::Uid;

/// The number of uids in one table before it is divided. Doubling a table of this size takes a
/// quarter of a millisecond, during which no other peer is served. Doubling one of fifty thousand
/// takes six milliseconds.
const PER_TABLE: usize = 4 * 1_024;

/// The number of tables after the division.
const TABLES: usize = 32;

/// The requests with the same uid.
#[derive(Debug)]
pub(super) struct Same {
    pub(super) uid: Uid,
    pub(super) count: u32,
    /// Set if more is known of them.
    pub(super) tracked: Option<TrackedId>,
    /// What is noted of them for the record, if calls are recorded.
    pub(super) noted: Noted,
    /// When the last of them was forwarded, in microseconds since the manager started.
    pub(super) begun: u64,
}

/// Uids with the number of requests for each.
///
/// They are looked up by their bytes in the line. A [`Uid`] is created only for a new one.
#[derive(Debug, Default)]
pub(super) struct Uids {
    hasher: RandomState,
    tables: Tables,
}

#[derive(Debug)]
enum Tables {
    Few(HashTable<Same>),
    /// The hash of a uid selects its table.
    Many(Box<[HashTable<Same>]>),
}

impl Default for Tables {
    fn default() -> Self {
        Self::Few(HashTable::new())
    }
}

impl Uids {
    /// Counts one more request with that uid, forwarded at `begun`, in microseconds since the manager
    /// started, with what is `noted` of it for the record.
    #[inline]
    pub(super) fn add(&mut self, uid: &[u8], begun: u64, noted: Noted) {
        if let Tables::Few(table) = &mut self.tables
            && table.len() >= PER_TABLE
        {
            self.divide();
        }
        let Self { hasher, tables } = self;
        let hash = hash_of(hasher, uid);
        let is_same = |same: &Same| same.uid.as_bytes() == uid;
        let rehash = |same: &Same| hash_of(hasher, same.uid.as_bytes());
        match tables.at_mut(hash).entry(hash, is_same, rehash) {
            Entry::Occupied(mut same) => {
                let same = same.get_mut();
                same.count += 1;
                same.noted.add(noted, same.begun, begun);
                same.begun = begun;
            }
            Entry::Vacant(place) => {
                place.insert(Same {
                    uid: uid.into(),
                    count: 1,
                    tracked: None,
                    noted,
                    begun,
                });
            }
        }
    }

    /// Returns the requests with that uid.
    #[inline]
    pub(super) fn find(&mut self, uid: &[u8]) -> Option<OccupiedEntry<'_, Same>> {
        let hash = hash_of(&self.hasher, uid);
        let is_same = |same: &Same| same.uid.as_bytes() == uid;
        self.tables.at_mut(hash).find_entry(hash, is_same).ok()
    }

    /// Returns whether there is a request with that uid.
    pub(super) fn contains(&self, uid: &[u8]) -> bool {
        let hash = hash_of(&self.hasher, uid);
        let table = match &self.tables {
            Tables::Few(table) => table,
            Tables::Many(tables) => &tables[place(hash)],
        };
        table.find(hash, |same| same.uid.as_bytes() == uid).is_some()
    }

    /// Returns all uids with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Same> {
        self.tables.all().iter().flatten()
    }

    /// Returns all uids with their numbers, for changes.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Same> {
        let tables = match &mut self.tables {
            Tables::Few(table) => std::slice::from_mut(table),
            Tables::Many(tables) => tables,
        };
        tables.iter_mut().flatten()
    }

    /// Returns the number of uids that fit without an allocation.
    pub(super) fn capacity(&self) -> usize {
        self.tables.all().iter().map(HashTable::capacity).sum()
    }

    /// Returns all uids with their numbers.
    pub(super) fn into_iter(self) -> IntoIter {
        let tables = match self.tables {
            Tables::Few(table) => vec![table],
            Tables::Many(tables) => tables.into_vec(),
        };
        tables.into_iter().flatten()
    }

    /// Divides one table among many.
    #[cold]
    fn divide(&mut self) {
        let mut tables: Box<[_]> = (0..TABLES)
            .map(|_| HashTable::with_capacity(2 * PER_TABLE / TABLES))
            .collect();
        if let Tables::Few(table) = std::mem::take(&mut self.tables) {
            for same in table {
                let hash = hash_of(&self.hasher, same.uid.as_bytes());
                let rehash = |same: &Same| hash_of(&self.hasher, same.uid.as_bytes());
                tables[place(hash)].insert_unique(hash, same, rehash);
            }
        }
        self.tables = Tables::Many(tables);
    }
}

impl Tables {
    fn all(&self) -> &[HashTable<Same>] {
        match self {
            Self::Few(table) => std::slice::from_ref(table),
            Self::Many(tables) => tables,
        }
    }

    #[inline]
    fn at_mut(&mut self, hash: u64) -> &mut HashTable<Same> {
        match self {
            Self::Few(table) => table,
            Self::Many(tables) => &mut tables[place(hash)],
        }
    }
}

/// Iterates over the uids of all tables.
pub(super) type IntoIter = std::iter::Flatten<std::vec::IntoIter<HashTable<Same>>>;

#[inline]
fn hash_of(hasher: &RandomState, uid: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    // The uid is hashed alone, so it needs no length or terminator.
    hasher.write(uid);
    hasher.finish()
}

/// Returns the index of the table for that hash. A table uses the lowest and the highest bits of
/// the hash; this uses those between.
#[inline]
fn place(hash: u64) -> usize {
    usize::try_from((hash >> 40) % TABLES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: usize) -> Vec<u8> {
        format!("\"{number}\"").into_bytes()
    }

    #[test]
    fn many_uids_are_found_as_few_are() {
        let mut uids = Uids::default();
        for count in 0..2 {
            for number in 0..3 * PER_TABLE {
                assert_eq!(uids.contains(&uid(number)), count > 0, "{number}");
                uids.add(&uid(number), 0, Noted::Nothing);
            }
        }
        assert!(uids.capacity() >= 3 * PER_TABLE && uids.capacity() < 16 * PER_TABLE);
        assert_eq!(uids.iter().count(), 3 * PER_TABLE);
        for number in (0..3 * PER_TABLE).step_by(2) {
            let found = uids.find(&uid(number)).unwrap();
            assert_eq!(
                (found.get().count, found.get().uid.as_bytes()),
                (2, &*uid(number))
            );
            found.remove();
        }
        assert!(uids.find(&uid(0)).is_none() && uids.find(&uid(1)).is_some());
        let mut left = 0;
        for same in uids.into_iter() {
            assert_eq!(same.count, 2);
            left += 1;
        }
        assert_eq!(left, 3 * PER_TABLE / 2);
    }
}
