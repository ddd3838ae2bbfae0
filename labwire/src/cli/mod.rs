//! The command line.
//!
//! It belongs to the `labwire` program: other programs have no use for it, and its behaviour may
//! change with every version. Only [`main`] is public.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/example.rs")); }
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//! #     if let Some(text) = support::output_of_the_program(&["--help"]) {
//! #         assert!(text.contains("labwire start --disable-tls"));
//! #         return ExitCode::SUCCESS;
//! #     }
//!     labwire::cli::main()
//! }
//! ```

mod access;
mod backup;
mod certdump;
mod certgen;
mod completions;
mod database;
mod delete;
mod ending;
mod groups;
mod hostname;
mod keygen;
mod manual;
mod old_spelling;
mod output;
mod qr_code;
mod recorded;
pub(crate) mod secret;
pub(crate) mod start;
mod systemd;
mod user;
#[cfg(windows)]
mod windows_service;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use labwire_home::nearest;
use labwire_pki::PkiError;
use labwire_store::StoreError;

use crate::demo;
use old_spelling::OldCommand;
pub(crate) use output::say;

/// A usage error. The text contains the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// The exit code for usage errors, the same as that of the command-line parser.
const USAGE: u8 = 2;

/// The maximum width of help pages, also without a terminal.
const HELP_WIDTH: usize = 80;

const AFTER_HELP: &str = "\
See it work: labwire demo

A first look, each line in a terminal of its own:
  labwire start --disable-tls
  python -c 'from msl.examples.network import Echo; Echo().start(disable_tls=1)'
  labwire call --disable-tls Echo echo hello
  nc localhost 1875          (type `client`, then `identity`)

If something does not connect: labwire doctor

Times are written as in 500ms, 10s (or 10), 2min (or 2m), 1.5h, 30d and 1w.

Files are kept in the home folder: $LABWIRE_HOME, else $MSL_NETWORK_HOME, else
~/.labwire.

Exit codes: 0 done, 1 could not be done (the reason is on standard error),
2 wrong usage. Commands that connect to a manager also have: 3 no manager (not
reachable, or the connection was lost), 4 refused by the manager, 5 error of the
service, 124 timeout. Ctrl-C is 130, and TERM at a terminal is 143.";

/// A network manager for laboratory instruments.
///
/// Services (instruments) register with one manager. Clients link with services by name and call
/// them. Every message on the wire is one line of JSON. Peers of MSL-Network work with it
/// unchanged.
#[derive(Parser)]
#[command(
    name = "labwire", version, disable_version_flag = true, arg_required_else_help = true, after_help = AFTER_HELP,
    max_term_width = HELP_WIDTH
)]
struct CommandLine {
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Start(Box<start::StartArgs>),
    Demo(demo::DemoArgs),
    Systemd(systemd::SystemdArgs),
    User(user::UserArgs),
    Hostname(hostname::HostnameArgs),
    Group(access::group::GroupArgs),
    Role(access::role::RoleArgs),
    Set(access::set::SetArgs),
    Label(access::label::LabelArgs),
    Grant(access::grant::GrantArgs),
    Token(access::token::TokenArgs),
    Totp(access::totp::TotpArgs),
    May(access::may::MayArgs),
    Keygen(keygen::Args),
    Certgen(certgen::Args),
    Certdump(certdump::Args),
    Backup(backup::BackupArgs),
    Delete(delete::DeleteArgs),
    Completions(completions::CompletionsArgs),
    Manual(manual::ManualArgs),
    #[command(flatten)]
    Console(labwire_console::Command),
    /// A command in the spelling of MSL-Network, from another parser.
    #[command(skip)]
    Old(OldCommand),
}

/// Runs the command line of this process. Writes errors to standard error.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/example.rs")); }
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
/// #     if let Some(text) = support::output_of_the_program(&["--version"]) {
/// #         assert_eq!(text, format!("labwire {}\n", env!("CARGO_PKG_VERSION")));
/// #         return ExitCode::SUCCESS;
/// #     }
///     // With the argument `--version` it prints the version.
///     labwire::cli::main()
/// }
/// ```
pub fn main() -> ExitCode {
    if let Some(done) = completions::answer() {
        return done;
    }
    #[cfg(windows)]
    if let Some(done) = windows_service::answer() {
        return done;
    }
    let typed = parse().unwrap_or_else(|error| blame_environment(error).exit());
    tell_misspelt_variables();
    let done = match typed {
        Command::Start(arguments) => start::run(*arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Systemd(arguments) => systemd::run(arguments),
        Command::User(arguments) => user::run(&arguments.into()),
        Command::Hostname(arguments) => hostname::run(&arguments.into()),
        Command::Group(arguments) => access::group::run(&arguments),
        Command::Role(arguments) => access::role::run(&arguments),
        Command::Set(arguments) => access::set::run(&arguments),
        Command::Label(arguments) => access::label::run(&arguments),
        Command::Grant(arguments) => access::grant::run(&arguments),
        Command::Token(arguments) => access::token::run(&arguments),
        Command::Totp(arguments) => access::totp::run(&arguments),
        Command::May(arguments) => access::may::run(&arguments),
        Command::Old(OldCommand::User(arguments)) => user::run(&arguments.into()),
        Command::Old(OldCommand::Hostname(arguments)) => hostname::run(&arguments.into()),
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Certgen(arguments) => certgen::run(arguments),
        Command::Certdump(arguments) => certdump::run(arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Delete(arguments) => delete::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Manual(arguments) => manual::run(&arguments),
        Command::Console(command) => return labwire_console::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // As with `head`, which is no error.
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("labwire: {}", explain(&error)));
            if is_usage(&error) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Parses the command line and the environment variables of the options. An empty variable counts
/// as not set.
fn parse() -> Result<Command, clap::Error> {
    let words = labwire_console::protect_numbers(&CommandLine::command(), std::env::args_os());
    parse_words(&words).or_else(|error| old_spelling::parse(&words, error, parse_words).map(Command::Old))
}

fn parse_words(words: &[OsString]) -> Result<Command, clap::Error> {
    let mut command = groups::grouped(without_empty_variables(CommandLine::command()));
    let read = |matches: &mut ArgMatches| CommandLine::from_arg_matches_mut(matches);
    let parsed = command.try_get_matches_from_mut(words);
    parsed
        .and_then(|mut matches| read(&mut matches))
        .map(|CommandLine { command, version: _ }| command)
        .map_err(|error| without_far_suggestion(error.format(&mut command)))
}

/// Removes the suggestion of an option that has little in common with what was typed, such as `--port` for
/// `--for`.
fn without_far_suggestion(mut error: clap::Error) -> clap::Error {
    let name = |kind| match error.get(kind) {
        Some(ContextValue::String(option)) => Some(option.trim_start_matches('-')),
        _ => None,
    };
    let typed = name(ContextKind::InvalidArg).map(|typed| typed.split('=').next().unwrap_or(typed));
    let is_far = match (typed, name(ContextKind::SuggestedArg)) {
        (Some(typed), Some(suggested)) => nearest(typed, [suggested]).is_none(),
        _ => false,
    };
    if error.kind() == ErrorKind::UnknownArgument && is_far {
        error.remove(ContextKind::SuggestedArg);
        // It has the suggested option in it.
        error.remove(ContextKind::Usage);
    }
    error
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let forget = |argument: clap::Arg| match argument.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
            argument.env(None::<&str>)
        }
        _ => argument,
    };
    command.mut_args(forget).mut_subcommands(without_empty_variables)
}

/// Tells which environment variables are misspelt ones of Labwire's: they have no effect.
fn tell_misspelt_variables() {
    let set = std::env::vars_os().map(|(name, _)| name);
    let command = CommandLine::command();
    let mut known = vec![completions::VARIABLE];
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        known.extend(variables.filter_map(std::ffi::OsStr::to_str));
        commands.extend(command.get_subcommands());
    }
    for text in labwire_console::misspelt_variables(set, known) {
        tell(format_args!("labwire: {text}"));
    }
}

/// Returns the value of an environment variable. An empty one counts as not set.
pub(crate) fn set_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Adds the name of the environment variable that a wrong value comes from. The parser's error
/// names only the option, which may not have been typed.
fn blame_environment(mut error: clap::Error) -> clap::Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let option = context(ContextKind::InvalidArg)
        .and_then(|usage| usage.strip_prefix("--"))
        .and_then(|usage| usage.split([' ', '[']).next());
    if let (Some(option), Some(value)) = (option, context(ContextKind::InvalidValue)) {
        let variable = format!("LABWIRE_{}", option.to_uppercase().replace('-', "_"));
        if std::env::var(&variable).is_ok_and(|set| set == value) {
            let tip = format!("this is the value of the environment variable {variable}").into();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
    }
    error
}

/// Whether the error is in the command line, rather than on this computer.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<UsageError>()
        || matches!(
            error.downcast_ref(),
            Some(
                PkiError::DsaRefused
                    | PkiError::UnknownKeySize { .. }
                    | PkiError::ValidityOutOfRange { .. }
                    | PkiError::HashDoesNotFit { .. }
            )
        )
}

/// Formats an error with its causes. Some libraries repeat the cause in an error's text; the result
/// contains each text once.
fn explain(error: &anyhow::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    for text in error.chain().map(ToString::to_string) {
        let is_new = |before: &String| {
            let end = |text: &str| text.rsplit(": ").next().map(str::to_owned);
            !before.contains(&text) && end(before) != end(&text)
        };
        if told.iter().all(is_new) {
            told.push(text);
        }
    }
    if let Some(remedy) = error.downcast_ref().and_then(remedy) {
        told.push(remedy.to_owned());
    }
    told.join(": ")
}

/// Returns what to do about an error of the database that does not tell it itself.
fn remedy(error: &StoreError) -> Option<&'static str> {
    if error.is_missing_right() {
        return Some(
            "if the file is another user's, run the command as that user; otherwise see whether the disk is read-only",
        );
    }
    let is_told = matches!(error, StoreError::Damaged { .. });
    (error.is_damage() && !is_told).then_some(
        "it is damaged, or no database: restore a copy, or save what can be read with: sqlite3 FILE .recover",
    )
}

/// Writes a line to standard error, and ignores a failure: there is no other place to report it.
fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn an_option_is_suggested_if_it_differs_little() {
        let told = |option: &str| {
            let words = ["labwire", "lock", "DMM", option, "2"].map(OsString::from);
            parse_words(&words).map(|_| ()).unwrap_err().to_string()
        };
        let unknown = told("--for");
        assert!(unknown.contains("'--for'"), "{unknown}");
        assert!(!unknown.contains("--port"), "{unknown}");
        assert!(told("--ports").contains("'--port'"));
        assert!(told("--waits=3").contains("'--wait'"));
    }

    #[test]
    fn a_cause_that_an_error_tells_already_is_not_told_again() {
        let cause = io::Error::other("no such device");
        let error = anyhow::Error::from(labwire_store::StoreError::Thread(cause)).context("cannot start");
        assert_eq!(
            explain(&error),
            "cannot start: cannot start the thread of the database: no such device"
        );
        let error = anyhow::Error::from(io::Error::other("disk full")).context("cannot write a.log");
        assert_eq!(explain(&error), "cannot write a.log: disk full");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise.sqlite3");
        std::fs::write(&path, [7; 8192]).unwrap();
        let opened = labwire_store::Database::open(&path).map(|_| ());
        let error = anyhow::Error::from(opened.unwrap_err());
        let told = explain(&error);
        assert!(
            told.starts_with("the database: file is not a database: it is damaged, or no"),
            "{told}"
        );
    }
}
