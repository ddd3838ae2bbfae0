//! The model of a queue: a number of bytes, and a list of the producers that wait for room.

use super::state::Key;

/// How many times its limit a queue takes if the excess is replies.
const OWED: usize = 4;

/// A place in line for room in a queue.
#[derive(Debug)]
struct Place {
    producer: Key,
    length: usize,
    is_owed: bool,
    is_granted: bool,
    recall: Recall,
    /// Whether it was taken or kept while the current line is routed.
    is_fresh: bool,
}

/// Whether a producer that waits looks again whether the peer still receives its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recall {
    Never,
    /// Once the peer receives less than before: the frame goes to all who receive such.
    WhenLess,
    Now,
}

/// A queue of one peer.
#[derive(Debug)]
pub(super) struct Queue {
    /// The limit in bytes.
    limit: usize,
    /// The bytes that were queued and that its peer has not read.
    pub(super) unread: usize,
    /// The places in line, first come, first served.
    line: Vec<Place>,
    /// Whether its peer is away: then nobody waits for it.
    pub(super) is_away: bool,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            unread: 0,
            line: Vec::new(),
            is_away: false,
        }
    }

    /// Returns whether the queue is full.
    pub(super) fn is_full(&self) -> bool {
        self.unread >= self.limit.max(1)
    }

    fn fits(&self, length: usize, is_owed: bool) -> bool {
        let reserved = self.line.iter().filter(|place| place.is_granted);
        let taken = self.unread + reserved.map(|place| place.length).sum::<usize>();
        let limit = if is_owed { OWED * self.limit } else { self.limit };
        taken == 0 || taken + length <= limit
    }

    /// Returns whether so much is queued that a service's publication waits.
    pub(super) fn is_overfull(&self) -> bool {
        self.unread >= OWED * self.limit
    }

    /// Returns whether there is room for a frame, and no earlier producer waits.
    pub(super) fn has_room(&self, length: usize, is_owed: bool) -> bool {
        let waits = |place: &Place| !place.is_granted && (!is_owed || place.is_owed);
        !self.line.iter().any(waits) && self.fits(length, is_owed)
    }

    /// Returns whether a frame is taken now: because there is room and no earlier producer waits,
    /// or because its producer was granted room. A request waits behind all producers, a reply only
    /// behind other replies.
    pub(super) fn takes(&mut self, producer: Key, length: usize, is_owed: bool) -> bool {
        self.is_away || self.has_room(length, is_owed) || self.use_grant(producer)
    }

    /// Removes the place of a producer, if it was granted room. Returns whether it was.
    pub(super) fn use_grant(&mut self, producer: Key) -> bool {
        let granted = |place: &Place| place.producer == producer && place.is_granted;
        match self.line.iter().position(granted) {
            Some(place) => {
                self.line.remove(place);
                true
            }
            None => false,
        }
    }

    /// Adds a place at the end of the line for a producer.
    pub(super) fn enter(&mut self, producer: Key, length: usize, is_owed: bool) {
        self.line.push(Place {
            producer,
            length,
            is_owed,
            is_granted: false,
            recall: Recall::Never,
            is_fresh: true,
        });
        self.grant();
    }

    /// The same for a frame that goes to all who receive such.
    pub(super) fn enter_for_all(&mut self, producer: Key, length: usize) {
        self.enter(producer, length, false);
        if let Some(place) = self.line.last_mut() {
            place.recall = Recall::WhenLess;
        }
    }

    /// Lets the producers of such frames look again.
    pub(super) fn recall(&mut self) {
        for place in &mut self.line {
            if place.recall == Recall::WhenLess {
                place.recall = Recall::Now;
            }
        }
    }

    /// Returns whether a producer may try again; `None` if it has no place in line.
    pub(super) fn may_try(&self, producer: Key) -> Option<bool> {
        let place = self.line.iter().find(|place| place.producer == producer)?;
        Some(place.is_granted || place.recall == Recall::Now || self.is_away)
    }

    /// Returns whether a producer waits for room.
    pub(super) fn has_line(&self) -> bool {
        self.line.iter().any(|place| !place.is_granted)
    }

    /// Grants room in the order of the line, up to the first producer that does not fit.
    pub(super) fn grant(&mut self) {
        if self.is_away {
            return;
        }
        while let Some(next) = self.line.iter().position(|place| !place.is_granted) {
            let Place { length, is_owed, .. } = self.line[next];
            if !self.fits(length, is_owed) {
                return;
            }
            self.line[next].is_granted = true;
        }
    }

    /// Returns whether a producer was granted room; `None` if it has no place in line.
    pub(super) fn place_of(&self, producer: Key) -> Option<bool> {
        let mut places = self.line.iter().filter(|place| place.producer == producer);
        let is_away = self.is_away;
        places.next().map(|place| place.is_granted || is_away)
    }

    /// Keeps the places of a producer that waits on.
    pub(super) fn keep(&mut self, producer: Key) {
        for place in &mut self.line {
            if place.producer == producer {
                place.is_fresh = true;
                if place.recall == Recall::Now {
                    place.recall = Recall::WhenLess;
                }
            }
        }
    }

    /// Removes the places of a producer from before its current line was routed.
    pub(super) fn give_up_old(&mut self, producer: Key) {
        self.line
            .retain(|place| place.producer != producer || place.is_fresh);
        for place in &mut self.line {
            place.is_fresh = false;
        }
        self.grant();
    }
}
