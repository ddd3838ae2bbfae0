//! What a permission or a grant applies to.

use std::collections::BTreeSet;
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
    /// More than [`MOST_SETS`] names behind `@`.
    #[error("at most {MOST_SETS} sets may be joined with +")]
    TooManySets,
}

/// The most sets of one scope.
pub const MOST_SETS: usize = 8;

/// A pattern of names, a set, or what several sets have in common: `DMM*`, `@bench3`, or `@bench3+psu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What matches this pattern.
    Pattern(Pattern),
    /// The services of the set of this name.
    Set(Arc<str>),
    /// The services that are in each of several sets: two to [`MOST_SETS`] different names, sorted.
    Sets(Arc<[Arc<str>]>),
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

    /// Returns the names of its sets; none if it is a pattern.
    pub fn sets(&self) -> &[Arc<str>] {
        match self {
            Self::Pattern(_) => &[],
            Self::Set(name) => std::slice::from_ref(name),
            Self::Sets(names) => names,
        }
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
            Self::Sets(names) => write!(formatter, "@{}", names.join("+")),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let Some(names) = text.strip_prefix('@') else {
            return Ok(Self::Pattern(Pattern::new(text)?));
        };
        // The order means nothing, so that what is the same is written the same.
        let mut sets = BTreeSet::<Arc<str>>::new();
        for name in names.split('+') {
            check_name(name)?;
            sets.insert(name.into());
            if sets.len() > MOST_SETS {
                return Err(ScopeError::TooManySets);
            }
        }
        let sets: Arc<[Arc<str>]> = sets.into_iter().collect();
        Ok(match &*sets {
            [name] => Self::Set(Arc::clone(name)),
            _ => Self::Sets(sets),
        })
    }
}
