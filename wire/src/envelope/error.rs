//! Why a line is not a frame.

use super::{MAX_UID_BYTES, Member, NOTIFICATION_UID};
use crate::json::JsonError;

/// Why a line is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The line is not a JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A member of the envelope stands there twice: two parsers could disagree about which one counts.
    #[error("the member \"{0}\" stands there twice")]
    Duplicate(Member),
    /// A member of the envelope is missing.
    #[error("the member \"{0}\" is missing")]
    Missing(Member),
    /// A member of the envelope has another type than it must have.
    #[error("the member \"{member}\" must be {expected}")]
    WrongType {
        /// The member.
        member: Member,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// A request says that it is an error.
    #[error("a request's member \"error\" must be false")]
    RequestWithError,
    /// A request's `uid` is longer than it may be.
    #[error("a uid may not be longer than {MAX_UID_BYTES} bytes")]
    LongUid,
    /// A request carries the `uid` that belongs to notifications.
    #[error("the uid \"{NOTIFICATION_UID}\" is reserved for notifications; choose another one")]
    ReservedUid,
}

impl EnvelopeError {
    /// The same for a line of which so many bytes, in front of what is wrong, were taken out.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Json(error) => Self::Json(error.behind(bytes)),
            other => other,
        }
    }

    /// At which byte of a line of that length something is wrong, if it is at one place.
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

    /// The name of the Python exception that says this best; error messages on the wire begin with it.
    pub fn exception(self) -> &'static str {
        match self {
            Self::Json(JsonError::NotAnObject) | Self::WrongType { .. } => "TypeError",
            Self::Json(_)
            | Self::Duplicate(_)
            | Self::RequestWithError
            | Self::LongUid
            | Self::ReservedUid => "ValueError",
            Self::Missing(_) => "KeyError",
        }
    }
}
