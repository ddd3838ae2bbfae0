//! Errors of malformed frames.

use super::{MAX_UID_BYTES, Member, NOTIFICATION_UID};
use crate::buffers::BuffersError;
use crate::json::JsonError;

/// The reason why a line is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The line is not a JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member of the envelope occurs twice: two parsers could disagree about which one counts.
    #[error("the member \"{0}\" stands there twice")]
    Duplicate(Member),
    /// A member of the envelope is missing.
    #[error("the member \"{0}\" is missing")]
    Missing(Member),
    /// A member of the envelope has the wrong type.
    #[error("the member \"{member}\" must be {expected}")]
    WrongType {
        /// The member.
        member: Member,
        /// A description of the expected type.
        expected: &'static str,
    },
    /// A request with `"error": true`.
    #[error("a request's member \"error\" must be false")]
    RequestWithError,
    /// A request's `uid` exceeds the limit.
    #[error("a uid may not be longer than {MAX_UID_BYTES} bytes")]
    LongUid,
    /// A request has the `uid` that is reserved for notifications.
    #[error("the uid \"{NOTIFICATION_UID}\" is reserved for notifications; choose another one")]
    ReservedUid,
    /// A service's frame that is progress and an item at once.
    #[error("a frame has the member \"progress\" or \"item\" and not both, send one after the other")]
    ProgressAndItem,
    /// The description of the frame's buffers is wrong.
    #[error(transparent)]
    Buffers(#[from] BuffersError),
}

impl EnvelopeError {
    /// Returns the error for a line from which this many bytes, before the error, were taken out.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Json(error) => Self::Json(error.behind(bytes)),
            other => other,
        }
    }

    /// Returns the position of the error in a line of this length, if it has one.
    pub fn position(self, length: usize) -> Option<usize> {
        match self {
            Self::Json(
                JsonError::UnexpectedByte(at)
                | JsonError::ControlCharacter(at)
                | JsonError::BadEscape(at)
                | JsonError::NotUtf8(at),
            ) => Some(at),
            Self::Json(JsonError::UnexpectedEnd) => Some(length),
            _ => None,
        }
    }

    /// Returns the best matching Python exception; error messages on the wire begin with its name.
    pub fn exception(self) -> &'static str {
        match self {
            Self::Json(JsonError::NotAnObject) | Self::WrongType { .. } => "TypeError",
            Self::Json(_)
            | Self::Duplicate(_)
            | Self::RequestWithError
            | Self::LongUid
            | Self::ReservedUid
            | Self::ProgressAndItem
            | Self::Buffers(_) => "ValueError",
            Self::Missing(_) => "KeyError",
        }
    }
}
