//! Room in a queue: within its own limit, and within the budget of all queues.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{Outbox, State, Waiters};
use crate::budget::{Pressing, QUEUED_STEP, Waiting};

impl State {
    /// Returns the bytes that are queued or granted.
    #[inline]
    fn taken(&self) -> usize {
        self.queued + self.producers.reserved()
    }

    /// Returns whether a frame of `length` bytes is within the limit of the queue. An empty queue
    /// takes one frame of any size.
    #[inline]
    fn is_within(&self, length: usize, limit: usize) -> bool {
        let taken = self.taken();
        taken == 0 || taken.saturating_add(length) <= limit
    }
}

impl Outbox {
    /// Returns whether a frame of `length` bytes fits beside what is queued and granted.
    #[inline]
    pub(super) fn fits(&self, state: &State, length: usize, limit: usize) -> bool {
        state.closed
            || (state.is_within(length, limit) && self.is_admitted(state, length) && !state.is_away())
    }

    /// Returns whether it is within the budget of all queues.
    #[inline]
    pub(super) fn is_admitted(&self, state: &State, length: usize) -> bool {
        self.budget.admits(state.counted, state.taken(), length)
    }

    /// Grants room to waiting producers in their order, as far as there is room.
    pub(super) fn grant(&self, state: &mut State) {
        let mut waits = false;
        while let Some((length, limit)) = state.producers.first() {
            if !self.fits(state, length, limit) {
                waits = state.is_within(length, limit) && !state.is_away();
                break;
            }
            state.producers.grant_first();
            self.count(state);
        }
        match state.ticket {
            None if waits => {
                state.ticket = Some(self.budget.enter(Weak::clone(&self.own) as _, state.counted));
            }
            Some(ticket) if !waits => {
                state.ticket = None;
                self.budget.leave(ticket);
            }
            _ => {}
        }
        state.note_waiting();
        self.count(state);
    }

    /// Updates the count in the budget, once it has changed by a [`QUEUED_STEP`].
    #[inline]
    pub(super) fn count(&self, state: &mut State) {
        let mut bytes = (state.taken() + state.written_in_part) / QUEUED_STEP * QUEUED_STEP;
        if state.is_away() {
            state.count_kept();
            bytes = 0;
        }
        if bytes != state.counted {
            self.budget
                .change(std::mem::replace(&mut state.counted, bytes), bytes);
        }
    }

    /// Returns who waits for the reader, if there is something that it could read.
    pub(super) fn keeps_waiting(&self, state: &State, clock: impl FnOnce() -> Instant) -> Waiters {
        // A producer that waits for room in the budget does not wait for this reader.
        if !state.reader_owes() || state.is_away() {
            Waiters::Nobody
        } else if state.producers.wait() && state.ticket.is_none() {
            Waiters::Producers
        } else if state.closed || state.is_over || self.budget.presses(state.counted, clock) {
            Waiters::Memory
        } else {
            Waiters::Nobody
        }
    }

    /// Returns whether there is no room for the next part of a frame that is arriving.
    pub(crate) fn holds_back(&self, length: usize) -> bool {
        let state = self.state();
        !state.closed && !state.is_away() && !self.is_admitted(&state, length)
    }

    /// Presses readers that have more than their share, as long as the returned guard lives.
    pub(crate) fn press_others(&self) -> Pressing {
        self.budget.press(self.state().counted)
    }
}

impl Waiting for Outbox {
    fn take_waiting(&self) {
        self.grant(&mut self.state());
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let state = self
            .state
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ticket) = state.ticket {
            self.budget.leave(ticket);
        }
        if state.counted > 0 {
            self.budget.change(state.counted, 0);
            let budget = Arc::clone(&self.budget);
            budget.serve_waiting();
        }
    }
}
