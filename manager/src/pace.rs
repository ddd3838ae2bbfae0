//! The sizes from which lines are cut through, and how fast they must arrive.

use std::time::Duration;

/// The sizes from which lines are cut through, and how fast they must arrive.
///
/// They are the same for every manager. Tests and fuzz targets use some bytes, so that short lines
/// are treated as long ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The size in bytes from which a line is scanned while it arrives.
    pub(crate) long: usize,
    /// The size in bytes from which a line may be cut through.
    pub(crate) begin: usize,
    /// How long that many bytes may take to arrive. A slower line is buffered until its end, so
    /// that its receiver is not blocked by it.
    pub(crate) begin_time: Duration,
    /// The bytes that must arrive in a second while something waits for the end of the line.
    pub(crate) per_second: u64,
    /// The fewest bytes that are forwarded without a copy. They keep the buffer that they were read
    /// into, which is at most about twice as large.
    pub(crate) piece: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            // From here on a line has memory of its own.
            long: crate::reading::LONG_LINE_BYTES,
            begin: 512 * 1024,
            // 32 MiB/s.
            begin_time: Duration::from_millis(16),
            // A quarter of the pace at which it began: not every line continues as it began.
            per_second: 8 * 1024 * 1024,
            piece: 128 * 1024,
        }
    }
}

impl Pace {
    /// Returns sizes for lines of some dozens of bytes.
    #[cfg(any(test, feature = "benchmarks", feature = "fuzzing"))]
    pub(crate) fn in_bytes() -> Self {
        Self {
            long: 16,
            begin: 48,
            per_second: 64,
            piece: 1,
            ..Self::default()
        }
    }
}
