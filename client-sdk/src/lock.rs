//! Locks on services.

use bytes::Bytes;
use labwire_device::payload::from_json;
use labwire_wire::MANAGER_NAME;

use crate::command::{Command, Outcome, Target};
use crate::error::CallError;
use crate::link::Link;
use crate::ticket::Ticket;

/// The kind of a lock: for one client, or for all that are linked.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::Lock;
///
/// let bob = client.spawn("Bob").await?;
/// let (echo, of_bob) = (client.link("Echo").await?, bob.link("Echo").await?);
/// // Not while Bob is linked as well:
/// assert!(echo.lock(Lock::Exclusive).await.is_err());
/// let guard = echo.lock(Lock::Shared).await?;
/// assert_eq!(guard.clients().len(), 2);
///
/// // Who was not linked has to wait.
/// let carl = client.spawn("Carl").await?;
/// assert!(carl.link("Echo").await.is_err());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Held by one client, which must be the only one that is linked.
    Exclusive,
    /// Held by all clients that are linked.
    Shared,
}

/// A lock on a service. It is released when the guard is dropped, or with
/// [`release`](Self::release).
///
/// A guard keeps the link, as a [`Link`] does. The lock is lost with its link: when the service
/// disconnects and when the connection is lost, even if the client reconnects.
/// [`is_held`](Self::is_held) returns whether it still exists.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Lock, LockGuard};
///
/// let echo = client.link("Echo").await?;
/// let guard: LockGuard = echo.lock(Lock::Exclusive).await?;
/// assert!(guard.is_held());
/// assert_eq!(guard.clients(), [client.network_name()]);
/// assert_eq!(guard.link().service(), "Echo");
/// drop(guard);
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct LockGuard {
    holding: Holding,
    clients: Vec<String>,
}

impl LockGuard {
    async fn acquire(link: Link, lock: Lock) -> Result<Self, CallError> {
        let guard = link.handle().uid();
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        let ticket = Ticket::send(link.handle(), guard, target, |reply| Command::Lock {
            uid: guard,
            holder: link.holder(),
            shared: lock == Lock::Shared,
            reply,
        })?;
        // From here on the manager may have granted the lock, even if this future is dropped.
        let mut holding = Holding {
            link,
            guard,
            is_released: false,
        };
        match ticket.await.and_then(|result| names("acquire_lock", Ok(result))) {
            Ok(clients) => Ok(Self { holding, clients }),
            // The lock was granted, but the reply cannot be read: dropping `holding` releases it.
            Err(error @ CallError::Decode { .. }) => Err(error),
            Err(error) => {
                holding.is_released = true;
                Err(error)
            }
        }
    }

    /// Returns the network names of the clients that were linked when the lock was acquired. Only
    /// they can call the service while it is held.
    ///
    /// See the example of [`LockGuard`].
    pub fn clients(&self) -> &[String] {
        &self.clients
    }

    /// Returns the link that the lock belongs to.
    ///
    /// See the example of [`LockGuard`].
    pub fn link(&self) -> &Link {
        &self.holding.link
    }

    /// Returns whether the lock is held. It is not after its link was lost or ended.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// # use labwire_client::Lock;
    /// let echo = client.link("Echo").await?;
    /// let guard = echo.lock(Lock::Exclusive).await?;
    /// assert!(guard.is_held());
    /// // A lock is lost with its link.
    /// echo.unlink().await?;
    /// assert!(!guard.is_held());
    /// # Ok(())
    /// # });
    /// ```
    pub fn is_held(&self) -> bool {
        self.holding.is_held()
    }

    /// Waits until the lock is lost: the service has disconnected, the connection was lost, or the
    /// link or another guard has ended it.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// # use labwire_client::Lock;
    /// let echo = client.link("Echo").await?;
    /// let guard = echo.lock(Lock::Exclusive).await?;
    /// let (_, unlinked) = tokio::join!(guard.lost(), echo.unlink());
    /// unlinked?;
    /// assert!(!guard.is_held());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lost(&self) {
        if !self.holding.is_released {
            self.holding.link.lock_lost(self.holding.guard).await;
        }
    }

    /// Releases the lock, and returns the network names of the clients that still hold one. If
    /// there are none, other clients can link again.
    ///
    /// A lock that was already lost is no error: the result is empty. Cancel safe: the lock is
    /// released in any case.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// # use labwire_client::Lock;
    /// let bob = client.spawn("Bob").await?;
    /// let (echo, of_bob) = (client.link("Echo").await?, bob.link("Echo").await?);
    /// let (mine, his) = (echo.lock(Lock::Shared).await?, of_bob.lock(Lock::Shared).await?);
    /// assert_eq!(mine.release().await?, [bob.network_name()]);
    /// assert!(his.release().await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn release(mut self) -> Result<Vec<String>, CallError> {
        match self.holding.release() {
            Some(ticket) => names("release_lock", ticket?.await),
            None => Ok(Vec::new()),
        }
    }
}

/// Locking through a link.
impl Link {
    /// Locks the service: while any lock is held, no other client can link with it.
    ///
    /// An exclusive lock requires that this is the only linked client. A shared lock admits all
    /// clients that are linked when it is acquired; each of them acquires it for itself. The lock
    /// is released when the guard is dropped. A client has at most one lock on a service: a second
    /// guard shares it, and the first guard that is released ends it.
    ///
    /// Never waits for another client's lock or link: if it is in the way, fails at once with
    /// [`CallError::Manager`].
    ///
    /// Cancel safe: if the future is dropped early, the lock is released.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, Lock};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// let guard = echo.lock(Lock::Exclusive).await?;
    /// assert_eq!(guard.clients(), [client.network_name()]);
    /// // … nobody else can link with the service here …
    /// assert!(guard.release().await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lock(&self, lock: Lock) -> Result<LockGuard, CallError> {
        LockGuard::acquire(self.clone(), lock).await
    }
}

/// A lock that has to be released, unless it was refused or is lost.
#[derive(Debug)]
struct Holding {
    link: Link,
    guard: u64,
    is_released: bool,
}

impl Holding {
    fn is_held(&self) -> bool {
        !self.is_released && self.link.has_lock(self.guard)
    }

    /// Sends the request to release the lock. Returns `None` if it is not held any more.
    fn release(&mut self) -> Option<Result<Ticket<Bytes>, CallError>> {
        if !self.is_held() {
            return None;
        }
        self.is_released = true;
        let uid = self.link.handle().uid();
        let target = Target::new(MANAGER_NAME, "release_lock");
        Some(Ticket::send(self.link.handle(), uid, target, |reply| {
            Command::Release {
                uid,
                holder: self.link.holder(),
                guard: self.guard,
                reply: Some(reply),
            }
        }))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if !self.is_released {
            self.link.handle().notice(Command::Release {
                uid: self.link.handle().uid(),
                holder: self.link.holder(),
                guard: self.guard,
                reply: None,
            });
        }
    }
}

fn names(attribute: &str, outcome: Outcome) -> Result<Vec<String>, CallError> {
    let result = outcome?;
    from_json(std::str::from_utf8(&result).unwrap_or_default()).map_err(|error| CallError::Decode {
        service: MANAGER_NAME.to_owned(),
        attribute: attribute.to_owned(),
        error,
    })
}
