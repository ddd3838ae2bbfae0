//! The model's state: peers, requests in flight, and expected frames.

use std::time::Duration;

use labwire_wire::{Identity, Role};
use serde_json::json;

use super::queue::Queue;
use super::sessions::Absence;
use super::speech::Administered;
use crate::sessions::SecretHash;

/// The manager's name in every simulation.
pub(super) const MANAGER: &str = "Manager[h:1875]";

/// The identifier of a peer in a schedule, never reused.
pub(super) type Key = usize;

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    pub(super) address: String,
    pub(super) queue: Queue,
    /// Set while a line is being cut through to it.
    pub(super) behind: Option<Behind>,
    pub(super) login: Login,
    /// The end of its wait for the last replies, if it is a client that sends no more.
    pub(super) until: Option<Duration>,
    /// Set while its connection is broken and its place is kept.
    pub(super) away: Option<Absence>,
    /// That of its session, if it has one.
    pub(super) secret: Option<SecretHash>,
}

/// The frames behind a line that is being cut through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// The sender of the line.
    pub(super) sender: Key,
    pub(super) frames: Vec<Vec<u8>>,
    /// Whether the order of the frames is not predicted.
    pub(super) in_any_order: bool,
}

impl Peer {
    pub(super) fn is_service(&self) -> bool {
        matches!(self.identity.role, Role::Service { .. })
    }

    /// Returns the name `NAME[HOST:PORT]`.
    pub(super) fn full_name(&self) -> String {
        format!("{}[{}]", self.identity.name, self.address)
    }

    /// Returns how long its place is kept after a broken connection.
    pub(super) fn grace(&self) -> Duration {
        let session = self.identity.session.as_ref();
        let asked = session.and_then(|session| session.grace);
        Duration::from_secs(asked.unwrap_or(30))
    }

    pub(super) fn is_python(&self) -> bool {
        self.identity.language.starts_with("Python")
    }

    /// Returns the number of bytes that it can read. Frames behind an unfinished line cannot be
    /// read yet.
    pub(super) fn readable(&self) -> usize {
        let behind = self.behind.as_ref();
        let waiting = behind.map_or(0, |behind| behind.frames.iter().map(Vec::len).sum());
        self.queue.unread.saturating_sub(waiting)
    }

    pub(super) fn max_clients(&self) -> Option<u64> {
        match self.identity.role {
            Role::Client => None,
            Role::Service { max_clients, .. } => max_clients,
        }
    }

    /// Returns the description of the peer in the manager's identity.
    pub(super) fn description(&self) -> String {
        let Identity {
            name,
            language,
            os,
            role,
            ..
        } = &self.identity;
        let (name, address, language, os) = (json!(name), json!(self.address), json!(language), json!(os));
        match role {
            Role::Client => {
                format!(r#"{{"name":{name},"address":{address},"language":{language},"os":{os}}}"#)
            }
            Role::Service {
                attributes,
                max_clients,
                recorded: _,
            } => {
                let limit = max_clients.map_or("-1".to_owned(), |limit| limit.to_string());
                format!(
                    r#"{{"attributes":{attributes},"address":{address},"language":{language},"os":{os},"max_clients":{limit}}}"#
                )
            }
        }
    }
}

/// A request in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) client: Key,
    pub(super) service: Key,
    /// JSON text, as the client wrote it.
    pub(super) uid: String,
}

/// A request that has ended before its reply, which its service may still send.
pub(super) type Owed = InFlight;

/// How far the manager has come in stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelPhase {
    Serving,
    Draining,
    Stopping,
}

/// The expected next step after a line was routed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Predicted {
    Next,
    /// Wait for room in the queues of these peers.
    Wait(Vec<Key>),
    Ask,
    Leave,
}

/// The frames that one peer must receive in one step: the first ones in any order, the others in
/// this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The end of the line that was cut through, which comes before all other frames.
    pub(super) ended: Option<Ended>,
    pub(super) in_any_order: usize,
    pub(super) frames: Vec<Vec<u8>>,
}

/// The end of a line that was cut through, with its whole frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it was forwarded.
    Whole(Vec<u8>),
    /// Only a part was forwarded.
    BrokenOff(Vec<u8>),
}

/// The manager's counters, by their names in its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) refused: u64,
    pub(crate) abandoned: u64,
    pub(crate) notifications: u64,
    pub(crate) deliveries: u64,
    pub(crate) unsolicited: u64,
    pub(crate) malformed: u64,
    pub(crate) cut_through: u64,
    pub(crate) broken_off: u64,
    pub(crate) malformed_replies: u64,
    pub(crate) unattributed_replies: u64,
    pub(crate) locks_granted_later: u64,
    pub(crate) locks_expired: u64,
    pub(crate) locks_broken: u64,
    pub(crate) lock_waits_timed_out: u64,
    pub(crate) reservations_claimed: u64,
    pub(crate) reservations_expired: u64,
    /// The values that subscribers received at once, and late. The manager counts them among the
    /// deliveries.
    pub(crate) values: u64,
    pub(crate) values_late: u64,
}

/// The model's state of a client's login.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) is_admin: bool,
    /// The requests that wait for the login. A question is open while there are any.
    pub(super) pending: Vec<(Administered, String)>,
    /// The user for whom the client was asked for the password.
    pub(super) username: Option<String>,
    /// The number of next lines that were sent before the question.
    pub(super) early: usize,
}

impl Login {
    /// Returns whether a question is open.
    pub(super) fn is_asked(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// A line that is being cut through.
#[derive(Debug)]
pub(super) struct CutThrough {
    /// The receiver of the line.
    pub(super) to: Key,
    pub(super) client: Key,
    pub(super) service: Key,
    pub(super) uid: String,
    pub(super) is_reply: bool,
    /// Whether the whole line is nested deeper than Python can read.
    pub(super) is_deep: bool,
    /// The frame that its receiver gets unless the line is broken off.
    pub(super) frame: Vec<u8>,
}
