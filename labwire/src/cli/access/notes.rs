//! Notes about rules that are allowed, and may mean something else than what was wanted.

use std::collections::BTreeMap;

use labwire_access::{
    Action, EVERYONE, Effect, Grant, Grantee, Permission, Rows, Scope, permissions_of_built_in,
};
use labwire_home::nearest;

/// The word before a permission whose requests wait for approval.
const ASK: &str = "ask";

/// Returns a note about a permission to call that names no attribute, but some services.
pub(super) fn of_call(permission: &Permission) -> Option<String> {
    let Scope::Pattern(services) = &permission.object else {
        return None;
    };
    let names_attribute = !permission.attribute.is_everything() || services.as_str().contains('.');
    if permission.action != Action::Call || services.is_everything() || names_attribute {
        return None;
    }
    let services = services.as_str();
    let ask = match permission.effect {
        Effect::Ask => "ask ",
        _ => "",
    };
    Some(format!(
        "labwire: '{permission}' allows all attributes of the services that match {services}; for attributes, write \
         the service and a dot before: '{ask}call *.{services}'"
    ))
}

/// Returns a note about a grant on a pattern that may mean something else: one with the name of a set, or one with a dot,
/// which may be meant for attributes, if the role allows calls.
pub(super) fn of_grant(grant: &Grant, rows: &Rows) -> Option<String> {
    let Scope::Pattern(on) = &grant.on else {
        return None;
    };
    if rows.sets.iter().any(|(set, _)| set == on.as_str()) {
        let name = on.as_str();
        return Some(format!(
            "labwire: the grant is on the service or topic '{name}'; for what is in the set of this name: --on '@{name}'"
        ));
    }
    let calls = |permission: &Permission| permission.action == Action::Call;
    let built_in = permissions_of_built_in(&grant.role);
    let of_role = rows.roles.iter().filter(|(role, _)| *role == grant.role);
    let may_call = match &built_in {
        Some(permissions) => permissions.iter().any(calls),
        None => of_role.map(|(_, permission)| permission).any(calls),
    };
    let (service, attribute) = on.as_str().rsplit_once('.')?;
    may_call.then(|| {
        format!(
            "labwire: --on '{}' is a pattern of whole names of services and topics; for attributes of {service}, grant \
             a role with 'call {service}.{attribute}'",
            on.as_str()
        )
    })
}

/// Adds to the error of a grant that there is a group of the name that was given as a user's, or the other
/// way round.
pub(super) fn with_other_grantee(
    error: anyhow::Error,
    to: &Grantee,
    rows: &Rows,
    groups: &BTreeMap<String, Vec<String>>,
) -> anyhow::Error {
    let is_user = |name: &str| rows.users.iter().any(|user| user.name == name);
    let is_group = |name: &str| name == EVERYONE || groups.contains_key(name);
    match to {
        Grantee::User(name) if !is_user(name) && is_group(name) => {
            anyhow::anyhow!("{error}; there is a group of this name: --to-group {name}")
        }
        Grantee::Group(name) if !is_group(name) && is_user(name) => {
            anyhow::anyhow!("{error}; there is a user of this name: --to {name}")
        }
        _ => error,
    }
}

/// Returns the question for the permission that a text means whose first word is nearly an action.
pub(super) fn meant_action(text: &str) -> Option<String> {
    let (first, rest) = text.trim().split_once(char::is_whitespace)?;
    if first == ASK {
        return None;
    }
    let names = || Action::ALL.map(Action::name).into_iter();
    // Names of services often begin with a capital letter, as in 'Load 3'.
    let is_other_case = names().any(|name| name == first.to_lowercase());
    let may_be_action = is_other_case
        || first
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !may_be_action || names().any(|name| name == first) {
        return None;
    }
    let action = nearest(first, names())?;
    let rest = rest.trim_start();
    Some(format!(
        "--may '{text}': did you mean '{action} {rest}'? For a service of that name: --may 'call {text}' --may 'see \
         {text}' --may 'link {text}'"
    ))
}

/// Returns a note about a text with a blank that names a service, since its first word is no action.
pub(super) fn of_blank(text: &str) -> Option<String> {
    let (first, _) = text.trim().split_once(char::is_whitespace)?;
    if first == ASK || Action::ALL.iter().any(|action| action.name() == first) {
        return None;
    }
    let actions = Action::ALL.map(Action::name).join(", ");
    Some(format!(
        "labwire: '{text}' is taken as the name of a service; or did you mean one of the actions? They are {actions}"
    ))
}
