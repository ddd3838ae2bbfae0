//! The subject of the checks: the manager in the settings.

use std::net::IpAddr;

use labwire_client::{ConnectOptions, DEFAULT_PORT};

use crate::connection::Origins;
use crate::output::shell_argument;

/// The manager that is examined, and how programs connect to it.
pub(super) struct Subject {
    pub(super) options: ConnectOptions,
    pub(super) origins: Origins,
    pub(super) host: String,
    pub(super) port: u16,
    /// The addresses of the host, once they are known.
    pub(super) addresses: Vec<IpAddr>,
}

impl Subject {
    pub(super) fn new(options: ConnectOptions, origins: Origins) -> Self {
        let (host, port) = options.host_and_port();
        let (host, port) = (host.to_owned(), port);
        Self {
            options,
            origins,
            host,
            port,
            addresses: Vec::new(),
        }
    }

    /// Returns the address as `HOST:PORT`.
    pub(super) fn address(&self) -> String {
        self.options.address()
    }

    /// Returns the manager as the argument of a command: without the default port.
    pub(super) fn argument(&self) -> String {
        self.argument_for(&self.host)
    }

    /// Returns another name of the manager's computer as the argument of a command.
    pub(super) fn argument_for(&self, host: &str) -> String {
        shell_argument(&match self.port {
            DEFAULT_PORT => host.to_owned(),
            port if host.contains(':') => format!("[{host}]:{port}"),
            port => format!("{host}:{port}"),
        })
    }

    /// Returns ` --port PORT` for the command that starts a manager, or nothing for the default.
    pub(super) fn port_option(&self) -> String {
        match self.port {
            DEFAULT_PORT => String::new(),
            port => format!(" --port {port}"),
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
