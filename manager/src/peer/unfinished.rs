//! Lines whose end has not come: one of which a part has gone on, and one that is thrown away.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::budget::LineShare;
use crate::refusal::LineEnd;
use crate::router::CutThrough;

/// A line of which a part has gone on.
#[derive(Debug)]
pub(super) struct PacedCutThrough {
    pub(super) frame: CutThrough,
    /// Since when it is counted how many bytes come, as something waits for its end; and how many have.
    pub(super) paced: Option<(Instant, u64)>,
    /// When something has come last.
    pub(super) grown: Instant,
    /// Since when producers wait for room behind it.
    pub(super) blocks_since: Option<Instant>,
}

impl PacedCutThrough {
    /// The frame that goes on.
    pub(super) fn into_inner(self) -> CutThrough {
        self.frame
    }

    /// Whether the line is to be broken off for the sake of those who wait for its end; `count` bytes of it have just come.
    pub(super) fn note_arrived(&mut self, count: usize, stall: Duration, per_second: u64) -> bool {
        let waiting = self.frame.keeps_waiting();
        // However fast it comes, others have done nothing wrong but to tell its receiver something.
        if !waiting.producers {
            self.blocks_since = None;
        } else if self.blocks_since.get_or_insert_with(Instant::now).elapsed() >= stall {
            return true;
        }
        if !waiting.frames {
            self.paced = None;
            return false;
        }
        let (since, come) = self.paced.get_or_insert_with(|| (Instant::now(), 0));
        *come += count as u64;
        if since.elapsed() < stall {
            return false;
        }
        let is_slow = u128::from(*come) * 1_000 < u128::from(per_second) * since.elapsed().as_millis();
        self.paced = None;
        is_slow
    }
}

/// A line that is thrown away and whose end has not come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) end: LineEnd,
    /// Whether its sender was told without knowing which line it was.
    pub(super) was_told: bool,
}

/// Reads, as long as the line goes on; tells why it is to be thrown away otherwise. `stall` is how long nothing may come.
pub(super) async fn read_growing<T>(
    share: &LineShare,
    stall: Option<Duration>,
    read: impl Future<Output = T>,
) -> Result<T, LineEnd> {
    if stall.is_none() && !share.is_counted() {
        return Ok(read.await);
    }
    let mut read = pin!(read);
    // Most reads are done at once and need no clock.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await {
        return Ok(read);
    }
    let mut clock = stall.map(|limit| (limit, Box::pin(sleep(limit))));
    poll_fn(|context| {
        if let Poll::Ready(read) = read.as_mut().poll(context) {
            return Poll::Ready(Ok(read));
        }
        if share.poll_called_on(context).is_ready() {
            return Poll::Ready(Err(share.excess()));
        }
        match &mut clock {
            Some((limit, clock)) => clock
                .as_mut()
                .poll(context)
                .map(|()| Err(LineEnd::Stalled { limit: *limit })),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use labwire_wire::ArrivingEnvelope;

    use super::*;
    use crate::router::Rig;

    const STALL: Duration = Duration::from_secs(2);

    /// Bytes in a second.
    const PACE: u64 = 8 * 1024 * 1024;

    const STEP: Duration = Duration::from_millis(100);

    /// A request that goes on while it arrives.
    fn cut_through(rig: &mut Rig) -> PacedCutThrough {
        let line = br#"{"service":"S","attribute":"a","uid":"1","args":["#;
        let mut arriving = ArrivingEnvelope::default();
        arriving.look(line);
        let begun = rig.as_client(|router, from| router.cut_request_through(from, line, &arriving));
        PacedCutThrough {
            frame: begun.expect("nothing prevents it"),
            paced: None,
            grown: Instant::now(),
            blocks_since: None,
        }
    }

    /// After how long a line is broken off of which so many bytes come in each step; nothing when it is not within ten
    /// times of what others wait.
    async fn overdue_after(cut_through: &mut PacedCutThrough, count: usize) -> Option<Duration> {
        let start = Instant::now();
        while start.elapsed() < 10 * STALL {
            if cut_through.note_arrived(count, STALL, PACE) {
                return Some(start.elapsed());
            }
            tokio::time::advance(STEP).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_others_wait_for_must_come_at_its_pace() {
        let mut rig = Rig::cut_through();
        let mut cut_through = cut_through(&mut rig);
        assert_eq!(overdue_after(&mut cut_through, 0).await, None, "nobody waits");
        rig.services_queue().push_always(|frame| frame.copied(b"more"));
        let pace = usize::try_from(PACE / 10).unwrap();
        assert_eq!(overdue_after(&mut cut_through, pace + 1).await, None);
        cut_through.paced = None;
        assert_eq!(overdue_after(&mut cut_through, pace * 3 / 4).await, Some(STALL));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_room_behind_a_line_however_fast_it_comes() {
        let mut rig = Rig::cut_through();
        let mut cut_through = cut_through(&mut rig);
        rig.services_queue().push_always(|frame| frame.copied(b"more"));
        let _waiting = rig.services_queue().wait_for_room(1 << 30);
        assert_eq!(overdue_after(&mut cut_through, 1 << 30).await, Some(STALL));
    }
}
