//! Arrays and bytes.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytemuck::Pod;
use bytes::Bytes;
use labwire_wire::buffers::{Buffer, BuffersError, ByteOrder, Dtype, ItemKind};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use thiserror::Error;

use super::scope::{self, Registered};

/// An array of numbers, or bytes: what a method can take and return, alone or within other types.
///
/// Its bytes are sent as they are, behind the line of a frame, and are not copied. A peer or a
/// manager without the feature `binary` gets them in base64; what such a peer sends is read, too. Clones
/// share the bytes.
///
/// ```
/// use labwire_device::payload::{Array, from_json, to_json};
///
/// let image = Array::from_slice(&[2, 3], &[1_u16, 2, 3, 4, 5, 6])?;
/// assert_eq!((image.dtype().to_string().as_str(), image.shape()), ("<u2", &[2, 3][..]));
/// assert_eq!(image.to_vec::<u16>()?, [1, 2, 3, 4, 5, 6]);
///
/// let text = to_json(&Array::from(&b"abc"[..]))?;
/// assert_eq!(text, r#"{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}}"#);
/// assert_eq!(from_json::<Array>(&text)?.bytes(), "abc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Array {
    buffer: Buffer,
    bytes: Bytes,
}

impl fmt::Debug for Array {
    /// Leaves out the bytes, which may be millions.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Array({} {:?})", self.dtype(), self.shape())
    }
}

/// Why an array cannot be made or read; [`Array`] has an example.
///
/// ```
/// use labwire_device::payload::{Array, ArrayError};
///
/// let error: ArrayError = Array::from_slice(&[2, 2], &[1.5, 2.5, 3.5]).unwrap_err();
/// assert_eq!(error.to_string(), "an array of the shape [2, 2] does not have 24 bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// The shape and the type do not multiply to the number of bytes.
    #[error("an array of the shape {shape:?} does not have {bytes} bytes")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
        /// The number of bytes.
        bytes: usize,
    },
    /// There are more than 32 dimensions.
    #[error(transparent)]
    Dimensions(BuffersError),
    /// The items are of another type.
    #[error("the items of the array are of the type {dtype}, not {expected}; its shape is {shape:?}")]
    Type {
        /// The type of the items.
        dtype: Dtype,
        /// The shape.
        shape: Vec<usize>,
        /// The type that was asked for.
        expected: Dtype,
    },
    /// The array has another number of dimensions.
    #[error("an array {dtype} of the shape {shape:?} has {} dimensions, not {expected}", shape.len())]
    NumberOfDimensions {
        /// The type of the items.
        dtype: Dtype,
        /// The shape.
        shape: Vec<usize>,
        /// The number of dimensions that was asked for.
        expected: usize,
    },
    /// The items cannot be used where they are: they have the byte order of other computers, or an address
    /// that is no multiple of their alignment. A copy can.
    #[error(
        "the items of the array {dtype} of the shape {shape:?} must be copied: they have another byte order than this \
         computer, or are not aligned"
    )]
    NotInPlace {
        /// The type of the items.
        dtype: Dtype,
        /// The shape.
        shape: Vec<usize>,
    },
}

mod sealed {
    pub trait Sealed {}
}

/// A numeric type that can be the item of an [`Array`]: the integers of 8 to 64 bits, `f32` and `f64`.
///
/// ```
/// use labwire_device::payload::Item;
///
/// assert_eq!(<i32 as Item>::dtype().item_bytes(), 4);
/// ```
pub trait Item: Pod + Send + Sync + sealed::Sealed {
    /// Returns the type, in the byte order of this computer.
    ///
    /// See the example of [`Item`].
    fn dtype() -> Dtype;

    #[doc(hidden)]
    #[must_use]
    fn swapped(self) -> Self;
}

macro_rules! items {
    ($($type:ty: $kind:ident, $swap:expr;)*) => {
        $(
            impl sealed::Sealed for $type {}

            impl Item for $type {
                fn dtype() -> Dtype {
                    let bytes = u32::try_from(size_of::<$type>()).expect("an item is short");
                    Dtype::new(NATIVE, ItemKind::$kind, bytes).expect("NumPy has this type")
                }

                fn swapped(self) -> Self {
                    $swap(self)
                }
            }
        )*
    };
}

const NATIVE: ByteOrder = if cfg!(target_endian = "little") {
    ByteOrder::Little
} else {
    ByteOrder::Big
};

items! {
    u8: Uint, u8::swap_bytes;
    u16: Uint, u16::swap_bytes;
    u32: Uint, u32::swap_bytes;
    u64: Uint, u64::swap_bytes;
    i8: Int, i8::swap_bytes;
    i16: Int, i16::swap_bytes;
    i32: Int, i32::swap_bytes;
    i64: Int, i64::swap_bytes;
    f32: Float, |value: f32| f32::from_bits(value.to_bits().swap_bytes());
    f64: Float, |value: f64| f64::from_bits(value.to_bits().swap_bytes());
}

/// Items whose memory the array shares.
struct Owner<T>(Vec<T>);

impl<T: Item> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Array {
    /// Creates an array of bytes that are there already, in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::Shape`] or [`ArrayError::Dimensions`].
    ///
    /// ```
    /// use labwire_device::payload::Array;
    ///
    /// let array = Array::new("<f4".parse()?, &[1], "abcd".into())?;
    /// assert_eq!(array.to_vec::<f32>()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(dtype: Dtype, shape: &[usize], bytes: Bytes) -> Result<Self, ArrayError> {
        let wrong = || ArrayError::Shape {
            shape: shape.to_vec(),
            bytes: bytes.len(),
        };
        let buffer = Buffer::new(dtype, shape).map_err(|error| match error {
            BuffersError::Dimensions { .. } => ArrayError::Dimensions(error),
            _ => wrong(),
        })?;
        if buffer.bytes() == bytes.len() {
            Ok(Self { buffer, bytes })
        } else {
            Err(wrong())
        }
    }

    /// Creates an array of a received buffer, whose number of bytes was checked.
    pub(super) fn of_buffer(buffer: Buffer, bytes: Bytes) -> Self {
        Self { buffer, bytes }
    }

    /// Creates an array of items, which are moved and not copied.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// ```
    /// use labwire_device::payload::Array;
    ///
    /// let trace = Array::from_vec(&[3], vec![1.0, f64::NAN, 3.0])?;
    /// assert_eq!(trace.dtype(), "<f8".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_vec<T: Item>(shape: &[usize], items: Vec<T>) -> Result<Self, ArrayError> {
        Self::new(T::dtype(), shape, Bytes::from_owner(Owner(items)))
    }

    /// Creates an array of a copy of items.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// See the example of [`Array`].
    pub fn from_slice<T: Item>(shape: &[usize], items: &[T]) -> Result<Self, ArrayError> {
        Self::new(
            T::dtype(),
            shape,
            Bytes::copy_from_slice(bytemuck::cast_slice(items)),
        )
    }

    /// Returns the type of the items.
    ///
    /// See the example of [`Array`].
    pub fn dtype(&self) -> Dtype {
        self.buffer.dtype()
    }

    /// Returns the number of items in each dimension.
    ///
    /// See the example of [`Array`].
    pub fn shape(&self) -> &[usize] {
        self.buffer.shape()
    }

    /// Returns the bytes, in row-major order.
    ///
    /// See the example of [`Array`].
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the description of the array in a frame.
    #[doc(hidden)]
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Returns the items without copying them. Returns `None` if they are of another type or byte
    /// order, or do not begin at an address that is a multiple of their alignment.
    ///
    /// ```
    /// use labwire_device::payload::Array;
    ///
    /// let image = Array::from_vec(&[2], vec![1_u16, 2])?;
    /// assert_eq!(image.as_slice::<u16>(), Some(&[1, 2][..]));
    /// assert_eq!(image.as_slice::<i16>(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_slice<T: Item>(&self) -> Option<&[T]> {
        if T::dtype() != self.dtype() {
            return None;
        }
        if self.bytes.is_empty() {
            // They have no address.
            return Some(&[]);
        }
        bytemuck::try_cast_slice(&self.bytes).ok()
    }

    /// Checks the type of the items, whatever their byte order.
    pub(super) fn check_type<T: Item>(&self) -> Result<(), ArrayError> {
        let (dtype, expected) = (self.dtype(), T::dtype());
        if dtype.kind() == expected.kind() && dtype.item_bytes() == expected.item_bytes() {
            return Ok(());
        }
        let shape = self.shape().to_vec();
        Err(ArrayError::Type {
            dtype,
            shape,
            expected,
        })
    }

    /// Returns a copy of the items, in the byte order of this computer.
    ///
    /// # Errors
    /// [`ArrayError::Type`] if the items are of another type.
    ///
    /// See the example of [`Array`].
    pub fn to_vec<T: Item>(&self) -> Result<Vec<T>, ArrayError> {
        self.check_type::<T>()?;
        let mut items = match self.as_slice::<T>() {
            Some(items) => items.to_vec(),
            None => bytemuck::pod_collect_to_vec(&self.bytes),
        };
        if self.dtype() != T::dtype() {
            for item in &mut items {
                *item = item.swapped();
            }
        }
        Ok(items)
    }
}

impl From<Bytes> for Array {
    /// Creates an array of bytes, without copying them.
    fn from(bytes: Bytes) -> Self {
        let buffer = Buffer::new(Dtype::BYTES, [bytes.len()]).expect("bytes have a length");
        Self { buffer, bytes }
    }
}

impl From<&[u8]> for Array {
    /// Creates an array of a copy of bytes.
    fn from(bytes: &[u8]) -> Self {
        Bytes::copy_from_slice(bytes).into()
    }
}

impl From<Vec<u8>> for Array {
    /// Creates an array of bytes, without copying them.
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

#[derive(serde::Serialize)]
struct Encoded<'a> {
    dtype: String,
    shape: &'a [usize],
    base64: String,
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        match scope::register(self) {
            Registered::At(number) => object.serialize_entry("$buffer", &number)?,
            Registered::Not => object.serialize_entry(
                "$array",
                &Encoded {
                    dtype: self.dtype().to_string(),
                    shape: self.shape(),
                    base64: STANDARD.encode(&self.bytes),
                },
            )?,
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

#[derive(serde::Deserialize)]
struct Decoded {
    dtype: String,
    shape: Vec<usize>,
    base64: String,
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Array;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array: an object with the member $array or $buffer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Array, A::Error> {
        let mut array = None;
        while let Some(key) = members.next_key::<String>()? {
            match key.as_str() {
                "$buffer" => {
                    let number: usize = members.next_value()?;
                    let found = scope::buffer(number);
                    array =
                        Some(found.ok_or_else(|| de::Error::custom(format!("there is no buffer {number}")))?);
                }
                "$array" => {
                    let Decoded { dtype, shape, base64 } = members.next_value()?;
                    let dtype = dtype.parse().map_err(de::Error::custom)?;
                    let bytes = STANDARD.decode(base64).map_err(de::Error::custom)?;
                    array = Some(Array::new(dtype, &shape, bytes.into()).map_err(de::Error::custom)?);
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        array.ok_or_else(|| de::Error::missing_field("$array"))
    }
}

/// The arrays of a frame.
pub(crate) type Arrays = Arc<[Array]>;

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::super::scope::{collect, provide};
    use super::super::{from_json, to_json};
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Frame {
        exposure: f64,
        images: Vec<Option<Array>>,
    }

    #[test]
    fn arrays_within_other_types_go_beside_the_text_and_come_back_without_copies() {
        let image = Array::from_vec(&[2, 2], vec![1_i32, -2, 3, -4]).unwrap();
        let frame = Frame {
            exposure: f64::INFINITY,
            images: vec![Some(image.clone()), None, Some(Array::from(&b"raw"[..]))],
        };
        let mut arrays = Vec::new();
        let text = collect(&mut arrays, || to_json(&frame)).unwrap();
        assert_eq!(
            text,
            r#"{"exposure":Infinity,"images":[{"$buffer":0},null,{"$buffer":1}]}"#
        );
        let arrays: Arrays = arrays.into();
        let back: Frame = provide(Some(&arrays), || from_json(&text)).unwrap();
        assert_eq!(back, frame);
        let same = back.images[0].as_ref().unwrap();
        assert_eq!(same.bytes().as_ptr(), image.bytes().as_ptr());
        let error = from_json::<Frame>(&text).unwrap_err();
        assert_eq!(error.to_string(), "there is no buffer 0");
        // As from and to a peer without the feature.
        let plain = to_json(&frame).unwrap();
        assert!(
            plain.contains(r#"{"dtype":"<i4","shape":[2,2],"base64":""#),
            "{plain}"
        );
        assert_eq!(from_json::<Frame>(&plain).unwrap(), frame);
    }

    #[test]
    fn items_of_the_other_byte_order_or_at_odd_addresses_are_copied() {
        let bytes = Bytes::from_static(b"x\x01\x02\x03\x04");
        for (dtype, expected) in [("<u2", [0x0201_u16, 0x0403]), (">u2", [0x0102, 0x0304])] {
            let array = Array::new(dtype.parse().unwrap(), &[2], bytes.slice(1..)).unwrap();
            assert_eq!(array.to_vec::<u16>().unwrap(), expected);
            assert!(matches!(array.to_vec::<i16>(), Err(ArrayError::Type { .. })));
        }
    }

    #[test]
    fn nonsense_is_no_array() {
        for text in [
            "[1,2]",
            "{}",
            r#"{"$array":{"dtype":"<u2","shape":[2],"base64":"AA=="}}"#,
            r#"{"$array":{"dtype":"<x2","shape":[1],"base64":"AAA="}}"#,
            r#"{"$array":{"dtype":"|u1","shape":[1],"base64":"A"}}"#,
            r#"{"$array":{"dtype":"|u1","shape":[-1],"base64":""}}"#,
            r#"{"$buffer":-1}"#,
        ] {
            assert!(from_json::<Array>(text).is_err(), "{text}");
        }
        let error = Array::from_slice(&[usize::MAX, 2], &[1_u8]).unwrap_err();
        assert!(matches!(error, ArrayError::Shape { .. }));
    }
}
