//! All that a user may do: groups, roles and permissions.

use std::io::Write;

use labwire_access::{EVERYONE, Grant, Grantee, Permission, Rows, permissions_of_built_in};
use labwire_home::nearest;
use labwire_store::{AccessError, Named, describe_grant};
use serde_json::json;

use super::grant::in_words;

/// What a user may do.
pub(super) struct Overview<'a> {
    user: &'a str,
    is_admin: bool,
    /// Sorted. Everybody is in the last one.
    groups: Vec<&'a str>,
    /// The grants to the user and to the groups, also those that have ended, and what each role allows.
    grants: Vec<(&'a Grant, Vec<Permission>)>,
}

impl<'a> Overview<'a> {
    /// # Errors
    /// [`AccessError::Unknown`] if there is no such user.
    pub(super) fn of(user: &'a str, rows: &'a Rows) -> Result<Self, AccessError> {
        let Some(known) = rows.users.iter().find(|known| known.name == user) else {
            let names = rows.users.iter().map(|known| known.name.as_str());
            return Err(AccessError::Unknown {
                what: Named::User,
                name: user.to_owned(),
                nearest: nearest(user, names).map(str::to_owned),
            });
        };
        let groups = rows.members.iter().filter(|(_, member)| member == user);
        let mut groups: Vec<&str> = groups.map(|(group, _)| group.as_str()).collect();
        groups.sort_unstable();
        groups.push(EVERYONE);
        let is_for_user = |grant: &&Grant| match &grant.to {
            Grantee::User(name) => name == user,
            Grantee::Group(group) => groups.contains(&group.as_str()),
        };
        let grants = rows.grants.iter().filter(is_for_user);
        let grants = grants.map(|grant| (grant, permissions(rows, &grant.role)));
        Ok(Self {
            user,
            is_admin: known.is_admin,
            grants: grants.collect(),
            groups,
        })
    }

    pub(super) fn write(&self, is_json: bool, output: &mut impl Write) -> anyhow::Result<()> {
        let words = |permissions: &[Permission]| -> Vec<_> {
            permissions.iter().map(Permission::to_string).collect()
        };
        if is_json {
            let grants = self.grants.iter().map(|(grant, permissions)| {
                let mut grant = describe_grant(grant);
                grant["permissions"] = words(permissions).into();
                grant
            });
            let grants: Vec<_> = grants.collect();
            let (user, is_admin, groups) = (self.user, self.is_admin, &self.groups);
            let overview =
                json!({ "user": user, "administrator": is_admin, "groups": groups, "grants": grants });
            writeln!(output, "{overview}")?;
            return Ok(());
        }
        writeln!(
            output,
            "{} is in the groups: {}",
            self.user,
            self.groups.join(", ")
        )?;
        if self.is_admin {
            writeln!(output, "  as an administrator: everything")?;
        }
        for (grant, permissions) in &self.grants {
            let allowed = match &*words(permissions) {
                [] => "nothing".to_owned(),
                words => words.join(", "),
            };
            writeln!(output, "  grant {}, {}: {allowed}", grant.id, in_words(grant))?;
        }
        if self.grants.is_empty() && !self.is_admin {
            writeln!(output, "  nothing is granted")?;
        }
        Ok(())
    }
}

fn permissions(rows: &Rows, role: &str) -> Vec<Permission> {
    permissions_of_built_in(role).unwrap_or_else(|| {
        let of_role = rows.roles.iter().filter(|(name, _)| name == role);
        of_role.map(|(_, permission)| permission.clone()).collect()
    })
}
