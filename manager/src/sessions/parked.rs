//! What is kept of a peer with a session.

use std::sync::Arc;
use std::time::Duration;

use labwire_wire::Features;
use tokio::sync::Notify;

use super::SecretHash;
use crate::log_limit::LogLimit;
use crate::outbox::Outbox;
use crate::registry::PeerId;

/// The session of a peer.
#[derive(Debug)]
pub(crate) struct OwnSession {
    pub(crate) secret: SecretHash,
    pub(crate) grace: Duration,
    /// Notified if the peer is back on another connection.
    pub(crate) superseded: Arc<Notify>,
    /// The position up to which its lines were handled when its last connection ended.
    pub(crate) handled: u64,
    /// The position up to which a service was told that its lines were handled.
    pub(crate) confirmed: u64,
}

/// The attachment of a peer that is away.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) id: PeerId,
    pub(crate) name: String,
    pub(crate) is_service: bool,
    pub(crate) features: Features,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) log_limit: Arc<LogLimit>,
    pub(crate) session: OwnSession,
}
