//! `labwire grant`: gives roles to users and groups.

use std::io::Write;

use clap::{ArgGroup, Args, Subcommand};
use labwire_access::{Grant, Grantee, Scope};
use labwire_store::{AccessChange, AccessError, Database, describe_grant};

use super::{ChangeArgs, Chosen, ListArgs, choose, notes, until};
use crate::cli::output::output;
use crate::cli::recorded::done;
use crate::cli::tell;

const LONG_ABOUT: &str = "\
Give roles to users and groups, for everything or for some services.

A manager that is started with --auth-login and --roles refuses whatever is not granted:

  labwire start --auth-login --roles

An administrator (see: labwire user) may do everything without a grant. What is granted to the \
group 'everyone' is granted to all, also to those who have not logged in as a user.

A running manager follows changes within about a second. They apply to connected programs too, from \
their next request on.";

const EXAMPLES: &str = "\
Examples:
  # let ada use everything
  labwire grant add operator --to ada

  # let the students use the multimeters for 30 days
  labwire grant add operator --to-group students --on 'DMM*' --for 30d

  # let everybody see and link with the services of a set
  labwire grant add observer --to-group everyone --on @bench3

  # list all grants, and take one back
  labwire grant list
  labwire grant remove 2

  # what does that mean for ada?
  labwire may ada DMM2 read";

/// Give roles to users and groups
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct GrantArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give a role to a user or a group
    Add(AddArgs),
    /// Take grants back
    Remove(RemoveArgs),
    /// List all grants
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("grantee").required(true), group = ArgGroup::new("end"))]
struct AddArgs {
    /// The name of the role
    #[arg(value_name = "ROLE")]
    role: String,

    /// The user who gets it
    #[arg(long, value_name = "USER", group = "grantee")]
    to: Option<String>,

    /// The group whose members get it
    #[arg(long, value_name = "GROUP", group = "grantee")]
    to_group: Option<String>,

    /// Limit it to services and topics that match a pattern, or to a set (@SET)
    ///
    /// @SET+SET is what several sets have in common. A role that is limited allows no administrators' requests.
    #[arg(long, value_name = "PATTERN", default_value = "*", hide_default_value = true)]
    on: String,

    /// Let it end after some time, as in 8h or 30d
    #[arg(long = "for", value_name = "TIME", group = "end")]
    time: Option<String>,

    /// Let it end after a day, as in 2026-12-31 (included), or at a time, as in 2026-12-31T18:00:00
    #[arg(long, value_name = "TIME", group = "end")]
    until: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The numbers of the grants, as in 'labwire grant list'
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<i64>,

    #[command(flatten)]
    change: ChangeArgs,
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Add(args) => &args.change.database,
            Self::Remove(args) => &args.change.database,
            Self::List(args) => &args.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &GrantArgs) -> anyhow::Result<()> {
    // Usage errors come before all others.
    if let Action::Add(args) = &args.action {
        args.end()?;
    }
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &GrantArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(args) => args.add(chosen, &mut chosen.open()?, output)?,
        Action::Remove(args) => {
            let mut database = chosen.open()?;
            for number in &args.numbers {
                database.change_access(&AccessChange::Revoke(*number))?;
                done(
                    chosen,
                    "grant remove",
                    &format!("Removed the grant {number}"),
                    output,
                )?;
            }
        }
        Action::List(args) => {
            let grants = chosen.open()?.access()?.grants;
            if args.json {
                for grant in &grants {
                    writeln!(output, "{}", describe_grant(grant))?;
                }
            } else if grants.is_empty() {
                writeln!(output, "Nothing is granted")?;
            } else {
                let width = grants.iter().map(|grant| grant.id.to_string().len()).max();
                let width = width.unwrap_or_default();
                for grant in &grants {
                    writeln!(output, "{:width$}  {}", grant.id, in_words(grant))?;
                }
            }
        }
    }
    Ok(())
}

impl AddArgs {
    /// Returns when it ends, in seconds since 1970.
    fn end(&self) -> anyhow::Result<Option<i64>> {
        until::chosen(self.time.as_deref(), self.until.as_deref())
    }

    /// Adds the grant, unless there is the same already.
    fn add(&self, chosen: &Chosen, database: &mut Database, output: &mut impl Write) -> anyhow::Result<()> {
        let mut grant = self.grant()?;
        let rows = database.access()?;
        let is_same = |other: &&Grant| {
            Grant {
                id: 0,
                ..(*other).clone()
            } == grant
        };
        if let Some(same) = rows.grants.iter().find(is_same) {
            let (id, words) = (same.id, in_words(same));
            writeln!(output, "Nothing is added, the grant {id} is the same: {words}")?;
            return Ok(());
        }
        let change = AccessChange::Grant {
            role: grant.role.clone(),
            to: grant.to.clone(),
            on: grant.on.clone(),
            until: grant.until,
        };
        let added = database.change_access(&change);
        let id = match added {
            Ok(id) => id,
            Err(error) => {
                let groups = database.groups()?;
                return Err(notes::with_other_grantee(error.into(), &grant.to, &rows, &groups));
            }
        };
        grant.id = id.unwrap_or_default();
        let what = format!("Added the grant {}: {}", grant.id, in_words(&grant));
        done(chosen, "grant add", &what, output)?;
        notes::of_grant(&grant, &rows).iter().for_each(tell);
        Ok(())
    }

    /// Returns the grant, with the number 0.
    fn grant(&self) -> anyhow::Result<Grant> {
        let on: Scope = self.on.parse().map_err(|error| AccessError::Scope {
            text: self.on.clone(),
            error,
        })?;
        let to = match (&self.to, &self.to_group) {
            (Some(user), _) => Grantee::User(user.clone()),
            (None, group) => Grantee::Group(group.clone().unwrap_or_default()),
        };
        Ok(Grant {
            id: 0,
            role: self.role.clone(),
            to,
            on,
            until: self.end()?,
        })
    }
}

/// Returns a grant in words: `operator to the user ada, on DMM*, until …`.
pub(super) fn in_words(grant: &Grant) -> String {
    let to = match &grant.to {
        Grantee::User(user) => format!("{} to the user {user}", grant.role),
        Grantee::Group(group) => format!("{} to the group {group}", grant.role),
    };
    let on = (!grant.on.is_everything()).then(|| format!("on {}", grant.on));
    let end = grant.until.map(until::in_words);
    let parts: Vec<_> = [Some(to), on, end].into_iter().flatten().collect();
    parts.join(", ")
}
