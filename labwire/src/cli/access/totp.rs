//! `labwire totp`: the second factor of users, codes of an authenticator app behind the password.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};

use clap::{Args, Subcommand};
use labwire_home::present;
use labwire_store::{Database, IssuedTotp, StoreError, TotpState};
use labwire_wire::visible;
use serde_json::json;

use super::{ChangeArgs, Chosen, ListArgs, choose, until};
use crate::cli::database::with_nearest_user;
use crate::cli::output::output;
use crate::cli::qr_code;
use crate::cli::recorded::{done, record};
use crate::cli::tell;

const LONG_ABOUT: &str = "\
Give users of a manager that was started with --auth-login a second factor: a code that an authenticator app \
(TOTP) shows for 30 seconds.

The user types the code behind the password, without a space, as in secret123456; programs that use \
MSL-Network need no change. A recovery code is typed in the same way. Each code is accepted once. Programs \
should log in with tokens (labwire token), which need no code.

The secret is encrypted with a key in a file beside the database (its name ends with .totp-key). Copy both, \
or nobody with a second factor can log in. A new password leaves the second factor as it is.";

const EXAMPLES: &str = "\
Examples:
  # show ada's secret and recovery codes once, and ask for the app's first code
  labwire totp enable ada

  # the code is needed from now on
  labwire totp confirm ada 123456

  # new recovery codes; and no second factor any more, if the phone is lost
  labwire totp codes ada
  labwire totp disable ada

  labwire totp list";

/// How often a person is asked for the first code.
const ATTEMPTS: usize = 3;

/// Give users a second factor: codes of an authenticator app (TOTP)
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT, after_help = EXAMPLES, subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions"
)]
pub(crate) struct TotpArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a secret and recovery codes, and print them this once
    Enable(UserArgs),
    /// Need a code from now on, if this one is right
    Confirm(ConfirmArgs),
    /// End the second factor of a user
    Disable(DisableArgs),
    /// Make new recovery codes, and print them this once; old ones end
    Codes(UserArgs),
    /// List the second factors, without secrets
    List(ListArgs),
}

#[derive(Debug, Args)]
struct UserArgs {
    /// The user
    user: String,

    /// Print a JSON object with the secrets
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct ConfirmArgs {
    /// The user
    user: String,

    /// The code that the authenticator app shows now
    #[arg(required = true, value_name = "CODE")]
    code: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct DisableArgs {
    /// The user
    user: String,

    #[command(flatten)]
    change: ChangeArgs,
}

impl Action {
    fn chosen(&self) -> anyhow::Result<Chosen> {
        choose(match self {
            Self::Enable(args) | Self::Codes(args) => &args.change.database,
            Self::Confirm(args) => &args.change.database,
            Self::Disable(args) => &args.change.database,
            Self::List(args) => &args.database,
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &TotpArgs) -> anyhow::Result<()> {
    let (chosen, mut output) = (args.action.chosen()?, output());
    match &args.action {
        Action::Enable(args) if !args.json && stdin().is_terminal() && stdout().is_terminal() => {
            let issued = enable(args, &chosen, &mut output)?;
            write!(output, "{}", qr_code::drawn(&issued.uri()).unwrap_or_default())?;
            ask_for_code(&args.user, &chosen, &mut output)
        }
        _ => execute(args, &chosen, &mut output),
    }
}

pub(super) fn execute(args: &TotpArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Enable(args) => {
            enable(args, chosen, output)?;
            tell_how_to_confirm(&args.user);
        }
        Action::Confirm(args) => confirm(&args.user, &args.code.join(" "), chosen, output)?,
        Action::Disable(args) => {
            chosen.open()?.disable_totp(&args.user)?;
            let what = format!("{} needs no code to log in any more", args.user);
            done(chosen, "totp disable", &what, output)?;
        }
        Action::Codes(args) => {
            let codes = chosen.open()?.renew_recovery_codes(&args.user)?;
            let what = format!("Made new recovery codes for {}", args.user);
            record(chosen, "totp codes", &what);
            if args.json {
                let codes = json!({ "user": args.user, "recovery_codes": codes });
                writeln!(output, "{codes}")?;
            } else {
                write_codes(&codes, output)?;
            }
        }
        Action::List(args) => list(&chosen.open()?, args.json, output)?,
    }
    Ok(())
}

/// Makes a second factor and writes its secrets.
fn enable(args: &UserArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<IssuedTotp> {
    let mut database = chosen.open()?;
    let issued = database.enable_totp(&args.user, present().as_second());
    let issued = issued.map_err(|error| with_nearest_user(error, &database))?;
    let what = format!(
        "Made a second factor for {}, which is not confirmed yet",
        args.user
    );
    record(chosen, "totp enable", &what);
    if args.json {
        writeln!(output, "{}", issued.describe())?;
        return Ok(issued);
    }
    tell("all of this is shown this once; the secret is for an authenticator app:");
    writeln!(output, "{}\nSecret: {}", issued.uri(), in_groups(&issued.secret))?;
    write_codes(&issued.recovery_codes, output)?;
    Ok(issued)
}

fn write_codes(codes: &[String], output: &mut impl Write) -> anyhow::Result<()> {
    writeln!(output, "Recovery codes, each for one login without the app:")?;
    for code in codes {
        writeln!(output, "  {code}")?;
    }
    Ok(())
}

fn confirm(user: &str, code: &str, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    chosen.open()?.confirm_totp(user, code, present().as_second())?;
    let what = format!("{user} needs a code to log in from now on");
    done(chosen, "totp confirm", &what, output)?;
    tell(
        "it is typed behind the password, without a space: secret123456; this code is used up, so log in with the next one",
    );
    Ok(())
}

/// Asks the person at the terminal for the first code.
fn ask_for_code(user: &str, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    for _ in 0..ATTEMPTS {
        write!(stderr(), "The code that the app shows now (empty: later): ")?;
        let mut code = String::new();
        stdin().read_line(&mut code)?;
        if code.trim().is_empty() {
            break;
        }
        match confirm(user, &code, chosen, output) {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::Totp(_))) => {
                tell(format_args!("labwire: {error}"));
            }
            confirmed => return confirmed,
        }
    }
    tell_how_to_confirm(user);
    Ok(())
}

fn tell_how_to_confirm(user: &str) {
    tell(format_args!(
        "no code is needed to log in until a first one is confirmed with: labwire totp confirm {user} CODE"
    ));
}

fn list(database: &Database, is_json: bool, output: &mut impl Write) -> anyhow::Result<()> {
    let states = database.totp_states()?;
    if is_json {
        for state in &states {
            writeln!(output, "{}", state.describe())?;
        }
    } else if states.is_empty() {
        writeln!(output, "There are no second factors")?;
    } else {
        let names: Vec<_> = states.iter().map(|state| visible(&state.user)).collect();
        let width = names.iter().map(|name| name.chars().count()).max();
        let width = width.unwrap_or_default();
        for (name, state) in names.iter().zip(&states) {
            writeln!(output, "{name:width$}  {}", listed(state))?;
        }
    }
    Ok(())
}

/// Returns a second factor in words: `active since …; last used …; 8 recovery codes left`.
fn listed(state: &TotpState) -> String {
    let since = until::shown(state.since);
    if !state.is_active {
        return format!("not confirmed, made {since}");
    }
    let used = match state.last_used {
        Some(used) => format!("last used {}", until::shown(used)),
        None => "never used".to_owned(),
    };
    let left = match state.recovery_codes_left {
        1 => "1 recovery code left".to_owned(),
        left => format!("{left} recovery codes left"),
    };
    format!("active since {since}; {used}; {left}")
}

/// Returns a secret in groups of four, as people type it.
fn in_groups(secret: &str) -> String {
    let mut groups = String::new();
    for (place, digit) in secret.chars().enumerate() {
        if place > 0 && place % 4 == 0 {
            groups.push(' ');
        }
        groups.push(digit);
    }
    groups
}
