//! The holders of a link.

use std::sync::Arc;

use crate::command::Command;
use crate::handle::Handle;

/// Holds a link: when the last of its holders is dropped, the link ends.
pub(crate) struct Holder {
    number: u64,
    handle: Arc<Handle>,
}

impl Holder {
    /// Creates the holder for the link request with this uid.
    pub(crate) fn new(number: u64, handle: Arc<Handle>) -> Self {
        Self { number, handle }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.handle.notice(Command::LeaveLink { holder: self.number });
    }
}
