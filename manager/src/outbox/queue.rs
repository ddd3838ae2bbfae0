//! The bytes to be written to one peer, in order: composed frames, and the batches that the writer
//! takes.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use labwire_wire::{FrameView, LineView};

use crate::buffers;

/// The largest piece, in bytes, that is copied into a run of bytes. Larger ones are shared, if they
/// own their memory.
///
/// Copying a few kilobytes costs about as much as counting a reference on another core and one more
/// entry in every vectored write. Above that, copying costs more.
pub(crate) const COPIED_BYTES: usize = 4_096;

/// The size in bytes up to which a run grows by doubling. A longer one is allocated at its full
/// length.
const SHORT_RUN_BYTES: usize = 2 * 1024;

/// The largest buffer of an empty queue, in bytes. A larger one is released when the peer is idle.
const KEPT_BYTES: usize = 4_096;

/// Frames that are composed when the writer reaches them, since composing all of them at once would
/// keep other peers waiting.
pub(crate) trait Deferred: fmt::Debug + Send {
    /// Writes some of the frames, in less than a millisecond. Returns whether there are more.
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool;
}

/// The bytes to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) segments: VecDeque<Bytes>,
    /// The small pieces after the last segment.
    pub(super) tail: BytesMut,
    /// Boxed, since few queues have any.
    deferred: Option<Box<DeferredFrames>>,
}

/// Frames that are not composed yet.
type DeferredFrames = VecDeque<Later>;

/// One group of deferred frames.
#[derive(Debug)]
struct Later {
    /// The number of segments before it and after the group before it.
    segments: usize,
    /// The bytes that are counted for its frames that are not composed yet.
    bytes: usize,
    frames: Box<dyn Deferred>,
}

impl Drop for Queue {
    /// Returns the memory to the pool. The queue of a peer that has left may hold dozens of
    /// megabytes.
    fn drop(&mut self) {
        buffers::give_all_back(std::mem::take(&mut self.segments));
        if let Some(deferred) = self.deferred.take() {
            buffers::discard(deferred);
        }
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.is_empty() && self.deferred.is_none()
    }

    pub(super) fn seal_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // A run of full size is passed on whole: a rest that shared its memory would prevent the
        // reuse of the run.
        let sealed = if self.tail.capacity() < buffers::RUN_BYTES {
            self.tail.split()
        } else {
            std::mem::take(&mut self.tail)
        };
        self.segments.push_back(sealed.freeze());
    }

    /// Adds frames that are composed when the writer reaches them. `bytes` is the number of bytes
    /// to count for them.
    pub(super) fn defer(&mut self, bytes: usize, frames: Box<dyn Deferred>) {
        self.seal_tail();
        let deferred = self.deferred.get_or_insert_default();
        let before: usize = deferred.iter().map(|later| later.segments).sum();
        deferred.push_back(Later {
            segments: self.segments.len() - before,
            bytes,
            frames,
        });
    }

    /// Takes the next batch: the segments before the next deferred frames, or some of those frames,
    /// or everything if none are deferred. Also returns by how many bytes composed frames exceed
    /// the bytes counted for them; negative if they are shorter. Returns `None` if the queue is
    /// empty, and then releases memory that an idle peer does not need.
    pub(super) fn take(&mut self) -> Option<(Batch, isize)> {
        if self.deferred.is_some() {
            return self.take_before_deferred();
        }
        self.seal_tail();
        if !self.segments.is_empty() {
            let batch = Batch::new(std::mem::take(&mut self.segments));
            return Some((batch, 0));
        }
        if self.tail.capacity() > KEPT_BYTES {
            buffers::give_back_mut(std::mem::take(&mut self.tail));
        }
        None
    }

    /// As [`take`](Self::take), for a queue with deferred frames.
    #[cold]
    fn take_before_deferred(&mut self) -> Option<(Batch, isize)> {
        let deferred = self.deferred.as_mut()?;
        let Later {
            segments,
            bytes,
            frames,
        } = deferred.front_mut()?;
        if *segments > 0 {
            let batch = Batch::new(self.segments.drain(..std::mem::take(segments)).collect());
            return Some((batch, 0));
        }
        let mut written = Self::default();
        let mut has_more = true;
        let count = written.write(|frame| has_more = frames.write(frame));
        let counted = if has_more { count.min(*bytes) } else { *bytes };
        *bytes -= counted;
        if !has_more {
            deferred.pop_front();
            if deferred.is_empty() {
                self.deferred = None;
            }
        }
        written.seal_tail();
        let batch = Batch::new(std::mem::take(&mut written.segments));
        Some((batch, count.cast_signed() - counted.cast_signed()))
    }

    /// Returns whether there are frames that are not composed yet.
    pub(super) fn has_deferred(&self) -> bool {
        self.deferred.is_some()
    }

    /// Returns the number of pieces before the first deferred frames; `None` if there are none.
    pub(super) fn segments_before_deferred(&self) -> Option<usize> {
        let first = self.deferred.as_ref()?.front()?;
        Some(first.segments)
    }

    /// Removes the first deferred frames, if no pieces come before them. Returns whether there were
    /// any.
    pub(super) fn drop_first_deferred(&mut self) -> bool {
        if self.segments_before_deferred() != Some(0) {
            return false;
        }
        if let Some(deferred) = &mut self.deferred {
            deferred.pop_front();
            if deferred.is_empty() {
                self.deferred = None;
            }
        }
        true
    }

    /// Notes that `count` pieces were put before all others.
    pub(super) fn shift_deferred(&mut self, count: usize) {
        if let Some(first) = self.deferred.as_mut().and_then(|deferred| deferred.front_mut()) {
            first.segments += count;
        }
    }

    /// Notes that the first piece was removed.
    pub(super) fn unshift_deferred(&mut self) {
        if let Some(first) = self.deferred.as_mut().and_then(|deferred| deferred.front_mut()) {
            first.segments = first.segments.saturating_sub(1);
        }
    }

    /// Appends another queue.
    pub(super) fn append(&mut self, mut other: Self) {
        self.seal_tail();
        for later in other.deferred.take().into_iter().flat_map(|deferred| *deferred) {
            self.segments.extend(other.segments.drain(..later.segments));
            self.defer(later.bytes, later.frames);
        }
        self.segments.append(&mut other.segments);
        self.tail = std::mem::take(&mut other.tail);
    }
}

impl Queue {
    /// Appends the frame that `write` composes. Returns the number of bytes.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut FrameWriter<'_>)) -> usize {
        let mut writer = FrameWriter {
            queue: self,
            written: 0,
        };
        write(&mut writer);
        writer.written
    }
}

/// Composes a frame at the end of a queue.
pub(crate) struct FrameWriter<'a> {
    queue: &'a mut Queue,
    written: usize,
}

impl FrameWriter<'_> {
    /// Returns the number of bytes added.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

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

    /// Makes room for `count` more bytes.
    #[cold]
    fn make_room(&mut self, count: usize) {
        let length = self.queue.tail.len() + count;
        if length <= SHORT_RUN_BYTES {
            // It grows by doubling.
            return;
        }
        if length > buffers::RUN_BYTES {
            self.queue.seal_tail();
        }
        let tail = &mut self.queue.tail;
        if count > buffers::RUN_BYTES {
            tail.reserve(count);
        } else {
            *tail = buffers::run(tail);
        }
    }

    /// Adds bytes that own their memory, shared where that is cheaper than copying.
    pub(crate) fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES {
            return self.copied(bytes);
        }
        self.referenced(bytes);
    }

    /// Adds bytes without copying them, also if they are few. For frames that wait in many queues
    /// at once: all queues share the memory.
    pub(crate) fn referenced(&mut self, bytes: &Bytes) {
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

    /// Adds the payload of a message, if it has one.
    #[inline]
    pub(crate) fn payload(&mut self, frame: FrameView<'_>) {
        if let Some(payload) = frame.payload() {
            self.shared(payload.bytes());
        }
    }

    /// Adds frames that are composed, and counted, when the writer reaches them.
    pub(crate) fn deferred(&mut self, frames: Box<dyn Deferred>) {
        self.queue.defer(0, frames);
    }

    /// Adds a part of a line. It is shared if that is cheaper than copying and if it is at least
    /// half of the shared memory, since the queue's limit counts only the bytes of the part.
    pub(crate) fn part(&mut self, line: LineView<'_>, range: Range<usize>) {
        match line.memory() {
            Some(memory) if range.len() > COPIED_BYTES && range.len() >= memory.len() / 2 => {
                self.shared(&memory.slice(range));
            }
            _ => self.copied(&line.content()[range]),
        }
    }
}

/// Queued bytes that the writer has taken.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) segments: VecDeque<Bytes>,
    /// The bytes written of the first piece.
    written: usize,
}

impl Drop for Batch {
    /// Returns the memory to the pool, as for a [`Queue`].
    fn drop(&mut self) {
        buffers::give_all_back(std::mem::take(&mut self.segments));
    }
}

impl Batch {
    pub(super) fn new(segments: VecDeque<Bytes>) -> Self {
        Self { segments, written: 0 }
    }

    /// Returns the bytes written of the first piece, whose memory is freed only when all of it is
    /// written.
    pub(crate) fn written_in_part(&self) -> usize {
        self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Returns the pieces in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Bytes> {
        self.segments.iter()
    }

    /// Removes the first `count` bytes, which are written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.segments.front_mut() {
            if count < first.len() {
                first.advance(count);
                self.written += count;
                return;
            }
            count -= first.len();
            self.written = 0;
            if let Some(written) = self.segments.pop_front() {
                buffers::give_back(written);
            }
        }
    }
}
