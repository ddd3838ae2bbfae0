//! `labwire set`: sets of services, which permissions and grants name as one word.

use std::io::Write;

use clap::{Args, Subcommand};
use labwire_access::Pattern;
use labwire_store::{AccessChange, AccessError};

use super::{ChangeArgs, Chosen, ListArgs, choose, write_lists};
use crate::cli::output::output;
use crate::cli::recorded::done;

const LONG_ABOUT: &str = "\
Add, remove and list sets of services.

A set gives several services one name, such as all power supplies of a bench. Permissions and grants \
name it as @NAME. What two sets or more have in common is @NAME+OTHER.

'labwire label' changes the same sets, seen from the services.";

const EXAMPLES: &str = "\
Examples:
  # the services of bench 3: two patterns of their names
  labwire set add bench3 'PSU3*' 'Load 3'

  # let a user use them
  labwire grant add operator --to ada --on @bench3

  # one pattern less, or the whole set
  labwire set remove bench3 'Load 3'
  labwire set remove bench3

  # list all sets
  labwire set list";

/// Add, remove and list sets of services
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct SetArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add patterns to a set, and the set if it is new
    Add(AddArgs),
    /// Remove patterns of a set, or the whole set
    Remove(RemoveArgs),
    /// List all sets and their patterns
    List(ListArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The name of the set
    #[arg(value_name = "SET")]
    set: String,

    /// The patterns of the names of services
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The name of the set
    #[arg(value_name = "SET")]
    set: String,

    /// The patterns [default: the whole set]
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,

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
pub(crate) fn run(args: &SetArgs) -> anyhow::Result<()> {
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &SetArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(args) => {
            let mut database = chosen.open()?;
            let (set, patterns) = (args.set.clone(), parse(&args.patterns)?);
            database.change_access(&AccessChange::AddSet { set, patterns })?;
            let what = format!("@{} includes: {}", args.set, args.patterns.join(", "));
            done(chosen, "set add", &what, output)?;
        }
        Action::Remove(args) => {
            let mut database = chosen.open()?;
            let (set, patterns) = (args.set.clone(), parse(&args.patterns)?);
            let is_whole = patterns.is_empty();
            database.change_access(&AccessChange::RemoveSet { set, patterns })?;
            let what = if is_whole {
                format!("Removed the set {}", args.set)
            } else {
                let patterns = args.patterns.join(", ");
                format!("@{} does not include any more: {patterns}", args.set)
            };
            done(chosen, "set remove", &what, output)?;
        }
        Action::List(args) => {
            let sets = chosen.open()?.sets()?;
            if sets.is_empty() && !args.json {
                writeln!(output, "There are no sets of services")?;
            }
            write_lists(&sets, ["set", "patterns"], args.json, output)?;
        }
    }
    Ok(())
}

fn parse(texts: &[String]) -> Result<Vec<Pattern>, AccessError> {
    let parse = |text: &String| {
        text.parse().map_err(|error| AccessError::Pattern {
            text: text.clone(),
            error,
        })
    };
    texts.iter().map(parse).collect()
}
