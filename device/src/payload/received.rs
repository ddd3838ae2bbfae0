//! Values that have been received: JSON text, and the arrays that it refers to.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use bytes::Bytes;
use labwire_wire::Line;
use labwire_wire::buffers::Buffers;
use serde::de::DeserializeOwned;

use super::array::{Array, Arrays};
use super::decode::{DecodeError, from_json};
use super::scope::provide;

/// Received JSON text, and the arrays that it refers to. It dereferences to the bytes of the text.
///
/// ```
/// use bytes::Bytes;
/// use labwire_device::payload::Received;
///
/// let received = Received::from(Bytes::from("[1,2.5]"));
/// assert_eq!(received.decode::<(u8, f64)>().unwrap(), (1, 2.5));
/// assert_eq!(received.to_text(), "[1,2.5]");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Received {
    text: Bytes,
    arrays: Option<Arrays>,
}

impl Received {
    /// Returns a part of a line, with the arrays of the line.
    ///
    /// # Panics
    ///
    /// If the range is not inside the line's content.
    pub fn of_line(line: &Line, range: Range<usize>) -> Self {
        Self {
            text: line.slice(range),
            arrays: arrays_of(line),
        }
    }

    /// Returns a part of the text, with all arrays.
    ///
    /// # Panics
    ///
    /// If `part` is not a part of the text.
    #[must_use]
    pub fn part(&self, part: &[u8]) -> Self {
        Self {
            text: self.text.slice_ref(part),
            arrays: self.arrays.clone(),
        }
    }

    /// Decodes another text with the arrays of this one.
    ///
    /// # Errors
    /// As [`from_json`].
    pub fn decode_text<T: DeserializeOwned>(&self, text: &str) -> Result<T, DecodeError> {
        provide(self.arrays.as_ref(), || from_json(text))
    }

    /// Returns another text with the arrays of this one in it, in base64.
    pub fn inlined<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.arrays {
            Some(arrays) => Cow::Owned(inline(text, arrays)),
            None => Cow::Borrowed(text),
        }
    }

    /// Returns the number of bytes, with those of the arrays.
    pub fn size(&self) -> usize {
        let arrays = self.arrays.iter().flat_map(|arrays| arrays.iter());
        self.text.len() + arrays.map(|array| array.bytes().len()).sum::<usize>()
    }

    /// Decodes the value.
    ///
    /// See the example of [`Received`].
    ///
    /// # Errors
    /// As [`from_json`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode_text(self.as_text())
    }

    /// Returns the text as it was received: arrays are references to buffers. Text that is not UTF-8
    /// counts as empty, which is no value.
    pub fn as_text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Returns the text with all arrays in it, in base64.
    ///
    /// See the example of [`Received`].
    pub fn to_text(&self) -> Cow<'_, str> {
        self.inlined(self.as_text())
    }
}

/// Returns the text with its arrays in it.
pub(super) fn inline(text: &str, arrays: &[Array]) -> String {
    let buffers = Buffers::of(arrays.iter().map(|array| array.buffer().clone()).collect());
    let raw: Vec<&[u8]> = arrays.iter().map(|array| &array.bytes()[..]).collect();
    buffers.inlined(text, &raw)
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

impl From<Bytes> for Received {
    /// Creates a value without arrays.
    fn from(text: Bytes) -> Self {
        Self { text, arrays: None }
    }
}

/// Returns the arrays that follow a line.
fn arrays_of(line: &Line) -> Option<Arrays> {
    let raw = line.raw()?;
    let buffers = Buffers::read(line.content()).ok()?;
    let mut start = 0;
    let arrays = buffers.list().iter().map(|buffer| {
        let bytes = raw.slice(start..start + buffer.bytes());
        start += buffer.bytes();
        Array::of_buffer(buffer.clone(), bytes)
    });
    Some(arrays.collect())
}
