//! How long others have waited for a peer with a session, over all its connections.
//!
//! A peer that breaks its connection before it is found too slow, and returns, would otherwise keep
//! others waiting without end: its queue is cut at each break, and a new connection takes some
//! megabytes that the peer need not read.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{Outbox, State, Waiters};

/// How long after the last wait a debt is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// What a reader has taken since others wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// When the reader last took something.
    pub(crate) progressed: Instant,
    /// The start of the current period.
    pub(crate) since: Instant,
    /// The bytes taken in this period, and the bytes required within the patience.
    pub(crate) taken: usize,
    pub(crate) pace: usize,
}

impl Watch {
    pub(crate) fn begin(now: Instant, pace: usize) -> Self {
        Self {
            progressed: now,
            since: now,
            taken: 0,
            pace,
        }
    }
}

/// The account of a session: a clock that goes only while others wait for the peer, and what is known
/// by that clock.
#[derive(Debug)]
pub(super) struct Charge {
    began: Instant,
    /// The sum of the waits that have ended.
    waited: Duration,
    /// When the present wait began.
    since: Option<Instant>,
    /// When the last one ended.
    ended: Option<Instant>,
    watch: Option<Watch>,
    /// The bytes that were queued when the connection broke while others waited, and that the peer has
    /// not taken since. As long as there are any, only what it confirms counts as taken.
    debt: usize,
    /// The bytes that the peer has confirmed since the last look.
    confirmed: usize,
}

impl Charge {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            waited: Duration::ZERO,
            since: None,
            ended: None,
            watch: None,
            debt: 0,
            confirmed: 0,
        }
    }

    /// Returns the time by the clock that goes only while others wait.
    fn now(&self, real: Instant) -> Instant {
        let present = self.since.map_or(Duration::ZERO, |since| real - since);
        self.began + self.waited + present
    }

    pub(super) fn start(&mut self) {
        if self.since.is_some() {
            return;
        }
        let real = Instant::now();
        if self.ended.is_some_and(|ended| real - ended > FORGOTTEN_AFTER) {
            (self.watch, self.debt) = (None, 0);
        }
        self.since = Some(real);
    }

    pub(super) fn stop(&mut self) {
        if let Some(since) = self.since.take() {
            let real = Instant::now();
            self.waited += real - since;
            self.ended = Some(real);
        }
    }

    pub(super) fn note_confirmed(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.confirmed = self.confirmed.saturating_add(bytes);
    }

    /// Notes that the connection broke while `queued` bytes were queued.
    pub(super) fn go_away(&mut self, queued: usize, pace: usize) {
        if self.since.is_some() || self.watch.is_some() {
            let begin = self.began + self.waited;
            self.watch.get_or_insert(Watch::begin(begin, pace));
            self.debt = self.debt.max(queued).max(1);
        }
        self.stop();
    }
}

impl State {
    /// Notes whether producers wait for a peer with a session.
    #[inline]
    pub(in super::super) fn note_waiting(&mut self) {
        let waits = self.producers.wait() && self.ticket.is_none();
        if let Some(kept) = &mut self.kept {
            if waits && !kept.is_away {
                kept.charge.start();
            } else {
                kept.charge.stop();
            }
        }
    }
}

impl Outbox {
    /// Returns whether the peer has a session.
    pub(crate) fn has_session(&self) -> bool {
        self.state().kept.is_some()
    }

    /// Lets `judge` decide whether a peer with a session is too slow. It gets what is known, the bytes
    /// that the peer has taken, the time by a clock that goes only while others wait, and whether what
    /// is known is kept although nobody waits now.
    pub(crate) fn judge(
        &self,
        count: usize,
        awaited: Waiters,
        judge: impl FnOnce(&mut Option<Watch>, usize, Instant, bool) -> bool,
    ) -> bool {
        let mut state = self.state();
        let Some(kept) = &mut state.kept else {
            return false;
        };
        let charge = &mut kept.charge;
        let now = charge.now(Instant::now());
        if awaited == Waiters::Nobody {
            charge.stop();
        } else {
            charge.start();
        }
        let confirmed = std::mem::take(&mut charge.confirmed);
        let is_charged = charge.debt > 0;
        let taken = if is_charged { confirmed } else { count };
        charge.debt = charge.debt.saturating_sub(taken);
        judge(&mut charge.watch, taken, now, is_charged)
    }
}
