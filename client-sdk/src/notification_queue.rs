//! A channel for the notifications of one reader. It drops the oldest ones when the reader is slow.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::notification::Notification;

/// Creates a channel with a capacity of `capacity` notifications, at least one.
pub(crate) fn notification_queue(capacity: usize) -> (NotificationSender, NotificationReceiver) {
    let queue = Arc::new(Queue {
        capacity: capacity.max(1),
        inner: Mutex::default(),
    });
    (
        NotificationSender(Arc::clone(&queue)),
        NotificationReceiver(queue),
    )
}

/// The sending half. Dropping it ends the channel.
pub(crate) struct NotificationSender(Arc<Queue>);

/// The receiving half.
pub(crate) struct NotificationReceiver(Arc<Queue>);

struct Queue {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Notification>,
    ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn push(&self, notification: Notification) {
        let mut inner = self.0.inner();
        inner.waiting.push_back(notification);
        if inner.waiting.len() > self.0.capacity {
            let dropped = inner.waiting.pop_front().map_or(0, |oldest| oldest.lost() + 1);
            if let Some(next) = inner.waiting.front_mut() {
                next.add_lost(dropped);
            }
        }
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Returns whether the receiver was dropped.
    pub(crate) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Ends the channel. Queued notifications can still be read.
impl Drop for NotificationSender {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.ended = true;
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl NotificationReceiver {
    /// Polls for the next notification. Returns `None` after the last one.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Notification>> {
        let mut inner = self.0.inner();
        if let Some(notification) = inner.waiting.pop_front() {
            return Poll::Ready(Some(notification));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn notification(count: u64) -> Notification {
        Notification::new("Heartbeat".into(), &Bytes::from(format!("[[{count}], {{}}]"))).unwrap()
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
