//! Cuts long lines of this peer through.

use std::sync::Arc;

use labwire_wire::ArrivingEnvelope;
use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout};

use super::inbox::Inbox;
use super::session::Session;
use super::unfinished::PacedCutThrough;
use crate::buffers;
use crate::reading::LARGE_READ_BYTES;
use crate::refusal::LineEnd;
use crate::router::Incoming;
use crate::routing_thread::yield_to_events;

/// How often it is checked whether frames wait, within the time for which they may.
const LOOKS: u32 = 4;

impl Session<'_> {
    /// Forwards the bytes that have arrived of a long line. Returns whether the line is being cut
    /// through.
    pub(super) fn forwards_arrived<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> bool {
        if inbox.raw_arriving().is_some() {
            return self.forwards_raw(inbox);
        }
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
            let begin = inbox.handled();
            let rest = self
                .attachment
                .with_router(|router, from| router.break_off_broken(from, cut_through.frame, error));
            inbox.throw_line_away();
            self.begin_rest(inbox, rest, begin);
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

    /// Forwards the bytes of buffers that have arrived. Returns whether the frame is being cut
    /// through.
    fn forwards_raw<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) -> bool {
        let Some(arriving) = inbox.raw_arriving() else {
            return false;
        };
        let pace = self.hub.routing.pace;
        if !arriving.was_considered && arriving.arrived() >= pace.begin {
            arriving.was_considered = true;
            if arriving.since.elapsed() <= pace.begin_time && self.attachment.login.is_idle() {
                let buffers = (arriving.description_end, arriving.unforwarded());
                let Incoming { frame, kind } = &arriving.head;
                let is_service = self.attachment.is_service();
                let cut_through = self.attachment.with_router(|router, from| {
                    router.cut_buffers_through(from, is_service, frame.view(), kind, buffers)
                });
                self.cut_through = cut_through.map(|frame| Box::new(PacedCutThrough::new(frame)));
            }
        }
        let Some(cut_through) = &mut self.cut_through else {
            return false;
        };
        if arriving.arrived() >= cut_through.frame.piece() {
            let bytes = inbox.take_raw();
            cut_through.frame.pass_raw(&bytes);
            buffers::give_back(bytes);
        }
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
        Some(PacedCutThrough::new(cut_through?))
    }

    /// Reads more of the line that is being cut through. Breaks it off if others wait too long for
    /// its end.
    pub(super) async fn read_at_pace<R: AsyncRead + Unpin>(&mut self, inbox: &mut Inbox<R>) {
        let Some(cut_through) = &mut self.cut_through else {
            return;
        };
        let stall = self.hub.routing.limits.stall;
        let limit = self.hub.routing.limits.line_stall;
        let look = (stall / LOOKS).min(limit);
        let to = Arc::clone(cut_through.frame.outbox());
        let is_held_back = to.holds_back(LARGE_READ_BYTES);
        let mut was_paused = false;
        let count = if let Some(pause) = cut_through.pause(to.queued_in_front()) {
            let since = Instant::now();
            let _ = timeout(pause.min(look), to.next_write()).await;
            cut_through.note_pause(since.elapsed());
            was_paused = true;
            0
        } else if is_held_back {
            // The budget of all queues is used up. There may be room once this queue or another one
            // has been written.
            let _pressing = to.press_others();
            let _ = timeout(look, to.next_write()).await;
            0
        } else {
            timeout(look, inbox.read()).await.unwrap_or(0)
        };
        if count > 0 || is_held_back || was_paused {
            cut_through.grown = Instant::now();
        } else if !inbox.has_ended() && cut_through.grown.elapsed() >= limit {
            self.end_line(inbox, LineEnd::Stalled { limit });
            return;
        }
        if cut_through.note_arrived(count, stall, self.hub.routing.pace.per_second) {
            let begin = inbox.handled();
            let rest = self.cut_through.take().and_then(|cut_through| {
                self.attachment
                    .with_router(|router, from| router.break_off_stalled(from, cut_through.frame))
            });
            inbox.throw_line_away();
            self.begin_rest(inbox, rest, begin);
        } else if count > 0 {
            // Otherwise a fast line would be read without a pause while other tasks wait.
            yield_to_events().await;
        }
    }

    /// Ends the line that was cut through.
    pub(super) fn end_cut_through(&self, cut_through: PacedCutThrough, incoming: Incoming) {
        self.attachment.with_router(|router, from| {
            router.end_cut_through(from, cut_through.frame, incoming.frame.view(), &incoming.kind);
        });
        incoming.give_back();
    }

    /// Breaks it off, since the peer has left.
    pub(super) fn leave_cut_through(&mut self) {
        if let Some(cut_through) = self.cut_through.take() {
            self.attachment
                .with_router(|router, _| router.break_off_left(cut_through.frame));
        }
    }
}
