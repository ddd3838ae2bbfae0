//! Buffers: raw bytes that follow the line of a frame, for peers with the feature `binary`.
//!
//! The line of such a frame begins, byte for byte, with [`BEGINNING`]. Its first member describes the
//! buffers; arguments and results refer to them as `{"$buffer":0}`. The bytes of all buffers follow
//! the line, then [`END`].

mod dtype;
mod references;

use bytes::{BufMut, BytesMut};
use serde_json::Value;

pub use dtype::{ByteOrder, Dtype, ItemKind, UnknownDtype};
pub use references::put_array;

/// The first bytes of a line that is followed by buffers.
pub const BEGINNING: &[u8] = b"{\"buffers\":[";

/// The byte after the last buffer.
pub const END: &[u8] = b"\n";

/// The most buffers of a frame.
pub const MAX_BUFFERS: usize = 64;

/// The most dimensions of an array, as in NumPy.
pub const MAX_DIMENSIONS: usize = 32;

/// The longest description of all buffers of a frame, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 64 * 1024;

/// The position of the description in a line.
const DESCRIPTION_START: usize = BEGINNING.len() - 1;

/// The description of one buffer: an array in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    dtype: Dtype,
    shape: Box<[usize]>,
    bytes: usize,
}

impl Buffer {
    /// Describes an array.
    ///
    /// # Errors
    /// [`BuffersError::Dimensions`], or [`BuffersError::Shape`] if there is no such number of bytes.
    pub fn new(dtype: Dtype, shape: impl Into<Box<[usize]>>) -> Result<Self, BuffersError> {
        let shape = shape.into();
        let bytes = bytes_of(dtype, &shape)?.ok_or(BuffersError::Shape { index: 0 })?;
        Ok(Self { dtype, shape, bytes })
    }

    /// Returns the type of the items.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns the number of items in each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the most bytes of the object that stands for the array, without those in base64.
    fn described(&self) -> usize {
        64 + 24 * self.shape.len()
    }

    /// Appends `{"dtype":…,"shape":…,"bytes":…}`.
    fn put(&self, text: &mut BytesMut) {
        text.put_u8(b'{');
        self.put_type(text);
        text.put_slice(b",\"bytes\":");
        text.put_slice(self.bytes.to_string().as_bytes());
        text.put_u8(b'}');
    }

    /// Appends `"dtype":…,"shape":…`.
    fn put_type(&self, text: &mut BytesMut) {
        text.put_slice(b"\"dtype\":\"");
        text.put_slice(self.dtype.to_string().as_bytes());
        text.put_slice(b"\",\"shape\":[");
        for (index, count) in self.shape.iter().enumerate() {
            if index > 0 {
                text.put_u8(b',');
            }
            text.put_slice(count.to_string().as_bytes());
        }
        text.put_u8(b']');
    }
}

/// Returns the number of bytes of an array; `None` if it overflows.
fn bytes_of(dtype: Dtype, shape: &[usize]) -> Result<Option<usize>, BuffersError> {
    if shape.len() > MAX_DIMENSIONS {
        return Err(BuffersError::Dimensions { index: 0 });
    }
    if shape.contains(&0) {
        return Ok(Some(0));
    }
    let multiply = |product: usize, count: &usize| product.checked_mul(*count);
    Ok(shape.iter().try_fold(dtype.item_bytes(), multiply))
}

/// What is wrong with the description of a frame's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuffersError {
    /// The description is not an array of objects with the members `dtype`, `shape` and `bytes`.
    #[error(
        "the member \"buffers\" must be an array of objects with the members dtype, shape and bytes, of {MAX_DESCRIPTION_BYTES} \
         bytes at most"
    )]
    Description,
    /// The frame has the member, but does not begin with it.
    #[error(
        "a frame with buffers must begin with {}, without any space; closing connection",
        String::from_utf8_lossy(BEGINNING)
    )]
    NotFirst,
    /// There are too many buffers.
    #[error("a frame may have {MAX_BUFFERS} buffers, it has {count}")]
    TooMany {
        /// The number of buffers.
        count: usize,
    },
    /// The dtype of a buffer is not known.
    #[error("buffer {index}: {UnknownDtype}")]
    Dtype {
        /// The number of the buffer, counted from 0.
        index: usize,
    },
    /// A buffer has too many dimensions.
    #[error("buffer {index}: an array may have {MAX_DIMENSIONS} dimensions")]
    Dimensions {
        /// The number of the buffer, counted from 0.
        index: usize,
    },
    /// The shape of a buffer does not match its number of bytes.
    #[error("buffer {index}: the shape, multiplied by the size of an item, must be the number of bytes")]
    Shape {
        /// The number of the buffer, counted from 0.
        index: usize,
    },
    /// The frame is longer than a line may be.
    #[error(
        "a line and its buffers may not be longer than {limit} bytes together (see --line of labwire start)"
    )]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The byte after the last buffer is not a line feed.
    #[error(
        "the byte after the last buffer must be a line feed (\\n), the buffers have another length than the frame \
         says, closing connection"
    )]
    End,
}

/// The description of a frame's buffers.
///
/// ```
/// use labwire_wire::buffers::Buffers;
///
/// let line = br#"{"buffers":[{"dtype":"<u2","shape":[2,3],"bytes":12}],"result":{"$buffer":0}}"#;
/// let buffers = Buffers::read(line).expect("the description is valid");
/// assert_eq!((buffers.bytes(), buffers.list()[0].shape()), (12, &[2, 3][..]));
/// assert_eq!(&line[buffers.end()..], br#","result":{"$buffer":0}}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffers {
    list: Vec<Buffer>,
    bytes: usize,
    end: usize,
}

/// The description of a frame's buffers is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongBuffers {
    /// What is wrong.
    pub error: BuffersError,
    /// The number of bytes that follow the line, with [`END`], if it is known nevertheless.
    pub following: Option<u64>,
}

impl Buffers {
    /// Returns whether the line is followed by buffers, if its sender has the feature `binary`.
    #[inline]
    pub fn follow(line: &[u8]) -> bool {
        line.starts_with(BEGINNING)
    }

    /// Reads the description from a line that begins with [`BEGINNING`]. The rest of the line is not
    /// checked.
    ///
    /// # Errors
    /// Those of [`BuffersError`], with the number of bytes that follow, as far as it is known.
    pub fn read(line: &[u8]) -> Result<Self, WrongBuffers> {
        let unknown = |error| WrongBuffers {
            error,
            following: None,
        };
        let description = line.get(DESCRIPTION_START..).unwrap_or_default();
        let description = &description[..description.len().min(MAX_DESCRIPTION_BYTES)];
        let mut values = serde_json::Deserializer::from_slice(description).into_iter::<Vec<Value>>();
        let Some(Ok(values_read)) = values.next() else {
            return Err(unknown(BuffersError::Description));
        };
        let end = DESCRIPTION_START + values.byte_offset();
        let mut lengths = values_read
            .iter()
            .map(|value| value.get("bytes").and_then(Value::as_u64));
        let following = lengths.try_fold(END.len() as u64, |sum, length| sum.checked_add(length?));
        let wrong = |error| WrongBuffers { error, following };
        if values_read.len() > MAX_BUFFERS {
            let count = values_read.len();
            return Err(wrong(BuffersError::TooMany { count }));
        }
        let list: Result<Vec<_>, _> = values_read
            .iter()
            .enumerate()
            .map(|(index, value)| read_buffer(index, value))
            .collect();
        let list = list.map_err(wrong)?;
        let mut lengths = list.iter().map(Buffer::bytes);
        let bytes = lengths.try_fold(0_usize, usize::checked_add);
        let bytes = bytes.ok_or_else(|| unknown(BuffersError::Shape { index: 0 }))?;
        Ok(Self { list, bytes, end })
    }

    /// Returns the description of these buffers. It has no position in a line.
    pub fn of(list: Vec<Buffer>) -> Self {
        let bytes = list.iter().map(Buffer::bytes).sum();
        Self { list, bytes, end: 0 }
    }

    /// Returns the buffers, in order.
    pub fn list(&self) -> &[Buffer] {
        &self.list
    }

    /// Returns the number of bytes of all buffers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the position of the first byte after the description in its line.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Appends the beginning of a line with these buffers, up to the end of the description.
    pub fn put(&self, text: &mut BytesMut) {
        text.put_slice(BEGINNING);
        for (index, buffer) in self.list.iter().enumerate() {
            if index > 0 {
                text.put_u8(b',');
            }
            buffer.put(text);
        }
        text.put_u8(b']');
    }
}

fn read_buffer(index: usize, value: &Value) -> Result<Buffer, BuffersError> {
    let members = value.as_object().filter(|members| members.len() == 3);
    let members = members.ok_or(BuffersError::Description)?;
    let dtype = members.get("dtype").and_then(Value::as_str);
    let dtype = dtype.ok_or(BuffersError::Description)?;
    let dtype = dtype
        .parse()
        .map_err(|UnknownDtype| BuffersError::Dtype { index })?;
    let shape = members.get("shape").and_then(Value::as_array);
    let shape = shape.ok_or(BuffersError::Description)?;
    let bytes = members.get("bytes").and_then(Value::as_u64);
    let bytes = bytes.ok_or(BuffersError::Description)?;
    if shape.len() > MAX_DIMENSIONS {
        return Err(BuffersError::Dimensions { index });
    }
    let count = |count: &Value| count.as_u64().and_then(|count| usize::try_from(count).ok());
    let shape: Option<Box<[usize]>> = shape.iter().map(count).collect();
    let shape = shape.ok_or(BuffersError::Shape { index })?;
    let found = bytes_of(dtype, &shape)?;
    match found {
        Some(found) if found as u64 == bytes => Ok(Buffer {
            dtype,
            shape,
            bytes: found,
        }),
        _ => Err(BuffersError::Shape { index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(description: &str) -> Result<Buffers, WrongBuffers> {
        Buffers::read(format!(r#"{{"buffers":{description},"result":1}}"#).as_bytes())
    }

    #[test]
    fn a_description_is_read_as_it_is_written() {
        let list = [
            ("<u2", &[4096, 4096][..]),
            ("|u1", &[5]),
            (">c16", &[]),
            ("|S3", &[2, 0]),
        ];
        let list = list.map(|(dtype, shape)| Buffer::new(dtype.parse().unwrap(), shape).unwrap());
        let mut line = BytesMut::new();
        Buffers::of(list.to_vec()).put(&mut line);
        let end = line.len();
        line.put_slice(b",\"result\":null}");
        let buffers = Buffers::read(&line).unwrap();
        assert_eq!(buffers.list(), list);
        assert_eq!((buffers.end(), buffers.bytes()), (end, 33_554_432 + 5 + 16));
        assert_eq!(read("[]").unwrap().bytes(), 0);
    }

    #[test]
    fn nonsense_is_refused_and_what_follows_is_known_where_it_can_be() {
        let many = vec![r#"{"dtype":"|u1","shape":[1],"bytes":1}"#; MAX_BUFFERS + 1].join(",");
        let deep = vec!["1"; MAX_DIMENSIONS + 1].join(",");
        for (description, error, following) in [
            ("[5]".to_owned(), BuffersError::Description, None),
            ("[".to_owned(), BuffersError::Description, None),
            (
                r#"[{"dtype":"<u2","shape":[3],"bytes":7}]"#.to_owned(),
                BuffersError::Shape { index: 0 },
                Some(8),
            ),
            (
                r#"[{"dtype":"|u1","shape":[3],"bytes":3},{"dtype":"<u3","shape":[1],"bytes":3}]"#.to_owned(),
                BuffersError::Dtype { index: 1 },
                Some(7),
            ),
            (
                r#"[{"dtype":"<u8","shape":[4294967296,4294967296,4294967296],"bytes":8}]"#.to_owned(),
                BuffersError::Shape { index: 0 },
                Some(9),
            ),
            (
                r#"[{"dtype":"|u1","shape":[-1],"bytes":1}]"#.to_owned(),
                BuffersError::Shape { index: 0 },
                Some(2),
            ),
            (
                r#"[{"dtype":"|u1","shape":[1],"bytes":1,"more":1}]"#.to_owned(),
                BuffersError::Description,
                Some(2),
            ),
            (
                r#"[{"dtype":"|u1","shape":[1],"bytes":1.5}]"#.to_owned(),
                BuffersError::Description,
                None,
            ),
            (
                r#"[{"dtype":"|u1","shape":[1],"bytes":18446744073709551615}]"#.to_owned(),
                BuffersError::Shape { index: 0 },
                None,
            ),
            (
                format!(r#"[{{"dtype":"|u1","shape":[{deep}],"bytes":1}}]"#),
                BuffersError::Dimensions { index: 0 },
                Some(2),
            ),
            (format!("[{many}]"), BuffersError::TooMany { count: 65 }, Some(66)),
            (
                format!("[{}5]", "5,".repeat(MAX_DESCRIPTION_BYTES)),
                BuffersError::Description,
                None,
            ),
        ] {
            assert_eq!(
                read(&description),
                Err(WrongBuffers { error, following }),
                "{description:.100}"
            );
        }
    }
}
