//! From which sizes on a line goes on before its end has come, and how fast it must come.

use std::time::Duration;

/// From which sizes on a line goes on before its end has come, and how fast it must come.
///
/// It is the same for every manager; tests and fuzz targets have it in bytes, so that short lines do what long ones do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From how many bytes on a line is looked at while it arrives.
    pub(crate) long: usize,
    /// From how many bytes on a line may go on before its end has come.
    pub(crate) begin: usize,
    /// How long that many may take to arrive. A line that comes more slowly is collected, so that nobody has to wait
    /// for its end.
    pub(crate) begin_time: Duration,
    /// How many bytes have to come in a second while something waits for the end of the line.
    pub(crate) per_second: u64,
    /// How many bytes go on at once, without being copied. They keep the memory that they were read to, which is hardly
    /// more than twice as much.
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
            // A quarter of what it began with: not every line goes on as it began.
            per_second: 8 * 1024 * 1024,
            piece: 128 * 1024,
        }
    }
}

impl Pace {
    /// For lines of some dozens of bytes.
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
