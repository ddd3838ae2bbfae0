//! What waits for one peer, in the plainest words: a number of bytes, and a list of those that wait for room.

use super::state::Key;

/// How many times its limit a queue takes when the rest is replies.
const OWED: usize = 4;

/// A place in line for room in a queue.
#[derive(Debug)]
struct Place {
    producer: Key,
    length: usize,
    is_owed: bool,
    is_granted: bool,
    /// Whether it was taken, or kept, for the line that is being routed.
    is_fresh: bool,
}

/// A queue of one peer.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many bytes it takes.
    limit: usize,
    /// How many bytes its peer was told and has not read.
    pub(super) unread: usize,
    /// First come, first served.
    line: Vec<Place>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            unread: 0,
            line: Vec::new(),
        }
    }

    /// Whether its peer is told nothing more until it reads.
    pub(super) fn is_full(&self) -> bool {
        self.unread >= self.limit.max(1)
    }

    fn fits(&self, length: usize, is_owed: bool) -> bool {
        let reserved = self.line.iter().filter(|place| place.is_granted);
        let taken = self.unread + reserved.map(|place| place.length).sum::<usize>();
        let limit = if is_owed { OWED * self.limit } else { self.limit };
        taken == 0 || taken + length <= limit
    }

    /// Whether a frame is taken now: with what its producer was granted, or as there is room and nobody waits who was
    /// there before. Requests wait for everyone, replies for other replies only.
    pub(super) fn takes(&mut self, producer: Key, length: usize, is_owed: bool) -> bool {
        let waits = |place: &Place| !place.is_granted && (!is_owed || place.is_owed);
        if !self.line.iter().any(waits) && self.fits(length, is_owed) {
            return true;
        }
        self.use_grant(producer)
    }

    /// Takes the place of a producer out of the line, if it was granted its room.
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

    /// A producer waits from here on.
    pub(super) fn enter(&mut self, producer: Key, length: usize, is_owed: bool) {
        self.line.push(Place {
            producer,
            length,
            is_owed,
            is_granted: false,
            is_fresh: true,
        });
        self.grant();
    }

    /// Whether somebody waits for room.
    pub(super) fn has_line(&self) -> bool {
        self.line.iter().any(|place| !place.is_granted)
    }

    /// Grants room to those in line, one after the other, up to the first for whom there is none.
    pub(super) fn grant(&mut self) {
        while let Some(next) = self.line.iter().position(|place| !place.is_granted) {
            let Place { length, is_owed, .. } = self.line[next];
            if !self.fits(length, is_owed) {
                return;
            }
            self.line[next].is_granted = true;
        }
    }

    /// Whether a producer has a place in line, and whether it was granted its room.
    pub(super) fn place_of(&self, producer: Key) -> Option<bool> {
        let mut places = self.line.iter().filter(|place| place.producer == producer);
        places.next().map(|place| place.is_granted)
    }

    /// A producer goes on waiting.
    pub(super) fn keep(&mut self, producer: Key) {
        for place in &mut self.line {
            place.is_fresh |= place.producer == producer;
        }
    }

    /// A producer's line was routed: the places that it had for it before are given up.
    pub(super) fn give_up_old(&mut self, producer: Key) {
        self.line
            .retain(|place| place.producer != producer || place.is_fresh);
        for place in &mut self.line {
            place.is_fresh = false;
        }
        self.grant();
    }
}
