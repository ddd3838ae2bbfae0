//! What is to be written to one peer, in its order: frames as they are put together, and what a writer takes of them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use labwire_wire::{FrameView, LineView};

use crate::buffers;

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

/// Frames that are put together when the writer comes to them: so many that others would wait for it.
pub(crate) trait Deferred: fmt::Debug + Send {
    /// Writes some of the frames, which takes less than a millisecond. Returns whether there are more.
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool;
}

/// What is to be written, in its order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) segments: VecDeque<Bytes>,
    /// Small pieces that came after the last segment.
    pub(super) tail: BytesMut,
    /// Hardly any queue has some.
    deferred: Option<Box<DeferredFrames>>,
}

/// Frames that are not put together yet.
type DeferredFrames = VecDeque<Later>;

/// Some of these frames.
#[derive(Debug)]
struct Later {
    /// How many segments are before them, and behind those before.
    segments: usize,
    /// How many bytes are counted for those that are not put together.
    bytes: usize,
    frames: Box<dyn Deferred>,
}

impl Drop for Queue {
    /// Gives the memory back: of what was queued for a peer that is gone, there can be dozens of megabytes.
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

    fn seal_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // What is left of a whole run would keep others from using its memory again.
        let sealed = if self.tail.capacity() < buffers::RUN_BYTES {
            self.tail.split()
        } else {
            std::mem::take(&mut self.tail)
        };
        self.segments.push_back(sealed.freeze());
    }

    /// Adds frames of so many bytes that are put together when their turn comes.
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

    /// Gives all of it to a writer, or what comes before the next deferred frames, or some of those. Returns too how many
    /// bytes the latter have that were not counted before, if they are more or less than was said. When there is
    /// nothing, it gives back memory that an idle peer does not need.
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

    /// The same for a queue with deferred frames.
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

    /// Puts another queue behind this one.
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
    /// Adds what `write` puts together; tells how many bytes that is.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut FrameWriter<'_>)) -> usize {
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
    /// How many bytes were added.
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

    /// Makes room for so many bytes, for which there is none.
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
            self.shared(payload);
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
    pub(super) segments: VecDeque<Bytes>,
    /// How many bytes of the first piece are written.
    written: usize,
}

impl Drop for Batch {
    /// As for a queue: its peer may be gone.
    fn drop(&mut self) {
        buffers::give_all_back(std::mem::take(&mut self.segments));
    }
}

impl Batch {
    pub(super) fn new(segments: VecDeque<Bytes>) -> Self {
        Self { segments, written: 0 }
    }

    /// How many bytes are written of a piece that takes memory until all of it is.
    pub(crate) fn written_in_part(&self) -> usize {
        self.written
    }

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
