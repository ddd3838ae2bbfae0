//! Splits a stream of bytes into lines.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::frames;
use crate::terminal::BYTE_ORDER_MARK;

/// A line in borrowed memory.
///
/// Most lines are routed in this form: they need no memory of their own, since they are copied to
/// their destination before the next bytes are read.
#[derive(Clone, Copy, Debug)]
pub struct LineView<'a> {
    bytes: &'a [u8],
    content: usize,
    memory: Option<&'a Bytes>,
}

impl<'a> LineView<'a> {
    /// Creates a line from bytes with at most one line end, at their end.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            content: content_length(bytes),
            memory: None,
        }
    }

    /// Returns the line without its terminator.
    #[inline]
    pub fn content(self) -> &'a [u8] {
        &self.bytes[..self.content]
    }

    /// Returns the line's terminator as received; `\r\n` for a last line without one.
    pub fn terminator(self) -> &'a [u8] {
        match &self.bytes[self.content..] {
            b"" => frames::TERMINATOR,
            terminator => terminator,
        }
    }

    /// Returns the content and its terminator, exactly as received.
    ///
    /// Returns `None` if the stream ended before the line did: there is no terminator to pass on
    /// then.
    pub fn terminated(self) -> Option<&'a [u8]> {
        (self.content < self.bytes.len()).then_some(self.bytes)
    }

    /// Returns the line's own memory, content and terminator, if it can be shared and is hardly
    /// larger than the line. Sharing a part of a larger read buffer would keep all of the buffer
    /// alive.
    pub fn memory(self) -> Option<&'a Bytes> {
        self.memory
    }
}

/// Returns the number of bytes before the terminator.
fn content_length(bytes: &[u8]) -> usize {
    match bytes {
        [content @ .., b'\r', b'\n'] | [content @ .., b'\n'] => content.len(),
        _ => bytes.len(),
    }
}

/// One line as it was received.
///
/// The terminator (`\r\n` or `\n`) is kept, so that an unchanged line can be passed on as one
/// shared buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    bytes: Bytes,
    content: usize,
    /// Whether its memory is hardly larger than the line.
    owner: bool,
    /// The bytes of the buffers that follow it.
    raw: Option<Box<Bytes>>,
}

impl Line {
    /// Creates a line from bytes with at most one line end, at their end.
    pub fn new(bytes: Bytes) -> Self {
        Self::with_owner(bytes, true)
    }

    fn with_owner(bytes: Bytes, owner: bool) -> Self {
        let content = content_length(&bytes);
        Self {
            bytes,
            content,
            owner,
            raw: None,
        }
    }

    /// Adds the bytes of the [buffers](crate::buffers) that follow the line.
    #[must_use]
    pub fn with_raw(self, raw: Bytes) -> Self {
        Self {
            raw: Some(Box::new(raw)),
            ..self
        }
    }

    /// Returns the bytes of the buffers that follow the line, if they were added.
    pub fn raw(&self) -> Option<&Bytes> {
        self.raw.as_deref()
    }

    /// Returns a borrowed view of the line.
    pub fn view(&self) -> LineView<'_> {
        LineView {
            bytes: &self.bytes,
            content: self.content,
            memory: self.owner.then_some(&self.bytes),
        }
    }

    /// Returns the line without its terminator.
    pub fn content(&self) -> &[u8] {
        &self.bytes[..self.content]
    }

    /// Returns whether its sender broke it off: it ends with [`frames::BROKEN_OFF`] and must be
    /// discarded.
    pub fn is_broken_off(&self) -> bool {
        self.bytes.ends_with(frames::BROKEN_OFF)
    }

    /// Returns whether its memory is hardly larger than the line, and can be shared.
    pub fn owns_memory(&self) -> bool {
        self.owner
    }

    /// Removes a byte order mark at the line's start.
    #[must_use]
    pub fn without_mark(self) -> Self {
        if !self.bytes.starts_with(BYTE_ORDER_MARK) {
            return self;
        }
        Self::with_owner(self.bytes.slice(BYTE_ORDER_MARK.len()..), self.owner)
    }

    /// Copies the line into memory of its own size.
    #[must_use]
    pub fn into_own_memory(self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
            owner: true,
            ..self
        }
    }

    /// Returns the line's bytes, its terminator included.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns a shared slice of the content, by offsets into [`content`](Self::content).
    ///
    /// # Panics
    ///
    /// If the range is not inside the content.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }
}

/// A line exceeded the limit before its end was found.
///
/// The stream is unusable afterwards: the start of the next line is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line may not be longer than {limit} bytes")]
pub struct LineTooLong {
    /// The limit in bytes, terminator included.
    pub limit: usize,
}

/// Size in bytes from which a line does not share its memory with the bytes after it.
const LARGE: usize = 16 * 1024;

/// Buffers bytes and returns them as [`Line`]s, each as soon as it is complete.
///
/// Each byte is searched for a line end once, however small the pieces are in which it arrives.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: BytesMut,
    searched: usize,
    /// The number of bytes that were taken out of the first line.
    taken: usize,
    /// The number of bytes before the buffer in the same memory, which were already returned.
    given: usize,
    limit: usize,
}

impl LineSplitter {
    /// Creates a splitter for lines of at most `limit` bytes, terminator included.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            taken: 0,
            given: 0,
            limit,
        }
    }

    /// Changes the limit for lines that were not returned yet.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns the longest line in bytes, terminator included.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Appends received bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the buffer, for a reader that appends to it in place.
    ///
    /// Only appending is allowed: bytes that were already searched are not searched again.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns the bytes of the incomplete line, and what follows it.
    pub fn buffer(&self) -> &BytesMut {
        &self.buffer
    }

    /// Notes that the first `count` bytes contain no line end: the caller has searched them.
    pub fn note_searched(&mut self, count: usize) {
        self.searched = self.searched.max(count.min(self.buffer.len()));
    }

    /// Removes bytes from the middle of an incomplete line, and returns them. The rest of the line
    /// is moved to `memory`, which must be empty.
    ///
    /// The removed bytes still count towards the limit. The line is returned without them.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use labwire_wire::LineSplitter;
    ///
    /// let mut splitter = LineSplitter::new(100);
    /// splitter.extend(b"a long line wh");
    /// assert_eq!(splitter.take_out(2..7, BytesMut::new()), "long ");
    /// splitter.extend(b"ose end comes\n");
    /// assert_eq!(splitter.next_line().unwrap().unwrap().content(), b"a line whose end comes");
    /// ```
    ///
    /// # Panics
    ///
    /// If the range is not inside the buffer. Debug builds also panic if the range contains a line
    /// end; it must have been [searched](Self::note_searched) before.
    pub fn take_out(&mut self, range: Range<usize>, mut memory: BytesMut) -> Bytes {
        debug_assert_eq!(memchr::memchr(b'\n', &self.buffer[range.clone()]), None);
        memory.extend_from_slice(&self.buffer[..range.start]);
        memory.extend_from_slice(&self.buffer[range.end..]);
        self.searched -= range.end.min(self.searched) - range.start.min(self.searched);
        self.taken += range.len();
        self.given = 0;
        let whole = std::mem::replace(&mut self.buffer, memory);
        whole.freeze().slice(range)
    }

    /// Removes and returns the first bytes, which are no part of a line: the raw bytes after a line
    /// that announces some. Call it only after a whole line was returned.
    ///
    /// # Panics
    ///
    /// If fewer bytes are buffered.
    pub fn take_raw(&mut self, count: usize) -> BytesMut {
        self.searched = self.searched.saturating_sub(count);
        if count == self.buffer.len() {
            self.given = 0;
            return std::mem::take(&mut self.buffer);
        }
        self.given += count;
        self.buffer.split_to(count)
    }

    /// Returns the number of buffered bytes.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the next complete line, or `None` until more bytes arrive.
    pub fn next_line(&mut self) -> Result<Option<Line>, LineTooLong> {
        self.next_line_with(|rest| BytesMut::from(rest))
    }

    /// Does the same as [`next_line`](Self::next_line) with the given allocation for the bytes
    /// after a large line. The returned memory must contain these bytes, and may have room for the
    /// next ones.
    pub fn next_line_with(
        &mut self,
        memory: impl FnOnce(&[u8]) -> BytesMut,
    ) -> Result<Option<Line>, LineTooLong> {
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(offset) => {
                let end = self.searched + offset + 1;
                if end + self.taken > self.limit {
                    return Err(LineTooLong { limit: self.limit });
                }
                (self.searched, self.taken) = (0, 0);
                let (line, owner) = self.take(end, memory);
                Ok(Some(Line::with_owner(line.freeze(), owner)))
            }
            None if self.buffer.len() + self.taken >= self.limit => Err(LineTooLong { limit: self.limit }),
            None => {
                self.searched = self.buffer.len();
                Ok(None)
            }
        }
    }

    /// Removes the first bytes. Also returns whether they own their memory.
    fn take(&mut self, end: usize, memory: impl FnOnce(&[u8]) -> BytesMut) -> (BytesMut, bool) {
        let rest = self.buffer.len() - end;
        if rest == 0 || end > LARGE.max(rest) {
            // Handing over the whole memory leaves an idle connection without a buffer, and a large
            // line without a small neighbour that would keep its memory alive.
            let rest = memory(&self.buffer[end..]);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            let memory = std::mem::take(&mut self.given) + line.capacity();
            line.truncate(end);
            return (line, memory / 2 <= end);
        }
        self.given += end;
        (self.buffer.split_to(end), false)
    }

    /// Returns the rest when the stream has ended: a last line without its terminator, if there is
    /// one.
    pub fn finish(&mut self) -> Option<Line> {
        (self.searched, self.taken) = (0, 0);
        let rest = std::mem::take(&mut self.buffer);
        let memory = std::mem::take(&mut self.given) + rest.capacity();
        let owner = memory / 2 <= rest.len();
        (!rest.is_empty()).then(|| Line::with_owner(rest.freeze(), owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(splitter: &mut LineSplitter) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(line) = splitter.next_line().unwrap() {
            lines.push(line.content().to_vec());
        }
        lines
    }

    #[test]
    fn lines_end_with_either_terminator_and_keep_it() {
        let mut splitter = LineSplitter::new(100);
        splitter.extend(b"one\r\ntwo\n\r\n\nthree");
        assert_eq!(contents(&mut splitter), [&b"one"[..], b"two", b"", b""]);
        assert_eq!(splitter.pending(), 5);
        let last = splitter.finish().unwrap();
        assert_eq!(last.content(), b"three");
        assert_eq!(last.view().terminated(), None);

        splitter.extend(b"a\r\n");
        let line = splitter.next_line().unwrap().unwrap();
        assert_eq!(line.view().terminated(), Some(&b"a\r\n"[..]));
    }

    #[test]
    fn memory_is_shared_of_a_line_only_that_takes_most_of_it() {
        let mut splitter = LineSplitter::new(100_000);
        let mut memory = BytesMut::with_capacity(40_000);
        memory.resize(30_000, b'x');
        memory.extend_from_slice(b"\n");
        memory.extend_from_slice(&[b'y'; 8_998]);
        memory.extend_from_slice(b"\nz");
        *splitter.buffer_mut() = memory;
        let mut next = || splitter.next_line().unwrap().unwrap();
        assert!(next().owns_memory());
        assert!(!next().owns_memory(), "another one has begun there");
        splitter.finish();

        let mut memory = BytesMut::with_capacity(40_000);
        for _ in 0..30 {
            memory.extend_from_slice(&[b'x'; 999]);
            memory.extend_from_slice(b"\n");
        }
        memory.extend_from_slice(&[b'y'; 9_999]);
        memory.extend_from_slice(b"\n");
        *splitter.buffer_mut() = memory;
        let owners = (0..31).filter(|_| splitter.next_line().unwrap().unwrap().owns_memory());
        assert_eq!(owners.count(), 0);

        *splitter.buffer_mut() = BytesMut::with_capacity(40_000);
        splitter.extend(&[b'x'; 10_000]);
        let line = splitter.finish().unwrap();
        assert!(!line.owns_memory());
        assert!(line.into_own_memory().owns_memory());
    }

    #[test]
    fn a_carriage_return_inside_a_line_belongs_to_it() {
        let mut splitter = LineSplitter::new(100);
        splitter.extend(b"a\rb\n");
        assert_eq!(contents(&mut splitter), [b"a\rb"]);
    }

    #[test]
    fn a_line_may_fill_the_limit_but_not_pass_it() {
        let mut splitter = LineSplitter::new(4);
        splitter.extend(b"abc\n");
        assert_eq!(contents(&mut splitter), [b"abc"]);
        splitter.extend(b"abcd\n");
        assert_eq!(splitter.next_line(), Err(LineTooLong { limit: 4 }));

        let mut shortened = LineSplitter::new(4);
        shortened.extend(b"abc");
        assert_eq!(shortened.take_out(0..2, BytesMut::new()), "ab");
        shortened.extend(b"\n");
        assert_eq!(
            contents(&mut shortened),
            [b"c"],
            "four bytes with those that were taken out"
        );
        shortened.extend(b"abc");
        shortened.take_out(0..2, BytesMut::new());
        shortened.extend(b"d");
        assert_eq!(shortened.next_line(), Err(LineTooLong { limit: 4 }));

        let mut endless = LineSplitter::new(4);
        endless.extend(b"abc");
        assert_eq!(endless.next_line(), Ok(None));
        endless.extend(b"d");
        assert_eq!(endless.next_line(), Err(LineTooLong { limit: 4 }));
    }
}
