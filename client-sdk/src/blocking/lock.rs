//! The blocking lock guard.

use std::sync::Arc;

use super::background::Background;
use super::client::Client;
use super::link::Link;
use crate::error::CallError;
use crate::lock_options::LockOptions;

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

    /// Waits until the lock is lost. See [`LockGuard::lost`](crate::LockGuard::lost).
    ///
    /// Blocks the thread for as long as the lock is held: a program that does something else meanwhile
    /// shares the guard with another thread in an [`Arc`], or asks [`is_held`](Self::is_held) now and
    /// then.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// # use labwire_client::Lock;
    /// use std::thread;
    ///
    /// let echo = client.link("Echo")?;
    /// let guard = echo.lock(Lock::Exclusive)?;
    /// thread::scope(|scope| {
    ///     let lost = scope.spawn(|| guard.lost());
    ///     // A lock is lost with its link.
    ///     echo.unlink()?;
    ///     lost.join().expect("the thread does not panic");
    ///     Ok::<_, labwire_client::CallError>(())
    /// })?;
    /// assert!(!guard.is_held());
    /// # Ok(())
    /// # });
    /// ```
    pub fn lost(&self) {
        self.background.wait(self.guard.lost());
    }

    /// Waits until a lost lock is held again, and returns whether it is. Returns `false` at once
    /// unless that is still to be seen. See [`LockGuard::held_again`](crate::LockGuard::held_again).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// # use labwire_client::Lock;
    /// let echo = client.link("Echo")?;
    /// let guard = echo.lock(Lock::Exclusive)?;
    /// assert!(guard.held_again(), "it was not lost");
    /// echo.unlink()?;
    /// guard.lost();
    /// assert!(!guard.held_again());
    /// # Ok(())
    /// # });
    /// ```
    pub fn held_again(&self) -> bool {
        self.background.wait(self.guard.held_again())
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

/// Locking through a link.
impl Link {
    /// Locks the service. See [`Link::lock`](crate::Link::lock).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::Lock;
    ///
    /// let echo = client.link("Echo")?;
    /// let guard = echo.lock(Lock::Shared)?;
    /// assert_eq!(guard.clients(), [client.network_name()]);
    /// drop(guard);
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock(&self, options: impl Into<LockOptions>) -> Result<LockGuard, CallError> {
        let (link, background) = self.parts();
        let guard = background.wait(link.lock(options))?;
        Ok(LockGuard::new(guard, background.clone()))
    }
}

/// Locking with a link.
impl Client {
    /// Locks a service, and links with it. See [`Client::lock`](crate::Client::lock).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use std::time::Duration;
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::{Lock, LockOptions};
    ///
    /// let terms = LockOptions::new(Lock::Exclusive).ttl(Duration::from_secs(60));
    /// let guard = client.lock("Thermometer", terms)?;
    /// let celsius: f64 = guard.link().call("read", (3,))?;
    /// assert!(guard.is_held() && guard.end_reason().is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn lock(&self, service: &str, options: impl Into<LockOptions>) -> Result<LockGuard, CallError> {
        let (client, background) = self.parts();
        let guard = background.wait(client.lock(service, options))?;
        Ok(LockGuard::new(guard, background.clone()))
    }
}
