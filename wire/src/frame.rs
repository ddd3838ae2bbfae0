//! Messages as they are routed: a head, and a payload that follows it.

use bytes::Bytes;

use crate::lines::{Line, LineView};

/// A message in borrowed memory: a head, which is a line, and a payload of raw bytes that follows
/// it.
///
/// No peer sends payloads so far: every message on the wire is a line alone. The head of a message
/// that has a payload will announce its length. A payload goes with its head unchanged: it is not
/// parsed, and takes its place behind the head in the receiver's queue.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    head: LineView<'a>,
    payload: Option<&'a Bytes>,
}

impl<'a> FrameView<'a> {
    /// Creates a message of a head and its payload.
    pub fn new(head: LineView<'a>, payload: Option<&'a Bytes>) -> Self {
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
    pub fn payload(self) -> Option<&'a Bytes> {
        self.payload
    }

    /// Returns the number of bytes of the content and the payload, without the line end.
    #[inline]
    pub fn size(self) -> usize {
        self.content().len() + self.payload.map_or(0, Bytes::len)
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
    payload: Option<Bytes>,
}

impl Frame {
    /// Creates a message of a head and its payload.
    pub fn new(head: Line, payload: Option<Bytes>) -> Self {
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

    /// Returns the memory of the head, its terminator included, and that of the payload.
    pub fn into_parts(self) -> (Bytes, Option<Bytes>) {
        (self.head.into_bytes(), self.payload)
    }
}

impl From<Line> for Frame {
    /// Creates a message that is a line alone.
    fn from(head: Line) -> Self {
        Self::new(head, None)
    }
}
