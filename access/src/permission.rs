//! Permissions, and how they are written.

use std::fmt;
use std::str::FromStr;

use crate::action::{Action, UnknownAction};
use crate::pattern::{Pattern, PatternError};
use crate::scope::{Scope, ScopeError};

/// What happens to a request that a permission is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// It is allowed.
    #[default]
    Allow,
}

/// Why a text is not a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// The first word is not an action.
    #[error(transparent)]
    Action(#[from] UnknownAction),
    /// What the action applies to is neither a pattern nor a set.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The pattern of attributes is not a pattern.
    #[error("the attribute: {0}")]
    Attribute(#[from] PatternError),
    /// A set of services, of topics or requests.
    #[error("a set consists of services, and '{0}' applies to something else; write a pattern")]
    SetOfOthers(Action),
}

/// A permission: an action, and what it applies to.
///
/// It is written as the action's name, and behind a blank the pattern of what it applies to, or
/// `@` and the name of a set, or the names of several with `+` between them for what is in each; without them it applies to everything. For `call`, a pattern of
/// attributes follows behind the last dot, if there is one; for an attribute that has a dot in its
/// name, `?` stands for the dot.
///
/// ```
/// use labwire_access::{Permission, PermissionError};
///
/// for text in ["see", "call DMM.read*", "call @bench3", "see @bench3+psu", "publish lab.*", "administer users_table.*"] {
///     assert_eq!(text.parse::<Permission>()?.to_string(), text);
/// }
/// // A service with a dot in its name.
/// assert_eq!("call lab.DMM.*".parse::<Permission>()?.object.to_string(), "lab.DMM");
/// # Ok::<_, PermissionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// What it allows.
    pub action: Action,
    /// The services, topics or requests that it applies to: see
    /// [`Access::object`](crate::Access::object).
    pub object: Scope,
    /// The attributes that it applies to, for [`Action::Call`]; otherwise everything.
    pub attribute: Pattern,
}

impl Permission {
    /// Returns the permission of an action for everything.
    pub fn everything(action: Action) -> Self {
        Self {
            action,
            object: Scope::everything(),
            attribute: Pattern::everything(),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            object,
            attribute,
        } = self;
        let object_text = object.to_string();
        if !attribute.is_everything() || *action == Action::Call && object_text.contains('.') {
            write!(formatter, "{action} {object_text}.{attribute}")
        } else if object.is_everything() {
            write!(formatter, "{action}")
        } else {
            write!(formatter, "{action} {object_text}")
        }
    }
}

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let text = text.trim();
        let (action, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (action, rest) = (action.parse::<Action>()?, rest.trim_start());
        if rest.is_empty() {
            return Ok(Self::everything(action));
        }
        let (object, attribute) = match rest.rsplit_once('.') {
            Some((object, attribute)) if action == Action::Call => (object, Pattern::new(attribute)?),
            _ => (rest, Pattern::everything()),
        };
        let object = object.parse::<Scope>()?;
        let is_of_services = !matches!(action, Action::Publish | Action::Subscribe | Action::Administer);
        if !object.sets().is_empty() && !is_of_services {
            return Err(PermissionError::SetOfOthers(action));
        }
        Ok(Self {
            action,
            object,
            attribute,
        })
    }
}
