//! The end of a frame that is broken off while it arrives.

use std::sync::LazyLock;

use bytes::Bytes;
use labwire_wire::frames;

use super::queue::{Deferred, FrameWriter};
use super::{Outbox, State};

/// Zeros for the buffers of frames that are broken off. The system provides their memory only as far
/// as they are read.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| vec![0; 256 * 1024].into());

/// The bytes in place of those that did not arrive, and the end of a frame that is broken off.
#[derive(Debug)]
struct BrokenOff {
    missing: usize,
}

impl Deferred for BrokenOff {
    fn write(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        let count = self.missing.min(ZEROS.len());
        if count > 0 {
            frame.referenced(&ZEROS.slice(..count));
            self.missing -= count;
            return true;
        }
        frame.copied(frames::BROKEN_OFF);
        false
    }
}

/// Writes the end of a frame that is broken off while `missing` bytes of its buffers are not
/// forwarded. They are composed as the receiver reads, and need no memory.
fn write_broken_off(frame: &mut FrameWriter<'_>, missing: usize) {
    if missing == 0 {
        return frame.copied(frames::BROKEN_OFF);
    }
    frame.deferred(Box::new(BrokenOff { missing }));
}

impl Outbox {
    /// Breaks off the frame that is arriving, if there is one.
    pub(crate) fn break_off_arriving(&self) {
        self.break_off_arriving_in(&mut self.state());
    }

    pub(super) fn break_off_arriving_in(&self, state: &mut State) {
        if let Some(behind) = &state.behind {
            let missing = behind.missing;
            self.end_arriving_in(state, |frame| write_broken_off(frame, missing));
        }
    }
}
