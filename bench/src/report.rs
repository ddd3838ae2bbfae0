//! The results of the workloads.

use std::fmt;

/// The figures of a run without lost, duplicated or changed replies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    /// CPU time of the broker per request, user and system; `None` unless its process is known.
    pub(crate) cpu_microseconds: Option<f64>,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    pub(crate) max_microseconds: f64,
    /// Peak memory of the broker.
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

/// The figures of a run without missed, duplicated or reordered notifications.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    pub(crate) per_second: f64,
    /// CPU time of the broker per delivery.
    pub(crate) cpu_microseconds: Option<f64>,
}

impl fmt::Display for Deliveries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.0} deliveries/s", self.per_second)?;
        if let Some(cpu) = self.cpu_microseconds {
            write!(formatter, ", broker {cpu:.3} µs each")?;
        }
        write!(formatter, "; each in turn, none missed")
    }
}

/// The figures of a large call, and of the small ones beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// Each MiB counts once for both directions.
    pub(crate) mebibytes_per_second: f64,
    /// CPU time of the broker per MiB in both directions, small calls included.
    pub(crate) cpu_milliseconds: Option<f64>,
    pub(crate) peak_mebibytes: Option<f64>,
    pub(crate) small_p50_milliseconds: f64,
    pub(crate) small_p99_milliseconds: f64,
    pub(crate) small_max_milliseconds: f64,
}

impl fmt::Display for Transfer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.0} MiB/s", self.mebibytes_per_second)?;
        if let Some(cpu) = self.cpu_milliseconds {
            write!(formatter, ", broker {cpu:.2} ms/MiB")?;
        }
        if let Some(peak) = self.peak_mebibytes {
            write!(formatter, ", at most {peak:.1} MiB")?;
        }
        write!(
            formatter,
            "; small calls beside it: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms; nothing lost",
            self.small_p50_milliseconds, self.small_p99_milliseconds, self.small_max_milliseconds
        )
    }
}

/// The cost of many clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admissions {
    pub(crate) per_second: f64,
    /// Growth of the broker's memory per client.
    pub(crate) kibibytes_each: Option<f64>,
}

impl fmt::Display for Admissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0} clients/s connected, identified and linked",
            self.per_second
        )?;
        if let Some(memory) = self.kibibytes_each {
            write!(formatter, ", {memory:.1} KiB each")?;
        }
        Ok(())
    }
}
