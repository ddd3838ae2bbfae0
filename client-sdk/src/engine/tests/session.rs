//! The manager's side of a session: positions, and the lines that it keeps for a client that is away.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use labwire_device::Resumed;
use labwire_wire::{Line, confirmed};
use serde_json::Value;

use super::super::machine::Wish;
use super::super::session::Arrival;
use super::manager::Manager;
use super::world::{World, about};

/// A session as the manager sees it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) grace: Duration,
    /// The end of the frames that the manager has taken.
    taken: u64,
    /// The lines that the client has not confirmed, each with the position of its end.
    lines: VecDeque<(u64, String)>,
    /// The end of the last line.
    end: u64,
    /// The end of the last line that has reached the client.
    delivered: u64,
    /// The uids of the frames that a break has lost.
    lost: HashSet<u64>,
}

impl Place {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            taken: 0,
            lines: VecDeque::new(),
            end: 0,
            delivered: 0,
            lost: HashSet::new(),
        }
    }

    /// Returns whether a line is on its way to the client.
    pub(super) fn is_idle(&self) -> bool {
        self.delivered == self.end
    }

    fn confirm(&mut self, position: u64) {
        assert!(
            position <= self.delivered,
            "it is confirmed before it has arrived"
        );
        self.lines.retain(|(end, _)| *end > position);
    }

    /// Returns the next line for the client.
    fn deliver(&mut self) -> Option<String> {
        let next = self.lines.iter().find(|(end, _)| *end > self.delivered);
        let (end, line) = next.cloned()?;
        self.delivered = end;
        Some(line)
    }

    /// Drops the oldest lines that have not reached the client, as a manager does that cannot keep
    /// more.
    fn drop_lines(&mut self, count: usize) -> u64 {
        let before = self.delivered;
        for _ in 0..count {
            self.deliver();
        }
        self.delivered - before
    }
}

impl<M: Manager> World<M> {
    /// Takes the next frame on its way to the manager.
    pub(super) fn take_frame(&mut self) -> bool {
        let Some(frame) = self.frames.pop_front() else {
            return false;
        };
        if let Some(place) = &mut self.place {
            place.taken += frame.len() as u64;
        }
        match confirmed(frame.trim_ascii_end()) {
            Some(position) => self.place.as_mut().unwrap().confirm(position),
            None => self.model.take(&frame, &mut self.rng),
        }
        true
    }

    /// Moves what the manager says onto its way.
    pub(super) fn collect(&mut self) {
        if let Some(place) = &mut self.place {
            while let Some(line) = self.model.next_line() {
                place.end += line.len() as u64 + 2;
                place.lines.push_back((place.end, line));
            }
        }
    }

    /// Delivers the next line. Returns `false` if there is none.
    pub(super) fn deliver(&mut self) -> bool {
        self.collect();
        let line = match &mut self.place {
            Some(place) => place.deliver(),
            None => self.model.next_line(),
        };
        let Some(line) = line else {
            return false;
        };
        self.engine.handle_line(Line::new(line.into()), self.now);
        if let Some(place) = &self.place {
            self.engine.handle_received(place.delivered, self.now);
        }
        true
    }

    /// Breaks the connection of a client whose session is kept.
    pub(super) fn break_off(&mut self) {
        let place = self.place.as_mut().unwrap();
        for frame in self.frames.drain(..) {
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            let uid: Option<u64> = frame["uid"].as_str().and_then(|uid| uid.parse().ok());
            place.lost.extend(uid.filter(|uid| *uid != 0));
        }
        self.engine.disconnected("the connection was cut", true, self.now);
    }

    /// Lets the client arrive again, with its session if that still exists.
    pub(super) fn arrive(&mut self, is_kept: bool) {
        if self.engine.wish() != Wish::Reconnect {
            return;
        }
        if !self.engine.keeps_session() || !is_kept {
            self.model.connect();
            if self.engine.keeps_session() && self.engine.config.backoff.is_none() {
                return self.engine.cannot_return("there is none");
            }
            let grace = self.place.as_ref().map(|place| place.grace);
            self.place = grace.map(Place::new);
            let arrival = Arrival {
                grace,
                ..Arrival::default()
            };
            return self.engine.connected(about(), &arrival);
        }
        self.collect();
        let loses = !self.is_settling && self.rng.u8(0..3) == 0;
        let count = if loses { self.rng.usize(0..4) } else { 0 };
        let held = self.model.held();
        let place = self.place.as_mut().unwrap();
        let lost = place.drop_lines(count);
        let lists = self.rng.u8(0..4) > 0;
        let resumed = Resumed {
            received: place.taken,
            lost,
            in_flight: (lost > 0 && lists)
                .then(|| held.into_iter().map(|uid| format!("\"{uid}\"")).collect()),
        };
        for uid in place.lost.drain() {
            self.written.remove(&uid);
        }
        self.returns += 1;
        let arrival = Arrival {
            grace: Some(place.grace),
            resumed: Some(resumed),
            ..Arrival::default()
        };
        self.engine.connected(about(), &arrival);
    }
}
