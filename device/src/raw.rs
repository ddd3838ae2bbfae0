//! The buffers that follow a line, while they arrive.

use bytes::BytesMut;
use labwire_wire::buffers::{Buffers, END};
use labwire_wire::frames::BROKEN_OFF;
use labwire_wire::{Line, LineSplitter};

/// The most bytes that are allocated for buffers before they arrive.
const RAW_AT_ONCE: usize = 64 * 1024 * 1024;

/// The buffers that follow a line, as far as they have arrived.
#[derive(Clone, Debug)]
pub(crate) struct RawBytes {
    line: Line,
    pub(crate) memory: BytesMut,
    /// The number of bytes that are still to arrive, with the end after the buffers.
    pub(crate) missing: usize,
    /// Whether the manager broke the frame off.
    is_broken_off: bool,
}

impl RawBytes {
    /// Expects that many bytes of buffers after a line.
    pub(crate) fn after(line: Line, bytes: usize) -> Self {
        let missing = bytes + END.len();
        Self {
            line,
            memory: BytesMut::with_capacity(missing.min(RAW_AT_ONCE)),
            missing,
            is_broken_off: false,
        }
    }

    /// Takes bytes that have arrived.
    pub(crate) fn take(&mut self, splitter: &mut LineSplitter) {
        loop {
            let count = self.missing.min(splitter.pending());
            if count > 0 {
                self.memory.extend_from_slice(&splitter.take_raw(count));
            }
            self.note_read(count);
            if count == 0 || self.missing == 0 {
                return;
            }
        }
    }

    /// Notes that so many bytes were added to the memory.
    pub(crate) fn note_read(&mut self, count: usize) {
        self.missing -= count;
        // The end of the buffers has arrived.
        if self.missing == 0 && !self.is_broken_off && self.memory.ends_with(&BROKEN_OFF[..1]) {
            self.is_broken_off = true;
            self.missing = BROKEN_OFF.len() - 1;
        }
    }

    /// Returns the line with its buffers; `None` if the frame was broken off.
    pub(crate) fn finish(mut self) -> Option<Line> {
        if self.is_broken_off {
            return None;
        }
        self.memory.truncate(self.memory.len() - END.len());
        Some(self.line.with_raw(self.memory.freeze()))
    }
}

/// Returns how many of the bytes are whole frames.
pub(crate) fn whole_frames(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(length) = frame_length(&bytes[whole..]) {
        whole += length;
    }
    whole
}

/// Returns the length of the first frame, if all of it is there.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let line_end = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
    let line = line_end(bytes)? + 1;
    if !Buffers::follow(bytes) {
        return Some(line);
    }
    let raw = line + Buffers::read(&bytes[..line]).ok()?.bytes();
    let end = line_end(bytes.get(raw..)?)?;
    Some(raw + end + 1)
}
