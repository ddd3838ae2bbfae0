//! Confirmations of peers with sessions.

use labwire_wire::{FrameView, Uid, confirmed};

use super::incoming::Kind;
use super::{Router, Sender, Step};
use crate::refusal::{Refusal, SessionRefusal};

impl Router<'_> {
    /// Handles a line by which a peer confirms what it has received. Returns `None` if it is another
    /// line.
    pub(super) fn confirm(&mut self, from: &Sender<'_>, frame: FrameView<'_>, kind: &Kind) -> Option<Step> {
        let Kind::Frame(envelope) = kind else {
            return None;
        };
        if !envelope.is_empty() {
            return None;
        }
        let received = confirmed(frame.content())?;
        if from.outbox.confirm(received).is_err() {
            let refusal = Refusal::from(SessionRefusal::NeverSent { received });
            return Some(self.refuse_malformed(from, &Uid::EMPTY, &refusal));
        }
        Some(Step::Next)
    }
}
