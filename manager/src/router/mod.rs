//! Routes frames by their envelopes. Nothing here waits.

mod approvals;
mod arguments;
mod cancelling;
mod compose;
mod confirming;
mod conversion;
mod cut_through;
mod ended;
mod from_client;
mod from_service;
mod incoming;
mod malformed_reply;
mod partial;
mod permissions;
mod permits;
mod publishing;
mod rest;
#[cfg(any(test, feature = "benchmarks"))]
mod rig;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_calls;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, MutexGuard};

use labwire_wire::buffers::BuffersError;
use labwire_wire::{Envelope, EnvelopeError, Features, FrameView, JsonError, Uid};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::answer::push_answer;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::events::Events;
use crate::log_limit::LogLimit;
use crate::outbox::{FrameWriter, Outbox};
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::registry::{Moment, PeerId, Registry};
use crate::work::REFUSAL_WORK;

pub(crate) use arguments::Call;
pub(crate) use conversion::{Conversion, convert};
pub(crate) use cut_through::CutThrough;
pub(crate) use ended::Known;
#[cfg(any(test, feature = "benchmarks"))]
pub(crate) use rig::Rig;

pub(crate) use incoming::{Incoming, Kind, Typed, Unframed, is_notification};
pub(crate) use permits::Permits;
pub(crate) use rest::Rest;

/// The attribute of a request by which a peer asks to be disconnected.
const DISCONNECT: &str = "__disconnect__";

/// The most bytes that the manager adds to a frame, apart from names: punctuation and keys.
const ENVELOPE_BYTES: usize = 128;

/// The next step of the session after a line was routed.
#[derive(Debug)]
pub(crate) enum Step {
    /// Continue with the next line.
    Next,
    /// Wait for room in a queue, then route the same line again with the granted permits.
    Wait(Permits),
    /// Execute an administrator's request.
    Ask(Call),
    /// Convert the buffers of the message for receivers without the feature `binary`, then route it
    /// again.
    Convert(Conversion),
    /// Let others go first, then route the same line again: there is more to decide.
    Decide,
    /// End the connection.
    Leave,
}

/// Decides where frames go.
pub(crate) struct Router<'a> {
    pub(crate) registry: MutexGuard<'a, Registry>,
    pub(crate) counters: &'a Counters,
    pub(crate) events: &'a Events,
    /// Whether the manager is stopping and takes no new requests.
    pub(crate) draining: bool,
    /// The limit on the nesting of a line.
    pub(crate) nesting: usize,
    /// The most bytes of buffers that are converted for receivers without the feature `binary`.
    pub(crate) convert: usize,
    /// The permits of the current line, if it waited.
    pub(crate) permits: Permits,
    /// The sizes and speeds for cut-through.
    pub(crate) pace: Pace,
    /// The clock for the times at which locks are acquired.
    pub(crate) clock: &'a Clock,
    /// The present, in microseconds since the manager started. It is read once for all lines that
    /// are routed together.
    pub(crate) now: u64,
    /// When the manager started.
    pub(crate) started: Instant,
    /// The same by the time of day, in seconds since 1970.
    pub(crate) started_at: i64,
    /// The latest present with which ends of grants were compared.
    pub(crate) latest: &'a AtomicI64,
    /// The work of the current line, in [units](crate::work). [`Attachment::router`] sets it to 1
    /// before each line, and routing adds to it.
    ///
    /// [`Attachment::router`]: crate::attachment::Attachment::router
    pub(crate) work: usize,
}

/// The sender of a frame: its id in the registry, its name, and the queue of the frames for it.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) id: PeerId,
    /// `NAME[HOST:PORT]`.
    pub(crate) name: &'a str,
    pub(crate) outbox: &'a Arc<Outbox>,
    /// The features of a client; none for a service.
    pub(crate) features: Features,
    /// Whether it has a session, and confirms what it has received.
    pub(crate) has_session: bool,
    pub(crate) log_limit: &'a LogLimit,
}

impl Sender<'_> {
    /// Queues the refusal for the peer, as an error with this uid.
    pub(crate) fn refuse(&self, uid: &Uid<'_>, refusal: &Refusal) {
        let frame = refusal.frame(self.name, uid, self.features);
        self.outbox.push_always(|writer| writer.shared(&frame));
    }

    /// Queues a result for the peer: the JSON text that `write` composes. Returns the number of
    /// bytes.
    pub(crate) fn answer(&self, uid: &Uid<'_>, write: impl FnOnce(&mut FrameWriter<'_>)) -> usize {
        push_answer(self.outbox, self.name, uid, write)
    }

    /// Logs a refusal, unless the peer has caused too many log lines. Returns whether it was logged.
    pub(crate) fn log(&self, refusal: &Refusal) -> bool {
        let is_logged = self.log_limit.allows(self.name);
        if is_logged {
            info!("{}: {}", self.name, refusal.summary());
        }
        is_logged
    }
}

impl Router<'_> {
    /// Returns the present, by both clocks.
    fn moment(&self) -> Moment {
        self.clock.moment(self.started)
    }

    /// Returns the error of a frame with a member `buffers` that does not come first, from a peer
    /// with the feature `binary`. Bytes that no line announces may follow.
    fn misplaced_buffers(
        from: &Sender<'_>,
        frame: FrameView<'_>,
        envelope: &Envelope,
    ) -> Option<EnvelopeError> {
        let is_misplaced = envelope.has_buffers() && frame.payload().is_none() && from.outbox.takes_buffers();
        is_misplaced.then_some(BuffersError::NotFirst.into())
    }

    fn refuse_malformed(&mut self, from: &Sender<'_>, uid: &Uid<'_>, refusal: &Refusal) -> Step {
        self.work += REFUSAL_WORK;
        self.note_malformed(from, refusal);
        from.refuse(uid, refusal);
        Step::Next
    }

    /// Refuses a line that is not a frame, with an error for each uid that was found in it.
    fn refuse_broken(&mut self, from: &Sender<'_>, unframed: &Unframed) -> Step {
        let refusal = self.broken(unframed.error);
        self.note_malformed(from, &refusal);
        let mut uids = unframed.salvage.uids().peekable();
        if uids.peek().is_none() {
            self.work += REFUSAL_WORK;
            from.refuse(&Uid::EMPTY, &refusal);
        }
        for uid in uids {
            self.work += REFUSAL_WORK;
            from.refuse(uid, &refusal);
        }
        Step::Next
    }

    fn note_malformed(&self, from: &Sender<'_>, refusal: &Refusal) {
        Counters::count(&self.counters.malformed);
        if self.counters.count_limit(refusal) {
            from.log(refusal);
        } else {
            debug!("{} sent a malformed frame: {refusal}", from.name);
        }
    }

    /// Returns the refusal of a line that is not a frame.
    fn broken(&self, error: EnvelopeError) -> Refusal {
        match error {
            EnvelopeError::Json(JsonError::TooDeep) => Refusal::TooDeep { limit: self.nesting },
            error => error.into(),
        }
    }

    /// Returns the refusal of a frame that is nested too deep; `None` if it is not.
    fn too_deep(&self, envelope: &Envelope) -> Option<Refusal> {
        (envelope.shape().depth > self.nesting).then_some(Refusal::TooDeep { limit: self.nesting })
    }

    /// Checks whether the sender's own queue has room for an answer of the manager. If not, returns
    /// the step with the permit to wait for.
    #[inline]
    fn own_room(&mut self, from: &Sender<'_>) -> Result<(), Step> {
        if from.outbox.is_full() && !self.permits.is_begun() {
            return self.wait_for_own_room(from);
        }
        Ok(())
    }

    #[cold]
    fn wait_for_own_room(&mut self, from: &Sender<'_>) -> Result<(), Step> {
        // The permit is returned to the queue, since the manager's own frames are always queued.
        if self.permits.take(from.outbox).is_some() {
            return Ok(());
        }
        let permit = from.outbox.wait_for_room(1);
        Err(Step::Wait(Permits::one(from.id, permit)))
    }

    /// Drops a reply to no request in flight, or a notification in another service's name.
    fn drop_unsolicited(&self, from: &Sender<'_>) -> Step {
        Counters::count(&self.counters.unsolicited);
        if from.log_limit.allows(from.name) {
            info!(
                "{} sent a reply or notification that was not asked of it, dropped",
                from.name
            );
        }
        Step::Next
    }
}
