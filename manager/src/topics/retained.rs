//! The values that are kept for later subscribers.

use std::collections::BTreeMap;

use bytes::Bytes;
use foldhash::HashMap;
use labwire_wire::Topic;

use super::Subscription;
use crate::bounds::{MOST_RETAINED, MOST_RETAINED_BYTES};
use crate::budget::Pool;
use crate::refusal::{Refusal, TopicRefusal};
use crate::registry::PeerId;

/// Frames count as multiples of this many bytes, so that a number with one more digit is no larger
/// than the one before.
const STEP_BYTES: usize = 256;

/// The sender of the values whose senders have left: the id that no peer has.
const NOBODY: PeerId = PeerId::NONE;

/// The frames that are kept, by their topics.
///
/// A program that publishes to ever new topics fills no more than three quarters while others keep
/// values, or a little more while it is alone: see [`Pool`]. The values of all senders that have
/// left count as those of one, and anybody may replace them by values that are not larger.
#[derive(Debug)]
pub(super) struct Retained {
    kept: BTreeMap<Topic, Kept>,
    senders: HashMap<PeerId, Share>,
    values: Pool,
    bytes: Pool,
}

#[derive(Debug)]
struct Kept {
    frame: Bytes,
    sender: PeerId,
}

/// What is kept of one sender.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    values: usize,
    bytes: usize,
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
            values: Pool::new(MOST_RETAINED, 0),
            bytes: Pool::new(MOST_RETAINED_BYTES, 0),
        }
    }
}

impl Retained {
    /// Keeps a frame of a sender in place of the one before, or with `None` none. If it is refused,
    /// the one before stays. One that is not larger than the sender's own before is never refused.
    pub(super) fn replace(
        &mut self,
        topic: &Topic,
        sender: PeerId,
        frame: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let before = self.remove(topic);
        let Some(frame) = frame else {
            return Ok(());
        };
        let next = Kept { frame, sender };
        let is_update =
            |before: &Kept| [sender, NOBODY].contains(&before.sender) && next.bytes() <= before.bytes();
        if before.as_ref().is_some_and(is_update) || self.admits(&next) {
            self.insert(topic, next);
            return Ok(());
        }
        if let Some(before) = before {
            self.insert(topic, before);
        }
        Err(TopicRefusal::NoRoom.into())
    }

    /// Notes that a sender has left.
    pub(super) fn forget_sender(&mut self, sender: PeerId) {
        let Some(share) = self.senders.remove(&sender) else {
            return;
        };
        self.values.subtract(share.values, share.values);
        self.bytes.subtract(share.bytes, share.bytes);
        let others = self.senders.entry(NOBODY).or_default();
        self.values.add(others.values, share.values);
        self.bytes.add(others.bytes, share.bytes);
        others.values += share.values;
        others.bytes += share.bytes;
        for kept in self.kept.values_mut().filter(|kept| kept.sender == sender) {
            kept.sender = NOBODY;
        }
    }

    fn admits(&self, next: &Kept) -> bool {
        let has = self.senders.get(&next.sender).copied().unwrap_or_default();
        self.values.admits(has.values, 1) && self.bytes.admits(has.bytes, next.bytes())
    }

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
        let share = self.senders.entry(kept.sender).or_default();
        self.values.subtract(share.values, 1);
        self.bytes.subtract(share.bytes, kept.bytes());
        share.values -= 1;
        share.bytes -= kept.bytes();
        if share.values == 0 {
            self.senders.remove(&kept.sender);
        }
        Some(kept)
    }

    /// Returns the frames whose topic matches, in the order of their topics.
    pub(super) fn matching(&self, subscription: &Subscription) -> impl Iterator<Item = &Bytes> {
        let matching = self.kept.iter().filter(|(topic, _)| subscription.matches(topic));
        matching.map(|(_, kept)| &kept.frame)
    }

    /// Returns the number of values, and of the bytes that count for them.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.kept.len(), self.bytes.used()]
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

    #[test]
    fn the_values_of_senders_that_have_left_count_as_those_of_one() {
        let mut retained = Retained::default();
        for sender in 1..=100 {
            assert!(keep(&mut retained, sender, sender as u64, 100));
            retained.forget_sender(PeerId::sample(sender as u64));
        }
        retained.forget_sender(PeerId::sample(1));
        assert_eq!([retained.values.users(), retained.bytes.users()], [1, 1]);
        assert_eq!(retained.sizes(), [100, 100 * STEP_BYTES]);
        // A service that has come back takes its topic over, however little room there is.
        retained.values = Pool::new(100, 0);
        retained.values.add(0, 100);
        assert!(!keep(&mut retained, 101, 200, 100));
        assert!(!keep(&mut retained, 1, 200, 300), "it is larger");
        assert!(keep(&mut retained, 1, 200, 200));
        assert!(!keep(&mut retained, 1, 201, 200), "it has a sender again");
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
