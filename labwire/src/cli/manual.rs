//! `labwire manual`: the help of all commands as man pages or as one Markdown text.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Arg, Args, Command, CommandFactory};

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
    clap_mangen::generate_to(with_all_texts(CommandLine::command()), folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    tell(format_args!(
        "The man pages are in {}. If `man labwire` does not find them: man {}",
        folder.display(),
        std::path::absolute(folder.join("labwire.1"))?.display()
    ));
    Ok(())
}

/// Gives options that `-h` leaves out their text as the long one, too: a man page has no other text of them.
fn with_all_texts(command: Command) -> Command {
    let with_text = |argument: Arg| match (argument.get_help().cloned(), argument.get_long_help()) {
        (Some(help), None) if argument.is_hide_short_help_set() => argument.long_help(help),
        _ => argument,
    };
    command.mut_args(with_text).mut_subcommands(with_all_texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_has_a_text_in_the_man_pages() {
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(with_all_texts(CommandLine::command()), folder.path()).unwrap();
        let mut pages = 0;
        for page in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(page.unwrap().path()).unwrap();
            for entry in text.split(".TP\n").skip(1) {
                let (option, told) = entry.split_once('\n').unwrap();
                assert!(!told.starts_with('\n'), "{option} has no text");
            }
            pages += 1;
        }
        assert!(pages > 40, "{pages}");
    }
}
