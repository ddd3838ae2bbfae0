//! The groups of the subcommands in `labwire --help`.

use std::fmt::Write;

use clap::builder::StyledStr;
use clap::{Command, builder::Styles};

/// The groups, each with its heading.
const GROUPS: &[(&str, &[&str])] = &[
    ("See", &["status", "top", "services", "describe", "history"]),
    (
        "Use",
        &[
            "call",
            "watch",
            "record",
            "shell",
            "link",
            "lock",
            "unlock",
            "publish",
            "subscribe",
        ],
    ),
    ("Find faults", &["doctor", "ping", "bench"]),
    ("Run a manager", &["start", "demo", "systemd", "admin", "backup"]),
    ("Run an instrument", &["instrument"]),
    (
        "Set up",
        &[
            "user", "hostname", "trust", "certgen", "certdump", "keygen", "delete", "profile",
        ],
    ),
    (
        "Decide who may do what",
        &[
            "group", "role", "set", "label", "grant", "token", "totp", "may", "approve",
        ],
    ),
    ("The program itself", &["completions", "manual", "help"]),
];

/// Shows the subcommands in groups.
pub(super) fn grouped(mut command: Command) -> Command {
    command.build();
    let styles = command.get_styles().clone();
    let list = list(&command, &styles);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{}\n{{options}}{{after-help}}",
        list.ansi(),
        heading(&styles, "Options"),
    );
    command.help_template(StyledStr::from(template))
}

fn heading(styles: &Styles, text: &str) -> String {
    let style = styles.get_header();
    format!("{style}{text}:{style:#}")
}

fn list(command: &Command, styles: &Styles) -> StyledStr {
    let literal = styles.get_literal();
    let width = command.get_subcommands().map(|command| command.get_name().len());
    let width = width.max().unwrap_or_default();
    let mut text = String::new();
    for (name, members) in GROUPS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", heading(styles, name));
        for member in *members {
            let Some(command) = command.find_subcommand(member) else {
                continue;
            };
            let about = command.get_about().cloned().unwrap_or_default();
            let _ = writeln!(text, "  {literal}{member:width$}{literal:#}  {about}");
        }
        text.push('\n');
    }
    StyledStr::from(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::{CommandLine, HELP_WIDTH, parse_words};

    #[test]
    fn every_subcommand_is_in_one_group() {
        let mut command = CommandLine::command();
        command.build();
        let mut names: Vec<_> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        names.sort_unstable();
        let mut grouped: Vec<_> = GROUPS
            .iter()
            .flat_map(|(_, members)| members.iter().copied())
            .filter(|name| command.find_subcommand(name).is_some())
            .collect();
        grouped.sort_unstable();
        assert_eq!(grouped, names);
    }

    /// Returns a command with its subcommands, and theirs.
    fn all(command: &Command) -> Vec<Command> {
        let mut found = vec![command.clone()];
        found.extend(command.get_subcommands().flat_map(all));
        found
    }

    #[test]
    fn help_pages_have_80_columns_and_what_is_pasted_from_them_is_not_wrapped() {
        let mut command = grouped(CommandLine::command());
        command.build();
        let mut wide = Vec::new();
        for mut command in all(&command) {
            let name = command
                .get_bin_name()
                .unwrap_or_else(|| command.get_name())
                .to_owned();
            let pages = [command.render_help(), command.render_long_help()];
            // The parser would break the lines of these texts.
            let written = [
                command.get_before_help(),
                command.get_after_help(),
                command.get_after_long_help(),
            ];
            let written = written.into_iter().flatten().cloned();
            for line in pages.into_iter().chain(written).flat_map(|page| {
                let lines = page.to_string();
                lines.lines().map(str::to_owned).collect::<Vec<_>>()
            }) {
                if line.chars().count() > HELP_WIDTH && !wide.contains(&(name.clone(), line.clone())) {
                    wide.push((name.clone(), line));
                }
            }
        }
        assert!(wide.is_empty(), "{wide:#?}");
    }

    /// Returns the words of an example as a shell splits them, up to a pipe or a comment.
    fn words(example: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        // Some examples have a comment behind them.
        let example = example.split("   ").next().unwrap_or_default();
        for character in example.chars() {
            match (quote, character) {
                (Some(end), character) if character == end => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(character);
                    word.get_or_insert_default();
                }
                (None, ' ') => words.extend(word.take()),
                (None, '|' | '>' | '<' | '#' | ';' | ')') => break,
                (_, character) => word.get_or_insert_default().push(character),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_example_of_the_help_pages_can_be_pasted() {
        let mut command = CommandLine::command();
        command.build();
        let (mut seen, mut wrong) = (0, Vec::new());
        for command in all(&command) {
            let texts = [command.get_after_help(), command.get_after_long_help()];
            for text in texts.into_iter().flatten().map(ToString::to_string) {
                let lines = text.lines().filter_map(|line| line.strip_prefix("  labwire "));
                // The rest of a fingerprint is left out.
                for line in lines.filter(|line| !line.contains('…')) {
                    let typed = words(&format!("labwire {line}")).into_iter().map(Into::into);
                    let typed = labwire_console::protect_numbers(&command, typed);
                    let parsed = parse_words(&typed);
                    seen += 1;
                    if let Err(error) = parsed {
                        wrong.push(format!("{line}: {error}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(seen > 80, "{seen}");
    }
}
