//! `labwire token`: secrets with which programs log in instead of with the password of their user.

use std::io::Write;

use clap::{ArgGroup, Args, Subcommand};
use labwire_access::{Access, Permission, Policy, Scope, permissions_to_use};
use labwire_home::present;
use labwire_store::{AccessError, Database, NewToken, Token, token_to_serve};
use labwire_wire::visible;
use serde_json::json;

use super::{ChangeArgs, Chosen, ListArgs, choose, notes, until};
use crate::cli::output::output;
use crate::cli::recorded::{done, record};
use crate::cli::{UsageError, tell};

const LONG_ABOUT: &str = "\
Add, list and revoke tokens: secrets with which programs log in to a manager that was started with \
--auth-login.

A program gives the name of the token's user as the username, and the secret as the password; programs that \
use MSL-Network need no change. It may do only what the token allows, and with --roles only what is granted \
to the user, too. A token ends with its user.

A running manager follows changes within about a second, and ends the connections of programs that have \
logged in with a token that was revoked or has ended.";

const EXAMPLES: &str = "\
Examples:
  # a token for a script of ada's that reads the multimeter for 30 days
  labwire token add --user ada --may 'DMM.read*' --for 30d --note 'night series'

  # one with which the service DMM can register, and nothing else
  labwire token add --user ada --register DMM

  # one that allows all that ada may do
  labwire token add --user ada --everything --for 8h

  # list all tokens, and revoke one
  labwire token list
  labwire token revoke 2";

/// The parser's own line would be wider than the page.
const ADD_USAGE: &str = "\
labwire token add [OPTIONS] --user <USER> --may <WHAT>
       labwire token add [OPTIONS] --user <USER> --register <SERVICE>
       labwire token add [OPTIONS] --user <USER> --everything";

/// Add, list and revoke tokens: secrets with which programs log in
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a token, and print its secret this once
    Add(AddArgs),
    /// Revoke tokens
    Revoke(RevokeArgs),
    /// List all tokens, without their secrets
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("restriction").required(true).multiple(true), group = ArgGroup::new("end"),
    override_usage = ADD_USAGE
)]
struct AddArgs {
    /// The user as whom a program logs in with it
    #[arg(long, value_name = "USER")]
    user: String,

    /// Allow to use a service, as in DMM or 'DMM.read*', or a permission
    ///
    /// A service, or its attributes that match a pattern, may be seen, linked and called. A permission is
    /// one of a role (see: labwire role), such as 'lock DMM' or 'publish lab.*'. Can be given several
    /// times.
    #[arg(long, value_name = "WHAT", group = "restriction")]
    may: Vec<String>,

    /// Allow to register as the service of this name
    ///
    /// A service may emit notifications, too.
    #[arg(long, value_name = "SERVICE", group = "restriction")]
    register: Option<String>,

    /// Allow everything that the user may do, also as an administrator
    #[arg(long, group = "restriction", conflicts_with_all = ["may", "register"])]
    everything: bool,

    /// Let it end after some time, as in 8h or 30d
    #[arg(long = "for", value_name = "TIME", group = "end")]
    time: Option<String>,

    /// Let it end after a day, as in 2026-12-31 (included), or at a time, as in 2026-12-31T18:00:00
    #[arg(long, value_name = "TIME", group = "end")]
    until: Option<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    /// Print a JSON object with the number and the secret
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The numbers of the tokens, as in 'labwire token list'
    #[arg(required = true, value_name = "ID", value_parser = number)]
    ids: Vec<i64>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Reads the number of a token.
fn number(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| "a token is named by its number: labwire token list".to_owned())
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Add(args) => &args.change.database,
            Self::Revoke(args) => &args.change.database,
            Self::List(args) => &args.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    // Usage errors come before all others.
    if let Action::Add(args) = &args.action {
        args.token()?;
    }
    execute(args, &args.action.chosen()?, &mut output())
}

pub(super) fn execute(args: &TokenArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add(args) => {
            let mut database = chosen.open()?;
            args.may
                .iter()
                .filter_map(|text| notes::of_blank(text))
                .for_each(tell);
            let (new, now) = (args.token()?, present().as_second());
            let lacking = not_granted(&database, &new, now)?.filter(|_| !args.everything);
            let issued = database.add_token(&new, now)?;
            let what = format!("Added the token {} for {}", issued.id, in_words(&new));
            record(chosen, "token add", &what);
            // Before the secret, which is the last line, also where both outputs are one.
            if let Some(lacking) = lacking {
                tell(format_args!(
                    "labwire: with --roles, {} also needs {lacking}",
                    new.user
                ));
            }
            if args.json {
                let issued = json!({ "id": issued.id, "secret": issued.secret });
                writeln!(output, "{issued}")?;
            } else {
                tell(format_args!(
                    "added the token {}, which allows {}; its secret is shown this once:",
                    issued.id,
                    allowed(&new.may)
                ));
                writeln!(output, "{}", issued.secret)?;
            }
        }
        Action::Revoke(args) => {
            let mut database = chosen.open()?;
            for id in &args.ids {
                database.revoke_token(*id)?;
                done(chosen, "token revoke", &format!("Revoked the token {id}"), output)?;
            }
        }
        Action::List(args) => {
            let tokens = chosen.open()?.tokens()?;
            if args.json {
                for token in &tokens {
                    writeln!(output, "{}", token.describe())?;
                }
            } else if tokens.is_empty() {
                writeln!(output, "There are no tokens")?;
            } else {
                let width = tokens.iter().map(|token| token.id.to_string().len()).max();
                let width = width.unwrap_or_default();
                for token in &tokens {
                    writeln!(output, "{:width$}  {}", token.id, visible(&listed(token)))?;
                }
            }
        }
    }
    Ok(())
}

impl AddArgs {
    fn token(&self) -> anyhow::Result<NewToken> {
        let mut may = Vec::new();
        for text in &self.may {
            if let Some(meant) = notes::meant_action(text) {
                return Err(UsageError(meant).into());
            }
            may.extend(permissions_to_use(text).map_err(|error| AccessError::Permission {
                text: text.clone(),
                error,
            })?);
        }
        if let Some(name) = &self.register {
            may.extend(token_to_serve(name)?);
        }
        if self.everything {
            may = labwire_access::Action::ALL.map(Permission::everything).into();
        }
        Ok(NewToken {
            user: self.user.clone(),
            may,
            until: until::chosen(self.time.as_deref(), self.until.as_deref())?,
            note: self.note.clone(),
        })
    }
}

/// Returns the grants that a user lacks for what a token allows, as `a grant of 'register DMM' and 'notify
/// DMM'`. `None` if nothing is missing, or if the database has no grants, as without `--roles`.
fn not_granted(database: &Database, new: &NewToken, now: i64) -> anyhow::Result<Option<String>> {
    let rows = database.access()?;
    if rows.grants.is_empty() {
        return Ok(None);
    }
    let policy = Policy::new(&rows);
    let rights = policy.rights(policy.user(&new.user));
    // A pattern is taken for the name of one thing. Its characters match a wider pattern.
    let is_granted = |permission: &&Permission| match &permission.object {
        Scope::Pattern(object) => {
            let (action, object) = (permission.action, object.as_str());
            let attribute = permission.attribute.as_str();
            rights.allows(
                &Access {
                    action,
                    object,
                    attribute,
                },
                now,
            )
        }
        Scope::Set(_) | Scope::Sets(_) => false,
    };
    let lacking = new.may.iter().filter(|permission| !is_granted(permission));
    let lacking: Vec<_> = lacking.map(|permission| format!("'{permission}'")).collect();
    Ok(lacking.split_last().map(|(last, others)| match others {
        [] => format!("a grant of {last}"),
        _ => format!("a grant of {} and {last}", others.join(", ")),
    }))
}

/// Returns a token in words: `ada: the token allows call DMM.read*, …; until …; last used …; night
/// series`.
fn listed(token: &Token) -> String {
    let used = match token.last_used {
        Some(used) => format!("last used {}", until::shown(used)),
        None => "never used".to_owned(),
    };
    let note = (!token.note.is_empty()).then(|| token.note.clone());
    let parts = [
        Some(format!(
            "{}: the token allows {}",
            token.user,
            allowed(&token.may)
        )),
        end(token.until),
        Some(used),
        note,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Returns a token that is added in words: `ada, which allows call DMM.read*, …; until …; night series`.
fn in_words(new: &NewToken) -> String {
    let note = (!new.note.is_empty()).then(|| new.note.clone());
    let parts = [
        Some(format!("{}, which allows {}", new.user, allowed(&new.may))),
        end(new.until),
        note,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn allowed(may: &[Permission]) -> String {
    let everything = labwire_access::Action::ALL.map(Permission::everything);
    if everything.iter().all(|permission| may.contains(permission)) {
        return "everything".to_owned();
    }
    let may: Vec<_> = may.iter().map(Permission::to_string).collect();
    may.join(", ")
}

fn end(until: Option<i64>) -> Option<String> {
    until.map(until::in_words)
}
