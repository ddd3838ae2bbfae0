//! Why a change of roles, groups, sets or grants is refused.

use std::fmt;

use labwire_access::{
    Action, Load, MOST_COMPARISONS, NameError, PatternError, PermissionError, ScopeError, UnknownAction,
};
use labwire_wire::quoted;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A user.
    User,
    /// A group of users.
    Group,
    /// A role.
    Role,
    /// A set of services.
    Set,
}

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
            Self::Set => "set",
        })
    }
}

/// Why a change of roles, groups, sets or grants is refused. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// There is none of this name.
    #[error("there is no {what} {}{}", quoted(name), suggestion(nearest.as_deref()))]
    Unknown {
        /// What the name is of.
        what: Named,
        /// The given name.
        name: String,
        /// A known name that is similar.
        nearest: Option<String>,
    },
    /// There is one of this name already.
    #[error("there is a {what} {} already", quoted(name))]
    Exists {
        /// What the name is of.
        what: Named,
        /// The given name.
        name: String,
    },
    /// The name belongs to a role or group that is always there.
    #[error("the {what} {} is built in and cannot be changed", quoted(name))]
    BuiltIn {
        /// What the name is of.
        what: Named,
        /// The given name.
        name: String,
    },
    /// The name is not one for a role, a group or a set.
    #[error("the {what} {}: {error}", quoted(name))]
    Name {
        /// What the name is of.
        what: Named,
        /// The given name.
        name: String,
        /// What is wrong with it.
        #[source]
        error: NameError,
    },
    /// The user is not a member of the group.
    #[error("{} is not a member of the group {}", quoted(user), quoted(group))]
    NotMember {
        /// The group.
        group: String,
        /// The user.
        user: String,
    },
    /// The role does not have the permission.
    #[error(
        "the role {} does not have the permission {}",
        quoted(role),
        quoted(permission)
    )]
    NoSuchPermission {
        /// The role.
        role: String,
        /// The permission.
        permission: String,
    },
    /// The set does not have the pattern.
    #[error("the set {} does not have the pattern {}", quoted(set), quoted(pattern))]
    NoSuchPattern {
        /// The set.
        set: String,
        /// The pattern.
        pattern: String,
    },
    /// A set cannot be removed since a grant or a permission names it.
    #[error("the set {} is in use by {user}, remove that first", quoted(set))]
    SetInUse {
        /// The set.
        set: String,
        /// The grant or the role.
        user: String,
    },
    /// There is no grant of this number.
    #[error("there is no grant {0}")]
    NoSuchGrant(
        /// The given number.
        i64,
    ),
    /// There are as many rows as there may be.
    #[error("there are {limit} {what} already, which is as many as there may be")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A role, a set, or what is granted to somebody would be longer than it may be.
    #[error("there may be at most {most} {of}; write patterns (such as DMM*), or use more than one")]
    TooLong {
        /// What there would be too many of, and in what.
        of: String,
        /// The limit.
        most: usize,
    },
    /// Somebody would have more rules than the manager can compare in time.
    #[error(
        "{} would have {} rules for the action {}, and may have {MOST_COMPARISONS} at most: grant roles with fewer \
         permissions, or write patterns (such as DMM*) in place of lists",
        whom(.0), .0.comparisons, .0.action
    )]
    TooManyRules(
        /// The user, the action, and the number of rules.
        Load,
    ),
    /// A text is not a permission.
    #[error("the permission {}: {error}{}", quoted(text), nearest_action(error))]
    Permission {
        /// The given text.
        text: String,
        /// What is wrong with it.
        #[source]
        error: PermissionError,
    },
    /// A text is not a pattern of services, nor a set.
    #[error("{}: {error}", quoted(text))]
    Scope {
        /// The given text.
        text: String,
        /// What is wrong with it.
        #[source]
        error: ScopeError,
    },
    /// A permission for a set, where one service is needed.
    #[error("{}: name one service, not a set", quoted(.0))]
    NotSingle(
        /// The given permission.
        String,
    ),
    /// A text is not a time.
    #[error("{} is not a time, write for example 2026-12-31T18:00:00Z", quoted(text))]
    Time {
        /// The given text.
        text: String,
    },
    /// A text is not a pattern of services.
    #[error("{}: {error}", quoted(text))]
    Pattern {
        /// The given text.
        text: String,
        /// What is wrong with it.
        #[source]
        error: PatternError,
    },
}

impl AccessError {
    /// Returns the error for a role that is none of the known ones.
    pub fn unknown_role<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Self {
        let known = known.into_iter().map(String::as_str);
        Self::Unknown {
            what: Named::Role,
            name: name.to_owned(),
            nearest: nearest(name, known).map(str::to_owned),
        }
    }
}

fn whom(load: &Load) -> String {
    load.user.as_deref().map_or_else(
        || "the group 'everyone'".to_owned(),
        |user| format!("the user {}", quoted(user)),
    )
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(", did you mean {}?", quoted(nearest))
    })
}

/// Returns the question whether another action was meant.
fn nearest_action(error: &PermissionError) -> String {
    let PermissionError::Action(UnknownAction(name)) = error else {
        return String::new();
    };
    suggestion(nearest(name, Action::ALL.map(Action::name)))
}

/// Returns the known name that differs least from a name, if it differs in few characters: one, and
/// one more for every four. The case of letters does not count.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let allowed = 1 + folded.chars().count() / 4;
    known
        .into_iter()
        .filter(|other| *other != name)
        .map(|other| (strsim::osa_distance(&folded, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= allowed && *distance < folded.chars().count())
        .min()
        .map(|(_, other)| other)
}
