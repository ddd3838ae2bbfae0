//! Output: readable text on terminals of any width, and JSON for programs.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write as _};

use anstyle::Style;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use labwire_wire::visible;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::array;
use crate::failure::Failure;
use crate::shortened::shortened;

/// Names.
pub(crate) const STRONG: Style = Style::new().bold();

/// Less important text.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The form of the output.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// Print one JSON object per line instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// Returns the width of the terminal in columns. Without a terminal it is unlimited, so that each
/// row is one line.
pub(crate) fn width() -> u16 {
    terminal_size::terminal_size_of(io::stdout()).map_or(u16::MAX, |(width, _)| width.0)
}

/// Runs a function that writes to standard output on a thread of its own: a reader that pauses must
/// not delay the connection.
pub(crate) async fn aside(
    write: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|_| Err(Failure::Failed("the output ended early".to_owned())))
}

/// Writes to standard output. Styles are left out where it is no terminal, or where `NO_COLOR` is
/// set. A closed pipe, as of `head`, ends the output without an error.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    written(writeln!(anstream::stdout(), "{text}"))
}

/// Returns an object as one line of JSON. Characters that control a terminal are escaped; in JSON
/// they occur only in texts. A result is JSON as the service wrote it, and may contain line ends.
pub(crate) fn json_line(object: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(object).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(escaped_json(&text))
}

/// Returns JSON text in one line, without characters that control a terminal or mislead a reader:
/// in texts they are escaped, and elsewhere they are blanks.
pub(crate) fn escaped_json(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => line.push(' '),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            }
            character => line.push(character),
        }
    }
    line
}

/// Returns a result as JSON, or, if it is not JSON, as the text that was received.
pub(crate) fn json_or_text(result: &str) -> (Option<&RawValue>, Option<&str>) {
    match serde_json::from_str(result) {
        Ok(json) => (Some(json), None),
        Err(_) => (None, Some(result)),
    }
}

/// Writes an object as one line of JSON.
pub(crate) fn say_json(object: &impl Serialize) -> Result<(), Failure> {
    say_line(&json_line(object)?)
}

/// Writes a line as it is.
pub(crate) fn say_line(line: &str) -> Result<(), Failure> {
    written(writeln!(io::stdout(), "{line}"))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Failed(format!("cannot write to standard output: {error}")),
    })
}

/// Writes a line to standard error, and ignores a failure: there is no other place to report it.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a table without lines, as wide as the terminal at most.
pub(crate) fn say_table(header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    say(table(header, rows).trim_end())
}

/// Returns a table without lines, as wide as the terminal at most.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
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
    let mut text = String::new();
    for (number, line) in table.to_string().lines().enumerate() {
        let line = line.trim_end();
        let _ = if number == 0 {
            writeln!(text, "{STRONG}{line}{STRONG:#}")
        } else {
            writeln!(text, "{line}")
        };
    }
    text
}

/// The maximum number of columns of a name or a signature in the output for people.
const LONGEST: usize = 300;

/// The maximum number of columns of an error.
const LONGEST_ERROR: usize = 4_000;

/// Returns a name, an address or a signature of a peer for people: in one line, without characters
/// that control a terminal, and with at most [`LONGEST`] columns.
pub(crate) fn one_line(text: &str) -> String {
    shortened(&visible(text), LONGEST)
}

/// Returns names of a peer for people, separated by commas: the first ones, and how many more there
/// are. Returns nothing if there are none.
pub(crate) fn list<N: AsRef<str>>(names: impl IntoIterator<Item = N>, most: usize) -> String {
    let mut names = names.into_iter();
    let mut listed: Vec<_> = names
        .by_ref()
        .take(most)
        .map(|name| one_line(name.as_ref()))
        .collect();
    let more = names.count();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed.join(", ")
}

/// Returns a text of a peer that may have several lines.
pub(crate) fn printable(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(|line| visible(&line.replace('\t', " ")))
        .collect();
    lines.join("\n")
}

/// Returns an error for people. Further lines are indented, so that none looks like another error.
pub(crate) fn message(text: &str) -> String {
    shortened(&printable(text), LONGEST_ERROR).replace('\n', "\n  ")
}

/// Returns a text as one word that can be pasted into a shell: in quotation marks where they are
/// needed.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "_-./:,=@%+".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", visible(text).replace('\'', "'\\''"))
}

/// Returns a name as an argument that can be pasted into a shell, with `--` before it if it begins
/// like an option. It must be the last argument then.
pub(crate) fn shell_argument(name: &str) -> String {
    if name.starts_with('-') {
        format!("-- {}", shell_word(name))
    } else {
        shell_word(name)
    }
}

/// Returns an option with its value, as they can be pasted into a shell. A value that begins like an
/// option is joined to it.
pub(crate) fn shell_option(option: &str, value: &str) -> String {
    let separator = if value.starts_with('-') { "=" } else { " " };
    format!("{option}{separator}{}", shell_word(value))
}

/// Returns a result as text: a text without its quotes, or JSON. For a terminal, control characters
/// are replaced.
pub(crate) fn readable(result: &str, is_for_terminal: bool) -> String {
    let text = serde_json::from_str::<String>(result).unwrap_or_else(|_| result.to_owned());
    if is_for_terminal { printable(&text) } else { text }
}

/// Writes a result as text, in which arrays are short.
pub(crate) fn say_result(result: &str) -> Result<(), Failure> {
    let stdout = io::stdout();
    let text = readable(&array::shortened(result, ("", "")), stdout.is_terminal());
    written(writeln!(stdout.lock(), "{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_cannot_send_commands_to_a_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\n\tc\u{9b}"),
            "a\u{fffd}[31mb\n c\u{fffd}"
        );
        assert_eq!(one_line("a\nb\u{202e}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(one_line(&"x".repeat(1_000)).chars().count(), LONGEST);
        assert_eq!(message("a\nlabwire: b"), "a\n  labwire: b");
        assert_eq!(list(["a\n", "b", "c", "d"], 2), "a\u{fffd}, b, and 2 more");
        assert_eq!(list(["a", "b"], 2), "a, b");
        let result = serde_json::value::RawValue::from_string("[1,\r\n\"\u{9b}\"]".to_owned()).unwrap();
        assert_eq!(json_line(&result).unwrap(), "[1,  \"\\u009b\"]");
    }

    #[test]
    fn a_name_is_quoted_for_a_shell_where_it_must_be() {
        assert_eq!(shell_argument("DMM_1"), "DMM_1");
        assert_eq!(shell_argument("-x"), "-- -x");
        assert_eq!(shell_word("/home/a b/*"), "'/home/a b/*'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_option("--service", "-x"), "--service=-x");
        assert_eq!(shell_option("--service", "a b"), "--service 'a b'");
        assert_eq!(shell_argument("it's; rm"), "'it'\\''s; rm'");
    }
}
