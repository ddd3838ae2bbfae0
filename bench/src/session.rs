//! Opens connections and introduces them to the broker.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::dialect::{Dialect, Progress, Role};
use crate::driver::{Driver, Workload};

/// Timeout for a broker to admit connections; the slowest need a hundredth of it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Number of connections that are introduced at the same time. Brokers limit their unidentified
/// peers.
const AT_ONCE: usize = 50;

/// The address of the broker, and how to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The address for services: a relay has a port for each side.
    pub(crate) services: SocketAddr,
    pub(crate) dialect: Dialect,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Connections that the broker has admitted.
pub(crate) struct Session {
    pub(crate) driver: Driver,
    pub(crate) target: Target,
    pub(crate) roles: Vec<Role>,
}

impl Session {
    pub(crate) fn new(target: Target) -> anyhow::Result<Self> {
        Ok(Self {
            driver: Driver::new(target.dialect)?,
            target,
            roles: Vec::new(),
        })
    }

    /// Uses an open stream for the next connection.
    pub(crate) fn use_first(&mut self, stream: TcpStream) {
        self.driver.use_first(stream);
    }

    /// Connects these services and clients. Each client calls and listens to the service that
    /// `service_of` returns. A relay pairs them in the order of their connections, so it needs as
    /// many services as clients.
    pub(crate) fn populate(
        &mut self,
        services: impl IntoIterator<Item = usize>,
        clients: impl IntoIterator<Item = usize>,
        service_of: impl Fn(usize) -> usize,
    ) -> anyhow::Result<()> {
        self.join(services.into_iter().map(Role::Service))?;
        self.join(clients.into_iter().map(|number| Role::Client {
            number,
            service: service_of(number),
        }))
    }

    /// Fails if the broker has closed one of the connections, or sends an unexpected message.
    pub(crate) fn hear_out(&mut self) -> anyhow::Result<()> {
        self.driver.hear_out(&mut Introduction {
            dialect: self.target.dialect,
            roles: &[],
            first: usize::MAX,
            waiting: 0,
        })
    }

    /// Connects and introduces one connection for each role.
    pub(crate) fn join(&mut self, roles: impl IntoIterator<Item = Role>) -> anyhow::Result<()> {
        let roles: Vec<Role> = roles.into_iter().collect();
        for some in roles.chunks(AT_ONCE) {
            let first = self.roles.len();
            for &role in some {
                let address = match role {
                    Role::Service(_) => self.target.services,
                    Role::Client { .. } => self.target.address,
                };
                let connection = self.driver.connect(address, self.target.tls.as_ref())?;
                self.target.dialect.greet(role, self.driver.output(connection));
                self.roles.push(role);
            }
            let mut introduction = Introduction {
                dialect: self.target.dialect,
                roles: &self.roles,
                first,
                waiting: some.len(),
            };
            if !self.target.dialect.is_ready_at_once() {
                let all_known = |introduction: &Introduction<'_>| introduction.waiting == 0;
                let waited_for = "the broker to admit all connections";
                self.driver
                    .run_until(&mut introduction, PATIENCE, waited_for, all_known)?;
            }
        }
        Ok(())
    }
}

/// The introduction of the connections from `first` on.
struct Introduction<'a> {
    dialect: Dialect,
    roles: &'a [Role],
    first: usize,
    waiting: usize,
}

impl Workload for Introduction<'_> {
    fn message(&mut self, connection: usize, message: &[u8], output: &mut Vec<u8>) -> anyhow::Result<()> {
        if connection >= self.first
            && self.dialect.introduce(self.roles[connection], message, output)? == Progress::Ready
        {
            self.waiting -= 1;
        }
        Ok(())
    }
}
