//! A budget of resources that a peer holds until it is answered or leaves.

use super::is_fair;

/// The use of a resource that cannot be taken back from peers.
///
/// The peer that has most is refused first: see [`is_fair`]. Each peer may always have `free`.
#[derive(Debug)]
pub(crate) struct Pool {
    budget: usize,
    free: usize,
    used: usize,
    users: usize,
}

impl Pool {
    pub(crate) fn new(budget: usize, free: usize) -> Self {
        Self {
            budget,
            free,
            used: 0,
            users: 0,
        }
    }

    /// Returns whether a peer that has `has` may have `more`.
    #[inline]
    pub(crate) fn admits(&self, has: usize, more: usize) -> bool {
        has.saturating_add(more) <= self.free || self.has_room(has, more)
    }

    fn has_room(&self, has: usize, more: usize) -> bool {
        let users = self.users + usize::from(has == 0);
        let [used, wanted] = [self.used, has].map(|bytes| bytes.saturating_add(more));
        is_fair(self.budget, users, used, wanted)
    }

    /// Records that a peer that had `had` has `more` in addition.
    #[inline]
    pub(crate) fn add(&mut self, had: usize, more: usize) {
        self.used += more;
        self.users += usize::from(had == 0 && more > 0);
    }

    /// Records that a peer that had `had` has `less` fewer.
    #[inline]
    pub(crate) fn subtract(&mut self, had: usize, less: usize) {
        self.used -= less;
        self.users -= usize::from(had == less && less > 0);
    }

    /// Returns the sum of all peers' use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Returns the number of peers that have something.
    pub(crate) fn users(&self) -> usize {
        self.users
    }

    pub(crate) fn budget(&self) -> usize {
        self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes units for a peer until it is refused. Returns how many it has then.
    fn fill(pool: &mut Pool, mut has: usize) -> usize {
        while pool.admits(has, 1) {
            pool.add(has, 1);
            has += 1;
        }
        has
    }

    #[test]
    fn one_peer_may_have_most_of_it_and_each_next_one_some() {
        let mut pool = Pool::new(1_000, 10);
        assert_eq!(fill(&mut pool, 0), 800);
        assert_eq!(fill(&mut pool, 0), 133);
        assert_eq!(fill(&mut pool, 0), 38);
        assert_eq!((pool.used(), pool.users()), (971, 3));
    }

    #[test]
    fn what_is_given_back_goes_to_whoever_has_less() {
        let mut pool = Pool::new(1_000, 10);
        let most = fill(&mut pool, 0);
        let least = fill(&mut pool, 0);
        pool.subtract(most, 100);
        let most = most - 100;
        assert!(!pool.admits(most, 1), "it still has more than its share");
        assert!(fill(&mut pool, least) > least + 50);
        pool.subtract(most, 500);
        assert!(pool.admits(most - 500, 1), "now it has less");
    }

    #[test]
    fn many_that_have_their_share_leave_something_to_whoever_has_little() {
        let mut pool = Pool::new(100_000, 10);
        let mut had = [0; 50];
        for _ in 0..100_000 {
            for has in &mut had {
                if pool.admits(*has, 1) {
                    pool.add(*has, 1);
                    *has += 1;
                }
            }
        }
        assert!(pool.used() > 75_000);
        assert!(fill(&mut pool, 0) > 1_000, "{} are used", pool.used());
    }

    #[test]
    fn the_budget_is_exceeded_by_no_more_than_what_is_free_for_each() {
        let mut pool = Pool::new(1_000, 10);
        let had: Vec<_> = (0..150).map(|_| fill(&mut pool, 0)).collect();
        assert!(had.iter().all(|has| *has >= 10));
        assert!(pool.used() <= 1_000 + 150 * 10);
        for has in had {
            pool.subtract(has, has);
        }
        assert_eq!((pool.used(), pool.users()), (0, 0));
    }
}
