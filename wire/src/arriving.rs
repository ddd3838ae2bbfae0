//! The envelope of a line that is still arriving.

use crate::envelope::{Envelope, EnvelopeError};
use crate::json::{JsonError, ObjectScan};

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
                Err(_) => usize::MAX,
            };
        }
        self.scan.position()
    }

    /// The envelope of the whole line, without its terminator.
    ///
    /// Nothing when something is wrong with it: [`Envelope::scan`] tells what.
    pub fn finish(mut self, line: &[u8]) -> Option<Envelope> {
        self.go_on(line).ok()?;
        self.envelope.set_shape(self.scan.shape());
        Some(self.envelope)
    }

    fn go_on(&mut self, line: &[u8]) -> Result<(), EnvelopeError> {
        let Self { scan, envelope, .. } = self;
        scan.go_on(line, |key, span| envelope.note(key, span))
    }
}
