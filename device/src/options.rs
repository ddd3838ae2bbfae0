//! How a manager is reached.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use labwire_home::Home;

use crate::backoff::Backoff;
use crate::questions::{Credentials, Question};
use crate::trust::UnknownCertificate;

/// The port that managers listen on unless they were told otherwise.
pub const DEFAULT_PORT: u16 = 1875;

/// How long connecting may take unless said otherwise; MSL-Network's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a line may be that a manager sends, unless said otherwise: what a Labwire manager lets through.
const DEFAULT_READ_LIMIT: usize = 1024 * 1024 * 1024;

/// How to reach a manager, and what to tell it.
///
/// The default is the manager of this computer's user: port 1875 over TLS, with the certificate that is saved in
/// the home folder.
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
    pub(crate) reconnect: Option<Backoff>,
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

/// What to do with the certificate of a manager that was never met before.
///
/// A computer without a terminal can know the fingerprint that the manager tells when it starts:
///
/// ```
/// use std::sync::Arc;
/// use labwire_device::{ConnectOptions, FirstUse, UnknownCertificate};
///
/// let known = |certificate: &UnknownCertificate| certificate.fingerprint == "cc:8b:93:64";
/// let options = ConnectOptions::new().first_use(FirstUse::Decide(Arc::new(known)));
/// ```
#[derive(Clone, Default)]
pub enum FirstUse {
    /// Show its fingerprint at the terminal and ask; without a terminal it is refused. The default.
    #[default]
    Ask,
    /// Save it and trust it from now on. Whoever answers first is believed: for networks that are trusted.
    Save,
    /// Refuse it.
    Refuse,
    /// Let this function decide; `true` saves it.
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
    /// The manager on this computer, over TLS.
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
            reconnect: None,
            home: None,
            credentials: Arc::default(),
        }
    }

    /// The manager's host name or IP address; `localhost` unless said otherwise.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The manager's port; 1875 unless said otherwise.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How long connecting may take in all, TLS and authentication included; 10 s unless said otherwise. Time in
    /// which a person answers a question does not count. An older manager, which does not say that it has taken a
    /// device in, takes a second more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The user to log in as, at a manager that asks for one. Without it a person at a terminal is asked.
    #[must_use]
    pub fn username(self, username: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_username(username.into()))
    }

    /// The password of that user.
    #[must_use]
    pub fn password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_password(password.into()))
    }

    /// The password of the manager itself, at one that was started with `--auth-password`.
    #[must_use]
    pub fn manager_password(self, password: impl Into<String>) -> Self {
        self.with_credentials(|credentials| credentials.set_manager_password(password.into()))
    }

    /// Asks this function for what the manager wants to know and was not given, instead of asking at the terminal.
    /// It may block. `None` means that there is no answer.
    ///
    /// ```
    /// use labwire_device::{ConnectOptions, Question};
    ///
    /// let options = ConnectOptions::new().ask_with(|question| match question {
    ///     Question::Username { .. } => Some("ada".to_owned()),
    ///     Question::Password { username } => std::fs::read_to_string(format!("{username}.secret")).ok(),
    ///     Question::ManagerPassword { .. } => None,
    /// });
    /// ```
    #[must_use]
    pub fn ask_with(self, answer: impl Fn(&Question) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with_credentials(|credentials| credentials.set_source(Arc::new(answer)))
    }

    fn with_credentials(mut self, change: impl FnOnce(&mut Credentials)) -> Self {
        // What clones of these options were given, or have asked a person, stays theirs.
        let mut credentials = (*self.credentials).clone();
        change(&mut credentials);
        self.credentials = Arc::new(credentials);
        self
    }

    /// Connects without TLS, to a manager that was started with `--disable-tls`.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// Trusts the certificates in this PEM file, and what they issued, instead of the one that is saved for the host.
    #[must_use]
    pub fn certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(path.into());
        self
    }

    /// Whether the certificate must name the host; `true` unless said otherwise.
    #[must_use]
    pub fn check_hostname(mut self, check: bool) -> Self {
        self.check_hostname = check;
        self
    }

    /// What to do with the certificate of a manager that was never met before; ask, unless said otherwise.
    #[must_use]
    pub fn first_use(mut self, first_use: FirstUse) -> Self {
        self.first_use = first_use;
        self
    }

    /// How many bytes a line from the manager may have; 1 GiB unless said otherwise. A longer one ends the
    /// connection.
    #[must_use]
    pub fn read_limit(mut self, bytes: usize) -> Self {
        self.read_limit = bytes;
        self
    }

    /// Connects again by itself when the connection is lost, waiting in between as the back-off says. Without this
    /// a lost connection is the end.
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
        self.reconnect = Some(backoff);
        self
    }

    /// The folder in which certificates are saved; unless said otherwise the one that the environment names.
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// Where these options lead, as `HOST:PORT`.
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

    /// How to come back after the connection was lost, if at all.
    pub fn backoff(&self) -> Option<Backoff> {
        self.reconnect
    }

    /// How long connecting may take in all.
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
