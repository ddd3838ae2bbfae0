//! Answers of the manager.

use labwire_wire::{Uid, frames};

use crate::outbox::{FrameWriter, Outbox};

/// Queues a result for a peer, even if its queue is full: the JSON text that `write` composes.
/// Returns the number of bytes.
pub(crate) fn push_answer(
    outbox: &Outbox,
    requester: &str,
    uid: &Uid<'_>,
    write: impl FnOnce(&mut FrameWriter<'_>),
) -> usize {
    let (head, tail) = frames::result_around(requester, uid);
    let mut written = 0;
    outbox.push_always(|frame| {
        frame.copied(&head);
        write(frame);
        frame.copied(&tail);
        written = frame.written();
    });
    written
}
