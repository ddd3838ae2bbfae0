//! Locks on services.

use bytes::Bytes;
use labwire_device::payload::from_json;
use labwire_wire::MANAGER_NAME;

use crate::command::{Command, Outcome, Target};
use crate::error::CallError;
use crate::link::Link;
use crate::ticket::Ticket;

/// For whom a service is locked.
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
    /// For one client, which must be the only one that is linked.
    Exclusive,
    /// For all clients that are linked.
    Shared,
}

/// A lock on a service. It is released when this is dropped, or with [`release`](Self::release).
///
/// It keeps the link, as a [`Link`] does. A lock is lost with its link: when the service leaves and when the
/// connection is lost, also if the client reconnects. [`is_held`](Self::is_held) tells.
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
        // From here on the manager may have granted it, whether anybody waits for the answer or not.
        let mut holding = Holding {
            link,
            guard,
            is_released: false,
        };
        match ticket.await.and_then(|result| names("acquire_lock", Ok(result))) {
            Ok(clients) => Ok(Self { holding, clients }),
            // It was granted, in words that cannot be read: it is released again.
            Err(error @ CallError::Decode { .. }) => Err(error),
            Err(error) => {
                holding.is_released = true;
                Err(error)
            }
        }
    }

    /// The network names of the clients that were linked when the lock was acquired: only they can call the service
    /// while it is held.
    ///
    /// See the example of [`LockGuard`].
    pub fn clients(&self) -> &[String] {
        &self.clients
    }

    /// The link that the lock belongs to.
    ///
    /// See the example of [`LockGuard`].
    pub fn link(&self) -> &Link {
        &self.holding.link
    }

    /// Whether the lock is held. It is not after its link was lost or ended.
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

    /// Releases the lock, and gives the network names of the clients that still hold one. None of them means that
    /// other clients can link again.
    ///
    /// A lock that was lost is no error: nobody holds it. Cancel safe: the lock is released in any case.
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

/// Locks of a link.
impl Link {
    /// Locks the service: while any lock is held, no other client can link with it.
    ///
    /// An exclusive lock is for the one client that is linked. A shared lock is for all that are linked when it is
    /// acquired; each of them is asked for by itself. The lock is released when the guard is dropped. A client has one
    /// lock of a service at most: a second guard is of the same lock, and the first that is released ends it.
    ///
    /// Cancel safe: a lock that nobody waits for any more is released.
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

    /// Releases the lock; `None` if it is held no more.
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
