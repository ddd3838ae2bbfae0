//! Locks on services.

use std::fmt;
use std::sync::Arc;

use labwire_device::payload::{Received, from_json};
use labwire_wire::MANAGER_NAME;

use crate::command::{Command, Outcome, Target};
use crate::error::CallError;
use crate::handle::Handle;
use crate::holder::Holder;
use crate::link::Link;
use crate::lock_options::LockOptions;
use crate::ticket::Ticket;

/// A lock on a service. It is released when the guard is dropped, or with
/// [`release`](Self::release).
///
/// A guard keeps the link, as a [`Link`] does. The lock is lost with its link: when the service
/// leaves, and when the client loses its [session](crate::SessionState). When the connection breaks
/// and the client returns to its session, the lock is still held. [`is_held`](Self::is_held) returns
/// whether it still exists.
///
/// When the manager is restarted, it keeps the lock for a client with a session, so that nobody else
/// has it meanwhile. A client that [reconnects](crate::ConnectOptions::reconnect) takes it again by
/// itself, with the same terms, and the guard goes on. If it could not, the guard is
/// [`lost`](Self::lost), and [`end_reason`](Self::end_reason) states why. If the manager was away for
/// longer than the grace period, the guard is lost at first, and may be
/// [`held_again`](Self::held_again).
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
    // Released before the link ends: fields are dropped in this order.
    holding: Holding,
    link: Link,
    clients: Vec<String>,
}

impl LockGuard {
    async fn acquire(link: Link, options: LockOptions) -> Result<Self, CallError> {
        let guard = link.handle().uid();
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        let ticket = Ticket::send(link.handle(), guard, target, |reply| Command::Lock {
            uid: guard,
            holder: link.holder().number(),
            options,
            reply,
        })?;
        // From here on the manager may have granted the lock, even if this future is dropped.
        let mut holding = Holding::new(Arc::clone(link.holder()), guard);
        let clients = holding.unless_refused(ticket.await)?;
        Ok(Self {
            clients: names("acquire_lock", Ok(clients))?,
            holding,
            link,
        })
    }

    /// Acquires a lock on a service, with a link.
    pub(crate) async fn acquire_with_link(
        handle: &Arc<Handle>,
        service: &str,
        options: LockOptions,
    ) -> Result<Self, CallError> {
        let room = handle.room().await;
        let guard = handle.uid();
        let service: Arc<str> = Arc::from(service);
        let target = Target::new(MANAGER_NAME, "acquire_lock");
        let ticket = Ticket::send(handle, guard, target, |reply| Command::LockService {
            uid: guard,
            service: Arc::clone(&service),
            options: options.with_link(),
            room: Some(room),
            reply,
        })?;
        let holder = Arc::new(Holder::new(guard, Arc::clone(handle)));
        let mut holding = Holding::new(Arc::clone(&holder), guard);
        let (status, clients) = holding.unless_refused(ticket.await)?;
        Ok(Self {
            clients: names("acquire_lock", Ok(clients))?,
            holding,
            link: Link::new(holder, service, status),
        })
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
        &self.link
    }

    /// Returns whether the lock is held. It is not after its link was lost or ended, or after it
    /// [expired](LockOptions::ttl) or was broken by an administrator.
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
        self.holding.is_held(&self.link)
    }

    /// Returns how the lock has ended, if it has expired, was broken, or could not be taken again after
    /// the manager was restarted.
    ///
    /// See the example of [`lost`](Self::lost).
    pub fn end_reason(&self) -> Option<Arc<str>> {
        self.link.lock_end(self.holding.guard)
    }

    /// Waits until the lock is lost: it has expired or was broken, the service has disconnected, the
    /// connection was lost, or the link or another guard has ended it.
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
    /// assert_eq!(guard.end_reason(), None, "it was neither broken nor has it expired");
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lost(&self) {
        if !self.holding.is_released {
            self.link.lock_lost(self.holding.guard).await;
        }
    }

    /// Waits until a lost lock is held again, and returns whether it is: the manager was restarted, has
    /// kept the lock, and the client has taken it again. Returns `false` at once unless that is still
    /// to be seen.
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
    /// assert!(guard.held_again().await, "it was not lost");
    /// echo.unlink().await?;
    /// guard.lost().await;
    /// assert!(!guard.held_again().await);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn held_again(&self) -> bool {
        !self.holding.is_released && self.link.lock_held_again(self.holding.guard).await
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
        match self.holding.release(&self.link) {
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
    /// If another client's lock or link is in the way, fails with [`CallError::Manager`]: at once,
    /// or after the [wait](LockOptions::wait) of the options. To wait for a service that is locked
    /// and so refuses links, use [`Client::lock`](crate::Client::lock).
    ///
    /// Cancel safe: if the future is dropped early, the lock is released, or no longer waited for.
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
    pub async fn lock(&self, options: impl Into<LockOptions>) -> Result<LockGuard, CallError> {
        LockGuard::acquire(self.clone(), options.into()).await
    }
}

/// A lock that has to be released, unless it was refused or is lost.
struct Holding {
    holder: Arc<Holder>,
    guard: u64,
    is_released: bool,
}

impl fmt::Debug for Holding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Holding")
            .field("guard", &self.guard)
            .field("is_released", &self.is_released)
            .finish_non_exhaustive()
    }
}

impl Holding {
    fn new(holder: Arc<Holder>, guard: u64) -> Self {
        Self {
            holder,
            guard,
            is_released: false,
        }
    }

    /// Returns the outcome of the request. If it was refused, there is nothing to release.
    fn unless_refused<T>(&mut self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        // The manager may have granted a lock although its reply, or that for the link, cannot be
        // read.
        self.is_released = matches!(&outcome, Err(error) if !matches!(error, CallError::Decode { .. }));
        outcome
    }

    fn is_held(&self, link: &Link) -> bool {
        !self.is_released && link.has_lock(self.guard)
    }

    /// Sends the request to release the lock. Returns `None` if it is not held any more.
    fn release(&mut self, link: &Link) -> Option<Result<Ticket<Received>, CallError>> {
        if !self.is_held(link) {
            return None;
        }
        self.is_released = true;
        let handle = self.holder.handle();
        let uid = handle.uid();
        let target = Target::new(MANAGER_NAME, "release_lock");
        Some(Ticket::send(handle, uid, target, |reply| Command::Release {
            uid,
            holder: self.holder.number(),
            guard: self.guard,
            reply: Some(reply),
        }))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if !self.is_released {
            let handle = self.holder.handle();
            handle.notice(Command::Release {
                uid: handle.uid(),
                holder: self.holder.number(),
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
