//! Whether a request that failed may have been executed.

use std::fmt;

/// Whether a request that failed may have been executed: the member `executed` of an error that the manager
/// itself makes.
///
/// ```
/// use labwire_wire::Executed;
///
/// assert_eq!(Executed::from_name("maybe"), Some(Executed::Maybe));
/// assert_eq!(Executed::No.to_string(), "no");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It reached nobody who could execute it: sending it again does no harm.
    No,
    /// Somebody had got it, and nobody knows how far that came.
    Maybe,
}

impl Executed {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
        }
    }

    /// What the word on the wire means; `None` when it means nothing.
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
