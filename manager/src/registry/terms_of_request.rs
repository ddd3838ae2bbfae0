//! What a client wants of one request beside its reply.

use std::time::Duration;

/// What a client wants of one request beside its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestTerms {
    /// How long it may take.
    pub(crate) deadline: Option<Duration>,
    /// Whether the client wants its progress and its items.
    pub(crate) listens: bool,
}

impl RequestTerms {
    /// Returns whether there are any.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.listens || self.deadline.is_some()
    }
}
