//! Scans a JSON object in one pass, without building a tree.
//!
//! Accepts JSON as in RFC 8259, and the three tokens `NaN`, `Infinity` and `-Infinity` as values,
//! since Python's `json.dumps` writes them and laboratory data often contains them. A `\u` escape
//! may be half of a surrogate pair, as Python writes for file names that are not UTF-8: what is not
//! decoded here must not be refused here. Numbers are not converted, nothing is allocated, and
//! nesting is counted without recursion.

mod compact;
mod object;
mod plain;
mod quick;
mod scanner;
mod text;

use std::convert::Infallible;
use std::ops::Range;

use scanner::Scanner;

pub use compact::compact;
pub(crate) use object::{Members, ObjectScan, scan_members};
pub use text::RawString;

/// The deepest nesting of arrays and objects, the outermost object included.
pub const MAX_DEPTH: usize = 1_024;

/// The demands of a JSON text on its reader, beyond being well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The nesting depth of arrays and objects, the outermost object included.
    pub depth: usize,
    /// The number of digits of its longest integer, if that has more than [`FEW_DIGITS`]; otherwise
    /// any number up to that.
    pub integer_digits: usize,
}

/// A number of digits that every reader supports.
pub const FEW_DIGITS: usize = 64;

/// The reason why a line is not the expected JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text ends before its value does.
    #[error("the JSON text ends too early")]
    UnexpectedEnd,
    /// A byte that is not allowed there.
    #[error("the JSON text is malformed at byte {0}")]
    UnexpectedByte(usize),
    /// An unescaped control character inside a string.
    #[error("a control character at byte {0} must be escaped")]
    ControlCharacter(usize),
    /// An escape that is not defined in JSON.
    #[error("the escape at byte {0} is not one of JSON's")]
    BadEscape(usize),
    /// The string that starts there is not UTF-8.
    #[error("the string at byte {0} is not valid UTF-8")]
    NotUtf8(usize),
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error("the JSON text is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The text is JSON, but not an object.
    #[error("the line must be a JSON object")]
    NotAnObject,
}

impl JsonError {
    /// Returns the error for a text with this many bytes before it.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        match self {
            Self::UnexpectedByte(at) => Self::UnexpectedByte(at + bytes),
            Self::ControlCharacter(at) => Self::ControlCharacter(at + bytes),
            Self::BadEscape(at) => Self::BadEscape(at + bytes),
            Self::NotUtf8(at) => Self::NotUtf8(at + bytes),
            Self::UnexpectedEnd | Self::TooDeep | Self::NotAnObject => self,
        }
    }
}

/// Scans the JSON object in `bytes` and passes each of its members to `member`: the key, and the
/// position of its value. Only white space is allowed around the object.
///
/// Returns `Ok` with the shape after the whole text was checked. Members are passed on as they are
/// found, so what `member` has collected is valid only then. An error of `member` ends the scan.
pub fn scan_object<'a, E, F>(bytes: &'a [u8], member: F) -> Result<Shape, E>
where
    E: From<JsonError>,
    F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
{
    object::scan_members(bytes, &mut Unknown(member))
}

/// The members of an object without known keys.
struct Unknown<F>(F);

impl<'a, E, F> Members<'a> for Unknown<F>
where
    E: From<JsonError>,
    F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
{
    type Key = Infallible;
    type Error = E;

    fn known(_: &[u8]) -> Option<(Infallible, usize)> {
        None
    }

    fn member(&mut self, key: Infallible, _: Range<usize>, _: bool) -> Result<(), E> {
        match key {}
    }

    fn other(&mut self, key: RawString<'a>, value: Range<usize>) -> Result<(), E> {
        self.0(key, value)
    }
}

/// Returns the string in a value's bytes; `None` if the value is not a string.
///
/// `value` is a span from [`scan_object`]: it is not checked again.
pub fn as_string(value: &[u8]) -> Option<RawString<'_>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(RawString {
        inner,
        escaped: memchr::memchr(b'\\', inner).is_some(),
    })
}

/// Returns whether a text is exactly one number.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let is_begun = matches!(text, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
    let mut scanner = Scanner::new(text);
    is_begun && scanner.skip_value().is_ok() && scanner.position == text.len()
}

/// Returns the string or number at the start of a text of any bytes. Returns `None` if there is
/// neither, or if it may be incomplete.
///
/// Reads no further than the end of that value.
pub(crate) fn leading_scalar(text: &[u8]) -> Option<&[u8]> {
    if text.first() == Some(&b'"') {
        let mut scanner = Scanner::new(text);
        scanner.skip_string().ok()?;
        return Some(&text[..scanner.position]);
    }
    let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = text.iter().position(|byte| !is_of_number(byte))?;
    let (number, rest) = text.split_at(length);
    let has_end = matches!(rest[0], b',' | b'}' | b']' | b' ' | b'\t' | b'\r');
    (has_end && is_number(number)).then_some(number)
}

/// Returns whether a value is an array of an array and an object: positional and keyword arguments,
/// the form of a notification's result.
///
/// `value` is a span from [`scan_object`].
pub fn is_arguments_pair(value: &[u8]) -> bool {
    let pair = || -> Result<bool, JsonError> {
        let mut scanner = Scanner::new(value);
        scanner.expect(b'[')?;
        scanner.skip_white_space();
        let positional = scanner.peek() == Some(b'[');
        scanner.skip_value()?;
        scanner.skip_white_space();
        scanner.expect(b',')?;
        scanner.skip_white_space();
        let keyword = scanner.peek() == Some(b'{');
        scanner.skip_value()?;
        scanner.skip_white_space();
        scanner.expect(b']')?;
        Ok(positional && keyword)
    };
    pair().unwrap_or(false)
}

/// Returns the elements of the JSON array in `value`, each as it was written.
///
/// The whole text is checked; white space around the array is allowed.
pub fn array_elements(value: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut elements = Vec::new();
    scan_elements(value, |element| {
        elements.push(element);
        true
    })?;
    Ok(elements)
}

/// Returns the elements of the JSON array in `value` if there are `N`, and `None` for anything else.
///
/// In a longer array, nothing after the element that is one too many is read.
pub fn exact_elements<const N: usize>(value: &[u8]) -> Option<[&[u8]; N]> {
    let mut elements = [&value[..0]; N];
    let mut count = 0;
    scan_elements(value, |element| {
        let place = elements.get_mut(count);
        count += 1;
        place.map(|place| *place = element).is_some()
    })
    .ok()?;
    (count == N).then_some(elements)
}

/// Calls `take` with each element of the JSON array in `value`, as long as that returns `true`.
pub(crate) fn scan_elements<'a>(
    value: &'a [u8],
    mut take: impl FnMut(&'a [u8]) -> bool,
) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(value);
    scanner.skip_white_space();
    scanner.expect(b'[')?;
    scanner.skip_white_space();
    if scanner.peek() == Some(b']') {
        scanner.position += 1;
        return scanner.expect_end();
    }
    loop {
        let start = scanner.position;
        scanner.skip_value()?;
        if !take(&value[start..scanner.position]) {
            return Ok(());
        }
        scanner.skip_white_space();
        match scanner.peek() {
            Some(b',') => {
                scanner.position += 1;
                scanner.skip_white_space();
            }
            Some(b']') => {
                scanner.position += 1;
                return scanner.expect_end();
            }
            _ => return Err(scanner.unexpected()),
        }
    }
}

/// Returns whether a value is an array of strings, like the lines of a traceback.
///
/// `value` is a span from [`scan_object`].
pub fn is_string_array(value: &[u8]) -> bool {
    let strings = || -> Result<bool, JsonError> {
        let mut scanner = Scanner::new(value);
        scanner.expect(b'[')?;
        scanner.skip_white_space();
        while scanner.peek() == Some(b'"') {
            scanner.skip_string()?;
            scanner.skip_white_space();
            if scanner.peek() == Some(b',') {
                scanner.position += 1;
                scanner.skip_white_space();
            }
        }
        Ok(scanner.peek() == Some(b']'))
    };
    strings().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_elements_are_as_many_as_asked_for_and_no_more_are_read() {
        assert_eq!(exact_elements(b" [1 , [2]] "), Some([&b"1"[..], b"[2]"]));
        assert_eq!(exact_elements::<0>(b"[ ]"), Some([]));
        for other in [
            &b"[1]"[..],
            b"[]",
            b"[1,2,3]",
            b"[1,2",
            b"[1,2]]",
            b"{}",
            b"[1,2,3,what",
        ] {
            assert_eq!(exact_elements::<2>(other), None);
        }
        let mut read = 0;
        let scanned = scan_elements(b"[1,2,3,what", |_| {
            read += 1;
            read < 3
        });
        assert_eq!((scanned, read), (Ok(()), 3));
    }

    fn elements(text: &str) -> Result<Vec<&str>, JsonError> {
        let found = array_elements(text.as_bytes())?;
        Ok(found
            .into_iter()
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
            .collect())
    }

    #[test]
    fn an_array_is_taken_apart_into_what_was_written() {
        assert_eq!(elements("[]"), Ok(vec![]));
        assert_eq!(elements(" [ ] "), Ok(vec![]));
        assert_eq!(
            elements(r#"[1.10 , [2,"],"], {"a":NaN},"x"]"#),
            Ok(vec!["1.10", r#"[2,"],"]"#, r#"{"a":NaN}"#, r#""x""#])
        );
        for malformed in ["", "1", "[1", "[1,]", "[1]]", "[1 2]", "{}"] {
            assert!(elements(malformed).is_err(), "{malformed}");
        }
    }
}
