//! The envelope of a line that is still arriving.

use std::ops::Range;

use crate::envelope::{Envelope, EnvelopeError, Member};
use crate::json::{JsonError, ObjectScan, Shape};

/// A look at a long line while it arrives, so that little is left to be looked at once its end is there.
///
/// ```
/// use labwire_wire::{ArrivingEnvelope, Member};
///
/// let line = br#"{"args": ["a long text"], "service": "Echo"}"#;
/// let mut arriving = ArrivingEnvelope::default();
/// arriving.look(&line[..18]);
/// arriving.look(&line[..30]);
/// let envelope = arriving.finish(line).expect("the line is an object");
/// assert_eq!(envelope.raw(line, Member::Service), Some(&br#""Echo""#[..]));
/// ```
#[derive(Debug, Default)]
pub struct ArrivingEnvelope {
    scan: ObjectScan,
    envelope: Envelope,
    /// How much must be there before it is worth going on.
    enough: usize,
    /// How many bytes were taken out of the line.
    taken: usize,
    failure: Option<EnvelopeError>,
}

impl ArrivingEnvelope {
    /// Looks at what has arrived: `bytes` are the line from its start on, with all that was there the last time, and what
    /// may have come behind it. Tells up to where its end need not be looked for.
    ///
    /// However small the pieces are, all looks together take no longer than two looks at the whole line.
    pub fn look(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() >= self.enough {
            self.enough = match self.go_on(bytes) {
                // What could not be gone past for want of its end must not be looked at again with each byte that comes.
                Err(EnvelopeError::Json(JsonError::UnexpectedEnd)) => 2 * bytes.len() - self.scan.position(),
                Ok(()) => bytes.len(),
                // The line ends there, or something is wrong with it.
                Err(error) => {
                    self.failure = Some(error.behind(self.taken));
                    usize::MAX
                }
            };
        }
        self.scan.position()
    }

    /// What is wrong with a line whose end has not come; it makes no sense after that.
    pub fn failure(&self) -> Option<EnvelopeError> {
        self.failure
    }

    /// The members that have arrived whole.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What the line asks of its reader so far.
    pub fn shape(&self) -> Shape {
        self.scan.shape()
    }

    /// Up to where the line is known to be well-formed, as far as it goes.
    pub fn checked(&self) -> usize {
        self.scan.checked()
    }

    /// Where the value starts that is arriving, and whose it is if that means something to the manager.
    pub fn value(&self, line: &[u8]) -> Option<(usize, Option<Member>)> {
        let (key, start) = self.scan.value(line)?;
        Some((start, Member::from_key(key)))
    }

    /// Notes that bytes of the value that is arriving were taken out of the line, behind the first one of the value and
    /// not behind what is [checked](Self::checked). From here on the line is what is left of it.
    ///
    /// ```
    /// use labwire_wire::{ArrivingEnvelope, Member};
    ///
    /// let line = br#"{"service": "Echo", "args": ["a long text"]}"#;
    /// let mut arriving = ArrivingEnvelope::default();
    /// arriving.look(&line[..38]);
    /// assert_eq!(arriving.value(line), Some((28, Some(Member::Args))));
    /// assert_eq!(arriving.checked(), 38);
    ///
    /// arriving.take_out(29..38);
    /// let line = br#"{"service": "Echo", "args": [ext"]}"#;
    /// let envelope = arriving.finish(line).expect("the whole line is an object");
    /// assert_eq!(envelope.raw(line, Member::Args), Some(&br#"[ext"]"#[..]));
    /// ```
    pub fn take_out(&mut self, range: Range<usize>) {
        self.scan.take_out(&range);
        self.enough = self.enough.saturating_sub(range.len());
        self.taken += range.len();
    }

    /// The envelope of the whole line, without its terminator.
    ///
    /// # Errors
    ///
    /// When something is wrong with it.
    pub fn finish(mut self, line: &[u8]) -> Result<Envelope, EnvelopeError> {
        self.go_on(line).map_err(|error| error.behind(self.taken))?;
        self.envelope.set_shape(self.scan.shape());
        Ok(self.envelope)
    }

    fn go_on(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        let Self { scan, envelope, .. } = self;
        scan.go_on(line, |key, span| envelope.note(key, span))
    }
}
