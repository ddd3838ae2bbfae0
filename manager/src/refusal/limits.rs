//! The options of limits that a line goes beyond.

use std::fmt;

use labwire_wire::MAX_DEPTH;

/// Which limit a line is too long for. Its text is the option that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineLimit {
    /// That of a peer that has not authenticated.
    Handshake,
    /// That of an identity.
    Identity,
    /// That of all lines after the identity.
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

/// The option that allows deeper nesting, where one does.
pub(super) fn nesting_option(limit: usize) -> &'static str {
    if limit < MAX_DEPTH {
        " (see --nesting of labwire start)"
    } else {
        ""
    }
}
