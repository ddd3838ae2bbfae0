//! The subject of the checks: the manager in the settings.

use std::net::IpAddr;

use labwire_client::{ConnectOptions, DEFAULT_PORT};

use crate::connection::{ConnectionArgs, Origins};
use crate::failure::Failure;
use crate::other_options::OtherOptions;
use crate::output::{shell_argument, shell_option, shell_word};

/// The manager that is examined, and how programs connect to it.
pub(super) struct Subject {
    pub(super) options: ConnectOptions,
    pub(super) origins: Origins,
    pub(super) host: String,
    pub(super) port: u16,
    /// The addresses of the host, once they are known.
    pub(super) addresses: Vec<IpAddr>,
    /// The service that is examined, too.
    pub(super) service: Option<String>,
    /// The options that recommended commands repeat.
    other_options: OtherOptions,
}

impl Subject {
    /// Takes the settings from the command line, the profile and the environment.
    pub(super) fn new(connection: &ConnectionArgs, service: Option<&str>) -> Result<Self, Failure> {
        let options = connection.options()?;
        let (host, port) = options.host_and_port();
        let (host, port) = (host.to_owned(), port);
        Ok(Self {
            options,
            origins: connection.origins()?,
            host,
            port,
            addresses: Vec::new(),
            service: service.map(str::to_owned),
            other_options: connection.other_options()?,
        })
    }

    /// Returns the address as `HOST:PORT`.
    pub(super) fn address(&self) -> String {
        self.options.address()
    }

    /// Returns the command that checks a manager at another address.
    pub(super) fn doctor_at(&self, host: &str, port: u16) -> String {
        self.doctor_with(&self.other_options, host, port, self.service.as_deref())
    }

    /// Returns the command that checks a manager with TLS, or without.
    pub(super) fn doctor_with_tls(&self, host: &str, port: u16, is_on: bool) -> String {
        let options = self.other_options.clone().with_tls(is_on);
        self.doctor_with(&options, host, port, self.service.as_deref())
    }

    /// Returns the command that checks another service of this manager.
    pub(super) fn doctor_of_service(&self, service: &str) -> String {
        self.doctor_with(&self.other_options, &self.host, self.port, Some(service))
    }

    fn doctor_with(&self, options: &OtherOptions, host: &str, port: u16, service: Option<&str>) -> String {
        let service = service.map(|name| format!(" {}", shell_option("--service", name)));
        format!(
            "labwire doctor {}{options}{}",
            self.argument(host, port),
            service.unwrap_or_default()
        )
    }

    /// Returns the command that trusts the manager's certificate.
    pub(super) fn trust(&self) -> String {
        format!("labwire trust {}", self.argument(&self.host, self.port))
    }

    /// Returns the command that starts a manager for these settings, with further options.
    pub(super) fn start(&self, options: &str) -> String {
        let port = match self.port {
            DEFAULT_PORT => String::new(),
            port => format!(" --port {port}"),
        };
        let tls = if self.options.uses_tls() {
            ""
        } else {
            " --disable-tls"
        };
        format!("labwire start{options}{port}{tls}")
    }

    /// Returns a manager as the argument of a command: without the port where that is the default.
    fn argument(&self, host: &str, port: u16) -> String {
        let place = match port {
            DEFAULT_PORT if self.other_options.have_default_port() => host.to_owned(),
            port if host.contains(':') => format!("[{host}]:{port}"),
            port => format!("{host}:{port}"),
        };
        if place.starts_with('-') {
            format!("--host={}", shell_word(&place))
        } else {
            shell_argument(&place)
        }
    }

    /// Returns whether all addresses of the manager are addresses of this computer.
    pub(super) fn is_here(&self) -> bool {
        let own = labwire_home::local_addresses();
        let is_own = |address: &IpAddr| {
            let address = address.to_canonical();
            address.is_loopback() || own.contains(&address)
        };
        !self.addresses.is_empty() && self.addresses.iter().all(is_own)
    }

    /// Returns where commands for the manager are to be run.
    pub(super) fn there(&self) -> String {
        if self.is_here() {
            "on this computer".to_owned()
        } else {
            format!("on {}", self.host)
        }
    }
}
