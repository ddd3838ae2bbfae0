//! Messages as they are routed: a head, and a payload that follows it.

use bytes::Bytes;

use crate::lines::{Line, LineView};

/// The raw bytes that follow a head: its [buffers](crate::buffers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    description_end: usize,
    plain: Plain,
}

/// The form of a message with a payload for receivers without the feature `binary`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// It was not composed yet.
    #[default]
    Unknown,
    /// One line, with its end.
    Line(Bytes),
    /// The payload is too long to be converted.
    TooLong,
}

impl Payload {
    /// Creates a payload: the bytes of all buffers and [`buffers::END`](crate::buffers::END).
    /// `description_end` is the [end](crate::buffers::Buffers::end) of their description in the
    /// head.
    pub fn new(bytes: Bytes, description_end: usize) -> Self {
        Self {
            bytes,
            description_end,
            plain: Plain::Unknown,
        }
    }

    /// Returns the bytes.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the bytes' memory.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the beginning of the head, up to the end of the description of the buffers.
    pub fn description<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[..self.description_end.min(head.len())]
    }

    /// Returns the message for receivers without the feature.
    pub fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Sets the message for receivers without the feature.
    #[must_use]
    pub fn with_plain(self, plain: Plain) -> Self {
        Self { plain, ..self }
    }

    /// Returns the number of bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A message in borrowed memory: a head, which is a line, and a payload of raw bytes that follows
/// it.
///
/// Only peers with the feature `binary` send and receive payloads. A payload goes with its head
/// unchanged: it is not parsed, and takes its place behind the head in the receiver's queue.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    head: LineView<'a>,
    payload: Option<&'a Payload>,
}

impl<'a> FrameView<'a> {
    /// Creates a message of a head and its payload.
    pub fn new(head: LineView<'a>, payload: Option<&'a Payload>) -> Self {
        Self { head, payload }
    }

    /// Returns the head.
    #[inline]
    pub fn head(self) -> LineView<'a> {
        self.head
    }

    /// Returns the content of the head: the line without its terminator.
    #[inline]
    pub fn content(self) -> &'a [u8] {
        self.head.content()
    }

    /// Returns the payload; `None` if the message is a line alone.
    #[inline]
    pub fn payload(self) -> Option<&'a Payload> {
        self.payload
    }

    /// Returns the number of bytes of memory: the [size](Self::size), and that of the message for
    /// receivers without the feature `binary`.
    pub fn held(self) -> usize {
        let plain = match self.payload.map(Payload::plain) {
            Some(Plain::Line(line)) => line.len(),
            _ => 0,
        };
        self.size() + plain
    }

    /// Returns the number of bytes of the content and the payload, without the line end.
    #[inline]
    pub fn size(self) -> usize {
        self.content().len() + self.payload.map_or(0, Payload::len)
    }
}

impl<'a> From<LineView<'a>> for FrameView<'a> {
    /// Creates a message that is a line alone.
    #[inline]
    fn from(head: LineView<'a>) -> Self {
        Self { head, payload: None }
    }
}

/// A message that owns its memory: see [`FrameView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    head: Line,
    payload: Option<Payload>,
}

impl Frame {
    /// Creates a message of a head and its payload.
    pub fn new(head: Line, payload: Option<Payload>) -> Self {
        Self { head, payload }
    }

    /// Returns a borrowed view of the message.
    pub fn view(&self) -> FrameView<'_> {
        FrameView::new(self.head.view(), self.payload.as_ref())
    }

    /// Returns the head.
    pub fn head(&self) -> &Line {
        &self.head
    }

    /// Returns the content of the head: the line without its terminator.
    pub fn content(&self) -> &[u8] {
        self.head.content()
    }

    /// Returns the payload.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// Returns the memory of the head, its terminator included, and that of the payload.
    pub fn into_parts(self) -> (Bytes, Option<Payload>) {
        (self.head.into_bytes(), self.payload)
    }
}

impl From<Line> for Frame {
    /// Creates a message that is a line alone.
    fn from(head: Line) -> Self {
        Self::new(head, None)
    }
}
