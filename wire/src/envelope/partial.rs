//! Frames of a service about a request that it has not yet answered.

use super::{Envelope, EnvelopeError, Member};
use crate::text::Text;
use crate::uid::Uid;

/// The decoded names in a service's frame about a request that it has not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial<'a> {
    /// The client whose request it is about.
    pub requester: Text<'a>,
    /// The uid of the request.
    pub uid: Uid<'a>,
    /// What the frame carries.
    pub kind: PartialKind,
}

/// What a service's frame about an unanswered request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialKind {
    /// How far the service has come: only the latest value matters.
    Progress,
    /// A part of the result: each matters, in order.
    Item,
}

impl PartialKind {
    /// Returns the member that carries the value.
    pub const fn member(self) -> Member {
        match self {
            Self::Progress => Member::Progress,
            Self::Item => Member::Item,
        }
    }
}

impl Envelope {
    /// Returns whether the frame has the member `progress` or `item`.
    #[inline]
    pub fn has_partial(&self) -> bool {
        self.has(Member::Progress) || self.has(Member::Item)
    }

    /// Returns whether the frame has the member `progress` or `deadline`, which change how a request
    /// is handled.
    #[inline]
    pub fn has_terms(&self) -> bool {
        self.has(Member::Progress) || self.has(Member::Deadline)
    }

    /// Reads the frame as progress of a request, or as an item of its result. `line` is the line
    /// that was scanned.
    ///
    /// ```
    /// use labwire_wire::{Envelope, PartialKind};
    ///
    /// let line = br#"{"item": 5, "requester": "Ada[h:1]", "uid": "1"}"#;
    /// let partial = Envelope::scan(line)?.partial(line)?;
    /// assert_eq!(partial.requester.as_str(), "Ada[h:1]");
    /// assert_eq!(partial.kind, PartialKind::Item);
    /// # Ok::<_, labwire_wire::EnvelopeError>(())
    /// ```
    ///
    /// # Errors
    /// [`EnvelopeError::ProgressAndItem`], or [`EnvelopeError::Missing`] or
    /// [`EnvelopeError::WrongType`] for a member.
    pub fn partial<'a>(&self, line: &'a [u8]) -> Result<Partial<'a>, EnvelopeError> {
        let kind = match (self.has(Member::Progress), self.has(Member::Item)) {
            (true, true) => return Err(EnvelopeError::ProgressAndItem),
            (true, false) => PartialKind::Progress,
            (false, true) => PartialKind::Item,
            (false, false) => return Err(EnvelopeError::Missing(Member::Progress)),
        };
        let (requester, uid) = self.answered(line)?;
        Ok(Partial { requester, uid, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(line: &str) -> Result<PartialKind, EnvelopeError> {
        let envelope = Envelope::scan(line.as_bytes())?;
        envelope.partial(line.as_bytes()).map(|partial| partial.kind)
    }

    #[test]
    fn a_frame_is_progress_or_an_item_of_somebodys_request() {
        for (line, expected) in [
            (
                r#"{"progress":null,"requester":"c","uid":1}"#,
                Ok(PartialKind::Progress),
            ),
            (r#"{"uid":"","item":[1],"requester":"c"}"#, Ok(PartialKind::Item)),
            (
                r#"{"item":1,"progress":1,"requester":"c","uid":"1"}"#,
                Err(EnvelopeError::ProgressAndItem),
            ),
            (
                r#"{"item":1,"uid":"1"}"#,
                Err(EnvelopeError::Missing(Member::Requester)),
            ),
            (
                r#"{"item":1,"requester":"c"}"#,
                Err(EnvelopeError::Missing(Member::Uid)),
            ),
        ] {
            assert_eq!(partial(line), expected, "{line}");
        }
    }

    #[test]
    fn a_request_with_terms_is_recognised() {
        for (line, expected) in [
            (r#"{"service":"S","attribute":"a","deadline":2}"#, true),
            (r#"{"progress":true}"#, true),
            (r#"{"service":"S","attribute":"a","uid":"1"}"#, false),
        ] {
            assert_eq!(
                Envelope::scan(line.as_bytes()).map(|envelope| envelope.has_terms()),
                Ok(expected)
            );
        }
    }
}
