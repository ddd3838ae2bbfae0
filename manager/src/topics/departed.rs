//! The retained values of senders that have left, and which of them makes room first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;
use labwire_wire::Topic;

use super::retained::Share;
use crate::registry::PeerId;

/// The senders that have left and of which values are retained.
#[derive(Debug, Default)]
pub(super) struct Departed {
    senders: HashMap<PeerId, Sender>,
    /// The senders by how much is retained of them; the same for those with as much, the last to
    /// connect first.
    by_weight: BTreeSet<(usize, Reverse<PeerId>)>,
    all: Share,
}

#[derive(Debug)]
struct Sender {
    has: Share,
    /// The numbers and the topics of its values when it left, the oldest first. Some may be replaced
    /// or removed.
    values: VecDeque<(u64, Topic)>,
}

impl Departed {
    /// Adds a sender that has left. `values` are the numbers and topics of its values, in any order.
    pub(super) fn add(&mut self, sender: PeerId, has: Share, mut values: Vec<(u64, Topic)>) {
        if values.is_empty() {
            return;
        }
        values.sort_unstable();
        self.all.values += has.values;
        self.all.bytes += has.bytes;
        self.by_weight.insert((has.weight(), Reverse(sender)));
        let values = values.into();
        self.senders.insert(sender, Sender { has, values });
    }

    /// Returns whether a sender is one of them.
    pub(super) fn contains(&self, sender: PeerId) -> bool {
        self.senders.contains_key(&sender)
    }

    /// Notes that a value of a sender is not retained any more.
    pub(super) fn remove(&mut self, sender: PeerId, bytes: usize) {
        let Some(own) = self.senders.get_mut(&sender) else {
            return;
        };
        self.by_weight.remove(&(own.has.weight(), Reverse(sender)));
        for has in [&mut own.has, &mut self.all] {
            has.values -= 1;
            has.bytes -= bytes;
        }
        if own.has.values == 0 {
            self.senders.remove(&sender);
        } else {
            self.by_weight.insert((own.has.weight(), Reverse(sender)));
        }
    }

    /// Takes the next value that makes room off the list: the oldest of the sender with the most. It may
    /// be replaced or removed already. Returns its sender, number and topic.
    pub(super) fn next(&mut self) -> Option<(PeerId, u64, Topic)> {
        let (_, Reverse(sender)) = *self.by_weight.last()?;
        let (number, topic) = self.senders.get_mut(&sender)?.values.pop_front()?;
        Some((sender, number, topic))
    }

    /// Returns the number of all values, and of the bytes that count for them.
    pub(super) fn all(&self) -> Share {
        self.all
    }
}
