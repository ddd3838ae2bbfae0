//! What waits to be written to one peer: a queue that is bounded in bytes.
//!
//! Producers never wait inside the queue. One that finds it full keeps its frame, waits for room with
//! [`Outbox::room`] and routes the frame anew; what held meanwhile (a link, a service) is checked again.
//!
//! A reader is cut when frames were refused for its sake and it has read nothing for the stall time, or when
//! one producer has waited for it longer than the patience: a peer that sips costs the others no more than one
//! that does not drink.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use labwire_wire::frames;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

mod queue;
#[cfg(test)]
mod tests;

pub(crate) use queue::{Batch, COPIED_BYTES, Deferred, FrameWriter};

use queue::Queue;

/// Up to how many queued bytes a reader keeps up with what comes, so that it gains something by having a frame's
/// beginning before its end.
const KEEPS_UP_BYTES: usize = 1024 * 1024;

/// The queue is full; the frame was not taken.
#[derive(Debug)]
pub(crate) struct Full;

/// The frames that wait to be written to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Tells the writer that there is something to write, or that the queue was closed.
    filled: Notify,
    /// Tells producers that there is room again, or that there never will be.
    drained: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// While a frame goes on that is still arriving: what comes behind it.
    behind: Option<Behind>,
    /// Bytes that were queued and not yet written, those behind and in the writer's hands included.
    queued: usize,
    /// How many producers wait for room.
    held: usize,
    /// Since when frames are refused without the reader having read anything.
    refused_since: Option<Instant>,
    /// When there was last nothing to read, though frames waited behind one that was still arriving.
    idle_at: Option<Instant>,
    /// Whether a producer has waited for longer than it need.
    overdue: bool,
    closed: bool,
}

/// What waits for the end of a frame that is still arriving.
#[derive(Debug, Default)]
struct Behind {
    queue: Queue,
    bytes: usize,
    /// Since when there is no room for more.
    full_since: Option<Instant>,
}

/// What a frame that is still arriving keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptWaiting {
    /// Whether there are frames behind it.
    pub(crate) frames: bool,
    /// Since when those who have more find no room.
    pub(crate) producers_since: Option<Instant>,
}

impl State {
    fn has_room(&self, length: usize, limit: usize) -> bool {
        self.closed || self.queued == 0 || self.queued.saturating_add(length) <= limit
    }

    /// The same, for a producer: being refused starts the reader's clock.
    fn admits(&mut self, length: usize, limit: usize) -> bool {
        let admitted = self.has_room(length, limit);
        if !admitted && self.refused_since.is_none() && self.reader_owes() {
            self.refused_since = Some(Instant::now());
        }
        if let Some(behind) = &mut self.behind {
            match behind.full_since {
                None if !admitted => behind.full_since = Some(Instant::now()),
                Some(_) if admitted => behind.full_since = None,
                _ => {}
            }
        }
        admitted
    }

    /// Notes that the reader has had nothing to read until now.
    fn note_idle(&mut self) {
        if !self.reader_owes() {
            self.idle_at = Some(Instant::now());
        }
    }

    /// Takes what waits for the end of the frame that is arriving, if there is one.
    fn take_behind(&mut self) -> Option<Behind> {
        if self.behind.is_some() {
            self.note_idle();
        }
        self.behind.take()
    }

    /// Whether there is something that the reader could read.
    fn reader_owes(&self) -> bool {
        let behind = self.behind.as_ref().map_or(0, |behind| behind.bytes);
        self.queued > behind
    }
}

impl Outbox {
    /// A queue that takes up to `limit` bytes, and one larger frame when it is empty.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            limit,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so a poisoned queue is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the frame that `write` puts together, of `length` bytes at most.
    ///
    /// A queue that is closed takes the frame and forgets it: its peer is gone.
    pub(crate) fn push(&self, length: usize, write: impl FnOnce(&mut FrameWriter<'_>)) -> Result<(), Full> {
        let mut state = self.state();
        if !state.admits(length, self.limit) {
            return Err(Full);
        }
        self.append(&mut state, write);
        Ok(())
    }

    /// Queues a frame even when the queue is full: for the manager's own words to a peer, whose number is
    /// bounded by what the peer itself asked for, and for a frame whose room was seen with
    /// [`has_room`](Self::has_room) just before.
    pub(crate) fn push_always(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        self.append(&mut self.state(), write);
    }

    /// As [`push_always`](Self::push_always), for frames that are put together when the writer comes to them. They count
    /// as queued bytes from then on.
    pub(crate) fn push_deferred(&self, frames: Box<dyn Deferred>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Some(behind) = &mut state.behind {
            return behind.queue.defer(frames);
        }
        state.queue.defer(frames);
        self.filled.notify_one();
    }

    fn append(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if state.closed {
            return;
        }
        if let Some(behind) = &mut state.behind {
            let written = behind.queue.write(write);
            behind.bytes += written;
            state.queued += written;
            return;
        }
        self.append_in_front(state, write);
    }

    fn append_in_front(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let was_empty = state.queue.is_empty();
        state.queued += state.queue.write(write);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Begins a frame that is still arriving, unless there is one already, or so much is queued that it would gain
    /// nothing. What others queue from here on comes behind it, until [`end_arriving`](Self::end_arriving).
    pub(crate) fn begin_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) -> bool {
        let mut state = self.state();
        if state.closed || state.behind.is_some() || state.queued > KEEPS_UP_BYTES {
            return false;
        }
        self.append_in_front(&mut state, write);
        state.behind = Some(Behind::default());
        true
    }

    /// Goes on with the frame that is arriving, unless it was broken off when the queue was closed. It takes as much room
    /// as it needs, as one that is taken whole when the queue is empty does: who sends it has others to serve, and does
    /// not wait for this reader.
    pub(crate) fn go_on_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let mut state = self.state();
        if state.behind.is_some() {
            state.note_idle();
            self.append_in_front(&mut state, write);
        }
    }

    /// Ends the frame that is arriving.
    pub(crate) fn end_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        self.end_arriving_in(&mut self.state(), write);
    }

    fn end_arriving_in(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if let Some(behind) = state.take_behind() {
            self.append_in_front(state, write);
            state.queue.append(behind.queue);
        }
    }

    /// What the frame that is arriving keeps waiting.
    pub(crate) fn kept_waiting(&self) -> KeptWaiting {
        let state = self.state();
        let behind = state.behind.as_ref();
        KeptWaiting {
            frames: behind.is_some_and(|behind| !behind.queue.is_empty()),
            producers_since: behind.and_then(|behind| behind.full_since),
        }
    }

    /// Whether a frame of `length` bytes would be taken now. A queue that would refuse it counts that as a
    /// refusal.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        self.state().admits(length, self.limit)
    }

    /// Waits until a frame of `length` bytes would be taken, the queue is closed, or the patience is over,
    /// which cuts the reader. Cancel safe.
    pub(crate) async fn room(&self, length: usize, patience: Duration) {
        let held = Held::new(self);
        let room = async {
            loop {
                let drained = self.drained.notified();
                tokio::pin!(drained);
                // From here on no notification is missed, so the state may be looked at.
                drained.as_mut().enable();
                if held.outbox.state().has_room(length, self.limit) {
                    return;
                }
                drained.await;
            }
        };
        if timeout(patience, room).await.is_err() {
            let mut state = self.state();
            let owed_all_the_time =
                state.reader_owes() && state.idle_at.is_none_or(|at| at.elapsed() >= patience);
            state.overdue |= owed_all_the_time;
        }
    }

    /// Waits until there is something to write and takes all of it; `None` once the queue is closed and
    /// empty. Cancel safe.
    pub(crate) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state();
                if let Some((batch, deferred)) = state.queue.take() {
                    state.queued += deferred;
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Tells the queue that the writer has handed `count` bytes on.
    pub(crate) fn written(&self, count: usize) {
        let mut state = self.state();
        state.queued = state.queued.saturating_sub(count);
        state.refused_since = None;
        if state.held > 0 {
            drop(state);
            self.drained.notify_waiters();
        }
    }

    /// Whether a producer has waited for the reader for longer than its patience.
    pub(crate) fn is_overdue(&self) -> bool {
        self.state().overdue
    }

    /// Whether the reader is to be cut for the sake of those who wait for it.
    pub(crate) fn is_stalled(&self, stall: Duration) -> bool {
        let state = self.state();
        state.overdue || state.refused_since.is_some_and(|since| since.elapsed() >= stall)
    }

    /// Takes no more frames. What is queued can still be written; a frame that is still arriving is broken off.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        self.end_arriving_in(&mut state, |frame| frame.copied(frames::BROKEN_OFF));
        state.closed = true;
        drop(state);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }
}

/// One producer's place among those that wait, given up however its wait ends.
struct Held<'a> {
    outbox: &'a Outbox,
}

impl<'a> Held<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        outbox.state().held += 1;
        Self { outbox }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.outbox.state().held -= 1;
    }
}
