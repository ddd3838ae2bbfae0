//! A channel for the notifications of one reader. It drops the oldest ones when the reader is slow.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::notification::Notification;
use crate::readable::Readable;

/// The size in bytes at which a queue is full, however few notifications it holds. One notification
/// may be larger.
const FULL_BYTES: usize = 64 * 1024 * 1024;

/// Creates a channel with a capacity of `capacity` notifications, at least one, and of
/// [`FULL_BYTES`].
pub(crate) fn notification_queue(capacity: usize) -> (NotificationSender, NotificationReceiver) {
    let queue = Arc::<Readable<Queue>>::default();
    let sender = NotificationSender {
        queue: Arc::clone(&queue),
        capacity: capacity.max(1),
    };
    (sender, NotificationReceiver(queue))
}

/// The sending half. Dropping it ends the channel.
pub(crate) struct NotificationSender {
    queue: Arc<Readable<Queue>>,
    capacity: usize,
}

/// The receiving half.
pub(crate) struct NotificationReceiver(Arc<Readable<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Notification>,
    /// The size of all of them, in bytes.
    bytes: usize,
    ended: bool,
    /// The notifications that were lost before the next one.
    lost: u64,
}

impl Queue {
    fn pop(&mut self) -> Option<Notification> {
        let notification = self.waiting.pop_front()?;
        self.bytes -= notification.size();
        Some(notification)
    }

    fn next(&mut self) -> Poll<Option<Notification>> {
        match self.pop() {
            None if !self.ended => Poll::Pending,
            next => Poll::Ready(next),
        }
    }
}

impl fmt::Debug for NotificationSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotificationSender")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NotificationReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotificationReceiver")
            .finish_non_exhaustive()
    }
}

impl NotificationSender {
    /// Appends a notification. If the queue is full, drops the oldest one: newer data is worth
    /// more.
    pub(crate) fn push(&self, mut notification: Notification) {
        self.queue.change(|queue| {
            notification.add_lost(std::mem::take(&mut queue.lost));
            queue.bytes += notification.size();
            queue.waiting.push_back(notification);
            while queue.waiting.len() > self.capacity || (queue.bytes > FULL_BYTES && queue.waiting.len() > 1)
            {
                let dropped = queue.pop().map_or(0, |oldest| oldest.lost() + 1);
                if let Some(next) = queue.waiting.front_mut() {
                    next.add_lost(dropped);
                }
            }
        });
    }

    /// Notes that notifications were lost before the next one. Their number is not known: they count
    /// as one.
    pub(crate) fn mark_gap(&self) {
        self.queue.change_quietly(|queue| queue.lost = 1);
    }

    /// Returns whether the receiver was dropped.
    pub(crate) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.queue) == 1
    }
}

/// Ends the channel. Queued notifications can still be read.
impl Drop for NotificationSender {
    fn drop(&mut self) {
        self.queue.change(|queue| queue.ended = true);
    }
}

impl NotificationReceiver {
    /// Polls for the next notification. Returns `None` after the last one.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Notification>> {
        self.0.poll(context, Queue::next)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::*;

    fn notification(count: u64) -> Notification {
        Notification::new(
            "Heartbeat".into(),
            &Bytes::from(format!("[[{count}], {{}}]")).into(),
        )
        .unwrap()
    }

    fn next(receiver: &NotificationReceiver) -> Option<(u64, u64)> {
        let context = Context::from_waker(Waker::noop());
        match receiver.poll_next(&context) {
            Poll::Ready(next) => next.map(|next| (next.decode::<(u64,)>().unwrap().0, next.lost())),
            Poll::Pending => panic!("nothing waits"),
        }
    }

    #[test]
    fn a_slow_reader_is_told_how_many_of_the_oldest_it_missed() {
        let (sender, receiver) = notification_queue(2);
        for count in 0..5 {
            sender.push(notification(count));
        }
        assert_eq!(next(&receiver), Some((3, 3)));
        sender.push(notification(5));
        drop(sender);
        assert_eq!(next(&receiver), Some((4, 0)));
        assert_eq!(next(&receiver), Some((5, 0)));
        assert_eq!(next(&receiver), None);
    }

    #[test]
    fn a_gap_is_marked_at_the_next_notification() {
        let (sender, receiver) = notification_queue(2);
        sender.push(notification(1));
        sender.mark_gap();
        sender.mark_gap();
        sender.push(notification(2));
        sender.push(notification(3));
        assert_eq!(next(&receiver), Some((2, 2)));
        assert_eq!(next(&receiver), Some((3, 0)));
    }

    #[test]
    fn a_queue_is_full_at_a_number_of_bytes_too() {
        let (sender, receiver) = notification_queue(1_000);
        let large = format!("[[1, \"{}\"], {{}}]", "x".repeat(FULL_BYTES / 2));
        for _ in 0..5 {
            sender.push(Notification::new("Camera".into(), &Bytes::from(large.clone()).into()).unwrap());
        }
        sender.push(notification(2));
        let bytes = |receiver: &NotificationReceiver| {
            let mut bytes = 0;
            receiver.0.change_quietly(|queue| bytes = queue.bytes);
            bytes
        };
        assert!(bytes(&receiver) <= FULL_BYTES);
        let context = Context::from_waker(Waker::noop());
        let mut lost = 0;
        let mut count = 0;
        drop(sender);
        while let Poll::Ready(Some(next)) = receiver.poll_next(&context) {
            lost += next.lost();
            count += 1;
        }
        assert_eq!(lost + count, 6);
        assert_eq!(bytes(&receiver), 0);
    }

    #[test]
    fn a_queue_of_one_holds_the_newest() {
        let (sender, receiver) = notification_queue(1);
        for count in 0..4 {
            sender.push(notification(count));
        }
        assert_eq!(next(&receiver), Some((3, 3)));
    }

    #[test]
    fn a_sender_knows_that_its_receiver_is_gone() {
        let (sender, receiver) = notification_queue(1);
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
    }
}
