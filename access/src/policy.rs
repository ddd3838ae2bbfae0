//! All roles, grants, groups and sets.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::action::Action;
use crate::built_in::{ADMINISTRATOR, BUILT_IN_ROLES, EVERYONE};
use crate::pattern::Pattern;
use crate::permission::Permission;
use crate::rights::{Held, Rights, Rule, Source};
use crate::scope::Scope;

/// To whom a grant gives a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grantee {
    /// One user.
    User(String),
    /// All members of a group.
    Group(String),
}

/// A role that is given to a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// The name of the role.
    pub role: String,
    /// To whom it is given.
    pub to: Grantee,
    /// What it is limited to. A grant that is limited allows no administrators' requests, since
    /// those have names of their own.
    pub on: Scope,
    /// When it ends, in seconds since 1970; `None` if it does not end.
    pub until: Option<i64>,
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The users, and whether each is an administrator.
    pub users: Vec<(String, bool)>,
    /// The members of groups: the group, and the user.
    pub members: Vec<(String, String)>,
    /// The permissions of roles that are not built in.
    pub roles: Vec<(String, Permission)>,
    /// The sets, and the patterns of the services in them.
    pub sets: Vec<(String, Pattern)>,
    /// The grants.
    pub grants: Vec<Grant>,
}

/// All rules, prepared for decisions. Making one of 10,000 grants and 1,000 users takes some
/// milliseconds.
#[derive(Debug)]
pub struct Policy {
    users: HashMap<Arc<str>, bool>,
    groups_of_users: HashMap<Arc<str>, Vec<Arc<str>>>,
    of_users: HashMap<Arc<str>, Vec<Held>>,
    of_groups: HashMap<Arc<str>, Vec<Held>>,
    administrators: Held,
}

impl Policy {
    /// Prepares the rules. What a row names and is not there allows nothing: a role without
    /// permissions, a set without members.
    pub fn new(rows: &Rows) -> Self {
        let mut sets = HashMap::<&str, Vec<Pattern>>::default();
        for (name, pattern) in &rows.sets {
            sets.entry(name).or_default().push(pattern.clone());
        }
        let compile = |scope: &Scope| match scope {
            Scope::Pattern(pattern) => [pattern.clone()].into(),
            Scope::Set(name) => sets.get(&**name).cloned().unwrap_or_default().into(),
        };
        let rule = |permission: &Permission| Rule {
            objects: compile(&permission.object),
            permission: permission.clone(),
        };
        let mut permissions = HashMap::<&str, Vec<Rule>>::default();
        for (role, permission) in &rows.roles {
            permissions.entry(role).or_default().push(rule(permission));
        }
        // Last, since no row changes these.
        for (name, actions) in BUILT_IN_ROLES {
            let rules = actions.iter().copied().map(Permission::everything);
            permissions.insert(name, rules.map(|permission| rule(&permission)).collect());
        }
        let roles: HashMap<&str, Arc<[Rule]>> = permissions
            .into_iter()
            .map(|(name, rules)| (name, rules.into()))
            .collect();
        let nothing: Arc<[Rule]> = Arc::new([]);
        let rules_of = |name: &str| Arc::clone(roles.get(name).unwrap_or(&nothing));
        let mut policy = Self {
            users: HashMap::default(),
            groups_of_users: HashMap::default(),
            of_users: HashMap::default(),
            of_groups: HashMap::default(),
            administrators: Held {
                source: Source::Administrator,
                rules: rules_of(ADMINISTRATOR),
                on: None,
                until: None,
            },
        };
        for (user, is_admin) in &rows.users {
            policy.users.insert(user.as_str().into(), *is_admin);
        }
        for (group, user) in &rows.members {
            let groups = policy.groups_of_users.entry(user.as_str().into());
            groups.or_default().push(group.as_str().into());
        }
        for grant in &rows.grants {
            let held = Held {
                rules: rules_of(&grant.role),
                on: (!grant.on.is_everything()).then(|| compile(&grant.on)),
                until: grant.until,
                source: Source::Grant(Arc::new(grant.clone())),
            };
            let of_grantee = match &grant.to {
                Grantee::User(user) => policy.of_users.entry(user.as_str().into()),
                Grantee::Group(group) => policy.of_groups.entry(group.as_str().into()),
            };
            of_grantee.or_default().push(held);
        }
        policy
    }

    /// Returns whether there is a user of this name.
    pub fn has_user(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Returns the groups that a user is a member of, as they are stored. [`EVERYONE`] is not among
    /// them.
    pub fn groups(&self, user: &str) -> impl Iterator<Item = &str> {
        let groups = self.groups_of_users.get(user).into_iter().flatten();
        groups.map(|group| &**group).filter(|group| *group != EVERYONE)
    }

    /// Returns what a user may do: what is granted to the user, to the user's groups, and to
    /// [`EVERYONE`]. An administrator may do everything. `None` is a peer that has not logged in
    /// as a user, which is in the group [`EVERYONE`] only. A user that does not exist may do
    /// nothing.
    pub fn rights(&self, user: Option<&str>) -> Arc<Rights> {
        let mut held = Vec::new();
        let mut groups = HashSet::<&str>::default();
        if let Some(user) = user {
            let Some(is_admin) = self.users.get(user) else {
                return Arc::default();
            };
            if *is_admin {
                held.push(self.administrators.clone());
            }
            held.extend(self.of_users.get(user).into_iter().flatten().cloned());
            let own = self.groups_of_users.get(user).into_iter().flatten();
            groups.extend(own.map(|group| &**group));
        }
        groups.insert(EVERYONE);
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable();
        for group in groups {
            held.extend(self.of_groups.get(group).into_iter().flatten().cloned());
        }
        Arc::new(Rights::new(held))
    }
}

/// Returns whether a grant that is limited can allow such an action.
pub(crate) fn can_be_limited(action: Action) -> bool {
    action != Action::Administer
}
