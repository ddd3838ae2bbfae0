//! The turn of a peer: lines are read into the scratch buffer and routed from there, until the work
//! of the turn is used up.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use labwire_wire::buffers::Buffers;
use labwire_wire::terminal::without_mark;
use labwire_wire::{FrameView, LineTooLong, LineView};
use memchr::memchr;
use tokio::io::{AsyncRead, ReadBuf};

use super::arriving::Fate;
use super::{Inbox, uid_near_start};
use crate::buffers;
use crate::peer::departure::Departure;
use crate::reading::{LARGE_READ_BYTES, LONG_LINE_BYTES, has_own_memory, with_scratch};
use crate::router::{Incoming, Kind, Step};
use crate::work::{BYTES_PER_WORK, TURN_WORK};

/// The smallest read, in bytes: some dozens of short lines.
const SHORTEST_READ: usize = 4 * 1024;

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// Adds work to this turn.
    pub(in crate::peer) fn note_work(&mut self, work: usize) {
        self.work += work;
    }

    /// Returns whether the turn has used up its work.
    pub(in crate::peer) fn turn_is_over(&self) -> bool {
        self.work >= TURN_WORK
    }

    /// Begins a new turn. Call it whenever other tasks may have run: a peer that waits for its next
    /// bytes after each read would otherwise wait once more every few reads.
    pub(in crate::peer) fn begin_turn(&mut self) {
        self.work = 0;
    }

    /// Reads once and routes the lines, up to a line that must wait or the end of the turn.
    /// `router` is called once something was read. Returns the next step, and whether there may be
    /// more input. Call it only while no whole line waits. Cancel safe.
    ///
    /// The lines are routed from the scratch buffer. Only the frames for peers and the beginning of
    /// an unfinished line are copied.
    pub(in crate::peer) async fn read_and_route<F>(&mut self, mut router: impl FnMut() -> F) -> (Step, bool)
    where
        F: FnMut(FrameView<'_>, &Kind) -> (Step, usize),
    {
        if self.arriving.is_some()
            || self.raw.is_some()
            || self.fate != Fate::Kept
            || has_own_memory(&self.splitter)
        {
            let may_have_more = self.read().await == LARGE_READ_BYTES;
            return (Step::Next, may_have_more);
        }
        poll_fn(|context| {
            with_scratch(|scratch| {
                // The part of a large line that is read here must be copied later.
                let size = if self.expects_large {
                    LONG_LINE_BYTES
                } else {
                    self.short_read.min(scratch.len())
                };
                let mut buffer = ReadBuf::new(&mut scratch[..size]);
                match Pin::new(&mut self.reader).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        self.end_with(Departure::Failed(error));
                        return (Step::Next, false).into();
                    }
                    Poll::Pending => {
                        // Other tasks run before it goes on.
                        self.begin_turn();
                        return Poll::Pending;
                    }
                }
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    self.end_with(Departure::Closed);
                    return (Step::Next, false).into();
                }
                self.received += bytes.len() as u64;
                self.work += bytes.len() / BYTES_PER_WORK;
                let before = self.work;
                let (step, rest) = self.route(bytes, router());
                let unrouted = rest.len() + self.splitter.pending();
                let routed_to = self.received - unrouted as u64;
                if self.front.is_some() {
                    self.front_end = routed_to;
                } else {
                    self.handled = routed_to;
                }
                if matches!(step, Step::Next) {
                    self.adapt_short_read(size, bytes.len() - rest.len(), self.work - before);
                }
                if rest.len() == size && self.splitter.pending() == 0 {
                    // Most likely the beginning of a large line.
                    *self.splitter.buffer_mut() = buffers::large(rest);
                } else {
                    self.splitter.extend(rest);
                }
                let may_have_more = bytes.len() == size || memchr(b'\n', rest).is_some();
                (step, may_have_more).into()
            })
        })
        .await
    }

    /// Adapts the size of the next read. In this one, of `read` bytes, `routed` bytes were routed
    /// with that much work. Lines that are not routed in the turn in which they were read are
    /// copied, and take twice as long.
    fn adapt_short_read(&mut self, read: usize, routed: usize, work: usize) {
        if work >= TURN_WORK {
            self.short_read = (routed - routed / 16).max(SHORTEST_READ);
        } else if work < TURN_WORK / 2 {
            self.short_read = self.short_read.max(read.saturating_mul(2));
        }
    }

    /// Routes the whole lines in `bytes`. Returns the next step and the unrouted rest.
    fn route<'b>(
        &mut self,
        mut bytes: &'b [u8],
        mut router: impl FnMut(FrameView<'_>, &Kind) -> (Step, usize),
    ) -> (Step, &'b [u8]) {
        let mut kind = Kind::default();
        // The work left in this turn. It begins anew here, since an unrouted rest must be copied.
        let mut left = TURN_WORK;
        if self.splitter.pending() > 0 {
            let Some(offset) = memchr(b'\n', bytes) else {
                return (Step::Next, bytes);
            };
            let (line, rest) = bytes.split_at(offset + 1);
            bytes = rest;
            self.splitter.extend(line);
            if self.is_binary && Buffers::follow(self.splitter.buffer()) {
                return (Step::Next, bytes);
            }
            let (step, work) = self.route_completed(&mut router);
            self.work += work;
            if self.end.is_some() {
                return (step, b"");
            }
            self.expects_large = false;
            if !matches!(step, Step::Next) {
                return (step, bytes);
            }
            left = left.saturating_sub(work);
        }
        let limit = self.splitter.limit();
        while left > 0 {
            let Some(offset) = memchr(b'\n', bytes) else {
                break;
            };
            let (line, rest) = bytes.split_at(offset + 1);
            if line.len() > limit {
                self.uid_of_long_line = uid_near_start(line);
                self.end_with(Departure::TooLong(LineTooLong { limit }));
                return (Step::Next, b"");
            }
            if self.is_binary && Buffers::follow(line) {
                // Raw bytes follow.
                break;
            }
            let view = LineView::new(without_mark(line));
            kind.look(view.content());
            let (step, work) = router(FrameView::from(view), &kind);
            self.work += work;
            self.expects_large = false;
            match step {
                Step::Next => bytes = rest,
                // The line stays in front of the rest.
                Step::Wait(..) | Step::Decide => return (step, bytes),
                _ => return (step, rest),
            }
            left = left.saturating_sub(work);
        }
        (Step::Next, bytes)
    }

    /// Routes the line whose end has just arrived.
    fn route_completed(
        &mut self,
        router: &mut impl FnMut(FrameView<'_>, &Kind) -> (Step, usize),
    ) -> (Step, usize) {
        let Some((line, is_whole)) = self.next_line() else {
            return (Step::Next, 0);
        };
        let incoming = Incoming::of(line, is_whole);
        let (step, work) = router(incoming.frame.view(), &incoming.kind);
        if matches!(step, Step::Wait(..) | Step::Decide) {
            self.front = Some(Box::new(incoming));
        }
        (step, work)
    }
}
