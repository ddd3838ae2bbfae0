//! Puts arrays into the text that refers to their buffers, for peers without the feature `binary`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use memchr::memmem;

use super::{Buffer, Buffers, MAX_DESCRIPTION_BYTES};
use crate::frames;

/// The bytes of buffers, and of their descriptions, that are put into a text in any case.
const MAX_INLINED_BYTES: usize = 1024 * 1024 * 1024;

/// The key of an object that refers to a buffer, in quotes.
const REFERENCE: &[u8] = b"\"$buffer\"";

impl Buffers {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::{Dtype, MAX_DIMENSIONS};

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
