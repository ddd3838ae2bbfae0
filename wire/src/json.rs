//! One pass over the bytes of a JSON object, without building a tree.
//!
//! Accepted is JSON as RFC 8259 has it, and the three tokens `NaN`, `Infinity` and `-Infinity` as values,
//! since Python's `json.dumps` writes them and laboratory data is full of them. A `\u` escape may name half
//! of a surrogate pair, as Python writes for file names that are not UTF-8: what is not decoded here must
//! not be refused here. No number is converted, nothing is allocated, and nesting is counted, never recursed.

use std::borrow::Cow;
use std::ops::Range;

use wide::u8x16;

use crate::numbers;

/// How deep arrays and objects may be nested, the outermost object included.
pub const MAX_DEPTH: usize = 1_024;

/// What a JSON text asks of its reader, beyond being well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// How deep arrays and objects are nested, the outermost object included.
    pub depth: usize,
    /// The number of digits of its longest integer, if that has more than [`FEW_DIGITS`]; else any number up to that.
    pub integer_digits: usize,
}

/// So many digits any reader can take.
pub const FEW_DIGITS: usize = 64;

/// Why a line is not the JSON object that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text ends before its value does.
    #[error("the JSON text ends too early")]
    UnexpectedEnd,
    /// A byte that cannot stand there.
    #[error("the JSON text is malformed at byte {0}")]
    UnexpectedByte(usize),
    /// A control character inside a string must be written as an escape.
    #[error("a control character at byte {0} must be escaped")]
    ControlCharacter(usize),
    /// An escape that JSON does not know.
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

/// A string of a JSON text that is known to be well-formed, still as it was written.
#[derive(Clone, Copy, Debug)]
pub struct RawString<'a> {
    /// What stands between the quotes.
    inner: &'a [u8],
    escaped: bool,
}

impl<'a> RawString<'a> {
    /// The string that its escapes mean; `None` when an escape is half of a surrogate pair.
    pub fn decode(self) -> Option<Cow<'a, str>> {
        let inner = std::str::from_utf8(self.inner).ok()?;
        if !self.escaped {
            return Some(Cow::Borrowed(inner));
        }
        let mut decoded = String::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            decoded.push_str(&rest[..at]);
            let (character, length) = decode_escape(&rest[at..])?;
            decoded.push(character);
            rest = &rest[at + length..];
        }
        decoded.push_str(rest);
        Some(Cow::Owned(decoded))
    }

    /// The string's bytes, if it holds no escapes.
    pub(crate) fn plain(self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.inner)
    }
}

/// The character that the escape at the start of `text` means, and the escape's length in bytes.
fn decode_escape(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().get(1)? {
        b'u' => return decode_unicode_escape(text),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        &other => char::from(other),
    };
    Some((simple, 2))
}

fn decode_unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let high = unit(2)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, 6));
    }
    if text.get(6..8)? != "\\u" {
        return None;
    }
    let low = unit(8)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    Some((
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?,
        12,
    ))
}

/// Reads the JSON object that `bytes` hold and gives each of its members to `member`: the key, and where
/// its value stands. White space around the object is allowed, anything else is not.
///
/// The whole text is checked before this returns `Ok`, with its shape; members are given out as
/// they are found, so what `member` collected counts only then. An error of `member` ends the scan.
pub fn scan_object<'a, E, F>(bytes: &'a [u8], mut member: F) -> Result<Shape, E>
where
    E: From<JsonError>,
    F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
{
    let mut scanner = Scanner::new(bytes);
    scanner.skip_white_space();
    match scanner.peek() {
        Some(b'{') => scanner.enter(Container::Object)?,
        Some(_) => {
            scanner.skip_value()?;
            scanner.expect_end()?;
            return Err(JsonError::NotAnObject.into());
        }
        None => return Err(JsonError::UnexpectedEnd.into()),
    }
    scanner.skip_white_space();
    if scanner.peek() == Some(b'}') {
        scanner.position += 1;
        scanner.expect_end()?;
        return Ok(scanner.shape);
    }
    loop {
        let key = scanner.read_key()?;
        let start = scanner.position;
        scanner.skip_value()?;
        member(key, start..scanner.position)?;
        scanner.skip_white_space();
        match scanner.peek() {
            Some(b',') => {
                scanner.position += 1;
                scanner.skip_white_space();
            }
            Some(b'}') => {
                scanner.position += 1;
                scanner.expect_end()?;
                return Ok(scanner.shape);
            }
            _ => return Err(scanner.unexpected().into()),
        }
    }
}

/// The string that a value's bytes hold; `None` when the value is not a string.
///
/// `value` is a span that [`scan_object`] gave out: it is not checked again.
pub fn as_string(value: &[u8]) -> Option<RawString<'_>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(RawString {
        inner,
        escaped: memchr::memchr(b'\\', inner).is_some(),
    })
}

/// Whether a value's bytes are a two-element array of an array and an object: positional and keyword
/// arguments, the form of a notification's result.
///
/// `value` is a span that [`scan_object`] gave out.
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

/// The elements of the JSON array that `value` holds, each as it was written.
///
/// The whole text is checked; white space around the array is allowed.
pub fn array_elements(value: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut scanner = Scanner::new(value);
    scanner.skip_white_space();
    scanner.expect(b'[')?;
    scanner.skip_white_space();
    let mut elements = Vec::new();
    if scanner.peek() == Some(b']') {
        scanner.position += 1;
        scanner.expect_end()?;
        return Ok(elements);
    }
    loop {
        let start = scanner.position;
        scanner.skip_value()?;
        elements.push(&value[start..scanner.position]);
        scanner.skip_white_space();
        match scanner.peek() {
            Some(b',') => {
                scanner.position += 1;
                scanner.skip_white_space();
            }
            Some(b']') => {
                scanner.position += 1;
                scanner.expect_end()?;
                return Ok(elements);
            }
            _ => return Err(scanner.unexpected()),
        }
    }
}

/// Whether a value's bytes are an array of strings: the lines of a traceback.
///
/// `value` is a span that [`scan_object`] gave out.
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: usize,
    shape: Shape,
    /// One bit per open container, set for an object: what a comma or a closing bracket must fit.
    objects: [u64; MAX_DEPTH / 64],
    /// Up to where no list of numbers is looked for.
    no_list_before: usize,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            depth: 0,
            shape: Shape::default(),
            objects: [0; MAX_DEPTH / 64],
            no_list_before: 0,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn unexpected(&self) -> JsonError {
        if self.position < self.bytes.len() {
            JsonError::UnexpectedByte(self.position)
        } else {
            JsonError::UnexpectedEnd
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.position += 1;
        Ok(())
    }

    fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_white_space();
        if self.position < self.bytes.len() {
            Err(self.unexpected())
        } else {
            Ok(())
        }
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    /// Goes past the bracket that opens a container.
    fn enter(&mut self, container: Container) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        match container {
            Container::Object => self.objects[word] |= bit,
            Container::Array => self.objects[word] &= !bit,
        }
        self.depth += 1;
        self.shape.depth = self.shape.depth.max(self.depth);
        self.position += 1;
        Ok(())
    }

    fn innermost(&self) -> Container {
        let index = self.depth - 1;
        if self.objects[index / 64] & (1 << (index % 64)) == 0 {
            Container::Array
        } else {
            Container::Object
        }
    }

    /// Reads a key and its colon, up to where the value starts.
    fn read_key(&mut self) -> Result<RawString<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.position + 1;
        let escaped = self.skip_string()?;
        let inner = &self.bytes[start..self.position - 1];
        self.skip_white_space();
        self.expect(b':')?;
        self.skip_white_space();
        Ok(RawString { inner, escaped })
    }

    /// Goes past one value, with all that is inside it.
    fn skip_value(&mut self) -> Result<(), JsonError> {
        let outside = self.depth;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.skip_string()?;
                }
                Some(b'0'..=b'9' | b'-') if self.skip_numbers(outside) => continue,
                Some(b'0'..=b'9') => self.skip_number()?,
                Some(b'-') => self.skip_negative()?,
                Some(b'[') => {
                    self.enter(Container::Array)?;
                    self.skip_white_space();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                    self.leave();
                }
                Some(b'{') => {
                    self.enter(Container::Object)?;
                    self.skip_white_space();
                    if self.peek() != Some(b'}') {
                        self.read_key()?;
                        continue;
                    }
                    self.leave();
                }
                Some(b't') => self.skip_word(b"true")?,
                Some(b'f') => self.skip_word(b"false")?,
                Some(b'n') => self.skip_word(b"null")?,
                Some(b'N') => self.skip_word(b"NaN")?,
                Some(b'I') => self.skip_word(b"Infinity")?,
                _ => return Err(self.unexpected()),
            }
            if !self.skip_after_value(outside)? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends here. `true` when another value follows, `false` when the containers
    /// that were opened since `outside` are all closed.
    fn skip_after_value(&mut self, outside: usize) -> Result<bool, JsonError> {
        while self.depth > outside {
            self.skip_white_space();
            match (self.peek(), self.innermost()) {
                (Some(b','), container) => {
                    self.position += 1;
                    self.skip_white_space();
                    if container == Container::Object {
                        self.read_key()?;
                    }
                    return Ok(true);
                }
                (Some(b']'), Container::Array) | (Some(b'}'), Container::Object) => self.leave(),
                _ => return Err(self.unexpected()),
            }
        }
        Ok(false)
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.position += 1;
    }

    /// Goes past numbers of an array as long as that is quick, up to the start of a value; tells whether it went
    /// past any.
    fn skip_numbers(&mut self, outside: usize) -> bool {
        if self.position < self.no_list_before || self.depth <= outside {
            return false;
        }
        let start = self.position;
        if self.innermost() == Container::Array {
            while let Some(block) = self.bytes[self.position..].first_chunk()
                && let Some(length) = numbers::whole_numbers(block)
            {
                self.position += length;
                self.skip_white_space();
                if !matches!(self.peek(), Some(b'0'..=b'9' | b'-')) {
                    break;
                }
            }
        }
        if self.position == start {
            // Where there are other things between the numbers, looking for lists of them costs more than it gains.
            self.no_list_before = start + 4 * numbers::BLOCK;
        }
        self.position > start
    }

    fn skip_word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let rest = &self.bytes[self.position..];
        if rest.starts_with(word) {
            self.position += word.len();
            return Ok(());
        }
        let same = rest.iter().zip(word).take_while(|(a, b)| a == b).count();
        self.position += same;
        Err(self.unexpected())
    }

    fn skip_negative(&mut self) -> Result<(), JsonError> {
        self.position += 1;
        match self.peek() {
            Some(b'I') => self.skip_word(b"Infinity"),
            Some(b'0'..=b'9') => self.skip_number(),
            _ => Err(self.unexpected()),
        }
    }

    /// Goes past a number without its sign.
    fn skip_number(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.skip_digits()?;
        }
        let digits = self.position - start;
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.skip_digits()?;
        }
        if self.position - start == digits {
            self.shape.integer_digits = self.shape.integer_digits.max(digits);
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), JsonError> {
        let digits = self.bytes[self.position..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Err(self.unexpected());
        }
        self.position += digits;
        Ok(())
    }

    /// Goes past a string, its quotes included; tells whether it holds an escape.
    fn skip_string(&mut self) -> Result<bool, JsonError> {
        let quote = self.position;
        let mut escaped = false;
        let mut ascii = true;
        self.position += 1;
        loop {
            ascii &= self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return Err(JsonError::ControlCharacter(self.position)),
                None => return Err(JsonError::UnexpectedEnd),
            }
        }
        if !ascii && std::str::from_utf8(&self.bytes[quote + 1..self.position]).is_err() {
            return Err(JsonError::NotUtf8(quote));
        }
        self.position += 1;
        Ok(escaped)
    }

    /// Goes on to the next quote, backslash or control character; tells whether all was ASCII.
    ///
    /// Sixteen bytes at a time: most of a large frame is the inside of strings.
    fn skip_plain(&mut self) -> bool {
        let (quote, backslash) = (u8x16::splat(b'"'), u8x16::splat(b'\\'));
        let last_control = u8x16::splat(0x1f);
        let mut is_ascii = true;
        while let Some(block) = self.bytes[self.position..].first_chunk() {
            let bytes = u8x16::new(*block);
            let controls = bytes.min(last_control).simd_eq(bytes);
            let stops = (bytes.simd_eq(quote) | bytes.simd_eq(backslash) | controls).to_bitmask();
            // The highest bit of each byte.
            let others = bytes.to_bitmask();
            if stops != 0 {
                let before = stops.trailing_zeros();
                self.position += before as usize;
                return is_ascii && others & ((1 << before) - 1) == 0;
            }
            is_ascii &= others == 0;
            self.position += 16;
        }
        while let Some(&byte) = self.bytes.get(self.position)
            && byte != b'"'
            && byte != b'\\'
            && byte >= 0x20
        {
            is_ascii &= byte.is_ascii();
            self.position += 1;
        }
        is_ascii
    }

    fn skip_escape(&mut self) -> Result<(), JsonError> {
        let rest = &self.bytes[self.position + 1..];
        match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.position += 2,
            Some(b'u') if rest.len() < 5 => return Err(JsonError::UnexpectedEnd),
            Some(b'u') if rest[1..5].iter().all(u8::is_ascii_hexdigit) => self.position += 6,
            Some(_) => return Err(JsonError::BadEscape(self.position)),
            None => return Err(JsonError::UnexpectedEnd),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
