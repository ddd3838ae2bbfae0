//! Changes the tables.

use labwire_access::{
    EVERYONE, Grantee, MOST_COMPARISONS, Pattern, Permission, Policy, Scope, check_name,
    permissions_of_built_in,
};
use labwire_home::nearest;
use labwire_wire::quoted;
use rusqlite::{Transaction, TransactionBehavior, params};

use super::error::{AccessError, Named};
use crate::database::Database;
use crate::error::StoreError;

/// Fails for a pattern that looks like the name of a set: sets are not in other sets.
fn expect_no_set(pattern: &Pattern) -> Result<(), StoreError> {
    match pattern.as_str() {
        text if text.starts_with('@') => Err(AccessError::SetInSet(text.to_owned()).into()),
        _ => Ok(()),
    }
}

/// The most rows of one table. It bounds the time to prepare the rules.
pub(crate) const MOST_ROWS: usize = 100_000;

/// The most permissions of one role.
pub const MOST_PERMISSIONS: usize = 256;

/// The most patterns of one set.
pub const MOST_SET_PATTERNS: usize = 256;

/// The most labels of one name or pattern of services: the sets that it is in.
pub const MOST_LABELS: usize = 256;

/// The most grants to one user, or to one group.
pub const MOST_GRANTS: usize = 1_000;

/// A change of groups, roles, sets or grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// Adds a group without members.
    AddGroup(
        /// Its name.
        String,
    ),
    /// Removes a group, and the grants to it.
    RemoveGroup(
        /// Its name.
        String,
    ),
    /// Makes a user a member of a group. It is no error if the user is one.
    Join {
        /// The group.
        group: String,
        /// The user.
        user: String,
    },
    /// Ends the membership of a user.
    Leave {
        /// The group.
        group: String,
        /// The user.
        user: String,
    },
    /// Adds permissions to a role, and the role if there is none of that name.
    AddRole {
        /// The name of the role.
        role: String,
        /// The permissions.
        permissions: Vec<Permission>,
    },
    /// Removes permissions of a role; without any, the role itself and the grants of it.
    RemoveRole {
        /// The name of the role.
        role: String,
        /// The permissions.
        permissions: Vec<Permission>,
    },
    /// Adds patterns to a set of services, and the set if there is none of that name.
    AddSet {
        /// The name of the set.
        set: String,
        /// The patterns.
        patterns: Vec<Pattern>,
    },
    /// Removes patterns of a set; without any, the set itself.
    RemoveSet {
        /// The name of the set.
        set: String,
        /// The patterns.
        patterns: Vec<Pattern>,
    },
    /// Adds a pattern to several sets, its labels, and the sets for which there are none of that name.
    AddLabels {
        /// The name of a service, or a pattern of names.
        pattern: Pattern,
        /// The names of the sets.
        labels: Vec<String>,
    },
    /// Removes a pattern from several sets; without any, from all. The sets stay, also those without
    /// patterns.
    RemoveLabels {
        /// The name of a service, or a pattern of names.
        pattern: Pattern,
        /// The names of the sets.
        labels: Vec<String>,
    },
    /// Gives a role to a user or a group.
    Grant {
        /// The name of the role.
        role: String,
        /// To whom it is given.
        to: Grantee,
        /// What it is limited to.
        on: Scope,
        /// When it ends, in seconds since 1970; `None` if it does not end.
        until: Option<i64>,
    },
    /// Takes a grant back.
    Revoke(
        /// Its number.
        i64,
    ),
}

impl Database {
    /// Makes a change. Returns the number of the new grant for [`AccessChange::Grant`].
    ///
    /// # Errors
    /// [`StoreError::Access`] if something that the change names does not exist, or exists already.
    pub fn change_access(&mut self, change: &AccessChange) -> Result<Option<i64>, StoreError> {
        // The checks are part of the transaction: what a new row names is still there.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        self.check_change(change)?;
        let id = apply(&transaction, change)?;
        self.expect_bounded(change)?;
        transaction.commit()?;
        Ok(id)
    }

    /// Checks the rules with a change that adds some: the work of a decision is bounded.
    fn expect_bounded(&self, change: &AccessChange) -> Result<(), StoreError> {
        match change {
            AccessChange::AddRole { role, .. } => {
                let sql = "SELECT count(*) FROM labwire_permissions WHERE role = ?1";
                self.expect_few(sql, role, MOST_PERMISSIONS, "permissions in the role")?;
            }
            AccessChange::AddSet { set, patterns } => {
                self.expect_few_patterns(set)?;
                for pattern in patterns {
                    self.expect_few_labels(pattern)?;
                }
            }
            AccessChange::AddLabels { pattern, labels } => {
                self.expect_few_labels(pattern)?;
                for label in labels {
                    self.expect_few_patterns(label)?;
                }
            }
            AccessChange::Grant { to, .. } => match to {
                Grantee::User(user) => {
                    let sql = "SELECT count(*) FROM labwire_grants WHERE username = ?1";
                    self.expect_few(sql, user, MOST_GRANTS, "grants to the user")?;
                }
                Grantee::Group(group) => {
                    let sql = "SELECT count(*) FROM labwire_grants WHERE group_name = ?1";
                    self.expect_few(sql, group, MOST_GRANTS, "grants to the group")?;
                }
            },
            AccessChange::Join { .. } => {}
            // These add no rules.
            _ => return Ok(()),
        }
        let heaviest = Policy::new(&self.access_rows()?).heaviest();
        match heaviest.filter(|load| load.comparisons > MOST_COMPARISONS) {
            None => Ok(()),
            Some(load) => Err(AccessError::TooManyRules(load).into()),
        }
    }

    fn expect_few_patterns(&self, set: &str) -> Result<(), StoreError> {
        let sql = "SELECT count(*) FROM labwire_set_members WHERE set_name = ?1";
        self.expect_few(sql, set, MOST_SET_PATTERNS, "patterns in the set")
    }

    fn expect_few_labels(&self, pattern: &Pattern) -> Result<(), StoreError> {
        let sql = "SELECT count(*) FROM labwire_set_members WHERE pattern = ?1";
        self.expect_few(sql, pattern.as_str(), MOST_LABELS, "labels of")
    }

    /// Refuses what makes a list longer than it may be. `sql` counts its rows.
    fn expect_few(&self, sql: &str, name: &str, most: usize, what: &str) -> Result<(), StoreError> {
        let count: i64 = self.connection.query_row(sql, [name], |row| row.get(0))?;
        if usize::try_from(count).is_ok_and(|count| count > most) {
            let of = format!("{what} {}", quoted(name));
            return Err(AccessError::TooLong { of, most }.into());
        }
        Ok(())
    }

    fn check_change(&self, change: &AccessChange) -> Result<(), StoreError> {
        match change {
            AccessChange::AddGroup(name) => {
                expect_name(Named::Group, name)?;
                if name == EVERYONE {
                    return Err(built_in(Named::Group, name));
                }
                if self.groups()?.contains_key(name) {
                    let (what, name) = (Named::Group, name.clone());
                    return Err(AccessError::Exists { what, name }.into());
                }
            }
            AccessChange::RemoveGroup(group) => self.expect_group_with_members(group)?,
            AccessChange::Join { group, user } | AccessChange::Leave { group, user } => {
                self.expect_group_with_members(group)?;
                self.expect_user(user)?;
            }
            AccessChange::AddRole { role, .. } => {
                expect_name(Named::Role, role)?;
                expect_not_built_in(role)?;
            }
            AccessChange::RemoveRole { role, .. } => {
                expect_not_built_in(role)?;
                self.expect_role(role)?;
            }
            AccessChange::AddSet { set, patterns } => {
                expect_name(Named::Set, set)?;
                patterns.iter().try_for_each(expect_no_set)?;
            }
            AccessChange::RemoveSet { set, patterns } => {
                self.expect_set(set)?;
                if patterns.is_empty() {
                    self.expect_set_unused(set)?;
                }
            }
            AccessChange::AddLabels { labels, pattern } => {
                expect_no_set(pattern)?;
                labels
                    .iter()
                    .try_for_each(|label| expect_name(Named::Set, label))?;
            }
            AccessChange::RemoveLabels { labels, .. } => {
                labels.iter().try_for_each(|label| self.expect_set(label))?;
            }
            AccessChange::Grant { role, to, on, .. } => {
                self.expect_role(role)?;
                match to {
                    Grantee::User(user) => self.expect_user(user)?,
                    Grantee::Group(group) => expect_known(Named::Group, group, &self.group_names()?)?,
                }
                self.expect_sets(on)?;
            }
            AccessChange::Revoke(_) => {}
        }
        if let AccessChange::AddRole { permissions, .. } = change {
            for permission in permissions {
                self.expect_sets(&permission.object)?;
            }
        }
        Ok(())
    }

    fn expect_group_with_members(&self, group: &str) -> Result<(), StoreError> {
        if group == EVERYONE {
            return Err(built_in(Named::Group, group));
        }
        expect_known(Named::Group, group, &self.group_names()?)
    }

    pub(crate) fn expect_user(&self, user: &str) -> Result<(), StoreError> {
        if self.rights(user)?.is_some() {
            return Ok(());
        }
        expect_known(Named::User, user, &self.usernames()?)
    }

    fn expect_role(&self, role: &str) -> Result<(), StoreError> {
        expect_known(Named::Role, role, &self.roles()?.into_keys().collect::<Vec<_>>())
    }

    fn expect_set(&self, set: &str) -> Result<(), StoreError> {
        expect_known(Named::Set, set, &self.sets()?.into_keys().collect::<Vec<_>>())
    }

    fn expect_sets(&self, scope: &Scope) -> Result<(), StoreError> {
        scope.sets().iter().try_for_each(|set| self.expect_set(set))
    }

    /// Refuses to remove a set that something names: a later set of the same name would be meant by
    /// it.
    fn expect_set_unused(&self, set: &str) -> Result<(), StoreError> {
        let rows = self.access_rows()?;
        let is_meant = |scope: &Scope| scope.sets().iter().any(|name| **name == *set);
        let grants = rows.grants.iter().filter(|grant| is_meant(&grant.on));
        let roles = rows
            .roles
            .iter()
            .filter(|(_, permission)| is_meant(&permission.object));
        let user = grants
            .map(|grant| format!("the grant {}", grant.id))
            .chain(roles.map(|(role, _)| format!("the role '{role}'")))
            .next();
        let set = set.to_owned();
        user.map_or(Ok(()), |user| Err(AccessError::SetInUse { set, user }.into()))
    }
}

fn built_in(what: Named, name: &str) -> StoreError {
    let name = name.to_owned();
    AccessError::BuiltIn { what, name }.into()
}

fn expect_not_built_in(role: &str) -> Result<(), StoreError> {
    match permissions_of_built_in(role) {
        Some(_) => Err(built_in(Named::Role, role)),
        None => Ok(()),
    }
}

fn expect_name(what: Named, name: &str) -> Result<(), StoreError> {
    check_name(name).map_err(|error| {
        let name = name.to_owned();
        AccessError::Name { what, name, error }.into()
    })
}

fn expect_known(what: Named, name: &str, known: &[String]) -> Result<(), StoreError> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    let name = name.to_owned();
    Err(AccessError::Unknown { what, name, nearest }.into())
}

fn apply(change: &Transaction<'_>, asked: &AccessChange) -> Result<Option<i64>, StoreError> {
    match asked {
        AccessChange::AddGroup(name) => {
            expect_room(change, "groups", "labwire_groups")?;
            change.execute("INSERT OR IGNORE INTO labwire_groups (name) VALUES (?1)", [name])?;
        }
        AccessChange::RemoveGroup(name) => {
            change.execute("DELETE FROM labwire_members WHERE group_name = ?1", [name])?;
            change.execute("DELETE FROM labwire_grants WHERE group_name = ?1", [name])?;
            change.execute("DELETE FROM labwire_groups WHERE name = ?1", [name])?;
        }
        AccessChange::Join { group, user } => {
            expect_room(change, "members of groups", "labwire_members")?;
            change.execute(
                "INSERT OR IGNORE INTO labwire_members (group_name, username) VALUES (?1, ?2)",
                [group, user],
            )?;
        }
        AccessChange::Leave { group, user } => {
            let sql = "DELETE FROM labwire_members WHERE group_name = ?1 AND username = ?2";
            if change.execute(sql, [group, user])? == 0 {
                let (group, user) = (group.clone(), user.clone());
                return Err(AccessError::NotMember { group, user }.into());
            }
        }
        AccessChange::AddRole { role, permissions } => {
            change.execute("INSERT OR IGNORE INTO labwire_roles (name) VALUES (?1)", [role])?;
            for permission in permissions {
                expect_room(change, "permissions", "labwire_permissions")?;
                change.execute(
                    "INSERT OR REPLACE INTO labwire_permissions (role, permission) VALUES (?1, ?2)",
                    [role, &permission.to_string()],
                )?;
            }
        }
        AccessChange::RemoveRole { role, permissions } if permissions.is_empty() => {
            change.execute("DELETE FROM labwire_permissions WHERE role = ?1", [role])?;
            change.execute("DELETE FROM labwire_grants WHERE role = ?1", [role])?;
            change.execute("DELETE FROM labwire_roles WHERE name = ?1", [role])?;
        }
        AccessChange::RemoveRole { role, permissions } => {
            for permission in permissions {
                let (role, permission) = (role.clone(), permission.to_string());
                let sql = "DELETE FROM labwire_permissions WHERE role = ?1 AND permission = ?2";
                if change.execute(sql, [&role, &permission])? == 0 {
                    return Err(AccessError::NoSuchPermission { role, permission }.into());
                }
            }
        }
        AccessChange::AddSet { set, patterns } => {
            change.execute("INSERT OR IGNORE INTO labwire_sets (name) VALUES (?1)", [set])?;
            for pattern in patterns {
                insert_member(change, set, pattern)?;
            }
        }
        AccessChange::AddLabels { pattern, labels } => {
            for label in labels {
                change.execute("INSERT OR IGNORE INTO labwire_sets (name) VALUES (?1)", [label])?;
                insert_member(change, label, pattern)?;
            }
        }
        AccessChange::RemoveLabels { pattern, labels } if labels.is_empty() => {
            let sql = "DELETE FROM labwire_set_members WHERE pattern = ?1";
            if change.execute(sql, [pattern.as_str()])? == 0 {
                return Err(AccessError::NoLabels(pattern.to_string()).into());
            }
        }
        AccessChange::RemoveLabels { pattern, labels } => {
            for label in labels {
                delete_member(change, label, pattern)?;
            }
        }
        AccessChange::RemoveSet { set, patterns } if patterns.is_empty() => {
            change.execute("DELETE FROM labwire_set_members WHERE set_name = ?1", [set])?;
            change.execute("DELETE FROM labwire_sets WHERE name = ?1", [set])?;
        }
        AccessChange::RemoveSet { set, patterns } => {
            for pattern in patterns {
                delete_member(change, set, pattern)?;
            }
        }
        AccessChange::Grant { role, to, on, until } => {
            expect_room(change, "grants", "labwire_grants")?;
            let (user, group) = match to {
                Grantee::User(user) => (Some(user), None),
                Grantee::Group(group) => (None, Some(group)),
            };
            change.execute(
                "INSERT INTO labwire_grants (role, username, group_name, scope, until) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![role, user, group, on.to_string(), until],
            )?;
            return Ok(Some(change.last_insert_rowid()));
        }
        AccessChange::Revoke(id) => {
            if change.execute("DELETE FROM labwire_grants WHERE id = ?1", [id])? == 0 {
                return Err(AccessError::NoSuchGrant(*id).into());
            }
        }
    }
    Ok(None)
}

fn insert_member(change: &Transaction<'_>, set: &str, pattern: &Pattern) -> Result<(), StoreError> {
    expect_room(change, "patterns of sets", "labwire_set_members")?;
    change.execute(
        "INSERT OR IGNORE INTO labwire_set_members (set_name, pattern) VALUES (?1, ?2)",
        [set, pattern.as_str()],
    )?;
    Ok(())
}

fn delete_member(change: &Transaction<'_>, set: &str, pattern: &Pattern) -> Result<(), StoreError> {
    let sql = "DELETE FROM labwire_set_members WHERE set_name = ?1 AND pattern = ?2";
    if change.execute(sql, [set, pattern.as_str()])? == 0 {
        let (set, pattern) = (set.to_owned(), pattern.to_string());
        return Err(AccessError::NoSuchPattern { set, pattern }.into());
    }
    Ok(())
}

/// Refuses a row of a table that is full.
fn expect_room(change: &Transaction<'_>, what: &'static str, table: &str) -> Result<(), StoreError> {
    let count: i64 = change.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count >= MOST_ROWS) {
        let limit = MOST_ROWS;
        return Err(AccessError::TooMany { what, limit }.into());
    }
    Ok(())
}
