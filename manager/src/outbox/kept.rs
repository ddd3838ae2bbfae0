//! What is kept for a peer with a session: the bytes that it has not confirmed, and while it is
//! away, all that is queued for it.
//!
//! Positions count the bytes of the queue from the first one on. Those of the wire count from the
//! end of the frame `registered`, which is the first in the queue.

mod charge;
mod framing;
mod held;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes};

use self::charge::Charge;
use self::framing::Framing;
use self::held::Held;
use super::queue::{Batch, FrameWriter, Queue};
use super::{Outbox, State};
use crate::{budget, buffers};

pub(crate) use charge::Watch;
pub(crate) use held::Asked;

/// The budget of what is kept for all peers.
pub(crate) type SessionBudget = budget::SessionBudget<Outbox>;

/// What is kept for a peer with a session.
#[derive(Debug)]
pub(super) struct Kept {
    /// The most bytes that are kept.
    limit: usize,
    budget: Arc<SessionBudget>,
    /// The bytes counted towards the budget.
    counted: usize,
    /// Its number among the users of the budget, and its queue.
    number: u64,
    own: Weak<Outbox>,
    /// The length of the frame `registered`: what the positions of the wire leave out.
    registered: u64,
    /// The bytes that the writer has taken and that the peer has not confirmed, and the position of
    /// the first one. None while the peer is away: then they are back in the queue.
    segments: VecDeque<Bytes>,
    bytes: usize,
    start: u64,
    /// The place of `start` in its frame.
    framing: Framing,
    /// The position after the last byte that the writer has taken.
    taken: u64,
    /// How many of the bytes that the writer has taken it has not written.
    unwritten: usize,
    /// The position up to which the peer has confirmed.
    confirmed: u64,
    is_away: bool,
    /// For a service: what is held while it is away.
    held: Option<Held>,
    /// How long others have waited for the peer.
    charge: Charge,
}

/// How a peer goes on after a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumption {
    /// The position from which the manager sends.
    pub(crate) from: u64,
}

/// The peer says that it has received more than was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

impl Kept {
    /// Notes what the writer takes.
    pub(super) fn take(&mut self, batch: &Batch) {
        for segment in batch.segments() {
            self.bytes += segment.len();
            self.taken += segment.len() as u64;
            self.unwritten += segment.len();
            self.segments.push_back(segment.clone());
        }
    }

    /// Notes that the writer has written `count` bytes.
    #[inline]
    pub(super) fn written(&mut self, count: usize) {
        self.unwritten = self.unwritten.saturating_sub(count);
        let (mut written, limit) = (self.written_bytes(), self.limit);
        if written > limit || !self.is_admitted(written) {
            written = self.drop_written(|written, kept| written <= limit && kept.is_admitted(written));
        }
        self.count(written);
    }

    /// Returns the number of bytes that are written and not confirmed.
    fn written_bytes(&self) -> usize {
        self.bytes.saturating_sub(self.unwritten)
    }

    /// Drops the oldest bytes that are written, until `is_enough`. Those that are not written are
    /// never dropped here: the peer cannot have received them. Returns how many are left.
    fn drop_written(&mut self, is_enough: impl Fn(usize, &Self) -> bool) -> usize {
        let mut written = self.written_bytes();
        while !is_enough(written, self)
            && let Some(oldest) = self.segments.front()
            && oldest.len() <= written
        {
            let oldest = self.segments.pop_front().unwrap_or_default();
            self.budget.count_dropped(oldest.len());
            self.forget(oldest);
            written = self.written_bytes();
        }
        written
    }

    /// Notes that the peer has received everything up to a position of the queue.
    fn note_confirmed(&mut self, position: u64) {
        self.charge
            .note_confirmed(position.saturating_sub(self.confirmed));
        self.confirmed = self.confirmed.max(position);
    }

    fn forget(&mut self, oldest: Bytes) {
        self.bytes -= oldest.len();
        self.start += oldest.len() as u64;
        self.framing.pass(&oldest);
        buffers::give_back(oldest);
    }

    /// Returns whether the budget admits that many bytes for this peer.
    fn is_admitted(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.counted);
        more == 0 || self.budget.admits(self.counted, more, self.is_pinned())
    }

    /// Returns whether nothing of what is kept can be dropped, since requests are among it.
    fn is_pinned(&self) -> bool {
        self.is_away && self.held.is_some()
    }

    fn count(&mut self, bytes: usize) {
        if bytes != self.counted {
            let before = std::mem::replace(&mut self.counted, bytes);
            let user = (self.number, &self.own);
            self.budget.change(user, before, bytes, self.is_pinned());
        }
    }

    /// Removes bytes from the front of a queue.
    fn drop_front(&mut self, queue: &mut Queue, count: usize) {
        let bytes = queue.drop_front(count, |dropped| self.framing.pass(dropped));
        self.start += bytes as u64;
    }

    /// Removes pieces from the front of a queue of `queued` bytes as long as these are too many.
    fn drop_pieces(
        &mut self,
        queue: &mut Queue,
        queued: &mut usize,
        are_too_many: impl Fn(&Self, usize) -> bool,
    ) {
        while are_too_many(self, *queued)
            && let Some(length) = queue.first_segment().map(Bytes::len)
        {
            self.drop_front(queue, length);
            *queued -= length.min(*queued);
        }
    }

    /// Removes the rest of the frame of which the beginning was removed, and counts everything that was
    /// removed since the position `before`.
    fn drop_rest(&mut self, queue: &mut Queue, queued: &mut usize, before: u64) {
        let partial = self.drop_partial_frame(queue);
        *queued -= partial.min(*queued);
        let dropped = usize::try_from(self.start - before).unwrap_or_default();
        self.budget.count_dropped(dropped);
    }

    /// Removes the rest of a frame of which the beginning was removed. Returns the number of bytes.
    fn drop_partial_frame(&mut self, queue: &mut Queue) -> usize {
        let before = self.start;
        while !self.framing.begins() {
            if let Some(first) = queue.first_segment() {
                let count = self.framing.count_in(first);
                self.drop_front(queue, count);
            } else if queue.drop_first_deferred() {
                // Within a frame, only the end of one that was broken off is deferred.
                self.framing.end_frame();
            } else {
                break;
            }
        }
        usize::try_from(self.start - before).unwrap_or_default()
    }
}

/// The bytes that a reader must take at first within the patience while others wait for it, unless
/// its queue is shorter. With the default patience of 5 s that is 210 kB/s: a slow radio link.
pub(crate) const FIRST_PACE: usize = 1024 * 1024;

impl Drop for Kept {
    fn drop(&mut self) {
        self.count(0);
        buffers::give_all_back(std::mem::take(&mut self.segments));
    }
}

impl State {
    /// Returns whether the peer is away.
    #[inline]
    pub(super) fn is_away(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_away)
    }

    /// Returns whether `length` more bytes can be kept for the peer, which is away.
    pub(super) fn keeps(&self, length: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| {
            let bytes = self.queued.saturating_add(length);
            bytes <= kept.limit && kept.is_admitted(bytes)
        })
    }

    /// Counts what is queued for a peer that is away.
    pub(super) fn count_kept(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.count(self.queued);
        }
    }

    /// Counts bytes that are not kept for a peer that is away.
    fn count_dropped(&self, length: usize) {
        if let Some(kept) = &self.kept {
            kept.budget.count_dropped(length);
        }
    }
}

impl Outbox {
    /// Queues the first frame of a peer with a session, `registered`, and keeps what follows until
    /// the peer confirms it: up to `limit` bytes, within the budget.
    pub(crate) fn begin_session(&self, registered: &Bytes, limit: usize, budget: &Arc<SessionBudget>) {
        let mut state = self.state();
        state.kept = Some(Box::new(Kept {
            limit,
            budget: Arc::clone(budget),
            counted: 0,
            number: budget.next_number(),
            own: Weak::clone(&self.own),
            registered: registered.len() as u64,
            segments: VecDeque::new(),
            bytes: 0,
            start: 0,
            framing: Framing::new(self.takes_buffers),
            taken: 0,
            unwritten: 0,
            confirmed: 0,
            is_away: false,
            held: None,
            charge: Charge::new(),
        }));
        self.append(&mut state, |frame| frame.copied(registered));
    }

    /// Notes that the peer has received everything up to a position of the wire.
    ///
    /// # Errors
    /// [`NeverSent`] if that is more than was sent.
    pub(crate) fn confirm(&self, position: u64) -> Result<(), NeverSent> {
        let mut state = self.state();
        let Some(kept) = &mut state.kept else {
            return Ok(());
        };
        let position = position.saturating_add(kept.registered);
        if position > kept.taken - kept.unwritten as u64 {
            return Err(NeverSent);
        }
        kept.note_confirmed(position);
        while let Some(first) = kept.segments.front()
            && kept.start + first.len() as u64 <= position
        {
            let first = kept.segments.pop_front().unwrap_or_default();
            kept.forget(first);
        }
        if !kept.is_away {
            kept.count(kept.written_bytes());
        }
        Ok(())
    }

    /// Prepares the queue for a peer whose connection is broken: what it may not have received is
    /// queued again, and from now on the queue never holds anyone up. Producers that wait are woken.
    pub(crate) fn go_away(&self) {
        let mut state = self.state();
        let State {
            kept: Some(kept),
            queue,
            queued,
            behind,
            ..
        } = &mut *state
        else {
            return;
        };
        if kept.is_away {
            return;
        }
        kept.charge.go_away(*queued, FIRST_PACE.min(self.limit));
        kept.count(0);
        kept.is_away = true;
        *queued = *queued - kept.unwritten.min(*queued) + kept.bytes;
        kept.taken -= kept.unwritten as u64;
        kept.unwritten = 0;
        kept.bytes = 0;
        queue.prepend(std::mem::take(&mut kept.segments));
        if behind.is_none() {
            kept.hold_unwritten(queue);
        }
        let before = kept.start;
        // For a service this was checked before: see `loses_nothing`.
        kept.drop_pieces(queue, queued, |kept, queued| {
            kept.held.is_none() && (queued > kept.limit || !kept.is_admitted(queued))
        });
        let is_cut = kept.start > before;
        if is_cut && behind.is_some() {
            // The beginning of the frame that is arriving may be lost.
            self.break_off_arriving_in(&mut state);
        }
        let State {
            kept: Some(kept),
            queue,
            queued,
            ..
        } = &mut *state
        else {
            return;
        };
        if is_cut {
            kept.drop_rest(queue, queued, before);
        }
        state.written_in_part = 0;
        state.is_over = false;
        state.producers.wake_all();
        if let Some(ticket) = state.ticket.take() {
            self.budget.leave(ticket);
        }
        self.count(&mut state);
        drop(state);
        self.wrote.notify_waiters();
        self.budget.serve_waiting();
        self.relieve_sessions();
    }

    /// Lets peers that have more than their share of the budget of sessions lose their oldest bytes,
    /// if it is exceeded. No queue may be locked.
    #[cold]
    pub(super) fn relieve_sessions(&self) {
        let budget = self.state().kept.as_ref().map(|kept| Arc::clone(&kept.budget));
        if let Some(budget) = budget {
            budget.relieve(Self::drop_kept);
        }
    }

    /// Drops the oldest bytes that are kept for the peer, until at most `share` are left.
    fn drop_kept(&self, share: usize) {
        let mut state = self.state();
        if !state.is_away() {
            if let Some(kept) = &mut state.kept {
                let written = kept.drop_written(|written, _| written <= share);
                kept.count(written);
            }
            return;
        }
        if state.behind.is_some() {
            // The beginning of the frame that is arriving may be lost.
            self.break_off_arriving_in(&mut state);
        }
        let State {
            kept: Some(kept),
            queue,
            queued,
            ..
        } = &mut *state
        else {
            return;
        };
        if kept.is_pinned() {
            return;
        }
        let before = kept.start;
        kept.drop_pieces(queue, queued, |_, queued| queued > share);
        kept.drop_rest(queue, queued, before);
        self.count(&mut state);
    }

    /// Returns whether `length` more bytes can be kept for the peer, which is away.
    pub(crate) fn keeps(&self, length: usize) -> bool {
        self.state().keeps(length)
    }

    /// Lets the peer go on, which has received everything up to a position of the wire. The next
    /// batch begins at the returned position.
    ///
    /// # Errors
    /// [`NeverSent`] if it says that it has received more than was sent. Then it stays away.
    pub(crate) fn come_back(&self, received: u64) -> Result<Resumption, NeverSent> {
        let mut state = self.state();
        if let Some(kept) = &mut state.kept
            && received.saturating_add(kept.registered) < kept.start
            && !kept.framing.begins()
            && state.behind.is_some()
        {
            // The beginning of the frame that is arriving is lost.
            self.break_off_arriving_in(&mut state);
        }
        let State {
            kept: Some(kept),
            queue,
            queued,
            ..
        } = &mut *state
        else {
            return Err(NeverSent);
        };
        let position = received.saturating_add(kept.registered);
        if position > kept.taken {
            return Err(NeverSent);
        }
        kept.note_confirmed(position);
        let before = kept.start;
        if position < kept.start {
            kept.drop_partial_frame(queue);
        } else {
            let count = usize::try_from(position - kept.start).unwrap_or(usize::MAX);
            kept.drop_front(queue, count);
        }
        *queued -= usize::try_from(kept.start - before)
            .unwrap_or_default()
            .min(*queued);
        kept.release_held(queue);
        kept.count(0);
        kept.is_away = false;
        kept.taken = kept.start;
        let from = kept.start.saturating_sub(kept.registered);
        self.grant(&mut state);
        drop(state);
        self.filled.notify_one();
        Ok(Resumption { from })
    }

    /// Appends a frame for a peer that is away, if it can be kept.
    #[cold]
    pub(super) fn keep(&self, state: &mut State, length: usize, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if state.keeps(length) {
            self.append(state, write);
        } else {
            state.count_dropped(length);
        }
    }

    /// Returns whether a frame is arriving that was not broken off.
    pub(crate) fn is_arriving(&self) -> bool {
        self.state().behind.is_some()
    }
}

impl Queue {
    /// Puts pieces before all others.
    fn prepend(&mut self, mut segments: VecDeque<Bytes>) {
        self.shift_deferred(segments.len());
        segments.append(&mut self.segments);
        self.segments = segments;
    }

    /// Returns the first piece, if no frames that are still to be composed come before it.
    fn first_segment(&mut self) -> Option<&Bytes> {
        if self.segments_before_deferred() == Some(0) {
            return None;
        }
        if self.segments.is_empty() {
            self.seal_tail();
        }
        self.segments.front()
    }

    /// Removes up to `count` bytes from the front, as far as they are composed. Calls `last` with the
    /// removed part of each piece. Returns the number of bytes.
    fn drop_front(&mut self, count: usize, mut last: impl FnMut(&[u8])) -> usize {
        let mut left = count;
        while left > 0 && self.first_segment().is_some() {
            let Some(first) = self.segments.front_mut() else {
                break;
            };
            if first.len() > left {
                last(&first[..left]);
                first.advance(left);
                left = 0;
            } else {
                left -= first.len();
                last(first);
                if let Some(first) = self.segments.pop_front() {
                    buffers::give_back(first);
                }
                self.unshift_deferred();
            }
        }
        count - left
    }
}
