//! Going through the values of a JSON text, one after the other.

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

/// A place in a text from which a scan can go on once more of the text is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) position: usize,
    /// How many containers are open there.
    pub(super) depth: usize,
    pub(super) inside: Inside,
}

impl Checkpoint {
    /// Notes that bytes in front of the place were taken out of the text.
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

/// Where in a value a scan has got to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inside {
    /// Before it, or before one of the values that it holds.
    #[default]
    Before,
    /// In the middle of a string.
    Text(Text),
    /// Behind a value that it holds, or behind all of it.
    Behind,
}

/// What is known of a string of which all was seen but its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Where it starts.
    quote: usize,
    escaped: bool,
    /// Up to where it is known to be UTF-8.
    checked: usize,
    /// Whether there is nothing but ASCII between that and the place where the scan goes on.
    ascii: bool,
}

impl Text {
    /// Up to where it is known to be well-formed.
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

/// How many bytes are compared at once.
pub(super) const LANES: usize = 16;

/// How much of a string was gone past before as much is compared at once as can be.
const LONG: usize = 64;

/// All bits of each byte that ends the plain part of a string: a quote, a backslash, a control character.
fn stops(bytes: u8x16) -> u8x16 {
    let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | controls
}

/// Goes through a text.
///
/// Where all of the text is there, which most scans know, it notes no checkpoints: a fifth of the time that a short line
/// takes. While a text arrives, a line feed does not belong to it.
pub(super) struct Scanner<'a, const ARRIVING: bool = false> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    pub(super) shape: Shape,
    pub(super) checkpoint: Checkpoint,
    open: OpenContainers,
    depth: usize,
    /// Up to where no list of numbers is looked for.
    no_list_before: usize,
}

/// One bit per open container, set for an object: what a comma or a closing bracket must fit.
pub(super) type OpenContainers = [u64; MAX_DEPTH / 64];

impl<'a> Scanner<'a> {
    /// A scanner of a text that is all there.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::from_checkpoint(bytes, Checkpoint::default(), Shape::default(), [0; _])
    }
}

impl<'a> Scanner<'a, true> {
    /// A scanner that goes on where another one had got to, with more of the same text.
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

    /// Which containers are open.
    pub(super) fn open(&self) -> OpenContainers {
        self.open
    }

    /// Notes that a scan can go on from here.
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
            // The line's end, if that has arrived: no string can hold it either.
            && !(ARRIVING && byte == b'\n')
        {
            self.position += 1;
        }
    }

    /// Goes past the bracket that opens a container.
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

    /// Reads a key and its colon, up to where the value starts.
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

    /// Goes past one value, with all that is inside it.
    pub(super) fn skip_value(&mut self) -> Result<(), JsonError> {
        self.skip_values(self.depth)
    }

    /// Goes past a value and those that follow in the same container, until no more than the containers in `outside`
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

    /// Goes past the rest of a value that began when the containers in `outside` were open, from the checkpoint on.
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

    /// After a value: closes what ends here. `true` when another value follows, `false` when the containers
    /// that were opened since `outside` are all closed.
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

    /// Goes past numbers of an array as long as that is quick, up to the start of a value; tells whether it went
    /// past any.
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
        if self.position == self.bytes.len() && self.depth > 0 {
            // There may be more of it.
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

    /// Goes past a string, its quotes included; tells whether it holds an escape.
    pub(super) fn skip_string(&mut self) -> Result<bool, JsonError> {
        let quote = self.position;
        self.position += 1;
        if self.skip_short_string() {
            return Ok(false);
        }
        self.skip_text(Text::at(quote))
    }

    /// Goes past the rest of a string that is short and holds nothing special, as keys and names are; tells whether it
    /// is one.
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

    /// Goes past the rest of a string, its last quote included; tells whether it holds an escape.
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

    /// Notes how far a string was seen that goes on behind the end of the bytes; gives the reason why it cannot be
    /// gone past.
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
        // A key is read again as a whole: what comes behind it tells where the scan has got to.
        if is_value {
            self.pass(Inside::Text(text));
        }
        error
    }

    /// Goes on to the next quote, backslash or control character; tells whether all was ASCII.
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
