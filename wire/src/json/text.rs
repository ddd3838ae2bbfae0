//! Strings of a JSON text, and the decoding of their escapes.

use std::borrow::Cow;

/// A string of well-formed JSON, still as it was written.
#[derive(Clone, Copy, Debug)]
pub struct RawString<'a> {
    /// The text between the quotes.
    pub(super) inner: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> RawString<'a> {
    /// Decodes the escapes. Returns `None` if an escape is half of a surrogate pair.
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

    /// Returns the string's bytes, if it contains no escapes.
    pub(crate) fn plain(self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.inner)
    }
}

/// Returns the character of the escape at the start of `text`, and the escape's length in bytes.
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
