//! Letting a long line of this peer go on while it arrives.

use std::sync::Arc;
use std::time::Duration;

use labwire_wire::ArrivingEnvelope;
use tokio::io::AsyncRead;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::inbox::Inbox;
use super::session::Session;
use crate::buffers;
use crate::reading::LARGE_READ_BYTES;
use crate::refusal::LineEnd;
use crate::router::{CutThrough, Incoming};

/// How often it is looked whether something waits, within the time for which it may.
const LOOKS: u32 = 4;

/// A line of which a part has gone on.
#[derive(Debug)]
pub(super) struct PacedCutThrough {
    frame: CutThrough,
    /// Since when it is counted how many bytes come, as something waits for its end; and how many have.
    paced: Option<(Instant, u64)>,
    /// When something has come last.
    grown: Instant,
    /// Since when producers wait for room behind it.
    blocks_since: Option<Instant>,
}

impl PacedCutThrough {
    /// The frame that goes on.
    pub(super) fn into_inner(self) -> CutThrough {
        self.frame
    }

    /// Whether the line is to be broken off for the sake of those who wait for its end; `count` bytes of it have just come.
    fn note_arrived(&mut self, count: usize, stall: Duration, per_second: u64) -> bool {
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

impl Session<'_> {
    /// Lets what has arrived of a long line go on; tells whether it could and the rest can.
    pub(super) fn forwards_arrived<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> bool {
        let Some((line, arriving)) = inbox.arriving() else {
            return false;
        };
        if !arriving.was_considered && line.len() >= self.hub.routing.pace.begin {
            arriving.was_considered = true;
            if arriving.since.elapsed() <= self.hub.routing.pace.begin_time && self.attachment.login.is_idle()
            {
                self.cut_through = self.begin_cut_through(line, &arriving.envelope).map(Box::new);
            }
        }
        let Some(mut cut_through) = self.cut_through.take() else {
            return false;
        };
        if let Some(error) = arriving.envelope.failure() {
            self.attachment
                .with_router(|router, from| router.break_off_broken(from, cut_through.frame, error));
            inbox.throw_line_away();
            return false;
        }
        if let Some(passing) = cut_through.frame.go_on(line, &arriving.envelope) {
            let bytes = inbox.take_out(passing.range.clone());
            cut_through.frame.pass(&passing, &bytes);
            buffers::give_back(bytes);
        }
        self.cut_through = Some(cut_through);
        true
    }

    fn begin_cut_through(&self, line: &[u8], arriving: &ArrivingEnvelope) -> Option<PacedCutThrough> {
        let cut_through = self.attachment.with_router(|router, from| {
            if self.attachment.is_service() {
                router.cut_reply_through(from, line, arriving)
            } else {
                router.cut_request_through(from, line, arriving)
            }
        });
        Some(PacedCutThrough {
            frame: cut_through?,
            paced: None,
            grown: Instant::now(),
            blocks_since: None,
        })
    }

    /// Reads what has arrived of a line of which a part has gone on, and breaks it off if others wait for its end in vain.
    pub(super) async fn read_at_pace<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) {
        let Some(cut_through) = &mut self.cut_through else {
            return;
        };
        let stall = self.hub.routing.limits.stall;
        let limit = self.hub.routing.limits.line_stall;
        let look = (stall / LOOKS).min(limit);
        let to = Arc::clone(cut_through.frame.outbox());
        let is_held_back = to.holds_back(LARGE_READ_BYTES);
        let count = if is_held_back {
            // The queues of all peers are too long. There may be room once this one has been written, or others were.
            let _pressing = to.press_others();
            let _ = timeout(look, to.next_write()).await;
            0
        } else {
            timeout(look, inbox.read()).await.unwrap_or(0)
        };
        if count > 0 || is_held_back {
            cut_through.grown = Instant::now();
        } else if !inbox.has_ended() && cut_through.grown.elapsed() >= limit {
            self.end_line(inbox, LineEnd::Stalled { limit });
            return;
        }
        if cut_through.note_arrived(count, stall, self.hub.routing.pace.per_second) {
            if let Some(cut_through) = self.cut_through.take() {
                self.attachment
                    .with_router(|router, from| router.break_off_stalled(from, cut_through.frame));
            }
            inbox.throw_line_away();
        } else if count > 0 {
            // It would else be read as fast as it comes, and everybody else would wait.
            yield_now().await;
        }
    }

    /// Ends the line of which a part has gone on.
    pub(super) fn end_cut_through(&self, cut_through: PacedCutThrough, incoming: Incoming) {
        let Incoming { line, kind } = incoming;
        self.attachment.with_router(|router, from| {
            router.end_cut_through(from, cut_through.frame, line.view(), &kind);
        });
        buffers::give_back(line.into_bytes());
    }

    /// Ends it without its end: the peer has left.
    pub(super) fn leave_cut_through(&mut self) {
        if let Some(cut_through) = self.cut_through.take() {
            self.attachment
                .with_router(|router, _| router.break_off_left(cut_through.frame));
        }
    }
}

#[cfg(test)]
mod tests {
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
