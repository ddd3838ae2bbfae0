//! The requests that wait for the instrument. The clients take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A queue for each client, between the service and the thread of the instrument.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    queues: Mutex<Queues<T>>,
    arrived: Condvar,
    most: usize,
}

#[derive(Debug)]
struct Queues<T> {
    by_client: HashMap<Box<str>, VecDeque<T>>,
    /// The clients with something in their queue: the first one is next.
    turns: VecDeque<Box<str>>,
    count: usize,
    is_closed: bool,
}

/// Why something is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// Too much waits: so much of this client.
    Full { own: usize },
    /// The other side is gone.
    Closed,
}

/// What has come in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    One(T),
    Nothing,
    Closed,
}

impl<T> Waiting<T> {
    /// Creates queues for `most` in all. One client has half of them at most, two have a third each, and so on: there
    /// is a place for each that comes later.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            queues: Mutex::new(Queues {
                by_client: HashMap::new(),
                turns: VecDeque::new(),
                count: 0,
                is_closed: false,
            }),
            arrived: Condvar::new(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues<T>> {
        // No code that can panic runs under this lock.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues something of a client, behind all that it has queued before.
    pub(crate) fn push(&self, client: &str, one: T) -> Result<(), NotQueued> {
        let mut queues = self.lock();
        if queues.is_closed {
            return Err(NotQueued::Closed);
        }
        let own = queues.by_client.get(client).map_or(0, VecDeque::len);
        if own >= self.most - queues.count {
            return Err(NotQueued::Full { own });
        }
        if own == 0 {
            queues.turns.push_back(client.into());
        }
        queues.by_client.entry(client.into()).or_default().push_back(one);
        queues.count += 1;
        drop(queues);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes what is next. Blocks until `end` at most. What was queued before the close still comes.
    pub(crate) fn next(&self, end: Instant) -> Next<T> {
        let mut queues = self.lock();
        loop {
            if let Some(one) = queues.take() {
                return Next::One(one);
            }
            if queues.is_closed {
                return Next::Closed;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            let waited = self.arrived.wait_timeout(queues, left);
            queues = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing more be queued.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// As [`close`](Self::close), and drops what is queued.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut queues = self.lock();
        let dropped: Vec<T> = std::iter::from_fn(|| queues.take()).collect();
        drop(queues);
        drop(dropped);
    }
}

impl<T> Queues<T> {
    fn take(&mut self) -> Option<T> {
        let client = self.turns.pop_front()?;
        let own = self.by_client.get_mut(&client)?;
        let one = own.pop_front();
        if own.is_empty() {
            self.by_client.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        self.count -= 1;
        one
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let waiting = Waiting::new(100);
        for number in 1..=3 {
            waiting.push("a", ("a", number)).unwrap();
        }
        waiting.push("b", ("b", 1)).unwrap();
        waiting.push("c", ("c", 1)).unwrap();
        waiting.push("b", ("b", 2)).unwrap();
        waiting.close();
        assert_eq!(waiting.push("a", ("a", 4)), Err(NotQueued::Closed));
        let now = Instant::now();
        let order: Vec<_> = std::iter::from_fn(|| match waiting.next(now) {
            Next::One(one) => Some(one),
            _ => None,
        })
        .collect();
        let expected = [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("a", 3)];
        assert_eq!(order, expected);
        assert_eq!(waiting.next(now), Next::Closed);
    }

    #[test]
    fn one_client_leaves_places_for_others() {
        let waiting = Waiting::new(100);
        let fill = |client: &str| (0..200).take_while(|_| waiting.push(client, ()).is_ok()).count();
        assert_eq!(fill("hog"), 50);
        assert_eq!(waiting.push("hog", ()), Err(NotQueued::Full { own: 50 }));
        assert_eq!(fill("second"), 25);
        for other in 0..5 {
            assert!(fill(&other.to_string()) > 0);
        }
        // What is taken makes room.
        let now = Instant::now();
        for _ in 0..100 {
            waiting.next(now);
        }
        assert_eq!(waiting.next(now), Next::Nothing);
        assert_eq!(fill("hog"), 50);
    }

    #[test]
    fn who_waits_is_woken() {
        let waiting = Arc::new(Waiting::new(10));
        let other = Arc::clone(&waiting);
        let thread = std::thread::spawn(move || {
            let end = Instant::now() + Duration::from_mins(1);
            (other.next(end), other.next(end))
        });
        waiting.push("a", 1).unwrap();
        waiting.close();
        assert_eq!(thread.join().unwrap(), (Next::One(1), Next::Closed));
        let waiting = Waiting::new(10);
        let alive = Arc::new(());
        waiting.push("a", Arc::clone(&alive)).unwrap();
        waiting.abandon();
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
