//! A link with a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::IntoArguments;
use labwire_wire::MANAGER_NAME;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::call::{Call, Request};
use crate::command::{Command, Target};
use crate::describe::{ServiceDescription, description};
use crate::error::CallError;
use crate::handle::Handle;
use crate::holder::Holder;
use crate::identities::ServiceIdentity;
use crate::status::{LinkState, LinkStatus};
use crate::ticket::Ticket;

/// The method that shuts down a service.
const SHUT_DOWN_SERVICE: &str = "shutdown_service";

/// A link with a service: the permission to call it, and the source of its notifications.
///
/// A `Link` is a handle: clones share the link, and [`Client::link`](crate::Client::link) returns
/// another handle of it for the same service. The link ends when [`unlink`](Self::unlink) is called
/// on any handle, or when the last handle is dropped. [`Notifications`](crate::Notifications),
/// [`LockGuard`](crate::LockGuard)s and calls in flight count as handles. The end of the link frees
/// a place among the service's clients.
///
/// When the service disconnects, the link is [away](Self::is_linked). A client that
/// [reconnects](crate::ConnectOptions::reconnect) links again when the service is back; other
/// clients have to call [`Client::link`](crate::Client::link) again.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// # use labwire_client::Client;
/// # let client = Client::connect("Ada", options).await?;
/// use labwire_client::{Link, args};
///
/// let echo: Link = client.link("Echo").await?;
/// let (words, _): (Vec<String>, serde_json::Value) = echo.call("echo", args!["hello"]).await?;
/// assert_eq!(words, ["hello"]);
///
/// // Another handle of the same link.
/// let same = client.link("Echo").await?;
/// same.unlink().await?;
/// assert!(!echo.is_linked());
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Link {
    holder: Arc<Holder>,
    service: Arc<str>,
    status: watch::Receiver<LinkStatus>,
    timeout: Option<Duration>,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("service", &self.service)
            .field("linked", &self.is_linked())
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(holder: Arc<Holder>, service: Arc<str>, status: watch::Receiver<LinkStatus>) -> Self {
        Self {
            holder,
            service,
            status,
            timeout: None,
        }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        self.holder.handle()
    }

    /// Returns the state of the link that the engine publishes.
    pub(crate) fn status(&self) -> &watch::Receiver<LinkStatus> {
        &self.status
    }

    /// Returns the link's holder.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Returns how the lock of this guard has ended, if it has expired or was broken.
    pub(crate) fn lock_end(&self, guard: u64) -> Option<Arc<str>> {
        self.status.borrow().lock_ends.get(&guard).cloned()
    }

    /// Returns whether the lock of this guard is held.
    pub(crate) fn has_lock(&self, guard: u64) -> bool {
        self.status.borrow().locks.contains(&guard)
    }

    /// Returns the name of the service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// assert_eq!((echo.service(), echo.client().name()), ("Echo", "Ada"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Returns the identity that the service sent, as of the last time the link was made.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let math = client.link("BasicMath").await?;
    /// let identity = math.identity();
    /// assert_eq!(identity.attributes["add"].to_string(), "(x: float, y: float) -> float");
    /// assert_eq!(identity.limit(), None);
    /// # Ok(())
    /// # });
    /// ```
    pub fn identity(&self) -> Arc<ServiceIdentity> {
        Arc::clone(&self.status.borrow().identity)
    }

    /// Returns this handle with a time limit for its calls. A [timeout](Call::timeout) of a call
    /// overrides it. Other handles of the link keep theirs. The limit ends the wait, not the work:
    /// see [what a timed-out call leaves
    /// running](Call::timeout).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use std::time::Duration;
    /// # use labwire_client::{CallError, Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?.with_timeout(Duration::from_millis(20));
    /// let error = echo.call::<()>("sleep", args![60]).await.unwrap_err();
    /// assert!(matches!(error, CallError::TimedOut { .. }));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Calls a method of the service.
    ///
    /// The arguments are written with [`args!`](crate::args), or are a tuple when all of them are
    /// positional. The result is of any type that serde can deserialize; `()` for a method that
    /// returns nothing.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let math = client.link("BasicMath").await?;
    /// let sum: f64 = math.call("add", (1, 2.5)).await?;
    /// let same: f64 = math.call("add", args![1, y = 2.5]).await?;
    /// assert_eq!(sum, same);
    /// # Ok(())
    /// # });
    /// ```
    pub fn call<T: DeserializeOwned>(&self, attribute: &str, arguments: impl IntoArguments) -> Call<T> {
        let target = Target::new(Arc::clone(&self.service), attribute);
        let request = Request::through(&self.holder, target, arguments.into_arguments());
        Call::new(request, self.timeout)
    }

    /// Reads an attribute that is a value, such as a property or a constant.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let math = client.link("BasicMath").await?;
    /// let pi: f64 = math.get("pi").await?;
    /// assert_eq!(pi, 3.14);
    /// # Ok(())
    /// # });
    /// ```
    pub fn get<T: DeserializeOwned>(&self, attribute: &str) -> Call<T> {
        self.call(attribute, ())
    }

    /// Returns whether the client is linked and can use the link. It cannot while there is no
    /// connection, after the service has left, and after [`unlink`](Self::unlink). An older manager does not
    /// report that a service has disconnected.
    ///
    /// See the example of [`linked`](Self::linked).
    pub fn is_linked(&self) -> bool {
        self.status.borrow().state == LinkState::Linked
    }

    /// Waits until the client is linked. Fails with [`CallError::Unlinked`] once the link cannot
    /// come back: it was unlinked, or the client is disconnected or does not reconnect.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// echo.linked().await?;
    /// assert!(echo.is_linked());
    /// echo.unlink().await?;
    /// assert!(echo.linked().await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn linked(&self) -> Result<(), CallError> {
        let mut statuses = self.status.clone();
        let reconnects = self.handle().reconnects();
        let settled = statuses.wait_for(|status| match status.state {
            LinkState::Linked | LinkState::Ended => true,
            LinkState::Away => !reconnects,
            LinkState::Asked | LinkState::Paused => false,
        });
        if settled
            .await
            .is_ok_and(|status| status.state == LinkState::Linked)
        {
            return Ok(());
        }
        Err(CallError::Unlinked {
            service: self.service().to_owned(),
            attribute: "anything".to_owned(),
        })
    }

    /// Waits until the link is lost: the service has left, the client has lost its connection and its
    /// [session](crate::SessionState), or the link has ended. While the client returns to its session,
    /// the manager keeps the link. [`linked`](Self::linked) waits for the opposite.
    ///
    /// Cancel safe.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::Client;
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// let (_, unlinked) = tokio::join!(echo.unlinked(), echo.unlink());
    /// unlinked?;
    /// assert!(!echo.is_linked());
    /// # Ok(())
    /// # });
    /// ```
    pub async fn unlinked(&self) {
        let mut statuses = self.status.clone();
        // The sender is gone with the engine, and the link with both.
        let _ = statuses
            .wait_for(|status| matches!(status.state, LinkState::Away | LinkState::Ended))
            .await;
    }

    /// Waits until a guard does not hold its lock.
    pub(crate) async fn lock_lost(&self, guard: u64) {
        let mut statuses = self.status.clone();
        let _ = statuses.wait_for(|status| !status.locks.contains(&guard)).await;
    }

    /// Waits until a guard holds its lock again. Returns `false` if it will not.
    pub(crate) async fn lock_held_again(&self, guard: u64) -> bool {
        let mut statuses = self.status.clone();
        let decided = statuses
            .wait_for(|status| status.locks.contains(&guard) || !status.suspended.contains(&guard))
            .await;
        decided.is_ok_and(|status| status.locks.contains(&guard))
    }

    /// Asks the service to shut down, and returns the result of its method `shutdown_service`. The
    /// link ends. If the service has no such method, the call fails and the link stays.
    ///
    /// Not cancel safe: if the future is dropped early, the service may shut down all the same, but
    /// this method does not end the link.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// use labwire_service::{Runner, service};
    ///
    /// struct Plotter;
    ///
    /// #[service]
    /// impl Plotter {
    ///     /// Lets clients end the service; it ends after the reply.
    ///     pub fn shutdown_service(&self) -> &str {
    ///         "good night"
    ///     }
    /// }
    ///
    /// # fn main() { support::empty_lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let service = Runner::new(Plotter).options(options.clone()).connect().await?;
    /// # let client = Client::connect("Ada", options).await?;
    /// // A client of it:
    /// let plotter = client.link("Plotter").await?;
    /// let word: String = plotter.shutdown_service(args![]).await?;
    /// assert_eq!(word, "good night");
    /// assert!(!plotter.is_linked());
    /// # service.wait().await?;
    /// # Ok(())
    /// # }); }
    /// ```
    pub async fn shutdown_service<T: DeserializeOwned + 'static>(
        &self,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        let result = self.call(SHUT_DOWN_SERVICE, arguments).await?;
        let target = Target::new(Arc::clone(&self.service), SHUT_DOWN_SERVICE);
        let ended = Ticket::send(self.handle(), self.handle().uid(), target, |reply| {
            Command::EndLink {
                holder: self.holder.number(),
                reply,
            }
        });
        if let Ok(ended) = ended {
            // An error means that the client has ended, and the link with it.
            let _ = ended.await;
        }
        Ok(result)
    }

    /// Requests the service's documentation: its description, and the description and parameters of
    /// each attribute.
    ///
    /// Services written with `labwire-service` provide it. Others fail with
    /// [`CallError::NotDescribed`]. Cancel safe: if the future is dropped early, the reply is
    /// ignored.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// use labwire_service::{Runner, service};
    ///
    /// struct Thermometer;
    ///
    /// /// A thermometer on the bench.
    /// #[service]
    /// impl Thermometer {
    ///     /// Reads a channel, in degrees Celsius.
    ///     pub fn read(&self, channel: u8) -> f64 {
    ///         20.0 + f64::from(channel)
    ///     }
    /// }
    ///
    /// # fn main() { support::empty_lab(|options| async move {
    /// # use labwire_client::Client;
    /// let service = Runner::new(Thermometer).options(options.clone()).connect().await?;
    /// let client = Client::connect("Ada", options).await?;
    /// let described = client.link("Thermometer").await?.describe().await?;
    /// assert_eq!(described.description, "A thermometer on the bench.");
    /// assert_eq!(described.attributes["read"].parameters[0].name, "channel");
    /// # drop(service);
    /// # Ok(())
    /// # }); }
    /// ```
    pub async fn describe(&self) -> Result<ServiceDescription, CallError> {
        description(self.call("describe", ()).await)
    }

    /// Ends the link for all its handles: new calls fail, notifications end, and locks are
    /// released. Calls in flight still get their replies.
    ///
    /// Succeeds also when the link has already ended. Cancel safe: once polled, the link ends even
    /// if the future is dropped.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{CallError, Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let echo = client.link("Echo").await?;
    /// echo.unlink().await?;
    /// let error = echo.call::<()>("echo", args![]).await.unwrap_err();
    /// assert!(matches!(error, CallError::Unlinked { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn unlink(&self) -> Result<(), CallError> {
        let uid = self.handle().uid();
        let target = Target::new(MANAGER_NAME, "unlink");
        let ticket = Ticket::send(self.handle(), uid, target, |reply| Command::Unlink {
            uid,
            holder: self.holder.number(),
            reply,
        });
        // The driver has ended, and the link with it.
        let Ok(ticket) = ticket else { return Ok(()) };
        match ticket.await {
            // The link had already ended, with its service or with the connection.
            Err(CallError::Disconnected { .. }) => Ok(()),
            Err(error) if error.is_absence() => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
