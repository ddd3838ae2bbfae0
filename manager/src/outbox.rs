//! What waits to be written to one peer: a queue that is bounded in bytes.
//!
//! Producers never wait inside the queue. One that finds it full keeps its frame, waits for room with
//! [`Outbox::room`] and routes the frame anew; what held meanwhile (a link, a service) is checked again.
//!
//! A reader is cut when frames were refused for its sake and it has read nothing for the stall time, or when
//! one producer has waited for it longer than the patience: a peer that sips costs the others no more than one
//! that does not drink.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use labwire_wire::{LineView, frames};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::memory;

/// Pieces of up to this many bytes are copied into one run of bytes; larger ones are shared, if they have memory
/// of their own.
///
/// Copying a few kilobytes costs about as much as counting a reference on another core and one more entry in
/// every vectored write; above that, the copy is what costs.
pub(crate) const COPIED_BYTES: usize = 4_096;

/// From how many bytes on a run has its full length at once instead of growing there by doubling.
const SHORT_RUN_BYTES: usize = 2 * 1024;

/// How large an empty queue's buffer may stay. A peer that is idle after a burst gives the rest back.
const KEPT_BYTES: usize = 4_096;

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

/// What is to be written, in its order.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<Bytes>,
    /// Small pieces that came after the last segment.
    tail: BytesMut,
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

impl Queue {
    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.is_empty()
    }

    fn seal_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // What is left of a whole run would keep others from using its memory again.
        let sealed = if self.tail.capacity() < memory::RUN_BYTES {
            self.tail.split()
        } else {
            std::mem::take(&mut self.tail)
        };
        self.segments.push_back(sealed.freeze());
    }

    fn append(&mut self, mut other: Self) {
        self.seal_tail();
        self.segments.append(&mut other.segments);
        self.tail = other.tail;
    }
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

    /// Goes on with the frame that is arriving, unless it was broken off when the queue was closed. It takes as much room as it needs, as one that is taken whole when the
    /// queue is empty does: who sends it has others to serve, and does not wait for this reader.
    pub(crate) fn go_on_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let mut state = self.state();
        if state.behind.is_some() {
            state.note_idle();
            self.append_in_front(&mut state, write);
        }
    }

    /// Ends the frame that is arriving.
    pub(crate) fn end_arriving(&self, write: impl FnOnce(&mut FrameWriter<'_>)) {
        let mut state = self.state();
        if state.behind.is_some() {
            state.note_idle();
        }
        if let Some(behind) = state.behind.take() {
            self.append_in_front(&mut state, write);
            state.queue.append(behind.queue);
        }
    }

    /// What the frame that is arriving keeps waiting.
    pub(crate) fn kept_waiting(&self) -> KeptWaiting {
        let state = self.state();
        let behind = state.behind.as_ref();
        KeptWaiting {
            frames: behind.is_some_and(|behind| behind.bytes > 0),
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
                let queue = &mut state.queue;
                queue.seal_tail();
                if !queue.segments.is_empty() {
                    return Some(Batch {
                        segments: std::mem::take(&mut queue.segments),
                    });
                }
                if queue.tail.capacity() > KEPT_BYTES {
                    memory::give_back_mut(std::mem::take(&mut queue.tail));
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
        self.end_arriving(|frame| frame.copied(frames::BROKEN_OFF));
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

impl Queue {
    /// Adds what `write` puts together; tells how many bytes that is.
    fn write(&mut self, write: impl FnOnce(&mut FrameWriter<'_>)) -> usize {
        let mut writer = FrameWriter {
            queue: self,
            written: 0,
        };
        write(&mut writer);
        writer.written
    }
}

/// Puts one frame together at the end of a queue.
pub(crate) struct FrameWriter<'a> {
    queue: &'a mut Queue,
    written: usize,
}

impl FrameWriter<'_> {
    /// Adds bytes by copying them.
    #[inline]
    pub(crate) fn copied(&mut self, bytes: &[u8]) {
        let tail = &self.queue.tail;
        if bytes.len() > tail.capacity() - tail.len() {
            self.make_room(bytes.len());
        }
        self.queue.tail.extend_from_slice(bytes);
        self.written += bytes.len();
    }

    /// Makes room for so many bytes, for which there is none.
    #[cold]
    fn make_room(&mut self, count: usize) {
        let length = self.queue.tail.len() + count;
        if length <= SHORT_RUN_BYTES {
            // It grows by doubling.
            return;
        }
        if length > memory::RUN_BYTES {
            self.queue.seal_tail();
        }
        let tail = &mut self.queue.tail;
        if count > memory::RUN_BYTES {
            tail.reserve(count);
        } else {
            *tail = memory::run(tail);
        }
    }

    /// Adds bytes that own their memory, shared where that is cheaper than copying.
    pub(crate) fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES {
            return self.copied(bytes);
        }
        self.queue.seal_tail();
        self.queue.segments.push_back(bytes.clone());
        self.written += bytes.len();
    }

    /// Adds a line, with its end.
    #[inline]
    pub(crate) fn line(&mut self, line: LineView<'_>) {
        match line.terminated() {
            Some(bytes) if bytes.len() <= COPIED_BYTES => self.copied(bytes),
            _ => {
                self.part(line, 0..line.content().len());
                self.copied(line.terminator());
            }
        }
    }

    /// Adds a part of a line. It is shared where that is cheaper than copying, and keeps hardly more memory
    /// than it has bytes: the queue's limit counts only those.
    pub(crate) fn part(&mut self, line: LineView<'_>, range: Range<usize>) {
        match line.memory() {
            Some(memory) if range.len() > COPIED_BYTES && range.len() >= memory.len() / 2 => {
                self.shared(&memory.slice(range));
            }
            _ => self.copied(&line.content()[range]),
        }
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
            if let Some(written) = self.segments.pop_front() {
                memory::give_back(written);
            }
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

    #[test]
    fn a_long_queue_of_small_frames_is_made_of_runs_that_are_never_moved() {
        let outbox = Outbox::new(1 << 24);
        for _ in 0..100_000 {
            push(&outbox, &[b'x'; 100]).unwrap();
        }
        let state = outbox.state();
        assert_eq!(state.queued, 10_000_000);
        let runs = state.queue.segments.iter().map(Bytes::len);
        assert!(
            runs.chain([state.queue.tail.len()])
                .all(|length| length < memory::RUN_BYTES + 100)
        );
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_full_queue_refuses_until_its_reader_made_room() {
        let outbox = Outbox::new(10);
        push(&outbox, b"0123456789abcdef").expect("one larger frame is taken by an empty queue");
        assert!(push(&outbox, b"x").is_err());
        assert!(!outbox.has_room(1));

        let waiting = {
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { outbox.room(1, PATIENCE).await })
        };
        while outbox.state().held == 0 {
            tokio::task::yield_now().await;
        }
        drain(&outbox).await;
        waiting.await.unwrap();
        assert!(push(&outbox, b"x").is_ok());
    }

    /// A frame that fits only into an empty queue waits until it is empty, and does not spin before.
    #[tokio::test(start_paused = true)]
    async fn a_large_frame_waits_for_the_room_that_it_needs() {
        let outbox = Outbox::new(10);
        push(&outbox, b"abc").unwrap();
        assert!(push(&outbox, b"0123456789").is_err());
        let waited = timeout(Duration::from_secs(1), outbox.room(10, PATIENCE)).await;
        assert!(waited.is_err(), "there is no room for ten bytes beside three");
        drain(&outbox).await;
        outbox.room(10, PATIENCE).await;
        assert!(push(&outbox, b"0123456789").is_ok());
    }

    #[tokio::test]
    async fn what_others_queue_comes_behind_a_frame_that_is_still_arriving() {
        let outbox = Outbox::new(1 << 20);
        push(&outbox, b"before\n").unwrap();
        assert!(outbox.begin_arriving(|frame| frame.copied(b"be")));
        assert!(!outbox.begin_arriving(|frame| frame.copied(b"another")));
        push(&outbox, b"behind\n").unwrap();
        assert_eq!(drain(&outbox).await, b"before\nbe");
        assert!(outbox.kept_waiting().frames);
        let large = vec![b'x'; COPIED_BYTES + 1];
        outbox.go_on_arriving(|frame| frame.shared(&Bytes::from(large.clone())));
        outbox.end_arriving(|frame| frame.copied(b"gun\n"));
        outbox.go_on_arriving(|frame| frame.copied(b"too late"));
        assert_eq!(drain(&outbox).await, [&large[..], b"gun\nbehind\n"].concat());
        assert_eq!(outbox.state().queued, 0);
    }

    #[tokio::test]
    async fn a_frame_that_is_still_arriving_is_broken_off_when_the_queue_is_closed() {
        let outbox = Outbox::new(1 << 20);
        assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
        push(&outbox, b"behind\n").unwrap();
        outbox.close();
        outbox.go_on_arriving(|frame| frame.copied(b" and gone on"));
        outbox.end_arriving(|frame| frame.copied(b"\n"));
        assert_eq!(drain(&outbox).await, b"begun\x18\r\nbehind\n");
        assert!(outbox.next_batch().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_lags_behind_gets_frames_when_they_are_whole() {
        let outbox = Outbox::new(1 << 30);
        push(&outbox, &vec![b'x'; KEEPS_UP_BYTES + 1]).unwrap();
        assert!(!outbox.begin_arriving(|frame| frame.copied(b"begun")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_not_to_blame_for_a_frame_that_does_not_arrive() {
        let stall = Duration::from_secs(2);
        let outbox = Outbox::new(4);
        assert!(outbox.begin_arriving(|frame| frame.copied(b"begun")));
        drain(&outbox).await;
        push(&outbox, b"abcd").unwrap();
        assert_eq!(outbox.kept_waiting().producers_since, None);
        assert!(!outbox.has_room(1));
        assert_eq!(outbox.kept_waiting().producers_since, Some(Instant::now()));
        outbox.room(1, PATIENCE).await;
        assert!(!outbox.is_stalled(stall), "it has read all that there was");
        let waiting = outbox.room(1, PATIENCE);
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(3), &mut waiting).await.is_err());
        outbox.end_arriving(|frame| frame.copied(b" and ended"));
        waiting.await;
        assert!(
            !outbox.is_stalled(stall),
            "there was something to read for two seconds only"
        );
        outbox.room(1, PATIENCE).await;
        assert!(outbox.is_stalled(stall));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_stalled_when_it_reads_nothing_while_others_are_refused() {
        let stall = Duration::from_secs(2);
        let outbox = Outbox::new(4);
        push(&outbox, b"abcd").unwrap();
        tokio::time::advance(stall).await;
        assert!(!outbox.is_stalled(stall), "nobody was refused");
        assert!(!outbox.has_room(1));
        tokio::time::advance(stall / 2).await;
        assert!(!outbox.is_stalled(stall));
        outbox.written(1);
        assert!(!outbox.has_room(2));
        tokio::time::advance(stall / 2).await;
        assert!(!outbox.is_stalled(stall), "it read something meanwhile");
        tokio::time::advance(stall / 2).await;
        assert!(outbox.is_stalled(stall));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_stalled_when_one_producer_waited_too_long_however_it_sips() {
        let outbox = Outbox::new(1_000);
        push(&outbox, &[0; 1_000]).unwrap();
        let sipping = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                outbox.written(1);
            }
        };
        tokio::select! {
            () = outbox.room(900, PATIENCE) => {}
            () = sipping => {}
        }
        assert!(outbox.is_stalled(Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_frees_its_producers() {
        let outbox = Outbox::new(4);
        push(&outbox, b"last").unwrap();
        outbox.close();
        outbox.room(1, PATIENCE).await;
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
