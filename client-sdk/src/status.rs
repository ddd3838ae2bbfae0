//! What the engine publishes, and handles look at without asking.

use std::collections::BTreeSet;
use std::sync::Arc;

use labwire_device::Connection;

use crate::identities::ServiceIdentity;

/// What a client's handles can see of it.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) about: About,
    pub(crate) connection: ConnectionState,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(crate) enum ConnectionState {
    Connected,
    /// It was lost, and is made again.
    Reconnecting,
    /// It has ended for this reason, for ever.
    Closed(Arc<str>),
}

/// The names at both ends of the connection, and its port here.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) network_name: String,
    pub(crate) manager: String,
    pub(crate) local_port: u16,
}

impl About {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            network_name: connection.network_name.clone(),
            manager: connection.manager.clone(),
            local_port: connection.local_port,
        }
    }
}

/// What the handles of a link can see of it.
#[derive(Clone, Debug)]
pub(crate) struct LinkStatus {
    pub(crate) state: LinkState,
    /// What the service said of itself when the link was made last.
    pub(crate) identity: Arc<ServiceIdentity>,
    /// The guards of locks that are held.
    pub(crate) locks: BTreeSet<u64>,
}

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The manager was asked for the first time and has not answered.
    Asked,
    Linked,
    /// The service has left, or the connection is lost; the link is made again if the client reconnects.
    Away,
    /// There is no link, and there never will be again.
    Ended,
}
