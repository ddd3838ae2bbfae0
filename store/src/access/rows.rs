//! Reads the tables.

use std::collections::BTreeMap;

use jiff::Timestamp;
use labwire_access::{
    BUILT_IN_ROLES, EVERYONE, Grant, Grantee, Permission, Rows, User, permissions_of_built_in,
};
use rusqlite::{Transaction, TransactionBehavior};
use serde_json::{Value, json};

use crate::database::{Database, integer, text};
use crate::error::StoreError;

impl Database {
    /// Returns all users, groups, roles, sets and grants. A row that cannot be read, since another
    /// program wrote it, is left out: it allows nothing.
    pub fn access(&self) -> Result<Rows, StoreError> {
        // One view of all tables.
        let _view = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        self.access_rows()
    }

    /// As [`access`](Self::access), within a transaction.
    pub(super) fn access_rows(&self) -> Result<Rows, StoreError> {
        let view = &self.connection;
        let pairs = |query: &str| -> Result<Vec<(String, String)>, StoreError> {
            let mut statement = view.prepare_cached(query)?;
            let rows = statement.query_map([], |row| Ok((text(row, 0), text(row, 1))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        let mut statement =
            view.prepare_cached("SELECT pid, username, is_admin FROM auth_users ORDER BY username")?;
        let users = statement.query_map([], |row| {
            Ok(User {
                id: integer(row, 0),
                name: text(row, 1),
                is_admin: integer(row, 2) != 0,
            })
        })?;
        let users = users.collect::<rusqlite::Result<_>>()?;
        let members = pairs("SELECT group_name, username FROM labwire_members ORDER BY 1, 2")?;
        let roles = pairs(
            "SELECT role, permission FROM labwire_permissions WHERE effect = 'allow' ORDER BY role, permission",
        )?;
        let sets = pairs("SELECT set_name, pattern FROM labwire_set_members ORDER BY 1, 2")?;
        let mut statement = view.prepare_cached(
            "SELECT id, role, username, group_name, scope, until FROM labwire_grants ORDER BY id",
        )?;
        let grants = statement.query_map([], |row| {
            let user: Option<String> = row.get(2)?;
            let group: Option<String> = row.get(3)?;
            let to = user.map(Grantee::User).or(group.map(Grantee::Group));
            let until: Option<i64> = row.get(5)?;
            Ok((integer(row, 0), text(row, 1), to, text(row, 4), until))
        })?;
        // A row of another type is left out, too.
        let grants = grants
            .filter_map(Result::ok)
            .filter_map(|(id, role, to, on, until)| {
                let (to, on) = (to?, on.parse().ok()?);
                Some(Grant {
                    id,
                    role,
                    to,
                    on,
                    until,
                })
            });
        Ok(Rows {
            users,
            members,
            roles: parsed(roles),
            sets: parsed(sets),
            grants: grants.collect(),
        })
    }

    /// Returns a number that is another one after another program has changed the file. The changes
    /// of this handle do not count.
    pub(crate) fn version_of_others(&self) -> Result<i64, StoreError> {
        let version = self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        Ok(version?)
    }

    /// Returns the groups and their members, sorted. Everybody is in the group
    /// [`EVERYONE`], which is not in the list.
    pub fn groups(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        self.lists(
            "SELECT name FROM labwire_groups",
            "SELECT group_name, username FROM labwire_members ORDER BY username",
        )
    }

    /// Returns the sets and their patterns, sorted.
    pub fn sets(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        self.lists(
            "SELECT name FROM labwire_sets",
            "SELECT set_name, pattern FROM labwire_set_members ORDER BY pattern",
        )
    }

    /// Returns the labels of each name or pattern of services, sorted: the sets that it is in.
    pub fn labels(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut labels = BTreeMap::<String, Vec<String>>::new();
        for (set, patterns) in self.sets()? {
            for pattern in patterns {
                labels.entry(pattern).or_default().push(set.clone());
            }
        }
        Ok(labels)
    }

    /// Returns the roles and their permissions, sorted, those that are built in included.
    pub fn roles(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut roles = self.lists(
            "SELECT name FROM labwire_roles",
            "SELECT role, permission FROM labwire_permissions WHERE effect = 'allow' ORDER BY permission",
        )?;
        for (name, _) in BUILT_IN_ROLES {
            let permissions = permissions_of_built_in(name).unwrap_or_default();
            roles.insert(
                name.to_owned(),
                permissions.iter().map(Permission::to_string).collect(),
            );
        }
        Ok(roles)
    }

    /// Returns lists by their names: `names` selects the names, and `members` names and members.
    fn lists(&self, names: &str, members: &str) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut lists = BTreeMap::<String, Vec<String>>::new();
        let mut statement = self.connection.prepare_cached(names)?;
        for name in statement.query_map([], |row| Ok(text(row, 0)))? {
            lists.entry(name?).or_default();
        }
        let mut statement = self.connection.prepare_cached(members)?;
        for pair in statement.query_map([], |row| Ok((text(row, 0), text(row, 1))))? {
            let (name, member) = pair?;
            lists.entry(name).or_default().push(member);
        }
        Ok(lists)
    }

    /// Returns the names of all groups, the one of everybody included.
    pub(super) fn group_names(&self) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<_> = self.groups()?.into_keys().collect();
        names.push(EVERYONE.to_owned());
        Ok(names)
    }
}

/// Returns a grant as a JSON object: `id`, `role`, `user` or else `group`, `on`, and `until`, a time
/// of ISO 8601 or `null`.
pub fn describe_grant(grant: &Grant) -> Value {
    let Grant {
        id,
        role,
        to,
        on,
        until,
    } = grant;
    let (user, group) = match to {
        Grantee::User(user) => (Some(user), None),
        Grantee::Group(group) => (None, Some(group)),
    };
    let until = until.map(rfc3339);
    json!({ "id": id, "role": role, "user": user, "group": group, "on": on.to_string(), "until": until })
}

/// Returns a time in seconds since 1970 as text, in UTC.
pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// Reads the second text of each pair, and leaves out those that cannot be read.
fn parsed<T: std::str::FromStr>(pairs: Vec<(String, String)>) -> Vec<(String, T)> {
    let read = |(name, text): (String, String)| Some((name, text.parse().ok()?));
    pairs.into_iter().filter_map(read).collect()
}
