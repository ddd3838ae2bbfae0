//! Going through the members of an object, which may arrive in parts.

use std::ops::Range;

use super::quick::{Progress, container, past_mark, past_white_space, plain_value};
use super::scanner::{Checkpoint, Container, Inside, OpenContainers, Scanner};
use super::{JsonError, RawString, Shape};

/// A scan of a JSON object of which more and more is there.
#[derive(Debug, Default)]
pub(crate) struct ObjectScan {
    place: Place,
    checkpoint: Checkpoint,
    shape: Shape,
    open: OpenContainers,
}

/// Where in an object a scan has got to.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Before its bracket.
    #[default]
    Start,
    /// Behind its bracket.
    Opened,
    /// Before a key.
    Key,
    /// At or in the value of that member.
    Value(Member),
    /// Behind a member.
    Behind,
    /// Behind the object.
    End,
}

/// A member whose key was read.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Where the key stands, without its quotes.
    key: (usize, usize),
    escaped: bool,
    /// Where the value starts.
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
    /// Goes on with the scan: `bytes` are all of the text that is there, the same as before and more.
    ///
    /// Each member is given out once. After [`JsonError::UnexpectedEnd`] the scan can go on with more bytes, and after
    /// `Ok` too: white space may follow. After any other error it is over.
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

    /// Up to where the text need not be looked at again.
    pub(crate) fn position(&self) -> usize {
        self.checkpoint.position
    }

    /// Up to where the text is known to be well-formed, as far as it goes.
    pub(crate) fn checked(&self) -> usize {
        match self.checkpoint.inside {
            Inside::Text(text) => text.checked(),
            Inside::Before | Inside::Behind => self.checkpoint.position,
        }
    }

    /// The key of the value that is arriving, and where the value starts.
    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> Option<(RawString<'a>, usize)> {
        match &self.place {
            Place::Value(member) => Some((member.key(bytes), member.value)),
            _ => None,
        }
    }

    /// Notes that bytes were taken out of the text, from the value that is arriving and from what is checked.
    pub(crate) fn take_out(&mut self, range: &Range<usize>) {
        self.checkpoint.take_out(range);
    }

    /// What was found out about the object so far.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }
}

/// What is found out about an object whose members have some known keys.
pub(crate) trait Members<'a> {
    /// A key that is known.
    type Key: Copy;
    /// Why a scan is given up.
    type Error: From<JsonError>;

    /// The key that stands at the start of a text, and how long it is with its quotes. It may be one of the
    /// [others](Self::other) too, if it is spelled in an unusual way.
    fn known(text: &[u8]) -> Option<(Self::Key, usize)>;

    /// Takes a member of which that is the key. Its value is a string of ASCII without escapes, if that is known.
    fn member(
        &mut self,
        key: Self::Key,
        value: Range<usize>,
        is_plain_string: bool,
    ) -> Result<(), Self::Error>;

    /// Takes another member.
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

/// Goes past the colon behind a key, up to where the value starts.
#[cold]
fn past_colon(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let at = past_white_space(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return Err(unexpected(bytes, at));
    }
    Ok(past_white_space(bytes, at + 1))
}

/// Reads a key; gives the place behind its last quote too.
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

/// Goes past a member's value.
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

/// Scans from `place` on, which follows the scanner's checkpoint.
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
                    // Where the value starts is not known: there may be more white space.
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
        // What is before a key is behind a value.
        scanner.pass(if matches!(place, Place::Value(_)) {
            Inside::Before
        } else {
            Inside::Behind
        });
    }
}

/// Why a text is refused that does not begin as an object does: as JSON or as none.
fn scan_other(bytes: &[u8]) -> Result<JsonError, JsonError> {
    let mut scanner = Scanner::new(bytes);
    scanner.skip_white_space();
    scanner.skip_value()?;
    scanner.expect_end()?;
    Ok(JsonError::NotAnObject)
}

/// How many containers are open where a member's value stands.
const OUTSIDE: usize = 1;

/// Which containers these are.
const IN_OBJECT: OpenContainers = {
    let mut open = [0; _];
    open[0] = 1;
    open
};
