//! The roles and the group that are always there.

use crate::action::Action;
use crate::permission::Permission;

/// The group to which every peer belongs, also those without a user.
pub const EVERYONE: &str = "everyone";

/// The role of those who may do everything.
pub const ADMINISTRATOR: &str = "administrator";

const OBSERVER: [Action; 3] = [Action::See, Action::Link, Action::Subscribe];

const OPERATOR: [Action; 5] = [
    Action::See,
    Action::Link,
    Action::Subscribe,
    Action::Call,
    Action::Lock,
];

/// Emitting notifications is what services do, so it comes with registering one. Whoever provides a
/// service decides about requests to it that need approval.
const OWNER: [Action; 10] = [
    Action::See,
    Action::Link,
    Action::Subscribe,
    Action::Call,
    Action::Lock,
    Action::BreakLock,
    Action::Register,
    Action::Notify,
    Action::Publish,
    Action::Approve,
];

/// For a program that only provides a service, and uses no other.
const INSTRUMENT: [Action; 3] = [Action::Register, Action::Notify, Action::Publish];

/// The roles that are always there, and the actions that each allows: an *observer* sees what is
/// there, an *operator* uses it, an *owner* provides it, too, an *instrument* only provides it, an
/// *administrator* does everything.
pub const BUILT_IN_ROLES: [(&str, &[Action]); 5] = [
    ("observer", &OBSERVER),
    ("operator", &OPERATOR),
    ("owner", &OWNER),
    ("instrument", &INSTRUMENT),
    (ADMINISTRATOR, &Action::ALL),
];

/// Returns the permissions of a built-in role; `None` if no such role is built in.
pub fn permissions_of_built_in(role: &str) -> Option<Vec<Permission>> {
    let (_, actions) = BUILT_IN_ROLES.iter().find(|(name, _)| *name == role)?;
    Some(actions.iter().copied().map(Permission::everything).collect())
}
