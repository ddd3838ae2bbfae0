//! Checks whether the sender of a line may do what it asks for.

use labwire_access::{Access, Action, Effect, MOST_COMPARED_BYTES};
use labwire_wire::{Request, Uid};

use super::{Call, Router, Sender, Step};
use crate::admin;
use crate::clock::Present;
use crate::counters::Counters;
use crate::record::About;
use crate::refusal::Refusal;
use crate::registry::Sight;
use crate::work::{PERMISSIONS_PER_WORK, REFUSAL_WORK, TURN_WORK};

/// The bytes of a name that take as long to compare as everything else about a comparison.
const BYTES_PER_COMPARISON: usize = 16;

impl<'a> Router<'a> {
    /// Checks a request to a service. Returns whether somebody must approve it. Costs nothing in a
    /// manager without rules.
    #[inline]
    pub(super) fn permit_call(
        &mut self,
        from: &Sender<'_>,
        request: &Request<'_>,
    ) -> Result<Effect, Refusal> {
        if !self.registry.has_rules() {
            return Ok(Effect::Allow);
        }
        let present = self.present();
        let (comparisons, decided) =
            self.registry
                .permit_call(from.id, (&request.service, &request.attribute), present);
        if comparisons > 0 {
            let length = request.service.as_bytes().len() + request.attribute.as_bytes().len();
            self.charge_comparisons(comparisons, length);
        }
        decided
    }

    /// Charges a decision that compares names of so many bytes with so many patterns.
    fn charge_comparisons(&mut self, comparisons: usize, length: usize) {
        let length = length.min(2 * MOST_COMPARED_BYTES);
        self.work += comparisons * (1 + length / BYTES_PER_COMPARISON) / PERMISSIONS_PER_WORK;
    }

    /// Checks anything but a request to a service.
    pub(super) fn permit(&mut self, from: &Sender<'_>, action: Action, object: &str) -> Result<(), Refusal> {
        if !self.registry.has_rules() {
            return Ok(());
        }
        let present = self.present();
        let access = Access::to(action, object);
        let (comparisons, decided) = self.registry.permit_counted(from.id, &access, present);
        self.charge_comparisons(comparisons, object.len());
        decided
    }

    /// Checks a notification of a service.
    #[inline]
    pub(super) fn permit_notification(&mut self, from: &Sender<'_>) -> Result<(), Refusal> {
        if !self.registry.has_rules() {
            return Ok(());
        }
        let present = self.present();
        self.registry.permit_notification(from.id, present)
    }

    /// Checks a request about the sender's link with a service, or about its lock on it.
    pub(super) fn permit_link(
        &mut self,
        from: &Sender<'_>,
        attribute: &str,
        service: &str,
    ) -> Result<(), Refusal> {
        match attribute {
            // What a peer has, it may always give up.
            "unlink" | "release_lock" if self.registry.has_part_in(from.id, service) => Ok(()),
            "link" | "unlink" | "release_lock" => self.permit(from, Action::Link, service),
            _ => {
                self.permit(from, Action::Lock, service)?;
                // A request for a lock that may wait links with the service, too.
                self.permit(from, Action::Link, service)
            }
        }
    }

    /// Returns what the sender sees of other peers.
    ///
    /// # Errors
    /// The step before it is routed again, if it takes long to decide.
    pub(super) fn sight(&mut self, from: &Sender<'_>) -> Result<Sight, Step> {
        let present = self.present();
        let sight = self.registry.sight(from.id, present);
        sight.ok_or_else(|| {
            self.work += TURN_WORK;
            Step::Decide
        })
    }

    /// Refuses an administrator's request.
    pub(crate) fn refuse_administration(&mut self, from: &Sender<'_>, call: &Call, refusal: &Refusal) {
        self.work += REFUSAL_WORK;
        Counters::count(&self.counters.refused);
        self.counters.count_limit(refusal);
        let about = About::managers(&call.attribute, admin::concerned(call));
        self.note_refusal(from, about, refusal);
        from.refuse(&call.uid, refusal);
    }

    /// Refuses a notification. As with other errors that a service did not ask for, one that reads
    /// nothing receives no more of them than its queue has room for.
    #[cold]
    pub(super) fn refuse_notification(&mut self, from: &Sender<'_>, refusal: &Refusal) -> Step {
        self.work += REFUSAL_WORK;
        self.counters.count_limit(refusal);
        self.note_refusal(from, About::managers("notify", None), refusal);
        if !from.outbox.is_full() {
            from.refuse(&Uid::EMPTY, refusal);
        }
        Step::Next
    }

    pub(super) fn present(&self) -> Present<'a> {
        Present {
            clock: self.clock,
            start: self.started_at,
            micros: self.now,
            latest: self.latest,
        }
    }
}
