//! Options of an SSH connection.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::known_hosts::UnknownHost;
use super::questions::{Source, SshQuestion};

/// The default port of SSH servers.
const DEFAULT_PORT: u16 = 22;

/// The default time limit for connecting, as in MSL-Network.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of an SSH connection: the computer, the user and the credentials.
///
/// If any credentials are given, only those are used: key files, then an agent, then a password.
/// Otherwise the agent of `SSH_AUTH_SOCK` is tried, then the usual key files in `~/.ssh`, and
/// finally a person at the terminal is asked for the password.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// use std::time::Duration;
/// use labwire_client::ssh::{Ssh, SshOptions};
///
/// let options = SshOptions::new("pi@localhost").password("raspberry").timeout(Duration::from_secs(5));
/// assert!(!format!("{options:?}").contains("password"));
/// # let options = computer.at(options);
/// assert!(Ssh::connect(&options).await.is_ok());
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct SshOptions {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) key_files: Vec<PathBuf>,
    pub(super) passphrase: Option<String>,
    pub(super) agent_socket: Option<PathBuf>,
    pub(super) timeout: Duration,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) host_keys: HostKeys,
    pub(super) source: Option<Source>,
}

/// The policy for the host key of an unknown server. A key that differs from the known one is
/// refused under every policy.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// use labwire_client::ssh::{HostKeys, Ssh, SshError};
///
/// let options = computer.options();
/// let error = Ssh::connect(&options.clone().host_keys(HostKeys::Refuse)).await.unwrap_err();
/// assert!(matches!(error, SshError::UnknownHost { .. }));
/// assert!(Ssh::connect(&options.clone().host_keys(HostKeys::Accept)).await.is_ok());
/// // From now on it is known.
/// assert!(Ssh::connect(&options.host_keys(HostKeys::Refuse)).await.is_ok());
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Default)]
pub enum HostKeys {
    /// Shows the key's fingerprint at the terminal and asks; refuses without a terminal. The
    /// default.
    #[default]
    Ask,
    /// Saves the key and trusts it from now on. The first server that answers is trusted: use it
    /// only in trusted networks.
    Accept,
    /// Refuses the key.
    Refuse,
    /// Calls this function; if it returns `true`, the key is saved and trusted.
    Decide(Arc<dyn Fn(&UnknownHost) -> bool + Send + Sync>),
}

impl fmt::Debug for HostKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ask => "Ask",
            Self::Accept => "Accept",
            Self::Refuse => "Refuse",
            Self::Decide(_) => "Decide",
        })
    }
}

impl fmt::Debug for SshOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SshOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("key_files", &self.key_files)
            .field("agent_socket", &self.agent_socket)
            .field("timeout", &self.timeout)
            .field("known_hosts", &self.known_hosts)
            .field("host_keys", &self.host_keys)
            .finish_non_exhaustive()
    }
}

impl SshOptions {
    /// Creates options for the computer with this host name or IP address. In `user@host`, the part
    /// before the last `@` is the user.
    ///
    /// ```
    /// use labwire_client::ssh::SshOptions;
    ///
    /// let options = SshOptions::new("pi@raspberrypi");
    /// assert!(format!("{options:?}").contains(r#"host: "raspberrypi", port: 22, user: Some("pi")"#));
    /// ```
    pub fn new(host: impl Into<String>) -> Self {
        let host = host.into();
        let (user, host) = match host.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host.to_owned()),
            None => (None, host),
        };
        Self {
            host,
            port: DEFAULT_PORT,
            user: user.filter(|user| !user.is_empty()),
            password: None,
            key_files: Vec::new(),
            passphrase: None,
            agent_socket: None,
            timeout: DEFAULT_TIMEOUT,
            known_hosts: None,
            host_keys: HostKeys::Ask,
            source: None,
        }
    }

    /// Sets the server's port. The default is 22.
    ///
    /// ```
    /// use labwire_client::ssh::SshOptions;
    ///
    /// let options = SshOptions::new("raspberrypi").port(2222);
    /// assert!(format!("{options:?}").contains("port: 2222"));
    /// ```
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the user to log in as. Without it a person at the terminal is asked.
    ///
    /// ```
    /// use labwire_client::ssh::SshOptions;
    ///
    /// let options = SshOptions::new("raspberrypi").user("pi");
    /// assert!(format!("{options:?}").contains(r#"user: Some("pi")"#));
    /// ```
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the user's password.
    ///
    /// See the example of [`SshOptions`].
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds a file with a private key to log in with: as written by `ssh-keygen`, PKCS#8, or
    /// `.ppk`. Several files are tried in the order in which they were added.
    ///
    /// See the example of [`passphrase`](Self::passphrase).
    #[must_use]
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_files.push(path.into());
        self
    }

    /// Sets the passphrase of encrypted key files. Without it a person at the terminal is asked.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
    /// # support::lab(async |computer| {
    /// # let path = computer.key_file("difference engine");
    /// use labwire_client::ssh::{Ssh, SshError, SshOptions};
    ///
    /// let options = SshOptions::new("pi@localhost").key_file(path);
    /// # let options = computer.at(options);
    /// let wrong = Ssh::connect(&options.clone().passphrase("a guess")).await.unwrap_err();
    /// assert!(matches!(wrong, SshError::Passphrase { given: true, .. }));
    /// assert!(Ssh::connect(&options.passphrase("difference engine")).await.is_ok());
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    /// Sets the socket of an SSH agent, to log in with its keys.
    ///
    /// ```
    /// use labwire_client::ssh::SshOptions;
    ///
    /// let options = SshOptions::new("pi@raspberrypi").agent_socket("/run/user/1000/keyring/ssh");
    /// assert!(format!("{options:?}").contains("/run/user/1000/keyring/ssh"));
    /// ```
    #[must_use]
    pub fn agent_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.agent_socket = Some(path.into());
        self
    }

    /// Sets the time limit for connecting, login included. The default is 10 s. Time in which a
    /// person answers a question does not count.
    ///
    /// ```
    /// use std::time::Duration;
    /// use labwire_client::ssh::{Ssh, SshError, SshOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // It accepts connections, and says nothing.
    /// let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let options = SshOptions::new("pi@127.0.0.1").port(silent.local_addr()?.port());
    /// # let scratch = tempfile::tempdir()?;
    /// # let options = options.known_hosts(scratch.path().join("known_hosts"));
    /// let error = Ssh::connect(&options.timeout(Duration::from_millis(50))).await.unwrap_err();
    /// assert!(matches!(error, SshError::TimedOut { .. }));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the file in which server keys are looked up and saved. The default is
    /// `~/.ssh/known_hosts`.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
    /// # support::lab(async |computer| {
    /// # let options = computer.options();
    /// # let file = computer.path("servers of the lab");
    /// use labwire_client::ssh::{HostKeys, Ssh};
    ///
    /// let options = options.known_hosts(&file).host_keys(HostKeys::Accept);
    /// Ssh::connect(&options).await?;
    /// assert!(std::fs::read_to_string(file)?.contains(" ssh-ed25519 "));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn known_hosts(mut self, path: impl Into<PathBuf>) -> Self {
        self.known_hosts = Some(path.into());
        self
    }

    /// Sets the policy for unknown servers. The default is [`HostKeys::Ask`].
    ///
    /// See the example of [`HostKeys`].
    #[must_use]
    pub fn host_keys(mut self, host_keys: HostKeys) -> Self {
        self.host_keys = host_keys;
        self
    }

    /// Sets a function that answers questions instead of a person at the terminal. It may block.
    /// `None` means that there is no answer.
    ///
    /// See the example of [`SshQuestion`].
    #[must_use]
    pub fn ask_with(
        mut self,
        answer: impl Fn(&SshQuestion) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Arc::new(answer));
        self
    }

    /// Returns the server's name in `known_hosts`: the host alone for port 22, otherwise
    /// `[HOST]:PORT`.
    pub(super) fn host_label(&self) -> String {
        let host = self.host.to_lowercase();
        if self.port == DEFAULT_PORT {
            host
        } else {
            format!("[{host}]:{}", self.port)
        }
    }

    /// Returns the server's address, as `HOST:PORT`.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns whether credentials were given, so that the default ones are not tried.
    pub(super) fn way_given(&self) -> bool {
        !self.key_files.is_empty() || self.agent_socket.is_some() || self.password.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_can_stand_before_the_host() {
        let options = SshOptions::new("pi@raspberrypi");
        assert_eq!(
            (options.user.as_deref(), options.host.as_str()),
            (Some("pi"), "raspberrypi")
        );
        let options = SshOptions::new("ada@lab.example@gateway").user("pi");
        assert_eq!(
            (options.user.as_deref(), options.host.as_str()),
            (Some("pi"), "gateway")
        );
        assert_eq!(SshOptions::new("@gateway").user, None);
    }

    #[test]
    fn no_secret_is_shown() {
        let options = SshOptions::new("pi").password("engine").passphrase("abacus");
        let text = format!("{options:?}");
        assert!(!text.contains("engine") && !text.contains("abacus"), "{text}");
    }

    #[test]
    fn a_server_on_another_port_has_its_own_name() {
        assert_eq!(SshOptions::new("Lab-PC").host_label(), "lab-pc");
        assert_eq!(SshOptions::new("Lab-PC").port(2222).host_label(), "[lab-pc]:2222");
        assert_eq!(SshOptions::new("::1").port(2222).address(), "[::1]:2222");
    }
}
