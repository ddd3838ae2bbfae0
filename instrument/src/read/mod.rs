//! Reads an instrument file, and reports all of its problems.

mod answer;
mod argument;
mod command;
mod connection;
mod poll;
mod table;

use std::collections::HashSet;

use toml::de::DeTable;

pub(crate) use connection::check_address;

use crate::command::Command;
use crate::definition::{Connection, Definition, ErrorQueue, Identification, Poll};
use crate::parameter::Rules;
use crate::pattern::Pattern;
use crate::problem::{Problem, Problems};
use table::{Found, Table, as_table};

/// The most errors that are read from an error queue at once, unless the file says so.
const ERRORS: i64 = 20;

/// The most commands and polls of a file.
const MOST: usize = 1_000;

/// Reads a file.
pub(crate) fn definition(source: &str) -> Result<Definition, Vec<Problem>> {
    let mut problems = Problems::new(source);
    let (document, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        problems.add(&error.span().unwrap_or(0..0), error.message());
    }
    // What could not be parsed is missing in the table, and would be reported again.
    if !errors.is_empty() {
        return Err(problems.into_sorted());
    }
    let root = Table::new("the file", document.get_ref(), 0..0);
    let read = whole(root, &mut problems);
    let problems = problems.into_sorted();
    match read {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(problems),
    }
}

fn whole(mut root: Table<'_, '_>, problems: &mut Problems<'_>) -> Option<Definition> {
    let name = root.required_text("name", "\"Multimeter\"", problems);
    if let Some(name) = &name
        && (name.value.trim().is_empty() || name.value.chars().any(char::is_control))
    {
        problems.add(
            &name.span,
            "`name` is the name of the service on the network, such as \"Multimeter\"",
        );
    }
    let description = root.text("description", problems);
    let max_clients = root.integer("max_clients", 0..=i64::from(u32::MAX), problems);
    let raw = root.boolean("raw", problems).unwrap_or(false);
    if root.place("connection").is_none() {
        let text =
            "the file lacks [connection], with tcp = \"HOST:PORT\", serial = \"PORT\" or usbtmc = \"FILE\"";
        problems.add(&(0..0), text);
    }
    let connection = root.table("connection", "[connection]", problems);
    let connected = connection.and_then(|table| connection::read(table, problems));
    let identification = root.table("identification", "[identification]", problems);
    let identification = identification.and_then(|table| identification_of(table, problems));
    let errors = root.table("errors", "[errors]", problems);
    let errors = errors.and_then(|table| error_queue(table, problems));
    // The commands are checked even if the connection has a problem.
    let (encoding, forbidden) = match &connected {
        Some((connection, _)) => (connection.encoding, connection.forbidden.as_str()),
        None => (crate::encoding::Encoding::Utf8, connection::FORBIDDEN),
    };
    let rules = Rules { encoding, forbidden };
    let commands = root.table("commands", "[commands]", problems);
    let commands = commands.map_or_else(Vec::new, |table| commands_of(&table, raw, rules, problems));
    let polls = root.table("polls", "[polls]", problems);
    let polls = polls.map_or_else(Vec::new, |table| polls_of(&table, &commands, rules, problems));
    root.finish(problems);
    let (connection, initialise): (Connection, Vec<String>) = connected?;
    Some(Definition {
        name: name?.value,
        description: description.map_or_else(String::new, |text| text.value),
        max_clients: max_clients
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(0),
        raw,
        connection,
        initialise,
        identification,
        errors,
        commands,
        polls,
    })
}

fn identification_of(mut table: Table<'_, '_>, problems: &mut Problems<'_>) -> Option<Identification> {
    let query = table.required_text("query", "\"*IDN?\"", problems);
    if let Some(query) = &query {
        check_line(query, problems);
    }
    let expected = table.texts("expect", problems);
    if expected.is_empty() {
        let text = "[identification] lacks `expect`, the answer in which * stands for any characters, as in \
                    \"Keysight*,34465A,*\"";
        problems.add(table.span(), text);
    }
    let patterns = expected.iter().map(|text| {
        let pattern = Pattern::new(&text.value);
        if pattern.matches_all() {
            let told = "this accepts every instrument: write a part of the answer, as in \"*,34465A,*\"";
            problems.add(&text.span, told);
        }
        pattern
    });
    let expect = patterns.collect();
    table.finish(problems);
    Some(Identification {
        query: query?.value,
        expect,
    })
}

fn error_queue(mut table: Table<'_, '_>, problems: &mut Problems<'_>) -> Option<ErrorQueue> {
    let query = table.required_text("query", "\"SYST:ERR?\"", problems);
    if let Some(query) = &query {
        check_line(query, problems);
    }
    let none = table.texts("none", problems);
    if none.is_empty() {
        let text = "[errors] lacks `none`, the answer without an error, as in none = [\"0,*\", \"+0,*\"]";
        problems.add(table.span(), text);
    }
    let words = [("after-each", true), ("on-demand", false)];
    let after_each = table.word("read", &words, problems).unwrap_or(true);
    let most = table.integer("most", 1..=1_000, problems).unwrap_or(ERRORS);
    table.finish(problems);
    Some(ErrorQueue {
        query: query?.value,
        none: none.iter().map(|text| Pattern::new(&text.value)).collect(),
        after_each,
        most: usize::try_from(most).unwrap_or(1),
    })
}

fn commands_of(
    table: &Table<'_, '_>,
    raw: bool,
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Command> {
    let mut commands = Vec::new();
    for (name, value) in table.entries().into_iter().take(MOST) {
        check_name(&name, "a command", problems);
        let reserved = ["instrument", "errors", "describe", "shutdown_service"];
        let of_raw = if raw { &["write", "query"][..] } else { &[] };
        if reserved
            .iter()
            .chain(of_raw)
            .any(|reserved| *reserved == name.value)
        {
            let text = format!(
                "the service has a method `{}` already; use another name",
                name.value
            );
            problems.add(&name.span, text);
        }
        let place = format!("[commands.{}]", name.value);
        if let Some(entries) = as_table(&name.value, place, value, problems) {
            commands.extend(command::read(name, entries, rules, problems));
        }
    }
    check_number(table, problems);
    commands
}

fn polls_of(
    table: &Table<'_, '_>,
    commands: &[Command],
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Poll> {
    let mut polls: Vec<Poll> = Vec::new();
    for (name, value) in table.entries().into_iter().take(MOST) {
        check_name(&name, "a poll", problems);
        let place = format!("[polls.{}]", name.value);
        if let Some(entries) = as_table(&name.value, place, value, problems) {
            polls.extend(poll::read(name, entries, commands, rules, problems));
        }
    }
    check_number(table, problems);
    let mut topics = HashSet::new();
    for poll in &polls {
        if let Some(topic) = &poll.topic
            && !topics.insert(topic)
        {
            let text = format!("two polls publish to the topic {topic}");
            problems.add(table.span(), text);
        }
    }
    polls
}

fn check_number(table: &Table<'_, '_>, problems: &mut Problems<'_>) {
    if table.entries().len() > MOST {
        problems.add(
            table.span(),
            format!("{} has more than {MOST} entries", table.name()),
        );
    }
}

/// Checks that clients can use a name as an identifier.
fn check_name(name: &Found<String>, what: &str, problems: &mut Problems<'_>) {
    let is_letter = |character: char| character.is_ascii_alphabetic();
    let is_rest = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if !name.value.starts_with(is_letter) || !name.value.chars().all(is_rest) {
        let told = name.value.escape_debug();
        let text = format!(
            "the name of {what} consists of letters, digits and _, and begins with a letter: `{told}`"
        );
        problems.add(&name.span, text);
    }
}

/// Checks that a text is one line.
fn check_line(text: &Found<String>, problems: &mut Problems<'_>) {
    if text.value.trim().is_empty() {
        problems.add(&text.span, "the command is empty");
    } else if text.value.chars().any(char::is_control) {
        let told =
            "a command is one line without control characters; its line end is `write_end` of [connection]";
        problems.add(&text.span, told);
    }
}

#[cfg(test)]
mod tests;
