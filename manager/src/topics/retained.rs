//! The values that are kept for later subscribers.

use std::collections::BTreeMap;

use bytes::Bytes;
use labwire_wire::Topic;

use super::Subscription;
use crate::bounds::{MOST_RETAINED, MOST_RETAINED_BYTES};
use crate::refusal::{Refusal, TopicRefusal};

/// The frames that are kept, by their topics.
#[derive(Debug, Default)]
pub(super) struct Retained {
    frames: BTreeMap<Topic, Bytes>,
    bytes: usize,
}

impl Retained {
    /// Keeps a frame in place of the one before, or with `None` none. If it is refused, the one
    /// before stays.
    pub(super) fn replace(&mut self, topic: &Topic, frame: Option<Bytes>) -> Result<(), Refusal> {
        let before = self.frames.get(topic).map(Bytes::len);
        let Some(frame) = frame else {
            self.frames.remove(topic);
            self.bytes -= before.unwrap_or(0);
            return Ok(());
        };
        let bytes = self.bytes - before.unwrap_or(0) + frame.len();
        if bytes > MOST_RETAINED_BYTES || before.is_none() && self.frames.len() >= MOST_RETAINED {
            return Err(TopicRefusal::NoRoom.into());
        }
        self.bytes = bytes;
        self.frames.insert(topic.clone(), frame);
        Ok(())
    }

    /// Returns the frames whose topic matches, in the order of their topics.
    pub(super) fn matching(&self, subscription: &Subscription) -> impl Iterator<Item = &Bytes> {
        let matching = self
            .frames
            .iter()
            .filter(|(topic, _)| subscription.matches(topic));
        matching.map(|(_, frame)| frame)
    }

    /// Returns the number of values, and of their bytes.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.frames.len(), self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_leaves_the_one_before() {
        const LARGE: usize = 1024 * 1024;
        let topic = |number: usize| Topic::new(&format!("a.{number}")).unwrap();
        let value = |bytes| Some(Bytes::from(vec![b' '; bytes]));
        let mut retained = Retained::default();
        let most = MOST_RETAINED_BYTES / LARGE;
        for number in 0..most {
            retained.replace(&topic(number), value(LARGE)).unwrap();
        }
        let full = [most, MOST_RETAINED_BYTES];
        assert_eq!(retained.sizes(), full);
        let refused = |retained: &mut Retained, number, bytes| retained.replace(&topic(number), value(bytes));
        assert_eq!(
            refused(&mut retained, 0, LARGE + 1),
            Err(TopicRefusal::NoRoom.into())
        );
        assert_eq!(refused(&mut retained, most, 1), Err(TopicRefusal::NoRoom.into()));
        assert_eq!(retained.sizes(), full);
        retained.replace(&topic(0), value(10)).unwrap();
        retained.replace(&topic(most), value(1)).unwrap();
        retained.replace(&topic(most + 1), None).unwrap();
        assert_eq!(retained.sizes(), [most + 1, MOST_RETAINED_BYTES - LARGE + 11]);
    }
}
