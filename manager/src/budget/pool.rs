//! A budget of what is kept for a peer until it has had its answer or leaves.

/// What all peers together have of something that cannot be taken back from them, and how much more one may have.
///
/// The last quarter of the budget is for peers that have less than their fair share: the budget divided by the number of
/// those who have something. So whoever has most is refused first. What each peer has up to `free` is always taken.
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

    /// Whether a peer that has so much may have that much more.
    #[inline]
    pub(crate) fn admits(&self, has: usize, more: usize) -> bool {
        has.saturating_add(more) <= self.free || self.has_room(has, more)
    }

    fn has_room(&self, has: usize, more: usize) -> bool {
        let used = self.used.saturating_add(more);
        if used <= self.budget - self.budget / 4 {
            return true;
        }
        let users = self.users + usize::from(has == 0);
        used <= self.budget && has.saturating_add(more) <= self.budget / users.max(1)
    }

    /// Notes that a peer that had so much has that much more.
    #[inline]
    pub(crate) fn add(&mut self, had: usize, more: usize) {
        self.used += more;
        self.users += usize::from(had == 0 && more > 0);
    }

    /// Notes that a peer that had so much has that much less.
    #[inline]
    pub(crate) fn subtract(&mut self, had: usize, less: usize) {
        self.used -= less;
        self.users -= usize::from(had == less && less > 0);
    }

    /// What all peers have.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// How many peers have something.
    #[cfg(any(test, feature = "fuzzing"))]
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

    /// Has a peer take one after the other until it is refused; gives what it has then.
    fn fill(pool: &mut Pool, mut has: usize) -> usize {
        while pool.admits(has, 1) {
            pool.add(has, 1);
            has += 1;
        }
        has
    }

    #[test]
    fn one_peer_may_have_all_of_it_and_the_next_its_free_part() {
        let mut pool = Pool::new(1_000, 10);
        assert_eq!(fill(&mut pool, 0), 1_000);
        assert_eq!(fill(&mut pool, 0), 10);
        assert_eq!((pool.used(), pool.users()), (1_010, 2));
    }

    #[test]
    fn what_is_given_back_goes_to_whoever_has_less_than_its_share() {
        let mut pool = Pool::new(1_000, 10);
        let most = fill(&mut pool, 0);
        let mut least = fill(&mut pool, 0);
        pool.subtract(most, 100);
        let most = most - 100;
        assert!(!pool.admits(most, 1), "it still has more than its share");
        least = fill(&mut pool, least);
        assert_eq!(least, 100);
        pool.subtract(most, 500);
        assert!(pool.admits(400, 1), "now it has less");
    }

    #[test]
    fn the_last_quarter_is_for_those_who_have_less_than_their_share() {
        let mut pool = Pool::new(1_000, 10);
        let mut first = 0;
        pool.add(0, 1);
        while pool.used() < 750 {
            pool.add(first, 1);
            first += 1;
        }
        assert!(!pool.admits(first, 1));
        assert_eq!(fill(&mut pool, 1), 251);
    }

    #[test]
    fn the_budget_is_exceeded_by_no_more_than_what_is_free_for_each() {
        let mut pool = Pool::new(1_000, 10);
        let had: Vec<_> = (0..50).map(|_| fill(&mut pool, 0)).collect();
        assert!(had.iter().all(|has| *has >= 10));
        assert!(pool.used() <= 1_000 + 50 * 10);
        for has in had {
            pool.subtract(has, has);
        }
        assert_eq!((pool.used(), pool.users()), (0, 0));
    }
}
