//! Refusals of requests for the record.

use jiff::Timestamp;
use labwire_record::LONGEST_PATTERN;
use labwire_wire::quoted;

/// Why the manager does not answer a request for the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HistoryRefusal {
    /// Nothing is recorded.
    #[error("RuntimeError: this manager keeps no record (see --record of labwire start)")]
    NoRecord,
    /// A name that no entry has.
    #[error("ValueError: {} is no {what} of entries, use {names}", quoted(name))]
    Name {
        /// `kind` or `outcome`.
        what: &'static str,
        name: String,
        names: String,
    },
    /// A text that is no time.
    #[error(
        "ValueError: {} is no time, use for example 2h, 3d, 2026-11-29 or 2026-11-29T15:04:05",
        quoted(.0)
    )]
    Time(String),
    /// A name to search for that is too long.
    #[error("ValueError: {name} has {bytes} bytes, it may have {LONGEST_PATTERN}")]
    TooLong { name: &'static str, bytes: usize },
    /// No time is between these.
    #[error("ValueError: since {since} is not before until {until}, so there are no entries")]
    Reversed { since: Timestamp, until: Timestamp },
    /// The file cannot be read. The text holds no path.
    #[error("OperationalError: the record cannot be read: {0}")]
    Unreadable(String),
}
