//! Unfinished lines: one that is being cut through, and one that is being discarded.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::budget::LineShare;
use crate::reading::LARGE_READ_BYTES;
use crate::refusal::LineEnd;
use crate::router::CutThrough;

/// The bytes that wait to be written from which on reading pauses: two reads stay in the processor's
/// cache until they are written, and in memory that is reused.
const READ_AHEAD: usize = 2 * LARGE_READ_BYTES;

/// How many nanoseconds reading may pause for each byte that has arrived. A slower reader than one of
/// half a gigabyte per second holds the sender up to that pace, not longer.
const PAUSE_PER_BYTE: u64 = 2;

/// The shortest pause. The runtime's timers have this resolution.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// A line that is being cut through, with its progress.
#[derive(Debug)]
pub(super) struct PacedCutThrough {
    pub(super) frame: CutThrough,
    /// The start of the current period of `stall`, and the bytes received in it. Set while frames
    /// wait for the end of the line.
    pub(super) paced: Option<(Instant, u64)>,
    /// When it last grew, or last could not be read for lack of room.
    pub(super) grown: Instant,
    /// When producers began to wait for room behind it.
    pub(super) blocks_since: Option<Instant>,
    /// How long reading may still pause.
    pausable: Duration,
}

impl PacedCutThrough {
    /// Begins to watch a frame.
    pub(super) fn new(frame: CutThrough) -> Self {
        Self {
            frame,
            paced: None,
            grown: Instant::now(),
            blocks_since: None,
            pausable: Duration::ZERO,
        }
    }

    /// Returns how long to wait for the next write before more is read, if `queued` bytes in front of
    /// other frames wait to be written. A receiver that reads nearly as fast as the line arrives catches up meanwhile; a
    /// slow one is not waited for, so that its sender goes on.
    pub(super) fn pause(&self, queued: usize) -> Option<Duration> {
        (queued >= READ_AHEAD && self.pausable >= SHORTEST_PAUSE).then_some(self.pausable)
    }

    /// Notes how long it was waited for the next write. The sender is not to blame for that time.
    pub(super) fn note_pause(&mut self, pause: Duration) {
        self.pausable = self.pausable.saturating_sub(pause);
        if let Some((since, _)) = &mut self.paced {
            *since += pause;
        }
    }

    /// Returns the frame.
    pub(super) fn into_inner(self) -> CutThrough {
        self.frame
    }

    /// Notes that `count` bytes have arrived. Returns whether to break the line off: because
    /// producers have waited for its end for `stall`, or because frames wait and fewer than
    /// `per_second` bytes arrive in a second, averaged over `stall`.
    pub(super) fn note_arrived(&mut self, count: usize, stall: Duration, per_second: u64) -> bool {
        self.pausable += Duration::from_nanos(PAUSE_PER_BYTE * count as u64);
        let waiting = self.frame.keeps_waiting();
        // Producers do not wait longer, however fast the line arrives.
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

/// An unfinished line that is being discarded.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedLine {
    pub(super) end: LineEnd,
    /// Whether an error was sent although the request or reply was not identified.
    pub(super) was_told: bool,
}

/// Reads more of a line. Returns an error if the line must be discarded: because nothing has
/// arrived for `stall`, or because the budget of unfinished lines is used up.
pub(super) async fn read_growing<T>(
    share: &LineShare,
    stall: Option<Duration>,
    read: impl Future<Output = T>,
) -> Result<T, LineEnd> {
    if stall.is_none() && !share.is_counted() {
        return Ok(read.await);
    }
    let mut read = pin!(read);
    // Most reads complete at once and need no timer.
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
    use std::sync::Arc;

    use labwire_wire::ArrivingEnvelope;

    use super::*;
    use crate::router::Rig;

    const STALL: Duration = Duration::from_secs(2);

    /// Bytes per second.
    const PACE: u64 = 8 * 1024 * 1024;

    const STEP: Duration = Duration::from_millis(100);

    /// Begins to cut a request through.
    fn cut_through(rig: &mut Rig) -> PacedCutThrough {
        let line = br#"{"service":"S","attribute":"a","uid":"1","args":["#;
        let mut arriving = ArrivingEnvelope::default();
        arriving.look(line);
        let begun = rig.as_client(|router, from| router.cut_request_through(from, line, &arriving));
        PacedCutThrough::new(begun.expect("nothing prevents it"))
    }

    /// Returns the time after which a line is broken off that receives `count` bytes in each step,
    /// or `None` if that takes more than ten times `STALL`.
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
    async fn reading_pauses_for_a_reader_that_keeps_up_and_not_for_a_slow_one() {
        let mut rig = Rig::cut_through();
        let mut cut_through = cut_through(&mut rig);
        assert_eq!(cut_through.pause(READ_AHEAD), None, "nothing has arrived");
        for _ in 0..1_000 {
            cut_through.note_arrived(LARGE_READ_BYTES, STALL, PACE);
            assert_eq!(cut_through.pause(READ_AHEAD - 1), None);
            if let Some(pause) = cut_through.pause(READ_AHEAD) {
                // It writes a read in half of the time in which one may arrive.
                cut_through.note_pause(Duration::from_nanos(LARGE_READ_BYTES as u64));
                assert!(pause >= SHORTEST_PAUSE);
            }
        }
        let arrived = 1_000 * LARGE_READ_BYTES as u64;
        let mut paused = Duration::ZERO;
        while let Some(pause) = cut_through.pause(READ_AHEAD) {
            cut_through.note_pause(pause);
            paused += pause;
        }
        assert!(
            paused <= Duration::from_nanos(PAUSE_PER_BYTE * arrived),
            "{paused:?} for {arrived} bytes"
        );
        cut_through.note_arrived(1, STALL, PACE);
        assert_eq!(
            cut_through.pause(usize::MAX),
            None,
            "a slow reader is not waited for"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn frames_behind_a_line_are_no_reason_to_pause() {
        let mut rig = Rig::cut_through();
        let mut cut_through = cut_through(&mut rig);
        let to = Arc::clone(cut_through.frame.outbox());
        let in_front = to.queued_in_front();
        to.push_always(|frame| frame.copied(&vec![b' '; 2 * READ_AHEAD]));
        assert_eq!(to.queued_in_front(), in_front);
        assert!(to.queued() > READ_AHEAD);
        cut_through.note_arrived(1 << 30, STALL, PACE);
        assert_eq!(cut_through.pause(to.queued_in_front()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_manager_is_not_held_against_the_sender() {
        let mut rig = Rig::cut_through();
        let mut cut_through = cut_through(&mut rig);
        rig.services_queue().push_always(|frame| frame.copied(b"more"));
        let pace = usize::try_from(PACE).unwrap();
        assert!(!cut_through.note_arrived(pace, STALL, PACE));
        tokio::time::advance(2 * STALL).await;
        cut_through.note_pause(2 * STALL);
        assert!(
            !cut_through.note_arrived(0, STALL, PACE),
            "no time of its own has passed"
        );
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
