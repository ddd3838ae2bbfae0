//! Splits a line into names, keys, quoted texts and values, from left to right.

use std::borrow::Cow;

use super::TerminalError;
use super::literal::{self, Attempt};
use super::looks;

/// The name of a service or an attribute, if there is one.
pub(super) enum Name<'a> {
    /// A name, never empty.
    Word(Cow<'a, str>),
    /// The line ends before a name.
    End,
}

/// A tokenizer for one line.
pub(super) struct Tokens<'a> {
    line: &'a str,
    position: usize,
    /// The furthest position that a failed literal has read. Before it, a literal is tried only
    /// within its own word; otherwise a line of opening brackets would be read to its end once for
    /// each of them.
    read_to: usize,
}

impl<'a> Tokens<'a> {
    /// Creates a tokenizer. `line` must not end in white space.
    pub(super) fn new(line: &'a str) -> Self {
        Self {
            line,
            position: 0,
            read_to: 0,
        }
    }

    fn rest(&self) -> &'a str {
        &self.line[self.position..]
    }

    /// Returns the column of the next byte, in characters from 1.
    pub(super) fn column(&self) -> usize {
        self.column_at(self.position)
    }

    fn column_at(&self, position: usize) -> usize {
        self.line[..position].chars().count() + 1
    }

    /// Skips to the start of the next word. Returns `false` at the end of the line.
    pub(super) fn more(&mut self) -> bool {
        self.position += white_space(self.rest());
        self.position < self.line.len()
    }

    /// Reads the next word as a name.
    pub(super) fn name(&mut self) -> Result<Name<'a>, TerminalError> {
        if !self.more() {
            return Ok(Name::End);
        }
        let start = self.position;
        if !self.rest().starts_with(['"', '\'']) {
            return Ok(Name::Word(Cow::Borrowed(self.word())));
        }
        let name = self.quoted()?;
        if name.is_empty() {
            return Err(TerminalError::EmptyName {
                column: self.column_at(start),
            });
        }
        if !self.at_word_end() {
            return Err(self.text_after_quote());
        }
        Ok(Name::Word(name))
    }

    /// Reads the key and the `=` of a keyword argument, if the next word is one. A `=` at the end
    /// of the line belongs to a text, as in Base64.
    pub(super) fn key(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let is_inside = |character: char| character.is_alphanumeric() || character == '_';
        let length = rest.find(|character| !is_inside(character)).unwrap_or(rest.len());
        looks::add(length + 1);
        let key = &rest[..length];
        if key.chars().next().is_none_or(char::is_numeric) {
            return None;
        }
        let after_key = length + white_space(&rest[length..]);
        let value = rest[after_key..].strip_prefix('=')?;
        if value.is_empty() {
            return None;
        }
        self.position += after_key + 1 + white_space(value);
        Some(key)
    }

    /// Reads the next word, or words, as a value and writes it to `output` as JSON.
    pub(super) fn value(&mut self, output: &mut Vec<u8>) -> Result<(), TerminalError> {
        if self.rest().starts_with(['"', '\'']) {
            let text = self.quoted()?;
            write_string(&text, output);
            if self.rest().starts_with(',') {
                self.position += 1;
            } else if !self.at_word_end() {
                return Err(self.text_after_quote());
            }
            return Ok(());
        }
        let within = if self.position < self.read_to {
            word(self.rest())
        } else {
            self.rest()
        };
        match literal::read(within, output) {
            Attempt::Literal { length } => self.position += length,
            Attempt::Text { looked } => {
                self.read_to = self.read_to.max(self.position + looked);
                let text = self.word();
                write_string(text, output);
            }
            Attempt::TooDeep => {
                return Err(TerminalError::TooDeep {
                    column: self.column(),
                });
            }
        }
        Ok(())
    }

    fn word(&mut self) -> &'a str {
        let word = word(self.rest());
        self.position += word.len();
        word
    }

    /// Reads the quoted text that starts here.
    fn quoted(&mut self) -> Result<Cow<'a, str>, TerminalError> {
        let rest = self.rest();
        let Some((text, length)) = quoted(rest) else {
            let quote = if rest.starts_with('"') { '"' } else { '\'' };
            return Err(TerminalError::UnclosedQuote {
                quote,
                column: self.column(),
            });
        };
        self.position += length;
        Ok(text)
    }

    fn at_word_end(&self) -> bool {
        self.rest().chars().next().is_none_or(char::is_whitespace)
    }

    fn text_after_quote(&self) -> TerminalError {
        TerminalError::TextAfterQuote {
            column: self.column_at(self.position - 1),
        }
    }
}

/// Returns the number of bytes of white space at the start of `text`.
pub(super) fn white_space(text: &str) -> usize {
    let length = text.len() - text.trim_start().len();
    looks::add(length + 1);
    length
}

/// Returns the start of `text` up to white space.
fn word(text: &str) -> &str {
    let length = text.find(char::is_whitespace).unwrap_or(text.len());
    looks::add(length + 1);
    &text[..length]
}

/// Writes `text` as a JSON string.
pub(super) fn write_string(text: &str, output: &mut Vec<u8>) {
    looks::add(text.len());
    serde_json::to_writer(output, text).expect("a string can be written to memory");
}

/// Returns the text between the quote at the start of `text` and the next one of the same kind,
/// with its escapes decoded, and its length in bytes including quotes. Returns `None` if the quote
/// is not closed.
pub(super) fn quoted(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    let quote = *bytes.first()?;
    let mut decoded = String::new();
    let mut copied = 1;
    let mut position = 1;
    loop {
        let Some(distance) = memchr::memchr2(quote, b'\\', &bytes[position..]) else {
            looks::add(bytes.len() - position);
            return None;
        };
        looks::add(distance + 1);
        position += distance;
        if bytes[position] == quote {
            let last = &text[copied..position];
            let text = if copied == 1 {
                Cow::Borrowed(last)
            } else {
                decoded.push_str(last);
                Cow::Owned(decoded)
            };
            return Some((text, position + 1));
        }
        if let Some((character, length)) = escape(&text[position..]) {
            decoded.push_str(&text[copied..position]);
            decoded.push(character);
            position += length;
            copied = position;
        } else {
            // The backslash and the byte after it are kept: an escaped quote or backslash was
            // handled above.
            position += 1;
        }
    }
}

/// Returns the character of the escape at the start of `text`, and the escape's length. Returns
/// `None` if it is not a valid escape, which includes half of a surrogate pair.
fn escape(text: &str) -> Option<(char, usize)> {
    let simple = match *text.as_bytes().get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        same @ (b'\\' | b'/' | b'"' | b'\'') => char::from(same),
        b'x' => return Some((char::from_u32(hexadecimal(text, 2, 2)?)?, 4)),
        b'U' => return Some((char::from_u32(hexadecimal(text, 2, 8)?)?, 10)),
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((simple, 2))
}

fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = hexadecimal(text, 2, 4)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, 6));
    }
    if text.get(6..8)? != "\\u" {
        return None;
    }
    let pair = [unit, hexadecimal(text, 8, 4)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, 12))
}

/// Returns the value of `length` hexadecimal digits at `start`.
fn hexadecimal(text: &str, start: usize, length: usize) -> Option<u32> {
    let digits = text.get(start..start + length)?;
    looks::add(length);
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}
