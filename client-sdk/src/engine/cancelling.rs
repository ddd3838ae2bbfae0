//! Cancels calls, and passes on their progress and items.

use bytes::Bytes;
use labwire_wire::frames::json_string;
use labwire_wire::{Executed, MANAGER_NAME};
use tokio::sync::oneshot;

use super::incoming::Partial;
use super::machine::Engine;
use super::request::Purpose;
use crate::command::{Outcome, Target};

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
    pub(super) fn pass_on(&self, uid: &str, partial: Partial) {
        let follower = uid.parse().ok().and_then(|uid| self.requests.follower(uid));
        match (follower, partial) {
            (Some(follower), Partial::Item(item)) => follower.item(item),
            (Some(follower), Partial::Progress(value)) => follower.progress(value),
            // The reader was dropped.
            (None, _) => {}
        }
    }
}
