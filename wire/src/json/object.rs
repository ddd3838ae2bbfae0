//! Iterates over the members of an object, which may arrive in parts.

use std::ops::Range;

use super::quick::{Progress, container, past_mark, past_white_space, plain_value};
use super::scanner::{Checkpoint, Container, Inside, OpenContainers, Scanner};
use super::{JsonError, RawString, Shape};

/// A resumable scan of a JSON object that is still arriving.
#[derive(Debug, Default)]
pub(crate) struct ObjectScan {
    place: Place,
    checkpoint: Checkpoint,
    shape: Shape,
    open: OpenContainers,
}

/// The progress of a scan in an object.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Before the opening bracket.
    #[default]
    Start,
    /// After the opening bracket.
    Opened,
    /// Before a key.
    Key,
    /// At or in the value of this member.
    Value(Member),
    /// After a member.
    Behind,
    /// After the object.
    End,
}

/// A member whose key was read.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// The position of the key, without its quotes.
    key: (usize, usize),
    escaped: bool,
    /// The start of the value.
    value: usize,
}

impl Member {
    fn key<'a>(&self, bytes: &'a [u8]) -> RawString<'a> {
        RawString {
            inner: &bytes[self.key.0..self.key.1],
            escaped: self.escaped,
        }
    }
}

impl ObjectScan {
    /// Continues the scan. `bytes` is all of the text so far, including the bytes of the previous
    /// call.
    ///
    /// Each member is passed on once. After [`JsonError::UnexpectedEnd`] the scan can continue with
    /// more bytes, and after `Ok` too: white space may follow. Any other error is final.
    pub(crate) fn go_on<'a, E, F>(&mut self, bytes: &'a [u8], member: F) -> Result<(), E>
    where
        E: From<JsonError>,
        F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
    {
        let mut scanner = Scanner::resume(bytes, self.checkpoint, self.shape, self.open);
        let result = scan_from(&mut scanner, &mut self.place, member);
        self.checkpoint = scanner.checkpoint;
        self.shape = scanner.shape;
        self.open = scanner.open();
        result
    }

    /// Returns the position before which the text need not be scanned again.
    pub(crate) fn position(&self) -> usize {
        self.checkpoint.position
    }

    /// Returns the position up to which the text is known to be well-formed.
    pub(crate) fn checked(&self) -> usize {
        match self.checkpoint.inside {
            Inside::Text(text) => text.checked(),
            Inside::Before | Inside::Behind => self.checkpoint.position,
        }
    }

    /// Returns the key of the value that is arriving, and the start of the value.
    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> Option<(RawString<'a>, usize)> {
        match &self.place {
            Place::Value(member) => Some((member.key(bytes), member.value)),
            _ => None,
        }
    }

    /// Notes that bytes were taken out of the value that is arriving, within what is checked.
    pub(crate) fn take_out(&mut self, range: &Range<usize>) {
        self.checkpoint.take_out(range);
    }

    /// Returns the shape of the object so far.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }
}

/// Receives the members of an object, some of whose keys are known.
pub(crate) trait Members<'a> {
    /// A known key.
    type Key: Copy;
    /// The error that ends a scan.
    type Error: From<JsonError>;

    /// Returns the known key at the start of a text, and its length with quotes. A key with escapes
    /// may be passed to [`other`](Self::other) instead.
    fn known(text: &[u8]) -> Option<(Self::Key, usize)>;

    /// Receives a member with a known key. `is_plain_string` is set if the value is known to be an
    /// ASCII string without escapes.
    fn member(
        &mut self,
        key: Self::Key,
        value: Range<usize>,
        is_plain_string: bool,
    ) -> Result<(), Self::Error>;

    /// Receives any other member.
    fn other(&mut self, key: RawString<'a>, value: Range<usize>) -> Result<(), Self::Error>;
}

/// Scans a whole object: see [`scan_object`](super::scan_object).
#[inline]
pub(crate) fn scan_members<'a, M: Members<'a>>(bytes: &'a [u8], members: &mut M) -> Result<Shape, M::Error> {
    let mut at = past_white_space(bytes, 0);
    match bytes.get(at) {
        Some(b'{') => at = past_white_space(bytes, at + 1),
        Some(_) => return Err(scan_other(bytes)?.into()),
        None => return Err(JsonError::UnexpectedEnd.into()),
    }
    let mut shape = Shape {
        depth: OUTSIDE,
        integer_digits: 0,
    };
    if bytes.get(at) == Some(&b'}') {
        return Ok(expect_end(bytes, at + 1).map(|()| shape)?);
    }
    loop {
        if let Some((key, length)) = bytes.get(at..).and_then(M::known) {
            let behind = at + length;
            let start = match past_mark(bytes, behind, b':') {
                Some(start) => start,
                None => past_colon(bytes, behind)?,
            };
            let plain = plain_value(bytes, start);
            let end = match plain {
                Some(end) => end,
                None => scan_value(bytes, start, &mut shape)?,
            };
            members.member(key, start..end, plain.is_some() && bytes[start] == b'"')?;
            at = end;
        } else {
            let (key, behind) = scan_key(bytes, at)?;
            let start = past_colon(bytes, behind)?;
            at = scan_value(bytes, start, &mut shape)?;
            members.other(key, start..at)?;
        }
        if let Some(next) = past_mark(bytes, at, b',') {
            at = next;
            continue;
        }
        at = past_white_space(bytes, at);
        match bytes.get(at) {
            Some(b',') => at = past_white_space(bytes, at + 1),
            Some(b'}') => return Ok(expect_end(bytes, at + 1).map(|()| shape)?),
            _ => return Err(unexpected(bytes, at).into()),
        }
    }
}

/// Skips the colon after a key, up to the start of the value.
#[cold]
fn past_colon(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let at = past_white_space(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return Err(unexpected(bytes, at));
    }
    Ok(past_white_space(bytes, at + 1))
}

/// Reads a key. Also returns the position after its closing quote.
#[cold]
fn scan_key(bytes: &[u8], at: usize) -> Result<(RawString<'_>, usize), JsonError> {
    let place = Checkpoint {
        position: at,
        depth: OUTSIDE,
        inside: Inside::Behind,
    };
    let mut scanner = Scanner::<false>::from_checkpoint(bytes, place, Shape::default(), IN_OBJECT);
    let key = scanner.read_string()?;
    Ok((key, scanner.position))
}

/// Skips a member's value.
#[inline(never)]
fn scan_value(bytes: &[u8], at: usize, shape: &mut Shape) -> Result<usize, JsonError> {
    let mut open = IN_OBJECT;
    let mut place = Checkpoint {
        position: at,
        depth: OUTSIDE,
        inside: Inside::Before,
    };
    if let Some(b'[' | b'{') = bytes.get(at) {
        match container(bytes, at, &mut shape.depth) {
            Progress::Whole(end) => return Ok(end),
            Progress::Left(left) => (place, open[0]) = (left.checkpoint, left.open),
        }
    }
    let mut scanner = Scanner::<false>::from_checkpoint(bytes, place, *shape, open);
    scanner.skip_rest(OUTSIDE)?;
    *shape = scanner.shape;
    Ok(scanner.position)
}

#[cold]
fn unexpected(bytes: &[u8], at: usize) -> JsonError {
    if at < bytes.len() {
        JsonError::UnexpectedByte(at)
    } else {
        JsonError::UnexpectedEnd
    }
}

fn expect_end(bytes: &[u8], at: usize) -> Result<(), JsonError> {
    match past_white_space(bytes, at) {
        end if end < bytes.len() => Err(JsonError::UnexpectedByte(end)),
        _ => Ok(()),
    }
}

/// Scans from `place`, which belongs to the scanner's checkpoint.
fn scan_from<'a, E, F>(scanner: &mut Scanner<'a, true>, place: &mut Place, mut member: F) -> Result<(), E>
where
    E: From<JsonError>,
    F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
{
    loop {
        *place = match *place {
            Place::Start => {
                scanner.skip_white_space();
                match scanner.peek() {
                    Some(b'{') => scanner.enter(Container::Object)?,
                    Some(_) => return Err(scan_other(scanner.bytes)?.into()),
                    None => return Err(JsonError::UnexpectedEnd.into()),
                }
                Place::Opened
            }
            Place::Opened => {
                scanner.skip_white_space();
                match scanner.peek() {
                    Some(b'}') => {
                        scanner.position += 1;
                        Place::End
                    }
                    Some(_) => Place::Key,
                    None => return Err(JsonError::UnexpectedEnd.into()),
                }
            }
            Place::Key => {
                scanner.skip_white_space();
                let start = scanner.position + 1;
                let key = scanner.read_key()?;
                if scanner.peek().is_none() {
                    // More white space may follow, so the start of the value is unknown.
                    return Err(JsonError::UnexpectedEnd.into());
                }
                Place::Value(Member {
                    key: (start, start + key.inner.len()),
                    escaped: key.escaped,
                    value: scanner.position,
                })
            }
            Place::Value(begun) => {
                scanner.skip_rest(OUTSIDE)?;
                member(begun.key(scanner.bytes), begun.value..scanner.position)?;
                Place::Behind
            }
            Place::Behind => {
                scanner.skip_white_space();
                match scanner.peek() {
                    Some(b',') => {
                        scanner.position += 1;
                        Place::Key
                    }
                    Some(b'}') => {
                        scanner.position += 1;
                        Place::End
                    }
                    _ => return Err(scanner.unexpected().into()),
                }
            }
            Place::End => return Ok(scanner.expect_end()?),
        };
        // A position before a key is a position after a value.
        scanner.pass(if matches!(place, Place::Value(_)) {
            Inside::Before
        } else {
            Inside::Behind
        });
    }
}

/// Returns why a text that does not begin as an object is refused: as other JSON, or as malformed.
fn scan_other(bytes: &[u8]) -> Result<JsonError, JsonError> {
    let mut scanner = Scanner::new(bytes);
    scanner.skip_white_space();
    scanner.skip_value()?;
    scanner.expect_end()?;
    Ok(JsonError::NotAnObject)
}

/// The number of open containers around a member's value.
const OUTSIDE: usize = 1;

/// The kinds of these containers.
const IN_OBJECT: OpenContainers = {
    let mut open = [0; _];
    open[0] = 1;
    open
};
