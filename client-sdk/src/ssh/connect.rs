//! The connection to another computer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::PublicKey;
use tokio::net::TcpStream;

use super::ask::ask;
use super::authenticate::authenticate;
use super::budget::Budget;
use super::error::SshError;
use super::host_key::{CheckError, Checker};
use super::known_hosts::{KnownHost, UnknownHost};
use super::options::{HostKeys, SshOptions};
use super::questions::SshQuestion;
use super::terminal;

/// Idle time before a keep-alive probe; after three probes without an answer the server counts as
/// disconnected. Longer than an outage of a busy network, shorter than a person waits.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// An SSH connection to another computer.
///
/// Dropping it closes the connection.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ssh.rs")); }
/// # support::lab(async |computer| {
/// use std::time::Duration;
/// use labwire_client::ssh::{Ssh, SshOptions};
///
/// let options = SshOptions::new("pi@localhost").password("raspberry");
/// # let options = computer.at(options);
/// let pi = Ssh::connect(&options).await?;
/// let output = pi.run("ls bin", Duration::from_secs(10)).await?;
/// assert_eq!(output.stdout, "fails\nmypackage\n");
/// pi.close().await;
/// # Ok(())
/// # });
/// ```
pub struct Ssh {
    pub(super) session: Handle<Checker>,
    pub(super) host: String,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ssh")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Ssh {
    /// Connects, verifies the server's key and logs in, as the options specify.
    ///
    /// Cancel safe: if the future is dropped early, the connection is closed. A question to a
    /// person stays open.
    ///
    /// ```
    /// use labwire_client::ssh::{Ssh, SshOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Nobody listens at this port.
    /// let error = Ssh::connect(&SshOptions::new("pi@localhost").port(1)).await.unwrap_err();
    /// assert!(error.to_string().starts_with("cannot connect to localhost:1: "));
    /// assert!(error.to_string().ends_with("; does an SSH server run there?"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(options: &SshOptions) -> Result<Self, SshError> {
        let user = user(options).await?;
        let mut dial = Dial {
            options,
            known_hosts: known_hosts_file(options)?,
            budget: Budget::new(options.timeout),
        };
        let mut session = dial.trusted_session().await?;
        authenticate(&mut session, options, &user, &mut dial.budget).await?;
        Ok(Self {
            session,
            host: options.host.clone(),
        })
    }

    /// Closes the connection. Running commands are not ended.
    ///
    /// See the example of [`Ssh`].
    pub async fn close(self) {
        // An error means that the connection has already ended.
        let _ = self
            .session
            .disconnect(russh::Disconnect::ByApplication, "", "en")
            .await;
    }
}

async fn user(options: &SshOptions) -> Result<String, SshError> {
    if let Some(user) = &options.user {
        return Ok(user.clone());
    }
    let host = options.host.clone();
    let question = SshQuestion::User { host: host.clone() };
    ask(options, question).await.ok_or(SshError::NoUser { host })
}

fn known_hosts_file(options: &SshOptions) -> Result<PathBuf, SshError> {
    match &options.known_hosts {
        Some(file) => Ok(file.clone()),
        None => Ok(std::env::home_dir()
            .ok_or(SshError::NoHome)?
            .join(".ssh/known_hosts")),
    }
}

/// The state of connecting to a trusted server.
struct Dial<'a> {
    options: &'a SshOptions,
    known_hosts: PathBuf,
    budget: Budget,
}

impl Dial<'_> {
    /// Connects. If the server is unknown, asks about it, saves its key and connects again. The
    /// first connection is dropped, because a server waits for a login for a shorter time than a
    /// person may need.
    async fn trusted_session(&mut self) -> Result<Handle<Checker>, SshError> {
        loop {
            let known = KnownHost::read(&self.known_hosts, &self.options.host_label())?;
            match self.session(known.clone()).await {
                Ok(session) => return Ok(session),
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Unknown(unknown, key)) => {
                    if !self.accepts(&unknown).await {
                        return Err(SshError::UnknownHost {
                            host: unknown.host,
                            algorithm: unknown.algorithm,
                            fingerprint: unknown.fingerprint,
                            file: self.known_hosts.clone(),
                        });
                    }
                    known.save(&key)?;
                }
            }
        }
    }

    async fn session(&mut self, known: KnownHost) -> Result<Handle<Checker>, Stopped> {
        let options = self.options;
        let config = client::Config {
            preferred: russh::Preferred {
                key: known.algorithms().into(),
                ..russh::Preferred::DEFAULT
            },
            keepalive_interval: Some(KEEPALIVE),
            // The library sends no probes before the login. This limit ends a connection to a
            // server that hangs then.
            inactivity_timeout: Some(KEEPALIVE * 4),
            nodelay: true,
            ..client::Config::default()
        };
        let timed_out = |_| SshError::TimedOut {
            address: options.address(),
            timeout: options.timeout,
        };
        let stream = TcpStream::connect((options.host.as_str(), options.port));
        let stream = self.budget.wait(stream).await.map_err(timed_out)?;
        let stream = stream.map_err(|reason| SshError::Unreachable {
            address: options.address(),
            reason,
        })?;
        let session = client::connect_stream(Arc::new(config), stream, Checker { known });
        let session = self.budget.wait(session).await.map_err(timed_out)?;
        session.map_err(|stopped| match stopped {
            CheckError::Unknown(unknown, key) => Stopped::Unknown(unknown, key),
            CheckError::Refused(error) => Stopped::Failed(error),
            CheckError::Library(error) => Stopped::Failed(SshError::Failed {
                address: options.address(),
                reason: error.to_string(),
            }),
        })
    }

    async fn accepts(&self, unknown: &UnknownHost) -> bool {
        let (decision, unknown) = (self.options.host_keys.clone(), unknown.clone());
        // A person may take a while, and the function that decides may block.
        let accepted = tokio::task::spawn_blocking(move || match decision {
            HostKeys::Ask => terminal::ask_to_trust(&unknown),
            HostKeys::Accept => true,
            HostKeys::Refuse => false,
            HostKeys::Decide(decide) => decide(&unknown),
        });
        accepted.await.unwrap_or(false)
    }
}

/// The reason why there is no session.
enum Stopped {
    Unknown(UnknownHost, Box<PublicKey>),
    Failed(SshError),
}

impl From<SshError> for Stopped {
    fn from(error: SshError) -> Self {
        Self::Failed(error)
    }
}
