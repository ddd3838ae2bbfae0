//! What a run gave.

use std::fmt;

/// The figures of a run. Nothing was lost, doubled or changed, or there would be none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    /// What the broker used per request, user and system time; unknown unless its process is named.
    pub(crate) cpu_microseconds: Option<f64>,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    pub(crate) max_microseconds: f64,
    /// The most memory that the broker ever had.
    pub(crate) peak_mebibytes: Option<f64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0}/s, p50 {:.1} µs, p99 {:.1} µs, longest {:.1} µs",
            self.per_second, self.p50_microseconds, self.p99_microseconds, self.max_microseconds
        )?;
        if let Some(cpu) = self.cpu_microseconds {
            write!(formatter, ", broker {cpu:.3} µs each")?;
        }
        if let Some(peak) = self.peak_mebibytes {
            write!(formatter, ", at most {peak:.1} MiB")?;
        }
        write!(formatter, "; nothing lost")
    }
}
