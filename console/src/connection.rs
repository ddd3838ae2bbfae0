//! The connection with the manager: options that all commands share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use labwire_client::{
    Backoff, CallError, Client, ClientOptions, ConnectError, ConnectOptions, FirstUse, Identities, Link,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::other_options::OtherOptions;
use crate::output::{one_line, shell_option};
use crate::profiles::Profiles;
use crate::questions;

/// The name by which the commands connect.
pub(crate) const NAME: &str = "labwire";

/// The longest time to wait until the manager has closed the connection.
const DISCONNECT_TIME: Duration = Duration::from_secs(1);

/// The capacity of the notification queue, for example while a disk or a pager is slow.
const NOTIFICATIONS: usize = 4_096;

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

/// Settings of a connection: options of the command line, or a profile. Missing ones have the
/// values of the SDKs' environment variables.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[command(next_help_heading = "Connection")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[arg(
        long,
        value_name = "HOST",
        help = "The manager: HOST, HOST:PORT or [IPv6]:PORT [env: LABWIRE_MANAGER] [default: localhost:1875]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The manager's port
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help = "Connect without TLS, to a manager that was started with this option [env: LABWIRE_DISABLE_TLS]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_tls: Option<bool>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "FILE",
        help = "Trust the certificate in this file (PEM) and no other [env: LABWIRE_CERT_FILE]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_file: Option<PathBuf>,
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        value_name = "ACTION",
        help = "What to do with an unknown certificate [env: LABWIRE_FIRST_USE] [default: ask]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    first_use: Option<OnFirstUse>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "NAME",
        help = "Log in as this user; the password is asked for, or taken from LABWIRE_PASSWORD [env: LABWIRE_USERNAME]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The longest time for connecting, in seconds [default: 10]
    #[arg(long, hide_short_help = true, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout: Option<Seconds>,
}

/// What to do with an unknown certificate.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum OnFirstUse {
    /// Show it and ask
    Ask,
    /// Trust and save it
    Save,
    /// Do not connect
    Refuse,
}

impl From<OnFirstUse> for FirstUse {
    fn from(action: OnFirstUse) -> Self {
        match action {
            OnFirstUse::Ask => Self::Ask,
            OnFirstUse::Save => Self::Save,
            OnFirstUse::Refuse => Self::Refuse,
        }
    }
}

/// A time above 0, written as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub(crate) struct Seconds(Duration);

impl Seconds {
    /// Returns the time.
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        match Duration::try_from_secs_f64(number) {
            Ok(time) if !time.is_zero() => Ok(Self(time)),
            _ => Err("a number of seconds above 0 was expected, such as 2.5"),
        }
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.as_secs_f64()
    }
}

impl FromStr for Seconds {
    type Err = &'static str;

    /// Accepts a unit behind the number, as in `2.5s`, `200ms`, `10min` and `2h`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3_600.0)];
        let with_unit = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (number, unit) = with_unit.unwrap_or((text, 1.0));
        let number: f64 = number.parse().unwrap_or(f64::NAN);
        (number * unit).try_into()
    }
}

impl fmt::Display for Settings {
    /// Writes the settings as options that can be pasted into a shell.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        options.extend(self.host.as_ref().map(|host| shell_option("--host", host)));
        options.extend(self.port.map(|port| format!("--port {port}")));
        options.extend(match self.disable_tls {
            None => None,
            Some(true) => Some("--disable-tls".to_owned()),
            Some(false) => Some("--disable-tls=false".to_owned()),
        });
        let file = self.cert_file.as_ref();
        options.extend(file.map(|file| shell_option("--cert-file", &file.to_string_lossy())));
        let action = self.first_use.and_then(|action| action.to_possible_value());
        options.extend(action.map(|action| format!("--first-use {}", action.get_name())));
        options.extend(
            self.username
                .as_ref()
                .map(|name| shell_option("--username", name)),
        );
        let timeout = self.connect_timeout.map(f64::from);
        options.extend(timeout.map(|seconds| format!("--connect-timeout {seconds}")));
        formatter.write_str(&options.join(" "))
    }
}

impl Settings {
    /// The keys of a profile.
    pub(crate) const KEYS: [&str; 7] = [
        "host",
        "port",
        "disable-tls",
        "cert-file",
        "first-use",
        "username",
        "connect-timeout",
    ];

    /// Returns the settings for a profile: they can be used, and from any folder.
    pub(crate) fn checked(&self) -> Result<Self, Failure> {
        self.apply(ConnectOptions::new())?;
        let mut settings = self.clone();
        if let Some(file) = &self.cert_file {
            let file = std::path::absolute(file);
            settings.cert_file = Some(file.map_err(|error| Failure::Usage(format!("--cert-file: {error}")))?);
        }
        Ok(settings)
    }

    /// Takes the missing settings from others.
    fn or(self, others: Self) -> Self {
        Self {
            host: self.host.or(others.host),
            port: self.port.or(others.port),
            disable_tls: self.disable_tls.or(others.disable_tls),
            cert_file: self.cert_file.or(others.cert_file),
            first_use: self.first_use.or(others.first_use),
            username: self.username.or(others.username),
            connect_timeout: self.connect_timeout.or(others.connect_timeout),
        }
    }

    /// Sets whether TLS is disabled; with `None` it depends on the profile and the environment.
    #[must_use]
    pub(crate) fn with_disabled_tls(self, disable_tls: Option<bool>) -> Self {
        Self { disable_tls, ..self }
    }

    /// Returns the manager's host, and its port if one is given.
    pub(crate) fn host_and_port(&self) -> Option<(String, Option<u16>)> {
        let address = self.host.as_deref()?;
        let options = ConnectOptions::new().manager(address)?;
        let (host, port) = options.host_and_port();
        let port = if Self::names_port(address) {
            Some(port)
        } else {
            self.port
        };
        Some((host.to_owned(), port))
    }

    /// Returns whether an address contains a port.
    fn names_port(address: &str) -> bool {
        let with = |port| {
            ConnectOptions::new()
                .port(port)
                .manager(address)
                .map(|options| options.address())
        };
        !address.is_empty() && with(1) == with(2)
    }

    fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions, Failure> {
        if let Some(address) = &self.host {
            options = with_address(options, address)
                .map_err(|failure| failure.map_text(|text| format!("--host {text}")))?;
        }
        if let Some(port) = self.port {
            let address = self.host.as_deref().unwrap_or_default();
            if options.clone().port(port).address() != options.address() && Self::names_port(address) {
                return Err(two_ports("--host ", address, port));
            }
            options = options.port(port);
        }
        if let Some(is_disabled) = self.disable_tls {
            options = if is_disabled {
                options.without_tls()
            } else {
                options.with_tls()
            };
        }
        if let Some(file) = &self.cert_file {
            options = options.certificate_file(file);
        }
        if let Some(action) = self.first_use {
            options = options.first_use(action.into());
        }
        if let Some(username) = &self.username {
            options = options.username(username);
        }
        if let Some(timeout) = self.connect_timeout {
            options = options.timeout(timeout.duration());
        }
        Ok(options)
    }
}

/// Sets the manager's address. The error begins with the address.
fn with_address(options: ConnectOptions, address: &str) -> Result<ConnectOptions, Failure> {
    options.manager(address).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: HOST, HOST:PORT or [IPv6]:PORT was expected, with a PORT from 1 to 65535, and no URL",
            one_line(address)
        ))
    })
}

fn two_ports(option: &str, address: &str, port: u16) -> Failure {
    Failure::Usage(format!("{option}{address} and --port {port} name two ports"))
}

/// Where the settings of a connection come from, for people.
pub(crate) struct Origins {
    /// The manager's address.
    pub(crate) address: String,
    /// Whether TLS is used.
    pub(crate) tls: String,
    /// The file with the only trusted certificates.
    pub(crate) cert_file: String,
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
                _ => "the default".to_owned(),
            }
        };
        Ok(Origins {
            address: origin("the command line", "LABWIRE_MANAGER", &|settings| {
                settings.host.is_some() || settings.port.is_some()
            }),
            tls: origin("--disable-tls", "LABWIRE_DISABLE_TLS", &|settings| {
                settings.disable_tls.is_some()
            }),
            cert_file: origin("--cert-file", "LABWIRE_CERT_FILE", &|settings| {
                settings.cert_file.is_some()
            }),
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

    /// Connects to the manager.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(NAME, self.options()?).await?)
    }

    /// Connects to the manager under another name.
    pub(crate) async fn connect_as(&self, name: &str) -> Result<Connection, Failure> {
        Ok(Connection::open(name, self.options()?).await?)
    }

    /// Connects to the manager, and connects again whenever the connection is lost.
    pub(crate) async fn connect_lasting(&self) -> Result<Connection, Failure> {
        Ok(Connection::open(NAME, self.options()?.reconnect(Backoff::new())).await?)
    }
}

/// Whether an environment variable is set. An empty one counts as not set.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// A connection with a manager. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    /// The timeout for requests to the manager itself.
    limit: Duration,
}

impl Connection {
    /// Connects to the manager of these options as a client of this name.
    pub(crate) async fn open(name: &str, options: ConnectOptions) -> Result<Self, ConnectError> {
        let limit = options.connect_timeout();
        let options = ClientOptions::from(options).notification_queue(NOTIFICATIONS);
        Ok(Self {
            client: Client::connect(name, options).await?,
            limit,
        })
    }

    /// Returns the client, for requests without this limit.
    pub(crate) fn client(&self) -> &Client {
        &self.client
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
        match timeout(self.limit, answer).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(Failure::TimedOut(format!(
                "the manager has not answered within {} s (--connect-timeout)",
                self.limit.as_secs_f64()
            ))),
        }
    }

    /// Disconnects, and waits until the manager has closed the connection, a second at most.
    pub(crate) async fn disconnect(&self) {
        let _ = timeout(DISCONNECT_TIME, self.client.disconnect()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_above_0() {
        let time = |text: &str| text.parse::<Seconds>().map(Seconds::duration);
        assert_eq!(time("2.5"), Ok(Duration::from_millis(2_500)));
        assert_eq!(time("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("1.5min"), Ok(Duration::from_secs(90)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        for text in ["0", "-1", "nan", "1e30", "", "s", "soon"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
