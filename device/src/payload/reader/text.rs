//! Strings, and the decoding of their escapes.

use std::borrow::Cow;

use super::{Problem, Reader};

impl<'t> Reader<'t> {
    /// Reads the string that starts at the next byte, its opening quote.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>, Problem> {
        let inner = self.raw_string()?;
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        let mut decoded = String::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            decoded.push_str(&rest[..at]);
            let (character, length) = escape(&rest[at..])?;
            let Some(character) = character else {
                return Err(Problem::new("an escape is half of a surrogate pair"));
            };
            decoded.push(character);
            rest = &rest[at + length..];
        }
        decoded.push_str(rest);
        Ok(Cow::Owned(decoded))
    }

    /// Skips the string that starts at the next byte. Its escapes must be valid JSON, but may be
    /// undecodable.
    pub(super) fn skip_string(&mut self) -> Result<(), Problem> {
        let mut rest = self.raw_string()?;
        while let Some(at) = rest.find('\\') {
            let (_, length) = escape(&rest[at..])?;
            rest = &rest[at + length..];
        }
        Ok(())
    }

    /// Returns the text between the quotes.
    fn raw_string(&mut self) -> Result<&'t str, Problem> {
        let start = self.at + 1;
        let mut bytes = self.text.as_bytes()[start..].iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.at = start + at + 1;
                    return Ok(&self.text[start..start + at]);
                }
                // The escaped byte may be a quote.
                b'\\' => drop(bytes.next()),
                0..0x20 => return Err(Problem::new("a control character in a string must be escaped")),
                _ => {}
            }
        }
        Err(Problem::new("a string has no end"))
    }
}

/// Returns the character of the escape at the start of a text, and its length. Half of a surrogate
/// pair has no character.
fn escape(text: &str) -> Result<(Option<char>, usize), Problem> {
    let unknown = || Problem::new("an escape is not one of JSON's");
    let character = match text.as_bytes().get(1) {
        Some(&same @ (b'"' | b'\\' | b'/')) => char::from(same),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = unit(text).ok_or_else(unknown)?;
            if !(0xd800..0xdc00).contains(&first) {
                return Ok((char::from_u32(first), 6));
            }
            let second = text.get(6..).and_then(unit);
            return Ok(match second {
                Some(second @ 0xdc00..0xe000) => {
                    let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    (char::from_u32(joined), 12)
                }
                _ => (None, 6),
            });
        }
        _ => return Err(unknown()),
    };
    Ok((Some(character), 2))
}

/// Returns the number in the escape `\uXXXX` at the start of a text.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hexadecimal.then(|| u32::from_str_radix(digits, 16).ok())?
}
