//! A channel for the items of one call. It never drops one in silence: a reader that is too slow
//! receives an error after those that were kept.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use labwire_device::payload::Received;

use crate::readable::Readable;

/// The most bytes of items that wait for their reader. One item may be larger. Calls share the
/// connection: to wait for this reader would keep all others waiting.
pub(crate) const FULL_BYTES: usize = 64 * 1024 * 1024;

/// Items were lost, because too many waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Creates a channel.
pub(crate) fn item_queue() -> (ItemSender, ItemReceiver) {
    let queue = Arc::<Readable<Queue>>::default();
    (ItemSender(Arc::clone(&queue)), ItemReceiver(queue))
}

/// The sending half. Dropping it ends the channel.
pub(crate) struct ItemSender(Arc<Readable<Queue>>);

/// The receiving half.
pub(crate) struct ItemReceiver(Arc<Readable<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Received>,
    /// The size of all of them, in bytes, with their arrays.
    bytes: usize,
    /// Whether an item was lost.
    overflowed: bool,
    /// Whether the reader knows.
    is_told: bool,
    ended: bool,
}

impl Queue {
    fn next(&mut self) -> Poll<Option<Result<Received, Overflow>>> {
        if let Some(item) = self.waiting.pop_front() {
            self.bytes -= item.size();
            return Poll::Ready(Some(Ok(item)));
        }
        if self.overflowed {
            let was_told = std::mem::replace(&mut self.is_told, true);
            return Poll::Ready((!was_told).then_some(Err(Overflow)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl fmt::Debug for ItemSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ItemSender").finish_non_exhaustive()
    }
}

impl ItemSender {
    /// Notes that items were lost.
    pub(crate) fn lose(&self) {
        self.0.change(|queue| queue.overflowed = true);
    }

    /// Appends an item, unless too many wait or one was lost before.
    pub(crate) fn push(&self, item: Received) {
        // The receiver was dropped.
        if Arc::strong_count(&self.0) == 1 {
            return;
        }
        self.0.change(|queue| {
            let is_full = !queue.waiting.is_empty() && queue.bytes + item.size() > FULL_BYTES;
            queue.overflowed |= is_full;
            if !queue.overflowed {
                queue.bytes += item.size();
                queue.waiting.push_back(item);
            }
        });
    }
}

impl Drop for ItemSender {
    fn drop(&mut self) {
        self.0.change(|queue| queue.ended = true);
    }
}

impl ItemReceiver {
    /// Polls for the next item. Returns `None` after the last one.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Result<Received, Overflow>>> {
        self.0.poll(context, Queue::next)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::*;

    fn next(receiver: &ItemReceiver) -> Poll<Option<Result<usize, Overflow>>> {
        let context = Context::from_waker(Waker::noop());
        receiver
            .poll_next(&context)
            .map(|next| next.map(|item| item.map(|item| item.len())))
    }

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let (sender, receiver) = item_queue();
        assert_eq!(next(&receiver), Poll::Pending);
        for length in 1..4 {
            sender.push(Bytes::from(vec![b'1'; length]).into());
        }
        drop(sender);
        for length in 1..4 {
            assert_eq!(next(&receiver), Poll::Ready(Some(Ok(length))));
        }
        assert_eq!(next(&receiver), Poll::Ready(None));
    }

    #[test]
    fn a_gap_comes_after_the_items_before_it_and_nothing_comes_after_it() {
        let (sender, receiver) = item_queue();
        sender.push(Bytes::from_static(b"1").into());
        sender.lose();
        sender.push(Bytes::from_static(b"after the gap").into());
        assert_eq!(next(&receiver), Poll::Ready(Some(Ok(1))));
        assert_eq!(next(&receiver), Poll::Ready(Some(Err(Overflow))));
        assert_eq!(next(&receiver), Poll::Ready(None));
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_once_and_never_skips_one() {
        let (sender, receiver) = item_queue();
        sender.push(Bytes::from(vec![b'1'; FULL_BYTES + 1]).into());
        sender.push(Bytes::from_static(b"lost").into());
        assert_eq!(next(&receiver), Poll::Ready(Some(Ok(FULL_BYTES + 1))));
        sender.push(Bytes::from_static(b"after one that is lost").into());
        assert_eq!(next(&receiver), Poll::Ready(Some(Err(Overflow))));
        assert_eq!(next(&receiver), Poll::Ready(None));
    }
}
