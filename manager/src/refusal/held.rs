//! The holder of a service's lock, for refusals.

use std::fmt;

use jiff::Timestamp;
use labwire_home::local_time_zone;

/// The holder of a service's lock, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldLock {
    /// The client that has held its lock longest.
    pub(crate) holder: String,
    pub(crate) since: Timestamp,
    /// The number of other clients that hold one.
    pub(crate) others: usize,
}

impl fmt::Display for HeldLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.to_zoned(local_time_zone());
        write!(
            formatter,
            "by {} since {}",
            self.holder,
            since.strftime("%Y-%m-%dT%H:%M:%S%:z")
        )?;
        match self.others {
            0 => Ok(()),
            1 => formatter.write_str(" and by another client"),
            others => write!(formatter, " and by {others} other clients"),
        }
    }
}
