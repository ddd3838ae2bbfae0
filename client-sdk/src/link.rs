//! A link with a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::IntoArguments;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::client::Client;
use crate::core::Request;
use crate::describe::{ServiceDescription, read_description};
use crate::error::CallError;
use crate::identities::ServiceIdentity;
use crate::link_core::{LinkCore, LinkPhase};
use crate::lock::{Lock, LockGuard};
use crate::notifications::Notifications;

/// The service that is asked to end itself has a method of this name.
const SHUT_DOWN_SERVICE: &str = "shutdown_service";

/// A link with a service: what it is called through, and what its notifications come through.
///
/// It is a handle: clones are of the same link, and so is what [`Client::link`] gives for the same service a second
/// time. The link ends when [`unlink`](Self::unlink) is called on any of them, or when the last of them is dropped,
/// [`Notifications`], [`LockGuard`]s and calls under way included. A place among the service's clients is free then.
///
/// When the service leaves, the link is [away](Self::is_linked). A client that
/// [reconnects](crate::ConnectOptions::reconnect) links again when the service is back; others have to
/// [`link`](Client::link) again.
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
    pub(crate) core: Arc<LinkCore>,
    timeout: Option<Duration>,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("service", &self.core.service)
            .field("linked", &self.is_linked())
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(core: Arc<LinkCore>) -> Self {
        Self { core, timeout: None }
    }

    /// The name of the service.
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
        &self.core.service
    }

    /// What the service said of itself when the link was made last.
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
        self.core.identity()
    }

    /// The client that has the link.
    ///
    /// See the example of [`service`](Self::service).
    pub fn client(&self) -> Client {
        Client::from_core(Arc::clone(&self.core.client))
    }

    /// A handle of this link whose calls wait so long at most, unless a call has its own
    /// [timeout](Call::timeout).
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
    /// The arguments are written with [`args!`](crate::args), or are a tuple when all of them are positional. The
    /// result is anything that serde can read; `()` for a method that returns nothing.
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
        let request = Request {
            client: Arc::clone(&self.core.client),
            service: self.core.service.clone(),
            attribute: attribute.to_owned(),
            arguments: arguments.into_arguments().finish(),
            keep: true,
            through: Some(Arc::clone(&self.core)),
            makes: None,
            insist: false,
        };
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

    /// Whether the link is there. It is not while the connection is lost, after the service has left, and after
    /// [`unlink`](Self::unlink). An older manager does not tell that a service has left.
    ///
    /// See the example of [`linked`](Self::linked).
    pub fn is_linked(&self) -> bool {
        self.core.is(LinkPhase::Linked)
    }

    /// Waits until the link is there. Fails once it cannot come back, because it was unlinked, or because the client
    /// is disconnected or does not reconnect.
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
        let mut phases = self.core.phase();
        let reconnects = self.core.client.shared.reconnects();
        let settled = phases.wait_for(|phase| match phase {
            LinkPhase::Linked | LinkPhase::Ended => true,
            LinkPhase::Away => !reconnects,
            LinkPhase::Asked => false,
        });
        if settled.await.is_ok_and(|phase| *phase == LinkPhase::Linked) {
            return Ok(());
        }
        Err(CallError::Unlinked {
            service: self.service().to_owned(),
            attribute: "anything".to_owned(),
        })
    }

    /// The service's notifications from now on. Each call gives a reader of its own, which gets all of them.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// # use labwire_client::{Client, args};
    /// # let client = Client::connect("Ada", options).await?;
    /// let heartbeat = client.link("Heartbeat").await?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![1]).await?;
    /// let beat = beats.next().await.expect("the link is there");
    /// assert_eq!(beat.decode::<(u64,)>()?, (1,));
    /// # Ok(())
    /// # });
    /// ```
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.clone(), self.core.client.shared.options.notifications)
    }

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

    /// Asks the service to shut down, and gives what its method `shutdown_service` returns. The link ends with it.
    /// A service that has no such method answers with an error, and the link stays.
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
        self.core.end();
        Ok(result)
    }

    /// What the service tells about itself, for people: what it is, and what its attributes do and take.
    ///
    /// Services that are written with `labwire-service` do; others answer [`CallError::NotDescribed`].
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
        read_description(self).await
    }

    /// Ends the link, for all handles of it: their calls fail, their notifications end, their locks are released.
    /// Calls that are under way still get their replies.
    ///
    /// It succeeds as well when there is no link any more. Cancel safe: the link ends, whether the manager's answer
    /// is waited for or not.
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
        match self.core.unlink() {
            Some(Ok(ticket)) => match ticket.await {
                // The link was gone already, with its service or with the connection.
                Err(CallError::Disconnected { .. }) => Ok(()),
                Err(error) if error.is_absence() => Ok(()),
                outcome => outcome.map(drop),
            },
            None | Some(Err(_)) => Ok(()),
        }
    }
}
