//! All roles, grants, groups and sets.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::action::Action;
use crate::built_in::{ADMINISTRATOR, BUILT_IN_ROLES, EVERYONE};
use crate::objects::Sets;
use crate::pattern::Pattern;
use crate::permission::Permission;
use crate::rights::{Held, Rights, Role, Rule, Source};
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

/// The most patterns with which one user's request of one kind is compared. What a user has beyond
/// that allows nothing.
///
/// A permission counts once; for sets it counts once for each pattern of each set, and so does a
/// grant that is limited to sets. So a decision takes about a millisecond for common patterns, and tens of
/// milliseconds for ones that are made to take long.
pub const MOST_COMPARISONS: usize = 10_000;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The number of the user, which no other user ever has, not even a later one of the same name.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Whether the user is an administrator.
    pub is_admin: bool,
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The users.
    pub users: Vec<User>,
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
    users: HashMap<i64, KnownUser>,
    ids: HashMap<Arc<str>, i64>,
    groups_of_users: HashMap<Arc<str>, Vec<Arc<str>>>,
    of_users: HashMap<Arc<str>, Vec<Held>>,
    of_groups: HashMap<Arc<str>, Vec<Held>>,
    administrators: Held,
    /// The ends of all grants, sorted.
    ends: Box<[i64]>,
}

#[derive(Debug)]
struct KnownUser {
    name: Arc<str>,
    is_admin: bool,
}

/// The user, or group, with the most rules of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The name of the user; `None` for peers without a user.
    pub user: Option<Arc<str>>,
    /// The action of the rules.
    pub action: Action,
    /// The number of comparisons: see [`MOST_COMPARISONS`].
    pub comparisons: usize,
}

impl Policy {
    /// Prepares the rules. What a row names and is not there allows nothing: a role without
    /// permissions, a set without members.
    pub fn new(rows: &Rows) -> Self {
        let sets = Sets::new(&rows.sets);
        let rule = |permission: &Permission| Rule {
            objects: sets.compile(&permission.object),
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
        let roles: HashMap<&str, Arc<Role>> = permissions
            .into_iter()
            .map(|(name, rules)| (name, Arc::new(Role::new(rules))))
            .collect();
        let nothing = Arc::<Role>::default();
        let role_of = |name: &str| Arc::clone(roles.get(name).unwrap_or(&nothing));
        let mut ends: Vec<i64> = rows.grants.iter().filter_map(|grant| grant.until).collect();
        ends.sort_unstable();
        let mut policy = Self {
            users: HashMap::default(),
            ids: HashMap::default(),
            groups_of_users: HashMap::default(),
            of_users: HashMap::default(),
            of_groups: HashMap::default(),
            administrators: Held {
                source: Source::Administrator,
                role: role_of(ADMINISTRATOR),
                on: None,
                until: None,
            },
            ends: ends.into(),
        };
        for User { id, name, is_admin } in &rows.users {
            let name: Arc<str> = name.as_str().into();
            policy.ids.insert(Arc::clone(&name), *id);
            let is_admin = *is_admin;
            policy.users.insert(*id, KnownUser { name, is_admin });
        }
        for (group, user) in &rows.members {
            let groups = policy.groups_of_users.entry(user.as_str().into());
            groups.or_default().push(group.as_str().into());
        }
        for grant in &rows.grants {
            let held = Held {
                role: role_of(&grant.role),
                on: (!grant.on.is_everything()).then(|| sets.compile(&grant.on)),
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

    /// Returns the number of the user of this name, if there is one.
    pub fn user(&self, name: &str) -> Option<i64> {
        self.ids.get(name).copied()
    }

    /// Returns the groups that a user is a member of, as they are stored. [`EVERYONE`] is not among
    /// them.
    pub fn groups(&self, user: &str) -> impl Iterator<Item = &str> {
        let groups = self.groups_of_users.get(user).into_iter().flatten();
        groups.map(|group| &**group).filter(|group| *group != EVERYONE)
    }

    /// Returns the first end of a grant after a time, both in seconds since 1970.
    pub fn next_end(&self, after: i64) -> Option<i64> {
        let ended = self.ends.partition_point(|end| *end <= after);
        self.ends.get(ended).copied()
    }

    /// Returns what a user may do, by the user's number: what is granted to the user, to the user's
    /// groups, and to [`EVERYONE`]. An administrator may do everything. `None` is a peer that has
    /// not logged in as a user, which is in the group [`EVERYONE`] only. A user that does not exist
    /// may do nothing.
    pub fn rights(&self, user: Option<i64>) -> Arc<Rights> {
        let known = user.map(|id| self.users.get(&id));
        if known.is_some_and(|known| known.is_none()) {
            return Arc::default();
        }
        let mut held = Vec::new();
        let mut comparisons = [0_usize; Action::ALL.len()];
        for one in self.held_by(known.flatten()) {
            let added = Action::ALL.map(|action| comparisons[action as usize] + one.comparisons(action));
            if added.iter().all(|comparisons| *comparisons <= MOST_COMPARISONS) {
                comparisons = added;
                held.push(one.clone());
            }
        }
        Arc::new(Rights::new(held, comparisons))
    }

    /// Returns the user with the most rules of one kind, also if it has more than
    /// [`MOST_COMPARISONS`].
    pub fn heaviest(&self) -> Option<Load> {
        let users = self.users.values().map(Some).chain([None]);
        let loads = users.flat_map(|user| {
            Action::ALL.map(|action| {
                let held = self.held_by(user).into_iter();
                let comparisons = held.map(|held| held.comparisons(action)).sum();
                (comparisons, action, user)
            })
        });
        let (comparisons, action, user) = loads.max_by_key(|(comparisons, ..)| *comparisons)?;
        let user = user.map(|user| Arc::clone(&user.name));
        Some(Load {
            user,
            action,
            comparisons,
        })
    }

    fn held_by(&self, user: Option<&KnownUser>) -> Vec<&Held> {
        let mut held = Vec::new();
        let mut groups = HashSet::<&str>::default();
        if let Some(KnownUser { name, is_admin }) = user {
            if *is_admin {
                held.push(&self.administrators);
            }
            held.extend(self.of_users.get(name).into_iter().flatten());
            let own = self.groups_of_users.get(name).into_iter().flatten();
            groups.extend(own.map(|group| &**group));
        }
        groups.insert(EVERYONE);
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable();
        for group in groups {
            held.extend(self.of_groups.get(group).into_iter().flatten());
        }
        held
    }
}

/// Returns whether a grant that is limited can allow such an action.
pub(crate) fn can_be_limited(action: Action) -> bool {
    action != Action::Administer
}
