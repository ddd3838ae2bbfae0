//! The latest progress of a request, until its client's writer reaches it.
//!
//! At most one progress value of a request is queued for a client. A newer one replaces it in its
//! place, so a client that reads slowly receives the latest, and progress never delays a service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::bounds::{MOST_WAITING_PROGRESS, MOST_WAITING_PROGRESS_OF_ALL};
use crate::outbox::{Deferred, FrameWriter, Outbox};

/// The bytes of progress that wait for all clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingProgress(Arc<AtomicUsize>);

impl WaitingProgress {
    /// Returns the number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns the account of one more client.
    pub(crate) fn of_client(&self) -> ClientsProgress {
        ClientsProgress {
            own: Arc::default(),
            all: self.clone(),
        }
    }
}

/// The bytes of progress that wait for one client.
#[derive(Clone, Debug)]
pub(crate) struct ClientsProgress {
    own: Arc<AtomicUsize>,
    all: WaitingProgress,
}

impl ClientsProgress {
    /// Exchanges `old` bytes for `new` ones, if there is room. Values are only added while the
    /// registry is locked, so that no two are added at once.
    fn exchange(&self, old: usize, new: usize) -> bool {
        let fits = |counter: &AtomicUsize, most| {
            (counter.load(Ordering::Relaxed).saturating_sub(old)).saturating_add(new) <= most
        };
        if new > old
            && !(fits(&self.own, MOST_WAITING_PROGRESS) && fits(&self.all.0, MOST_WAITING_PROGRESS_OF_ALL))
        {
            return false;
        }
        for counter in [&self.own, &self.all.0] {
            counter.fetch_add(new, Ordering::Relaxed);
            counter.fetch_sub(old, Ordering::Relaxed);
        }
        true
    }
}

/// What became of a progress value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is queued.
    Queued,
    /// It replaces one that was queued.
    Replaced,
    /// It is left out: too many bytes of progress wait.
    LeftOut,
}

/// The latest progress of a request.
#[derive(Debug)]
pub(crate) struct Latest {
    /// The frame, while it is queued.
    frame: Mutex<Option<Bytes>>,
    account: ClientsProgress,
}

impl Latest {
    pub(crate) fn new(account: ClientsProgress) -> Arc<Self> {
        Arc::new(Self {
            frame: Mutex::default(),
            account,
        })
    }

    /// Queues a frame for the client, or replaces the one that is queued.
    pub(crate) fn set(self: &Arc<Self>, frame: Bytes, outbox: &Outbox) -> Outcome {
        let bytes = frame.len();
        {
            let mut queued = self.frame.lock().unwrap_or_else(PoisonError::into_inner);
            let old = queued.as_ref().map(Bytes::len);
            if !self.account.exchange(old.unwrap_or_default(), bytes) {
                return Outcome::LeftOut;
            }
            *queued = Some(frame);
            if old.is_some() {
                return Outcome::Replaced;
            }
        }
        let queued = Queued(Some(Arc::clone(self)));
        outbox.push_deferred(bytes, Box::new(queued));
        Outcome::Queued
    }

    fn take(&self) -> Option<Bytes> {
        let frame = self.frame.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.account.exchange(frame.as_ref().map_or(0, Bytes::len), 0);
        frame
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        self.take();
    }
}

/// The place of a progress value in its client's queue. `None` once it is written.
#[derive(Debug)]
struct Queued(Option<Arc<Latest>>);

impl Deferred for Queued {
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        if let Some(latest) = self.0.take().and_then(|latest| latest.take()) {
            frame.shared(&latest);
        }
        false
    }
}

impl Drop for Queued {
    /// The queue may be discarded before its end.
    fn drop(&mut self) {
        if let Some(latest) = self.0.take() {
            latest.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn value(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[tokio::test]
    async fn a_newer_value_replaces_one_that_waits_in_its_place() {
        let (all, outbox) = (WaitingProgress::default(), Outbox::alone(1_000));
        let latest = Latest::new(all.of_client());
        assert_eq!(latest.set(value("1;"), &outbox), Outcome::Queued);
        outbox.push_always(|frame| frame.copied(b"item;"));
        assert_eq!(latest.set(value("longer;"), &outbox), Outcome::Replaced);
        outbox.push_always(|frame| frame.copied(b"reply;"));
        assert_eq!(all.bytes(), 7);
        assert_eq!(outbox.close_and_read().await, "longer;item;reply;");
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn what_waits_is_bounded_for_each_client_and_for_all() {
        let all = WaitingProgress::default();
        let large = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut queued = Vec::new();
        for _ in 0..20 {
            let (account, outbox) = (all.of_client(), Outbox::alone(1_000));
            for _ in 0..20 {
                let latest = Latest::new(account.clone());
                let outcome = latest.set(large.clone(), &outbox);
                queued.push((latest, outcome, Arc::clone(&outbox)));
            }
        }
        let count = queued
            .iter()
            .filter(|(_, outcome, _)| *outcome == Outcome::Queued)
            .count();
        assert_eq!(count, 16 * 16, "16 of each client, and those of 16 clients");
        let (latest, _, outbox) = &queued[0];
        assert_eq!(latest.set(large.clone(), outbox), Outcome::Replaced);
        assert_eq!(
            latest.set([&large[..], b"x"].concat().into(), outbox),
            Outcome::LeftOut
        );
        drop(queued);
        // Another thread frees the queues.
        let deadline = Instant::now() + Duration::from_secs(30);
        while all.bytes() > 0 {
            assert!(Instant::now() < deadline, "clients that leave free it");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
