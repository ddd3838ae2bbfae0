//! The permits of a line that waits for room.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use labwire_wire::{Frame, Topic};

use crate::outbox::{FrameWriter, Outbox, Permit};
use crate::refusal::LineEnd;
use crate::registry::PeerId;

/// The permits of a line that is held back: for one queue or, for a notification, for several.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    all: Vec<(PeerId, Permit)>,
    /// A value that some queues have received already, so that it must not begin again.
    begun: Option<Box<Begun>>,
}

/// A value that some of its subscribers have received, and that waits for the others.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) topic: Topic,
    pub(super) frame: Frame,
    /// The number of its subscribers.
    pub(super) subscribers: usize,
    /// The number of those that cannot receive its buffers.
    pub(super) left_out: usize,
}

impl Permits {
    /// Creates a set with one permit, for the queue of `peer`.
    pub(super) fn one(peer: PeerId, permit: Permit) -> Self {
        Self {
            all: vec![(peer, permit)],
            begun: None,
        }
    }

    /// Notes that some queues have received a value already. The sender's own queue is then not a
    /// reason to wait: these permits would be given back meanwhile.
    pub(super) fn begun(mut self, begun: Begun) -> Self {
        self.begun = Some(Box::new(begun));
        self
    }

    pub(super) fn is_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Takes the value that some queues have received already.
    pub(super) fn take_begun(&mut self) -> Option<Begun> {
        self.begun.take().map(|begun| *begun)
    }

    /// Returns why the line is discarded that waits for these permits, if `end` is the reason.
    pub(crate) fn end_of_line(&self, end: LineEnd) -> LineEnd {
        match end {
            LineEnd::OverBudget { budget } if self.is_begun() => LineEnd::DeliveredInPart { budget },
            end => end,
        }
    }

    /// Adds a permit for the queue of one more peer.
    pub(super) fn add(&mut self, peer: PeerId, permit: Permit) {
        self.all.push((peer, permit));
    }

    /// Gives all permits back.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        if !self.all.is_empty() {
            self.all.clear();
        }
        self.begun = None;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the permits, each with the peer whose queue it is for.
    pub(super) fn into_all(self) -> impl Iterator<Item = (PeerId, Permit)> {
        self.all.into_iter()
    }

    /// Returns those peers.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.all.iter().map(|&(peer, _)| peer)
    }

    /// Waits until one of them is granted. Cancel safe.
    pub(crate) async fn granted(&self) {
        poll_fn(|context| {
            // Every permit is polled, so that each can wake the task.
            let mut granted = self.all.is_empty();
            for (_, permit) in &self.all {
                granted |= permit.poll_granted(context).is_ready();
            }
            if granted { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes the permit for that queue, if it is granted.
    pub(super) fn take(&mut self, outbox: &Arc<Outbox>) -> Option<Permit> {
        let place = self
            .all
            .iter()
            .position(|(_, permit)| Arc::ptr_eq(permit.outbox(), outbox) && permit.is_granted())?;
        Some(self.all.swap_remove(place).1)
    }

    /// Queues a request of at most `length` bytes for `peer`, if there is room or its permit is
    /// granted. Otherwise returns the permit to wait for.
    #[inline]
    pub(super) fn push_request(
        &mut self,
        peer: PeerId,
        outbox: &Arc<Outbox>,
        length: usize,
        write: impl Fn(&mut FrameWriter<'_>),
    ) -> Result<(), Self> {
        match outbox.push(length, &write) {
            Ok(()) => Ok(()),
            Err(_) => self.push_with_permit(outbox, write, |outbox| {
                Self::one(peer, outbox.wait_for_room(length))
            }),
        }
    }

    /// As [`push_request`](Self::push_request), for a reply.
    #[inline]
    pub(super) fn push_reply(
        &mut self,
        peer: PeerId,
        outbox: &Arc<Outbox>,
        length: usize,
        write: impl Fn(&mut FrameWriter<'_>),
    ) -> Result<(), Self> {
        match outbox.push_owed(length, &write) {
            Ok(()) => Ok(()),
            Err(_) => self.push_with_permit(outbox, write, |outbox| {
                Self::one(peer, outbox.wait_for_owed_room(length))
            }),
        }
    }

    #[cold]
    fn push_with_permit(
        &mut self,
        outbox: &Arc<Outbox>,
        write: impl Fn(&mut FrameWriter<'_>),
        wait: impl FnOnce(&Arc<Outbox>) -> Self,
    ) -> Result<(), Self> {
        match self.take(outbox) {
            Some(permit) => {
                permit.push(write);
                Ok(())
            }
            None => Err(wait(outbox)),
        }
    }
}
