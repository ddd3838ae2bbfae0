//! What a line is that a peer sent.

use labwire_wire::{Envelope, EnvelopeError, JsonError, Line, Member};

/// A line that a peer sent, and what it is.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) line: Line,
    pub(crate) kind: Kind,
}

/// What a line is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is a frame: a box would be one allocation for each"
)]
pub(crate) enum Kind {
    /// A well-formed JSON object.
    Frame(Envelope),
    /// Not JSON: what a person types.
    Text,
    /// JSON that is no frame.
    Broken(EnvelopeError),
    /// Nothing but white space.
    Blank,
}

impl Incoming {
    /// Checks the whole line.
    pub(crate) fn new(line: Line) -> Self {
        let kind = match Envelope::scan(line.content()) {
            Ok(envelope) => Kind::Frame(envelope),
            Err(EnvelopeError::Json(error)) => match line.content().trim_ascii_start().first() {
                None => Kind::Blank,
                Some(b'{') => Kind::Broken(error.into()),
                Some(_) if error == JsonError::NotAnObject => Kind::Broken(error.into()),
                Some(_) => Kind::Text,
            },
            Err(error) => Kind::Broken(error),
        };
        Self { line, kind }
    }
}

/// A member that the manager itself reads; the type's default when the frame does not have it.
pub(crate) fn read_json<T>(envelope: &Envelope, content: &[u8], member: Member) -> Option<T>
where
    T: Default + serde::de::DeserializeOwned,
{
    match envelope.raw(content, member) {
        None => Some(T::default()),
        Some(raw) => serde_json::from_slice(raw).ok(),
    }
}
