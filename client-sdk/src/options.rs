//! The options of a client.

use labwire_device::ConnectOptions;

/// The default capacity of a notification queue.
const NOTIFICATIONS: usize = 1024;

/// The options of a client: how to connect, and the sizes of its buffers.
///
/// Functions that take these also accept plain [`ConnectOptions`].
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
/// # support::lab(|options| async move {
/// use labwire_client::{Backoff, Client, ClientOptions};
///
/// let reconnecting = options.clone().reconnect(Backoff::new());
/// let patient = ClientOptions::from(reconnecting).buffer(100).notification_queue(10_000);
/// let client = Client::connect("Ada", patient).await?;
/// assert!(client.is_connected());
///
/// // The same as `ClientOptions::from(options)`:
/// let client = Client::connect("Bob", options).await?;
/// assert!(client.is_connected());
/// # Ok(())
/// # });
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
    /// Keeps up to `calls` calls that are made while there is no connection or the service of a
    /// link has left, and sends them once the client is linked again: after its return to its
    /// [session](ConnectOptions::session), or, if it [reconnects](ConnectOptions::reconnect), also on a
    /// new connection or with the new service. The default is 0: such calls fail at once.
    ///
    /// Only calls that were never sent are kept, so none is executed twice. A call whose
    /// [timeout](crate::Call::timeout) expires meanwhile is never sent.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/lab.rs")); }
    /// # support::empty_lab(|options| async move {
    /// # let service = support::Service::start("Thermometer", 0, &options).await;
    /// use labwire_client::{Backoff, Client, ClientOptions, args};
    ///
    /// let patient = ClientOptions::from(options.clone().reconnect(Backoff::new())).buffer(100);
    /// let client = Client::connect("Ada", patient).await?;
    /// let thermometer = client.link("Thermometer").await?;
    /// # service.stop().await;
    /// # let away = async {
    /// #     while thermometer.is_linked() { tokio::time::sleep(std::time::Duration::from_millis(1)).await; }
    /// # };
    /// # tokio::time::timeout(std::time::Duration::from_secs(10), away).await?;
    /// // The service has left, and is started again later.
    /// let kept = thermometer.call::<f64>("read", args![3]).send().await?;
    /// # let _again = support::Service::start("Thermometer", 0, &options).await;
    /// assert_eq!(kept.await?, 21.5);
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn buffer(mut self, calls: usize) -> Self {
        self.buffer = calls;
        self
    }

    /// Sets the capacity of the queue for a slow reader of notifications. The default is 1,024, the
    /// minimum 1. When the queue is full, the oldest notification is dropped, and the next one
    /// [counts it](crate::Notification::lost).
    ///
    /// See the example of [`Notification::lost`](crate::Notification::lost).
    #[must_use]
    pub fn notification_queue(mut self, notifications: usize) -> Self {
        self.notifications = notifications.max(1);
        self
    }
}
