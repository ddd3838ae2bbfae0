//! Iterates over the values of a JSON text.

use std::ops::Range;

use wide::u8x16;

use super::plain::{STEP, skip_plain_steps};
use super::{JsonError, MAX_DEPTH, RawString, Shape};
use crate::numbers;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

/// A position from which a scan can continue once more of the text is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) position: usize,
    /// The number of containers that are open there.
    pub(super) depth: usize,
    pub(super) inside: Inside,
}

impl Checkpoint {
    /// Notes that bytes before the position were taken out of the text.
    pub(super) fn take_out(&mut self, range: &Range<usize>) {
        let moved = |place: usize| {
            if place < range.end {
                place.min(range.start)
            } else {
                place - range.len()
            }
        };
        self.position = moved(self.position);
        if let Inside::Text(text) = &mut self.inside {
            (text.quote, text.checked) = (moved(text.quote), moved(text.checked));
        }
    }
}

/// The position of a scan relative to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inside {
    /// Before the value, or before a value inside it.
    #[default]
    Before,
    /// In the middle of a string.
    Text(Text),
    /// After a value inside it, or after all of it.
    Behind,
}

/// The state of a string whose end has not been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The position of its opening quote.
    quote: usize,
    escaped: bool,
    /// The position up to which it is known to be UTF-8.
    checked: usize,
    /// Whether only ASCII lies between that and the position where the scan continues.
    ascii: bool,
}

impl Text {
    /// Returns the position up to which it is known to be well-formed.
    pub(super) fn checked(self) -> usize {
        self.checked
    }

    fn at(quote: usize) -> Self {
        Self {
            quote,
            escaped: false,
            checked: quote + 1,
            ascii: true,
        }
    }
}

/// The number of bytes that are compared at once.
pub(super) const LANES: usize = 16;

/// The length of a string after which the widest registers are used.
const LONG: usize = 64;

/// Sets all bits of each byte that ends the plain part of a string: a quote, a backslash, a control
/// character.
fn stops(bytes: u8x16) -> u8x16 {
    let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | controls
}

/// Scans a text.
///
/// If all of the text is there, as for most scans, it records no checkpoints, which would take a
/// fifth of the time for a short line. If the text is still `ARRIVING`, a line feed ends it.
pub(super) struct Scanner<'a, const ARRIVING: bool = false> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    pub(super) shape: Shape,
    pub(super) checkpoint: Checkpoint,
    open: OpenContainers,
    depth: usize,
    /// The position before which lists of numbers are not tried.
    no_list_before: usize,
}

/// One bit per open container, set for an object: determines which comma or closing bracket is
/// valid.
pub(super) type OpenContainers = [u64; MAX_DEPTH / 64];

impl<'a> Scanner<'a> {
    /// Creates a scanner for a complete text.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::from_checkpoint(bytes, Checkpoint::default(), Shape::default(), [0; _])
    }
}

impl<'a> Scanner<'a, true> {
    /// Creates a scanner that continues from another one's checkpoint, with more of the same text.
    pub(super) fn resume(
        bytes: &'a [u8],
        checkpoint: Checkpoint,
        shape: Shape,
        open: OpenContainers,
    ) -> Self {
        Self::from_checkpoint(bytes, checkpoint, shape, open)
    }
}

impl<'a, const ARRIVING: bool> Scanner<'a, ARRIVING> {
    pub(super) fn from_checkpoint(
        bytes: &'a [u8],
        checkpoint: Checkpoint,
        shape: Shape,
        open: OpenContainers,
    ) -> Self {
        Self {
            bytes,
            position: checkpoint.position,
            shape,
            checkpoint,
            open,
            depth: checkpoint.depth,
            no_list_before: 0,
        }
    }

    /// Returns the kinds of the open containers.
    pub(super) fn open(&self) -> OpenContainers {
        self.open
    }

    /// Records that a scan can continue from here.
    pub(super) fn pass(&mut self, inside: Inside) {
        if !ARRIVING {
            return;
        }
        self.checkpoint = Checkpoint {
            position: self.position,
            depth: self.depth,
            inside,
        };
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    pub(super) fn unexpected(&self) -> JsonError {
        if self.position < self.bytes.len() {
            JsonError::UnexpectedByte(self.position)
        } else {
            JsonError::UnexpectedEnd
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.position += 1;
        Ok(())
    }

    pub(super) fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_white_space();
        if self.position < self.bytes.len() {
            Err(self.unexpected())
        } else {
            Ok(())
        }
    }

    pub(super) fn skip_white_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek()
            // A line feed may be the line's end, if that has arrived: no string can contain one
            // either.
            && !(ARRIVING && byte == b'\n')
        {
            self.position += 1;
        }
    }

    /// Skips the bracket that opens a container.
    pub(super) fn enter(&mut self, container: Container) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        match container {
            Container::Object => self.open[word] |= bit,
            Container::Array => self.open[word] &= !bit,
        }
        self.depth += 1;
        self.shape.depth = self.shape.depth.max(self.depth);
        self.position += 1;
        Ok(())
    }

    fn innermost(&self) -> Container {
        let index = self.depth - 1;
        if self.open[index / 64] & (1 << (index % 64)) == 0 {
            Container::Array
        } else {
            Container::Object
        }
    }

    /// Reads a key and skips its colon, up to the start of the value.
    pub(super) fn read_key(&mut self) -> Result<RawString<'a>, JsonError> {
        let key = self.read_string()?;
        self.skip_white_space();
        self.expect(b':')?;
        self.skip_white_space();
        Ok(key)
    }

    /// Reads a string.
    pub(super) fn read_string(&mut self) -> Result<RawString<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.position + 1;
        let escaped = self.skip_string()?;
        let inner = &self.bytes[start..self.position - 1];
        Ok(RawString { inner, escaped })
    }

    /// Skips one value, with all that is inside it.
    pub(super) fn skip_value(&mut self) -> Result<(), JsonError> {
        self.skip_values(self.depth)
    }

    /// Skips a value and those that follow in the same container, until only `outside` containers
    /// are open.
    fn skip_values(&mut self, outside: usize) -> Result<(), JsonError> {
        loop {
            self.pass(Inside::Before);
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
                    match self.peek() {
                        Some(b']') => self.leave(),
                        Some(_) => continue,
                        None => return Err(JsonError::UnexpectedEnd),
                    }
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

    /// Skips the rest of a value from the checkpoint on. `outside` containers were open when the
    /// value began.
    pub(super) fn skip_rest(&mut self, outside: usize) -> Result<(), JsonError> {
        match self.checkpoint.inside {
            Inside::Before => {
                self.skip_white_space();
                return self.skip_values(outside);
            }
            Inside::Text(text) => {
                self.skip_text(text)?;
            }
            Inside::Behind => {}
        }
        if self.skip_after_value(outside)? {
            self.skip_values(outside)?;
        }
        Ok(())
    }

    /// Closes the containers that end after a value. Returns `true` if another value follows,
    /// `false` if only `outside` containers are open.
    fn skip_after_value(&mut self, outside: usize) -> Result<bool, JsonError> {
        while self.depth > outside {
            self.pass(Inside::Behind);
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

    /// Skips numbers of an array with the fast path, up to the start of a value. Returns whether it
    /// skipped any.
    fn skip_numbers(&mut self, outside: usize) -> bool {
        if self.position < self.no_list_before || self.depth <= outside {
            return false;
        }
        let start = self.position;
        if self.innermost() == Container::Array {
            self.position += numbers::skip_whole_numbers(&self.bytes[start..]);
            self.skip_white_space();
        }
        if self.position == start {
            // If other values are mixed in, trying the fast path costs more than it saves.
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

    /// Skips a number without its sign.
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
        if self.position == self.bytes.len() && self.depth > 0 {
            // More digits may follow.
            return Err(JsonError::UnexpectedEnd);
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

    /// Skips a string, including its quotes. Returns whether it contains an escape.
    pub(super) fn skip_string(&mut self) -> Result<bool, JsonError> {
        let quote = self.position;
        self.position += 1;
        if self.skip_short_string() {
            return Ok(false);
        }
        self.skip_text(Text::at(quote))
    }

    /// Skips the rest of a short string without special characters, such as a key or a name.
    /// Returns whether it is one.
    #[inline]
    fn skip_short_string(&mut self) -> bool {
        let rest = &self.bytes[self.position..];
        let Some(block) = rest.first_chunk() else {
            return false;
        };
        let bytes = u8x16::new(*block);
        let before = stops(bytes).to_bitmask().trailing_zeros();
        let others = bytes.to_bitmask().trailing_zeros();
        let is_short = before < others && rest.get(before as usize) == Some(&b'"');
        if is_short {
            self.position += before as usize + 1;
        }
        is_short
    }

    /// Skips the rest of a string, including its closing quote. Returns whether it contains an
    /// escape.
    fn skip_text(&mut self, mut text: Text) -> Result<bool, JsonError> {
        loop {
            text.ascii &= self.skip_plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    text.escaped = true;
                    if let Err(error) = self.skip_escape() {
                        return Err(self.pause(text, error));
                    }
                }
                Some(_) => return Err(JsonError::ControlCharacter(self.position)),
                None => return Err(self.pause(text, JsonError::UnexpectedEnd)),
            }
        }
        if !text.ascii && std::str::from_utf8(&self.bytes[text.checked..self.position]).is_err() {
            return Err(JsonError::NotUtf8(text.quote));
        }
        self.position += 1;
        Ok(text.escaped)
    }

    /// Records the progress in a string that continues beyond the available bytes. Returns the
    /// error that ends this scan.
    #[cold]
    fn pause(&mut self, mut text: Text, error: JsonError) -> JsonError {
        if error != JsonError::UnexpectedEnd {
            return error;
        }
        if text.ascii {
            text.checked = self.position;
        } else {
            match std::str::from_utf8(&self.bytes[text.checked..self.position]) {
                Ok(_) => (text.checked, text.ascii) = (self.position, true),
                Err(error) if error.error_len().is_none() => text.checked += error.valid_up_to(),
                Err(_) => return JsonError::NotUtf8(text.quote),
            }
        }
        let is_value = match self.checkpoint.inside {
            Inside::Before => self.checkpoint.position == text.quote,
            Inside::Text(begun) => begun.quote == text.quote,
            Inside::Behind => false,
        };
        // A key is read again as a whole: only what follows it determines the scan's position.
        if is_value {
            self.pass(Inside::Text(text));
        }
        error
    }

    /// Skips to the next quote, backslash or control character. Returns whether all was ASCII.
    fn skip_plain(&mut self) -> bool {
        let mut is_long_at = self.position + LONG;
        let mut is_ascii = true;
        while let Some(block) = self.bytes[self.position..].first_chunk() {
            let bytes = u8x16::new(*block);
            let stops = stops(bytes).to_bitmask();
            // The highest bit of each byte.
            let others = bytes.to_bitmask();
            if stops != 0 {
                let before = stops.trailing_zeros();
                self.position += before as usize;
                return is_ascii && others & ((1 << before) - 1) == 0;
            }
            is_ascii &= others == 0;
            self.position += LANES;
            if self.position >= is_long_at {
                let (count, are_ascii) = skip_plain_steps(&self.bytes[self.position..]);
                self.position += count;
                is_ascii &= are_ascii;
                is_long_at = self.position + STEP;
            }
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
