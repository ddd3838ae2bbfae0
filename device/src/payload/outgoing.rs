//! Values that are to be sent: JSON text, and the arrays that it refers to.

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::buffers::{Buffers, END};
use serde::Serialize;

use super::array::Array;
use super::encode::{EncodeError, to_json};
use super::received::inline;
use super::scope::collect;

/// The arrays of a frame that is composed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    arrays: Vec<Array>,
}

impl Attached {
    /// Encodes a value as JSON text. Its arrays are added to these.
    ///
    /// # Errors
    /// As [`to_json`].
    ///
    /// ```
    /// use labwire_device::payload::{Array, Attached};
    ///
    /// let mut attached = Attached::default();
    /// let text = attached.encode(&[Array::from(&b"abc"[..])]).unwrap();
    /// assert_eq!(text, r#"[{"$buffer":0}]"#);
    /// assert_eq!(attached.inlined(text), r#"[{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}}]"#);
    /// ```
    pub fn encode<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<String, EncodeError> {
        collect(&mut self.arrays, || to_json(value))
    }

    /// Returns whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// Returns text with these arrays in it, in base64: for a manager without the feature `binary`.
    ///
    /// See the example of [`encode`](Self::encode).
    pub fn inlined(&self, text: String) -> String {
        if self.arrays.is_empty() {
            return text;
        }
        inline(&text, &self.arrays)
    }

    /// Returns a frame with these arrays: `line` is the frame without them, in one or more pieces
    /// of which the first one begins with `{` and a member.
    pub fn frame(self, mut line: Vec<Bytes>) -> Vec<Bytes> {
        if self.arrays.is_empty() {
            return line;
        }
        let buffers = Buffers::of(self.arrays.iter().map(|array| array.buffer().clone()).collect());
        let mut head = BytesMut::with_capacity(256);
        buffers.put(&mut head);
        head.put_u8(b',');
        if let Some(first) = line.first_mut() {
            head.put_slice(first.get(1..).unwrap_or_default());
            *first = head.freeze();
        }
        line.extend(self.arrays.into_iter().map(|array| array.bytes().clone()));
        line.push(Bytes::from_static(END));
        line
    }
}
