//! The command line of `labwire user`: an action with its own options, and the spelling of
//! MSL-Network, in which all options belong to all actions and may come first.

use clap::{Args, Subcommand, ValueEnum};
use labwire_store::{COMPATIBLE_ROUNDS, DEFAULT_ROUNDS, MAXIMUM_ROUNDS, MINIMUM_ROUNDS};

use super::{Request, Verb};
use crate::cli::database::{CreateArgs, DatabaseArgs};

const LONG_ABOUT: &str = "\
Add, change, remove and list the users that may log in.

A manager that is started with --auth-login asks every client and service for a username and a \
password, and admits the users in this list:

  labwire start --auth-login

Some requests to a manager need an administrator, with every method of authentication: shutting \
it down, or managing users and hostnames over the network.";

const EXAMPLES: &str = "\
Examples:
  # add 'j.doe', with a prompt for the password
  labwire user add j.doe

  # add 'a.smith' as an administrator, with a password on the command line
  labwire user add a.smith --admin --password a good password

  # change the password of 'j.doe' to the first line of a file
  labwire user update j.doe --password /path/to/my/password.txt

  # remove 'j.doe'
  labwire user remove j.doe

  # let 'j.doe' log in no more, and end the connections of 'j.doe'
  labwire user disable j.doe --reason 'has left the institute'

  # list all users
  labwire user list

The command lines of MSL-Network work too: 'insert' is the same as 'add', and
'delete' as 'remove'; an option may come before the action.";

const ADD_EXAMPLES: &str = "\
Examples:
  # add 'j.doe' to the default database, with a prompt for the password
  labwire user add j.doe

  # add 'j.doe' with a password that is typed on the command line
  labwire user add j.doe --password a good password

  # add 'a.smith' as an administrator
  labwire user add a.smith --password '!PaSsWoRd*' --admin

  # add 'j.doe' to another database, which must exist (--create creates it)
  labwire user add j.doe --database /path/to/database.db

  # add 'j.doe' so that MSL-Network's own manager admits the user too
  labwire user add j.doe --compatible";

const REMOVE_EXAMPLES: &str = "\
Examples:
  # remove 'j.doe'
  labwire user remove j.doe";

const UPDATE_EXAMPLES: &str = "\
Examples:
  # make 'j.doe' an administrator
  labwire user update j.doe --admin

  # make 'a.smith' an ordinary user again
  labwire user update a.smith

  # change the password of 'j.doe', with a prompt; an administrator stays one
  labwire user update j.doe --password

  # change the password of 'j.doe' to the first line of a file
  labwire user update j.doe --password /path/to/my/password.txt";

const DISABLE_EXAMPLES: &str = "\
Examples:
  # let 'j.doe' log in no more
  labwire user disable j.doe --reason 'has left the institute'

  # and again
  labwire user enable j.doe";

const SET_EXAMPLES: &str = "\
Examples:
  # who 'j.doe' is
  labwire user set j.doe --full-name 'Jane Doe' --email jane@lab.example

  # remove the address
  labwire user set j.doe --email ''";

const LIST_EXAMPLES: &str = "\
Examples:
  # list all users
  labwire user list

  # one JSON object per line, with full names, addresses and last logins
  labwire user list --json";

/// Add, change, remove and list the users that may log in
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    #[command(after_help = ADD_EXAMPLES)]
    Add(AddArgs),
    /// Add a user, as 'add' does
    #[command(hide = true, after_help = ADD_EXAMPLES)]
    Insert(AddArgs),
    /// Remove a user
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(RemoveArgs),
    /// Remove a user, as 'remove' does
    #[command(hide = true, after_help = REMOVE_EXAMPLES)]
    Delete(RemoveArgs),
    /// Change a user's password, or the rights of an administrator
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(UpdateArgs),
    /// Let a user log in no more, neither with the password nor with a token
    ///
    /// A running manager ends the connections of the user within about a second. Managers of MSL-Network
    /// do not know of it.
    #[command(after_help = DISABLE_EXAMPLES)]
    Disable(DisableArgs),
    /// Let a user log in again
    Enable(RemoveArgs),
    /// Set a user's full name and e-mail address
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
    /// List all users
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
}

/// Why an administrator may lose the rights with an update.
const UPDATE_ADMIN: &str = "\
Make the user an administrator

Without this flag and without --password, the user is no administrator any more; with --password \
alone the rights stay unchanged.";

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    user: UserArg,

    #[command(flatten)]
    change: ChangeArgs,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    create: CreateArgs,
}

#[derive(Debug, Args)]
#[command(mut_arg("admin", |admin| admin.long_help(UPDATE_ADMIN)))]
struct UpdateArgs {
    #[command(flatten)]
    user: UserArg,

    #[command(flatten)]
    change: ChangeArgs,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    #[command(flatten)]
    user: UserArg,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct DisableArgs {
    #[command(flatten)]
    user: UserArg,

    /// Why, for those who list the users
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "no reason given",
        hide_default_value = true
    )]
    reason: String,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct SetArgs {
    #[command(flatten)]
    user: UserArg,

    /// The full name; empty for none
    #[arg(long, value_name = "TEXT", required_unless_present = "email")]
    full_name: Option<String>,

    /// The e-mail address; empty for none
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct UserArg {
    /// The name of the user
    #[arg(required = true)]
    username: Option<String>,
}

/// The rights and the password of a user.
#[derive(Debug, Args)]
struct ChangeArgs {
    /// Make the user an administrator
    #[arg(short, long)]
    admin: bool,

    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// A password, and how it is kept.
#[derive(Debug, Default, Args)]
pub(super) struct PasswordArgs {
    /// The password; several words are one password, joined with single spaces
    ///
    /// All words up to the next option are part of the password, so put the name of the user first.
    ///
    /// To keep the password out of your shell's history, give the path of a file whose first line
    /// is the password, or "-" to read it from standard input, or no word to get a prompt. If no
    /// such file exists, the text itself is the password, with a warning if it looks like a path.
    #[arg(short = 'p', long = "password", value_name = "WORD", num_args = 0..)]
    pub(super) words: Option<Vec<String>>,

    /// Number of hash rounds of the password; more rounds make guessing slower
    ///
    /// Rounds of PBKDF2-HMAC-SHA256, 100000 or more. Every login takes as long as that of the user
    /// with the most rounds.
    #[arg(
        long, value_name = "N", default_value_t = DEFAULT_ROUNDS, conflicts_with = "compatible",
        value_parser = clap::value_parser!(u32).range(i64::from(MINIMUM_ROUNDS)..=i64::from(MAXIMUM_ROUNDS)),
    )]
    pub(super) rounds: u32,

    /// Let MSL-Network's own manager check the password too (100000 rounds)
    ///
    /// Use it while both managers share a database. Without it, the user can log in to Labwire
    /// only.
    #[arg(long)]
    pub(super) compatible: bool,
}

impl PasswordArgs {
    /// Returns the number of hash rounds of the password.
    pub(super) fn chosen_rounds(&self) -> u32 {
        if self.compatible {
            COMPATIBLE_ROUNDS
        } else {
            self.rounds
        }
    }
}

/// The command line in the spelling of MSL-Network: all actions take the arguments of `add`, and the
/// name may be missing.
#[derive(Debug, Args)]
#[command(mut_arg("username", |username| username.required(false)))]
pub(crate) struct OldUserArgs {
    #[arg(value_enum)]
    action: Verb,

    #[command(flatten)]
    arguments: AddArgs,
}

impl From<UserArgs> for Request {
    fn from(UserArgs { action }: UserArgs) -> Self {
        match action {
            Action::Add(arguments) => arguments.with(Verb::Add),
            Action::Insert(arguments) => arguments.with(Verb::Insert),
            Action::Remove(arguments) => arguments.with(Verb::Remove),
            Action::Delete(arguments) => arguments.with(Verb::Delete),
            Action::Update(arguments) => Self {
                admin: arguments.change.admin,
                password: arguments.change.password,
                ..arguments.user.with(Verb::Update, arguments.database)
            },
            Action::Disable(arguments) => Self {
                reason: arguments.reason,
                ..arguments.user.with(Verb::Disable, arguments.database)
            },
            Action::Enable(arguments) => arguments.with(Verb::Enable),
            Action::Set(arguments) => Self {
                full_name: arguments.full_name,
                email: arguments.email,
                ..arguments.user.with(Verb::Set, arguments.database)
            },
            Action::List(arguments) => Self {
                verb: Verb::List,
                username: None,
                admin: false,
                password: PasswordArgs::default(),
                database: arguments.database,
                create: CreateArgs::default(),
                json: arguments.json,
                reason: String::new(),
                full_name: None,
                email: None,
            },
        }
    }
}

impl AddArgs {
    fn with(self, verb: Verb) -> Request {
        Request {
            admin: self.change.admin,
            password: self.change.password,
            create: self.create,
            ..self.user.with(verb, self.database)
        }
    }
}

impl RemoveArgs {
    fn with(self, verb: Verb) -> Request {
        self.user.with(verb, self.database)
    }
}

impl UserArg {
    /// Returns a request about this user without a change.
    fn with(self, verb: Verb, database: DatabaseArgs) -> Request {
        Request {
            verb,
            username: self.username,
            admin: false,
            password: PasswordArgs::default(),
            database,
            create: CreateArgs::default(),
            json: false,
            reason: String::new(),
            full_name: None,
            email: None,
        }
    }
}

impl From<OldUserArgs> for Request {
    fn from(OldUserArgs { action, arguments }: OldUserArgs) -> Self {
        arguments.with(action)
    }
}

impl ValueEnum for Verb {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Add,
            Self::Insert,
            Self::Remove,
            Self::Delete,
            Self::Update,
            Self::List,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.word().into())
    }
}
