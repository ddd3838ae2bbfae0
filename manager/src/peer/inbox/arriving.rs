//! The unfinished line of an inbox. A long one is scanned while it arrives; of a discarded one, only
//! what identifies it is kept.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use labwire_wire::buffers::Buffers;
use labwire_wire::{ArrivingEnvelope, Line};
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::Inbox;
use crate::buffers;
use crate::reading::{LARGE_READ_BYTES, LONG_LINE_BYTES};
use crate::router::{Incoming, Kind};

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
pub(super) enum Fate {
    /// Routed.
    Kept,
    /// Discarded, except for its envelope.
    Skimmed,
    /// Discarded.
    Skipped,
}

/// A long unfinished line.
pub(in crate::peer) struct Arriving {
    /// The scan of the bytes so far.
    pub(in crate::peer) envelope: ArrivingEnvelope,
    /// When the line was found to be long.
    pub(in crate::peer) since: Instant,
    /// Whether it was checked whether to cut the line through.
    pub(in crate::peer) was_considered: bool,
    /// Whether parts of it were taken out, so that the rest is not a valid line by itself.
    pub(super) is_cut: bool,
}

impl Arriving {
    pub(super) fn new(beginning: &[u8]) -> Box<Self> {
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

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// Returns the unfinished long line: its bytes so far, and their scan.
    pub(in crate::peer) fn arriving(&mut self) -> Option<(&[u8], &mut Arriving)> {
        let arriving = self.arriving.as_deref_mut()?;
        Some((self.splitter.buffer(), arriving))
    }

    /// Removes bytes from the unfinished long line and returns them. They must be scanned, and come
    /// after the first byte of the arriving value.
    pub(in crate::peer) fn take_out(&mut self, range: Range<usize>) -> Bytes {
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
    pub(in crate::peer) fn throw_line_away(&mut self) {
        if let Some(head) = self.discard_raw() {
            head.free();
            return;
        }
        if self.skips_raw() {
            // Its raw bytes are being discarded already, and the next line is another message.
            return;
        }
        self.skip_announced();
        self.fate = Fate::Skipped;
        self.arriving = None;
    }

    /// Discards the unfinished line, including the rest of it, except for its envelope. Returns the
    /// bytes kept so far, and their scan. Once the line has ended, its kept part is the next
    /// waiting line.
    pub(in crate::peer) fn skim(&mut self) -> (&[u8], &mut Arriving) {
        self.skip_announced();
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
    pub(super) fn leave_out_value(&mut self) {
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
    pub(in crate::peer) fn is_hopeless(&self) -> bool {
        let pending = self.splitter.pending();
        self.arriving.as_ref().is_some_and(|arriving| {
            arriving.envelope.failure().is_some() || pending > SKIMMED_BYTES + LARGE_READ_BYTES
        })
    }

    /// Returns whether there is an unfinished line that is not typed by a person: a long one, or
    /// one that begins with `{`. Raw bytes that are discarded are none: nobody waits for them.
    pub(in crate::peer) fn is_amid_line(&self) -> bool {
        let pending = self.splitter.buffer();
        self.raw.is_some() && !self.skips_raw()
            || self.fate == Fate::Kept
                && !pending.is_empty()
                && (pending.len() >= LONG_LINE_BYTES || pending.trim_ascii_start().first() == Some(&b'{'))
    }

    /// Takes the unfinished line, if only its line end may be missing: it is a whole frame, or it
    /// is not JSON and cannot become a frame.
    pub(in crate::peer) fn take_unterminated(&mut self) -> Option<Incoming> {
        let pending = self.splitter.pending();
        if self.fate != Fate::Kept || self.front.is_some() || !(1..=UNTERMINATED_BYTES).contains(&pending) {
            return None;
        }
        let bytes = self.splitter.buffer();
        if self.is_binary && Buffers::follow(bytes) {
            return None;
        }
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
    pub(super) fn skip_line(&mut self) -> bool {
        if let Some((line, _)) = self.next_line() {
            self.fate = Fate::Kept;
            if self.announced.is_none() {
                self.handled = self.front_end;
            }
            buffers::free(line.into_bytes());
        } else if self.end.is_none() {
            let pending = self.splitter.pending();
            self.loan = None;
            buffers::free(self.splitter.take_out(0..pending, BytesMut::new()));
        }
        self.fate == Fate::Kept
    }
}
