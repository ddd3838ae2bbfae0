//! `labwire completions`: completion of the command line in a shell.
//!
//! The script that it prints asks this program for the words at each press of the Tab key: with
//! [`VARIABLE`] set to the name of the shell, and the words of the line after `--`. The program
//! answers from its own definitions. Names of services, attributes, arguments and profiles are those
//! of the manager and the file of profiles.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::output::print;
use super::{CommandLine, tell, without_empty_variables};

/// The environment variable with which a shell asks for words.
pub(super) const VARIABLE: &str = "LABWIRE_COMPLETE";

const AFTER_HELP: &str = "\
Put it where your shell reads it when it starts:

bash, in ~/.bashrc:
  source <(labwire completions bash)

zsh, in ~/.zshrc, after compinit:
  source <(labwire completions zsh)

fish, in ~/.config/fish/config.fish:
  labwire completions fish | source

PowerShell, in the file $PROFILE:
  labwire completions powershell | Out-String | Invoke-Expression

elvish, in ~/.config/elvish/rc.elv:
  eval (labwire completions elvish | slurp)

The names of services, attributes and arguments are those of the manager that
the line names, if it is one of Labwire and answers within a second. Nobody is
asked for a password, so a manager that asks for one gives names only with
LABWIRE_PASSWORD or LABWIRE_MANAGER_PASSWORD. Names that need quotation marks
are left out.";

/// What bash needs beside the script of the library: it splits words at colons and equals signs, as
/// that of `HOST:PORT`.
const BASH: &str = r#"
# Puts the words before the cursor together that bash has split at colons and
# equals signs.
_labwire() {
    local words=("${COMP_WORDS[0]}") current=$COMP_CWORD count=1 i
    for ((i = 1; i < ${#COMP_WORDS[@]}; i++)); do
        if ((i < COMP_CWORD)) && [[ "${COMP_WORDS[i]}" =~ ^[:=]+$ || "${COMP_WORDS[i - 1]}" =~ ^[:=]+$ ]]; then
            words[count - 1]+="${COMP_WORDS[i]}"
            ((current--))
        else
            words[count++]="${COMP_WORDS[i]}"
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$current
    _clap_complete_labwire "$@"
}
complete -o nospace -o bashdefault -o nosort -F _labwire labwire 2> /dev/null ||
    complete -o nospace -o bashdefault -F _labwire labwire
"#;

/// Print a script that completes the command line in a shell
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArgs) -> anyhow::Result<()> {
    let shells = Shells::builtins();
    let shell = shells
        .completer(&arguments.shell.to_string())
        .context("this shell has no completion")?;
    let mut script = Vec::new();
    shell.write_registration(
        VARIABLE,
        "labwire",
        "labwire",
        &this_program().to_string_lossy(),
        &mut script,
    )?;
    if arguments.shell == Shell::Bash {
        script.extend_from_slice(BASH.as_bytes());
    }
    print(&String::from_utf8_lossy(&script))
}

/// Returns the program as it was typed: its name, or its absolute path if it is not found by its
/// name.
fn this_program() -> PathBuf {
    let typed = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if typed.components().count() > 1 {
        std::path::absolute(&typed).unwrap_or(typed)
    } else {
        PathBuf::from("labwire")
    }
}

/// Prints the words that a shell asks for. Returns `None` if no shell asks.
pub(super) fn answer() -> Option<ExitCode> {
    let folder = env::current_dir().ok();
    let asked = CompleteEnv::with_factory(completed).var(VARIABLE);
    match asked.try_complete(env::args_os(), folder.as_deref().map(Path::new)) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            tell(format_args!("labwire: {VARIABLE}: {error}"));
            Some(ExitCode::FAILURE)
        }
    }
}

/// Returns the command line with the sources of names.
fn completed() -> Command {
    let command = with_sources(without_empty_variables(CommandLine::command()));
    let profile = |command: Command| {
        ["default", "remove", "show"]
            .into_iter()
            .fold(command, |command, action| {
                command.mut_subcommand(action, |action| {
                    action.mut_arg("name", |name| name.add(source(profiles)))
                })
            })
    };
    command.mut_subcommand("profile", profile)
}

fn with_sources(command: Command) -> Command {
    let add = |argument: Arg| match argument.get_id().as_str() {
        "service" => argument.add(source(services)),
        "attribute" => argument.add(source(attributes)),
        "values" => argument.add(source(argument_names)),
        "profile" => argument.add(source(profiles)),
        _ => argument,
    };
    command.mut_args(add).mut_subcommands(with_sources)
}

fn source(names: fn() -> Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        names()
            .into_iter()
            .map(CompletionCandidate::new)
            .collect::<Vec<_>>()
    })
}

fn services() -> Vec<String> {
    typed().map_or_else(Vec::new, |typed| labwire_console::service_names(&typed))
}

fn attributes() -> Vec<String> {
    typed().map_or_else(Vec::new, |typed| labwire_console::attribute_names(&typed))
}

fn argument_names() -> Vec<String> {
    typed().map_or_else(Vec::new, |typed| labwire_console::argument_names(&typed))
}

fn profiles() -> Vec<String> {
    labwire_console::profile_names()
}

/// Returns the options and arguments of the subcommand on the line to be completed, as far as they
/// can be parsed.
fn typed() -> Option<ArgMatches> {
    let words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let command = without_empty_variables(CommandLine::command()).ignore_errors(true);
    let mut matches = command.try_get_matches_from(words).ok()?;
    matches.remove_subcommand().map(|(_, matches)| matches)
}
