//! `labwire manual`: the help of all commands as man pages or as one Markdown text.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::output::print;
use super::{CommandLine, tell};

const AFTER_HELP: &str = "\
Examples:
  labwire manual --man ~/.local/share/man/man1     then: man labwire-call
  labwire manual --markdown > labwire.md";

/// Write the help of all commands as man pages or Markdown
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[group(id = "form", required = true, multiple = false)]
pub(super) struct ManualArgs {
    /// Write a man page for each command to this folder, and replace older ones
    #[arg(long, value_name = "FOLDER", group = "form")]
    man: Option<PathBuf>,
    /// Print one Markdown text with all commands
    #[arg(long, group = "form")]
    markdown: bool,
}

pub(super) fn run(arguments: &ManualArgs) -> anyhow::Result<()> {
    let Some(folder) = &arguments.man else {
        return print(&clap_markdown::help_markdown_command(&CommandLine::command()));
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    clap_mangen::generate_to(CommandLine::command(), folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    tell(format_args!(
        "The man pages are in {}. If `man labwire` does not find them: man {}",
        folder.display(),
        std::path::absolute(folder.join("labwire.1"))?.display()
    ));
    Ok(())
}
