//! Locks on services.

use labwire_device::payload::{Arguments, from_json};
use labwire_wire::MANAGER_NAME;

use crate::core::{ClientCore, Request, Ticket, Urgency};
use crate::error::CallError;
use crate::link::Link;
use crate::pending_request::Outcome;

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
    pub(crate) async fn acquire(link: Link, lock: Lock) -> Result<Self, CallError> {
        let arguments = Arguments::new()
            .positional(link.service())
            .keyword("shared", &(lock == Lock::Shared));
        let mut holding = Holding {
            ended_before: link.core.locks_ended(),
            link,
            armed: false,
        };
        let request = holding.link.core.manager_request("acquire_lock", arguments);
        let ticket = ClientCore::send_now(request, Urgency::Normal, None)?;
        // From here on the manager may have granted it, whether anybody waits for the answer or not.
        holding.armed = true;
        match ticket.await.and_then(|result| names("acquire_lock", Ok(result))) {
            Ok(clients) => Ok(Self { holding, clients }),
            // It was granted, in words that cannot be read: it is released again.
            Err(error @ CallError::Decode { .. }) => Err(error),
            Err(error) => {
                holding.armed = false;
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
        let ticket = self.holding.release();
        let Some(ticket) = ticket.transpose()? else {
            return Ok(Vec::new());
        };
        names("release_lock", ticket.await)
    }
}

/// What has to be released.
#[derive(Debug)]
struct Holding {
    link: Link,
    ended_before: u64,
    armed: bool,
}

impl Holding {
    fn is_held(&self) -> bool {
        self.armed && self.link.core.locks_ended() == self.ended_before
    }

    fn release(&mut self) -> Option<Result<Ticket, CallError>> {
        if !self.is_held() {
            return None;
        }
        self.armed = false;
        let core = &self.link.core;
        core.lock_ends();
        let arguments = Arguments::new().positional(self.link.service());
        let request = Request {
            insist: true,
            ..core.manager_request("release_lock", arguments)
        };
        Some(ClientCore::send_now(request, Urgency::Normal, None))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.is_held() {
            self.link.core.lock_ends();
            self.link
                .core
                .client
                .tell_manager("release_lock", self.link.service());
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
