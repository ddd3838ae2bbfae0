//! Whether a request that failed may have been executed.

use std::fmt;

/// Whether a request that failed may have been executed: the member `executed` of an error that
/// originates in the manager.
///
/// ```
/// use labwire_wire::Executed;
///
/// assert_eq!(Executed::from_name("maybe"), Some(Executed::Maybe));
/// assert_eq!(Executed::No.to_string(), "no");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// The request reached no service: sending it again is safe.
    No,
    /// The request was passed on; whether it was executed is unknown.
    Maybe,
}

impl Executed {
    /// Returns the value on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
        }
    }

    /// Parses the value on the wire. Returns `None` if it is unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "no" => Some(Self::No),
            "maybe" => Some(Self::Maybe),
            _ => None,
        }
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
