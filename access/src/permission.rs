//! Permissions, and how they are written.

use std::fmt;
use std::str::FromStr;

use crate::action::{Action, UnknownAction};
use crate::pattern::{Pattern, PatternError};
use crate::scope::{Scope, ScopeError};

/// What happens to a request that a permission is for. The later effect is the stricter one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// It is allowed.
    #[default]
    Allow,
    /// It waits until somebody with the permission [`Action::Approve`] has approved it. Only for
    /// [`Action::Call`].
    Ask,
}

/// The word before a permission with [`Effect::Ask`].
pub(crate) const ASK: &str = "ask";

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
    /// A permission to ask for something that nobody can approve.
    #[error("only requests to services can be asked for, such as 'ask call DMM.set_range', and not '{0}'")]
    AskOfOthers(Action),
}

/// A permission: an action, and what it applies to.
///
/// It is written as the action's name, and behind a blank the pattern of what it applies to, or
/// `@` and the name of a set, or the names of several with `+` between them for what is in each; without
/// them it applies to everything. For `call` and `approve`, a pattern of attributes follows behind the last
/// dot, if there is one; for an attribute that has a dot in its name, `?` stands for the dot. With `ask`
/// before `call`, requests wait for approval.
///
/// ```
/// use labwire_access::{Permission, PermissionError};
///
/// for text in [
///     "see", "call DMM.read*", "ask call @bench3", "see @bench3+psu", "publish lab.*", "administer users_table.*",
/// ] {
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
    /// The attributes that it applies to, for [`Action::Call`] and [`Action::Approve`]; otherwise
    /// everything.
    pub attribute: Pattern,
    /// What happens to a request that it applies to.
    pub effect: Effect,
}

impl Permission {
    /// Returns the permission of an action for everything.
    pub fn everything(action: Action) -> Self {
        Self {
            action,
            object: Scope::everything(),
            attribute: Pattern::everything(),
            effect: Effect::Allow,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            object,
            attribute,
            effect,
        } = self;
        if *effect == Effect::Ask {
            write!(formatter, "{ASK} ")?;
        }
        let object_text = object.to_string();
        if !attribute.is_everything() || action.has_attribute() && object_text.contains('.') {
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
        let (text, effect) = match first_word(text.trim()) {
            (ASK, rest) if !rest.is_empty() => (rest, Effect::Ask),
            _ => (text.trim(), Effect::Allow),
        };
        let (action, rest) = first_word(text);
        let action = action.parse::<Action>()?;
        if effect == Effect::Ask && action != Action::Call {
            return Err(PermissionError::AskOfOthers(action));
        }
        if rest.is_empty() {
            return Ok(Self {
                effect,
                ..Self::everything(action)
            });
        }
        let (object, attribute) = match rest.rsplit_once('.') {
            Some((object, attribute)) if action.has_attribute() => (object, Pattern::new(attribute)?),
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
            effect,
        })
    }
}

/// Returns the first word of a text that begins with one, and what follows it.
pub(crate) fn first_word(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}
