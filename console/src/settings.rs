//! The settings of a connection: options of the command line, or a profile.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use labwire_client::{ConnectOptions, FirstUse, parse_flag};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::{one_line, shell_option};
use crate::seconds::Seconds;

/// Settings of a connection: options of the command line, or a profile. Missing ones have the
/// values of the SDKs' environment variables.
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[command(next_help_heading = "Connection")]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[arg(
        long,
        value_name = "HOST",
        help = "The manager: HOST, HOST:PORT or [IPv6]:PORT; a HOST alone keeps the port of the variable [env: \
                LABWIRE_MANAGER] [default: localhost:1875]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The manager's port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = flag,
        help = "Connect without TLS, to a manager that was started with this option [env: LABWIRE_DISABLE_TLS]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disable_tls: Option<bool>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "FILE",
        help = "Trust the certificate in this file (PEM) and no other [env: LABWIRE_CERT_FILE]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "FILE",
        help = "Present the certificate in this file (PEM) to a manager with --client-ca, in place of a password [env: \
                LABWIRE_CLIENT_CERT]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "FILE",
        help = "The private key of --client-cert (PEM) [env: LABWIRE_CLIENT_KEY] [default: the file of the certificate]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        value_name = "ACTION",
        help = "What to do with an unknown certificate [env: LABWIRE_FIRST_USE] [default: ask]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_use: Option<OnFirstUse>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "NAME",
        help = "Log in as this user; the password is asked for, or taken from LABWIRE_PASSWORD (that of a manager with \
                --auth-password from LABWIRE_MANAGER_PASSWORD) [env: LABWIRE_USERNAME]"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The longest time for connecting: 5, 500ms, 1m [default: 10]
    #[arg(long, hide_short_help = true, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<Seconds>,
}

/// Parses an option that is on or off as the SDKs read their environment variables.
pub(crate) fn flag(text: &str) -> Result<bool, &'static str> {
    parse_flag(text).ok_or("write true or false")
}

/// What to do with an unknown certificate.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFirstUse {
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
        for (option, file) in [
            ("--client-cert", &self.client_cert),
            ("--client-key", &self.client_key),
        ] {
            let file = file.as_ref();
            options.extend(file.map(|file| shell_option(option, &file.to_string_lossy())));
        }
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
    pub(crate) const KEYS: [&str; 9] = [
        "host",
        "port",
        "disable-tls",
        "cert-file",
        "client-cert",
        "client-key",
        "first-use",
        "username",
        "connect-timeout",
    ];

    /// Returns the settings that are set, by their keys, for people.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let first_use = self.first_use.and_then(|action| action.to_possible_value());
        let shown = |file: Option<&PathBuf>| file.map(|file| file.display().to_string());
        let values = [
            self.host.clone(),
            self.port.map(|port| port.to_string()),
            self.disable_tls.map(|is_disabled| is_disabled.to_string()),
            shown(self.cert_file.as_ref()),
            shown(self.client_cert.as_ref()),
            shown(self.client_key.as_ref()),
            first_use.map(|action| action.get_name().to_owned()),
            self.username.clone(),
            self.connect_timeout
                .map(|timeout| format!("{} s", f64::from(timeout))),
        ];
        let pairs = Self::KEYS.into_iter().zip(values);
        pairs.filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Returns the settings for a profile: they can be used, and from any folder.
    pub(crate) fn checked(&self) -> Result<Self, Failure> {
        self.apply(ConnectOptions::new())?;
        let mut settings = self.clone();
        let files = [
            ("--cert-file", &mut settings.cert_file),
            ("--client-cert", &mut settings.client_cert),
            ("--client-key", &mut settings.client_key),
        ];
        for (option, file) in files {
            if let Some(file) = file {
                let absolute = std::path::absolute(&*file);
                *file = absolute.map_err(|error| Failure::Usage(format!("{option}: {error}")))?;
            }
        }
        Ok(settings)
    }

    /// Takes the missing settings from others.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            host: self.host.or(others.host),
            port: self.port.or(others.port),
            disable_tls: self.disable_tls.or(others.disable_tls),
            cert_file: self.cert_file.or(others.cert_file),
            client_cert: self.client_cert.or(others.client_cert),
            client_key: self.client_key.or(others.client_key),
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
    pub(crate) fn names_port(address: &str) -> bool {
        let with = |port| {
            ConnectOptions::new()
                .port(port)
                .manager(address)
                .map(|options| options.address())
        };
        !address.is_empty() && with(1) == with(2)
    }

    pub(crate) fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions, Failure> {
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
        if let Some(file) = &self.client_cert {
            options = options.client_certificate_file(file);
        }
        if let Some(file) = &self.client_key {
            options = options.client_key_file(file);
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
pub(crate) fn with_address(options: ConnectOptions, address: &str) -> Result<ConnectOptions, Failure> {
    options.manager(address).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: HOST, HOST:PORT or [IPv6]:PORT was expected, with a PORT from 1 to 65535, and no URL",
            one_line(address)
        ))
    })
}

pub(crate) fn two_ports(option: &str, address: &str, port: u16) -> Failure {
    Failure::Usage(format!("{option}{address} and --port {port} name two ports"))
}
