//! Opening connections and introducing them to the broker.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::dialect::{Dialect, Progress, Role};
use crate::driver::{Driver, Workload};

/// How long a broker has to admit connections; the slowest take a hundredth of that.
const PATIENCE: Duration = Duration::from_mins(2);

/// How many connections are introduced at the same time. Brokers limit how many strangers they let wait.
const AT_ONCE: usize = 50;

/// Where the broker is and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Where services connect: a relay has a port for each side.
    pub(crate) services: SocketAddr,
    pub(crate) dialect: Dialect,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Connections that the broker knows.
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

    /// Has the next connection go over a stream that is there already.
    pub(crate) fn use_first(&mut self, stream: TcpStream) {
        self.driver.use_first(stream);
    }

    /// Connects these services and clients, each of which calls and listens to the service of that number. A relay
    /// joins them in the order in which they come: there are as many of the one as of the other, then.
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

    /// Notices when the broker has closed one of the connections, or says what nobody asked for.
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
