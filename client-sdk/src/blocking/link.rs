//! A link whose calls wait.

use std::sync::Arc;
use std::time::Duration;

use labwire_device::payload::IntoArguments;
use serde::de::DeserializeOwned;

use super::background::Background;
use super::client::Client;
use super::lock::LockGuard;
use super::notifications::Notifications;
use super::pending::Pending;
use crate::describe::ServiceDescription;
use crate::error::CallError;
use crate::identities::ServiceIdentity;
use crate::lock::Lock;

/// A link with a service, like [`labwire_client::Link`](crate::Link).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// use std::time::Duration;
/// use labwire_client::{args, blocking::Client};
///
/// let client = Client::connect("Ada", options)?;
/// let math = client.link("BasicMath")?.with_timeout(Duration::from_secs(5));
/// let sum: f64 = math.call("add", args![1, y = 2])?;
/// let pi: f64 = math.get("pi")?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    // Declared first: the link ends before the thread that works for it does.
    link: crate::Link,
    background: Background,
}

impl Link {
    pub(super) fn new(link: crate::Link, background: Background) -> Self {
        Self { link, background }
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        self.link.service()
    }

    /// What the service said of itself when the link was made last.
    pub fn identity(&self) -> Arc<ServiceIdentity> {
        self.link.identity()
    }

    /// The client that has the link.
    pub fn client(&self) -> Client {
        Client::new(self.link.client(), self.background.clone())
    }

    /// A handle of this link whose calls wait so long at most.
    #[must_use]
    pub fn with_timeout(self, limit: Duration) -> Self {
        Self {
            link: self.link.with_timeout(limit),
            background: self.background,
        }
    }

    /// Calls a method of the service and waits for its result. See [`Link::call`](crate::Link::call).
    pub fn call<T: DeserializeOwned + 'static>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        self.background
            .wait(self.link.call(attribute, arguments).into_future())
    }

    /// The same, with the result as the JSON text that the service wrote.
    pub fn call_raw(&self, attribute: &str, arguments: impl IntoArguments) -> Result<String, CallError> {
        let call = self.link.call::<()>(attribute, arguments).raw();
        self.background.wait(call.into_future())
    }

    /// Makes a call whose result is waited for later, so that calls overlap.
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
    pub fn get<T: DeserializeOwned + 'static>(&self, attribute: &str) -> Result<T, CallError> {
        self.call(attribute, ())
    }

    /// Whether the link is there. See [`Link::is_linked`](crate::Link::is_linked).
    pub fn is_linked(&self) -> bool {
        self.link.is_linked()
    }

    /// Waits until the link is there. See [`Link::linked`](crate::Link::linked).
    pub fn linked(&self) -> Result<(), CallError> {
        self.background.wait(self.link.linked())
    }

    /// The service's notifications from now on. See [`Link::notifications`](crate::Link::notifications).
    pub fn notifications(&self) -> Notifications {
        Notifications::new(self.link.notifications(), self.background.clone())
    }

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
    pub fn lock(&self, lock: Lock) -> Result<LockGuard, CallError> {
        let guard = self.background.wait(self.link.lock(lock))?;
        Ok(LockGuard::new(guard, self.background.clone()))
    }

    /// Asks the service to shut down. See [`Link::shutdown_service`](crate::Link::shutdown_service).
    pub fn shutdown_service<T: DeserializeOwned + 'static>(
        &self,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        self.background.wait(self.link.shutdown_service(arguments))
    }

    /// What the service tells about itself. See [`Link::describe`](crate::Link::describe).
    pub fn describe(&self) -> Result<ServiceDescription, CallError> {
        self.background.wait(self.link.describe())
    }

    /// Ends the link, for all handles of it. See [`Link::unlink`](crate::Link::unlink).
    pub fn unlink(&self) -> Result<(), CallError> {
        self.background.wait(self.link.unlink())
    }
}
