//! The values that are kept for later subscribers.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use foldhash::HashMap;
use labwire_wire::{Topic, TopicPattern};

use super::departed::Departed;
use crate::bounds::{FREE_RETAINED, FREE_RETAINED_BYTES, MOST_RETAINED, MOST_RETAINED_BYTES};
use crate::budget::Pool;
use crate::refusal::{Refusal, TopicRefusal};
use crate::registry::PeerId;

/// Frames count as multiples of this many bytes, so that a number with one more digit is no larger
/// than the one before.
const STEP_BYTES: usize = 256;

/// The frames that are kept, by their topics.
///
/// A program that publishes to ever new topics fills no more than three quarters while others keep
/// values, or a little more while it is alone: see [`Pool`]. Each sender may always keep a few small
/// values.
///
/// What a sender has kept stays when it leaves, as long as there is room: it counts no more towards what
/// others may keep, and makes room for them. The sender with the most loses its oldest value first, so
/// that a program which publishes one value and leaves is affected last.
#[derive(Debug)]
pub(super) struct Retained {
    kept: BTreeMap<Topic, Kept>,
    /// The connected senders, and what is kept of each.
    senders: HashMap<PeerId, Share>,
    /// What is kept of all connected senders.
    values: Pool,
    bytes: Pool,
    departed: Departed,
    /// The number of the newest value.
    newest: u64,
}

#[derive(Debug)]
struct Kept {
    frame: Bytes,
    sender: PeerId,
    number: u64,
}

/// What is kept of one sender, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

impl Share {
    /// Returns what counts of both together, in bytes.
    pub(super) fn weight(self) -> usize {
        self.values * (MOST_RETAINED_BYTES / MOST_RETAINED) + self.bytes
    }
}

impl Kept {
    /// Returns the bytes that count.
    fn bytes(&self) -> usize {
        self.frame.len().next_multiple_of(STEP_BYTES)
    }
}

impl Default for Retained {
    fn default() -> Self {
        Self {
            kept: BTreeMap::new(),
            senders: HashMap::default(),
            values: Pool::new(MOST_RETAINED, FREE_RETAINED),
            bytes: Pool::new(MOST_RETAINED_BYTES, FREE_RETAINED_BYTES),
            departed: Departed::default(),
            newest: 0,
        }
    }
}

impl Retained {
    /// Keeps a frame of a sender in place of the one before, or with `None` none. If it is refused,
    /// the one before stays. One that is not larger than the sender's own before, or that of a sender
    /// that has left, is never refused. Returns the number of values that have made room.
    pub(super) fn replace(
        &mut self,
        topic: &Topic,
        sender: PeerId,
        frame: Option<Bytes>,
    ) -> Result<usize, Refusal> {
        let is_departed = |kept: &Kept| self.departed.contains(kept.sender);
        let departed = self
            .kept
            .get(topic)
            .filter(|kept| is_departed(kept))
            .map(Kept::bytes);
        let Some(frame) = frame else {
            self.remove(topic);
            return Ok(0);
        };
        // That of a sender which has left counts towards nobody's share.
        let before = if departed.is_none() {
            self.remove(topic)
        } else {
            None
        };
        let next = Kept {
            frame,
            sender,
            number: self.newest + 1,
        };
        let own = before.as_ref().filter(|before| before.sender == sender);
        let replaced = own.map(Kept::bytes).or(departed);
        if replaced.is_some_and(|replaced| next.bytes() <= replaced) || self.admits(&next) {
            self.newest += 1;
            self.remove(topic);
            let removed = self.make_room(1, next.bytes());
            self.insert(topic, next);
            return Ok(removed);
        }
        if let Some(before) = before {
            self.insert(topic, before);
        }
        Err(TopicRefusal::NoRoom.into())
    }

    /// Notes that a sender has left. What is kept of it makes room for others from now on.
    pub(super) fn forget_sender(&mut self, sender: PeerId) {
        let Some(share) = self.senders.remove(&sender) else {
            return;
        };
        self.values.subtract(share.values, share.values);
        self.bytes.subtract(share.bytes, share.bytes);
        let own = self.kept.iter().filter(|(_, kept)| kept.sender == sender);
        let own = own.map(|(topic, kept)| (kept.number, topic.clone())).collect();
        self.departed.add(sender, share, own);
        self.make_room(0, 0);
    }

    /// Removes values of senders that have left until there is room for so many more, or until there are
    /// none. Returns their number.
    fn make_room(&mut self, values: usize, bytes: usize) -> usize {
        let before = self.kept.len();
        while self.kept.len() + values > MOST_RETAINED || self.sizes()[1] + bytes > MOST_RETAINED_BYTES {
            let Some((sender, number, topic)) = self.departed.next() else {
                break;
            };
            let is_it = |kept: &Kept| (kept.sender, kept.number) == (sender, number);
            if self.kept.get(&topic).is_some_and(is_it) {
                self.remove(&topic);
            }
        }
        before - self.kept.len()
    }

    fn admits(&self, next: &Kept) -> bool {
        let has = self.senders.get(&next.sender).copied().unwrap_or_default();
        self.values.admits(has.values, 1) && self.bytes.admits(has.bytes, next.bytes())
    }

    /// Adds a value of a connected sender.
    fn insert(&mut self, topic: &Topic, kept: Kept) {
        let share = self.senders.entry(kept.sender).or_default();
        self.values.add(share.values, 1);
        self.bytes.add(share.bytes, kept.bytes());
        share.values += 1;
        share.bytes += kept.bytes();
        self.kept.insert(topic.clone(), kept);
    }

    fn remove(&mut self, topic: &Topic) -> Option<Kept> {
        let kept = self.kept.remove(topic)?;
        let Some(share) = self.senders.get_mut(&kept.sender) else {
            self.departed.remove(kept.sender, kept.bytes());
            return Some(kept);
        };
        self.values.subtract(share.values, 1);
        self.bytes.subtract(share.bytes, kept.bytes());
        share.values -= 1;
        share.bytes -= kept.bytes();
        if share.values == 0 {
            self.senders.remove(&kept.sender);
        }
        Some(kept)
    }

    /// Returns the frames whose topic matches, in the order of their topics, and the number of topics that were
    /// compared.
    pub(super) fn matching(&self, pattern: &TopicPattern) -> (Vec<Bytes>, usize) {
        let prefix = pattern.prefix();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let candidates = self.kept.range::<str, _>(from);
        let candidates = candidates.take_while(|(topic, _)| topic.as_str().starts_with(prefix));
        let mut compared = 0;
        let matching = candidates.inspect(|_| compared += 1);
        let matching = matching.filter(|(topic, _)| pattern.matches(topic));
        (matching.map(|(_, kept)| kept.frame.clone()).collect(), compared)
    }

    /// Returns the number of values, and of the bytes that count for them.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.kept.len(), self.bytes.used() + self.departed.all().bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(number: usize) -> Topic {
        Topic::new(&format!("a.{number}")).unwrap()
    }

    /// Keeps a value of that many bytes. Returns whether it is kept.
    fn keep(retained: &mut Retained, number: usize, sender: u64, bytes: usize) -> bool {
        let frame = Bytes::from(vec![b' '; bytes]);
        retained
            .replace(&topic(number), PeerId::sample(sender), Some(frame))
            .is_ok()
    }

    #[test]
    fn a_value_that_does_not_fit_leaves_the_one_before() {
        const LARGE: usize = 1024 * 1024;
        let mut retained = Retained::default();
        let count = (0..MOST_RETAINED)
            .take_while(|number| keep(&mut retained, *number, 1, LARGE))
            .count();
        assert!(count * LARGE >= MOST_RETAINED_BYTES / 4 * 3);
        let full = [count, count * LARGE];
        assert_eq!(retained.sizes(), full);
        assert!(!keep(&mut retained, 0, 1, 2 * LARGE));
        assert_eq!(retained.sizes(), full);
        assert!(keep(&mut retained, 0, 1, LARGE - 1), "not larger");
        assert!(keep(&mut retained, 0, 1, 10));
        assert_eq!(retained.sizes(), [count, (count - 1) * LARGE + STEP_BYTES]);
        let nobody = PeerId::sample(9);
        for number in 0..count {
            retained.replace(&topic(number), nobody, None).unwrap();
        }
        retained.replace(&topic(0), nobody, None).unwrap();
        assert_eq!(retained.sizes(), [0, 0]);
        assert!(retained.senders.is_empty());
        assert_eq!([retained.values.users(), retained.bytes.users()], [0, 0]);
    }

    /// Lets a sender keep values of that many bytes on the topics from `first`, until it is refused and at
    /// most `most`. Returns their number.
    fn fill(retained: &mut Retained, sender: u64, first: usize, most: usize, bytes: usize) -> usize {
        let mut numbers = first..first + most;
        let refused = numbers.find(|number| !keep(retained, *number, sender, bytes));
        refused.map_or(most, |number| number - first)
    }

    fn has(retained: &Retained, number: usize) -> bool {
        retained.kept.contains_key(&topic(number))
    }

    #[test]
    fn values_of_senders_that_have_left_make_room_and_those_of_connected_ones_stay() {
        // More than there is room for in number, and in bytes.
        for (most, bytes) in [(1_000, 100), (60, 100_000)] {
            let mut retained = Retained::default();
            let few = fill(&mut retained, 1, 0, FREE_RETAINED, 1_000);
            let more = fill(&mut retained, 2, 10, 50, 10_000);
            assert_eq!((few, more), (FREE_RETAINED, 50));
            for sender in 3..53 {
                let first = 1_000 * sender;
                assert_eq!(fill(&mut retained, sender as u64, first, most, bytes), most);
                assert!((first..first + most).all(|number| has(&retained, number)));
                retained.forget_sender(PeerId::sample(sender as u64));
                let [values, kept] = retained.sizes();
                assert!(values <= MOST_RETAINED && kept <= MOST_RETAINED_BYTES);
            }
            let [values, kept] = retained.sizes();
            assert!(values > MOST_RETAINED - 100 || kept > MOST_RETAINED_BYTES - 200_000);
            assert_eq!(
                fill(&mut retained, 60, 100_000, most, bytes),
                most,
                "as the first one"
            );
            assert!((0..few).chain(10..10 + more).all(|number| has(&retained, number)));
            assert_eq!([retained.values.users(), retained.bytes.users()], [3, 3]);
            retained.forget_sender(PeerId::sample(60));
        }
    }

    #[test]
    fn the_sender_that_has_left_with_the_most_loses_its_oldest_values_first() {
        let mut retained = Retained::default();
        assert!(keep(&mut retained, 0, 1, 1_000));
        retained.forget_sender(PeerId::sample(1));
        let many = fill(&mut retained, 2, 1_000, MOST_RETAINED, 100);
        // A newer value in place of one of the oldest.
        assert!(keep(&mut retained, 1_000, 2, 100));
        retained.forget_sender(PeerId::sample(2));
        assert!(keep(&mut retained, 1, 3, 200));
        retained.forget_sender(PeerId::sample(3));
        let others = fill(&mut retained, 4, 50_000, MOST_RETAINED, 100);
        let removed = many + others + 2 - MOST_RETAINED;
        assert_eq!(retained.sizes()[0], MOST_RETAINED);
        assert!(has(&retained, 0) && has(&retained, 1) && has(&retained, 1_000));
        assert!((1_001..1_001 + removed).all(|number| !has(&retained, number)));
        assert!((1_001 + removed..1_000 + many).all(|number| has(&retained, number)));
    }

    #[test]
    fn each_connected_sender_may_keep_a_few_small_values() {
        let mut retained = Retained::default();
        for sender in 1..=40 {
            fill(&mut retained, sender as u64, 20_000 * sender, MOST_RETAINED, 100);
        }
        let used = retained.values.used();
        assert!(used > MOST_RETAINED - 100, "{used}");
        for sender in 41..=100 {
            let first = 20_000 * sender;
            assert!(fill(&mut retained, sender as u64, first, MOST_RETAINED, 1_000) >= FREE_RETAINED);
        }
        assert!(retained.sizes()[0] <= MOST_RETAINED + 100 * FREE_RETAINED);
        for sender in 1..=100 {
            retained.forget_sender(PeerId::sample(sender));
        }
        assert_eq!(retained.sizes()[0], MOST_RETAINED, "these have left");
    }

    #[test]
    fn a_value_of_a_sender_that_has_left_is_replaced_by_anybodys_that_is_not_larger() {
        let mut retained = Retained::default();
        assert!(keep(&mut retained, 0, 1, 10_000));
        retained.forget_sender(PeerId::sample(1));
        retained.forget_sender(PeerId::sample(1));
        // Others have all the room.
        retained.bytes.add(0, MOST_RETAINED_BYTES);
        assert!(!keep(&mut retained, 0, 2, 11_000), "it is larger");
        assert!(has(&retained, 0), "the one before");
        assert!(keep(&mut retained, 0, 2, 10_000));
        assert!(!keep(&mut retained, 0, 3, 10_000), "it has a sender again");
        retained.bytes.subtract(MOST_RETAINED_BYTES, MOST_RETAINED_BYTES);
        retained.forget_sender(PeerId::sample(2));
        retained.replace(&topic(0), PeerId::sample(3), None).unwrap();
        assert_eq!(
            (retained.sizes(), retained.departed.all()),
            ([0, 0], Share::default())
        );
        assert!(retained.departed.next().is_none());
    }

    #[test]
    fn a_sender_of_ever_new_topics_leaves_room_for_others() {
        let mut retained = Retained::default();
        let count = (0..MOST_RETAINED)
            .take_while(|number| keep(&mut retained, *number, 1, 100))
            .count();
        assert!((MOST_RETAINED / 4 * 3..MOST_RETAINED).contains(&count), "{count}");
        assert!((0..100).all(|number| keep(&mut retained, MOST_RETAINED + number, 2, 100)));
        assert!(!keep(&mut retained, count, 1, 100));
        // Its own topics still have new values, and others can take them over.
        assert!(keep(&mut retained, 0, 1, 101));
        assert!(keep(&mut retained, 1, 2, 100));
        assert!(!keep(&mut retained, 1, 1, 100));
    }
}
