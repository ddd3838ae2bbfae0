//! The connection with the manager: options that all commands share.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use labwire_client::{
    Backoff, CallError, Client, ClientOptions, ConnectError, ConnectOptions, Identities, Link, Question,
};
use labwire_pki::{ClientCertificate, load_chain};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client_name::client_name;
use crate::failure::Failure;
use crate::other_options::OtherOptions;
use crate::output::{one_line, tell};
use crate::profiles::Profiles;
use crate::questions;
use crate::settings::{Settings, two_ports, with_address};
use crate::variables::is_set;

/// The longest time to wait until the manager has closed the connection.
const DISCONNECT_TIME: Duration = Duration::from_secs(1);

/// The capacity of the notification queue, for example while a disk or a pager is slow.
const NOTIFICATIONS: usize = 4_096;

/// The most calls that wait while the connection is broken and the client returns to its session.
const CALLS: usize = 1_000;

/// The origin of a setting that nothing sets.
const DEFAULT: &str = "the default";

/// How to connect.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Use the settings of this profile: see labwire profile
    #[arg(long, value_name = "NAME", env = "LABWIRE_PROFILE")]
    profile: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// Where the settings of a connection come from, for people.
pub(crate) struct Origins {
    /// The manager's host.
    pub(crate) host: String,
    /// The manager's port.
    pub(crate) port: String,
    /// Whether TLS is used.
    pub(crate) tls: String,
    /// The file with the only trusted certificates.
    pub(crate) cert_file: String,
    /// The user to log in as; `None` if none is set.
    pub(crate) username: Option<String>,
}

impl Origins {
    /// Returns where the host and the port come from.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host == port {
            host.clone()
        } else if port == DEFAULT {
            format!("the host is from {host}, the port is {DEFAULT}")
        } else if host == DEFAULT {
            format!("the host is {DEFAULT}, the port is from {port}")
        } else {
            format!("the host is from {host}, the port is from {port}")
        }
    }
}

impl ConnectionArgs {
    /// Returns these options for the manager that an argument names, if there is one.
    ///
    /// # Errors
    /// If the argument is no address, or an option names another manager or port.
    pub(crate) fn for_manager(&self, argument: Option<&str>) -> Result<Self, Failure> {
        let mut options = self.clone();
        if let Some(address) = argument {
            if let Some(host) = &self.settings.host {
                return Err(Failure::Usage(format!(
                    "{address} and --host {host} name two managers"
                )));
            }
            let named = with_address(ConnectOptions::new(), address)?;
            if let Some(port) = self.settings.port
                && Settings::names_port(address)
                && named.host_and_port().1 != port
            {
                return Err(two_ports("", address, port));
            }
            options.settings.host = Some(address.to_owned());
        }
        Ok(options)
    }

    /// Returns all settings, those of the profile and of the environment included.
    pub(crate) fn options(&self) -> Result<ConnectOptions, Failure> {
        let options = ConnectOptions::from_environment()?;
        let options = match self.used_profile()? {
            Some((name, settings)) => settings.apply(options).map_err(|failure| {
                failure.map_text(|text| format!("the profile '{}': {text}", one_line(&name)))
            })?,
            None => options,
        };
        Ok(questions::asked(self.settings.apply(options)?))
    }

    /// Returns the options beside the manager's address with which another command connects in the
    /// same way: those of the command line, and those of the default profile if it was used, since a
    /// command that names a manager uses no default profile.
    pub(crate) fn other_options(&self) -> Result<OtherOptions, Failure> {
        let default = match &self.profile {
            None => self.used_profile()?.map(|(_, settings)| settings),
            Some(_) => None,
        };
        let settings = self.settings.clone().or(default.unwrap_or_default());
        Ok(OtherOptions::new(
            self.profile.clone(),
            Settings {
                host: None,
                port: None,
                ..settings
            },
        ))
    }

    /// Returns where the settings come from.
    pub(crate) fn origins(&self) -> Result<Origins, Failure> {
        let profile = self.used_profile()?;
        let origin = |option: &str, variable: &str, is_in: &dyn Fn(&Settings) -> bool| {
            if is_in(&self.settings) {
                return option.to_owned();
            }
            match &profile {
                Some((name, settings)) if is_in(settings) => format!("the profile '{}'", one_line(name)),
                _ if is_set(variable) => variable.to_owned(),
                _ => DEFAULT.to_owned(),
            }
        };
        let host = origin("the command line", "LABWIRE_MANAGER", &|settings| {
            settings.host.is_some()
        });
        let port = origin("the command line", "LABWIRE_MANAGER", &|settings| {
            settings.port.is_some() || settings.host.as_deref().is_some_and(Settings::names_port)
        });
        let named = std::env::var("LABWIRE_MANAGER").unwrap_or_default();
        let is_default = port == "LABWIRE_MANAGER" && !Settings::names_port(&named);
        let username = origin("--username", "LABWIRE_USERNAME", &|settings| {
            settings.username.is_some()
        });
        Ok(Origins {
            host,
            port: if is_default { DEFAULT.to_owned() } else { port },
            tls: origin("--disable-tls", "LABWIRE_DISABLE_TLS", &|settings| {
                settings.disable_tls.is_some()
            }),
            cert_file: origin("--cert-file", "LABWIRE_CERT_FILE", &|settings| {
                settings.cert_file.is_some()
            }),
            username: Some(username).filter(|origin| origin != DEFAULT),
        })
    }

    /// Returns the named profile, or the default one, unless the environment names a manager.
    fn used_profile(&self) -> Result<Option<(String, Settings)>, Failure> {
        if let Some(name) = &self.profile {
            return Ok(Some((name.clone(), Profiles::read()?.get(name)?.clone())));
        }
        if self.settings.host.is_some() || is_set("LABWIRE_MANAGER") {
            return Ok(None);
        }
        let Some(profiles) = Profiles::read_if_any()? else {
            return Ok(None);
        };
        match profiles.default_name() {
            Some(name) => Ok(Some((name.to_owned(), profiles.get(name)?.clone()))),
            None => Ok(None),
        }
    }

    /// Returns the address of the manager, `HOST:PORT`.
    pub(crate) fn address(&self) -> Result<String, Failure> {
        Ok(self.options()?.address())
    }

    /// Connects to the manager as the client of a command.
    pub(crate) async fn connect(&self, command: &str) -> Result<Connection, Failure> {
        let options = self.options()?;
        let opened = Connection::open(&client_name(command), options.clone()).await;
        let connection = opened.map_err(|error| self.with_port_hint(error.into()))?;
        self.tell_of_certificate(&options);
        Ok(connection)
    }

    /// Says so if the client certificate names another user than the settings, and the manager has not asked
    /// for a username: then the login is that of the certificate.
    fn tell_of_certificate(&self, options: &ConnectOptions) {
        let asked_for_user = |question: &Question| matches!(question, Question::Password { .. });
        let (Some((file, _)), Ok(Some((username, origin)))) =
            (options.client_certificate_files(), self.username())
        else {
            return;
        };
        if options.questions().iter().any(asked_for_user) {
            return;
        }
        let certificate = load_chain(file).ok();
        let certificate = certificate.and_then(|chain| ClientCertificate::of(chain.first()?));
        if let Some(Ok(of)) = certificate.map(|certificate| certificate.name)
            && of != username
        {
            let of = one_line(&of);
            tell(format_args!(
                "labwire: the client certificate {} is for the user '{of}': a manager that accepts it logs you in as \
                 '{of}', not as '{}' ({origin})",
                one_line(&file.to_string_lossy()),
                one_line(&username),
            ));
        }
    }

    /// Returns the user that the settings name, and what names it.
    fn username(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(origin) = self.origins()?.username else {
            return Ok(None);
        };
        let of_profile =
            || Ok::<_, Failure>(self.used_profile()?.and_then(|(_, settings)| settings.username));
        let username = match &self.settings.username {
            Some(username) => Some(username.clone()),
            None => of_profile()?.or_else(|| std::env::var("LABWIRE_USERNAME").ok()),
        };
        Ok(username.map(|username| (username, origin)))
    }

    /// Adds to the failure of a connection that `LABWIRE_PORT` is not for commands, if that may be why
    /// there is no manager.
    fn with_port_hint(&self, failure: Failure) -> Failure {
        if !matches!(failure, Failure::NoManager(_)) {
            return failure;
        }
        let is_default = self.origins().is_ok_and(|origins| origins.port == DEFAULT);
        let port = std::env::var("LABWIRE_PORT").unwrap_or_default();
        let hint = (is_default && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| {
            format!(
                "LABWIRE_PORT is for labwire start only; for other commands: --port {port} (or LABWIRE_MANAGER=HOST:{port})"
            )
        });
        failure.with_hint(hint)
    }

    /// As [`connect_lasting`](Self::connect_lasting), under another name.
    pub(crate) async fn connect_lasting_as(&self, name: &str) -> Result<Connection, Failure> {
        let options = self.options()?.reconnect(Backoff::new());
        let connection = Connection::open(name, options.clone()).await?;
        self.tell_of_certificate(&options);
        Ok(connection)
    }

    /// Connects to the manager as the client of a command, and connects again whenever the connection
    /// is lost.
    pub(crate) async fn connect_lasting(&self, command: &str) -> Result<Connection, Failure> {
        self.connect_lasting_as(&client_name(command)).await
    }
}

/// A connection with a manager. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    /// The timeout for requests to the manager itself.
    limit: Duration,
    /// Since when it is broken, if its session is followed.
    broken: watch::Sender<Option<Timestamp>>,
}

impl Connection {
    /// Connects to the manager of these options as a client of this name.
    pub(crate) async fn open(name: &str, options: ConnectOptions) -> Result<Self, ConnectError> {
        let limit = options.connect_timeout();
        // Calls of a client that reconnects would also wait for a manager that has ended, and for
        // services that have left.
        let calls = if options.backoff().is_none() { CALLS } else { 0 };
        let options = ClientOptions::from(options)
            .notification_queue(NOTIFICATIONS)
            .buffer(calls);
        Ok(Self {
            client: Client::connect(name, options).await?,
            limit,
            broken: watch::Sender::new(None),
        })
    }

    /// Returns the client, for requests without this limit.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Notes since when it is broken; `None` once the client has returned.
    pub(crate) fn set_broken(&self, since: Option<Timestamp>) {
        self.broken.send_replace(since);
    }

    /// Returns since when it is broken, as it was noted.
    pub(crate) fn broken(&self) -> Option<Timestamp> {
        *self.broken.borrow()
    }

    /// Returns the timeout for requests to the manager itself.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the list of clients and services.
    pub(crate) async fn identities(&self) -> Result<Identities, Failure> {
        self.in_time(self.client.identities()).await
    }

    /// Links with a service.
    pub(crate) async fn link(&self, service: &str) -> Result<Link, Failure> {
        self.in_time(self.client.link(service)).await
    }

    /// Waits for a reply of the manager itself, until the timeout.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Failure> {
        Ok(self.answer(Duration::ZERO, answer).await??)
    }

    /// Waits for an answer of the manager, which may take `wait` longer than the timeout.
    ///
    /// # Errors
    /// [`Failure::TimedOut`].
    pub(crate) async fn answer<T>(
        &self,
        wait: Duration,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Result<T, CallError>, Failure> {
        let limit = self.limit.saturating_add(wait);
        timeout(limit, answer).await.map_err(|_| {
            Failure::TimedOut(format!(
                "the manager has not answered within {} s (--connect-timeout)",
                limit.as_secs_f64()
            ))
        })
    }

    /// Disconnects, and waits until the manager has closed the connection, a second at most.
    pub(crate) async fn disconnect(&self) {
        let _ = timeout(DISCONNECT_TIME, self.client.disconnect()).await;
    }
}
