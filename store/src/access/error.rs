//! Why a change of roles, groups, sets or grants is refused.

use std::fmt;

use labwire_access::{
    Action, Load, MOST_COMPARISONS, NameError, PatternError, PermissionError, ScopeError, UnknownAction,
};
use labwire_home::nearest;
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
    /// The name or pattern of services is in no set.
    #[error("{} has no labels", quoted(.0))]
    NoLabels(
        /// The given text.
        String,
    ),
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
    /// There is no token of this number.
    #[error("there is no token {0}")]
    NoSuchToken(
        /// The given number.
        i64,
    ),
    /// A token would allow nothing.
    #[error("a token that allows nothing is of no use, give it a permission")]
    TokenAllowsNothing,
    /// A permission of a token is for a set.
    #[error("{}: a token names no sets, write patterns", quoted(.0))]
    SetInToken(
        /// The permission.
        String,
    ),
    /// A set would be in a set.
    #[error(
        "{}: a set has no other sets, write patterns of the names of services (and {} for a service of this name)",
        quoted(.0), quoted(&.0.replacen('@', "?", 1))
    )]
    SetInSet(
        /// The given text.
        String,
    ),
    /// The name of a service for a token is a pattern.
    #[error(
        "{}: the name of one service has no * or ?, and no @ in front; for several services, allow 'register PATTERN' and 'notify PATTERN'",
        quoted(.0)
    )]
    NotOneService(
        /// The given name.
        String,
    ),
    /// No service can have the name for which a token is to be.
    #[error("{}", .0.to_string().trim_start_matches("ValueError: "))]
    ServiceName(
        /// What is wrong with it.
        #[source]
        labwire_wire::NameError,
    ),
    /// The note of a token is too long, or has a control character.
    #[error(
        "a token's note has at most {} bytes, and no control characters",
        crate::tokens::MOST_TOKEN_NOTE
    )]
    TokenNote,
    /// The end of a token is not in the future.
    #[error("the token's end is in the past")]
    TokenHasEnded,
    /// A change of an account names nothing to set.
    #[error("give a full name, an e-mail address, or both")]
    NothingToSet,
    /// A text is not an e-mail address.
    #[error("{} is not an e-mail address", quoted(.0))]
    Email(
        /// The given text.
        String,
    ),
    /// A text of an account is too long, or has a control character.
    #[error(
        "a reason, a full name or an e-mail address has at most {} bytes, and no control characters",
        crate::accounts::MOST_ACCOUNT_TEXT
    )]
    AccountText,
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
