//! What a permission or a grant applies to, with the patterns of its sets.

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use crate::action::Action;
use crate::pattern::Pattern;
use crate::scope::Scope;

/// The patterns of all sets, by their names.
#[derive(Debug)]
pub(crate) struct Sets<'a>(HashMap<&'a str, Arc<[Pattern]>>);

impl<'a> Sets<'a> {
    pub(crate) fn new(rows: &'a [(String, Pattern)]) -> Self {
        let mut sets = HashMap::<&str, Vec<Pattern>>::default();
        for (name, pattern) in rows {
            sets.entry(name).or_default().push(pattern.clone());
        }
        Self(sets.into_iter().map(|(name, set)| (name, set.into())).collect())
    }

    /// Returns what is in a scope. A set that is not there has no patterns, and nothing is in it.
    pub(crate) fn compile(&self, scope: &Scope) -> Objects {
        let patterns = |name: &Arc<str>| self.0.get(&**name).cloned().unwrap_or_default();
        match scope {
            Scope::Pattern(pattern) => Objects::one(pattern.clone()),
            Scope::Set(name) => Objects::Any(patterns(name)),
            Scope::Sets(names) => Objects::All(names.iter().map(patterns).collect()),
        }
    }
}

/// The services, topics or requests of a [`Scope`].
#[derive(Clone, Debug)]
pub(crate) enum Objects {
    /// What matches any of these patterns.
    Any(Arc<[Pattern]>),
    /// What matches any pattern of each of these sets.
    All(Arc<[Arc<[Pattern]>]>),
}

impl Objects {
    pub(crate) fn one(pattern: Pattern) -> Self {
        Self::Any([pattern].into())
    }

    /// Returns what nothing matches.
    pub(crate) fn nothing() -> Self {
        Self::Any(Arc::default())
    }

    /// Returns the number of patterns.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Any(patterns) => patterns.len(),
            Self::All(sets) => sets.iter().map(|patterns| patterns.len()).sum(),
        }
    }

    /// Returns whether everything is in it.
    pub(crate) fn is_everything(&self) -> bool {
        let is_everything = |patterns: &[Pattern]| patterns.iter().any(Pattern::is_everything);
        match self {
            Self::Any(patterns) => is_everything(patterns),
            Self::All(sets) => sets.iter().all(|patterns| is_everything(patterns)),
        }
    }

    /// Returns whether an object of an action is in it.
    pub(crate) fn include(&self, action: Action, object: &str) -> bool {
        match self {
            Self::Any(patterns) => matching(patterns, action, object).is_some(),
            Self::All(sets) => sets
                .iter()
                .all(|patterns| matching(patterns, action, object).is_some()),
        }
    }

    /// Returns by which pattern an object is in each of the sets that `scope`, from which this was compiled,
    /// names.
    pub(crate) fn memberships(&self, scope: &Scope, action: Action, object: &str) -> Vec<Membership> {
        let sets = match self {
            Self::Any(patterns) => std::slice::from_ref(patterns),
            Self::All(sets) => sets,
        };
        let membership = |(set, patterns): (&Arc<str>, &Arc<[Pattern]>)| Membership {
            set: Arc::clone(set),
            pattern: matching(patterns, action, object).cloned(),
        };
        scope.sets().iter().zip(sets).map(membership).collect()
    }
}

/// Returns the first pattern that matches an object of an action.
fn matching<'a>(patterns: &'a [Pattern], action: Action, object: &str) -> Option<&'a Pattern> {
    patterns.iter().find(|pattern| match action {
        Action::Subscribe => pattern.covers(object),
        _ => pattern.matches(object),
    })
}

/// Whether something is in a set, and by which of its patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The name of the set.
    pub set: Arc<str>,
    /// The first pattern that matches; `None` if it is not in the set.
    pub pattern: Option<Pattern>,
}

impl fmt::Display for Membership {
    /// Writes `in bench3 by PSU3*`, or `not in bench3`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Some(pattern) => write!(formatter, "in {} by {pattern}", self.set),
            None => write!(formatter, "not in {}", self.set),
        }
    }
}
