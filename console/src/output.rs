//! Output: readable text on terminals of any width, and JSON for programs.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// The width of lines where standard output is not a terminal, in columns.
const WIDTH: u16 = 80;

/// Names.
pub(crate) const STRONG: Style = Style::new().bold();

/// What is less important.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The form of the output.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// Print one JSON object per line instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// Returns the width of the terminal in columns.
fn width() -> u16 {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0)
}

/// Writes to standard output. Styles are left out where it is no terminal, or where `NO_COLOR` is
/// set. A closed pipe, as of `head`, ends the output without an error.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    written(writeln!(anstream::stdout(), "{text}"))
}

/// Writes an object as one line of JSON.
pub(crate) fn say_json(object: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(object).map_err(|error| Failure::Failed(error.to_string()))?;
    written(writeln!(io::stdout(), "{text}"))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes a line to standard error, and ignores a failure: there is no other place to report it.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a table without lines, as wide as the terminal at most.
pub(crate) fn say_table(header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width())
        .set_header(header)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if number == 0 {
            say(format_args!("{STRONG}{line}{STRONG:#}"))?;
        } else {
            say(line)?;
        }
    }
    Ok(())
}

/// Replaces control characters, which a terminal would act upon, by the replacement character.
/// Line ends stay.
pub(crate) fn printable(text: &str) -> String {
    let replace = |character: char| match character {
        '\n' => '\n',
        '\t' => ' ',
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    text.chars().map(replace).collect()
}

/// Returns a result for people: a text without its quotes, or JSON.
pub(crate) fn readable(result: &str) -> String {
    match serde_json::from_str::<String>(result) {
        Ok(text) => printable(&text),
        Err(_) => printable(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_cannot_send_commands_to_a_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\n\tc\u{9b}"),
            "a\u{fffd}[31mb\u{fffd}\n c\u{fffd}"
        );
    }
}
