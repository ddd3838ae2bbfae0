//! The envelope of a line that is still arriving.

use std::ops::Range;

use crate::envelope::{Envelope, EnvelopeError, Member};
use crate::json::{JsonError, ObjectScan, Shape};

/// Scans a long line while it arrives, so that little work is left when its end has arrived.
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
    /// The number of bytes from which the next scan is worthwhile.
    enough: usize,
    /// The number of bytes that were taken out of the line.
    taken: usize,
    failure: Option<EnvelopeError>,
}

impl ArrivingEnvelope {
    /// Scans what has arrived. `bytes` is the line from its start, including all bytes of the
    /// previous call, and may continue beyond the line. Returns the position before which no line
    /// end needs to be searched.
    ///
    /// However small the pieces are, all calls together take no longer than two scans of the whole
    /// line.
    pub fn look(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() >= self.enough {
            self.enough = match self.go_on(bytes) {
                // A value without its end is scanned again only once twice as many bytes are there,
                // not with each new byte.
                Err(EnvelopeError::Json(JsonError::UnexpectedEnd)) => 2 * bytes.len() - self.scan.position(),
                Ok(()) => bytes.len(),
                // The line ends there, or is malformed.
                Err(error) => {
                    self.failure = Some(error.behind(self.taken));
                    usize::MAX
                }
            };
        }
        self.scan.position()
    }

    /// Returns the error of a line whose end has not arrived. Meaningless once the end has arrived.
    pub fn failure(&self) -> Option<EnvelopeError> {
        self.failure
    }

    /// Returns the members that have arrived completely.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Returns the line's demands on its reader so far.
    pub fn shape(&self) -> Shape {
        self.scan.shape()
    }

    /// Returns the position up to which the line is known to be well-formed.
    pub fn checked(&self) -> usize {
        self.scan.checked()
    }

    /// Returns the start of the value that is arriving, and its member if it belongs to the
    /// envelope.
    pub fn value(&self, line: &[u8]) -> Option<(usize, Option<Member>)> {
        let (key, start) = self.scan.value(line)?;
        Some((start, Member::from_key(key)))
    }

    /// Notes that bytes of the value that is arriving were taken out of the line: after the value's
    /// first byte, and within what is [checked](Self::checked). From here on the line is what
    /// remains.
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

    /// Returns the envelope of the whole line, without its terminator.
    ///
    /// # Errors
    ///
    /// If the line is malformed.
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
