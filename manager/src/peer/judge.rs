//! Decides whether a reader is too slow, from the bytes that it takes while others wait for it.

use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::{FIRST_PACE, Outbox, Waiters, Watch};
use crate::slow_readers::shortened;

/// The most bytes that a client must take within the patience. With the default that is 6.7 MB/s.
const FAST_BYTES: usize = 32 * FIRST_PACE;

/// The times after which a reader is too slow, while others wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// The time in which it takes nothing.
    pub(super) stall: Duration,
    /// The time in which it takes less than the required bytes: [`FIRST_PACE`] at first.
    pub(super) patience: Duration,
    /// The number of clients from the same network that were recently disconnected because they did
    /// not read. It [shortens](shortened) both times if producers wait. If only memory is awaited,
    /// the full times apply: a client that is disconnected sooner returns sooner, and keeps its
    /// services busier.
    pub(super) disconnects: u32,
    /// Whether the required bytes double after each patience during which producers waited. Set for
    /// clients: their producers are services, whose other clients wait too. The producers for a
    /// service are its own callers.
    pub(super) rises: bool,
}

impl Waits {
    /// Returns the shorter of the two times.
    pub(super) fn shorter(self) -> Duration {
        shortened(self.stall.min(self.patience), self.disconnects)
    }
}

/// Judges the reader of one queue.
#[derive(Debug)]
pub(super) struct Judge {
    waits: Waits,
    /// The queue's limit in bytes.
    limit: usize,
    /// Whether its peer has a session, which has the watch then.
    has_session: bool,
    /// Set while others wait.
    watch: Option<Watch>,
}

impl Judge {
    /// Creates a judge for the reader of a queue of `limit` bytes.
    pub(super) fn new(waits: Waits, limit: usize) -> Self {
        Self {
            waits,
            limit,
            has_session: false,
            watch: None,
        }
    }

    /// Creates a judge for the reader of that queue.
    pub(super) fn of(waits: Waits, outbox: &Outbox) -> Self {
        Self {
            has_session: outbox.has_session(),
            ..Self::new(waits, outbox.limit())
        }
    }

    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// As [`note_taken`](Self::note_taken), for the reader of that queue. That of a peer with a session
    /// is judged over all its connections.
    pub(super) fn note(&mut self, outbox: &Outbox, count: usize, awaited: Waiters) -> bool {
        if !self.has_session {
            return self.note_taken(count, awaited);
        }
        let Self { waits, limit, .. } = self;
        outbox.judge(count, awaited, |watch, taken, now, is_kept| {
            waits.is_too_slow(*limit, watch, (taken, awaited), now, is_kept)
        })
    }

    /// Notes that the reader took `count` bytes since the last call, and who waited for it. Returns
    /// whether it is too slow.
    pub(super) fn note_taken(&mut self, count: usize, awaited: Waiters) -> bool {
        if awaited == Waiters::Nobody {
            self.watch = None;
            return false;
        }
        let now = Instant::now();
        self.waits
            .is_too_slow(self.limit, &mut self.watch, (count, awaited), now, false)
    }
}

impl Waits {
    /// Returns whether a reader is too slow that took `count` bytes since the last call. With
    /// `is_kept`, what is known of it is kept although nobody waits.
    fn is_too_slow(
        self,
        limit: usize,
        kept: &mut Option<Watch>,
        (count, awaited): (usize, Waiters),
        now: Instant,
        is_kept: bool,
    ) -> bool {
        if awaited == Waiters::Nobody && !is_kept {
            *kept = None;
            return false;
        }
        let disconnects = match awaited {
            Waiters::Producers => self.disconnects,
            _ => 0,
        };
        let [stall, patience] = [self.stall, self.patience].map(|wait| shortened(wait, disconnects));
        let watch = kept.get_or_insert_with(|| Watch::begin(now, FIRST_PACE.min(limit)));
        if count > 0 {
            watch.progressed = now;
            watch.taken = watch.taken.saturating_add(count);
        }
        if awaited == Waiters::Nobody {
            return false;
        }
        if now.duration_since(watch.progressed) >= stall {
            return true;
        }
        if now.duration_since(watch.since) >= patience {
            if watch.taken < watch.pace {
                return true;
            }
            (watch.since, watch.taken) = (now, 0);
            if self.rises && awaited == Waiters::Producers {
                watch.pace = (2 * watch.pace).min(FAST_BYTES).min(limit);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(2);
    const WAITS: Waits = Waits {
        stall: STALL,
        patience: Duration::from_secs(5),
        rises: false,
        disconnects: 0,
    };

    /// Returns the time after which a reader that takes `count` bytes every `step` is found too
    /// slow, or `None` if that takes more than a minute.
    async fn found_after(count: usize, step: Duration) -> Option<Duration> {
        let mut judge = Judge::new(WAITS, 64 << 20);
        assert!(!judge.note_taken(0, Waiters::Producers));
        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(1) {
            tokio::time::advance(step).await;
            if judge.note_taken(count, Waiters::Producers) {
                return Some(start.elapsed());
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_judged_by_the_bytes_that_it_takes() {
        let step = Duration::from_millis(500);
        assert_eq!(found_after(0, step).await, Some(STALL));
        assert_eq!(found_after(1, step).await, Some(WAITS.patience), "it sips");
        assert_eq!(found_after(FIRST_PACE / 10, step).await, Some(WAITS.patience));
        assert_eq!(found_after(FIRST_PACE / 10 + 1, step).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_reader_does_while_nobody_waits_does_not_count() {
        let mut judge = Judge::new(WAITS, 64 << 20);
        assert!(!judge.note_taken(0, Waiters::Producers));
        tokio::time::advance(STALL).await;
        assert!(!judge.note_taken(0, Waiters::Nobody));
        assert!(!judge.note_taken(0, Waiters::Producers), "they wait from now on");
        tokio::time::advance(STALL).await;
        assert!(judge.note_taken(0, Waiters::Producers));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_services_waiting_must_read_ever_faster() {
        let seconds = |rate: usize, awaited| async move {
            let waits = Waits { rises: true, ..WAITS };
            let mut judge = Judge::new(waits, 64 << 20);
            for second in 0..120 {
                if judge.note_taken(rate, awaited) {
                    return Some(second);
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            None
        };
        assert_eq!(seconds(300_000, Waiters::Producers).await, Some(10));
        assert_eq!(seconds(1_000_000, Waiters::Producers).await, Some(20));
        assert_eq!(seconds(8_000_000, Waiters::Producers).await, None);
        assert_eq!(seconds(300_000, Waiters::Memory).await, None, "nobody else waits");
    }

    #[tokio::test(start_paused = true)]
    async fn producers_wait_less_where_others_did_not_read_and_nobody_else_does() {
        for (awaited, expected) in [(Waiters::Producers, STALL / 4), (Waiters::Memory, STALL)] {
            let waits = Waits {
                disconnects: 2,
                ..WAITS
            };
            let mut judge = Judge::new(waits, 64 << 20);
            assert!(!judge.note_taken(0, awaited));
            tokio::time::advance(expected.saturating_sub(Duration::from_millis(1))).await;
            assert!(!judge.note_taken(0, awaited));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(judge.note_taken(0, awaited));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_queue_is_a_pace_of_its_own() {
        for (limit, note_taken) in [(1_000, false), (64 << 20, true)] {
            let mut judge = Judge::new(WAITS, limit);
            assert!(!judge.note_taken(0, Waiters::Producers));
            let mut found = false;
            for _ in 0..5 {
                tokio::time::advance(Duration::from_secs(1)).await;
                found |= judge.note_taken(200, Waiters::Producers);
            }
            assert_eq!(found, note_taken, "a queue of {limit} bytes");
        }
    }
}
