//! Options for connecting to a manager.

mod address;
mod login;
mod reconnect;
mod session;
mod trust;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use labwire_home::Home;
use labwire_wire::DEFAULT_PORT;

use crate::client_certificate::ClientFiles;
use crate::questions::Credentials;
use reconnect::Reconnect;
use session::SessionOptions;
pub use trust::FirstUse;

/// The default time limit for connecting, as in MSL-Network.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The default limit for a line from the manager: the default of a Labwire manager.
const DEFAULT_READ_LIMIT: usize = 1024 * 1024 * 1024;

/// The default idle time before a keep-alive probe.
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(30);

/// The range that operating systems accept.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEPALIVE: Duration = Duration::from_hours(9);

/// Options for connecting to a manager: its address, trust and credentials.
///
/// The default is this user's manager on this computer: port 1875 over TLS, with the certificate
/// saved in the home folder.
///
/// ```
/// use std::time::Duration;
/// use labwire_device::ConnectOptions;
///
/// let options = ConnectOptions::new()
///     .host("lab-pc")
///     .timeout(Duration::from_secs(3))
///     .username("ada")
///     .password("difference engine");
/// assert_eq!(options.address(), "lab-pc:1875");
/// ```
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) timeout: Duration,
    pub(crate) tls: bool,
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<Arc<ClientFiles>>,
    pub(crate) check_hostname: bool,
    pub(crate) first_use: FirstUse,
    pub(crate) read_limit: usize,
    pub(crate) keepalive: Duration,
    pub(crate) reconnect: Reconnect,
    pub(crate) session: SessionOptions,
    pub(crate) home: Option<Home>,
    pub(crate) credentials: Arc<Credentials>,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConnectOptions")
            .field("address", &self.address())
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("first_use", &self.first_use)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectOptions {
    /// Creates options for the manager on this computer, over TLS.
    ///
    /// See the example of [`ConnectOptions`].
    pub fn new() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
            timeout: DEFAULT_TIMEOUT,
            tls: true,
            certificate_file: None,
            client_certificate: None,
            check_hostname: true,
            first_use: FirstUse::Ask,
            read_limit: DEFAULT_READ_LIMIT,
            keepalive: DEFAULT_KEEPALIVE,
            reconnect: Reconnect::Unset,
            session: SessionOptions::default(),
            home: None,
            credentials: Arc::default(),
        }
    }

    /// Sets the time limit for connecting, TLS and authentication included. The default is 10 s.
    /// Time in which a person answers a question does not count. An older manager, which does not
    /// confirm that it has accepted a device, takes one second more, or 2.5 s for a service.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::{ConnectError, ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // It accepts connections, and says nothing.
    /// let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let options = ConnectOptions::new().host("127.0.0.1").port(silent.local_addr()?.port());
    /// let hasty = options.without_tls().timeout(Duration::from_millis(20));
    /// let error = connect(&hasty, &Introduction::client("Ada")).await.unwrap_err();
    /// assert!(matches!(error, ConnectError::TimedOut { .. }));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest line that the manager may send, in bytes. The default is 1 GiB. A longer
    /// line ends the connection. Until the manager has asked for the identity, the limit is 64 KiB.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, ReadError, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// let mut connection = connect(&options.read_limit(300), &Introduction::client("Ada")).await?;
    /// let request = r#"{"service":"Manager","attribute":"identity","args":[],"kwargs":{},"uid":"1"}"#;
    /// connection.writer.write(&[format!("{request}\r\n").into()]).await?;
    /// assert!(matches!(connection.reader.next_line().await, Err(ReadError::TooLong(_))));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read_limit(mut self, bytes: usize) -> Self {
        self.read_limit = bytes;
        self
    }

    /// Sets the idle time before a keep-alive probe. The default is 30 s. Without an answer for
    /// three times as long the connection ends, whether it was idle or had requests in flight, and
    /// pending calls fail. Operating systems count in whole seconds. The value is limited to 1 s to
    /// 9 h.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let options = ConnectOptions::new().port(manager.port()).without_tls();
    /// // A manager that loses its power is noticed within 15 s.
    /// let options = options.keepalive(Duration::from_secs(5));
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = idle.clamp(SHORTEST_KEEPALIVE, LONGEST_KEEPALIVE);
        self
    }

    /// Sets the folder in which certificates are saved. The default depends on the environment.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, FirstUse, Home, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// # let folder = scratch.path();
    /// let home = Home::at(folder);
    /// let options = ConnectOptions::new().home(home.clone()).first_use(FirstUse::Save);
    /// # let options = options.port(manager.port());
    /// connect(&options, &Introduction::client("Ada")).await?;
    /// # let port = manager.port();
    /// assert!(home.trusted_certificate_file("localhost", port).is_file());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// Returns the time limit for connecting.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use labwire_device::ConnectOptions;
    ///
    /// assert_eq!(ConnectOptions::new().connect_timeout(), Duration::from_secs(10));
    /// ```
    pub fn connect_timeout(&self) -> Duration {
        self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let options = ConnectOptions::new()
            .username("ada")
            .password("engine")
            .manager_password("abc");
        let text = format!("{options:?} {:?}", options.credentials);
        assert!(!text.contains("engine") && !text.contains("abc"), "{text}");
    }
}
