//! `labwire completions`: completion of the command line in a shell.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::CommandLine;

const AFTER_HELP: &str = "\
Examples:
  labwire completions bash > ~/.local/share/bash-completion/completions/labwire
  labwire completions fish > ~/.config/fish/completions/labwire.fish
  labwire completions powershell >> $PROFILE";

/// Print a script that completes the command line in a shell
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(
        arguments.shell,
        &mut CommandLine::command(),
        "labwire",
        &mut script,
    );
    io::stdout()
        .write_all(&script)
        .context("cannot write to standard output")
}
