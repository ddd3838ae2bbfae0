//! The command lines of MSL-Network for `user` and `hostname`, which the subcommands of an action
//! do not cover: an option before the action, or one that the action has no use for.
//!
//! They are parsed as MSL-Network does: the action is a word, and all options belong to all
//! actions.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{hostname, user, without_empty_variables};

/// The argument that is the action, in the parser's words.
const ACTION: &str = "<ACTION>";

#[derive(Debug, Parser)]
#[command(name = "labwire")]
struct OldCommandLine {
    #[command(subcommand)]
    command: OldCommand,
}

/// A command in the spelling of MSL-Network.
#[derive(Debug, Subcommand)]
pub(super) enum OldCommand {
    User(user::OldUserArgs),
    Hostname(hostname::OldHostnameArgs),
}

/// Parses words that `parse`, the parser of the subcommands, has refused with this error. Returns
/// the error to report if they are not in the old spelling either.
pub(super) fn parse<T>(
    words: &[OsString],
    error: clap::Error,
    parse: impl Fn(&[OsString]) -> Result<T, clap::Error>,
) -> Result<OldCommand, clap::Error> {
    let Some(name) = words
        .get(1)
        .and_then(|word| word.to_str())
        .filter(|name| ["user", "hostname"].contains(name))
    else {
        return Err(error);
    };
    let is_about_the_action = !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !is_about_the_action {
        return Err(error);
    }
    let old = match parse_old(words) {
        Ok(command) => return Ok(command),
        Err(old) => old,
    };
    let again = |word: &str| parse(&["labwire", name, word].map(OsString::from)).err();
    if old.kind() == ErrorKind::DisplayHelp {
        // An option comes before the action. The old spelling has no help of its own.
        let is_short = words.iter().any(|word| word == "-h");
        return Err(again(if is_short { "-h" } else { "--help" }).unwrap_or(error));
    }
    if let Some(action) = unknown_action(&old) {
        let mut error = again(action).unwrap_or(error);
        let actions = if name == "user" {
            "the actions are add, remove, update, disable, enable, set and list"
        } else {
            "the actions are add, remove and list"
        };
        let tips = vec![actions.to_owned().into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        return Err(error);
    }
    let begins_with_option = words.get(2).is_some_and(|word| is_option(word));
    Err(if begins_with_option { old } else { error })
}

fn parse_old(words: &[OsString]) -> Result<OldCommand, clap::Error> {
    let mut command = without_empty_variables(OldCommandLine::command());
    let parsed = command
        .try_get_matches_from_mut(words)
        .and_then(|mut matches| OldCommandLine::from_arg_matches_mut(&mut matches));
    parsed
        .map(|line| line.command)
        .map_err(|error| error.format(&mut command))
}

/// Returns the word that is no action, if that is the error.
fn unknown_action(error: &clap::Error) -> Option<&str> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    (error.kind() == ErrorKind::InvalidValue && context(ContextKind::InvalidArg) == Some(ACTION))
        .then(|| context(ContextKind::InvalidValue))
        .flatten()
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}
