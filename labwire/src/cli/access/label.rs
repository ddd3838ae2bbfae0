//! `labwire label`: the sets of services, seen from the services: which sets a service is in.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use labwire_access::Pattern;
use labwire_store::{AccessChange, AccessError};

use super::{ChangeArgs, Chosen, ListArgs, choose, write_lists};
use crate::cli::output::output;
use crate::cli::recorded::done;

const LONG_ABOUT: &str = "\
Give services labels, take them back, and list them.

A label is a set of services (see: labwire set) that is written behind the name of a service, in place \
of the other way round. Permissions and grants name the services with a label as @LABEL, and those that \
have several labels as @LABEL+LABEL. Only administrators give labels: a service cannot choose its own.

A running manager with --roles follows changes within about a second.";

const EXAMPLES: &str = "\
Examples:
  # DMM-3 is on bench 3; all PSU3… are there, too, and are power supplies
  labwire label add DMM-3 bench3
  labwire label add 'PSU3*' bench3 psu

  # let ada use the power supplies of bench 3, and nothing else there
  labwire grant add operator --to ada --on @bench3+psu

  # the labels of all services, and those of one
  labwire label list
  labwire label list PSU31

  # one label less, or all
  labwire label remove 'PSU3*' psu
  labwire label remove DMM-3";

/// Give services labels, and list them
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct LabelArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give a service labels
    Add(AddArgs),
    /// Take labels of a service back, or all
    Remove(RemoveArgs),
    /// List the labels of all services, or of one
    List(LabelsArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The name of the service, or a pattern of names
    #[arg(value_name = "SERVICE")]
    service: String,

    /// The labels
    #[arg(required = true, value_name = "LABEL")]
    labels: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The name of the service, or the pattern, as in 'labwire label list'
    #[arg(value_name = "SERVICE")]
    service: String,

    /// The labels [default: all]
    #[arg(value_name = "LABEL")]
    labels: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct LabelsArgs {
    /// The name of a service: only what matches it [default: all]
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    #[command(flatten)]
    list: ListArgs,
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Add(args) => &args.change.database,
            Self::Remove(args) => &args.change.database,
            Self::List(args) => &args.list.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &LabelArgs) -> anyhow::Result<()> {
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &LabelArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(args) => {
            let mut database = chosen.open()?;
            let (pattern, labels) = (parse(&args.service)?, args.labels.clone());
            database.change_access(&AccessChange::AddLabels { pattern, labels })?;
            let what = format!("{} has the labels: {}", args.service, args.labels.join(", "));
            done(chosen, "label add", &what, output)?;
        }
        Action::Remove(args) => {
            let mut database = chosen.open()?;
            let (pattern, labels) = (parse(&args.service)?, args.labels.clone());
            database.change_access(&AccessChange::RemoveLabels { pattern, labels })?;
            let what = match &*args.labels {
                [] => format!("{} has no labels any more", args.service),
                labels => format!(
                    "{} does not have any more the labels: {}",
                    args.service,
                    labels.join(", ")
                ),
            };
            done(chosen, "label remove", &what, output)?;
        }
        Action::List(args) => args.list(chosen.open()?.labels()?, output)?,
    }
    Ok(())
}

impl LabelsArgs {
    fn list(&self, mut labels: BTreeMap<String, Vec<String>>, output: &mut impl Write) -> anyhow::Result<()> {
        let is_json = self.list.json;
        if let Some(service) = &self.service {
            labels.retain(|pattern, _| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(service)));
        }
        if labels.is_empty() && !is_json {
            match &self.service {
                Some(service) => writeln!(output, "{service} has no labels")?,
                None => writeln!(output, "No service has a label")?,
            }
        }
        write_lists(&labels, ["service", "labels"], is_json, output)
    }
}

fn parse(text: &str) -> Result<Pattern, AccessError> {
    Pattern::new(text).map_err(|error| {
        let text = text.to_owned();
        AccessError::Pattern { text, error }
    })
}
