//! Notifications of requests that need approval.

use labwire_wire::quoted;
use serde_json::Value;
use tracing::{debug, info};

use super::Events;
use crate::counters::Counters;
use crate::refusal::excerpt;
use crate::registry::{Approval, ApprovalOutcome, Subject};
use crate::work::FRAME_WORK;

impl Events {
    /// Tells that a request waits for approval, or does no longer: those who may decide, and the client
    /// unless its service answers it.
    pub(super) fn publish_approval(&self, approval: &Approval) -> usize {
        let Approval {
            id,
            client,
            service,
            attribute,
            outcome,
            told,
            ..
        } = approval;
        let counter = match outcome {
            ApprovalOutcome::Asked => &self.counters.approvals_asked,
            ApprovalOutcome::Approved { .. } => &self.counters.approved,
            ApprovalOutcome::Refused { .. } => &self.counters.approvals_refused,
            ApprovalOutcome::Expired { .. } => &self.counters.approvals_expired,
            _ => &self.counters.approvals_ended,
        };
        Counters::count(counter);
        let is_logged = |limit: &std::sync::Arc<crate::log_limit::LogLimit>| limit.allows(client);
        if approval.log_limit.as_ref().is_none_or(is_logged) {
            let (service, attribute) = (quoted(excerpt(service)), quoted(excerpt(attribute)));
            info!(
                "the request {id} of {client} for {attribute} of {service}: {}",
                outcome.name()
            );
        }
        let mut work = FRAME_WORK;
        if let Some((outbox, features, uid, refusal)) = told {
            debug!("{client}: {}", refusal.summary());
            let frame = refusal.frame(client, uid, *features);
            outbox.push_always(|writer| writer.shared(&frame));
        }
        let is_decided = matches!(
            outcome,
            ApprovalOutcome::Approved { .. } | ApprovalOutcome::Refused { .. }
        );
        let limit = approval.log_limit.as_ref();
        if !is_decided && limit.is_some_and(|limit| !limit.allows_approval()) {
            // A client that asks and cancels without end must not push out what is told of others.
            Counters::count(&self.counters.events_left_out);
            return work;
        }
        let subject = Subject::Approval { service, attribute };
        let value = || {
            let mut value = approval.to_json();
            if let Value::Object(members) = &mut value {
                members.insert("outcome".to_owned(), outcome.name().into());
                let (by, reason) = match outcome {
                    ApprovalOutcome::Approved { by } => (Some(by), None),
                    ApprovalOutcome::Refused { by, reason } => (Some(by), reason.as_deref()),
                    _ => (None, None),
                };
                members.extend(by.map(|by| ("by".to_owned(), Value::from(&**by))));
                members.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
            }
            value
        };
        work += self.emit("approval", subject, value);
        work
    }
}
