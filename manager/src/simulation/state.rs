//! What the model keeps of peers, of requests in flight, and of what must be told.

use std::time::Duration;

use labwire_wire::{Identity, Role};
use serde_json::json;

use super::queue::Queue;
use super::speech::Administered;

/// What the manager is called in every simulation.
pub(super) const MANAGER: &str = "Manager[h:1875]";

/// A peer's place in a schedule; never used twice.
pub(super) type Key = usize;

/// A peer that is connected.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) identity: Identity,
    pub(super) address: String,
    pub(super) queue: Queue,
    /// While it is told a line that still arrives.
    pub(super) behind: Option<Behind>,
    pub(super) login: Login,
    /// Until when it is kept, if it is a client that sends no more.
    pub(super) until: Option<Duration>,
}

/// What waits for the end of a line that still arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Who sends the line.
    pub(super) sender: Key,
    pub(super) frames: Vec<Vec<u8>>,
    /// Whether the order of the frames is not predicted.
    pub(super) in_any_order: bool,
}

impl Peer {
    pub(super) fn is_service(&self) -> bool {
        matches!(self.identity.role, Role::Service { .. })
    }

    /// `NAME[HOST:PORT]`.
    pub(super) fn full_name(&self) -> String {
        format!("{}[{}]", self.identity.name, self.address)
    }

    pub(super) fn is_python(&self) -> bool {
        self.identity.language.starts_with("Python")
    }

    /// How many bytes it can read: what waits for the end of a line cannot be read yet.
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

    /// The peer as it stands in the manager's identity.
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
            } => {
                let limit = max_clients.map_or("-1".to_owned(), |limit| limit.to_string());
                format!(
                    r#"{{"attributes":{attributes},"address":{address},"language":{language},"os":{os},"max_clients":{limit}}}"#
                )
            }
        }
    }
}

/// A request that waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) client: Key,
    pub(super) service: Key,
    /// JSON text, as the client wrote it.
    pub(super) uid: String,
}

/// How far the manager is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelPhase {
    Serving,
    Draining,
    Stopping,
}

/// What the reader of a line must do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Predicted {
    Next,
    /// It waits for room in the queues of these.
    Wait(Vec<Key>),
    Ask,
    Leave,
}

/// What one peer must be told in one step: the first frames in any order, the others in theirs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// How the line ended that was arriving. It comes before all others.
    pub(super) ended: Option<Ended>,
    pub(super) in_any_order: usize,
    pub(super) frames: Vec<Vec<u8>>,
}

/// How a line ended that went on while it arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it was told.
    Whole(Vec<u8>),
    /// A part of it was told.
    BrokenOff(Vec<u8>),
}

/// The sums that the manager keeps, by their names in its statistics.
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
}

/// How far a client has come with a login, as the model sees it.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) is_admin: bool,
    /// The requests that wait for it. A question is open as long as there are any.
    pub(super) pending: Vec<(Administered, String)>,
    /// Once the client was asked for the password of that user.
    pub(super) username: Option<String>,
    /// How many of the next lines were sent before the question.
    pub(super) early: usize,
}

impl Login {
    /// Whether a question is open.
    pub(super) fn is_asked(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// A line that goes on while it arrives.
#[derive(Debug)]
pub(super) struct CutThrough {
    /// Who is told the line.
    pub(super) to: Key,
    pub(super) client: Key,
    pub(super) service: Key,
    pub(super) uid: String,
    pub(super) is_reply: bool,
    /// Whether it will turn out to be nested deeper than Python can read.
    pub(super) is_deep: bool,
    /// What its receiver is told if nothing goes wrong.
    pub(super) frame: Vec<u8>,
}
