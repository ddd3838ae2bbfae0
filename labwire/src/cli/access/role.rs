//! `labwire role`: named lists of permissions.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use labwire_access::{BUILT_IN_ROLES, Permission, permissions_of_built_in};
use labwire_store::{AccessChange, AccessError};

use super::{ChangeArgs, Chosen, ListArgs, choose, notes, write_lists};
use crate::cli::output::output;
use crate::cli::recorded::done;
use crate::cli::tell;

const LONG_ABOUT: &str = "\
Add, remove and list roles: named lists of permissions that can be granted.

A permission is an action and what it applies to: services for see, link, call, approve, lock, \
break-lock, register and notify; topics for publish and subscribe; the manager's requests for administer. In \
a pattern, * stands for any characters and ? for one. Behind 'call' and 'approve', the part after the last dot is \
the attribute. @NAME is a set of services (see: labwire set). Without a pattern, the permission \
applies to everything.

With 'ask' before 'call', a call waits until somebody with the permission 'approve' for it has \
approved it (see: labwire approve). A permission without 'ask' wins.

A role has up to 256 permissions, and a pattern up to 8 *.

Five roles are always there: observer, operator, owner, instrument (which only registers services, notifies \
and publishes) and administrator.";

const EXAMPLES: &str = "\
Examples:
  # a role for those who may read the multimeters, and see and link with them
  labwire role add reader 'see DMM*' 'link DMM*' 'call DMM*.read*'

  # a role for those whose changes of the laser somebody must approve
  labwire role add student 'see Laser' 'link Laser' 'ask call Laser'

  # one more permission, and one less
  labwire role add reader 'subscribe lab.*'
  labwire role remove reader 'link DMM*'

  # remove the role and all grants of it
  labwire role remove reader

  # list all roles, or one
  labwire role list
  labwire role show operator";

/// Add, remove and list roles: named lists of permissions
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add permissions to a role, and the role if it is new
    Add(AddArgs),
    /// Remove permissions of a role, or the whole role with all grants of it
    Remove(RemoveArgs),
    /// List all roles and their permissions
    List(ListArgs),
    /// Show the permissions of one role, one per line
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The name of the role
    #[arg(value_name = "ROLE")]
    role: String,

    /// The permissions, each as one word: 'call DMM*.read*'
    #[arg(required = true, value_name = "PERMISSION")]
    permissions: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The name of the role
    #[arg(value_name = "ROLE")]
    role: String,

    /// The permissions [default: the whole role]
    #[arg(value_name = "PERMISSION")]
    permissions: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The name of the role
    #[arg(value_name = "ROLE")]
    role: String,

    #[command(flatten)]
    list: ListArgs,
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Add(args) => &args.change.database,
            Self::Remove(args) => &args.change.database,
            Self::List(args) => &args.database,
            Self::Show(args) => &args.list.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &RoleArgs) -> anyhow::Result<()> {
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &RoleArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(args) => {
            let mut database = chosen.open()?;
            let (role, permissions) = (args.role.clone(), parse(&args.permissions)?);
            let listed = list_of(&permissions);
            let notes: Vec<_> = permissions.iter().filter_map(notes::of_call).collect();
            database.change_access(&AccessChange::AddRole { role, permissions })?;
            let what = format!("The role {} allows: {listed}", args.role);
            done(chosen, "role add", &what, output)?;
            notes.iter().for_each(tell);
        }
        Action::Remove(args) => {
            let mut database = chosen.open()?;
            let (role, permissions) = (args.role.clone(), parse(&args.permissions)?);
            let listed = list_of(&permissions);
            database.change_access(&AccessChange::RemoveRole { role, permissions })?;
            let what = if listed.is_empty() {
                format!("Removed the role {}, and all grants of it", args.role)
            } else {
                format!("The role {} does not allow any more: {listed}", args.role)
            };
            done(chosen, "role remove", &what, output)?;
        }
        Action::List(args) => write_lists(&roles(chosen)?, ["role", "permissions"], args.json, output)?,
        Action::Show(args) => {
            let roles = roles(chosen)?;
            let Some((name, permissions)) = roles.get_key_value(&args.role) else {
                return Err(AccessError::unknown_role(&args.role, roles.keys()).into());
            };
            if args.list.json {
                write_lists([(name, permissions)], ["role", "permissions"], true, output)?;
            } else {
                for permission in permissions {
                    writeln!(output, "{permission}")?;
                }
            }
        }
    }
    Ok(())
}

/// Returns all roles and their permissions. Those that are built in need no database.
fn roles(chosen: &Chosen) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut roles = chosen.open()?.roles()?;
    for (name, _) in BUILT_IN_ROLES {
        let permissions = permissions_of_built_in(name).unwrap_or_default();
        let permissions = permissions.iter().map(Permission::to_string);
        roles
            .entry(name.to_owned())
            .or_insert_with(|| permissions.collect());
    }
    Ok(roles)
}

fn parse(texts: &[String]) -> Result<Vec<Permission>, AccessError> {
    let parse = |text: &String| {
        text.parse().map_err(|error| AccessError::Permission {
            text: text.clone(),
            error,
        })
    };
    texts.iter().map(parse).collect()
}

fn list_of(permissions: &[Permission]) -> String {
    let texts: Vec<_> = permissions.iter().map(Permission::to_string).collect();
    texts.join(", ")
}
