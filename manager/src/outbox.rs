//! What waits to be written to one peer: a queue that is bounded in bytes.
//!
//! Producers never wait inside the queue. One that finds it full keeps its frame, waits for room with
//! [`Outbox::room`] and routes the frame anew; what held meanwhile (a link, a service) is checked again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use labwire_wire::Line;
use tokio::sync::Notify;

/// Pieces of up to this many bytes are copied into one run of bytes, larger ones are shared.
///
/// Copying a kilobyte costs less than counting a reference on another core and one more entry in every
/// vectored write; above that, the copy is what costs.
const COPIED_BYTES: usize = 1_024;

/// How large an empty queue's buffer may stay. A peer that is idle after a burst gives the rest back.
const KEPT_BYTES: usize = 4_096;

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
    segments: VecDeque<Bytes>,
    /// Small pieces that came after the last segment.
    tail: BytesMut,
    /// Bytes that were queued and not yet written, those in the writer's hands included.
    queued: usize,
    /// How many producers wait for room.
    held: usize,
    closed: bool,
}

impl State {
    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
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
        if state.queued > 0 && state.queued + length > self.limit {
            return if state.closed { Ok(()) } else { Err(Full) };
        }
        self.append(&mut state, write);
        Ok(())
    }

    /// Queues a frame even when the queue is full: for the manager's own words to a peer, whose number is
    /// bounded by what the peer itself asked for.
    pub(crate) fn push_always(&self, frame: &Bytes) {
        self.append(&mut self.state(), |writer| writer.shared(frame));
    }

    fn append(&self, state: &mut State, write: impl FnOnce(&mut FrameWriter<'_>)) {
        if state.closed {
            return;
        }
        let was_empty = state.segments.is_empty() && state.tail.is_empty();
        let mut writer = FrameWriter { state, written: 0 };
        write(&mut writer);
        let written = writer.written;
        state.queued += written;
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Whether a frame of `length` bytes would be taken now.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        let state = self.state();
        state.closed || state.queued == 0 || state.queued + length <= self.limit
    }

    /// Waits until the queue is at most half full, or closed. Cancel safe.
    pub(crate) async fn room(&self) {
        let held = Held::new(self);
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if held.outbox.state().closed || held.outbox.state().queued <= self.limit / 2 {
                return;
            }
            drained.await;
        }
    }

    /// Waits until there is something to write and takes all of it; `None` once the queue is closed and
    /// empty. Cancel safe.
    pub(crate) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state();
                state.seal_tail();
                if !state.segments.is_empty() {
                    return Some(Batch {
                        segments: std::mem::take(&mut state.segments),
                    });
                }
                if state.closed {
                    return None;
                }
                if state.tail.capacity() > KEPT_BYTES {
                    state.tail = BytesMut::new();
                }
            }
            self.filled.notified().await;
        }
    }

    /// Tells the queue that the writer has handed `count` bytes on.
    pub(crate) fn written(&self, count: usize) {
        let mut state = self.state();
        state.queued = state.queued.saturating_sub(count);
        if state.held > 0 && state.queued <= self.limit / 2 {
            drop(state);
            self.drained.notify_waiters();
        }
    }

    /// Whether producers wait for this queue's reader.
    pub(crate) fn holds_back(&self) -> bool {
        self.state().held > 0
    }

    /// Takes no more frames. What is queued can still be written.
    pub(crate) fn close(&self) {
        self.state().closed = true;
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

/// Puts one frame together at the end of a queue.
pub(crate) struct FrameWriter<'a> {
    state: &'a mut State,
    written: usize,
}

impl FrameWriter<'_> {
    /// Adds bytes by copying them.
    pub(crate) fn copied(&mut self, bytes: &[u8]) {
        self.state.tail.extend_from_slice(bytes);
        self.written += bytes.len();
    }

    /// Adds bytes, shared where that is cheaper than copying.
    pub(crate) fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES {
            return self.copied(bytes);
        }
        self.state.seal_tail();
        self.state.segments.push_back(bytes.clone());
        self.written += bytes.len();
    }

    /// Adds a part of a line, shared where that is cheaper than copying.
    pub(crate) fn part(&mut self, line: &Line, range: Range<usize>) {
        if range.len() <= COPIED_BYTES {
            return self.copied(&line.content()[range]);
        }
        self.shared(&line.slice(range));
    }
}

/// All that was queued at one moment.
#[derive(Debug)]
pub(crate) struct Batch {
    segments: VecDeque<Bytes>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The pieces in their order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Bytes> {
        self.segments.iter()
    }

    /// Forgets the first `count` bytes: they are written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.segments.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &Outbox, bytes: &[u8]) -> Result<(), Full> {
        outbox.push(bytes.len(), |writer| {
            writer.shared(&Bytes::copy_from_slice(bytes));
        })
    }

    async fn drain(outbox: &Outbox) -> Vec<u8> {
        let batch = outbox.next_batch().await.expect("something is queued");
        let bytes: Vec<u8> = batch.segments().flat_map(|segment| segment.to_vec()).collect();
        outbox.written(bytes.len());
        bytes
    }

    #[tokio::test]
    async fn frames_come_out_in_order_whether_copied_or_shared() {
        let outbox = Outbox::new(1 << 20);
        let large = vec![b'x'; COPIED_BYTES + 1];
        for piece in [&b"a"[..], &large, b"b", b"c"] {
            push(&outbox, piece).unwrap();
        }
        let expected = [&b"a"[..], &large, b"bc"].concat();
        assert_eq!(drain(&outbox).await, expected);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_its_reader_made_room() {
        let outbox = Outbox::new(10);
        push(&outbox, b"0123456789abcdef").expect("one larger frame is taken by an empty queue");
        assert!(push(&outbox, b"x").is_err());
        assert!(!outbox.has_room(1));

        let waiting = {
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { outbox.room().await })
        };
        while !outbox.holds_back() {
            tokio::task::yield_now().await;
        }
        drain(&outbox).await;
        waiting.await.unwrap();
        assert!(!outbox.holds_back());
        assert!(push(&outbox, b"x").is_ok());
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_frees_its_producers() {
        let outbox = Outbox::new(4);
        push(&outbox, b"last").unwrap();
        outbox.close();
        outbox.room().await;
        push(&outbox, b"lost").unwrap();
        assert_eq!(drain(&outbox).await, b"last");
        assert!(outbox.next_batch().await.is_none());
    }

    #[test]
    fn a_batch_forgets_what_was_written_across_pieces() {
        let mut batch = Batch {
            segments: [Bytes::from("abc"), Bytes::from("de")].into(),
        };
        batch.advance(4);
        assert_eq!(
            batch
                .segments()
                .map(|segment| segment.to_vec())
                .collect::<Vec<_>>(),
            [b"e"]
        );
        batch.advance(1);
        assert!(batch.is_empty());
    }
}
