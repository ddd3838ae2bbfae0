//! Going through the members of an object, which may arrive in parts.

use std::ops::Range;

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

/// Scans a whole object: see [`scan_object`](super::scan_object).
///
/// Written out once more, without places to go on from: most lines are short, and take a fifth less time so.
pub(super) fn scan_whole<'a, E, F>(bytes: &'a [u8], mut member: F) -> Result<Shape, E>
where
    E: From<JsonError>,
    F: FnMut(RawString<'a>, Range<usize>) -> Result<(), E>,
{
    let mut scanner = Scanner::new(bytes);
    scanner.skip_white_space();
    match scanner.peek() {
        Some(b'{') => scanner.enter(Container::Object)?,
        Some(_) => return Err(scan_other(bytes)?.into()),
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
