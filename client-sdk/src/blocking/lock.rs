//! A lock, for programs without async.

use super::background::Background;
use crate::error::CallError;

/// A lock on a service, like [`labwire_client::LockGuard`](crate::LockGuard). It is released when this is dropped.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::{Lock, blocking::Client};
/// # let client = Client::connect("Ada", options)?;
/// let echo = client.link("Echo")?;
/// let guard = echo.lock(Lock::Exclusive)?;
/// assert!(guard.is_held());
/// assert!(guard.release()?.is_empty());
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct LockGuard {
    guard: crate::LockGuard,
    background: Background,
}

impl LockGuard {
    pub(super) fn new(guard: crate::LockGuard, background: Background) -> Self {
        Self { guard, background }
    }

    /// The network names of the clients that were linked when the lock was acquired.
    pub fn clients(&self) -> &[String] {
        self.guard.clients()
    }

    /// Whether the lock is held. It is not after its link was lost or ended.
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// Releases the lock, and gives the network names of the clients that still hold one.
    pub fn release(self) -> Result<Vec<String>, CallError> {
        self.background.wait(self.guard.release())
    }
}
