//! Cancels calls, and passes on their progress and items.

use std::time::{Duration, Instant};

use bytes::Bytes;
use labwire_wire::frames::json_string;
use labwire_wire::{Executed, MANAGER_NAME};
use tokio::sync::{oneshot, watch};

use super::incoming::Partial;
use super::machine::Engine;
use super::request::{Purpose, Request};
use crate::approval::Approval;
use crate::command::{Outcome, Target};
use crate::progress_value::ProgressValue;

/// How long the manager's word is waited for whether a call was executed whose time limit has passed
/// while it waited for approval.
const LAST_WORD: Duration = Duration::from_secs(1);

impl Engine {
    /// Cancels the call with the uid `call`.
    pub(super) fn cancel(
        &mut self,
        (uid, call): (u64, u64),
        reason: Option<&str>,
        reply: oneshot::Sender<Outcome>,
    ) {
        // An error of `send` means that the caller no longer waits.
        let answer = |reply: oneshot::Sender<Outcome>, outcome| {
            let _ = reply.send(outcome);
        };
        match self.requests.is_call_written(call) {
            None => answer(reply, Ok(Bytes::from_static(b"\"over\"").into())),
            Some(false) => {
                if let Some(request) = self.requests.take(call) {
                    let text = "CancelledError: the call was cancelled before it was sent".to_owned();
                    let error = request.target.cancelled(text, Executed::No);
                    request.fail(error);
                }
                answer(reply, Ok(Bytes::from_static(b"\"ended\"").into()));
            }
            Some(true) => {
                if let Some(lost) = self.without_connection() {
                    let target = Target::new(MANAGER_NAME, "cancel");
                    return answer(reply, Err(target.disconnected(&lost, Executed::No)));
                }
                let kwargs = reason.map_or_else(
                    || "{}".to_owned(),
                    |reason| format!("{{\"reason\":{}}}", json_string(reason)),
                );
                let purpose = Purpose::Ending { reply };
                self.queue_manager_request((uid, "cancel"), (&call.to_string(), &kwargs), purpose);
            }
        }
    }

    /// Forgets a call, and cancels it if it was written.
    pub(super) fn abandon(&mut self, call: u64) {
        let is_unwritten = self.requests.is_call_written(call) == Some(false);
        self.requests.forget(call);
        if !is_unwritten && self.without_connection().is_none() {
            self.tell_manager("cancel", &call.to_string());
        }
    }

    /// Passes on progress or an item, if the caller wants it.
    pub(super) fn pass_on(&mut self, uid: &str, partial: Partial) {
        let call = uid.parse().ok().and_then(|uid| self.requests.call(uid));
        // Without one, the reader was dropped.
        let Some(call) = call else { return };
        let value = match partial {
            Partial::Item(_) => None,
            Partial::Progress {
                ref value,
                of_manager: true,
            } => Some(ProgressValue::of_manager(value.clone())),
            Partial::Progress { ref value, .. } => Some(ProgressValue::new(value.clone())),
        };
        if let Some(approval) = value.as_ref().and_then(ProgressValue::approval) {
            call.approval().send_replace(Some(approval.clone()));
        }
        let Purpose::Call {
            follower: Some(follower),
            ..
        } = &call.purpose
        else {
            return;
        };
        match (partial, value) {
            (Partial::Item(item), _) => follower.item(item),
            (_, Some(value)) => follower.progress(value),
            (_, None) => {}
        }
    }

    /// Returns the receiver of what the manager tells about the approval of a call.
    pub(super) fn watch_approval(
        &mut self,
        call: u64,
        reply: oneshot::Sender<watch::Receiver<Option<Approval>>>,
    ) {
        if let Some(call) = self.requests.call(call) {
            // An error means that the caller no longer waits.
            let _ = reply.send(call.approval().subscribe());
        }
    }

    /// Ends a call whose time limit has passed. If it waits for approval, it is cancelled first, since
    /// the manager answers that at once: only the manager knows whether somebody has just approved it.
    pub(super) fn time_out(&mut self, uid: u64, mut call: Request, now: Instant) {
        let asks = call.waits_for_approval() && !call.is_overdue && self.without_connection().is_none();
        let Some(limit) = call.limit.as_mut().filter(|_| asks) else {
            return call.timed_out();
        };
        limit.deadline = now + LAST_WORD;
        call.is_overdue = true;
        self.requests.queue(uid, call);
        let question = self.uids.next();
        self.queue_manager_request(
            (question, "cancel"),
            (&uid.to_string(), "{}"),
            Purpose::LastWord { call: uid },
        );
    }

    /// Ends a call that was cancelled when its time limit had passed, and that its service has received.
    pub(super) fn end_overdue(&mut self, uid: u64) {
        if self.requests.call(uid).is_some_and(|call| call.is_overdue)
            && let Some(call) = self.requests.take(uid)
        {
            call.timed_out();
        }
    }
}
