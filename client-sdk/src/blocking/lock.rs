//! The blocking lock guard.

use std::sync::Arc;

use super::background::Background;
use super::link::Link;
use crate::error::CallError;

/// A lock on a service: the blocking form of [`labwire_client::LockGuard`](crate::LockGuard). It is
/// released when the guard is dropped.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// # use labwire_client::blocking::Client;
/// # let client = Client::connect("Ada", options)?;
/// use labwire_client::{Lock, blocking::LockGuard};
///
/// let echo = client.link("Echo")?;
/// let guard: LockGuard = echo.lock(Lock::Exclusive)?;
/// assert!(guard.is_held());
/// assert_eq!(guard.clients(), [client.network_name()]);
/// drop(guard);
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

    /// Returns the network names of the clients that were linked when the lock was acquired.
    ///
    /// See the example of [`LockGuard`].
    pub fn clients(&self) -> &[String] {
        self.guard.clients()
    }

    /// Returns whether the lock is held. It is not after its link was lost or ended.
    ///
    /// See the example of [`LockGuard`].
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// Returns the link that the lock belongs to.
    ///
    /// See the example of [`Client::lock`](super::Client::lock).
    pub fn link(&self) -> Link {
        Link::new(self.guard.link().clone(), self.background.clone())
    }

    /// Returns how the lock has ended, if it has expired or was broken. See
    /// [`LockGuard::end_reason`](crate::LockGuard::end_reason).
    ///
    /// See the example of [`Client::lock`](super::Client::lock).
    pub fn end_reason(&self) -> Option<Arc<str>> {
        self.guard.end_reason()
    }

    /// Releases the lock, and returns the network names of the clients that still hold one.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// # use labwire_client::Lock;
    /// let bob = client.spawn("Bob")?;
    /// let (echo, of_bob) = (client.link("Echo")?, bob.link("Echo")?);
    /// let (mine, his) = (echo.lock(Lock::Shared)?, of_bob.lock(Lock::Shared)?);
    /// assert_eq!(mine.release()?, [bob.network_name()]);
    /// assert!(his.release()?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub fn release(self) -> Result<Vec<String>, CallError> {
        self.background.wait(self.guard.release())
    }
}
