//! The blocking form of a client together with its link.

use std::ops::Deref;

use super::background::Background;
use super::client::Client;
use super::link::Link;
use crate::error::Error;
use crate::options::ClientOptions;

/// A client together with its link with one service: the blocking form of
/// [`labwire_client::LinkedClient`](crate::LinkedClient).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// use labwire_client::{args, blocking::LinkedClient};
///
/// let math = LinkedClient::connect("BasicMath", options)?;
/// assert!(math.is_connected());
/// let sum: f64 = math.call("add", args![1, 2])?;
/// assert_eq!(sum, 3.0);
/// math.disconnect();
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct LinkedClient {
    linked: crate::LinkedClient,
    link: Link,
    client: Client,
    background: Background,
}

impl Deref for LinkedClient {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl LinkedClient {
    /// Connects under the name `LinkedClient` and links with a service. See
    /// [`LinkedClient::connect`](crate::LinkedClient::connect).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// use std::time::Duration;
    /// use labwire_client::{Error, blocking::LinkedClient};
    ///
    /// let math = LinkedClient::connect("BasicMath", options.clone())?;
    /// assert_eq!(math.client().name(), "LinkedClient");
    ///
    /// let hasty = options.timeout(Duration::from_millis(400));
    /// let error = LinkedClient::connect("Oven", hasty).unwrap_err();
    /// assert!(matches!(error, Error::Unavailable { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn connect(service: &str, options: impl Into<ClientOptions>) -> Result<Self, Error> {
        Self::connect_as(crate::linked_client::DEFAULT_NAME, service, options)
    }

    /// Connects under this name and links with a service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::LinkedClient;
    /// let math = LinkedClient::connect_as("Ada", "BasicMath", options)?;
    /// assert_eq!((math.client().name(), math.link().service()), ("Ada", "BasicMath"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn connect_as(
        name: impl Into<String>,
        service: &str,
        options: impl Into<ClientOptions>,
    ) -> Result<Self, Error> {
        let options = options.into();
        let background = Background::start().map_err(|reason| labwire_device::ConnectError::Unreachable {
            address: options.connect.address(),
            reason: std::sync::Arc::new(reason),
        })?;
        let linked = background.wait(crate::LinkedClient::connect_as(name, service, options))?;
        Ok(Self::new(linked, background))
    }

    fn new(linked: crate::LinkedClient, background: Background) -> Self {
        Self {
            link: Link::new(linked.link().clone(), background.clone()),
            client: Client::new(linked.client().clone(), background.clone()),
            linked,
            background,
        }
    }

    /// Returns the client that has the link.
    ///
    /// See the example of [`connect_as`](Self::connect_as).
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the link.
    ///
    /// See the example of [`connect_as`](Self::connect_as).
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Opens another connection with the same options under another name, and links with the same
    /// service.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::LinkedClient;
    /// let first = LinkedClient::connect("Echo", options)?;
    /// let second = first.spawn("Second")?;
    /// first.disconnect();
    /// assert!(!first.is_connected() && second.is_connected());
    /// # Ok(())
    /// # });
    /// ```
    pub fn spawn(&self, name: impl Into<String>) -> Result<Self, Error> {
        let linked = self.background.wait(self.linked.spawn(name))?;
        Ok(Self::new(linked, self.background.clone()))
    }

    /// Disconnects from the manager. See [`Client::disconnect`](crate::Client::disconnect).
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub fn disconnect(&self) {
        self.client.disconnect();
    }

    /// Returns whether there is a connection.
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }
}
