//! The checks' results, one after the other.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{OutputArgs, STRONG, printable, say, say_json, width};

/// Creates the failure of a command from its text. Its kind determines the exit code.
pub(super) type Kind = fn(String) -> Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Ok,
    Warning,
    Failed,
    NotChecked,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Failed => AnsiColor::Red.on_default().bold(),
            Self::NotChecked => Style::new().dimmed(),
        }
    }
}

/// A remedy for a problem.
#[derive(Debug, Serialize)]
struct Remedy {
    text: String,
    /// A command that does it.
    command: Option<String>,
}

/// The result of a check, also as an object of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    status: Status,
    problem: Option<&'static str>,
    message: String,
    remedies: Vec<Remedy>,
    #[serde(skip)]
    kind: Kind,
}

impl Check {
    fn new(name: &'static str, status: Status, problem: Option<&'static str>, message: &str) -> Self {
        Self {
            name,
            status,
            problem,
            message: printable(message),
            remedies: Vec::new(),
            kind: Failure::Failed,
        }
    }

    /// Nothing is wrong.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, None, &message.into())
    }

    /// Something may be wrong, but not for this connection now.
    pub(super) fn warning(check: &'static str, problem: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Status::Warning, Some(problem), &message.into())
    }

    /// Something is wrong: programs cannot connect.
    pub(super) fn failed(
        check: &'static str,
        problem: &'static str,
        kind: Kind,
        message: impl Into<String>,
    ) -> Self {
        let check = Self::new(check, Status::Failed, Some(problem), &message.into());
        Self { kind, ..check }
    }

    /// It could not be checked.
    fn not_checked(check: &'static str) -> Self {
        Self::new(check, Status::NotChecked, None, "")
    }

    /// Adds a remedy.
    #[must_use]
    pub(super) fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedies.push(Remedy {
            text: printable(&text.into()),
            command: None,
        });
        self
    }

    /// Adds a remedy that a command performs.
    #[must_use]
    pub(super) fn command(mut self, text: impl Into<String>, command: impl Into<String>) -> Self {
        self.remedies.push(Remedy {
            text: printable(&text.into()),
            command: Some(command.into()),
        });
        self
    }

    fn text(&self, width: usize) -> String {
        let style = self.status.style();
        let head = format!(
            "{style}{:11}{style:#}  {STRONG}{:11}{STRONG:#}  ",
            self.status.word(),
            self.name
        );
        let mut text = head;
        // The styles take no columns.
        text.push_str(&wrapped(&self.message, 26, 26, width));
        for remedy in &self.remedies {
            let is_open = remedy.command.is_some() && !remedy.text.ends_with('?');
            let colon = if is_open { ":" } else { "" };
            let line = wrapped(&format!("- {}{colon}", remedy.text), 4, 6, width);
            let _ = write!(text, "\n    {line}");
            if let Some(command) = &remedy.command {
                let _ = write!(text, "\n        {command}");
            }
        }
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// Breaks a text between words into lines of at most `width` columns. The first line begins in the
/// column `first`, the others are indented to the column `others`. A line break in the text stays
/// one. A word that does not fit into a line, such as a fingerprint, is broken after a colon or a
/// slash.
fn wrapped(text: &str, first: usize, others: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = first;
    let room = width.saturating_sub(others).max(1);
    let length = |text: &str| text.chars().count();
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            let _ = write!(lines, "\n{:others$}", "");
            column = others;
        }
        let mut is_begun = false;
        for word in line.split_whitespace() {
            let mut blank = usize::from(is_begun);
            is_begun = true;
            let parts: Vec<&str> = if length(word) > room {
                word.split_inclusive([':', '/']).collect()
            } else {
                vec![word]
            };
            for part in parts {
                if column > others && column + blank + length(part) > width {
                    let _ = write!(lines, "\n{:others$}", "");
                    column = others;
                } else if blank > 0 {
                    lines.push(' ');
                    column += 1;
                }
                blank = 0;
                lines.push_str(part);
                column += length(part);
            }
        }
    }
    lines
}

/// Prints the checks, and collects those that failed.
#[derive(Debug)]
pub(super) struct Report {
    output: OutputArgs,
    /// The checks that are still to be made.
    planned: Vec<&'static str>,
    failed: Vec<&'static str>,
    kind: Option<Kind>,
    /// Whether the output is not read any more.
    is_closed: bool,
}

impl Report {
    /// Creates a report of these checks. Others may be added when they are made.
    pub(super) fn new(output: OutputArgs, planned: Vec<&'static str>) -> Self {
        Self {
            output,
            planned,
            failed: Vec::new(),
            kind: None,
            is_closed: false,
        }
    }

    /// Prints a check. Returns whether it has not failed.
    pub(super) fn tell(&mut self, check: &Check) -> Result<bool, Failure> {
        let said = match self.is_closed {
            true => Ok(()),
            false if self.output.json => say_json(check),
            false => say(check.text(usize::from(width()))),
        };
        match said {
            // The exit code remains of use.
            Err(Failure::Closed) => self.is_closed = true,
            said => said?,
        }
        self.planned.retain(|planned| *planned != check.name);
        if check.status == Status::Failed {
            self.failed.push(check.name);
            self.kind.get_or_insert(check.kind);
        }
        Ok(check.status != Status::Failed)
    }

    /// Prints the planned checks that were not made.
    pub(super) fn leave_out(&mut self) -> Result<(), Failure> {
        for check in std::mem::take(&mut self.planned) {
            self.tell(&Check::not_checked(check))?;
        }
        Ok(())
    }

    /// Ends the report. The first failed check determines the exit code.
    pub(super) fn end(self, address: impl fmt::Display) -> Result<(), Failure> {
        let Some(kind) = self.kind else {
            return Ok(());
        };
        let failure = kind(format!(
            "programs with these settings cannot use {address}: {}",
            self.failed.join(", ")
        ));
        Err(if self.is_closed {
            Failure::Reported(Box::new(failure))
        } else {
            failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_commands_are_not() {
        let check = Check::failed(
            "port",
            "no-listener",
            Failure::NoManager,
            "nothing listens at this port of the computer",
        )
        .command(
            "start a manager there, with the port that clients expect of it",
            "labwire start --port 1876 --and-so-on --and-so-on --and-so-on",
        );
        let text = anstream::adapter::strip_str(&check.text(40)).to_string();
        assert_eq!(
            text,
            "failed       port         nothing\n\
             \u{20}                         listens at\n\
             \u{20}                         this port of\n\
             \u{20}                         the computer\n\
             \u{20}   - start a manager there, with the\n\
             \u{20}     port that clients expect of it:\n\
             \u{20}       labwire start --port 1876 --and-so-on --and-so-on --and-so-on"
        );
        let fingerprint = ["ab"; 12].join(":");
        assert_eq!(
            wrapped(&format!("it is {fingerprint}"), 4, 4, 30),
            "it is ab:ab:ab:ab:ab:ab:\n    ab:ab:ab:ab:ab:ab"
        );
        assert_eq!(
            wrapped("the clients:\n  Ada\n  Bob", 26, 4, 80),
            "the clients:\n    Ada\n    Bob"
        );
    }
}
