//! The command line of `labwire hostname`: an action with its own options, and the spelling of
//! MSL-Network, in which all options belong to all actions and may come first.

use clap::{Args, Subcommand, ValueEnum};

use super::{Request, Verb};
use crate::cli::database::{CreateArgs, DatabaseArgs};

const LONG_ABOUT: &str = "\
Add, remove and list the hostnames of trusted devices.

A manager that is started with --auth-hostname admits peers from devices whose hostname is in \
this list, without a password:

  labwire start --auth-hostname

A new list contains the names and addresses of this computer.

A running manager reloads the list on the signal HUP (kill -HUP and the number of its process). \
Until then it uses the old list. Connected peers stay connected.";

const EXAMPLES: &str = "\
Examples:
  # trust the device 'TheHostname'
  labwire hostname add TheHostname

  # stop trusting 'OtherHostname'
  labwire hostname remove OtherHostname

  # list all trusted devices
  labwire hostname list

The command lines of MSL-Network work too: 'insert' is the same as 'add', and
'delete' as 'remove'; an option may come before the action.";

const ADD_EXAMPLES: &str = "\
Examples:
  # trust the device 'TheHostname'
  labwire hostname add TheHostname

  # trust two devices
  labwire hostname add TheHostname OtherHostname

  # in another database, which must exist (--create creates it)
  labwire hostname add TheHostname --database /path/to/database.db";

const REMOVE_EXAMPLES: &str = "\
Examples:
  # stop trusting 'OtherHostname'
  labwire hostname remove OtherHostname";

const LIST_EXAMPLES: &str = "\
Examples:
  # list all trusted devices
  labwire hostname list

  # one JSON object per line: {\"hostname\":\"bench\"}
  labwire hostname list --json";

/// Add, remove and list the hostnames of trusted devices
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct HostnameArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Trust devices
    #[command(after_help = ADD_EXAMPLES)]
    Add(AddArgs),
    /// Trust devices, as 'add' does
    #[command(hide = true, after_help = ADD_EXAMPLES)]
    Insert(AddArgs),
    /// Stop trusting devices
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(NamesArgs),
    /// Stop trusting devices, as 'remove' does
    #[command(hide = true, after_help = REMOVE_EXAMPLES)]
    Delete(NamesArgs),
    /// List the trusted devices
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    names: NamesArgs,

    #[command(flatten)]
    create: CreateArgs,
}

/// The devices, and the database.
#[derive(Debug, Args)]
struct NamesArgs {
    /// The hostnames of the devices
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// The command line in the spelling of MSL-Network: all actions take the arguments of `add`, and the
/// names may be missing.
#[derive(Debug, Args)]
#[command(mut_arg("names", |names| names.required(false)))]
pub(crate) struct OldHostnameArgs {
    #[arg(value_enum)]
    action: Verb,

    #[command(flatten)]
    arguments: AddArgs,
}

impl From<HostnameArgs> for Request {
    fn from(HostnameArgs { action }: HostnameArgs) -> Self {
        match action {
            Action::Add(arguments) => arguments.with(Verb::Add),
            Action::Insert(arguments) => arguments.with(Verb::Insert),
            Action::Remove(arguments) => arguments.with(Verb::Remove, CreateArgs::default()),
            Action::Delete(arguments) => arguments.with(Verb::Delete, CreateArgs::default()),
            Action::List(arguments) => Self {
                verb: Verb::List,
                names: Vec::new(),
                database: arguments.database,
                create: CreateArgs::default(),
                json: arguments.json,
            },
        }
    }
}

impl AddArgs {
    fn with(self, verb: Verb) -> Request {
        self.names.with(verb, self.create)
    }
}

impl NamesArgs {
    fn with(self, verb: Verb, create: CreateArgs) -> Request {
        Request {
            verb,
            names: self.names,
            database: self.database,
            create,
            json: false,
        }
    }
}

impl From<OldHostnameArgs> for Request {
    fn from(OldHostnameArgs { action, arguments }: OldHostnameArgs) -> Self {
        arguments.with(action)
    }
}

impl ValueEnum for Verb {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Add, Self::Insert, Self::Remove, Self::Delete, Self::List]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.words().0.into())
    }
}
