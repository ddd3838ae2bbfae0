//! The raw bytes that follow a line, from a peer with the feature `binary`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;

use bytes::{BufMut, Bytes, BytesMut};
use labwire_wire::buffers::{self as wire_buffers, Buffers, BuffersError, WrongBuffers};
use labwire_wire::{Frame, FrameView, Payload, Salvage};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;

use super::{Inbox, SEARCHED_OF_LONG, in_turn};
use crate::buffers::{self, LARGE_BYTES};
use crate::conversions::Conversions;
use crate::peer::departure::Departure;
use crate::reading::{LARGE_READ_BYTES, LONG_LINE_BYTES, with_scratch};
use crate::router::{Conversion, Incoming, Kind, Unframed, convert};
use crate::work::{BYTES_PER_WORK, FRESH_BYTES_PER_WORK, LARGE_BYTES_PER_WORK};

/// The most bytes that are converted by the thread that has them. It takes less than a millisecond.
const CONVERTED_HERE: usize = 512 * 1024;

/// The longest line that is searched for references before its conversion: a fraction of a
/// millisecond.
const SEARCHED_FOR_REFERENCES: usize = 512 * 1024;

/// The fewest bytes of a reference to a buffer: `{"$buffer":0}`.
const SHORTEST_REFERENCE: usize = 13;

/// The raw bytes that arrive after a line.
#[expect(clippy::large_enum_variant, reason = "it is boxed as a whole")]
pub(in crate::peer) enum RawBytes {
    /// They belong to this message.
    Kept(Arriving),
    /// They are discarded. The number of bytes that are still to arrive.
    Skipped(u64),
}

/// The message whose raw bytes arrive.
pub(in crate::peer) struct Arriving {
    /// The line, without a payload.
    pub(in crate::peer) head: Incoming,
    pub(in crate::peer) description_end: usize,
    /// The bytes that have arrived and are not forwarded.
    memory: BytesMut,
    /// The number of bytes that are still to arrive, with the byte after the last buffer.
    missing: usize,
    /// When the line had arrived.
    pub(in crate::peer) since: Instant,
    /// Whether it was checked whether to cut the message through.
    pub(in crate::peer) was_considered: bool,
}

impl RawBytes {
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Kept(arriving) => arriving.head.frame.view().size() + arriving.memory.len(),
            Self::Skipped(_) => 0,
        }
    }

    pub(super) fn give_back(self) {
        if let Self::Kept(arriving) = self {
            buffers::give_back_mut(arriving.memory);
            arriving.head.give_back();
        }
    }
}

impl Arriving {
    /// Returns the number of bytes that have arrived and are not forwarded.
    pub(in crate::peer) fn arrived(&self) -> usize {
        self.memory.len()
    }

    /// Returns the number of bytes of the buffers that are not forwarded.
    pub(in crate::peer) fn unforwarded(&self) -> usize {
        self.memory.len() + self.missing - wire_buffers::END.len()
    }

    /// Makes room for the next read.
    fn reserve(&mut self, loan: &mut Option<buffers::Loan>) {
        let wanted = self.missing.min(LONG_LINE_BYTES);
        if self.memory.capacity() - self.memory.len() >= wanted {
            return;
        }
        let length = self.memory.len() + self.missing;
        if length <= LONG_LINE_BYTES {
            self.memory.reserve(self.missing);
        } else if self.memory.capacity() < LARGE_BYTES {
            let memory = buffers::large(&self.memory);
            buffers::give_back_mut(std::mem::replace(&mut self.memory, memory));
        } else {
            buffers::grow(&mut self.memory, loan);
        }
    }
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    /// Takes a line that is followed by raw bytes.
    pub(super) fn begin_raw(&mut self, mut head: Incoming) {
        let limit = self.splitter.limit();
        let content = head.frame.content();
        let read = Buffers::read(content).and_then(|buffers| {
            let length = buffers.bytes().saturating_add(content.len());
            if length.saturating_add(wire_buffers::END.len()) <= limit {
                Ok(buffers)
            } else {
                Err(WrongBuffers {
                    error: BuffersError::TooLong { limit },
                    following: Some(following(&buffers)),
                })
            }
        });
        match read {
            Ok(buffers) if matches!(head.kind, Kind::Frame(_) | Kind::Notification(..)) => {
                self.raw = Some(Box::new(RawBytes::Kept(Arriving {
                    description_end: buffers.end(),
                    head,
                    memory: BytesMut::new(),
                    missing: buffers.bytes() + wire_buffers::END.len(),
                    since: Instant::now(),
                    was_considered: false,
                })));
                self.fill_raw();
            }
            // The line is refused for another reason.
            Ok(buffers) => {
                self.front = Some(Box::new(head));
                self.skip_raw(following(&buffers));
            }
            Err(WrongBuffers { error, following }) => {
                let salvage = Salvage::of(&content[..content.len().min(SEARCHED_OF_LONG)]);
                let error = error.into();
                head.kind = Kind::Broken(Box::new(Unframed { error, salvage }));
                self.front = Some(Box::new(head));
                match following {
                    Some(following) => self.skip_raw(following),
                    None => self.end_with(Departure::Refused),
                }
            }
        }
    }

    /// Discards that many of the next bytes.
    fn skip_raw(&mut self, count: u64) {
        self.raw = Some(Box::new(RawBytes::Skipped(count)));
        self.fill_raw();
    }

    /// Discards the raw bytes that will follow the unfinished line, if it announces some.
    pub(super) fn skip_announced(&mut self) {
        let line = self.splitter.buffer();
        if self.is_binary && self.raw.is_none() && Buffers::follow(line) {
            let announced = match Buffers::read(line) {
                Ok(buffers) => Some(following(&buffers)),
                Err(wrong) => wrong.following,
            };
            match announced {
                Some(announced) => self.announced = Some(announced),
                None => self.end_with(Departure::Unsplittable(BuffersError::Description)),
            }
        }
    }

    /// Discards the next raw bytes if an unfinished line that has ended had announced some. Returns
    /// whether it had.
    pub(super) fn begin_announced(&mut self) -> bool {
        let announced = self.announced.take();
        if let Some(following) = announced {
            self.skip_raw(following);
        }
        announced.is_some()
    }

    /// Takes raw bytes that were read together with lines.
    pub(super) fn fill_raw(&mut self) {
        let pending = self.splitter.pending();
        match self.raw.as_deref_mut() {
            Some(RawBytes::Kept(arriving)) => {
                let count = pending.min(arriving.missing);
                if count > 0 {
                    if arriving.memory.is_empty() {
                        arriving.memory = memory_for(count, arriving.missing);
                    }
                    let mut bytes = self.splitter.take_raw(count);
                    arriving.memory.extend_from_slice(&bytes);
                    arriving.missing -= count;
                    bytes.clear();
                    buffers::give_back_mut(bytes);
                }
                if arriving.missing == 0 {
                    self.finish_raw();
                }
            }
            Some(RawBytes::Skipped(left)) => {
                let count = usize::try_from(*left).map_or(pending, |left| left.min(pending));
                *left -= count as u64;
                if count > 0 {
                    buffers::give_back_mut(self.splitter.take_raw(count));
                }
                self.end_skipped();
            }
            None => {}
        }
    }

    /// Goes on with the next line, if all raw bytes that are discarded have arrived.
    pub(super) fn end_skipped(&mut self) {
        if let Some(RawBytes::Skipped(0)) = self.raw.as_deref() {
            self.raw = None;
            self.note_raw_end();
            if self.front.is_none() {
                self.handled = self.front_end;
            }
        }
    }

    /// Notes that the raw bytes of the last line were taken from the splitter, or read.
    fn note_raw_end(&mut self) {
        self.front_end = self.received - self.splitter.pending() as u64;
    }

    /// Puts the message whose raw bytes have arrived in front.
    fn finish_raw(&mut self) {
        let Some(RawBytes::Kept(arriving)) = self.raw.take().map(|raw| *raw) else {
            return;
        };
        self.loan = None;
        self.note_raw_end();
        let mut memory = arriving.memory;
        if !memory.ends_with(wire_buffers::END) {
            self.uid_of_long_line = super::uid_near_start(arriving.head.frame.content());
            return self.end_with(Departure::Unsplittable(BuffersError::End));
        }
        if memory.capacity() / 2 > memory.len() && memory.len() <= LARGE_BYTES {
            // A queue would keep all of the memory, and count the bytes.
            let own = BytesMut::from(&memory[..]);
            buffers::give_back_mut(std::mem::replace(&mut memory, own));
        }
        let payload = Payload::new(memory.freeze(), arriving.description_end);
        let frame = Frame::new(arriving.head.frame.head().clone(), Some(payload));
        let kind = arriving.head.kind;
        self.expects_large = frame.view().size() >= LONG_LINE_BYTES;
        self.front = Some(Box::new(Incoming { frame, kind }));
    }

    /// Reads raw bytes once, no further than their end. Also returns how many bytes are a unit of
    /// work. Cancel safe.
    pub(super) async fn read_raw(&mut self) -> (io::Result<usize>, usize) {
        match self.raw.as_deref_mut() {
            Some(RawBytes::Kept(arriving)) => {
                arriving.reserve(&mut self.loan);
                let limit = arriving.missing.min(LARGE_READ_BYTES);
                let mut memory = (&mut arriving.memory).limit(limit);
                let read = self.reader.read_buf(&mut memory);
                let read = in_turn(&mut self.work, read).await;
                if let Ok(count) = &read {
                    arriving.missing -= count;
                }
                let bytes_per_work = if arriving.memory.len() > LARGE_BYTES {
                    FRESH_BYTES_PER_WORK
                } else {
                    LARGE_BYTES_PER_WORK
                };
                (read, bytes_per_work)
            }
            Some(RawBytes::Skipped(left)) => {
                let reader = &mut self.reader;
                let read = poll_fn(|context| {
                    with_scratch(|scratch| {
                        let size =
                            usize::try_from(*left).map_or(scratch.len(), |left| left.min(scratch.len()));
                        let mut buffer = ReadBuf::new(&mut scratch[..size]);
                        ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
                        Ok(buffer.filled().len()).into()
                    })
                });
                let read = in_turn(&mut self.work, read).await;
                if let Ok(count) = &read {
                    *left -= *count as u64;
                }
                (read, BYTES_PER_WORK)
            }
            None => (Ok(0), BYTES_PER_WORK),
        }
    }

    /// Returns the message whose raw bytes arrive.
    pub(in crate::peer) fn raw_arriving(&mut self) -> Option<&mut Arriving> {
        match self.raw.as_deref_mut() {
            Some(RawBytes::Kept(arriving)) => Some(arriving),
            _ => None,
        }
    }

    /// Returns whether the raw bytes that arrive are discarded.
    pub(in crate::peer) fn skips_raw(&self) -> bool {
        matches!(self.raw.as_deref(), Some(RawBytes::Skipped(_)))
    }

    /// Takes the raw bytes that have arrived and are not forwarded.
    pub(in crate::peer) fn take_raw(&mut self) -> Bytes {
        let Some(RawBytes::Kept(arriving)) = self.raw.as_deref_mut() else {
            return Bytes::new();
        };
        let bytes = std::mem::replace(&mut arriving.memory, buffers::piece()).freeze();
        if self.loan.take().is_none() {
            return bytes;
        }
        // A queue would keep the whole lent buffer.
        let own = Bytes::copy_from_slice(&bytes);
        buffers::give_back(bytes);
        own
    }

    /// Discards the message whose raw bytes arrive, and the rest of them. Returns its line.
    pub(in crate::peer) fn discard_raw(&mut self) -> Option<Incoming> {
        match self.raw.take().map(|raw| *raw) {
            Some(RawBytes::Kept(arriving)) => {
                self.loan = None;
                buffers::free(arriving.memory.freeze());
                self.skip_raw(arriving.missing as u64);
                Some(arriving.head)
            }
            other => {
                self.raw = other.map(Box::new);
                None
            }
        }
    }

    /// Converts the buffers of the first waiting message. If that takes long, it waits for its turn, and
    /// another thread does it.
    pub(in crate::peer) async fn convert(
        &mut self,
        conversion: Conversion,
        limit: usize,
        conversions: &Conversions,
    ) {
        let length = self
            .front()
            .map_or(0, |incoming| converted_length(incoming.frame.view()));
        let is_short = length <= CONVERTED_HERE;
        let _turn = if is_short {
            None
        } else {
            conversions.turn(length).await
        };
        // It is not handled yet.
        let Some(incoming) = self.front.take().map(|front| *front) else {
            return;
        };
        if is_short {
            let converted = convert(incoming, conversion, limit);
            self.work += converted.frame.view().held() / BYTES_PER_WORK;
            self.front = Some(Box::new(converted));
        } else if let Some(incoming) = self
            .on_another_thread(move || convert(incoming, conversion, limit))
            .await
        {
            self.front = Some(Box::new(incoming));
        }
    }
}

/// Returns the most bytes of a message when it is converted.
fn converted_length(frame: FrameView<'_>) -> usize {
    let content = frame.content();
    let Some(payload) = frame.payload() else {
        return 0;
    };
    // Most lines are so short that they cannot have many references.
    let described = payload.len() + payload.description(content).len();
    let references = 1 + content.len() / SHORTEST_REFERENCE;
    let most = described.saturating_mul(references);
    if most <= CONVERTED_HERE {
        most
    } else if content.len() <= SEARCHED_FOR_REFERENCES {
        let buffers = Buffers::read(content);
        buffers.map_or(usize::MAX, |buffers| buffers.converted_length(content))
    } else {
        usize::MAX
    }
}

/// Returns the number of bytes that follow the line, with the byte after the last buffer. A number
/// that is not representable is one that never arrives.
fn following(buffers: &Buffers) -> u64 {
    (buffers.bytes() as u64).saturating_add(wire_buffers::END.len() as u64)
}

/// Returns memory for the first `arrived` of `missing` bytes.
fn memory_for(arrived: usize, missing: usize) -> BytesMut {
    if missing <= LONG_LINE_BYTES || arrived == missing {
        BytesMut::with_capacity(missing)
    } else {
        buffers::large(b"")
    }
}
