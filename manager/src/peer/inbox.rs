//! Input of a peer that is not routed yet.

mod arriving;
mod raw;
#[cfg(test)]
mod tests;
mod turn;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;

use labwire_wire::buffers::Buffers;
use labwire_wire::{Line, LineSplitter, Salvage, Uid};
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use self::arriving::{Arriving, Fate};
use self::raw::RawBytes;
use super::departure::{Departure, FAREWELL};
use crate::buffers::{self, LARGE_BYTES, Loan};
use crate::reading::{has_own_memory, read_long, read_short};
use crate::router::{Incoming, Kind, Unframed, is_notification};
use crate::work::{BYTES_PER_WORK, FRESH_BYTES_PER_WORK, LARGE_BYTES_PER_WORK};

/// The bytes that are read ahead while a line waits for room in a queue. Reading on notices the end
/// of the connection; reading without this limit would queue without a limit.
const READ_AHEAD: usize = 64 * 1024;

/// The size in bytes from which a line is scanned on another thread. The handover takes some 50
/// microseconds, about as long as scanning this many bytes.
const LARGE_LINE: usize = 512 * 1024;

/// The first bytes of a line over the limit that are searched for its uid.
const SEARCHED_OF_LONG: usize = 64 * 1024;

/// Reads, and begins a new turn if that must wait, since other tasks run meanwhile. `work` is the
/// work of the turn. Cancel safe if `read` is.
async fn in_turn<T>(work: &mut usize, read: impl Future<Output = T>) -> T {
    let mut read = pin!(read);
    poll_fn(|context| {
        let polled = read.as_mut().poll(context);
        if polled.is_pending() {
            *work = 0;
        }
        polled
    })
    .await
}

fn uid_near_start(line: &[u8]) -> Option<Uid<'static>> {
    let salvage = Salvage::of(&line[..line.len().min(SEARCHED_OF_LONG)]);
    salvage.uids().next().cloned()
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
    /// Whether the peer has the feature `binary`.
    is_binary: bool,
    /// The raw bytes that arrive after a line, if it announces some.
    raw: Option<Box<RawBytes>>,
    /// The number of raw bytes after the unfinished line, if it is discarded.
    announced: Option<u64>,
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
    /// Whether the last line counts only with its line end: the peer has a session, and sends it
    /// again.
    needs_line_ends: bool,
    /// The number of bytes received after the identity.
    received: u64,
    /// The position after the front line and its raw bytes, or after the last line that was taken from
    /// the splitter.
    front_end: u64,
    /// The position after the last line that was handled.
    handled: u64,
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
        if let Some(raw) = self.raw.take() {
            raw.give_back();
        }
        if let Some(incoming) = self.front.take() {
            incoming.give_back();
        }
    }
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// Creates an inbox. `splitter` may hold input received together with the identity; `long` is
    /// the size in bytes from which a line is scanned while it arrives; `is_binary` is whether the
    /// peer has the feature `binary`. With `needs_line_ends`, the last line counts only with its line
    /// end.
    pub(super) fn new(
        reader: R,
        splitter: LineSplitter,
        long: usize,
        (is_binary, needs_line_ends): (bool, bool),
    ) -> Self {
        Self {
            reader,
            received: splitter.pending() as u64,
            splitter,
            long,
            loan: None,
            arriving: None,
            fate: Fate::Kept,
            is_binary,
            raw: None,
            announced: None,
            expects_large: false,
            front: None,
            uid_of_long_line: None,
            short_read: usize::MAX,
            work: 0,
            end: None,
            needs_line_ends,
            front_end: 0,
            handled: 0,
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
        if self.raw.is_some() {
            self.fill_raw();
            if self.raw.is_some() || self.front.is_some() {
                return self.front.is_some();
            }
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
                if self.begin_announced() && self.raw.is_some() {
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
        if self.is_binary && self.announced.is_none() && Buffers::follow(incoming.frame.content()) {
            self.begin_raw(incoming);
            return self.front.is_some();
        }
        self.front = Some(Box::new(incoming));
        self.begin_announced();
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

    /// Returns the number of received bytes that are not routed.
    #[inline]
    pub(super) fn held(&self) -> usize {
        let front = self.front.as_ref();
        let raw = self.raw.as_ref();
        self.splitter.pending()
            + front.map_or(0, |incoming| incoming.frame.view().held())
            + raw.map_or(0, |raw| raw.held())
    }

    /// Returns the first waiting line, if it is scanned.
    pub(super) fn front(&self) -> Option<&Incoming> {
        self.front.as_deref()
    }

    /// Takes the first waiting line, if it is scanned.
    pub(super) fn take_front(&mut self) -> Option<Incoming> {
        let front = self.front.take()?;
        // Otherwise it is handled once the raw bytes after it are discarded.
        if self.raw.is_none() {
            self.handled = self.front_end;
        }
        Some(*front)
    }

    /// Returns the position after the last line that was handled, counted from the end of the
    /// identity.
    pub(super) fn handled(&self) -> u64 {
        self.handled
    }

    /// Takes the next waiting line from the splitter. Also returns whether it has its line end: at
    /// the end of input, the last line may lack it.
    fn next_line(&mut self) -> Option<(Line, bool)> {
        if self
            .end
            .as_ref()
            .is_some_and(|(departure, _)| departure.is_unsplittable())
        {
            // What has arrived behind it may be raw bytes, which must not be executed.
            return None;
        }
        match self.splitter.next_line_with(buffers::behind_large) {
            Ok(Some(line)) => {
                self.loan = None;
                self.front_end = self.received - self.splitter.pending() as u64;
                Some((line, true))
            }
            Ok(None) if matches!(self.end, Some((Departure::Closed, _))) && !self.needs_line_ends => {
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

    /// Returns the number of received bytes after the first waiting line.
    pub(super) fn unrouted(&self) -> usize {
        self.splitter.pending()
    }

    /// Reads once, for [`look`](Self::look). Returns the number of bytes; 0 if the input has ended.
    /// Cancel safe.
    pub(super) async fn read(&mut self) -> usize {
        let is_long = self.arriving.is_some() || has_own_memory(&self.splitter);
        let (read, bytes_per_work) = if self.raw.is_some() {
            self.read_raw().await
        } else if self.fate == Fate::Skimmed || !is_long {
            // Little is kept of a skimmed line, so it needs no buffer for a long line.
            let read = read_short(&mut self.reader, &mut self.splitter);
            let read = in_turn(&mut self.work, read).await;
            (read, BYTES_PER_WORK)
        } else {
            let read = read_long(&mut self.reader, &mut self.splitter, &mut self.loan);
            let read = in_turn(&mut self.work, read).await;
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
                self.received += count as u64;
                self.end_skipped();
                self.work += count / bytes_per_work;
                return count;
            }
            Err(error) => Departure::Failed(error),
        };
        self.end_with(departure);
        0
    }
}
