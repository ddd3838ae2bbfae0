//! The connection with the manager: options that all commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use labwire_client::{Client, ConnectOptions, FirstUse};

use crate::failure::Failure;

/// The name by which the commands connect.
const NAME: &str = "labwire";

/// How to connect. Missing options have the values of the SDKs' environment variables.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    #[arg(
        long,
        value_name = "HOST",
        help = "The manager: HOST, HOST:PORT or [IPv6]:PORT [env: LABWIRE_MANAGER] [default: localhost:1875]",
        global = true
    )]
    host: Option<String>,
    /// The manager's port, if --host does not contain it
    #[arg(long, value_name = "PORT", global = true)]
    port: Option<u16>,
    #[arg(
        long,
        help = "Connect without TLS, to a manager that was started with this option [env: LABWIRE_DISABLE_TLS]",
        global = true
    )]
    disable_tls: bool,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "FILE",
        help = "Trust the certificate in this file (PEM) and no other [env: LABWIRE_CERT_FILE]",
        global = true
    )]
    cert_file: Option<PathBuf>,
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        value_name = "ACTION",
        help = "What to do with an unknown certificate [env: LABWIRE_FIRST_USE] [default: ask]",
        global = true
    )]
    first_use: Option<OnFirstUse>,
    #[arg(
        long,
        hide_short_help = true,
        value_name = "NAME",
        help = "Log in as this user; the password is asked for, or taken from LABWIRE_PASSWORD [env: LABWIRE_USERNAME]",
        global = true
    )]
    username: Option<String>,
    /// The longest time for connecting, in seconds [default: 10]
    #[arg(long, hide_short_help = true, value_name = "SECONDS", value_parser = seconds, global = true)]
    connect_timeout: Option<Duration>,
}

/// What to do with an unknown certificate.
#[derive(Clone, Copy, Debug, ValueEnum)]
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

/// Parses a number of seconds above 0, such as `2.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let expected = || "a number of seconds above 0 was expected, such as 2.5".to_owned();
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| expected())?;
    let time = Duration::try_from_secs_f64(number).map_err(|_| expected())?;
    if time.is_zero() { Err(expected()) } else { Ok(time) }
}

impl ConnectionArgs {
    fn options(&self) -> Result<ConnectOptions, Failure> {
        let mut options = ConnectOptions::from_environment()?;
        if let Some(address) = &self.host {
            options = options.manager(address).ok_or_else(|| {
                Failure::Usage(format!(
                    "--host {address}: HOST, HOST:PORT or [IPv6]:PORT was expected"
                ))
            })?;
        }
        if let Some(port) = self.port {
            options = options.port(port);
        }
        if self.disable_tls {
            options = options.without_tls();
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
            options = options.timeout(timeout);
        }
        Ok(options)
    }

    /// Connects to the manager.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(NAME, self.options()?).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_above_0() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2_500)));
        assert_eq!(seconds("1s"), Ok(Duration::from_secs(1)));
        for text in ["0", "-1", "nan", "1e30", "", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
