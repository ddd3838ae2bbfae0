//! What a permission or a grant applies to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::names::{NameError, check_name};
use crate::pattern::{Pattern, PatternError};

/// Why a text is neither a pattern nor a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It is not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The name behind `@` is not one of a set.
    #[error("the set behind @: {0}")]
    Set(#[from] NameError),
}

/// A pattern of names, or a set: `DMM*`, or `@bench3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What matches this pattern.
    Pattern(Pattern),
    /// The services of the set of this name.
    Set(Arc<str>),
}

impl Scope {
    /// Returns the scope of everything.
    pub fn everything() -> Self {
        Self::Pattern(Pattern::everything())
    }

    /// Returns whether it is everything.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.is_everything())
    }
}

impl Default for Scope {
    /// Returns the scope of everything.
    fn default() -> Self {
        Self::everything()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => pattern.fmt(formatter),
            Self::Set(name) => write!(formatter, "@{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match text.strip_prefix('@') {
            Some(name) => {
                check_name(name)?;
                Ok(Self::Set(name.into()))
            }
            None => Ok(Self::Pattern(Pattern::new(text)?)),
        }
    }
}
