//! The blocking client.

use std::sync::Arc;

use labwire_device::ConnectError;
use labwire_device::payload::IntoArguments;
use serde::de::DeserializeOwned;

use super::background::Background;
use super::link::Link;
use crate::error::CallError;
use crate::identities::Identities;
use crate::options::ClientOptions;

/// A connection to a manager: the blocking form of [`labwire_client::Client`](crate::Client).
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::blocking_lab(|options| {
/// use labwire_client::args;
/// use labwire_client::blocking::Client;
///
/// let client = Client::connect("Ada", options)?;
/// let echo = client.link("Echo")?;
/// let (words, _): (Vec<String>, serde_json::Value) = echo.call("echo", args!["hello"])?;
/// assert_eq!(words, ["hello"]);
/// client.disconnect();
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    background: Background,
}

impl Client {
    /// Connects to a manager as a client of this name. See
    /// [`Client::connect`](crate::Client::connect).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// use labwire_client::ConnectError;
    /// use labwire_client::blocking::Client;
    ///
    /// let client = Client::connect("Ada", options.clone())?;
    /// assert!(client.network_name().starts_with("Ada["));
    ///
    /// let error = Client::connect("Ada", options.port(1)).unwrap_err();
    /// assert!(matches!(error, ConnectError::Unreachable { .. }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn connect(name: impl Into<String>, options: impl Into<ClientOptions>) -> Result<Self, ConnectError> {
        let options = options.into();
        let background = Background::start().map_err(|reason| ConnectError::Unreachable {
            address: options.connect.address(),
            reason: Arc::new(reason),
        })?;
        let client = background.wait(crate::Client::connect(name, options))?;
        Ok(Self { client, background })
    }

    /// Returns the client, and what runs it.
    pub(super) fn parts(&self) -> (&crate::Client, &Background) {
        (&self.client, &self.background)
    }

    pub(super) fn new(client: crate::Client, background: Background) -> Self {
        Self { client, background }
    }

    /// Returns the name that was passed to [`connect`](Self::connect) or [`spawn`](Self::spawn).
    ///
    /// See the example of [`spawn`](Self::spawn).
    pub fn name(&self) -> &str {
        self.client.name()
    }

    /// Returns the client's name on the network. See
    /// [`Client::network_name`](crate::Client::network_name).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// assert!(client.network_name().starts_with("Ada["));
    /// assert!(client.manager().starts_with("Manager["));
    /// assert!(client.network_name().ends_with(&format!(":{}]", client.local_port())));
    /// # Ok(())
    /// # });
    /// ```
    pub fn network_name(&self) -> String {
        self.client.network_name()
    }

    /// Returns the manager's name, as in `Manager[lab-pc:1875]`.
    ///
    /// See the example of [`network_name`](Self::network_name).
    pub fn manager(&self) -> String {
        self.client.manager()
    }

    /// Returns the local port of the connection.
    ///
    /// See the example of [`network_name`](Self::network_name).
    pub fn local_port(&self) -> u16 {
        self.client.local_port()
    }

    /// Links with a service. See [`Client::link`](crate::Client::link).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let thermometer = client.link("Thermometer")?;
    /// let celsius: f64 = thermometer.call("read", (3,))?;
    /// assert_eq!(celsius, 21.5);
    ///
    /// let error = client.link("Oven").unwrap_err();
    /// assert!(error.to_string().contains("the 'Oven' service does not exist"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn link(&self, service: &str) -> Result<Link, CallError> {
        let link = self.background.wait(self.client.link(service))?;
        Ok(Link::new(link, self.background.clone()))
    }

    /// Requests the identities of the manager and of all connected peers. See
    /// [`Client::identities`](crate::Client::identities).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let identities = client.identities()?;
    /// assert!(identities.clients.contains_key(&client.network_name()));
    /// assert!(identities.services.contains_key("Echo"));
    /// println!("{identities}");
    /// # Ok(())
    /// # });
    /// ```
    pub fn identities(&self) -> Result<Identities, CallError> {
        self.background.wait(self.client.identities())
    }

    /// Sends the manager a request that is reserved for administrators, and waits for the result.
    /// See [`Client::admin_request`](crate::Client::admin_request).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// let options = options.username("ada").password("difference engine");
    /// let client = Client::connect("Ada", options)?;
    /// let names: Vec<String> = client.admin_request("users_table.usernames", ())?;
    /// assert_eq!(names, ["ada", "bob"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn admin_request<T: DeserializeOwned + 'static>(
        &self,
        attribute: &str,
        arguments: impl IntoArguments,
    ) -> Result<T, CallError> {
        let call = self.client.admin_request(attribute, arguments);
        self.background.wait(call.into_future())
    }

    /// Opens another connection to the same manager, with the same options, under another name.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let bob = client.spawn("Bob")?;
    /// assert_eq!((client.name(), bob.name()), ("Ada", "Bob"));
    /// assert_eq!(client.identities()?.clients.len(), 2);
    /// # Ok(())
    /// # });
    /// ```
    pub fn spawn(&self, name: impl Into<String>) -> Result<Self, ConnectError> {
        let client = self.background.wait(self.client.spawn(name))?;
        Ok(Self::new(client, self.background.clone()))
    }

    /// Returns whether there is a connection. While a client reconnects, there is none.
    ///
    /// See the example of [`connected`](Self::connected).
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Waits until there is a connection. Returns `false` once the connection has ended
    /// permanently.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// assert!(client.is_connected() && client.connected());
    /// client.disconnect();
    /// assert!(!client.is_connected() && !client.connected());
    /// # Ok(())
    /// # });
    /// ```
    pub fn connected(&self) -> bool {
        self.background.wait(self.client.connected())
    }

    /// Waits until the connection has ended permanently, and returns the reason. See
    /// [`Client::closed`](crate::Client::closed).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::blocking_lab(|options| {
    /// # use labwire_client::blocking::Client;
    /// # let client = Client::connect("Ada", options)?;
    /// let watched = client.clone();
    /// let watcher = std::thread::spawn(move || watched.closed());
    /// client.disconnect();
    /// assert_eq!(watcher.join().unwrap(), "the client has disconnected");
    /// # Ok(())
    /// # });
    /// ```
    pub fn closed(&self) -> String {
        self.background.wait(self.client.closed())
    }

    /// Disconnects from the manager. See [`Client::disconnect`](crate::Client::disconnect).
    ///
    /// See the example of [`connected`](Self::connected).
    pub fn disconnect(&self) {
        self.background.wait(self.client.disconnect());
    }
}
