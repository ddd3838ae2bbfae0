//! Producers that wait for room in a queue, first come, first served.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{FrameWriter, Outbox};

/// The producers that wait for room in one queue, and those with granted room.
#[derive(Debug, Default)]
pub(super) struct Producers {
    last_number: u64,
    /// In order of their numbers.
    waiting: VecDeque<Waiting>,
    /// Numbers and lengths. A producer uses its grant in its next turn, so these are few.
    granted: Vec<(u64, usize)>,
    /// The sum of the granted lengths.
    reserved: usize,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    length: usize,
    /// The number of queued bytes to which the frame may fill the queue.
    limit: usize,
    recall: Recall,
    waker: Option<Waker>,
}

/// Whether a producer that waits must look again whether the peer is to receive its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// It need not: the frame is for this peer alone.
    Never,
    /// It must once the peer receives less than before: the frame goes to all who receive such.
    WhenLess,
    /// It must now.
    Now,
}

impl Producers {
    /// Returns whether any producer waits.
    #[inline]
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns whether any producer waits with that limit.
    #[inline]
    pub(super) fn waits_with(&self, limit: usize) -> bool {
        self.waiting.iter().any(|waiting| waiting.limit == limit)
    }

    /// Returns the bytes that are granted and not yet queued.
    #[inline]
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Adds a producer to the end of the line. Returns its number.
    pub(super) fn enter(&mut self, length: usize, limit: usize, recall: Recall) -> u64 {
        self.last_number += 1;
        self.waiting.push_back(Waiting {
            number: self.last_number,
            length,
            limit,
            recall,
            waker: None,
        });
        self.last_number
    }

    /// Returns length and limit of the first in line.
    #[inline]
    pub(super) fn first(&self) -> Option<(usize, usize)> {
        let first = self.waiting.front()?;
        Some((first.length, first.limit))
    }

    /// Grants the first in line its room.
    pub(super) fn grant_first(&mut self) {
        let Some(first) = self.waiting.pop_front() else {
            return;
        };
        self.reserved += first.length;
        self.granted.push((first.number, first.length));
        if let Some(waker) = first.waker {
            waker.wake();
        }
    }

    /// Wakes all waiting producers, because the queue is closed.
    pub(super) fn wake_all(&mut self) {
        for waiting in &mut self.waiting {
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
    }

    /// Lets those look again whose frames the peer may not receive any more. They keep their places.
    pub(super) fn recall(&mut self) {
        for waiting in &mut self.waiting {
            if waiting.recall == Recall::WhenLess {
                waiting.recall = Recall::Now;
                if let Some(waker) = waiting.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Returns whether a producer must look again.
    fn is_recalled(&self, number: u64) -> bool {
        self.waiting_at(number)
            .is_some_and(|place| self.waiting[place].recall == Recall::Now)
    }

    /// Notes that a producer has looked again and waits on.
    fn note_looked(&mut self, number: u64) {
        if let Some(place) = self.waiting_at(number)
            && self.waiting[place].recall == Recall::Now
        {
            self.waiting[place].recall = Recall::WhenLess;
        }
    }

    /// Returns the index of a waiting producer.
    fn waiting_at(&self, number: u64) -> Option<usize> {
        let place = self
            .waiting
            .binary_search_by_key(&number, |waiting| waiting.number);
        place.ok()
    }

    /// Returns the length of a producer's frame.
    fn length(&self, number: u64) -> usize {
        let granted = self.granted.iter().find(|(granted, _)| *granted == number);
        let waiting = self.waiting.iter().find(|waiting| waiting.number == number);
        let waiting = || waiting.map_or(0, |waiting| waiting.length);
        granted.map_or_else(waiting, |(_, length)| *length)
    }

    fn is_granted(&self, number: u64) -> bool {
        self.granted.iter().any(|(granted, _)| *granted == number)
    }

    /// Registers the waker of a waiting producer.
    fn note_waker(&mut self, number: u64, waker: &Waker) {
        if let Some(place) = self.waiting_at(number) {
            let noted = &mut self.waiting[place].waker;
            match noted {
                Some(noted) => noted.clone_from(waker),
                None => *noted = Some(waker.clone()),
            }
        }
    }

    /// Removes a producer, and its grant.
    fn give_up(&mut self, number: u64) {
        if let Some(place) = self.granted.iter().position(|(granted, _)| *granted == number) {
            let (_, length) = self.granted.swap_remove(place);
            self.reserved -= length;
        } else if let Some(place) = self.waiting_at(number) {
            self.waiting.remove(place);
        }
    }
}

/// A producer's place in line, then its granted room. Dropping it gives up either.
#[derive(Debug)]
pub(crate) struct Permit {
    outbox: Arc<Outbox>,
    number: u64,
}

impl Permit {
    pub(super) fn new(outbox: Arc<Outbox>, number: u64) -> Self {
        Self { outbox, number }
    }

    /// Returns the queue that it is for.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns whether the room is granted, or the queue is closed.
    pub(crate) fn is_granted(&self) -> bool {
        let state = self.outbox.state();
        state.closed || state.is_away() || state.producers.is_granted(self.number)
    }

    /// As [`is_granted`](Self::is_granted), or whether the peer may not receive the frame any more.
    /// Wakes the task once that changes.
    pub(crate) fn poll_granted(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.outbox.state();
        let producers = &state.producers;
        if state.closed
            || state.is_away()
            || producers.is_granted(self.number)
            || producers.is_recalled(self.number)
        {
            return Poll::Ready(());
        }
        state.producers.note_waker(self.number, context.waker());
        Poll::Pending
    }

    /// Notes that the peer still receives the frame.
    pub(crate) fn wait_on(&self) {
        self.outbox.state().producers.note_looked(self.number);
    }

    /// Queues the frame for which room was granted.
    pub(crate) fn push(self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let mut state = self.outbox.state();
        let length = state.producers.length(self.number);
        state.producers.give_up(self.number);
        if state.is_away() {
            self.outbox.keep(&mut state, length, write);
        } else {
            self.outbox.append(&mut state, write);
        }
        // The frame may be shorter than its granted room.
        self.outbox.grant(&mut state);
        let is_away = state.is_away();
        drop(state);
        if is_away {
            self.outbox.relieve_sessions();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.outbox.state();
        state.producers.give_up(self.number);
        self.outbox.grant(&mut state);
        drop(state);
        self.outbox.budget.serve_waiting();
    }
}
