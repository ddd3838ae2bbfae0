//! Entries about requests that need approval.

use std::sync::Arc;

use labwire_home::present;
use labwire_record::{Entry, Kind, Outcome};
use labwire_wire::quoted;

use super::{Record, of_peer};
use crate::refusal::excerpt;
use crate::registry::{Approval, ApprovalOutcome};

impl Record {
    /// Records that a request waits for approval, or what became of it. The peer is the one that has
    /// sent it.
    pub(super) fn approval(&self, approval: &Approval) {
        let seconds = || {
            let waited = present().duration_since(approval.since.time).as_secs_f64();
            format!("after {:.1} s", waited.max(0.0))
        };
        let (outcome, text) = match &approval.outcome {
            ApprovalOutcome::Asked => (Outcome::Asked, format!("until {}", approval.until.time)),
            ApprovalOutcome::Approved { by } => {
                (Outcome::Ok, format!("approved by {} {}", quoted(by), seconds()))
            }
            ApprovalOutcome::Refused { by, reason } => {
                let reason = reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!(", reason: {}", quoted(reason)));
                (
                    Outcome::Refused,
                    format!("by {} {}{reason}", quoted(by), seconds()),
                )
            }
            ApprovalOutcome::Expired { limit } => (
                Outcome::Expired,
                format!("nobody has decided within {} s", limit.as_secs_f64()),
            ),
            ApprovalOutcome::NotPermitted { .. } => (
                Outcome::Refused,
                format!("its permission was taken away {}", seconds()),
            ),
            other => (Outcome::Error, format!("{} {}", other.name(), seconds())),
        };
        self.note(|| Entry {
            outcome,
            service: Some(Arc::clone(&approval.service)),
            attribute: Some(excerpt(&approval.attribute).into()),
            arguments: approval.recorded.clone(),
            text: Some(format!("request {}, {text}", approval.id).into()),
            ..of_peer(Kind::Approval, &approval.client, &approval.principal)
        });
    }
}
