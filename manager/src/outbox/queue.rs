//! What is to be written to one peer, in its order: frames as they are put together, and what a writer takes of them.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use labwire_wire::LineView;

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

/// What is to be written, in its order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) segments: VecDeque<Bytes>,
    /// Small pieces that came after the last segment.
    pub(super) tail: BytesMut,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
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

    /// Gives all of it to a writer, if there is anything; else it gives back memory that an idle peer does not need.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.seal_tail();
        if !self.segments.is_empty() {
            return Some(Batch {
                segments: std::mem::take(&mut self.segments),
            });
        }
        if self.tail.capacity() > KEPT_BYTES {
            memory::give_back_mut(std::mem::take(&mut self.tail));
        }
        None
    }

    /// Puts another queue behind this one.
    pub(super) fn append(&mut self, mut other: Self) {
        self.seal_tail();
        self.segments.append(&mut other.segments);
        self.tail = other.tail;
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
    pub(super) segments: VecDeque<Bytes>,
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
