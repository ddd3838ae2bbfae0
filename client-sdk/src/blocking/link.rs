//! The blocking link.

use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::IntoArguments;
use serde::de::DeserializeOwned;

use super::background::Background;
use super::client::Client;
use super::notifications::Notifications;
use super::pending::Pending;
use crate::describe::ServiceDescription;
use crate::error::CallError;
use crate::identities::ServiceIdentity;

/// A link with a service: the blocking form of [`labwire_client::Link`](crate::Link).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// use std::time::Duration;
/// use labwire_client::args;
/// use labwire_client::blocking::{Client, Link};
///
/// let client = Client::connect("Ada", options)?;
/// let math: Link = client.link("BasicMath")?;
/// let sum: f64 = math.call("add", args![1, y = 2])?;
/// let pi: f64 = math.get("pi")?;
/// assert_eq!((sum, pi), (3.0, 3.14));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    // Declared first so that it is dropped first: the link ends before its background thread.
    link: crate::Link,
    background: Background,
}

impl Link {
    /// Returns the link, and what runs it.
    pub(super) fn parts(&self) -> (&crate::Link, &Background) {
        (&self.link, &self.background)
    }

    pub(super) fn new(link: crate::Link, background: Background) -> Self {
        Self { link, background }
    }

    /// Returns the name of the service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let echo = client.link("Echo")?;
    /// assert_eq!((echo.service(), echo.client().name()), ("Echo", "Ada"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn service(&self) -> &str {
        self.link.service()
    }

    /// Returns the identity that the service sent, as of the last time the link was made.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let identity = client.link("BasicMath")?.identity();
    /// assert_eq!(identity.attributes["add"].as_signature(), Some("(x: float, y: float) -> float"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn identity(&self) -> Arc<ServiceIdentity> {
        self.link.identity()
    }

    /// Returns the client that has the link.
    ///
    /// See the example of [`service`](Self::service).
    pub fn client(&self) -> Client {
        Client::new(self.link.client(), self.background.clone())
    }

    /// Returns this handle with a time limit for its calls. Other handles of the link keep theirs. The
    /// limit ends the wait, not the work: see [what a timed-out call leaves
    /// running](crate::Call::timeout).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use std::time::Duration;
    /// use labwire_client::{CallError, args};
    ///
    /// let echo = client.link("Echo")?.with_timeout(Duration::from_millis(20));
    /// let error = echo.call::<()>("sleep", args![60]).unwrap_err();
    /// assert!(matches!(error, CallError::TimedOut { .. }));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_timeout(self, limit: Duration) -> Self {
        Self {
            link: self.link.with_timeout(limit),
            background: self.background,
        }
    }

    /// Calls a method of the service and waits for its result. See
    /// [`Link::call`](crate::Link::call).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::args;
    ///
    /// let math = client.link("BasicMath")?;
    /// let sum: f64 = math.call("add", (1, 2.5))?;
    /// let same: f64 = math.call("add", args![1, y = 2.5])?;
    /// assert_eq!((sum, same), (3.5, 3.5));
    /// # Ok(())
    /// # });
    /// ```
    pub fn call<T: DeserializeOwned + 'static>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        self.background
            .wait(self.link.call(attribute, arguments).into_future())
    }

    /// Calls a method, and returns the result as the JSON text that the service wrote.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::args;
    ///
    /// let echo = client.link("Echo")?;
    /// assert_eq!(echo.call_raw("echo", args![1.5, f64::NAN])?, "[[1.5,NaN],{}]");
    /// # Ok(())
    /// # });
    /// ```
    pub fn call_raw(&self, attribute: &str, arguments: impl IntoArguments) -> Result<String, CallError> {
        let call = self.link.call::<()>(attribute, arguments).raw();
        self.background.wait(call.into_future())
    }

    /// Sends a call and returns a [`Pending`] to wait for its result later, so that calls overlap.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::args;
    ///
    /// let math = client.link("BasicMath")?;
    /// let sum = math.start::<f64>("add", args![1, 2])?;
    /// let product = math.start::<f64>("multiply", args![3, 4])?;
    /// assert_eq!((sum.wait()?, product.wait()?), (3.0, 12.0));
    /// # Ok(())
    /// # });
    /// ```
    pub fn start<T: DeserializeOwned>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Result<Pending<T>, CallError> {
        let pending = self
            .background
            .wait(self.link.call(attribute, arguments).send())?;
        Ok(Pending::new(pending, self.background.clone()))
    }

    /// Reads an attribute that is a value, such as a property or a constant.
    ///
    /// See the example of [`Link`].
    pub fn get<T: DeserializeOwned + 'static>(&self, attribute: &str) -> Result<T, CallError> {
        self.call(attribute, ())
    }

    /// Returns whether the client is linked. See [`Link::is_linked`](crate::Link::is_linked).
    ///
    /// See the example of [`linked`](Self::linked).
    pub fn is_linked(&self) -> bool {
        self.link.is_linked()
    }

    /// Waits until the client is linked. See [`Link::linked`](crate::Link::linked).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let echo = client.link("Echo")?;
    /// echo.linked()?;
    /// assert!(echo.is_linked());
    /// echo.unlink()?;
    /// assert!(!echo.is_linked() && echo.linked().is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn linked(&self) -> Result<(), CallError> {
        self.background.wait(self.link.linked())
    }

    /// Returns the service's notifications from now on. See
    /// [`Link::notifications`](crate::Link::notifications).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::args;
    ///
    /// let heartbeat = client.link("Heartbeat")?;
    /// let mut beats = heartbeat.notifications();
    /// heartbeat.call::<()>("beat", args![72])?;
    /// let beat = beats.next().expect("the service is there");
    /// assert_eq!(beat.decode::<(u64,)>()?, (72,));
    /// # Ok(())
    /// # });
    /// ```
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.link.notifications(), self.background.clone())
    }

    /// Asks the service to shut down. See
    /// [`Link::shutdown_service`](crate::Link::shutdown_service).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Plotter;
    /// # #[service]
    /// # impl Plotter {
    /// #     pub fn shutdown_service(&self) -> &str { "good night" }
    /// # }
    /// # fn main() { support::blocking_lab_with(Plotter, |options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::args;
    ///
    /// let plotter = client.link("Plotter")?;
    /// let word: String = plotter.shutdown_service(args![])?;
    /// assert_eq!(word, "good night");
    /// assert!(!plotter.is_linked());
    /// # Ok(())
    /// # }); }
    /// ```
    pub fn shutdown_service<T: DeserializeOwned + 'static>(
        &self,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        self.background.wait(self.link.shutdown_service(arguments))
    }

    /// Requests the service's documentation. See [`Link::describe`](crate::Link::describe).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # use labwire_service::service;
    /// # struct Thermometer;
    /// # /// A thermometer on the bench.
    /// # #[service]
    /// # impl Thermometer {
    /// #     /// Reads a channel, in degrees Celsius.
    /// #     pub fn read(&self, channel: u8) -> f64 { 20.0 + f64::from(channel) }
    /// # }
    /// # fn main() { support::blocking_lab_with(Thermometer, |options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let described = client.link("Thermometer")?.describe()?;
    /// assert_eq!(described.description, "A thermometer on the bench.");
    /// assert_eq!(described.attributes["read"].description, "Reads a channel, in degrees Celsius.");
    /// # Ok(())
    /// # }); }
    /// ```
    pub fn describe(&self) -> Result<ServiceDescription, CallError> {
        self.background.wait(self.link.describe())
    }

    /// Ends the link for all its handles. See [`Link::unlink`](crate::Link::unlink).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// use labwire_client::{CallError, args};
    ///
    /// let echo = client.link("Echo")?;
    /// echo.unlink()?;
    /// let error = echo.call::<()>("echo", args![]).unwrap_err();
    /// assert!(matches!(error, CallError::Unlinked { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn unlink(&self) -> Result<(), CallError> {
        self.background.wait(self.link.unlink())
    }
}
