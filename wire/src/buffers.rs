//! Buffers: raw bytes that follow the line of a frame, for peers with the feature `binary`.
//!
//! The line of such a frame begins, byte for byte, with [`BEGINNING`]. Its first member describes the
//! buffers; arguments and results refer to them as `{"$buffer":0}`. The bytes of all buffers follow
//! the line, then [`END`].

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use memchr::memmem;
use serde_json::Value;

use crate::frames;

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

/// The bytes of buffers, and of their descriptions, that are put into a text in any case.
const MAX_INLINED_BYTES: usize = 1024 * 1024 * 1024;

/// The key of an object that refers to a buffer, in quotes.
const REFERENCE: &[u8] = b"\"$buffer\"";

/// The position of the description in a line.
const DESCRIPTION_START: usize = BEGINNING.len() - 1;

/// The order of the bytes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// `<`: the least significant byte comes first.
    Little,
    /// `>`: the most significant byte comes first.
    Big,
    /// `|`: an item is one byte, or has no order.
    None,
}

/// The kind of the items of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// `b`: false or true, in one byte.
    Bool,
    /// `i`: signed integers.
    Int,
    /// `u`: unsigned integers.
    Uint,
    /// `f`: floating-point numbers.
    Float,
    /// `c`: complex numbers, the real part first.
    Complex,
    /// `S`: text in bytes, filled with zeros.
    Text,
    /// `V`: bytes without a meaning.
    Void,
}

/// The type of the items of an array: the byte order, the kind and the number of bytes, as in
/// NumPy's `dtype.str`.
///
/// ```
/// use labwire_wire::buffers::Dtype;
///
/// let pixels: Dtype = "<u2".parse().expect("the text is a dtype");
/// assert_eq!(pixels.item_bytes(), 2);
/// assert_eq!(pixels.to_string(), "<u2");
/// assert!("<u3".parse::<Dtype>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dtype {
    order: ByteOrder,
    kind: ItemKind,
    item_bytes: u32,
}

/// A text is not the `str` of a supported NumPy dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a dtype is written as in NumPy's dtype.str, for example \"<u2\", \"<f8\" or \"|u1\"")]
pub struct UnknownDtype;

impl Dtype {
    /// Bytes: `|u1`.
    pub const BYTES: Self = Self {
        order: ByteOrder::None,
        kind: ItemKind::Uint,
        item_bytes: 1,
    };

    /// Returns the type of items of this kind and size.
    ///
    /// # Errors
    /// If there are no items of that size.
    pub fn new(order: ByteOrder, kind: ItemKind, item_bytes: u32) -> Result<Self, UnknownDtype> {
        let is_known = match kind {
            ItemKind::Bool => item_bytes == 1,
            ItemKind::Int | ItemKind::Uint => matches!(item_bytes, 1 | 2 | 4 | 8),
            ItemKind::Float => matches!(item_bytes, 2 | 4 | 8 | 16),
            ItemKind::Complex => matches!(item_bytes, 8 | 16 | 32),
            ItemKind::Text | ItemKind::Void => item_bytes > 0,
        };
        let needs_order = item_bytes > 1 && !matches!(kind, ItemKind::Text | ItemKind::Void);
        if !is_known || (needs_order && order == ByteOrder::None) {
            return Err(UnknownDtype);
        }
        let order = if needs_order { order } else { ByteOrder::None };
        Ok(Self {
            order,
            kind,
            item_bytes,
        })
    }

    /// Returns the order of an item's bytes.
    pub fn order(self) -> ByteOrder {
        self.order
    }

    /// Returns the kind of the items.
    pub fn kind(self) -> ItemKind {
        self.kind
    }

    /// Returns the number of bytes of an item.
    pub fn item_bytes(self) -> usize {
        self.item_bytes as usize
    }
}

impl std::str::FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(text: &str) -> Result<Self, UnknownDtype> {
        let [order, kind, size @ ..] = text.as_bytes() else {
            return Err(UnknownDtype);
        };
        let order = match order {
            b'<' => ByteOrder::Little,
            b'>' => ByteOrder::Big,
            b'|' => ByteOrder::None,
            _ => return Err(UnknownDtype),
        };
        let kind = match kind {
            b'b' => ItemKind::Bool,
            b'i' => ItemKind::Int,
            b'u' => ItemKind::Uint,
            b'f' => ItemKind::Float,
            b'c' => ItemKind::Complex,
            b'S' => ItemKind::Text,
            b'V' => ItemKind::Void,
            _ => return Err(UnknownDtype),
        };
        let is_number = size.iter().all(u8::is_ascii_digit) && !size.starts_with(b"0");
        let size = str::from_utf8(size).ok().filter(|_| is_number);
        let size = size.and_then(|size| size.parse().ok()).ok_or(UnknownDtype)?;
        Self::new(order, kind, size)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            ByteOrder::Little => '<',
            ByteOrder::Big => '>',
            ByteOrder::None => '|',
        };
        let kind = match self.kind {
            ItemKind::Bool => 'b',
            ItemKind::Int => 'i',
            ItemKind::Uint => 'u',
            ItemKind::Float => 'f',
            ItemKind::Complex => 'c',
            ItemKind::Text => 'S',
            ItemKind::Void => 'V',
        };
        write!(formatter, "{order}{kind}{}", self.item_bytes)
    }
}

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

    /// Returns JSON text in which `{"$array":…}` stands for each reference to one of these buffers.
    /// `raw` are the bytes of each buffer. References are short, and any number of them can be to one
    /// buffer: those for which the text would become longer than some gigabytes stay.
    ///
    /// ```
    /// use labwire_wire::buffers::{Buffer, Buffers, Dtype};
    ///
    /// let buffer = Buffer::new(Dtype::BYTES, [3]).expect("there is such an array");
    /// let text = Buffers::of(vec![buffer]).inlined(r#"[{"$buffer":0},{"$buffer":1}]"#, &[b"abc"]);
    /// assert_eq!(text, r#"[{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}},{"$buffer":1}]"#);
    /// ```
    ///
    /// # Panics
    ///
    /// If `raw` are not the bytes of these buffers.
    pub fn inlined(&self, text: &str, raw: &[&[u8]]) -> String {
        let mut inlined = BytesMut::with_capacity(text.len() + self.bytes.div_ceil(3) * 4);
        let (mut written, mut left) = (0, MAX_INLINED_BYTES.max(2 * self.bytes));
        for (range, index) in references_in(text.as_bytes()) {
            if let (Some(buffer), Some(bytes)) = (self.list.get(index), raw.get(index)) {
                match left.checked_sub(buffer.bytes + buffer.described()) {
                    Some(rest) => left = rest,
                    None => break,
                }
                inlined.put_slice(&text.as_bytes()[written..range.start]);
                put_array(&mut inlined, buffer, bytes);
                written = range.end;
            }
        }
        inlined.put_slice(&text.as_bytes()[written..]);
        String::from_utf8(inlined.into()).expect("text and base64 are UTF-8")
    }

    /// Returns the number of bytes of a part of the line in which the object with the bytes in base64
    /// stands for each reference, as in [`without_feature`](Self::without_feature).
    ///
    /// ```
    /// use labwire_wire::buffers::Buffers;
    ///
    /// let line = br#"{"buffers":[{"dtype":"|u1","shape":[3],"bytes":3}],"result":{"$buffer":0}}"#;
    /// let buffers = Buffers::read(line).expect("the description is valid");
    /// let text = r#"{"$array":{"dtype":"|u1","shape":[3],"base64":"YWJj"}}"#;
    /// assert_eq!(buffers.converted_length(br#"{"$buffer":0}"#), text.len());
    /// ```
    pub fn converted_length(&self, text: &[u8]) -> usize {
        let mut described = BytesMut::new();
        let objects: Vec<_> = self
            .list
            .iter()
            .map(|buffer| {
                described.clear();
                put_array(
                    &mut described,
                    &Buffer {
                        bytes: 0,
                        ..buffer.clone()
                    },
                    b"",
                );
                described.len().saturating_add(encoded_length(buffer.bytes))
            })
            .collect();
        let mut length = text.len();
        for (range, index) in references_in(text) {
            if let Some(object) = objects.get(index) {
                length = (length - range.len()).saturating_add(*object);
            }
        }
        length
    }

    /// Returns a line without buffers, with CR LF, for a peer without the feature: the line that
    /// these were [read](Self::read) from, with `{"$array":…}` for each `{"$buffer":…}`. `raw` are the
    /// bytes of all buffers. A reference to a buffer that does not exist stays as it is.
    ///
    /// Returns `None` if the referenced buffers have more than `limit` bytes.
    ///
    /// ```
    /// use labwire_wire::buffers::Buffers;
    ///
    /// let line = br#"{"buffers":[{"dtype":"|u1","shape":[3],"bytes":3}],"result":{"$buffer":0}}"#;
    /// let buffers = Buffers::read(line).expect("the description is valid");
    /// assert_eq!(
    ///     buffers.without_feature(line, b"abc", 100).expect("it is short"),
    ///     "{\"result\":{\"$array\":{\"dtype\":\"|u1\",\"shape\":[3],\"base64\":\"YWJj\"}}}\r\n",
    /// );
    /// ```
    ///
    /// # Panics
    ///
    /// If `raw` is shorter than the buffers.
    pub fn without_feature(&self, line: &[u8], raw: &[u8], limit: usize) -> Option<BytesMut> {
        let rest = &line[self.end..];
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b",").unwrap_or(rest);
        let mut references = Vec::new();
        let (mut bytes, mut described) = (0_usize, 0_usize);
        for (range, index) in references_in(rest) {
            let Some(buffer) = self.list.get(index) else {
                continue;
            };
            bytes = bytes.saturating_add(buffer.bytes);
            described += buffer.described();
            // A reference is short, and stands for a description also if the buffer is empty.
            if bytes > limit || described > limit.max(MAX_DESCRIPTION_BYTES) {
                return None;
            }
            references.push((range, index));
        }
        // Of each buffer, two bytes of padding at most.
        let encoded = bytes.div_ceil(3) * 4 + 4 * references.len();
        let mut text = BytesMut::with_capacity(rest.len() + 16 + encoded + described);
        text.put_u8(b'{');
        let mut written = 0;
        for (range, index) in references {
            text.put_slice(&rest[written..range.start]);
            let start: usize = self.list[..index].iter().map(Buffer::bytes).sum();
            let buffer = &self.list[index];
            put_array(&mut text, buffer, &raw[start..start + buffer.bytes]);
            written = range.end;
        }
        text.put_slice(&rest[written..]);
        text.put_slice(frames::TERMINATOR);
        Some(text)
    }
}

/// Returns the number of bytes of so many bytes in base64.
fn encoded_length(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Appends the object that stands for an array in a line without buffers:
/// `{"$array":{"dtype":"<u2","shape":[2,3],"base64":"…"}}`.
///
/// # Panics
///
/// If `bytes` does not have as many bytes as the buffer.
pub fn put_array(text: &mut BytesMut, buffer: &Buffer, bytes: &[u8]) {
    assert_eq!(bytes.len(), buffer.bytes, "the array has another length");
    text.put_slice(b"{\"$array\":{");
    buffer.put_type(text);
    text.put_slice(b",\"base64\":\"");
    let start = text.len();
    text.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut text[start..]);
    debug_assert_eq!(written.ok(), Some(text.len() - start));
    text.put_slice(b"\"}}");
}

/// Finds the objects `{"$buffer":N}` in well-formed JSON text. Returns their positions and the
/// numbers.
///
/// In JSON text a quote within a string has a backslash before it, so the key in quotes is never a
/// part of a string.
fn references_in(text: &[u8]) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    memmem::find_iter(text, REFERENCE).filter_map(|key| {
        let before = text[..key].trim_ascii_end();
        let start = before.len().checked_sub(1).filter(|at| before[*at] == b'{')?;
        let skip = |from: usize| from + text[from..].len() - text[from..].trim_ascii_start().len();
        let colon = skip(key + REFERENCE.len());
        if text.get(colon) != Some(&b':') {
            return None;
        }
        let number = skip(colon + 1);
        let digits = text[number..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = skip(number + digits);
        if text.get(end) != Some(&b'}') {
            return None;
        }
        let number = str::from_utf8(&text[number..number + digits])
            .ok()?
            .parse()
            .ok()?;
        Some((start..end + 1, number))
    })
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
    fn references_to_empty_buffers_with_long_shapes_are_not_converted_without_a_bound() {
        let shape = [&[0], &[usize::MAX; MAX_DIMENSIONS - 1][..]].concat();
        let buffer = Buffer::new(Dtype::BYTES, shape).unwrap();
        let mut line = BytesMut::new();
        Buffers::of(vec![buffer]).put(&mut line);
        let line = |count: usize| {
            let references = vec!["{\"$buffer\":0}"; count].join(",");
            [&line[..], format!(",\"result\":[{references}]}}").as_bytes()].concat()
        };
        for (count, limit, is_converted) in [
            (50, 0, true),
            (100, 0, false),
            (1_000, 1 << 20, true),
            (10_000, 1 << 20, false),
        ] {
            let line = line(count);
            let buffers = Buffers::read(&line).unwrap();
            let converted = buffers.without_feature(&line, b"", limit);
            assert_eq!(converted.is_some(), is_converted, "{count} {limit}");
            assert!(converted.is_none_or(|line| line.len() < line.capacity() && line.capacity() < 3 << 20));
        }
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

    #[test]
    fn only_dtypes_of_numpy_are_known() {
        for known in [
            "|b1", "|i1", "<i8", ">u4", "<f2", "<f8", "<f16", "<c8", "|S20", "|V7",
        ] {
            assert_eq!(known.parse::<Dtype>().unwrap().to_string(), known);
        }
        assert_eq!("<u1".parse::<Dtype>().unwrap(), Dtype::BYTES);
        for unknown in [
            "",
            "<",
            "u2",
            "<u",
            "|u2",
            "<u02",
            "<u+2",
            "<x4",
            "<f3",
            "|O8",
            "<u2 ",
            "|S0",
            "|S99999999999",
        ] {
            assert_eq!(unknown.parse::<Dtype>(), Err(UnknownDtype), "{unknown}");
        }
    }

    #[test]
    fn references_become_arrays_wherever_they_stand_and_strings_do_not() {
        let line = br#"{"buffers":[{"dtype":"|u1","shape":[3],"bytes":3},{"dtype":"<u2","shape":[1],"bytes":2}],"args":[ { "$buffer" : 1 },"{\"$buffer\":0}","{",{"$buffer":7},{"$buffer":0,"x":1},["$buffer",{"a":"$buffer"}]],"kwargs":{"k":{"$buffer":0}}}"#;
        let buffers = Buffers::read(line).unwrap();
        let converted = buffers.without_feature(line, b"abcde", 5).unwrap();
        let expected = "{\"args\":[ {\"$array\":{\"dtype\":\"<u2\",\"shape\":[1],\"base64\":\"ZGU=\"}},\"{\\\"$buffer\\\":0}\",\"{\",{\"$buffer\":7},{\"$buffer\":0,\"x\":1},[\"$buffer\",{\"a\":\"$buffer\"}]],\"kwargs\":{\"k\":{\"$array\":{\"dtype\":\"|u1\",\"shape\":[3],\"base64\":\"YWJj\"}}}}\r\n";
        assert_eq!(str::from_utf8(&converted).unwrap(), expected);
        let rest = &line[buffers.end() + 1..];
        assert_eq!(buffers.converted_length(rest), converted.len() - "{\r\n".len());
        assert_eq!(buffers.without_feature(line, b"abcde", 4), None);
        let alone = br#"{"buffers":[]}"#;
        assert_eq!(
            Buffers::read(alone)
                .unwrap()
                .without_feature(alone, b"", 0)
                .unwrap(),
            "{}\r\n"
        );
    }
}
