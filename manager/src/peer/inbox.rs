//! What a peer sent and what is not routed yet.

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

/// How much is read while a line waits for room elsewhere. Reading on is how the end of the connection is
/// noticed meanwhile; reading all of it would be to queue without a limit.
const READ_AHEAD: usize = 64 * 1024;

/// How much is read at once at least, in bytes: some dozens of short lines.
const SHORTEST_READ: usize = 4 * 1024;

/// From how many bytes on a line is looked at on another thread. Handing it over takes some 50 microseconds, as
/// looking at this many bytes does.
const LARGE_LINE: usize = 512 * 1024;

/// How much of a line that is thrown away is kept to find out whose it is. More is no envelope.
const SKIMMED_BYTES: usize = 64 * 1024;

/// Up to how many bytes without a line end are looked at whether they are a whole frame: that takes a millisecond.
const UNTERMINATED_BYTES: usize = 4 * 1024 * 1024;

/// How much has to have come of a value to be left out.
const LEFT_OUT_BYTES: usize = 4 * 1024;

/// What becomes of the line whose end has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is routed.
    Kept,
    /// It is thrown away, but for what tells whose it is.
    Skimmed,
    /// It is thrown away.
    Skipped,
}

/// In how much of a line that is too long its uid is looked for, in bytes.
const SEARCHED_OF_LONG: usize = 64 * 1024;

fn uid_near_start(line: &[u8]) -> Option<Uid<'static>> {
    let salvage = Salvage::of(&line[..line.len().min(SEARCHED_OF_LONG)]);
    salvage.uids().next().cloned()
}

/// A long line whose end has not come.
pub(super) struct Arriving {
    /// What was seen of it.
    pub(super) envelope: ArrivingEnvelope,
    /// Since when it is known to be long.
    pub(super) since: Instant,
    /// Whether it was asked for its beginning to go on.
    pub(super) was_considered: bool,
    /// Whether parts of it have gone on: what is left of it is no line by itself.
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

/// What a peer sent and what is not routed yet.
pub(super) struct Inbox<R> {
    pub(super) reader: R,
    splitter: LineSplitter,
    /// From how many bytes on a line is looked at while it arrives.
    long: usize,
    /// For the memory of the line that is arriving.
    loan: Option<Loan>,
    /// A long line whose end has not come.
    arriving: Option<Box<Arriving>>,
    /// What becomes of the line whose end has not come.
    fate: Fate,
    /// Whether the last line was large: the next one will be, most likely.
    expects_large: bool,
    /// The first line that waits. What it is was found out once: a large line is not to be looked at again
    /// each time that there might be room for it.
    front: Option<Box<Incoming>>,
    /// The uid of a line that is too long, if it stands near its start.
    uid_of_long_line: Option<Uid<'static>>,
    /// How much is read at once of short lines, in bytes: about as much as is routed in one turn.
    short_read: usize,
    /// How much was done since others had their turn.
    work: usize,
    /// How the stream ended, and when that was seen.
    end: Option<(Departure, Instant)>,
}

impl<R> Drop for Inbox<R> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<R> Inbox<R> {
    /// Gives back the memory of what has come and is not routed: the system may take long to have it back.
    pub(super) fn give_back(&mut self) {
        self.loan = None;
        buffers::give_back_mut(std::mem::take(self.splitter.buffer_mut()));
        if let Some(incoming) = self.front.take() {
            incoming.give_back();
        }
    }
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// The splitter may hold what came together with the identity.
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

    /// Looks whether a whole line waits, and what it is. Cancel safe, unless a large line is broken, or a notification, or
    /// came to the memory of a longer one: then it is lost.
    ///
    /// A long line is looked at while it arrives, when its bytes have just been touched anyway. What of a large one must
    /// be looked at as a whole is looked at on another thread: a gigabyte takes a tenth of a second, which everybody
    /// else would wait.
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
            // It came to memory of a longer one. A queue would copy it while everybody waits, and no other part of that
            // memory is to be kept for as long as this line may have to wait.
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

    /// Does what takes long, while others have their turn. What broke off there ends the connection.
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

    /// The long line whose end has not come, and what there is of it.
    pub(super) fn arriving(&mut self) -> Option<(&[u8], &mut Arriving)> {
        let arriving = self.arriving.as_deref_mut()?;
        Some((self.splitter.buffer(), arriving))
    }

    /// Takes bytes out of the long line whose end has not come. They are behind the first byte of the value that is
    /// arriving, and were looked at.
    pub(super) fn take_out(&mut self, range: Range<usize>) -> Bytes {
        if let Some(arriving) = &mut self.arriving {
            arriving.is_cut = true;
            arriving.envelope.take_out(range.clone());
        }
        let bytes = self.splitter.take_out(range, buffers::piece());
        if self.loan.take().is_none() {
            return bytes;
        }
        // A queue would keep all of what was lent.
        let own = Bytes::copy_from_slice(&bytes);
        buffers::give_back(bytes);
        own
    }

    /// Throws the line away whose end has not come, and what comes of it.
    pub(super) fn throw_line_away(&mut self) {
        self.fate = Fate::Skipped;
        self.arriving = None;
    }

    /// Throws the line away whose end has not come, and what comes of it, but for what tells whose it is; gives what has
    /// come of that. The line without the rest is then the next one that waits.
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

    /// Leaves out what has come of the value that is arriving.
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

    /// Whether it is no use to look at more of the line that is thrown away: it is broken, or its envelope has no end.
    pub(super) fn is_hopeless(&self) -> bool {
        let pending = self.splitter.pending();
        self.arriving.as_ref().is_some_and(|arriving| {
            arriving.envelope.failure().is_some() || pending > SKIMMED_BYTES + LARGE_READ_BYTES
        })
    }

    /// How many bytes have come that are not routed.
    #[inline]
    pub(super) fn held(&self) -> usize {
        let front = self.front.as_ref();
        self.splitter.pending() + front.map_or(0, |incoming| incoming.frame.content().len())
    }

    /// Whether a line has begun to come that no person types.
    pub(super) fn is_amid_line(&self) -> bool {
        let pending = self.splitter.buffer();
        self.fate == Fate::Kept
            && !pending.is_empty()
            && (pending.len() >= LONG_LINE_BYTES || pending.trim_ascii_start().first() == Some(&b'{'))
    }

    /// Takes what has come of the line whose end has not come, if that can be all of it: a whole frame, or what is no
    /// frame and cannot become one.
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

    /// Throws away what has come of such a line; tells whether its end was there.
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

    /// The first of the lines that wait, if it was looked at.
    pub(super) fn front(&self) -> Option<&Incoming> {
        self.front.as_deref()
    }

    /// Takes the first of the lines that wait, if it was looked at.
    pub(super) fn take_front(&mut self) -> Option<Incoming> {
        self.front.take().map(|incoming| *incoming)
    }

    /// The next of the lines that wait, and whether its end has come.
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

    /// Whether nothing more is to be read.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The uid of the line that was too long, if it is known.
    pub(super) fn take_uid_of_long_line(&mut self) -> Uid<'static> {
        self.uid_of_long_line.take().unwrap_or_default()
    }

    /// Why no more lines come.
    pub(super) fn take_departure(&mut self) -> Departure {
        self.end
            .take()
            .map_or(Departure::Closed, |(departure, _)| departure)
    }

    /// Waits until `event`, as for room in another peer's queue, and reads a little ahead meanwhile. Ends early when
    /// this peer is gone and has been waited for long enough. Cancel safe if `event` is.
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

    /// Notes what was done for the peer.
    pub(super) fn note_work(&mut self, work: usize) {
        self.work += work;
    }

    /// Whether so much was done that others have their turn now, after which it is counted anew.
    pub(super) fn turn_is_over(&mut self) -> bool {
        let is_over = self.work >= TURN_WORK;
        if is_over {
            self.work = 0;
        }
        is_over
    }

    /// How many bytes have come behind the first line that waits.
    pub(super) fn unrouted(&self) -> usize {
        self.splitter.pending()
    }

    /// Reads what has arrived, for [`look`](Self::look); tells how many bytes that was. Cancel safe.
    pub(super) async fn read(&mut self) -> usize {
        let is_long = self.arriving.is_some() || has_own_memory(&self.splitter);
        let (read, bytes_per_work) = if self.fate == Fate::Skimmed || !is_long {
            // What is kept of a line that is skimmed is little: it needs no memory for a long line.
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

    /// Reads what has arrived and routes it with what `router` gives, which is asked for that once there is
    /// something, up to a line that must wait, or until others have their turn. Tells whether there may be more. For when no whole line waits;
    /// cancel safe.
    ///
    /// The lines are routed where they were read to: nothing is copied but what goes on to a peer, and the
    /// beginning of a line whose end has not arrived.
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
                // What is read here of a large line is moved later.
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
                    // The beginning of a large line, most likely.
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

    /// Adapts how much is read at once, of which `routed` bytes were routed with so much work. Lines that are read and are
    /// not routed in the same turn are copied, and take twice as long.
    fn adapt_short_read(&mut self, read: usize, routed: usize, work: usize) {
        if work >= TURN_WORK {
            self.short_read = (routed - routed / 16).max(SHORTEST_READ);
        } else if work < TURN_WORK / 2 {
            self.short_read = self.short_read.max(read.saturating_mul(2));
        }
    }

    /// Routes whole lines; gives what is left.
    fn route<'b>(
        &mut self,
        mut bytes: &'b [u8],
        mut router: impl FnMut(FrameView<'_>, &Kind) -> (Step, usize),
    ) -> (Step, &'b [u8]) {
        let mut kind = Kind::default();
        // What is left over is copied, so that a turn does not end in the middle of what comes at once, as a rule.
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
                // It stays where it stands.
                Step::Wait(..) => return (step, bytes),
                _ => return (step, rest),
            }
            left = left.saturating_sub(work);
        }
        (Step::Next, bytes)
    }

    /// Routes the line whose end has just come.
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
