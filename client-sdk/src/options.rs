//! How a client connects, and what it keeps.

use labwire_device::ConnectOptions;

/// How many notifications wait for a slow reader, unless said otherwise.
const NOTIFICATIONS: usize = 1024;

/// How a client connects, and what it keeps.
///
/// Whoever needs no more than [`ConnectOptions`] gives those: they become a client's options by themselves.
///
/// ```
/// use labwire_client::{Backoff, ClientOptions, ConnectOptions};
///
/// let connect = ConnectOptions::new().host("lab-pc").reconnect(Backoff::new());
/// let options = ClientOptions::from(connect).buffer(100);
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(crate) connect: ConnectOptions,
    pub(crate) buffer: usize,
    pub(crate) notifications: usize,
}

impl From<ConnectOptions> for ClientOptions {
    fn from(connect: ConnectOptions) -> Self {
        Self {
            connect,
            buffer: 0,
            notifications: NOTIFICATIONS,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self::from(ConnectOptions::new())
    }
}

impl ClientOptions {
    /// Keeps up to `calls` calls that are made while the connection is lost, or while the service of a link is
    /// away, and sends them when the link is there again. Only for clients that
    /// [reconnect](ConnectOptions::reconnect). The default is 0: such calls fail at once.
    ///
    /// A call that was kept was never sent before, so that it is not executed twice. One whose
    /// [timeout](crate::Call::timeout) ends meanwhile is never sent.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::lab(|options| async move {
    /// use labwire_client::{Backoff, Client, ClientOptions};
    /// let options = ClientOptions::from(options.reconnect(Backoff::new())).buffer(100);
    /// let client = Client::connect("Ada", options).await?;
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn buffer(mut self, calls: usize) -> Self {
        self.buffer = calls;
        self
    }

    /// How many notifications wait for a reader that is slow; 1,024 unless said otherwise, and at least one. When
    /// there are more, the oldest are dropped, and the next one [tells how many](crate::Notification::lost).
    ///
    /// ```
    /// # use labwire_client::ClientOptions;
    /// let newest_only = ClientOptions::default().notification_queue(1);
    /// ```
    #[must_use]
    pub fn notification_queue(mut self, notifications: usize) -> Self {
        self.notifications = notifications.max(1);
        self
    }
}
