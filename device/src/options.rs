//! Options for connecting to a manager.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use labwire_home::Home;
use labwire_wire::DEFAULT_PORT;

use crate::backoff::Backoff;
use crate::questions::{Credentials, Question};
use crate::trust::UnknownCertificate;

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
    pub(crate) check_hostname: bool,
    pub(crate) first_use: FirstUse,
    pub(crate) read_limit: usize,
    pub(crate) keepalive: Duration,
    pub(crate) reconnect: Reconnect,
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

/// Whether a lost connection is made again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reconnect {
    /// Services reconnect, clients do not.
    Unset,
    Never,
    With(Backoff),
}

/// The policy for the certificate of an unknown manager.
///
/// A computer without a terminal can check the fingerprint that the manager prints when it starts:
///
/// ```
/// use std::sync::Arc;
/// use labwire_device::{ConnectOptions, FirstUse, Introduction, UnknownCertificate, connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let manager = labwire_testing::TestManager::builder().tls().start().await;
/// # let pem = pem::parse(std::fs::read(manager.certificate_file())?)?;
/// # let told_by_the_manager = labwire_home::fingerprint_sha256(pem.contents());
/// # let scratch = tempfile::tempdir()?;
/// # let home = labwire_device::Home::at(scratch.path());
/// let known = move |certificate: &UnknownCertificate| certificate.fingerprint == told_by_the_manager;
/// let options = ConnectOptions::new().first_use(FirstUse::Decide(Arc::new(known)));
/// # let options = options.port(manager.port()).home(home);
/// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub enum FirstUse {
    /// Shows its fingerprint at the terminal and asks; refuses without a terminal. The default.
    #[default]
    Ask,
    /// Saves the certificate and trusts it from now on. The first server that answers is trusted:
    /// use it only in trusted networks.
    Save,
    /// Refuses the certificate.
    Refuse,
    /// Calls this function; if it returns `true`, the certificate is saved and trusted.
    Decide(Arc<dyn Fn(&UnknownCertificate) -> bool + Send + Sync>),
}

impl fmt::Debug for FirstUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ask => "Ask",
            Self::Save => "Save",
            Self::Refuse => "Refuse",
            Self::Decide(_) => "Decide",
        })
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
            check_hostname: true,
            first_use: FirstUse::Ask,
            read_limit: DEFAULT_READ_LIMIT,
            keepalive: DEFAULT_KEEPALIVE,
            reconnect: Reconnect::Unset,
            home: None,
            credentials: Arc::default(),
        }
    }

    /// Sets the manager's host name or IP address. The default is `localhost`.
    ///
    /// See the example of [`ConnectOptions`].
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Sets the manager's address: `HOST`, `HOST:PORT` or `[IPv6]:PORT`. Without a port, the port
    /// stays as it is. Returns `None` if the address has another form.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// let options = ConnectOptions::new().manager("lab-pc:8326").expect("it has this form");
    /// assert_eq!(options.address(), "lab-pc:8326");
    /// assert!(ConnectOptions::new().manager("lab-pc:many").is_none());
    /// ```
    #[must_use]
    pub fn manager(self, address: &str) -> Option<Self> {
        let (host, port) = split_address(address)?;
        let options = self.host(host);
        Some(match port {
            Some(port) => options.port(port),
            None => options,
        })
    }

    /// Sets the manager's port. The default is 1875.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().port(8326).address(), "localhost:8326");
    /// ```
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
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

    /// Sets the user to log in as, if the manager asks for one. Without it a person at a terminal
    /// is asked.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// let options = ConnectOptions::new().username("ada").password("difference engine");
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn username(self, username: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_username(username.into()))
    }

    /// Sets the user's password.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// let options = ConnectOptions::new().username("ada").password("a guess");
    /// # let options = options.port(manager.port()).without_tls();
    /// let error = connect(&options, &Introduction::client("Ada")).await.unwrap_err();
    /// assert!(error.to_string().starts_with("the manager refused the connection: "));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_password(password.into()))
    }

    /// Sets the password of the manager itself, if it was started with `--auth-password`.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().password("abc 123").start().await;
    /// let options = ConnectOptions::new().manager_password("abc 123");
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn manager_password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_manager_password(password.into()))
    }

    /// Sets a function that answers the manager's questions instead of a person at the terminal. It
    /// may block. `None` means that there is no answer.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, Question, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let login = [("ada", "difference engine", false)];
    /// # let manager = labwire_testing::TestManager::builder().login(&login).start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// # let folder = scratch.path().to_owned();
    /// # std::fs::write(folder.join("ada.secret"), "difference engine")?;
    /// let options = ConnectOptions::new().ask_with(move |question| match question {
    ///     Question::Username { .. } => Some("ada".to_owned()),
    ///     Question::Password { username } => {
    ///         std::fs::read_to_string(folder.join(format!("{username}.secret"))).ok()
    ///     }
    ///     Question::ManagerPassword { .. } => None,
    /// });
    /// # let options = options.port(manager.port()).without_tls();
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn ask_with(self, answer: impl Fn(&Question) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with_credentials(|credentials| credentials.set_source(Arc::new(answer)))
    }

    fn with_credentials(mut self, change: impl FnOnce(&mut Credentials)) -> Self {
        // Clones of these options keep their own credentials and answers.
        let mut credentials = (*self.credentials).clone();
        change(&mut credentials);
        self.credentials = Arc::new(credentials);
        self
    }

    /// Disables TLS, for a manager that was started with `--disable-tls`.
    ///
    /// ```
    /// use labwire_device::{ConnectError, ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// # let home = labwire_device::Home::at(scratch.path());
    /// let options = ConnectOptions::new().port(manager.port());
    /// # let options = options.home(home);
    /// let ada = Introduction::client("Ada");
    /// let error = connect(&options, &ada).await.unwrap_err();
    /// assert!(matches!(error, ConnectError::NoTls { .. }));
    /// assert!(connect(&options.without_tls(), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// Connects with TLS, the default, after [`without_tls`](Self::without_tls).
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Trusts the certificates in this PEM file, and those that they issued, instead of the saved
    /// one.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let copied_from_the_manager = manager.certificate_file();
    /// let options = ConnectOptions::new().certificate_file(copied_from_the_manager);
    /// # let options = options.port(manager.port());
    /// assert!(connect(&options, &Introduction::client("Ada")).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(path.into());
        self
    }

    /// Sets whether the certificate must name the host. The default is `true`.
    ///
    /// ```
    /// use labwire_device::{ConnectError, ConnectOptions, Introduction, TrustError, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let certificate = manager.certificate_file();
    /// // The certificate does not name this address.
    /// let options = ConnectOptions::new().host("127.0.0.2").certificate_file(certificate);
    /// # // One listens where the other was dialled: the manager serves 127.0.0.1 alone.
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await?;
    /// # let (forwarded, port) = (listener.local_addr()?.port(), manager.port());
    /// # tokio::spawn(async move {
    /// #     while let Ok((mut peer, _)) = listener.accept().await {
    /// #         tokio::spawn(async move {
    /// #             let mut manager = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    /// #             tokio::io::copy_bidirectional(&mut peer, &mut manager).await
    /// #         });
    /// #     }
    /// # });
    /// # let options = options.port(forwarded);
    /// let ada = Introduction::client("Ada");
    /// let error = connect(&options, &ada).await.unwrap_err();
    /// assert!(matches!(error, ConnectError::Trust(TrustError::OtherHost { .. })));
    /// assert!(connect(&options.check_hostname(false), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn check_hostname(mut self, check: bool) -> Self {
        self.check_hostname = check;
        self
    }

    /// Sets the policy for the certificate of an unknown manager. The default is [`FirstUse::Ask`].
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, FirstUse, Introduction, connect};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = labwire_testing::TestManager::builder().tls().start().await;
    /// # let scratch = tempfile::tempdir()?;
    /// let options = ConnectOptions::new().port(manager.port());
    /// # let options = options.home(labwire_device::Home::at(scratch.path()));
    /// let ada = Introduction::client("Ada");
    /// assert!(connect(&options.clone().first_use(FirstUse::Refuse), &ada).await.is_err());
    /// assert!(connect(&options.clone().first_use(FirstUse::Save), &ada).await.is_ok());
    /// // From now on it is known.
    /// assert!(connect(&options.first_use(FirstUse::Refuse), &ada).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn first_use(mut self, first_use: FirstUse) -> Self {
        self.first_use = first_use;
        self
    }

    /// Sets the longest line that the manager may send, in bytes. The default is 1 GiB. A longer
    /// line ends the connection.
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

    /// Reconnects when the connection is lost, with the waits of the back-off, until it succeeds or
    /// the manager refuses for a reason that waiting does not change. Services do so by default,
    /// with [`Backoff::new`]; for clients a lost connection is final by default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().reconnect(Backoff::new().maximum(Duration::from_secs(10)));
    /// assert!(options.backoff().is_some());
    /// ```
    #[must_use]
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Reconnect::With(backoff);
        self
    }

    /// Does not reconnect: a lost connection is final, also for a service.
    ///
    /// ```
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().without_reconnect();
    /// // What a service adds to its options:
    /// assert_eq!(options.reconnect_by_default(Backoff::new()).backoff(), None);
    /// ```
    #[must_use]
    pub fn without_reconnect(mut self) -> Self {
        self.reconnect = Reconnect::Never;
        self
    }

    /// Reconnects with the waits of the back-off, unless these options specify whether to
    /// reconnect: by [`reconnect`](Self::reconnect), by
    /// [`without_reconnect`](Self::without_reconnect), or by the variable `LABWIRE_RECONNECT`. For
    /// programs whose users expect that they come back by themselves.
    ///
    /// ```
    /// use labwire_device::{Backoff, ConnectOptions};
    ///
    /// let options = ConnectOptions::new().reconnect_by_default(Backoff::new());
    /// assert_eq!(options.backoff(), Some(Backoff::new()));
    /// ```
    #[must_use]
    pub fn reconnect_by_default(mut self, backoff: Backoff) -> Self {
        if matches!(self.reconnect, Reconnect::Unset) {
            self.reconnect = Reconnect::With(backoff);
        }
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

    /// Returns the manager's address, as `HOST:PORT`.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().host("::1").address(), "[::1]:1875");
    /// ```
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns the back-off for reconnects; `None` if a lost connection is final, or if these options
    /// leave that to the default.
    ///
    /// ```
    /// # use labwire_device::{Backoff, ConnectOptions};
    /// assert_eq!(ConnectOptions::new().backoff(), None);
    /// assert_eq!(ConnectOptions::new().reconnect(Backoff::new()).backoff(), Some(Backoff::new()));
    /// ```
    pub fn backoff(&self) -> Option<Backoff> {
        match self.reconnect {
            Reconnect::With(backoff) => Some(backoff),
            Reconnect::Unset | Reconnect::Never => None,
        }
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

    /// Returns the manager's host and port.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().host_and_port(), ("localhost", 1875));
    /// ```
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Returns whether the connection uses TLS.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert!(ConnectOptions::new().uses_tls());
    /// assert!(!ConnectOptions::new().without_tls().uses_tls());
    /// ```
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Returns the file with the only trusted certificates, if one was given.
    ///
    /// ```
    /// # use labwire_device::ConnectOptions;
    /// assert_eq!(ConnectOptions::new().given_certificate_file(), None);
    /// ```
    pub fn given_certificate_file(&self) -> Option<&Path> {
        self.certificate_file.as_deref()
    }
}

/// Splits an address into the host, and the port if there is one.
fn split_address(address: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?.parse().ok()?))),
        };
    }
    match address.split_once(':') {
        None => Some((address, None)),
        // More than one colon is an IPv6 address without brackets, and without a port.
        Some((_, rest)) if rest.contains(':') => Some((address, None)),
        Some((host, port)) if !host.is_empty() => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
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
