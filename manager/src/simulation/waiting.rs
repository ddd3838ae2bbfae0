//! The unfinished actions of a simulated peer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use labwire_wire::ArrivingEnvelope;
use tokio::sync::Notify;

use super::speech::Spoken;
use crate::router::CutThrough;

/// A line that is being cut through.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) spoken: Spoken,
    /// The number of its bytes that have arrived.
    pub(super) come: usize,
    /// The arrived bytes that are not forwarded.
    pub(super) left: Vec<u8>,
    pub(super) envelope: ArrivingEnvelope,
    pub(super) cut_through: CutThrough,
}

impl Arriving {
    /// Receives the next bytes of the line, and forwards them.
    pub(super) fn go_on(&mut self, count: usize) {
        let content = self.spoken.content();
        let count = count.min(content.len() - self.come);
        self.left
            .extend_from_slice(&content[self.come..self.come + count]);
        self.come += count;
        self.envelope.look(&self.left);
        if let Some(passing) = self.cut_through.go_on(&self.left, &self.envelope) {
            let bytes: Vec<u8> = self.left.drain(passing.range.clone()).collect();
            self.envelope.take_out(passing.range.clone());
            self.cut_through.pass(&passing, &bytes.into());
        }
    }
}

/// A client that sends no more and waits for its last reply.
#[derive(Debug)]
pub(super) struct Finished {
    /// Notified when the reply has come, or when the wait ends.
    pub(super) told: Arc<Notify>,
}

impl Finished {
    pub(super) fn is_told(&self) -> bool {
        let told = pin!(self.told.notified());
        told.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}
