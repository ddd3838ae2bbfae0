//! The options for the limits that a line exceeds.

use std::fmt;

use labwire_wire::MAX_DEPTH;

/// The limit that a line exceeds. Its text is the option that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineLimit {
    /// The limit of a peer that has not authenticated.
    Handshake,
    /// The limit of an identity.
    Identity,
    /// The limit of all lines after the identity.
    Line,
}

impl fmt::Display for LineLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Handshake => "--handshake-line",
            Self::Identity => "--identity-line",
            Self::Line => "--line",
        })
    }
}

/// Returns a hint at the option that allows deeper nesting, if it does.
pub(super) fn nesting_option(limit: usize) -> &'static str {
    if limit < MAX_DEPTH {
        " (see --nesting of labwire start)"
    } else {
        ""
    }
}
