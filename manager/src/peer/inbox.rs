//! Input of a peer that is not routed yet.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::ready;

use bytes::{Bytes, BytesMut};
use labwire_wire::terminal::without_mark;
use labwire_wire::{ArrivingEnvelope, FrameView, Line, LineSplitter, LineTooLong, LineView, Salvage, Uid};
use memchr::memchr;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::departure::{Departure, FAREWELL};
use crate::buffers::{self, LARGE_BYTES, Loan};
use crate::reading::{
    LARGE_READ_BYTES, LONG_LINE_BYTES, has_own_memory, read_long, read_short, with_scratch,
};
use crate::router::{
    BYTES_PER_WORK, FRESH_BYTES_PER_WORK, Incoming, Kind, LARGE_BYTES_PER_WORK, Step, TURN_WORK, Unframed,
    is_notification,
};

/// The bytes that are read ahead while a line waits for room in a queue. Reading on notices the end
/// of the connection; reading without this limit would queue without a limit.
const READ_AHEAD: usize = 64 * 1024;

/// The smallest read, in bytes: some dozens of short lines.
const SHORTEST_READ: usize = 4 * 1024;

/// The size in bytes from which a line is scanned on another thread. The handover takes some 50
/// microseconds, about as long as scanning this many bytes.
const LARGE_LINE: usize = 512 * 1024;

/// The bytes of a discarded line that are kept to find out which request or reply it is. A longer
/// envelope is not searched.
const SKIMMED_BYTES: usize = 64 * 1024;

/// The most bytes without a line end that are checked for being a whole frame. The check takes a
/// millisecond.
const UNTERMINATED_BYTES: usize = 4 * 1024 * 1024;

/// The fewest bytes of an arriving value that are removed from a skimmed line.
const LEFT_OUT_BYTES: usize = 4 * 1024;

/// The treatment of the unfinished line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Routed.
    Kept,
    /// Discarded, except for its envelope.
    Skimmed,
    /// Discarded.
    Skipped,
}

/// The first bytes of a line over the limit that are searched for its uid.
const SEARCHED_OF_LONG: usize = 64 * 1024;

fn uid_near_start(line: &[u8]) -> Option<Uid<'static>> {
    let salvage = Salvage::of(&line[..line.len().min(SEARCHED_OF_LONG)]);
    salvage.uids().next().cloned()
}

/// A long unfinished line.
pub(super) struct Arriving {
    /// The scan of the bytes so far.
    pub(super) envelope: ArrivingEnvelope,
    /// When the line was found to be long.
    pub(super) since: Instant,
    /// Whether it was checked whether to cut the line through.
    pub(super) was_considered: bool,
    /// Whether parts of it were taken out, so that the rest is not a valid line by itself.
    is_cut: bool,
}

impl Arriving {
    fn new(beginning: &[u8]) -> Box<Self> {
        let mut envelope = ArrivingEnvelope::default();
        envelope.look(beginning);
        Box::new(Self {
            envelope,
            since: Instant::now(),
            was_considered: false,
            is_cut: false,
        })
    }
}

/// Input of a peer that is not routed yet.
pub(super) struct Inbox<R> {
    pub(super) reader: R,
    splitter: LineSplitter,
    /// The size in bytes from which a line is scanned while it arrives.
    long: usize,
    /// The loan of the buffer that the unfinished line is read into.
    loan: Option<Loan>,
    /// The unfinished line, if it is long.
    arriving: Option<Box<Arriving>>,
    /// The treatment of the unfinished line.
    fate: Fate,
    /// Whether the last line was large. Then the next one most likely is, too.
    expects_large: bool,
    /// The first waiting line. It is stored with its scan, so that a large line is not scanned
    /// again at each attempt to route it.
    front: Option<Box<Incoming>>,
    /// The uid of a line over the limit, if it is near the start.
    uid_of_long_line: Option<Uid<'static>>,
    /// The size of a read of short lines, in bytes: about as much as one turn routes.
    short_read: usize,
    /// The work done in this turn.
    work: usize,
    /// The reason of the end of input, and when it was noticed.
    end: Option<(Departure, Instant)>,
}

impl<R> Drop for Inbox<R> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<R> Inbox<R> {
    /// Returns the memory of unrouted input to the pool. Freeing it may take the system long.
    pub(super) fn give_back(&mut self) {
        self.loan = None;
        buffers::give_back_mut(std::mem::take(self.splitter.buffer_mut()));
        if let Some(incoming) = self.front.take() {
            incoming.give_back();
        }
    }
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// Creates an inbox. `splitter` may hold input received together with the identity; `long` is
    /// the size in bytes from which a line is scanned while it arrives.
    pub(super) fn new(reader: R, splitter: LineSplitter, long: usize) -> Self {
        Self {
            reader,
            splitter,
            long,
            loan: None,
            arriving: None,
            fate: Fate::Kept,
            expects_large: false,
            front: None,
            uid_of_long_line: None,
            short_read: usize::MAX,
            work: 0,
            end: None,
        }
    }

    /// Scans the next line, unless that is done. Returns whether a whole line waits.
    ///
    /// A long line is scanned while it arrives, when its bytes are in the cache. A large line that
    /// must be scanned as a whole is scanned on another thread: a gigabyte takes a tenth of a
    /// second.
    ///
    /// Cancel safe, except while it waits for that thread: then the line is lost. This concerns
    /// large lines that are malformed, notifications, or share memory with a longer line.
    pub(super) async fn look(&mut self) -> bool {
        if self.front.is_some() {
            return true;
        }
        if let Some(arriving) = &mut self.arriving {
            let searched = arriving.envelope.look(self.splitter.buffer());
            self.splitter.note_searched(searched);
        }
        match self.fate {
            Fate::Kept => {}
            Fate::Skimmed => self.leave_out_value(),
            Fate::Skipped => {
                if !self.skip_line() {
                    return false;
                }
            }
        }
        let Some((mut line, is_whole)) = self.next_line() else {
            if self.arriving.is_none() && self.splitter.pending() >= self.long {
                self.arriving = Some(Arriving::new(self.splitter.buffer()));
            }
            return false;
        };
        self.fate = Fate::Kept;
        let arriving = self.arriving.take();
        let is_cut = arriving.as_ref().is_some_and(|arriving| arriving.is_cut);
        let is_large = line.content().len() >= LARGE_LINE;
        self.expects_large = is_large || is_cut;
        if is_large && !line.owns_memory() {
            // It shares the buffer of a longer line. A queue would copy it on this thread, and
            // while it waits it would keep the whole buffer.
            match self.on_another_thread(|| line.into_own_memory()).await {
                Some(moved) => line = moved,
                None => return false,
            }
        }
        let envelope = arriving.map(|arriving| arriving.envelope.finish(line.content()));
        let incoming = match envelope {
            Some(Err(error)) if is_cut => {
                let salvage = Salvage::default();
                let kind = Kind::Broken(Box::new(Unframed { error, salvage }));
                Incoming {
                    frame: line.into(),
                    kind,
                }
            }
            Some(Ok(envelope)) if !is_large || !is_notification(line.content(), &envelope) => {
                let kind = Kind::of_frame(line.content(), envelope);
                Incoming {
                    frame: line.into(),
                    kind,
                }
            }
            _ if !is_large => Incoming::of(line, is_whole),
            _ => match self.on_another_thread(move || Incoming::of(line, is_whole)).await {
                Some(incoming) => incoming,
                None => return false,
            },
        };
        self.front = Some(Box::new(incoming));
        true
    }

    /// Runs slow work on another thread, so that other peers do not wait. Returns `None` if it
    /// panicked; then the input has ended.
    async fn on_another_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match spawn_blocking(work).await {
            Ok(done) => Some(done),
            Err(error) => {
                self.end_with(Departure::Failed(io::Error::other(error)));
                None
            }
        }
    }

    /// Returns the unfinished long line: its bytes so far, and their scan.
    pub(super) fn arriving(&mut self) -> Option<(&[u8], &mut Arriving)> {
        let arriving = self.arriving.as_deref_mut()?;
        Some((self.splitter.buffer(), arriving))
    }

    /// Removes bytes from the unfinished long line and returns them. They must be scanned, and come
    /// after the first byte of the arriving value.
    pub(super) fn take_out(&mut self, range: Range<usize>) -> Bytes {
        if let Some(arriving) = &mut self.arriving {
            arriving.is_cut = true;
            arriving.envelope.take_out(range.clone());
        }
        let bytes = self.splitter.take_out(range, buffers::piece());
        if self.loan.take().is_none() {
            return bytes;
        }
        // A queue would keep the whole lent buffer.
        let own = Bytes::copy_from_slice(&bytes);
        buffers::give_back(bytes);
        own
    }

    /// Discards the unfinished line, including the rest of it that is still to arrive.
    pub(super) fn throw_line_away(&mut self) {
        self.fate = Fate::Skipped;
        self.arriving = None;
    }

    /// Discards the unfinished line, including the rest of it, except for its envelope. Returns the
    /// bytes kept so far, and their scan. Once the line has ended, its kept part is the next
    /// waiting line.
    pub(super) fn skim(&mut self) -> (&[u8], &mut Arriving) {
        self.fate = Fate::Skimmed;
        if self.arriving.is_none() {
            self.arriving = Some(Arriving::new(self.splitter.buffer()));
        }
        self.leave_out_value();
        let arriving = self
            .arriving
            .get_or_insert_with(|| Arriving::new(self.splitter.buffer()));
        (self.splitter.buffer(), arriving)
    }

    /// Removes the received part of the arriving value, if it is long enough.
    fn leave_out_value(&mut self) {
        let Some(arriving) = &mut self.arriving else {
            return;
        };
        let Some((start, _)) = arriving.envelope.value(self.splitter.buffer()) else {
            return;
        };
        let range = start + 1..arriving.envelope.checked();
        if range.len() < LEFT_OUT_BYTES {
            return;
        }
        arriving.is_cut = true;
        arriving.envelope.take_out(range.clone());
        self.loan = None;
        buffers::free(self.splitter.take_out(range, BytesMut::new()));
    }

    /// Returns whether the envelope of the skimmed line will not be found: the line is malformed,
    /// or the kept part is too long.
    pub(super) fn is_hopeless(&self) -> bool {
        let pending = self.splitter.pending();
        self.arriving.as_ref().is_some_and(|arriving| {
            arriving.envelope.failure().is_some() || pending > SKIMMED_BYTES + LARGE_READ_BYTES
        })
    }

    /// Returns the number of received bytes that are not routed.
    #[inline]
    pub(super) fn held(&self) -> usize {
        let front = self.front.as_ref();
        self.splitter.pending() + front.map_or(0, |incoming| incoming.frame.view().size())
    }

    /// Returns whether there is an unfinished line that is not typed by a person: a long one, or
    /// one that begins with `{`.
    pub(super) fn is_amid_line(&self) -> bool {
        let pending = self.splitter.buffer();
        self.fate == Fate::Kept
            && !pending.is_empty()
            && (pending.len() >= LONG_LINE_BYTES || pending.trim_ascii_start().first() == Some(&b'{'))
    }

    /// Takes the unfinished line, if only its line end may be missing: it is a whole frame, or it
    /// is not JSON and cannot become a frame.
    pub(super) fn take_unterminated(&mut self) -> Option<Incoming> {
        let pending = self.splitter.pending();
        if self.fate != Fate::Kept || self.front.is_some() || !(1..=UNTERMINATED_BYTES).contains(&pending) {
            return None;
        }
        let bytes = self.splitter.buffer();
        let kind = Kind::of(bytes);
        let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
        let is_whole = matches!(kind, Kind::Frame(_) | Kind::Notification(..)) || !is_object;
        if !is_whole {
            return None;
        }
        self.arriving = None;
        self.loan = None;
        let mut line = BytesMut::with_capacity(pending + 1);
        line.extend_from_slice(bytes);
        line.extend_from_slice(b"\n");
        buffers::free(self.splitter.take_out(0..pending, BytesMut::new()));
        Some(Incoming::of(Line::new(line.freeze()), true))
    }

    /// Discards the received part of a skipped line. Returns whether its end was in it.
    fn skip_line(&mut self) -> bool {
        if let Some((line, _)) = self.next_line() {
            self.fate = Fate::Kept;
            buffers::free(line.into_bytes());
        } else if self.end.is_none() {
            let pending = self.splitter.pending();
            self.loan = None;
            buffers::free(self.splitter.take_out(0..pending, BytesMut::new()));
        }
        self.fate == Fate::Kept
    }

    /// Returns the first waiting line, if it is scanned.
    pub(super) fn front(&self) -> Option<&Incoming> {
        self.front.as_deref()
    }

    /// Takes the first waiting line, if it is scanned.
    pub(super) fn take_front(&mut self) -> Option<Incoming> {
        self.front.take().map(|incoming| *incoming)
    }

    /// Takes the next waiting line from the splitter. Also returns whether it has its line end: at
    /// the end of input, the last line may lack it.
    fn next_line(&mut self) -> Option<(Line, bool)> {
        if matches!(self.end, Some((Departure::TooLong(_), _))) {
            return None;
        }
        match self.splitter.next_line_with(buffers::behind_large) {
            Ok(Some(line)) => {
                self.loan = None;
                Some((line, true))
            }
            Ok(None) if matches!(self.end, Some((Departure::Closed, _))) => {
                self.loan = None;
                self.splitter.finish().map(|line| (line, false))
            }
            Ok(None) => None,
            Err(error) => {
                self.uid_of_long_line = uid_near_start(self.splitter.buffer());
                self.end_with(Departure::TooLong(error));
                None
            }
        }
    }

    fn end_with(&mut self, departure: Departure) {
        self.end = Some((departure, Instant::now()));
    }

    /// Returns whether the input has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Takes the uid of the line over the limit; the empty one if it is not known.
    pub(super) fn take_uid_of_long_line(&mut self) -> Uid<'static> {
        self.uid_of_long_line.take().unwrap_or_default()
    }

    /// Takes the reason of the end of input.
    pub(super) fn take_departure(&mut self) -> Departure {
        self.end
            .take()
            .map_or(Departure::Closed, |(departure, _)| departure)
    }

    /// Waits for `event`, for example for room in another peer's queue, and reads up to
    /// [`READ_AHEAD`] bytes meanwhile.
    ///
    /// Cancel safe if `event` is.
    ///
    /// # Errors
    /// If the input has ended, and [`FAREWELL`] has passed since.
    pub(super) async fn wait(&mut self, event: impl Future<Output = ()>) -> Result<(), Departure> {
        tokio::pin!(event);
        loop {
            if let Some((_, since)) = &self.end {
                return timeout_at(*since + FAREWELL, event)
                    .await
                    .map_err(|_| Departure::Closed);
            }
            if self.splitter.pending() >= READ_AHEAD {
                event.await;
                return Ok(());
            }
            tokio::select! {
                () = &mut event => return Ok(()),
                _ = self.read() => {}
            }
        }
    }

    /// Adds work to this turn.
    pub(super) fn note_work(&mut self, work: usize) {
        self.work += work;
    }

    /// Returns whether the turn has used up its work. If so, a new turn begins.
    pub(super) fn turn_is_over(&mut self) -> bool {
        let is_over = self.work >= TURN_WORK;
        if is_over {
            self.work = 0;
        }
        is_over
    }

    /// Returns the number of received bytes after the first waiting line.
    pub(super) fn unrouted(&self) -> usize {
        self.splitter.pending()
    }

    /// Reads once, for [`look`](Self::look). Returns the number of bytes; 0 if the input has ended.
    /// Cancel safe.
    pub(super) async fn read(&mut self) -> usize {
        let is_long = self.arriving.is_some() || has_own_memory(&self.splitter);
        let (read, bytes_per_work) = if self.fate == Fate::Skimmed || !is_long {
            // Little is kept of a skimmed line, so it needs no buffer for a long line.
            let read = read_short(&mut self.reader, &mut self.splitter).await;
            (read, BYTES_PER_WORK)
        } else {
            let read = read_long(&mut self.reader, &mut self.splitter, &mut self.loan).await;
            let is_fresh = self.splitter.pending() > LARGE_BYTES;
            let bytes_per_work = if is_fresh {
                FRESH_BYTES_PER_WORK
            } else {
                LARGE_BYTES_PER_WORK
            };
            (read, bytes_per_work)
        };
        let departure = match read {
            Ok(0) => Departure::Closed,
            Ok(count) => {
                self.work += count / bytes_per_work;
                return count;
            }
            Err(error) => Departure::Failed(error),
        };
        self.end_with(departure);
        0
    }

    /// Reads once and routes the lines, up to a line that must wait or the end of the turn.
    /// `router` is called once something was read. Returns the next step, and whether there may be
    /// more input. Call it only while no whole line waits. Cancel safe.
    ///
    /// The lines are routed from the scratch buffer. Only the frames for peers and the beginning of
    /// an unfinished line are copied.
    pub(super) async fn read_and_route<F>(&mut self, mut router: impl FnMut() -> F) -> (Step, bool)
    where
        F: FnMut(FrameView<'_>, &Kind) -> (Step, usize),
    {
        if self.arriving.is_some() || self.fate != Fate::Kept || has_own_memory(&self.splitter) {
            let may_have_more = self.read().await == LARGE_READ_BYTES;
            return (Step::Next, may_have_more);
        }
        std::future::poll_fn(|context| {
            with_scratch(|scratch| {
                // The part of a large line that is read here must be copied later.
                let size = if self.expects_large {
                    LONG_LINE_BYTES
                } else {
                    self.short_read.min(scratch.len())
                };
                let mut buffer = ReadBuf::new(&mut scratch[..size]);
                if let Err(error) = ready!(Pin::new(&mut self.reader).poll_read(context, &mut buffer)) {
                    self.end_with(Departure::Failed(error));
                    return (Step::Next, false).into();
                }
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    self.end_with(Departure::Closed);
                    return (Step::Next, false).into();
                }
                self.work += bytes.len() / BYTES_PER_WORK;
                let before = self.work;
                let (step, rest) = self.route(bytes, router());
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
            let view = LineView::new(without_mark(line));
            kind.look(view.content());
            let (step, work) = router(FrameView::from(view), &kind);
            self.work += work;
            self.expects_large = false;
            match step {
                Step::Next => bytes = rest,
                // The line stays in front of the rest.
                Step::Wait(..) => return (step, bytes),
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
        if matches!(step, Step::Wait(..)) {
            self.front = Some(Box::new(incoming));
        }
        (step, work)
    }
}

#[cfg(test)]
mod tests;
