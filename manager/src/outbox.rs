//! The queue of the frames for one peer, bounded in bytes.
//!
//! A producer that finds the queue full keeps its frame and takes a place in line
//! ([`Outbox::wait_for_room`]). Room is granted first come, first served, whatever the size of the
//! frame: small frames do not overtake a large one. With the granted [`Permit`] the producer routes
//! its frame anew, since a link or a service may be gone by then.
//!
//! A reply is owed to its client and its service has other clients, so it may exceed the limit, up
//! to [`OWED`] times: see [`Outbox::push_owed`].
//!
//! Beside the limit of each queue there is a budget of all queues: see [`QueueBudget`]. A frame
//! that finds no room there waits as for room in the queue.
//!
//! The writer judges whether a reader is too slow, from the bytes that it takes while others wait:
//! see [`Outbox::written`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

mod broken_off;
mod kept;
mod producers;
mod queue;
mod room;
#[cfg(test)]
mod tests;

pub(crate) use kept::{Asked, FIRST_PACE, NeverSent, Resumption, SessionBudget, Watch};
pub(crate) use producers::Permit;
pub(crate) use queue::{Batch, COPIED_BYTES, Deferred, FrameWriter};

use crate::budget::QueueBudget;

use kept::Kept;
use producers::{Producers, Recall};
use queue::Queue;

/// Composes frames for a peer that has no queue yet. Returns `None` if `write` writes nothing.
pub(crate) fn batch_of(write: impl FnOnce(&mut FrameWriter<'_>)) -> Option<Batch> {
    let mut queue = Queue::default();
    queue.write(write);
    queue.take().map(|(batch, _)| batch)
}

/// The same as text: for tests.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn text_of(write: impl FnOnce(&mut FrameWriter<'_>)) -> String {
    let batch = batch_of(write);
    let segments = batch.iter().flat_map(Batch::segments);
    let bytes = segments.flat_map(|segment| segment.iter().copied()).collect();
    String::from_utf8(bytes).expect("JSON text is text")
}

/// The most queued bytes with which a reader keeps up, so that it gains something by receiving the
/// beginning of a frame before its end.
const KEEPS_UP_BYTES: usize = 1024 * 1024;

/// The part of its limit, as a divisor, up to which a queue takes events of the manager.
const FOR_EVENTS: usize = 4;

/// How many times the limit may be queued if the excess is replies. A client that asks for more
/// than it reads delays its own replies before those of the service's other clients.
const OWED: usize = 4;

/// The queue is full, and the frame was not taken.
#[derive(Debug)]
pub(crate) struct Full;

/// Who waits for the reader of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiters {
    Nobody,
    /// Peers whose memory it uses beyond its limit or its share; once the queue is closed, the end
    /// of its connection.
    Memory,
    /// Producers that have frames for it.
    Producers,
}

/// The queue of the frames for one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Notifies the writer of something to write, or of the closed queue.
    filled: Notify,
    /// Notifies waiters in [`Outbox::next_write`] of a write.
    wrote: Notify,
    limit: usize,
    /// Whether its peer has the feature `binary`.
    takes_buffers: bool,
    /// The budget of all queues.
    budget: Arc<QueueBudget>,
    own: Weak<Self>,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// The frames after the one that is still arriving, while there is one.
    behind: Option<Behind>,
    /// Bytes that are queued and not yet written, including those of `behind` and of the writer's
    /// batch.
    queued: usize,
    /// Whether replies exceeded the limit while others were queued.
    is_over: bool,
    /// The producers that wait for room.
    producers: Producers,
    /// The bytes written of a piece whose memory is freed only when all of it is written.
    written_in_part: usize,
    /// The bytes counted towards the budget of all queues.
    counted: usize,
    /// Set while the first waiting producer finds no room in that budget.
    ticket: Option<u64>,
    closed: bool,
    /// What is kept for a peer with a session.
    kept: Option<Box<Kept>>,
}

/// Frames that wait for the end of one that is still arriving.
#[derive(Debug, Default)]
struct Behind {
    queue: Queue,
    bytes: usize,
    /// The number of bytes of the buffers of the arriving frame that are still to come.
    missing: usize,
}

/// The frames and producers that a frame that is still arriving holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptWaiting {
    /// Whether there are frames behind it.
    pub(crate) frames: bool,
    /// Whether producers wait for room.
    pub(crate) producers: bool,
}

impl State {
    /// Returns whether there is something that the reader could read.
    fn reader_owes(&self) -> bool {
        self.queued_in_front() > 0
    }

    fn queued_in_front(&self) -> usize {
        let behind = self.behind.as_ref().map_or(0, |behind| behind.bytes);
        self.queued.saturating_sub(behind)
    }
}

impl Outbox {
    /// As [`of_peer`](Self::of_peer), for a peer without the feature `binary`.
    #[cfg(test)]
    pub(crate) fn new(limit: usize, budget: &Arc<QueueBudget>) -> Arc<Self> {
        Self::of_peer(limit, budget, false)
    }

    /// Creates a queue of `limit` bytes within the budget of all queues. It takes one larger frame
    /// when it is empty. `takes_buffers` is whether the peer has the feature `binary`.
    pub(crate) fn of_peer(limit: usize, budget: &Arc<QueueBudget>, takes_buffers: bool) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            state: Mutex::default(),
            filled: Notify::new(),
            wrote: Notify::new(),
            limit,
            takes_buffers,
            budget: Arc::clone(budget),
            own: Weak::clone(own),
        })
    }

    /// As [`new`](Self::new), with a budget of its own that is never used up.
    #[cfg(test)]
    pub(crate) fn alone(limit: usize) -> Arc<Self> {
        Self::new(limit, &QueueBudget::new(usize::MAX, std::time::Duration::MAX))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock, so the state of a poisoned queue is
        // consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the frame that `write` composes, of at most `length` bytes. Fails if there is no
    /// room, or if others wait for room.
    ///
    /// A closed queue discards the frame, since its peer is gone. One of a peer that is away takes it
    /// if it can be kept, or else discards it: it never holds anyone up.
    pub(crate) fn push(&self, length: usize, write: impl FnOnce(&mut FrameWriter<'_>)) -> Result<(), Full> {
        let mut state = self.state();
        if state.producers.wait() || !self.fits(&state, length, self.limit) {
            if state.is_away() {
                self.keep(&mut state, length, write);
                drop(state);
                self.relieve_sessions();
                return Ok(());
            }
            return Err(Full);
        }
        self.append(&mut state, write);
        Ok(())
    }

    /// As [`push`](Self::push), for a reply to a request in flight. It is taken up to [`OWED`]
    /// times the limit, so that a client that does not read its replies does not hold up the
    /// service and its other clients. The client's own requests wait from the limit on, so it
    /// cannot ask for more meanwhile.
    pub(crate) fn push_owed(
        &self,
        length: usize,
        write: impl FnOnce(&mut FrameWriter<'_>),
    ) -> Result<(), Full> {
        let mut state = self.state();
        let limit = self.owed_limit();
        if state.producers.waits_with(limit) || !self.fits(&state, length, limit) {
            if state.is_away() {
                self.keep(&mut state, length, write);
                drop(state);
                self.relieve_sessions();
                return Ok(());
            }
            return Err(Full);
        }
        let was_empty = state.queued == 0;
        self.append(&mut state, write);
        state.is_over |= !was_empty && state.queued > self.limit;
        Ok(())
    }

    fn owed_limit(&self) -> usize {
        self.limit.saturating_mul(OWED)
    }

    /// Takes a place in line for a frame of `length` bytes.
    pub(crate) fn wait_for_room(self: &Arc<Self>, length: usize) -> Permit {
        self.wait_in_line(length, self.limit, Recall::Never)
    }

    /// As [`wait_for_room`](Self::wait_for_room), for a frame that goes to all who receive such. The
    /// producer looks again when the peer receives less: see [`recall`](Self::recall).
    pub(crate) fn wait_as_receiver(self: &Arc<Self>, length: usize) -> Permit {
        self.wait_in_line(length, self.limit, Recall::WhenLess)
    }

    /// Lets the producers look again that wait with notifications or values, since the peer has ended a
    /// link or a subscription.
    pub(crate) fn recall(&self) {
        self.state().producers.recall();
    }

    /// Takes a place in line for a reply of `length` bytes.
    pub(crate) fn wait_for_owed_room(self: &Arc<Self>, length: usize) -> Permit {
        self.wait_in_line(length, self.owed_limit(), Recall::Never)
    }

    fn wait_in_line(self: &Arc<Self>, length: usize, limit: usize, recall: Recall) -> Permit {
        let mut state = self.state();
        let number = state.producers.enter(length, limit, recall);
        // A frame that was refused because others waited may fit by now.
        self.grant(&mut state);
        state.note_waiting();
        drop(state);
        Permit::new(Arc::clone(self), number)
    }

    /// Queues a frame even if the queue is full. For the manager's own frames to a peer, whose
    /// number is bounded by what the peer itself asked for.
    pub(crate) fn push_always(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        self.append(&mut self.state(), write);
    }

    /// As [`push_always`](Self::push_always), for frames that are composed when the writer reaches
    /// them. `bytes` is their length, which counts as queued from now on.
    pub(crate) fn push_deferred(&self, bytes: usize, frames: Box<dyn Deferred>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.queued += bytes;
        if let Some(behind) = &mut state.behind {
            behind.bytes += bytes;
            behind.queue.defer(bytes, frames);
        } else {
            state.queue.defer(bytes, frames);
            self.filled.notify_one();
        }
        self.count(&mut state);
    }

    fn append(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if state.closed {
            return;
        }
        if let Some(behind) = &mut state.behind {
            let written = behind.queue.write(write);
            behind.bytes += written;
            state.queued += written;
            return self.count(state);
        }
        if state.holds() {
            return self.hold(state, write);
        }
        self.append_in_front(state, write);
    }

    fn append_in_front(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let was_empty = state.queue.is_empty();
        state.queued += state.queue.write(write);
        if was_empty {
            self.filled.notify_one();
        }
        self.count(state);
    }

    /// Begins a frame that is still arriving. Frames of others queue behind it until
    /// [`end_arriving`](Self::end_arriving). Returns `false` if there is one already, or if so much
    /// is queued that it would gain nothing.
    pub(crate) fn begin_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) -> bool {
        self.begin_arriving_with(0, write)
    }

    /// As [`begin_arriving`](Self::begin_arriving), for a frame whose line is complete and of whose
    /// buffers `missing` bytes are still to come.
    pub(crate) fn begin_arriving_with(
        &self,
        missing: usize,
        write: impl FnOnce(&mut FrameWriter<'_>),
    ) -> bool {
        let mut state = self.state();
        if state.closed || state.behind.is_some() || state.queued > KEEPS_UP_BYTES || state.producers.wait() {
            return false;
        }
        if state.is_away() {
            return false;
        }
        self.append_in_front(&mut state, write);
        state.behind = Some(Behind {
            missing,
            ..Behind::default()
        });
        true
    }

    /// Continues the frame that is arriving, unless it was broken off when the queue was closed. It
    /// may exceed the limit, as one frame in an empty queue may: its sender has others to serve and
    /// does not wait for this reader.
    pub(crate) fn go_on_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        self.go_on_arriving_with(0, write);
    }

    /// As [`go_on_arriving`](Self::go_on_arriving), for `count` bytes of the buffers.
    pub(crate) fn go_on_arriving_with(&self, count: usize, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let mut state = self.state();
        if let Some(behind) = &mut state.behind {
            behind.missing = behind.missing.saturating_sub(count);
            self.append_in_front(&mut state, write);
            if state.is_away() && !state.keeps(0) {
                self.break_off_arriving_in(&mut state);
            }
        }
    }

    /// Ends the frame that is arriving.
    pub(crate) fn end_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        self.end_arriving_in(&mut self.state(), write);
    }

    fn end_arriving_in(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if let Some(behind) = state.behind.take() {
            self.append_in_front(state, write);
            state.queue.append(behind.queue);
        }
    }

    /// Returns whether the frame that is arriving holds up others.
    pub(crate) fn kept_waiting(&self) -> KeptWaiting {
        let state = self.state();
        let behind = state.behind.as_ref();
        KeptWaiting {
            frames: behind.is_some_and(|behind| !behind.queue.is_empty()),
            producers: behind.is_some() && state.producers.wait(),
        }
    }

    /// Returns whether there is no room. The manager answers no further lines of a peer whose own
    /// queue is full.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        if state.is_away() {
            return !state.keeps(1);
        }
        !state.closed && (state.queued >= self.limit.max(1) || !self.is_admitted(&state, 1))
    }

    /// Returns whether so much is queued that not even short answers are added for which a service
    /// does not wait.
    pub(crate) fn is_overfull(&self) -> bool {
        let state = self.state();
        !state.closed && state.queued >= self.limit.saturating_mul(OWED)
    }

    /// Returns whether so much is queued that events of the manager are dropped. The rest of the
    /// limit is for what others send, who would have to wait.
    pub(crate) fn is_filling(&self) -> bool {
        let state = self.state();
        !state.closed && (state.queued >= (self.limit / FOR_EVENTS).max(1) || !self.is_admitted(&state, 1))
    }

    /// Returns whether everything that was queued is written, or the peer is away.
    pub(crate) fn is_written(&self) -> bool {
        let state = self.state();
        (state.queued == 0 && state.queue.is_empty()) || state.is_away()
    }

    /// Returns the number of bytes that are queued and not yet written.
    pub(crate) fn queued(&self) -> usize {
        self.state().queued
    }

    /// Returns the number of bytes that can be written now: those that are not behind a frame that is
    /// still arriving.
    pub(crate) fn queued_in_front(&self) -> usize {
        self.state().queued_in_front()
    }

    /// Waits until there is something to write and takes all of it. Returns `None` once the queue
    /// is closed and empty. Cancel safe.
    pub(crate) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state();
                if let Some((batch, uncounted)) = state.queue.take() {
                    state.queued = state.queued.saturating_add_signed(uncounted);
                    if let Some(kept) = &mut state.kept {
                        kept.take(&batch);
                    }
                    self.count(&mut state);
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Notes that the writer has written `count` bytes, which makes room for waiting producers, and
    /// `in_part` bytes of a piece that is not complete. Returns who waited for the reader until
    /// now.
    pub(crate) fn written(&self, count: usize, in_part: usize, clock: impl FnOnce() -> Instant) -> Waiters {
        let mut state = self.state();
        let awaited = self.keeps_waiting(&state, clock);
        state.queued = state.queued.saturating_sub(count);
        state.written_in_part = in_part;
        if let Some(kept) = &mut state.kept {
            kept.written(count);
        }
        if state.queued <= self.limit {
            state.is_over = false;
        }
        self.grant(&mut state);
        let has_session = state.kept.is_some();
        drop(state);
        self.wrote.notify_waiters();
        self.budget.serve_waiting();
        if has_session {
            self.relieve_sessions();
        }
        awaited
    }

    /// Returns who waits for the reader.
    pub(crate) fn awaited(&self, clock: impl FnOnce() -> Instant) -> Waiters {
        self.keeps_waiting(&self.state(), clock)
    }

    /// Resolves at the next [`written`](Self::written) after it was polled or enabled. Cancel safe.
    pub(crate) fn next_write(&self) -> Notified<'_> {
        self.wrote.notified()
    }

    /// Returns whether its peer receives frames with buffers.
    #[inline]
    pub(crate) fn takes_buffers(&self) -> bool {
        self.takes_buffers
    }

    /// Returns the features of its peer of which the peer is told that the manager has them too.
    pub(crate) fn told_features(&self) -> &'static [&'static str] {
        if self.takes_buffers { &["binary"] } else { &[] }
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Closes the queue for new frames. What is queued can still be written; a frame that is still
    /// arriving is broken off.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        self.break_off_arriving_in(&mut state);
        state.closed = true;
        state.producers.wake_all();
        drop(state);
        self.filled.notify_one();
        self.wrote.notify_waiters();
    }
}
