//! `labwire group`: groups of users, to which roles can be granted.

use std::io::Write;

use clap::{Args, Subcommand};
use labwire_store::{AccessChange, Database, StoreError};

use super::{ChangeArgs, Chosen, ListArgs, choose, write_lists};
use crate::cli::output::output;
use crate::cli::recorded::done;

const LONG_ABOUT: &str = "\
Add and remove groups of users, and change their members.

A role that is granted to a group (see: labwire grant) is granted to all of its members. \
Everybody is in the group 'everyone', also who has not logged in as a user.

A running manager with --roles follows changes within about a second.";

const EXAMPLES: &str = "\
Examples:
  # a group, and two members
  labwire group add students
  labwire group join students ada bob

  # what its members may do
  labwire grant add operator --to-group students --on 'DMM*'

  # end a membership
  labwire group leave students bob

  # list all groups and their members
  labwire group list";

/// Add, remove and list groups of users, and change their members
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a group without members
    Add(GroupArg),
    /// Remove a group, and what is granted to it
    Remove(GroupArg),
    /// Make users members of a group
    Join(MembersArgs),
    /// End the membership of users
    Leave(MembersArgs),
    /// List all groups and their members
    List(ListArgs),
}

#[derive(Debug, Args)]
struct GroupArg {
    /// The name of the group
    #[arg(value_name = "GROUP")]
    group: String,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct MembersArgs {
    /// The name of the group
    #[arg(value_name = "GROUP")]
    group: String,

    /// The names of the users
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Add(args) | Self::Remove(args) => &args.change.database,
            Self::Join(args) | Self::Leave(args) => &args.change.database,
            Self::List(args) => &args.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &GroupArgs) -> anyhow::Result<()> {
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &GroupArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(GroupArg { group, .. }) => {
            let mut database = chosen.open()?;
            database.change_access(&AccessChange::AddGroup(group.clone()))?;
            done(chosen, "group add", &format!("Added the group {group}"), output)?;
        }
        Action::Remove(GroupArg { group, .. }) => {
            let mut database = chosen.open()?;
            database.change_access(&AccessChange::RemoveGroup(group.clone()))?;
            let what = format!("Removed the group {group}, and what was granted to it");
            done(chosen, "group remove", &what, output)?;
        }
        Action::Join(MembersArgs { group, users, .. }) => {
            let mut database = chosen.open()?;
            let join = |user: &String| AccessChange::Join {
                group: group.clone(),
                user: user.clone(),
            };
            let (changed, failed) = change_each(&mut database, users, join);
            if !changed.is_empty() {
                let what = format!("{} joined {group}", changed.join(", "));
                done(chosen, "group join", &what, output)?;
            }
            failed?;
        }
        Action::Leave(MembersArgs { group, users, .. }) => {
            let mut database = chosen.open()?;
            let leave = |user: &String| AccessChange::Leave {
                group: group.clone(),
                user: user.clone(),
            };
            let (changed, failed) = change_each(&mut database, users, leave);
            if !changed.is_empty() {
                let what = format!("{} left {group}", changed.join(", "));
                done(chosen, "group leave", &what, output)?;
            }
            failed?;
        }
        Action::List(args) => {
            let groups = chosen.open()?.groups()?;
            if groups.is_empty() && !args.json {
                writeln!(
                    output,
                    "There are no groups; everybody is in the group 'everyone'"
                )?;
            }
            write_lists(&groups, ["group", "members"], args.json, output)?;
        }
    }
    Ok(())
}

/// Makes a change for each user, up to the first that is refused. Returns the users whose change is made,
/// and the refusal: what was made is to be told and recorded all the same.
fn change_each(
    database: &mut Database,
    users: &[String],
    change: impl Fn(&String) -> AccessChange,
) -> (Vec<String>, Result<(), StoreError>) {
    let mut changed = Vec::new();
    for user in users {
        if let Err(error) = database.change_access(&change(user)) {
            return (changed, Err(error));
        }
        changed.push(user.clone());
    }
    (changed, Ok(()))
}
