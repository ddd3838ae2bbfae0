//! A call that was made, and is waited for later.

use super::background::Background;
use crate::error::CallError;

/// A call that was made with [`Link::start`](super::Link::start). When it is dropped, its reply is ignored.
#[derive(Debug)]
#[must_use = "the result of the call is ignored when this is dropped"]
pub struct Pending<T> {
    pending: crate::Pending<T>,
    background: Background,
}

impl<T> Pending<T> {
    pub(super) fn new(pending: crate::Pending<T>, background: Background) -> Self {
        Self { pending, background }
    }

    /// Waits for the result.
    pub fn wait(self) -> Result<T, CallError> {
        self.background.wait(self.pending)
    }
}
