//! What became of a request that needs approval.

use std::sync::Arc;
use std::time::Duration;

use labwire_wire::{Features, Uid};
use serde_json::{Value, json};

use crate::log_limit::LogLimit;
use crate::outbox::Outbox;
use crate::principal::Principal;
use crate::refusal::{ApprovalRefusal, Refusal, excerpt};
use crate::registry::event::Event;
use crate::registry::moment::Moment;

/// What became of a request that needs approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApprovalOutcome {
    /// It waits.
    Asked,
    /// It goes to its service.
    Approved {
        by: Arc<str>,
    },
    Refused {
        by: Arc<str>,
        reason: Option<String>,
    },
    /// Nobody has decided in time.
    Expired {
        limit: Duration,
    },
    Cancelled,
    /// The rules permit it no longer.
    NotPermitted {
        refusal: Box<Refusal>,
    },
    /// The client has left, or sends no more.
    ClientGone,
    ServiceLeft,
    /// The manager stops.
    Stopped,
}

impl ApprovalOutcome {
    /// Returns its name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Approved { .. } => "approved",
            Self::Refused { .. } => "refused",
            Self::Expired { .. } => "expired",
            Self::Cancelled => "cancelled",
            Self::NotPermitted { .. } => "not permitted",
            Self::ClientGone => "client left",
            Self::ServiceLeft => "service left",
            Self::Stopped => "manager stops",
        }
    }

    /// Returns what the client is told; `None` if it is answered by its service.
    pub(super) fn refusal(&self, service: &str) -> Option<Refusal> {
        let service = service.to_owned();
        Some(match self {
            Self::Asked | Self::Approved { .. } => return None,
            Self::Refused { by, reason } => ApprovalRefusal::Refused {
                service,
                by: by.to_string(),
                reason: reason.clone(),
            }
            .into(),
            Self::Expired { limit } => ApprovalRefusal::Expired {
                service,
                limit: *limit,
            }
            .into(),
            Self::Cancelled => ApprovalRefusal::Cancelled { service }.into(),
            Self::NotPermitted { refusal } => (**refusal).clone(),
            Self::ClientGone => ApprovalRefusal::SendsNoMore { service }.into(),
            Self::ServiceLeft => ApprovalRefusal::ServiceLeft { service }.into(),
            Self::Stopped => Refusal::NotTaken,
        })
    }
}

/// A request that waits for approval, or does no longer.
#[derive(Debug)]
pub(crate) struct Approval {
    pub(crate) id: String,
    /// The client's name, `NAME[HOST:PORT]`.
    pub(crate) client: Arc<str>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) service: Arc<str>,
    pub(crate) attribute: Box<str>,
    pub(crate) arguments: String,
    /// Its arguments as they are recorded, if its service asks for that.
    pub(crate) recorded: Option<Box<str>>,
    pub(crate) since: Moment,
    pub(crate) until: Moment,
    pub(crate) outcome: ApprovalOutcome,
    /// The client's queue and features, and the error for it.
    pub(crate) told: Option<(Arc<Outbox>, Features, Uid<'static>, Refusal)>,
    pub(crate) log_limit: Option<Arc<LogLimit>>,
}

impl Approval {
    pub(crate) fn into_event(self) -> Event<'static> {
        Event::Approval(Box::new(self))
    }

    /// Returns the object by which others learn of it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "address": self.principal.from.ip.to_string(),
            "arguments": self.arguments,
            "attribute": excerpt(&self.attribute),
            "client": *self.client,
            "id": self.id,
            "service": *self.service,
            "since": self.since.time.to_string(),
            "until": self.until.time.to_string(),
            "user": self.principal.user().map(|user| &**user),
        })
    }
}
