//! Explains a decision.

use labwire_access::{
    Access, Action, Effect, Membership, Pattern, Permission, Policy, Reason, Rows, Scope, Until,
};
use labwire_home::nearest;
use serde_json::{Value, json};

use super::error::{AccessError, Named};
use super::rows::{describe_grant, rfc3339};

/// A decision, and what each rule means for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The permission that it is about.
    pub permission: String,
    /// Whether it is allowed without approval.
    pub is_allowed: bool,
    /// Whether it is not, and waits for approval.
    pub needs_approval: bool,
    /// Until when it is allowed, or was: the last end of all rules that allow it at some time.
    pub until: Until,
    /// The permissions for the same action in all roles that the user has.
    pub reasons: Vec<Reason>,
}

impl Explanation {
    /// Returns it as a JSON object: `allowed`, `ask` (whether it waits for approval), `permission`, `until` (a
    /// date and time, or `null` if it is not allowed or has no end), and `rules`, each with its `grant`
    /// (`null` for an administrator), its `permission`, its `verdict` and `sets`: for each set that the grant
    /// and the permission name, the first of its patterns that matches, or `null`.
    pub fn to_json(&self) -> Value {
        let rules = self.reasons.iter().map(|reason| {
            json!({
                "grant": reason.grant.as_deref().map(describe_grant),
                "permission": reason.permission.to_string(),
                "sets": sets(reason),
                "verdict": reason.verdict.to_string(),
            })
        });
        let until = match self.until {
            Until::Time(end) if self.is_allowed => Some(rfc3339(end)),
            _ => None,
        };
        json!({
            "allowed": self.is_allowed,
            "ask": self.needs_approval,
            "permission": self.permission,
            "rules": rules.collect::<Vec<_>>(),
            "until": until,
        })
    }
}

fn sets(reason: &Reason) -> Value {
    let pattern = |membership: &Membership| membership.pattern.as_ref().map(Pattern::to_string);
    let sets = reason.memberships.iter();
    sets.map(|membership| (membership.set.to_string(), json!(pattern(membership))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Explains whether a user may do something, rule by rule. `now` is the present in seconds since
/// 1970.
///
/// # Errors
/// [`AccessError::Unknown`] if there is no such user.
pub fn explain(rows: &Rows, user: &str, access: &Access<'_>, now: i64) -> Result<Explanation, AccessError> {
    let policy = Policy::new(rows);
    let Some(id) = policy.user(user) else {
        let known = rows.users.iter().map(|user| user.name.as_str());
        return Err(AccessError::Unknown {
            what: Named::User,
            name: user.to_owned(),
            nearest: nearest(user, known).map(str::to_owned),
        });
    };
    let rights = policy.rights(Some(id));
    let until = rights.until(access);
    Ok(Explanation {
        permission: access.to_string(),
        is_allowed: until.includes(|| now),
        needs_approval: rights.effect(access, now) == Some(Effect::Ask),
        until,
        reasons: rights.explain(access, now),
    })
}

/// As [`explain`], for what a permission says, such as `call DMM.read`: the part after the last dot
/// is the attribute.
///
/// # Errors
/// Also [`AccessError::Permission`] and [`AccessError::NotSingle`], if it is not the permission for
/// one service, topic or request.
pub fn explain_permission(
    rows: &Rows,
    user: &str,
    permission: &str,
    now: i64,
) -> Result<Explanation, AccessError> {
    let text = permission.to_owned();
    let parsed: Permission = permission
        .parse()
        .map_err(|error| AccessError::Permission { text, error })?;
    let Scope::Pattern(object) = &parsed.object else {
        return Err(AccessError::NotSingle(permission.to_owned()));
    };
    // As it was given: a pattern has no blanks at its end, but an attribute may have them, and is another one then.
    let attribute = match permission.rsplit_once('.') {
        Some((_, attribute)) => attribute,
        None => parsed.attribute.as_str(),
    };
    let access = match parsed.action {
        Action::Call => Access::call(object.as_str(), attribute),
        Action::Approve => Access::approve(object.as_str(), attribute),
        action => Access::to(action, object.as_str()),
    };
    explain(rows, user, &access, now)
}
