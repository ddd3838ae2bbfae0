//! The state that the engine publishes to handles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use labwire_device::Connection;

use crate::identities::ServiceIdentity;
pub(crate) use crate::session_state::SessionState;

/// The published state of a client.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) about: About,
    pub(crate) connection: ConnectionState,
    pub(crate) session: SessionState,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(crate) enum ConnectionState {
    Connected,
    /// It was lost, and the driver is reconnecting.
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
    /// Whether the manager accepts frames with buffers.
    pub(crate) binary: bool,
}

impl About {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            network_name: connection.network_name.clone(),
            manager: connection.manager.clone(),
            local_port: connection.local_port,
            binary: connection.binary,
        }
    }
}

/// The published state of a link.
#[derive(Clone, Debug)]
pub(crate) struct LinkStatus {
    pub(crate) state: LinkState,
    /// Whether the connection of the service is broken, and the manager keeps its session.
    pub(crate) is_service_away: bool,
    /// The identity of the service when the link was made last.
    pub(crate) identity: Arc<ServiceIdentity>,
    /// The uids of the guards whose locks are held.
    pub(crate) locks: BTreeSet<u64>,
    /// The uids of the guards whose locks are not held, and are taken again if the manager has kept
    /// them.
    pub(crate) suspended: BTreeSet<u64>,
    /// How the lock has ended that the client did not release, if it has.
    pub(crate) lock_end: Option<Arc<str>>,
    /// The uids of the guards that had this or an earlier such lock, and how it has ended.
    pub(crate) lock_ends: BTreeMap<u64, Arc<str>>,
}

impl LinkStatus {
    /// Ends the locks that are held or suspended. Returns whether there were any.
    pub(crate) fn lose_locks(&mut self) -> bool {
        let changes = !(self.locks.is_empty() && self.suspended.is_empty());
        self.locks.clear();
        self.suspended.clear();
        changes
    }

    /// Enters a state unless the link has ended. Returns whether it was another.
    pub(crate) fn enter(&mut self, state: LinkState) -> bool {
        let changes = self.state != LinkState::Ended && self.state != state;
        if changes {
            self.state = state;
            // Only a linked client hears that the service is back.
            self.is_service_away &= matches!(state, LinkState::Linked | LinkState::Paused);
        }
        changes
    }
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The link was requested for the first time and is not confirmed yet.
    Asked,
    Linked,
    /// The connection is broken, and the manager keeps the session, and with it the link.
    Paused,
    /// The service has disconnected, or the connection is lost; the link is made again if the
    /// client reconnects.
    Away,
    /// There is no link, and there never will be again.
    Ended,
}
