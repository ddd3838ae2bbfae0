//! Where a frame goes. Only its envelope is looked at, and nothing here waits.

mod arguments;
mod compose;
mod cut_through;
mod ended;
mod from_client;
mod from_service;
mod incoming;
mod malformed_reply;
mod permits;
#[cfg(any(test, feature = "benchmarks"))]
mod rig;
#[cfg(test)]
mod tests;

use std::sync::{Arc, MutexGuard};

use labwire_wire::{Envelope, EnvelopeError, JsonError, Uid, frames};
use tracing::{debug, info};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::events::Events;
use crate::log_limit::LogLimit;
use crate::outbox::{FrameWriter, Outbox};
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::registry::{PeerId, Registry};

pub(crate) use arguments::Call;
pub(crate) use cut_through::CutThrough;
pub(crate) use ended::Known;
#[cfg(any(test, feature = "benchmarks"))]
pub(crate) use rig::Rig;

pub(crate) use incoming::{Incoming, Kind, Typed, Unframed, is_notification};
pub(crate) use permits::Permits;

/// The attribute of a request by which a peer asks to be disconnected.
const DISCONNECT: &str = "__disconnect__";

/// What a frame adds to its payload at most, apart from the names in it: punctuation and keys.
const ENVELOPE_BYTES: usize = 128;

/// How much is done for one peer before others have their turn: what is read at once of short lines. One unit is what it
/// takes to route one of them: a fraction of a microsecond. With fifty peers that flood, everybody else waits for fifty turns.
pub(crate) const TURN_WORK: usize = 512;

/// How many bytes are copied in the time of one unit.
pub(crate) const BYTES_PER_WORK: usize = 1_024;

/// How many bytes of a large line are read in that time, to memory that was used before: a line of a mebibyte comes in one
/// turn, while it is in the processor's caches.
pub(crate) const LARGE_BYTES_PER_WORK: usize = 2 * BYTES_PER_WORK;

/// How many bytes of a huge line are read in that time, to memory that was not used before: the system gives it page by
/// page, which takes some virtual machines dozens of times as long.
pub(crate) const FRESH_BYTES_PER_WORK: usize = BYTES_PER_WORK / 2;

/// How many queues get a notification in that time.
const QUEUES_PER_WORK: usize = 16;

/// What a refusal takes: its text is put together.
const REFUSAL_WORK: usize = 8;

/// What the reader of a line does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It goes on with the next line.
    Next,
    /// It waits for room in a queue, then routes the same line again with what it was granted.
    Wait(Permits),
    /// It has the manager answer an administrator's request.
    Ask(Call),
    /// It ends the connection.
    Leave,
}

/// Decides where frames go.
pub(crate) struct Router<'a> {
    pub(crate) registry: MutexGuard<'a, Registry>,
    pub(crate) counters: &'a Counters,
    pub(crate) events: &'a Events,
    /// Whether the manager is about to stop and takes no new requests.
    pub(crate) draining: bool,
    /// How deep a line may be nested.
    pub(crate) nesting: usize,
    /// What the line that is routed was granted, if it was held back.
    pub(crate) permits: Permits,
    /// How lines go on before their end has come.
    pub(crate) pace: Pace,
    /// Tells the time at which a lock is acquired.
    pub(crate) clock: &'a Clock,
    /// How much more work the lines were than usual, in [units](TURN_WORK).
    pub(crate) work: usize,
}

/// Who sent the frame: its place in the registry, its name, and the queue for what it is told.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) id: PeerId,
    /// `NAME[HOST:PORT]`.
    pub(crate) name: &'a str,
    pub(crate) outbox: &'a Arc<Outbox>,
    /// Whether it is a client that wants to know whose errors it gets.
    pub(crate) origin: bool,
    pub(crate) log_limit: &'a LogLimit,
}

impl Sender<'_> {
    /// Tells the peer why it does not get what it asked for.
    pub(crate) fn refuse(&self, uid: &Uid<'_>, refusal: &Refusal) {
        let frame = refusal.frame(self.name, uid, self.origin);
        self.outbox.push_always(|writer| writer.shared(&frame));
    }

    /// Gives the peer a result: the JSON text that `write` puts together. Returns its number of bytes.
    pub(crate) fn answer(&self, uid: &Uid<'_>, write: impl FnOnce(&mut FrameWriter<'_>)) -> usize {
        let (head, tail) = frames::result_around(self.name, uid);
        let mut written = 0;
        self.outbox.push_always(|frame| {
            frame.copied(&head);
            write(frame);
            frame.copied(&tail);
            written = frame.written();
        });
        written
    }

    /// Logs a refusal, as long as the peer does not cause too many lines.
    pub(crate) fn log(&self, refusal: &Refusal) {
        if self.log_limit.allows(self.name) {
            info!("{}: {}", self.name, refusal.summary());
        }
    }
}

impl Router<'_> {
    fn refuse_malformed(&mut self, from: &Sender<'_>, uid: &Uid<'_>, refusal: &Refusal) -> Step {
        self.work += REFUSAL_WORK;
        self.note_malformed(from, refusal);
        from.refuse(uid, refusal);
        Step::Next
    }

    /// Refuses a line that is no frame; the errors carry the uids that can be found in it.
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

    /// Why a line is refused that is no frame.
    fn broken(&self, error: EnvelopeError) -> Refusal {
        match error {
            EnvelopeError::Json(JsonError::TooDeep) => Refusal::TooDeep { limit: self.nesting },
            error => error.into(),
        }
    }

    /// Why a frame is not routed that is nested deeper than it may be.
    fn too_deep(&self, envelope: &Envelope) -> Option<Refusal> {
        (envelope.shape().depth > self.nesting).then_some(Refusal::TooDeep { limit: self.nesting })
    }

    /// Whether the sender's own queue has room for what the manager answers; else what its line is to wait for.
    #[inline]
    fn own_room(&mut self, from: &Sender<'_>) -> Result<(), Step> {
        if from.outbox.is_full() {
            return self.wait_for_own_room(from);
        }
        Ok(())
    }

    #[cold]
    fn wait_for_own_room(&mut self, from: &Sender<'_>) -> Result<(), Step> {
        // What was granted is given back: what the manager itself says is queued in any case.
        if self.permits.take(from.outbox).is_some() {
            return Ok(());
        }
        let permit = from.outbox.wait_for_room(1);
        Err(Step::Wait(Permits::one(from.id, permit)))
    }

    /// Drops a reply that nobody waits for, or a notification in another's name.
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
